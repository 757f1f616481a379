//! Dead letters of the topics: only the server that has the topics can publish what they are about.

use std::sync::OnceLock;

use async_trait::async_trait;
use hyper::Method;
use serde::Deserialize;
use streamer_events::{
    Batch, DeadLetter,
    apply::Refusal,
    replay::{Replayed, hand_on},
    sink::{Error, ErrorKind, ReadModels, RefusedWrite, Result, Sink},
};
use streamer_sink_topics::HANDLER;

use crate::{
    config::Config,
    http::{self, Http},
};

/// Where on the admin address they are taken.
const PATH: &str = "/v1/events/letters";

/// A server, asked at its admin address.
pub(crate) struct Letters {
    /// Why there is none to be asked.
    admin: std::result::Result<Http, String>,
    /// Why it gave no answer: once it does not, the letters that follow do not wait for one.
    silent: OnceLock<String>,
}

impl Letters {
    /// The configuration's server.
    pub(crate) fn new(config: &Config) -> Self {
        Self { admin: admin(config), silent: OnceLock::new() }
    }

    /// Whether a letter is one of the topics.
    pub(crate) fn concern(letter: &DeadLetter) -> bool {
        letter.handler == HANDLER && letter.document.is_none()
    }

    /// Has the server publish one; the letter goes once that is done.
    pub(crate) async fn replay(
        &self,
        models: &dyn ReadModels,
        letter: &DeadLetter,
    ) -> anyhow::Result<Replayed> {
        let admin = match &self.admin {
            Ok(admin) => admin,
            Err(why) => return Ok(Replayed::Impossible(why.clone())),
        };
        if let Some(why) = self.silent.get() {
            return Ok(Replayed::Impossible(why.clone()));
        }
        match hand_on(models, &OfServer { admin, silent: &self.silent, letter }, letter).await {
            Err(e) if e.kind() == ErrorKind::Invalid => {
                let why = e.cause().map(ToString::to_string);
                Ok(Replayed::Impossible(why.unwrap_or_else(|| e.to_string())))
            }
            replayed => Ok(replayed?),
        }
    }
}

fn admin(config: &Config) -> std::result::Result<Http, String> {
    if !config.events.topics.enabled {
        return Err("its server publishes no events: set events.topics.enabled here as there".to_owned());
    }
    if !config.admin.enabled {
        return Err("its server cannot be asked: admin.enabled is false".to_owned());
    }
    let token =
        config.admin.operators_token().map_err(|(setting, problem)| format!("{setting}: {problem}"))?;
    Ok(Http::new(format!("http://{}", config.admin.address), token.unwrap_or_default()))
}

/// The server's topics, for one letter.
struct OfServer<'a> {
    admin: &'a Http,
    silent: &'a OnceLock<String>,
    letter: &'a DeadLetter,
}

#[derive(Deserialize)]
struct Published {
    refused: Option<String>,
}

#[async_trait]
impl Sink for OfServer<'_> {
    async fn apply(&self, _: &Batch) -> Result<Vec<RefusedWrite>> {
        // As text: the causes of an answer are for the operator to read in one line.
        let in_a_line = |e: anyhow::Error| format!("{e:#}");
        let invalid = |why: String| Error::new(ErrorKind::Invalid, why);
        let letter = serde_json::to_vec(self.letter).map_err(|e| invalid(e.to_string()))?;
        let asked = self.admin.call(Method::POST, PATH, Some(letter.into())).await;
        let answer = asked.map_err(|e| invalid(self.silent.get_or_init(|| in_a_line(e)).clone()))?;
        let published: Published = http::parse(answer).map_err(|e| invalid(in_a_line(e)))?;
        let refused = published.refused.map(|why| RefusedWrite {
            author: self.letter.author(),
            collection: "".into(),
            id: "".into(),
            refusal: Refusal::Unpublishable(why),
        });
        Ok(refused.into_iter().collect())
    }
}

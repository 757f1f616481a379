//! What a handler may do beside its work.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use streamer_protocol::{
    Action, ErrorCode, Json, Permissions, Published, RequestId, TenantId, Topic, UserId,
};

use crate::{
    Failure,
    run::{Run, no_room, too_large},
    store::{ArtifactId, ErrorKind, NewArtifact, TopicKey},
    topics,
};

/// A handler's view of the request that it runs. Cheap to clone.
///
/// Every call fails with [`Failure::cancel`] once the request was cancelled, its time is up, or another worker
/// has it: pass that on with `?`. What is to be kept fails under `OVERLOADED` where the tenant, or all tenants together,
/// keep as many bytes as they may: a stored request is tried again then, as often as its action allows.
#[derive(Clone)]
pub struct Context {
    run: Arc<Run>,
}

/// A file that was kept, as a result can refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactLink {
    /// Its name in the store.
    pub id: String,
    /// Where its owner gets it.
    pub url: String,
    /// Its name for people.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Context {
    pub(crate) fn new(run: Arc<Run>) -> Self {
        Self { run }
    }

    /// The request's name.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.run.key.id
    }

    /// Who asked.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.run.key.user
    }

    /// Whose data it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.run.key.tenant
    }

    /// What whoever asked was allowed when the request came, by the token's `permissions` or the application's word. What
    /// they mean to an action is for its handler to say.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.run.permissions
    }

    /// What was asked for.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.run.action
    }

    /// Which attempt this is, from 1 on.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// Names this run in the log; worth passing on to what the handler calls.
    #[must_use]
    pub fn correlation_id(&self) -> &str {
        &self.run.correlation_id
    }

    /// Shows how far the request has come: 0 to 100, never less than before. Shown at most ten times a second;
    /// the last one always is. A short run's progress is shown only once it is promoted.
    pub async fn progress(&self, percentage: f64, message: &str) -> Result<(), Failure> {
        self.run.report(percentage, message).await
    }

    /// Sets what goes along with every progress from now on. Fails only for a value that JSON cannot hold.
    pub fn set_metadata<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Failure> {
        self.run.set_metadata(key, serde_json::to_value(value).map_err(Failure::retry)?);
        Ok(())
    }

    /// Hands out a partial result: durable, and with the next index, once this returns. A short run that does
    /// so is stored from then on, because only a log can carry chunks.
    pub async fn chunk<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), Failure> {
        self.run.write(vec![self.checked_chunk(data)?], None).await
    }

    /// Hands out several partial results in one step, and stores with them the state from which another attempt
    /// continues: that attempt repeats none of them.
    pub async fn chunks_with_checkpoint<T: Serialize, S: Serialize + ?Sized>(
        &self,
        data: &[T],
        state: &S,
    ) -> Result<(), Failure> {
        let chunks = data.iter().map(|chunk| self.checked_chunk(chunk)).collect::<Result<_, _>>()?;
        self.run.write(chunks, Some(self.checked_state(state)?)).await
    }

    /// Stores the state from which another attempt continues. It covers every chunk handed out so far: those
    /// stay, and later ones are void when another attempt begins.
    pub async fn checkpoint<S: Serialize + ?Sized>(&self, state: &S) -> Result<(), Failure> {
        self.run.write(Vec::new(), Some(self.checked_state(state)?)).await
    }

    /// The state that an earlier attempt left, if it reads as an `S`. `None` in a first attempt, and when the
    /// state has another shape (an older version of the handler wrote it): begin anew then.
    #[must_use]
    pub fn restored<S: DeserializeOwned>(&self) -> Option<S> {
        self.run.checkpoint.as_ref()?.get().ok()
    }

    /// Publishes a message to a topic of the request's tenant, as the server: to any but a request's. An attempt that
    /// is repeated publishes again.
    pub async fn publish<T: Serialize + ?Sized>(&self, topic: &str, data: &T) -> Result<Published, Failure> {
        self.run.check()?;
        let topic = Topic::parse(topic).map_err(Failure::retry)?;
        let key = TopicKey::new(self.run.key.tenant.clone(), topic);
        let data = Json::of(data).map_err(Failure::retry)?;
        match topics::publish_as_server(&self.run.core, key, data).await {
            Ok(published) => Ok(published),
            Err(error) if error.code == ErrorCode::PayloadTooLarge => {
                Err(Failure::reject(error.message).code(error.code))
            }
            Err(error) => Err(Failure::retry(format!("{}: {}", error.code, error.message))),
        }
    }

    /// Keeps a file for the request's owner.
    pub async fn artifact(
        &self,
        name: &str,
        media_type: &str,
        bytes: impl Into<Bytes> + Send,
    ) -> Result<ArtifactLink, Failure> {
        self.run.check()?;
        self.run.keep(name, media_type, bytes.into()).await
    }

    /// Returns once the handler is asked to stop. It then has a few seconds to do so before it is dropped.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        let run = Arc::clone(&self.run);
        async move {
            run.interrupted().await;
        }
    }

    /// Whether the handler is asked to stop; for loops that call nothing else here.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.run.check().is_err()
    }

    fn checked_chunk<T: Serialize + ?Sized>(&self, data: &T) -> Result<Json, Failure> {
        let bytes_max = self.run.core.settings.chunk_bytes_max;
        checked(data, "a chunk", bytes_max)
    }

    fn checked_state<T: Serialize + ?Sized>(&self, state: &T) -> Result<Json, Failure> {
        let bytes_max = self.run.core.settings.checkpoint_bytes_max;
        checked(state, "a checkpoint", bytes_max)
    }
}

fn checked<T: Serialize + ?Sized>(value: &T, what: &str, bytes_max: u64) -> Result<Json, Failure> {
    let json = Json::of(value).map_err(Failure::retry)?;
    if json.as_str().len() as u64 > bytes_max { Err(too_large(what, bytes_max)) } else { Ok(json) }
}

impl Run {
    /// Keeps a file for the request's owner, as long as ended requests are kept.
    pub(crate) async fn keep(
        &self,
        name: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<ArtifactLink, Failure> {
        let core = &self.core;
        if bytes.len() > core.settings.artifact_bytes_max {
            return Err(too_large("an artifact", core.settings.artifact_bytes_max as u64));
        }
        let id = ArtifactId::parse(&core.random.unguessable()).expect("32 hexadecimal digits");
        let created_at = core.clock.now();
        let new = NewArtifact {
            id,
            tenant: self.key.tenant.clone(),
            user: self.key.user.clone(),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            created_at,
            expires_at: created_at + core.settings.retention,
            bytes,
        };
        let quota = &core.settings.quota;
        let kept =
            core.persist(|| core.store.keep(new.clone(), quota)).await.map_err(|e| match e.kind() {
                // Nobody tries a short run again but its sender, who is told why.
                ErrorKind::Full => no_room(self.lease().is_some()),
                ErrorKind::NoSpace if self.lease().is_none() => {
                    Failure::reject("there is no room to keep this file").code(ErrorCode::Overloaded)
                }
                _ => Failure::retry(e),
            })?;
        Ok(ArtifactLink {
            url: format!("{}/{}", core.settings.artifacts_url, kept.id),
            id: kept.id.to_string(),
            name: kept.name,
            media_type: kept.media_type,
            size: kept.size,
        })
    }
}

//! A scenario, step by step.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    file::{Act, Connect, Expect, Follow, Http, Presented, Scenario, Step, WaitForStatus},
    follow::Following,
    http,
    party::{PATIENCE, Party, Said, Upgrade},
    pattern,
    place::{Place, TokenKind, Wanted},
    report::{Failure, Verdict},
    variables::Variables,
};

/// Between two questions for a request's status.
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn play(scenario: &Scenario, place: &dyn Place) -> Verdict {
    if let Some(why) = scenario.unsupported_on.get(place.name()) {
        return Verdict::Unsupported(why.clone());
    }
    let mut stage = Stage { place, variables: Variables::new(&scenario.fresh), parties: HashMap::new() };
    for (n, step) in scenario.steps.iter().enumerate() {
        if step.unsupported_on.contains_key(place.name()) {
            continue;
        }
        if let Err(why) = stage.step(step).await {
            return Verdict::Failed(Failure { step: n + 1, why });
        }
    }
    Verdict::Passed
}

struct Stage<'a> {
    place: &'a dyn Place,
    variables: Variables,
    parties: HashMap<String, Party>,
}

impl Stage<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let act = self.variables.fill(&step.act)?;
        let act = Act::deserialize(&act).map_err(|e| e.to_string())?;
        let on = step.on.as_str();
        match act {
            Act::IssueToken(wanted) => {
                let token = self.token(
                    wanted.user.as_deref(),
                    wanted.tenant.as_deref(),
                    (&wanted.permissions, &wanted.topics),
                    wanted.token,
                )?;
                self.variables.save(&wanted.save, token.into());
                Ok(())
            }
            Act::Connect(connect) => self.connect(on, connect).await,
            Act::Send(message) => self.party(on)?.send(Value::Object(message).to_string()).await,
            Act::SendText(raw) => self.party(on)?.send(raw.text.repeat(raw.repeat)).await,
            Act::SendBinary(raw) => self.party(on)?.send_binary(raw.bytes).await,
            Act::Ping(_) => self.ping(on).await,
            Act::Expect(expect) => self.expect(on, &expect).await,
            Act::ExpectNothing(nothing) => {
                self.party(on)?.hear_nothing(Duration::from_millis(nothing.for_ms)).await
            }
            Act::ExpectClose(close) => self.expect_close(on, close.code).await,
            Act::Follow(follow) => self.follow(on, &follow).await,
            Act::WaitForStatus(wait) => self.wait_for_status(on, &wait).await,
            Act::Disconnect(how) => {
                let party = self.parties.remove(on).ok_or("there is no such connection")?;
                if how.rudely { Ok(()) } else { party.disconnect().await }
            }
            Act::Http(http) => self.http(&http).await,
        }
    }

    fn party(&mut self, on: &str) -> Result<&mut Party, String> {
        self.parties.get_mut(on).ok_or_else(|| format!("there is no connection {on:?}"))
    }

    fn token(
        &self,
        user: Option<&str>,
        tenant: Option<&str>,
        (permissions, topics): (&[String], &[String]),
        presented: Presented,
    ) -> Result<Option<String>, String> {
        let kind = match presented {
            Presented::Missing => return Ok(None),
            Presented::Malformed => return Ok(Some("not.a.token".to_owned())),
            Presented::Valid => TokenKind::Valid,
            Presented::Expired => TokenKind::Expired,
            Presented::Forged => TokenKind::Forged,
        };
        let named = |given: Option<&str>, always: &str| {
            let filled = self.variables.fill(&given.unwrap_or(always).into())?;
            filled.as_str().map(str::to_owned).ok_or_else(|| format!("not a name: {filled}"))
        };
        let (user, tenant) = (named(user, "${user}")?, named(tenant, "${tenant}")?);
        let (permissions, topics) = (permissions.to_vec(), topics.to_vec());
        Ok(Some(self.place.token(&Wanted { user, tenant, permissions, topics, kind })))
    }

    async fn connect(&mut self, on: &str, wanted: Connect) -> Result<(), String> {
        if self.parties.contains_key(on) {
            return Err(format!("there is a connection {on:?} already"));
        }
        let token = self.token(
            wanted.user.as_deref(),
            wanted.tenant.as_deref(),
            (&wanted.permissions, &wanted.topics),
            wanted.token,
        )?;
        let expected = wanted.status.unwrap_or(101);
        match Party::connect(&self.place.ws_url(), token.as_deref(), wanted.by).await? {
            Upgrade::Open(party) => {
                self.parties.insert(on.to_owned(), *party);
                if expected == 101 { Ok(()) } else { Err(format!("expected {expected}, found 101")) }
            }
            Upgrade::Refused { status, body } => answered(expected, wanted.body.as_ref(), status, &body),
        }
    }

    async fn ping(&mut self, on: &str) -> Result<(), String> {
        let party = self.party(on)?;
        party.ping().await?;
        match party.hear().await? {
            Said::Pong => Ok(()),
            other => Err(format!("expected a pong, heard {other:?}")),
        }
    }

    async fn expect(&mut self, on: &str, wanted: &Expect) -> Result<(), String> {
        let frame = loop {
            let frame = self.party(on)?.frame().await?;
            match pattern::matches(&wanted.frame, &frame) {
                Ok(()) => break frame,
                Err(_) if wanted.skip.iter().any(|skip| pattern::matches(skip, &frame).is_ok()) => {}
                Err(why) => return Err(format!("{why}, in {frame}")),
            }
        };
        self.save(&wanted.save, &frame)
    }

    /// Keeps what the pointers point at.
    fn save(&mut self, wanted: &BTreeMap<String, String>, from: &Value) -> Result<(), String> {
        for (name, pointer) in wanted {
            let value = from.pointer(pointer).ok_or_else(|| format!("nothing at {pointer} in {from}"))?;
            self.variables.save(name, value.clone());
        }
        Ok(())
    }

    async fn expect_close(&mut self, on: &str, code: u16) -> Result<(), String> {
        let mut party = self.parties.remove(on).ok_or("there is no such connection")?;
        match party.hear().await? {
            Said::Closed(found) if found == code => Ok(()),
            other => Err(format!("expected a close with {code}, heard {other:?}")),
        }
    }

    async fn follow(&mut self, on: &str, wanted: &Follow) -> Result<(), String> {
        let mut following = Following::new(wanted)?;
        while !following.take(&self.party(on)?.frame().await?)? {}
        for (name, value) in following.saved() {
            self.variables.save(name, value);
        }
        Ok(())
    }

    /// Asks until the status is as wanted; what else is heard meanwhile is left out.
    async fn wait_for_status(&mut self, on: &str, wanted: &WaitForStatus) -> Result<(), String> {
        let since = Instant::now();
        loop {
            let id = Uuid::new_v4().to_string();
            let payload = json!({ "request_id": wanted.request_id });
            let party = self.party(on)?;
            party.send(json!({ "id": id, "action": "status", "payload": payload }).to_string()).await?;
            let answer = loop {
                let frame = party.frame().await?;
                if frame["request_id"] == id.as_str() {
                    break frame;
                }
            };
            if answer["data"]["status"] == wanted.status.as_str() {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("it did not become {}: {answer}", wanted.status));
            }
            sleep(ASK_EVERY).await;
        }
    }

    async fn http(&mut self, wanted: &Http) -> Result<(), String> {
        let base = self.place.http_url().ok_or("the place speaks no HTTP")?;
        // A result may name its file by a whole address.
        let path = wanted.path.strip_prefix(base.trim_end_matches('/')).unwrap_or(&wanted.path);
        let token = self.token(wanted.user.as_deref(), wanted.tenant.as_deref(), (&[], &[]), wanted.token)?;
        let call =
            http::Call { method: &wanted.method, path, headers: &wanted.headers, send: wanted.send.as_ref() };
        let answer = http::call(&base, token.as_deref(), call).await?;
        answered(wanted.status, wanted.body.as_ref(), answer.status, &answer.body)?;
        if wanted.save.is_empty() {
            return Ok(());
        }
        let body = serde_json::from_slice(&answer.body).map_err(|e| format!("the body is not JSON: {e}"))?;
        self.save(&wanted.save, &body)
    }
}

impl Party {
    /// The next frame; pongs are left out, and a close is a failure.
    async fn frame(&mut self) -> Result<Value, String> {
        loop {
            match self.hear().await? {
                Said::Frame(frame) => return Ok(frame),
                Said::Pong => {}
                Said::Closed(code) => return Err(format!("the connection was closed with {code}")),
            }
        }
    }
}

/// Whether an HTTP answer is as expected.
fn answered(expected: u16, pattern: Option<&Value>, status: u16, body: &[u8]) -> Result<(), String> {
    if status != expected {
        return Err(format!("expected {expected}, found {status}"));
    }
    let Some(pattern) = pattern else { return Ok(()) };
    let body = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
    pattern::matches(pattern, &body).map_err(|why| format!("{why}, in {body}"))
}

//! What runs a request.

use std::{cell::Cell, future::Future, marker::PhantomData, time::Duration};

use async_trait::async_trait;
use serde::{
    Deserializer, Serialize,
    de::{DeserializeOwned, Visitor},
};
use streamer_protocol::Json;

use crate::{Context, Failure};

/// Runs the requests of one action, short ones and long ones. Most handlers are plain async functions
/// `(Context, Payload) -> Result<Answer, Failure>`; see [`IntoHandler`].
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Looks at the payload before the request is accepted: what is rejected here is never stored. Runs where the
    /// connection is read: it must not block.
    fn validate(&self, _payload: &Json) -> Result<(), Failure> {
        Ok(())
    }

    /// How long this payload will take, if the handler can tell; otherwise the action's own estimate holds.
    fn estimated_duration(&self, _payload: &Json) -> Option<Duration> {
        None
    }

    /// Does the work. It may be dropped at any `await` once it was asked to stop and did not. It may run more
    /// than once: what it does outside must bear that, or the action must say that it is not repeatable.
    ///
    /// One that blocks keeps a thread of the handlers' from the others: block in `tokio::task::spawn_blocking`.
    async fn process(&self, cx: Context, payload: Json) -> Result<Json, Failure>;
}

/// What can be routed to: a [`Handler`], or an async function of a [`Context`] and a payload that
/// deserializes. A payload that does not is rejected by the path of its wrong field.
pub trait IntoHandler<Shape> {
    /// The handler.
    type Handler: Handler;

    /// As a handler.
    fn into_handler(self) -> Self::Handler;
}

impl<H: Handler> IntoHandler<()> for H {
    type Handler = H;

    fn into_handler(self) -> H {
        self
    }
}

/// An async function as a handler.
#[derive(Debug)]
pub struct Function<F, P> {
    function: F,
    payload: PhantomData<fn() -> P>,
}

impl<F, P, R, Running> IntoHandler<(P, R, Running)> for F
where
    F: Fn(Context, P) -> Running + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    Running: Future<Output = Result<R, Failure>> + Send + 'static,
{
    type Handler = Function<F, P>;

    fn into_handler(self) -> Function<F, P> {
        Function { function: self, payload: PhantomData }
    }
}

#[async_trait]
impl<F, P, R, Running> Handler for Function<F, P>
where
    F: Fn(Context, P) -> Running + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    Running: Future<Output = Result<R, Failure>> + Send + 'static,
{
    fn validate(&self, payload: &Json) -> Result<(), Failure> {
        read::<P>(payload).map(drop)
    }

    async fn process(&self, cx: Context, payload: Json) -> Result<Json, Failure> {
        let answer = (self.function)(cx, read(&payload)?).await?;
        Json::of(&answer).map_err(Failure::retry)
    }
}

/// Reads a payload, or names the field that is wrong.
pub(crate) fn read<P: DeserializeOwned>(payload: &Json) -> Result<P, Failure> {
    if payload.as_str().starts_with('[') && takes_fields::<P>() {
        // serde would take its items for the fields, in their order.
        let wrong = "an object is expected, not an array";
        return Err(Failure::reject("the payload is not what the action takes").also_at("", wrong));
    }
    let mut json = serde_json::Deserializer::from_str(payload.as_str());
    serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        Failure::reject("the payload is not what the action takes").also_at(&path, placeless(e.inner()))
    })
}

/// Whether `P` is a struct with named fields: whether that is what it asks a deserializer for.
fn takes_fields<P: DeserializeOwned>() -> bool {
    struct Asked<'a>(&'a Cell<bool>);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            _fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.set(true);
            self.deserialize_any(visitor)
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("only asked"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let fields = Cell::new(false);
    // It always fails: nothing was there to read.
    let _ = P::deserialize(Asked(&fields));
    fields.get()
}

/// A complaint of more characters is cut off.
const COMPLAINT_CHARS_MAX: usize = 256;

/// A name of more characters is cut off.
const NAME_CHARS_MAX: usize = 64;

/// What is wrong, without its place in the text: that would only mislead, where the text is a part of a message. And
/// without the value that is wrong: whoever sent it has it, and nobody else is to read it in an error.
pub(crate) fn placeless(e: &serde_json::Error) -> String {
    let text = e.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let text = &valueless(text);
    // Nor the names that the program has for its types.
    match text.split_once("expected struct ") {
        Some((before, name)) => {
            let after = name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            format!("{before}expected an object{after}")
        }
        None => text.to_owned(),
    }
}

/// Serde's complaints name the value, which stands before what was expected.
fn valueless(text: &str) -> String {
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            text.strip_prefix(kind).and_then(|rest| rest.rsplit_once(", expected "))
        {
            let found = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            return cut(&format!("{kind}{found}, expected {expected}"), COMPLAINT_CHARS_MAX);
        }
    }
    let of_name = |kind: &str| {
        let rest = text.strip_prefix(kind)?.strip_prefix(" `")?;
        ["`, expected ", "`, there are no "].into_iter().find_map(|between| {
            rest.rsplit_once(between).map(|(name, rest)| (name, format!("{}{rest}", &between[1..])))
        })
    };
    if let Some((_, rest)) = of_name("unknown variant") {
        return cut(&format!("unknown variant{rest}"), COMPLAINT_CHARS_MAX);
    }
    if let Some((name, rest)) = of_name("unknown field") {
        return cut(&format!("unknown field `{}`{rest}", cut(name, NAME_CHARS_MAX)), COMPLAINT_CHARS_MAX);
    }
    // A type's own words.
    cut(text, COMPLAINT_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Wanted {
        #[expect(dead_code, reason = "only read")]
        seconds: f64,
    }

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).expect("is JSON")
    }

    #[test]
    fn an_array_is_no_object() {
        assert!(read::<Wanted>(&json("[1]")).is_err());
        assert!(read::<Wanted>(&json(r#"{"seconds": 1}"#)).is_ok());
        let e = serde_json::from_str::<Wanted>("7").expect_err("a number");
        assert_eq!(placeless(&e), "invalid type: integer, expected an object");
    }

    #[test]
    fn a_complaint_does_not_repeat_what_was_sent() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        #[expect(dead_code, reason = "only read")]
        enum Shape {
            Plain { size: u8 },
            Other,
        }
        let told = |text: &str| placeless(&serde_json::from_str::<Shape>(text).expect_err("is wrong"));
        let hush = "hush, expected `a` or \\\"b\\\" at line 9".repeat(100);
        for (text, expected) in [
            (format!(r#""{hush}""#), "unknown variant, expected `plain` or `other`"),
            (format!(r#"{{"plain":{{"size":"{hush}"}}}}"#), "invalid type: string, expected u8"),
            (r#"{"plain":{"size":4711}}"#.to_owned(), "invalid value: integer, expected u8"),
            (r#"{"plain":{"size":1.5}}"#.to_owned(), "invalid type: floating point, expected u8"),
            (r#"{"plain":{"size":null}}"#.to_owned(), "invalid type: null, expected u8"),
            (r#"{"plain":{}}"#.to_owned(), "missing field `size`"),
            (r#"{"plain":{"sise":1}}"#.to_owned(), "unknown field `sise`, expected `size`"),
        ] {
            assert_eq!(told(&text), expected, "{text:.60}");
        }
        let long = told(&format!(r#"{{"plain":{{"{}":1}}}}"#, "x".repeat(10_000)));
        assert_eq!(long, format!("unknown field `{}…`, expected `size`", "x".repeat(NAME_CHARS_MAX)));
        let own = serde::de::Error::custom("y".repeat(10_000));
        assert_eq!(placeless(&own), format!("{}…", "y".repeat(COMPLAINT_CHARS_MAX)));
        assert_eq!(read::<Vec<u8>>(&json("[1]")).expect("an array is wanted"), [1]);
        assert_eq!(read::<(u8, u8)>(&json("[1, 2]")).expect("an array is wanted"), (1, 2));
    }
}

//! Which topic an event goes to.

use std::{fmt, str::FromStr};

use streamer_events::{Event, Rejection};
use streamer_protocol::Topic;

/// A topic's name with places for what the event is about: `{aggregate_type}.{aggregate_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    AggregateType,
    AggregateId,
    EventType,
}

const FIELDS: [(&str, Field); 3] = [
    ("aggregate_type", Field::AggregateType),
    ("aggregate_id", Field::AggregateId),
    ("event_type", Field::EventType),
];

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Something else stands in braces, or a brace stands alone.
    #[error("in braces only aggregate_type, aggregate_id and event_type may stand")]
    Field,
    /// What stands between is not fit for a topic.
    #[error(
        "between the braces only letters, digits and . _ : @ ~ - may stand, and request: not at its beginning"
    )]
    Literal,
    /// It names nothing.
    #[error("must not be empty")]
    Empty,
}

impl Default for Template {
    fn default() -> Self {
        let field = Part::Field;
        Self(vec![field(Field::AggregateType), Part::Literal(".".to_owned()), field(Field::AggregateId)])
    }
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, behind) = rest.split_at(rest.find(['{', '}']).unwrap_or(rest.len()));
            if !literal.bytes().all(Topic::allows) {
                return Err(InvalidTemplate::Literal);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            if behind.is_empty() {
                break;
            }
            let (name, behind) = behind
                .strip_prefix('{')
                .and_then(|rest| rest.split_once('}'))
                .ok_or(InvalidTemplate::Field)?;
            let field = FIELDS.iter().find(|(known, _)| *known == name).ok_or(InvalidTemplate::Field)?;
            parts.push(Part::Field(field.1));
            rest = behind;
        }
        match parts.first() {
            None => Err(InvalidTemplate::Empty),
            Some(Part::Literal(literal)) if literal.starts_with("request:") => Err(InvalidTemplate::Literal),
            Some(_) => Ok(Self(parts)),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Literal(literal) => f.write_str(literal)?,
                Part::Field(field) => {
                    let name = FIELDS.iter().find(|(_, known)| known == field).map_or("", |(name, _)| name);
                    write!(f, "{{{name}}}")?;
                }
            }
        }
        Ok(())
    }
}

impl Template {
    /// The event's topic. What does not make a name is a rejection: it never becomes another topic.
    pub fn topic(&self, event: &Event) -> Result<Topic, Rejection> {
        let mut name = String::new();
        for part in &self.0 {
            name.push_str(match part {
                Part::Literal(literal) => literal,
                Part::Field(Field::AggregateType) => &event.aggregate_type,
                Part::Field(Field::AggregateId) => &event.aggregate_id,
                Part::Field(Field::EventType) => &event.event_type,
            });
        }
        let topic = Topic::parse(&name).map_err(|e| Rejection::new(format!("names no topic: {e}")))?;
        if topic.request().is_some() {
            return Err(Rejection::new(
                "names the topic of a request, which carries its log and nothing else",
            ));
        }
        Ok(topic)
    }
}

#[cfg(test)]
mod tests {
    use streamer_events::testing::given;

    use super::*;

    #[test]
    fn the_places_are_filled() {
        let event = given::event(0, 1, "Told", "{}");
        for (template, topic) in [
            ("{aggregate_type}.{aggregate_id}", "Aggregate.a"),
            ("live:{event_type}@{aggregate_id}", "live:Told@a"),
            ("all", "all"),
        ] {
            let parsed: Template = template.parse().expect("a template");
            assert_eq!(parsed.topic(&event).expect("a topic").as_str(), topic);
            assert_eq!(parsed.to_string(), template);
        }
        assert_eq!("{aggregate_type}.{aggregate_id}".parse(), Ok(Template::default()));
    }

    #[test]
    fn what_is_no_template_says_why() {
        for (bad, why) in [
            ("", InvalidTemplate::Empty),
            ("{user}", InvalidTemplate::Field),
            ("{aggregate_id", InvalidTemplate::Field),
            ("a}", InvalidTemplate::Field),
            ("a b", InvalidTemplate::Literal),
            ("orders.*", InvalidTemplate::Literal),
            ("request:{aggregate_id}", InvalidTemplate::Literal),
        ] {
            assert_eq!(bad.parse::<Template>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_name_is_rejected() {
        let long = "x".repeat(200);
        for id in ["", "a b", "*", "../x", "é", &long] {
            let event = Event { aggregate_id: id.into(), ..given::event(0, 1, "Told", "{}") };
            let template: Template = "{aggregate_id}".parse().expect("a template");
            assert!(template.topic(&event).is_err(), "{id:?}");
        }
        let event = Event {
            aggregate_type: "request:".into(),
            aggregate_id: "r1".into(),
            ..given::event(0, 1, "Told", "{}")
        };
        let template: Template = "{aggregate_type}{aggregate_id}".parse().expect("a template");
        assert!(template.topic(&event).expect_err("a request's").to_string().contains("request"));
    }
}

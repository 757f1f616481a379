//! Payloads in their two shapes, read field by field.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::{
    event::Event,
    path::Path,
    rejection::Rejection,
    value::{Document, Value},
    write::Write,
};

/// A payload's fields, taken out one by one.
pub(super) struct Fields(Map<String, Json>);

impl Fields {
    /// The payload, which must be an object.
    pub(super) fn of(event: &Event) -> Result<Self, Rejection> {
        match event.payload()? {
            Json::Object(fields) => Ok(Self(fields)),
            _ => Err(Rejection::new("expected an object")),
        }
    }

    /// Whatever the field holds; the first of the names that is there and not null.
    pub(super) fn any(&mut self, names: &[&str]) -> Option<Json> {
        names.iter().find_map(|name| self.0.remove(*name).filter(|value| !value.is_null()))
    }

    /// Text, if it is there.
    pub(super) fn text(&mut self, names: &[&str]) -> Result<Option<String>, Rejection> {
        match self.any(names) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(expected("text", names)),
        }
    }

    /// Text, which must be there.
    pub(super) fn required(&mut self, names: &[&str]) -> Result<String, Rejection> {
        let missing = || Rejection::new("is missing").at(names.first().copied().unwrap_or_default());
        self.text(names)?.ok_or_else(missing)
    }

    /// A whole number, if it is there.
    pub(super) fn int(&mut self, names: &[&str]) -> Result<Option<i64>, Rejection> {
        match self.any(names) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| expected("a whole number", names)),
        }
    }

    /// An object, if it is there.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, Rejection> {
        match self.any(&[name]) {
            None => Ok(None),
            Some(Json::Object(fields)) => Ok(Some(Self(fields))),
            Some(_) => Err(expected("an object", &[name])),
        }
    }

    /// A list, if it is there.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Json>>, Rejection> {
        match self.any(&[name]) {
            None => Ok(None),
            Some(Json::Array(items)) => Ok(Some(items)),
            Some(_) => Err(expected("a list", &[name])),
        }
    }

    /// A document of the nested object's fields, or else of the flat ones: (its own name, the flat names).
    pub(super) fn document(
        &mut self,
        name: &str,
        flat: &[(&str, &[&str])],
    ) -> Result<Option<Document>, Rejection> {
        if let Some(nested) = self.object(name)? {
            return Ok(Some(nested.0.into()));
        }
        let flat = flat.iter().filter_map(|(name, from)| Some(((*name).to_owned(), self.any(from)?.into())));
        let document: Document = flat.collect();
        Ok((!document.is_empty()).then_some(document))
    }

    /// Who may see it: those of the payload, or else `owner` alone.
    pub(super) fn allowed_users(&mut self, owner: Option<&str>) -> Result<Value, Rejection> {
        Ok(match self.list("allowed_users")? {
            Some(users) => Json::Array(users).into(),
            None => Value::List(owner.map(Value::from).into_iter().collect()),
        })
    }
}

/// What an update changes: the paths of `updates`, or else the flat names, each with where it goes.
pub(super) fn update(
    event: &Event,
    write: Write,
    flat: &[(&str, &'static str)],
    fixed: &[&str],
) -> Result<Write, Rejection> {
    let mut fields = Fields::of(event)?;
    let changes: Vec<(Path, Json)> = match fields.object("updates")? {
        Some(updates) => updates
            .0
            .into_iter()
            .map(|(name, value)| {
                let place = format!("updates.{name}");
                let path: Path = name.parse().map_err(|_| Rejection::new("is no path").at(&place))?;
                // The flat names stand for their paths here too.
                let known = flat.iter().find(|(from, _)| *from == path.as_str());
                let path = known.map_or(path, |(_, to)| Path::from(*to));
                match fixed.contains(&path.root()) {
                    true => Err(Rejection::new("does not change").at(place)),
                    false => Ok((path, value)),
                }
            })
            .collect::<Result<_, _>>()?,
        None => {
            flat.iter().filter_map(|(from, to)| Some((Path::from(*to), fields.0.remove(*from)?))).collect()
        }
    };
    if changes.is_empty() {
        return Err(Rejection::new("holds no field that changes anything"));
    }
    let write = changes.into_iter().fold(write, |write, (path, value)| write.set(path, value));
    Ok(write.set("metadata.updated_at", event.created_at))
}

/// What every document says of where it comes from.
pub(super) fn metadata(event: &Event) -> Document {
    Document::new()
        .with("created_at", event.created_at)
        .with("updated_at", event.created_at)
        .with("source_event_id", event.id.as_str())
}

/// The aggregate that the event is about.
pub(super) fn aggregate(event: &Event) -> Arc<str> {
    Arc::clone(&event.aggregate_id)
}

fn expected(what: &str, names: &[&str]) -> Rejection {
    Rejection::new(format!("expected {what}")).at(names.first().copied().unwrap_or_default())
}

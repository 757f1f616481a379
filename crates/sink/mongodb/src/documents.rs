//! Documents of the core as documents of MongoDB, and back.

use mongodb::bson::{self, Bson};
use streamer_events::{Document, Moment, Value};

/// The values of a document that the core has no kind for, by their places.
pub type Opaque = Vec<Bson>;

/// A stored document as the core sees it. What it has no kind for (object ids, decimals, binary…) goes to `opaque`.
pub fn from_bson(document: bson::Document, opaque: &mut Opaque) -> Document {
    document.into_iter().map(|(name, value)| (name, value_from(value, opaque))).collect()
}

fn value_from(value: Bson, opaque: &mut Opaque) -> Value {
    match value {
        Bson::Null => Value::Null,
        Bson::Boolean(truth) => Value::Bool(truth),
        Bson::Int32(number) => Value::Int(number.into()),
        Bson::Int64(number) => Value::Int(number),
        Bson::Double(number) => Value::Float(number),
        Bson::String(text) => Value::Text(text),
        // MongoDB's dates have milliseconds.
        Bson::DateTime(moment) => Value::Date(Moment::from_millis(moment.timestamp_millis())),
        Bson::Array(items) => Value::List(items.into_iter().map(|item| value_from(item, opaque)).collect()),
        Bson::Document(document) => Value::Document(from_bson(document, opaque)),
        other => {
            opaque.push(other);
            Value::Opaque(opaque.len() - 1)
        }
    }
}

/// A document of the core as it is stored.
#[must_use]
pub fn to_bson(document: Document, opaque: &[Bson]) -> bson::Document {
    document.into_iter().map(|(name, value)| (name, bson_of(value, opaque))).collect()
}

fn bson_of(value: Value, opaque: &[Bson]) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(truth) => Bson::Boolean(truth),
        // As drivers of languages with one kind of whole numbers do it.
        Value::Int(number) => i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32),
        Value::Float(number) => Bson::Double(number),
        Value::Text(text) => Bson::String(text),
        Value::Date(moment) => Bson::DateTime(bson::DateTime::from_millis(moment.as_millis())),
        Value::List(items) => Bson::Array(items.into_iter().map(|item| bson_of(item, opaque)).collect()),
        Value::Document(document) => Bson::Document(to_bson(document, opaque)),
        Value::Opaque(at) => opaque.get(at).cloned().unwrap_or(Bson::Null),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{doc, oid::ObjectId};

    use super::*;

    #[test]
    fn what_others_wrote_comes_back_as_it_was() {
        let document = doc! {
            "_id": "a",
            "oid": ObjectId::new(),
            "binary": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1, 2] },
            "inside": [{ "regex": bson::Regex { pattern: "x".try_into().expect("fits"), options: "i".try_into().expect("fits") } }],
            "date": bson::DateTime::from_millis(1_795_254_103_007),
            "number": 7,
            "large": i64::MAX,
            "float": 2.0,
        };
        let mut opaque = Opaque::new();
        let of_core = from_bson(document.clone(), &mut opaque);
        assert_eq!(opaque.len(), 3);
        assert_eq!(to_bson(of_core, &opaque), document);
    }
}

//! Documents of the core as documents of MongoDB, and back: to and from bytes, with nothing in between.

use mongodb::bson::{
    DateTime, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf, error::Result, raw::CStr,
};
use streamer_events::{Document, Moment, Value};

/// The values of a document that the core has no kind for, by their places.
pub type Opaque = Vec<RawBson>;

/// A stored document as the core sees it. What it has no kind for (object ids, decimals, binary…) goes to `opaque`.
///
/// # Errors
/// Bytes that are no document.
pub fn from_bson(document: &RawDocument, opaque: &mut Opaque) -> Result<Document> {
    let field = |field: Result<(&CStr, RawBsonRef<'_>)>| {
        let (name, value) = field?;
        Ok((name.as_str().to_owned(), value_from(value, opaque)?))
    };
    document.iter().map(field).collect()
}

fn value_from(value: RawBsonRef<'_>, opaque: &mut Opaque) -> Result<Value> {
    Ok(match value {
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Boolean(truth) => Value::Bool(truth),
        RawBsonRef::Int32(number) => Value::Int(number.into()),
        RawBsonRef::Int64(number) => Value::Int(number),
        RawBsonRef::Double(number) => Value::Float(number),
        RawBsonRef::String(text) => Value::Text(text.to_owned()),
        // MongoDB's dates have milliseconds.
        RawBsonRef::DateTime(moment) => Value::Date(Moment::from_millis(moment.timestamp_millis())),
        RawBsonRef::Array(items) => {
            Value::List(items.into_iter().map(|item| value_from(item?, opaque)).collect::<Result<_>>()?)
        }
        RawBsonRef::Document(document) => Value::Document(from_bson(document, opaque)?),
        other => {
            opaque.push(other.into());
            Value::Opaque(opaque.len() - 1)
        }
    })
}

/// A document of the core as it is stored.
///
/// # Errors
/// A name with a NUL, which MongoDB's format has no way to write.
pub fn to_bson(document: &Document, opaque: &[RawBson]) -> Result<RawDocumentBuf> {
    let mut raw = RawDocumentBuf::new();
    for (name, value) in document.iter() {
        let name: &CStr = name.try_into()?;
        match value {
            Value::Null => raw.append(name, RawBsonRef::Null),
            Value::Bool(truth) => raw.append(name, *truth),
            Value::Int(number) => raw.append(name, whole(*number)),
            Value::Float(number) => raw.append(name, *number),
            Value::Text(text) => raw.append(name, text.as_str()),
            Value::Date(moment) => raw.append(name, date(*moment)),
            Value::List(items) => raw.append(name, list(items, opaque)?),
            Value::Document(document) => raw.append(name, to_bson(document, opaque)?),
            Value::Opaque(at) => raw.append(name, known(*at, opaque)),
        }
    }
    Ok(raw)
}

fn list(items: &[Value], opaque: &[RawBson]) -> Result<RawArrayBuf> {
    let mut raw = RawArrayBuf::new();
    for item in items {
        match item {
            Value::Null => raw.push(RawBsonRef::Null),
            Value::Bool(truth) => raw.push(*truth),
            Value::Int(number) => raw.push(whole(*number)),
            Value::Float(number) => raw.push(*number),
            Value::Text(text) => raw.push(text.as_str()),
            Value::Date(moment) => raw.push(date(*moment)),
            Value::List(items) => raw.push(list(items, opaque)?),
            Value::Document(document) => raw.push(to_bson(document, opaque)?),
            Value::Opaque(at) => raw.push(known(*at, opaque)),
        }
    }
    Ok(raw)
}

/// As drivers of languages with one kind of whole numbers do it.
fn whole(number: i64) -> RawBsonRef<'static> {
    i32::try_from(number).map_or(RawBsonRef::Int64(number), RawBsonRef::Int32)
}

fn date(moment: Moment) -> DateTime {
    DateTime::from_millis(moment.as_millis())
}

fn known(at: usize, opaque: &[RawBson]) -> RawBsonRef<'_> {
    opaque.get(at).map_or(RawBsonRef::Null, RawBson::as_raw_bson_ref)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Binary, Regex, doc, oid::ObjectId, spec::BinarySubtype};

    use super::*;

    #[test]
    fn what_others_wrote_comes_back_as_it_was() {
        let regex = Regex { pattern: "x".try_into().expect("fits"), options: "i".try_into().expect("fits") };
        let document = doc! {
            "_id": "a",
            "oid": ObjectId::new(),
            "binary": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2] },
            "inside": [{ "regex": regex }, [1, "two", 3.0, true, null], DateTime::from_millis(-1)],
            "date": DateTime::from_millis(1_795_254_103_007),
            "number": 7,
            "large": i64::MAX,
            "float": 2.0,
            "nothing": null,
        };
        let document = RawDocumentBuf::try_from(&document).expect("is written");
        let mut opaque = Opaque::new();
        let of_core = from_bson(&document, &mut opaque).expect("is read");
        assert_eq!(opaque.len(), 3);
        assert_eq!(to_bson(&of_core, &opaque).expect("is written"), document);
    }

    #[test]
    fn a_name_with_a_nul_is_refused() {
        let document = Document::new().with("a", Document::new().with("b\0c", 1));
        to_bson(&document, &[]).expect_err("cannot be written");
    }
}

//! Values as JSON, as Debezium gives them.
//!
//! Source: Debezium's documentation of its PostgreSQL connector, "Data types", with `time.precision.mode` =
//! `adaptive_time_microseconds`. Two things differ, where its defaults are of little use in JSON: a `numeric` is its
//! exact text (`decimal.handling.mode=string`), and bits are text but for `bit(1)`. The text that is read here is
//! PostgreSQL's with `DateStyle` ISO, `IntervalStyle` postgres, `TimeZone` UTC and `bytea_output` hex.

mod array;
mod time;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Number, Value};

/// The numbers of built-in types, from PostgreSQL's `pg_type.dat`.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const TIMETZ: u32 = 1266;
    pub(crate) const BIT: u32 = 1560;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;
}

/// The arrays of built-in types and what they hold.
const ARRAYS: &[(u32, u32)] = &[
    (1000, oid::BOOL),
    (1001, oid::BYTEA),
    (1005, oid::INT2),
    (1007, oid::INT4),
    (1016, oid::INT8),
    (1009, oid::TEXT),
    (1015, oid::VARCHAR),
    (1014, oid::BPCHAR),
    (1028, oid::OID),
    (1021, oid::FLOAT4),
    (1022, oid::FLOAT8),
    (1182, oid::DATE),
    (1183, oid::TIME),
    (1270, oid::TIMETZ),
    (1115, oid::TIMESTAMP),
    (1185, oid::TIMESTAMPTZ),
    (1187, oid::INTERVAL),
    (1231, oid::NUMERIC),
    (2951, oid::UUID),
    (199, oid::JSON),
    (3807, oid::JSONB),
];

/// How a column's text is read. Found once for a column, not for each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Bool,
    Integer,
    Float,
    Bytes,
    Date,
    Time,
    /// With how many digits of a second.
    Timestamp(u8),
    TimestampTz,
    TimeTz,
    Interval,
    /// One bit, which is a truth.
    Bit,
    /// Whatever has no other form: it stays what PostgreSQL prints.
    Text,
    /// An array of what has this shape.
    Array(Element),
}

/// The shape of an array's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    oid: u32,
    modifier: i32,
}

impl Shape {
    /// The shape of a column's type. `modifier` is what is said beside it, -1 for nothing.
    pub(crate) fn of(type_oid: u32, modifier: i32) -> Self {
        match type_oid {
            oid::BOOL => Self::Bool,
            oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => Self::Integer,
            oid::FLOAT4 | oid::FLOAT8 => Self::Float,
            oid::BYTEA => Self::Bytes,
            oid::DATE => Self::Date,
            oid::TIME => Self::Time,
            oid::TIMESTAMP => Self::Timestamp(u8::try_from(modifier).unwrap_or(6)),
            oid::TIMESTAMPTZ => Self::TimestampTz,
            oid::TIMETZ => Self::TimeTz,
            oid::INTERVAL => Self::Interval,
            oid::BIT if modifier == 1 => Self::Bit,
            array => match ARRAYS.iter().find(|(known, _)| *known == array) {
                Some((_, element)) => Self::array_of(*element, modifier),
                None => Self::Text,
            },
        }
    }

    /// The shape of an array of a type.
    pub(crate) fn array_of(element: u32, modifier: i32) -> Self {
        Self::Array(Element { oid: element, modifier })
    }

    /// The value. What cannot be read as what it should be stays text: nothing is lost.
    pub(crate) fn read(self, text: &str) -> Value {
        self.try_read(text).unwrap_or_else(|| Value::from(text))
    }

    fn try_read(self, text: &str) -> Option<Value> {
        Some(match self {
            Self::Text => Value::from(text),
            Self::Bool => Value::Bool(match text {
                "t" => true,
                "f" => false,
                _ => return None,
            }),
            Self::Integer => Value::Number(text.parse::<i64>().ok()?.into()),
            // `NaN` and the infinities have no number in JSON, and stay text.
            Self::Float => Value::Number(Number::from_f64(text.parse().ok()?)?),
            Self::Bytes => Value::from(BASE64.encode(unhex(text.strip_prefix("\\x")?)?)),
            Self::Date => Value::from(time::days(text)?),
            Self::Time => Value::from(time::micros_of_day(text)?),
            Self::Timestamp(digits) => {
                let micros = time::micros(text)?;
                Value::from(if digits <= 3 { micros.div_euclid(1000) } else { micros })
            }
            Self::TimestampTz => Value::from(time::iso_utc(text)?),
            Self::TimeTz => Value::from(time::iso_time_utc(text)?),
            Self::Interval => Value::from(time::interval_micros(text)?),
            Self::Bit => Value::Bool(text == "1"),
            Self::Array(element) => array::read(text, Self::of(element.oid, element.modifier))?,
        })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(type_oid: u32, text: &str) -> Value {
        Shape::of(type_oid, -1).read(text)
    }

    #[test]
    fn each_type_has_its_form() {
        for (type_oid, text, expected) in [
            (oid::BOOL, "t", json!(true)),
            (oid::BOOL, "f", json!(false)),
            (oid::INT2, "-32768", json!(-32768)),
            (oid::INT8, "9223372036854775807", json!(i64::MAX)),
            (oid::OID, "4294967295", json!(4_294_967_295_u32)),
            (oid::FLOAT8, "0.1", json!(0.1)),
            (oid::FLOAT8, "1e-300", json!(1e-300)),
            (oid::FLOAT4, "NaN", json!("NaN")),
            (oid::FLOAT8, "-Infinity", json!("-Infinity")),
            (oid::NUMERIC, "12345678901234567890.123456789", json!("12345678901234567890.123456789")),
            (oid::TEXT, "\\x not bytes", json!("\\x not bytes")),
            (
                oid::UUID,
                "0d6d8c1e-0000-4000-8000-000000000001",
                json!("0d6d8c1e-0000-4000-8000-000000000001"),
            ),
            (oid::JSONB, r#"{"a": 1}"#, json!(r#"{"a": 1}"#)),
            (oid::BYTEA, "\\x00ff10", json!("AP8Q")),
            (oid::BYTEA, "\\x", json!("")),
            (oid::DATE, "1970-01-02", json!(1)),
            (oid::DATE, "1969-12-31", json!(-1)),
            (oid::DATE, "2026-11-21", json!(20_778)),
            (oid::DATE, "infinity", json!("infinity")),
            (oid::TIME, "01:02:03.5", json!(3_723_500_000_i64)),
            (oid::TIMESTAMP, "2026-11-21 09:41:43.007042", json!(1_795_254_103_007_042_i64)),
            (oid::TIMESTAMP, "0044-03-15 12:00:00 BC", json!(-63_517_780_800_000_000_i64)),
            (oid::TIMESTAMPTZ, "2026-11-21 09:41:43.007042+00", json!("2026-11-21T09:41:43.007042Z")),
            (oid::TIMESTAMPTZ, "infinity", json!("infinity")),
            (oid::TIMETZ, "10:00:00.25+02", json!("08:00:00.25Z")),
            (oid::TIMETZ, "00:30:00+02:30", json!("22:00:00Z")),
            (oid::INTERVAL, "1 day 02:00:00.5", json!(93_600_500_000_i64)),
            (oid::INTERVAL, "-00:00:01", json!(-1_000_000)),
            (oid::INTERVAL, "1 year 2 mons -3 days", json!(36_558_000_000_000_i64)),
            // An enum, a range, a composite: what PostgreSQL prints.
            (16_400, "pending", json!("pending")),
        ] {
            assert_eq!(read(type_oid, text), expected, "{type_oid} {text}");
        }
        assert_eq!(Shape::of(oid::TIMESTAMP, 3).read("1970-01-01 00:00:01.5"), json!(1500));
        assert_eq!(Shape::of(oid::BIT, 1).read("1"), json!(true));
        assert_eq!(Shape::of(oid::BIT, 4).read("1010"), json!("1010"));
    }

    #[test]
    fn arrays_are_lists_of_their_items() {
        for (type_oid, text, expected) in [
            (1007, "{}", json!([])),
            (1007, "{1,NULL,-3}", json!([1, null, -3])),
            (
                1009,
                r#"{a,"b c","NULL",NULL,"q\"\\","",ü}"#,
                json!(["a", "b c", "NULL", null, "q\"\\", "", "ü"]),
            ),
            (1007, "{{1,2},{3,4}}", json!([[1, 2], [3, 4]])),
            (1007, "[2:3]={5,6}", json!([5, 6])),
            (1185, r#"{"2026-11-21 09:41:43+00"}"#, json!(["2026-11-21T09:41:43Z"])),
            // Damaged: it stays text.
            (1007, "{1,2", json!("{1,2")),
            (1007, "{1}x", json!("{1}x")),
            (1007, "", json!("")),
        ] {
            assert_eq!(read(type_oid, text), expected, "{type_oid} {text}");
        }
        assert_eq!(Shape::array_of(16_400, -1).read("{pending,failed}"), json!(["pending", "failed"]));
    }

    proptest::proptest! {
        #[test]
        fn any_text_of_any_type_ends_without_a_panic(type_oid in 0_u32..4000, text in ".{0,40}") {
            drop(read(type_oid, &text));
        }

        #[test]
        fn any_array_ends_without_a_panic(text in "[{},\"\\\\a1\\[\\]:=]{0,30}") {
            drop(read(1009, &text));
        }

        #[test]
        fn any_time_ends_without_a_panic(text in "[-+0-9: .dayBCmons]{0,30}") {
            for type_oid in [oid::DATE, oid::TIME, oid::TIMESTAMP, oid::TIMESTAMPTZ, oid::TIMETZ, oid::INTERVAL] {
                drop(read(type_oid, &text));
            }
        }
    }
}

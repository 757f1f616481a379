//! Whether a value is as expected.

use regex::Regex;
use serde_json::{Map, Value};

/// Says what is wrong, and where, if `value` does not match `pattern`.
pub(crate) fn matches(pattern: &Value, value: &Value) -> Result<(), String> {
    check(pattern, Some(value), "")
}

fn check(pattern: &Value, value: Option<&Value>, at: &str) -> Result<(), String> {
    if let Value::Object(fields) = pattern
        && let Some((matcher, argument)) = matcher(fields)
    {
        return apply(matcher, argument, value, at);
    }
    let Some(value) = value else { return Err(format!("{}: missing", place(at))) };
    match (pattern, value) {
        (Value::Object(fields), Value::Object(found)) => fields
            .iter()
            .try_for_each(|(key, pattern)| check(pattern, found.get(key), &format!("{at}/{key}"))),
        (Value::Array(items), Value::Array(found)) if items.len() == found.len() => items
            .iter()
            .zip(found)
            .enumerate()
            .try_for_each(|(n, (pattern, value))| check(pattern, Some(value), &format!("{at}/{n}"))),
        (Value::Number(expected), Value::Number(found)) if expected.as_f64() == found.as_f64() => Ok(()),
        (expected, found) if expected == found => Ok(()),
        (expected, found) => Err(format!("{}: expected {expected}, found {found}", place(at))),
    }
}

/// An object whose only key begins with `$`.
fn matcher(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut all = fields.iter();
    match (all.next(), all.next()) {
        (Some((key, argument)), None) if key.starts_with('$') => Some((key, argument)),
        _ => None,
    }
}

fn apply(matcher: &str, argument: &Value, value: Option<&Value>, at: &str) -> Result<(), String> {
    let holds = match (matcher, value) {
        ("$absent", value) => value.is_none(),
        (_, None) => return Err(format!("{}: missing", place(at))),
        ("$any", Some(_)) => true,
        ("$string", Some(value)) => value.is_string(),
        ("$number", Some(value)) => value.is_number(),
        ("$gte", Some(value)) => compare(value, argument).is_some_and(|(found, bound)| found >= bound),
        ("$lte", Some(value)) => compare(value, argument).is_some_and(|(found, bound)| found <= bound),
        ("$regex", Some(value)) => {
            let pattern = argument.as_str().ok_or("$regex takes a text")?;
            let regex = Regex::new(pattern).map_err(|e| e.to_string())?;
            value.as_str().is_some_and(|text| regex.is_match(text))
        }
        ("$length", Some(value)) => {
            let length =
                value.as_array().map(Vec::len).or_else(|| value.as_str().map(|text| text.chars().count()));
            let Some(length) = length else { return Err(format!("{}: {value} has no length", place(at))) };
            return check(argument, Some(&Value::from(length)), &format!("{at}/$length"));
        }
        ("$contains", Some(value)) => items(value).any(|item| check(argument, Some(item), at).is_ok()),
        ("$lacks", Some(value)) => {
            value.is_array() && items(value).all(|item| check(argument, Some(item), at).is_err())
        }
        _ => return Err(format!("{}: there is no matcher {matcher}", place(at))),
    };
    match (holds, value) {
        (true, _) => Ok(()),
        (false, None) => Err(format!("{}: missing", place(at))),
        (false, Some(value)) => Err(format!("{}: expected {matcher} {argument}, found {value}", place(at))),
    }
}

fn compare(value: &Value, bound: &Value) -> Option<(f64, f64)> {
    Some((value.as_f64()?, bound.as_f64()?))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn place(at: &str) -> &str {
    if at.is_empty() { "the whole" } else { at }
}

/// Says what is wrong if a matcher in `pattern` does not exist.
pub(crate) fn check_vocabulary(pattern: &Value) -> Result<(), String> {
    const MATCHERS: [&str; 10] =
        ["$absent", "$any", "$string", "$number", "$gte", "$lte", "$regex", "$length", "$contains", "$lacks"];
    match pattern {
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            if key.starts_with('$') && (!MATCHERS.contains(&key.as_str()) || fields.len() > 1) {
                return Err(format!("{key} is no matcher, or does not stand alone"));
            }
            check_vocabulary(value)
        }),
        Value::Array(items) => items.iter().try_for_each(check_vocabulary),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_match_in_part_and_arrays_whole() {
        let value = json!({ "a": 1, "b": [1, { "c": "x", "d": 2 }] });
        assert_eq!(matches(&json!({ "b": [1, { "c": "x" }] }), &value), Ok(()));
        assert_eq!(matches(&json!({ "a": 1.0 }), &value), Ok(()));
        assert_eq!(
            matches(&json!({ "b": [1] }), &value).map_err(|e| e.starts_with("/b: expected")),
            Err(true)
        );
        assert_eq!(matches(&json!({ "z": 1 }), &value), Err("/z: missing".into()));
        assert_eq!(matches(&json!({ "a": null }), &value), Err("/a: expected null, found 1".into()));
    }

    #[test]
    fn every_matcher_holds_and_fails() {
        let holding = json!({
            "any": null, "string": "x", "number": 1.5, "gte": 5, "lte": 5, "regex": "abc-1",
            "length": [1, 2], "contains": [{ "id": 1 }, { "id": 2 }], "lacks": [{ "id": 1 }],
        });
        let pattern = json!({
            "absent": { "$absent": true }, "any": { "$any": true }, "string": { "$string": true },
            "number": { "$number": true }, "gte": { "$gte": 5 }, "lte": { "$lte": 5 },
            "regex": { "$regex": "^[a-c]+-\\d$" }, "length": { "$length": { "$gte": 2 } },
            "contains": { "$contains": { "id": 2 } }, "lacks": { "$lacks": { "id": 2 } },
        });
        assert_eq!(matches(&pattern, &holding), Ok(()));
        assert_eq!(check_vocabulary(&pattern), Ok(()));
        let failing = json!({
            "absent": 1, "string": 1, "number": "x", "gte": 4.9, "lte": 6, "regex": "abc-",
            "length": [1], "contains": [{ "id": 1 }], "lacks": [{ "id": 2 }],
        });
        for (key, pattern) in pattern.as_object().expect("an object") {
            let only = json!({ key.clone(): pattern });
            assert!(matches(&only, &failing).is_err(), "{key}");
        }
        assert!(matches(&json!({ "$like": 1 }), &json!(1)).is_err());
        assert!(check_vocabulary(&json!([{ "$like": 1 }])).is_err());
        assert!(check_vocabulary(&json!({ "$gte": 1, "$lte": 2 })).is_err());
    }
}

//! A TOML file with every setting, its documentation and its default, made from the settings struct itself.

use std::fmt::Write as _;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{path::Path, toml_text};

/// Prints every setting of `T` with its documentation (the doc comments), its unit (from its name) and its
/// default (commented out). Whoever removes each `#` that no space follows has a file of all defaults.
/// `prefix` is that of the environment variables.
#[must_use]
pub fn example<T: JsonSchema + Serialize + Default>(prefix: &str) -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|s| s.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();

    let mut page = Page::default();
    page.text("Every setting with its default: remove the # before a setting to change it.");
    page.text(&format!(
        "Each can also be given as an environment variable: {prefix}, then its sections and its name in\n\
         capitals, joined by two underscores."
    ));
    page.section(&Path::default(), &schema, &defaults);
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
    /// Inside something that is not set by default: all of it is comment.
    sample: bool,
}

impl Page {
    /// A line of prose.
    fn text(&mut self, text: &str) {
        for line in text.lines() {
            let line = format!("# {line}");
            writeln!(self.out, "{}", line.trim_end()).expect("a String takes all");
        }
    }

    /// A line of TOML that is not in force.
    fn code(&mut self, code: &str) {
        let mark = if self.sample { "#   " } else { "#" };
        writeln!(self.out, "{mark}{code}").expect("a String takes all");
    }

    fn header(&mut self, path: &Path, list: bool) {
        let header = if list { format!("[[{path}]]") } else { format!("[{path}]") };
        if self.sample {
            self.code(&header);
        } else {
            writeln!(self.out, "{header}").expect("a String takes all");
        }
    }

    /// The settings of a section, then the sections in it, as TOML wants them.
    fn section(&mut self, path: &Path, schema: &Value, defaults: &Value) {
        let fields: Vec<_> = fields(schema, defaults)
            .into_iter()
            .map(|field| Field::new(path, schema, field, defaults))
            .collect();
        for field in fields.iter().filter(|field| !field.is_section()) {
            self.value(field);
        }
        for field in fields.iter().filter(|field| field.is_section()) {
            self.out.push('\n');
            self.describe(field.schema);
            match &field.kind {
                Kind::Section if field.default.is_object() || self.sample => {
                    self.header(&field.path, false);
                    self.section(&field.path, field.schema, &field.default);
                }
                Kind::Section => self.sampled(&field.path, field.schema, false),
                Kind::ListOf(element) => self.sampled(&field.path, element, true),
                Kind::MapOf(entry) => self.sampled(&field.path.key("NAME"), entry, false),
                Kind::Value => {}
            }
        }
    }

    fn value(&mut self, field: &Field<'_>) {
        self.out.push('\n');
        self.describe(field.schema);
        if let Some(unit) = unit(field.name) {
            self.text(&format!("Unit: {unit}."));
        }
        self.choices(&field.words);
        let line = |value: &Value| format!("{} = {}", super::path::Key(field.name), toml_text::inline(value));
        match &field.default {
            Value::Null if self.sample => self.code(&line(&sample(field.schema))),
            Value::Null => {
                self.text(&format!("Not set by default; for example: {}", line(&sample(field.schema))))
            }
            default => self.code(&line(default)),
        }
    }

    /// A section that is not there by default.
    fn sampled(&mut self, path: &Path, schema: &Value, list: bool) {
        let within = std::mem::replace(&mut self.sample, true);
        self.text("None by default; for example:");
        self.header(path, list);
        self.section(path, schema, &Value::Null);
        self.sample = within;
    }

    fn describe(&mut self, schema: &Value) {
        if let Some(text) = schema.get("description").and_then(Value::as_str) {
            self.text(text);
        }
    }

    /// The words that an enum takes.
    fn choices(&mut self, words: &[(String, String)]) {
        if words.is_empty() {
            return;
        }
        let names: Vec<_> = words.iter().map(|(word, _)| word.as_str()).collect();
        self.text(&format!("One of: {}.", names.join(", ")));
        for (word, description) in words.iter().filter(|(_, description)| !description.is_empty()) {
            self.text(&format!("  {word}: {}", description.replace('\n', " ")));
        }
    }
}

/// A setting or a section.
struct Field<'a> {
    name: &'a str,
    path: Path,
    schema: &'a Value,
    default: Value,
    kind: Kind<'a>,
    /// The words that it takes, each with what it means.
    words: Vec<(String, String)>,
}

/// How a field is written.
enum Kind<'a> {
    /// On one line.
    Value,
    /// A struct: as a section.
    Section,
    /// An empty list of structs: as a section for each.
    ListOf(&'a Value),
    /// An empty map of structs: as a section for each.
    MapOf(&'a Value),
}

impl<'a> Field<'a> {
    fn new(
        section: &Path,
        parent: &'a Value,
        (name, schema): (&'a str, &'a Value),
        defaults: &Value,
    ) -> Self {
        let default = defaults.get(name).or_else(|| schema.get("default")).cloned().unwrap_or_default();
        let empty = match &default {
            Value::Array(list) => list.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            other => other.is_null(),
        };
        let content = strip_null(schema);
        let structs = |keyword: &str| content.get(keyword).filter(|inner| empty && is_struct(inner));
        let kind = match (structs("items"), structs("additionalProperties")) {
            _ if is_struct(schema) => Kind::Section,
            (Some(element), _) => Kind::ListOf(element),
            (_, Some(entry)) => Kind::MapOf(entry),
            (None, None) => Kind::Value,
        };
        let words = match schema.get("const") {
            Some(_) => tags(parent, name),
            None => words(content),
        };
        Self { name, path: section.key(name), schema, default, kind, words }
    }

    fn is_section(&self) -> bool {
        !matches!(self.kind, Kind::Value)
    }
}

fn is_struct(schema: &Value) -> bool {
    let schema = strip_null(schema);
    schema.get("properties").is_some() || tagged_variants(schema).next().is_some()
}

/// The schema of what an optional setting holds when it is set.
fn strip_null(schema: &Value) -> &Value {
    let options = schema.get("anyOf").and_then(Value::as_array);
    let is_null = |option: &Value| option.get("type").and_then(Value::as_str) == Some("null");
    options.and_then(|options| options.iter().find(|option| !is_null(option))).unwrap_or(schema)
}

/// The variants of an enum with fields.
fn tagged_variants(schema: &Value) -> impl Iterator<Item = &Value> {
    let variants = schema.get("oneOf").and_then(Value::as_array);
    variants.into_iter().flatten().filter(|variant| variant.get("properties").is_some())
}

/// The fields of a struct in the order of their declaration, or of the variant that is the default.
fn fields<'a>(schema: &'a Value, defaults: &Value) -> Vec<(&'a str, &'a Value)> {
    let schema = strip_null(schema);
    let is_default = |variant: &&Value| {
        let properties = variant.get("properties").and_then(Value::as_object);
        properties
            .into_iter()
            .flatten()
            .all(|(name, field)| field.get("const").is_none_or(|tag| defaults.get(name) == Some(tag)))
    };
    let schema = if schema.get("properties").is_some() {
        schema
    } else {
        let default = tagged_variants(schema).find(is_default);
        default.or_else(|| tagged_variants(schema).next()).unwrap_or(schema)
    };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    // Objects here are sorted by name; `required` keeps the order of the struct, and names every field that
    // is always serialized.
    let declared = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let place = |name: &str| declared.iter().position(|n| n == name).unwrap_or(usize::MAX);
    let mut fields: Vec<_> = properties.iter().map(|(name, field)| (name.as_str(), field)).collect();
    fields.sort_by_key(|(name, _)| place(name));
    fields
}

/// What the tag of an enum with fields can be, each with what the variant means.
fn tags(schema: &Value, tag: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let variant = |variant: &Value| {
        let word = variant.get("properties")?.get(tag)?.get("const").and_then(text)?;
        Some((word, variant.get("description").and_then(text).unwrap_or_default()))
    };
    tagged_variants(strip_null(schema)).filter_map(variant).collect()
}

/// The words of a unit enum, each with what it means.
fn words(schema: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let plain = |schema: &Value| -> Vec<(String, String)> {
        let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        let described = schema.get("description").and_then(text).unwrap_or_default();
        match schema.get("const").and_then(text) {
            Some(word) => vec![(word, described)],
            None => listed.filter_map(text).map(|word| (word, String::new())).collect(),
        }
    };
    match schema.get("oneOf").and_then(Value::as_array) {
        Some(variants) => variants.iter().flat_map(plain).collect(),
        None if schema.get("const").is_some() => Vec::new(),
        None => plain(schema),
    }
}

/// Something of the right kind, for a setting without a default.
fn sample(schema: &Value) -> Value {
    let schema = strip_null(schema);
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some((word, _)) = words(schema).into_iter().next() {
        return word.into();
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find_map(Value::as_str).unwrap_or_default(),
        Some(kind) => kind.as_str().unwrap_or_default(),
        None => "",
    };
    match kind {
        "integer" => 1.into(),
        "number" => 1.0.into(),
        "boolean" => true.into(),
        "array" => Value::Array(Vec::new()),
        "object" => Value::Object(Map::new()),
        _ => "...".into(),
    }
}

/// The unit that ends a setting's name.
fn unit(name: &str) -> Option<&'static str> {
    const UNITS: [(&str, &str); 14] = [
        ("_ms", "milliseconds"),
        ("_s", "seconds"),
        ("_seconds", "seconds"),
        ("_minutes", "minutes"),
        ("_hours", "hours"),
        ("_days", "days"),
        ("_bytes", "bytes"),
        ("_kib", "KiB (1024 bytes)"),
        ("_mib", "MiB (1024 KiB)"),
        ("_percent", "percent"),
        ("_per_second", "a second"),
        ("_per_minute", "a minute"),
        ("_per_hour", "an hour"),
        ("_per_day", "a day"),
    ];
    let name = name.strip_suffix("_max").or_else(|| name.strip_suffix("_min")).unwrap_or(name);
    UNITS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, unit)| *unit)
}

//! Tables as the log describes them, and rows read by that.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;
use streamer_events::change::{Columns, Field, Row};

use crate::{
    connection::AnswerColumn,
    json::Shape,
    pgoutput::{Datum, Old, Relation},
};

/// A table, with how each of its columns is read.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) schema: Arc<str>,
    pub(crate) name: Arc<str>,
    columns: Columns,
    shapes: Vec<Shape>,
    keys: Vec<bool>,
}

/// Types that are not built in and have a form of their own: what a domain is of, what an array holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Types(HashMap<u32, Kind>);

#[derive(Debug, Clone, Copy)]
enum Kind {
    DomainOf(u32, i32),
    ArrayOf(u32),
}

/// Asks for the types that [`Types`] knows, at most so many: what is beyond stays text.
pub(crate) const TYPES_QUERY: &str = "SELECT oid, typtype, typbasetype, typtypmod, typelem FROM pg_catalog.pg_type \
     WHERE oid >= 16384 AND (typtype = 'd' OR (typelem <> 0 AND typlen = -1)) ORDER BY oid LIMIT 20000";

impl Types {
    /// From the rows of [`TYPES_QUERY`].
    pub(crate) fn of(rows: Vec<Vec<Option<String>>>) -> Self {
        let read = |row: Vec<Option<String>>| {
            let mut fields = row.into_iter().flatten();
            let (oid, kind) = (fields.next()?.parse().ok()?, fields.next()?);
            let (base, modifier, element) =
                (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?);
            let kind = match kind.as_str() {
                "d" => Kind::DomainOf(base, modifier),
                _ => Kind::ArrayOf(element.parse().ok()?),
            };
            Some((oid, kind))
        };
        Self(rows.into_iter().filter_map(read).collect())
    }

    fn shape(&self, mut type_oid: u32, mut modifier: i32) -> Shape {
        // Domains may be of domains, but not without end.
        for _ in 0..16 {
            match self.0.get(&type_oid) {
                Some(Kind::DomainOf(base, of_base)) => (type_oid, modifier) = (*base, *of_base),
                Some(Kind::ArrayOf(element)) => return Shape::array_of(*element, modifier),
                None => break,
            }
        }
        Shape::of(type_oid, modifier)
    }
}

impl Table {
    /// The table that the log describes.
    pub(crate) fn of(relation: &Relation<'_>, types: &Types) -> Self {
        // An empty name stands for the catalog's own schema.
        let schema = if relation.schema.is_empty() { "pg_catalog" } else { relation.schema };
        Self {
            schema: schema.into(),
            name: relation.name.into(),
            columns: relation.columns.iter().map(|column| Arc::from(column.name)).collect(),
            shapes: relation
                .columns
                .iter()
                .map(|column| types.shape(column.type_oid, column.modifier))
                .collect(),
            keys: relation.columns.iter().map(|column| column.is_key).collect(),
        }
    }

    /// The table of an answer's rows.
    pub(crate) fn of_answer(schema: &str, name: &str, columns: &[AnswerColumn], types: &Types) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
            columns: columns.iter().map(|column| Arc::from(column.name.as_str())).collect(),
            shapes: columns.iter().map(|column| types.shape(column.type_oid, column.modifier)).collect(),
            keys: vec![false; columns.len()],
        }
    }

    /// Where a column stands.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| **column == *name)
    }

    /// A row of the log. What is unchanged is taken from the row before, where that has it.
    pub(crate) fn row(&self, tuple: &[Datum<'_>], before: Option<&Old<'_>>) -> Row {
        let whole = match before {
            Some(Old::Whole(before)) => Some(before),
            _ => None,
        };
        let fields = tuple.iter().zip(&self.shapes).enumerate().map(|(at, (datum, shape))| match datum {
            Datum::Unchanged => match whole.and_then(|before| before.get(at)) {
                None | Some(Datum::Unchanged) => Field::Unchanged,
                Some(before) => field(before, *shape),
            },
            datum => field(datum, *shape),
        });
        Row::new(Arc::clone(&self.columns), fields.collect())
    }

    /// The row before: all of it, or its key alone. What is no part of a key is left out, not null.
    pub(crate) fn row_before(&self, old: &Old<'_>) -> Row {
        match old {
            Old::Whole(tuple) => self.row(tuple, None),
            Old::Key(tuple) => {
                let fields = self.columns.iter().zip(&self.keys).zip(tuple.iter().zip(&self.shapes));
                let keys = fields.filter(|((_, is_key), _)| **is_key);
                keys.map(|((name, _), (datum, shape))| (&**name, field(datum, *shape))).collect()
            }
        }
    }

    /// A row of an answer.
    pub(crate) fn answer_row(&self, values: &[Option<&str>]) -> Row {
        let field = |(value, shape): (&Option<&str>, &Shape)| {
            Field::Value(value.map_or(Value::Null, |text| shape.read(text)))
        };
        Row::new(Arc::clone(&self.columns), values.iter().zip(&self.shapes).map(field).collect())
    }
}

fn field(datum: &Datum<'_>, shape: Shape) -> Field {
    match datum {
        Datum::Null => Field::Value(Value::Null),
        Datum::Unchanged => Field::Unchanged,
        Datum::Text(text) => Field::Value(shape.read(text)),
        // Not asked for; if it comes all the same, its bytes are told.
        Datum::Binary(bytes) => Field::Value(Value::from(format!("{} bytes in binary form", bytes.len()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pgoutput::Column;

    fn table() -> Table {
        let column = |is_key, name, type_oid| Column { is_key, name, type_oid, modifier: -1 };
        let columns = vec![column(true, "id", 23), column(false, "note", 25), column(false, "tag", 16_400)];
        Table::of(
            &Relation { id: 1, schema: "", name: "t", replica_identity: b'd', columns },
            &Types::default(),
        )
    }

    #[test]
    fn unchanged_is_kept_apart_from_null_unless_the_row_before_has_it() {
        let new = [Datum::Text("1"), Datum::Unchanged, Datum::Null];
        let row = table().row(&new, None);
        assert_eq!(row.field("id"), Some(&Field::Value(json!(1))));
        assert_eq!(row.field("note"), Some(&Field::Unchanged));
        assert_eq!(row.field("tag"), Some(&Field::Value(Value::Null)));
        let before = Old::Whole(vec![Datum::Text("1"), Datum::Text("large"), Datum::Text("x")]);
        assert_eq!(table().row(&new, Some(&before)).field("note"), Some(&Field::Value(json!("large"))));
        let key = Old::Key(vec![Datum::Text("1"), Datum::Null, Datum::Null]);
        assert_eq!(table().row(&new, Some(&key)).field("note"), Some(&Field::Unchanged));
    }

    #[test]
    fn a_key_alone_is_not_a_row_of_nulls() {
        let before = table().row_before(&Old::Key(vec![Datum::Text("1"), Datum::Null, Datum::Null]));
        assert_eq!(before.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["id"]);
        assert_eq!(&*table().schema, "pg_catalog");
    }

    #[test]
    fn domains_and_arrays_of_ones_own_are_read_by_what_they_are_of() {
        let row = |oid: &str, kind: &str, base: &str, element: &str| {
            [oid, kind, base, "-1", element].map(|text| Some(text.to_owned())).to_vec()
        };
        let types = Types::of(vec![
            row("20000", "d", "20001", "0"),
            row("20001", "d", "23", "0"),
            row("20002", "b", "0", "16400"),
        ]);
        assert_eq!(types.shape(20_000, -1).read("7"), json!(7));
        assert_eq!(types.shape(20_002, -1).read("{a,b}"), json!(["a", "b"]));
        // One that is of itself ends all the same.
        let circle = Types::of(vec![row("20000", "d", "20000", "0")]);
        assert_eq!(circle.shape(20_000, -1).read("7"), json!("7"));
    }
}

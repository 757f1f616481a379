//! Between the engine's values and SQLite's columns. SQLite's integers are signed, of 64 bits.

use std::sync::Arc;

use rusqlite::{
    Result, Row,
    types::{FromSqlError, Type},
};
use serde::{Serialize, de::DeserializeOwned};
use streamer_engine::store::Priority;
use streamer_protocol::{Json, RequestStatus, Timestamp};

/// A count or a sequence number as a column. None of them comes near 2^63.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("stored values have only text keys")
}

/// Reads columns by their place, one after the other.
pub(crate) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
}

impl<'r, 's> Columns<'r, 's> {
    pub(crate) fn of(row: &'r Row<'s>) -> Self {
        Self { row, next: 0 }
    }

    fn place(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn get<T: rusqlite::types::FromSql>(&mut self) -> Result<T> {
        let place = self.place();
        self.row.get(place)
    }

    pub(crate) fn count(&mut self) -> Result<u64> {
        let place = self.place();
        let value: i64 = self.row.get(place)?;
        u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(place, value))
    }

    pub(crate) fn priority(&mut self) -> Result<Priority> {
        let place = self.place();
        Priority::new(self.row.get(place)?).ok_or_else(|| unreadable(place))
    }

    pub(crate) fn text<T>(&mut self, name: impl FnOnce(Arc<str>) -> T) -> Result<T> {
        let place = self.place();
        Ok(name(self.row.get_ref(place)?.as_str()?.into()))
    }

    pub(crate) fn checked<T, E>(&mut self, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T> {
        let place = self.place();
        parse(self.row.get_ref(place)?.as_str()?).map_err(|_| unreadable(place))
    }

    pub(crate) fn optional_text<T>(&mut self, name: impl FnOnce(Arc<str>) -> T) -> Result<Option<T>> {
        let place = self.place();
        Ok(self.row.get_ref(place)?.as_str_or_null()?.map(|text| name(text.into())))
    }

    pub(crate) fn status(&mut self) -> Result<RequestStatus> {
        self.checked(|text| RequestStatus::parse(text).ok_or(()))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp> {
        self.get().map(Timestamp::from_millis)
    }

    pub(crate) fn optional_time(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    pub(crate) fn json(&mut self) -> Result<Json> {
        let place = self.place();
        Json::parse(self.row.get(place)?).map_err(|_| unreadable(place))
    }

    pub(crate) fn optional_json(&mut self) -> Result<Option<Json>> {
        let place = self.place();
        let text: Option<String> = self.row.get(place)?;
        text.map(Json::parse).transpose().map_err(|_| unreadable(place))
    }

    pub(crate) fn value<T: DeserializeOwned>(&mut self) -> Result<T> {
        let place = self.place();
        serde_json::from_str(self.row.get_ref(place)?.as_str()?).map_err(|_| unreadable(place))
    }

    pub(crate) fn optional_value<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let place = self.place();
        let text = self.row.get_ref(place)?.as_str_or_null()?;
        text.map(serde_json::from_str).transpose().map_err(|_| unreadable(place))
    }
}

/// The parser's own message is not kept: it may quote a payload.
fn unreadable(place: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(place, Type::Text, Box::new(FromSqlError::InvalidType))
}

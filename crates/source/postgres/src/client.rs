//! Statements beside the log: what writes rows, counts them, reads them through.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    connection::{Answer, Connection, Purpose, text_of, values_of},
    error::{Error, Result as OwnResult},
    settings::Server,
};

/// A row of an answer: each column as text, `None` where it is null.
pub type Row = Vec<Option<String>>;

/// A connection for statements, with the encryption and the login of the source's own. One statement at a time.
pub struct Client {
    connection: Connection,
    timeout: Duration,
    /// Until an answer was read to its end, nothing else can be asked.
    is_answering: bool,
}

/// Why a statement was not answered.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL: {message}")]
pub struct QueryError {
    message: String,
    code: Option<String>,
}

impl QueryError {
    /// The SQLSTATE, if the server said no; otherwise the connection failed, and what was asked may be done or not.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    fn late(timeout: Duration) -> Self {
        Self { message: format!("no answer within {timeout:?}"), code: None }
    }
}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        let code = error.code().map(ToOwned::to_owned);
        let message = match error {
            Error::Fatal(error) => error.to_string(),
            error => error.to_string(),
        };
        Self { message, code }
    }
}

impl Client {
    /// Connects and logs in. An answer's next row may have `row_bytes_max`, and take `timeout` to come.
    pub async fn connect(
        server: &Server,
        row_bytes_max: usize,
        timeout: Duration,
    ) -> Result<Self, QueryError> {
        let connection = Connection::open(server, Purpose::Queries, row_bytes_max).await?;
        Ok(Self { connection, timeout, is_answering: false })
    }

    /// Runs a statement and collects its rows, which must be few. A call that is dropped leaves the connection useless.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>, QueryError> {
        self.begin(sql).await?;
        let mut rows = Vec::new();
        while let Some(row) = self.next_row().await? {
            rows.push(row.owned()?);
        }
        Ok(rows)
    }

    /// Sends a statement, whose rows [`next_row`](Self::next_row) brings one by one: the server is not read faster
    /// than they are taken, so an answer of any length takes no more memory than a row.
    pub async fn begin(&mut self, sql: &str) -> Result<(), QueryError> {
        if std::mem::replace(&mut self.is_answering, true) {
            let message = "the answer before was not read to its end".to_owned();
            return Err(QueryError { message, code: None });
        }
        within(self.timeout, self.connection.begin_query(sql)).await
    }

    /// The next row of what was [begun](Self::begin); none at its end, and after it.
    pub async fn next_row(&mut self) -> Result<Option<RowText>, QueryError> {
        while self.is_answering {
            let answer = within(self.timeout, self.connection.answer()).await;
            match answer {
                Ok(Answer::Columns(_)) => {}
                Ok(Answer::Row(frame)) => return Ok(Some(RowText(frame))),
                Ok(Answer::Done) => {
                    self.is_answering = false;
                    return Ok(None);
                }
                Err(e) => {
                    // A server that says no has said all of it.
                    self.is_answering = e.code().is_none();
                    return Err(e);
                }
            }
        }
        Ok(None)
    }

    /// Says goodbye.
    pub async fn close(self) -> Result<(), QueryError> {
        Ok(self.connection.close().await?)
    }
}

async fn within<T>(timeout: Duration, doing: impl Future<Output = OwnResult<T>>) -> Result<T, QueryError> {
    let done = tokio::time::timeout(timeout, doing).await;
    Ok(done.map_err(|_| QueryError::late(timeout))??)
}

/// A row as it came.
pub struct RowText(Bytes);

impl RowText {
    /// Its columns.
    pub fn columns(&self) -> Result<Vec<Option<&str>>, QueryError> {
        Ok(values_of(&self.0)?)
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn owned(&self) -> Result<Row, QueryError> {
        Ok(text_of(&self.0)?)
    }
}

//! Whether a store is sound.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Result, config::DbConfig};
use streamer_engine::store::Fingerprint;
use streamer_protocol::{Action, Json};

use crate::{
    OpenError, Settings,
    artifacts::file_of,
    lock::Lock,
    open::{connect, look_at_log, place, version},
    schema::VERSION,
    sweep,
};

/// What a check found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The version of the store in the file; 0 if the file is too damaged to tell.
    pub version: usize,
    /// How many requests are kept, and how many of them are open.
    pub requests: u64,
    /// How many of them have not ended.
    pub open_requests: u64,
    /// How many artifacts are kept.
    pub artifacts: u64,
    /// How many topics have a durable history.
    pub topics: u64,
    /// What is not as it should be. Empty: the store is sound.
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// SQLite finds the file damaged: restore a backup.
    Damaged(String),
    /// The write-ahead log is damaged: restore a backup. Nothing else was looked at, as that would cut the log off there.
    DamagedLog {
        /// The first frame that cannot be read; 0 for the log's head.
        frame: u64,
        /// How many there are.
        frames: u64,
    },
    /// Requests whose payload is not the one that was sent.
    Altered {
        /// How many.
        requests: u64,
    },
    /// Rows of a table hold no JSON where there must be some.
    Unreadable {
        /// The table.
        table: &'static str,
        /// How many rows.
        rows: u64,
    },
    /// Rows of a table belong to no request, or to no topic.
    Unrelated {
        /// The table.
        table: String,
        /// How many rows.
        rows: u64,
    },
    /// Requests whose status and due time contradict each other.
    Contradictory {
        /// How many.
        requests: u64,
    },
    /// Requests without their payload.
    WithoutPayload {
        /// How many.
        requests: u64,
    },
    /// Tenants whose kept bytes are counted wrongly.
    WrongUsage {
        /// How many.
        tenants: u64,
    },
    /// Topics whose messages are not those that they count, or have a gap.
    Miscounted {
        /// How many.
        topics: u64,
    },
    /// An artifact's file is missing.
    MissingFile(PathBuf),
    /// An artifact's file has another size than its row says.
    WrongSize(PathBuf),
    /// A file that belongs to no artifact. Harmless: the next start removes it.
    Orphan(PathBuf),
    /// An older Streamer wrote the file. Harmless: the next start brings it to this version.
    Older {
        /// Its version.
        found: usize,
    },
}

impl Finding {
    /// Whether the next start mends it by itself.
    #[must_use]
    pub const fn is_harmless(&self) -> bool {
        matches!(self, Self::Orphan(_) | Self::Older { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(f, "the file is damaged, restore the newest backup: {what}"),
            Self::DamagedLog { frame, frames } => {
                let place = place(*frame, *frames);
                write!(f, "the write-ahead log is damaged ({place}), restore the newest backup")
            }
            Self::Altered { requests } => {
                write!(
                    f,
                    "{requests} requests have another payload than they came with, restore the newest backup"
                )
            }
            Self::Unreadable { table, rows } => {
                write!(f, "{rows} rows of {table} cannot be read, restore the newest backup")
            }
            Self::Unrelated { table, rows } => write!(f, "{rows} rows of {table} belong to nothing"),
            Self::Contradictory { requests } => {
                write!(f, "{requests} requests have ended but are due, or are open but never due")
            }
            Self::WithoutPayload { requests } => write!(f, "{requests} requests have lost their payload"),
            Self::WrongUsage { tenants } => {
                write!(f, "the bytes that {tenants} tenants keep are counted wrongly: their quotas are off")
            }
            Self::Miscounted { topics } => {
                write!(f, "{topics} topics have other messages than they count, or a gap")
            }
            Self::MissingFile(path) => write!(f, "the artifact {} is missing", path.display()),
            Self::WrongSize(path) => write!(f, "the artifact {} has the wrong size", path.display()),
            Self::Orphan(path) => {
                write!(f, "{} belongs to no artifact; the next start removes it", path.display())
            }
            Self::Older { found } => {
                write!(f, "store version {found} is older than {VERSION}; the next start renews it")
            }
        }
    }
}

/// Looks through the whole store. It may be in use meanwhile. Reads everything, so it takes as long as that.
pub fn check(settings: &Settings) -> std::result::Result<Report, OpenError> {
    let path = &settings.path;
    let mut report =
        Report { version: 0, requests: 0, open_requests: 0, artifacts: 0, topics: 0, findings: Vec::new() };
    // A log that is being written changes while one looks at it; whoever writes it looked at it before.
    if path.exists()
        && let Some(former) = Lock::last_holder(path)
    {
        match look_at_log(path, &former) {
            Err(OpenError::DamagedLog { frame, frames, .. }) => {
                report.version = VERSION;
                report.findings.push(Finding::DamagedLog { frame, frames });
                return Ok(report);
            }
            looked => looked?,
        }
    }
    let opened = open_existing(path).and_then(|conn| Ok((version(&conn, path)?, conn)));
    let conn = match opened {
        Ok((0, _)) => return Err(OpenError::NotAStore { path: path.clone() }),
        Ok((version, conn)) => {
            report.version = version;
            conn
        }
        // Not even its list of tables can be read.
        Err(OpenError::Damaged { source, .. }) => {
            report.findings.push(Finding::Damaged(source.to_string()));
            return Ok(report);
        }
        Err(e) => return Err(e),
    };
    if report.version < VERSION {
        report.findings.push(Finding::Older { found: report.version });
    }
    match examine(&conn, &mut report) {
        Ok(()) => {}
        Err(e) => match OpenError::of_sqlite(path, e) {
            OpenError::Damaged { source, .. } => report.findings.push(Finding::Damaged(source.to_string())),
            other => return Err(other),
        },
    }
    if report.findings.iter().any(|finding| matches!(finding, Finding::Damaged(_))) {
        // The log stays as it is, for whoever looks further.
        let kept = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        kept.map_err(|e| OpenError::of_sqlite(path, e))?;
    } else {
        let folder = settings.artifacts_dir();
        let files = examine_files(&conn, &folder, &mut report);
        files.map_err(|e| OpenError::of_io(&folder, e))?;
    }
    Ok(report)
}

/// A connection to a store that must be there.
pub(crate) fn open_existing(path: &Path) -> std::result::Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    connect(path).map_err(|e| OpenError::of_sqlite(path, e))
}

fn examine(conn: &Connection, report: &mut Report) -> Result<()> {
    let moment = conn.unchecked_transaction()?;
    let mut integrity = moment.prepare("PRAGMA integrity_check(20)")?;
    let mut rows = integrity.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            report.findings.push(Finding::Damaged(line));
        }
    }
    let mut unrelated =
        moment.prepare("SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1")?;
    let mut rows = unrelated.query([])?;
    while let Some(row) = rows.next()? {
        report.findings.push(Finding::Unrelated { table: row.get(0)?, rows: count(row.get(1)?) });
    }
    let number = |sql: &str| moment.query_row(sql, [], |row| row.get(0).map(count));
    report.requests = number("SELECT count(*) FROM request")?;
    report.open_requests = number("SELECT count(*) FROM request WHERE due_at IS NOT NULL")?;
    report.artifacts = number("SELECT count(*) FROM artifact")?;
    let contradictory = number(
        "SELECT count(*) FROM request NOT INDEXED \
         WHERE (status IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (due_at IS NOT NULL) \
         OR (due_at IS NULL) <> (expires_at IS NOT NULL)",
    )?;
    if contradictory > 0 {
        report.findings.push(Finding::Contradictory { requests: contradictory });
    }
    let without_payload =
        number("SELECT count(*) FROM request WHERE number NOT IN (SELECT request FROM payload)")?;
    if without_payload > 0 {
        report.findings.push(Finding::WithoutPayload { requests: without_payload });
    }
    if report.version == VERSION {
        let wrong_usage = number(include_str!("schema/wrong_usage.sql"))?;
        if wrong_usage > 0 {
            report.findings.push(Finding::WrongUsage { tenants: wrong_usage });
        }
    }
    // Which older files do not have.
    let newer = (report.version == VERSION).then_some(("payload", "permissions"));
    let columns = [
        ("payload", "json"),
        ("checkpoint", "json"),
        ("log", "json"),
        ("request", "progress"),
        ("request", "outcome"),
    ];
    for (table, column) in columns.into_iter().chain(newer) {
        // SQLite goes no deeper than a thousand levels, and takes what is deeper for no JSON.
        let mut doubtful =
            moment.prepare(&format!("SELECT {column} FROM {table} WHERE NOT json_valid({column})"))?;
        let texts =
            doubtful.query_map([], |row| Ok(row.get(0).ok().and_then(|text| Json::parse(text).ok())))?;
        let mut rows = 0;
        for json in texts {
            rows += u64::from(json?.is_none());
        }
        if rows > 0 {
            report.findings.push(Finding::Unreadable { table, rows });
        }
    }
    let mut sent = moment
        .prepare("SELECT action, fingerprint, json FROM request JOIN payload ON payload.request = number")?;
    let mut rows = sent.query([])?;
    let mut altered = 0;
    while let Some(row) = rows.next()? {
        let action = Action::parse(row.get_ref(0)?.as_str()?).ok();
        let payload = Json::parse(row.get(2)?).ok();
        let fingerprint = action.zip(payload).map(|(action, payload)| Fingerprint::of(&action, &payload));
        altered += u64::from(fingerprint != Some(Fingerprint::from_bytes(row.get(1)?)));
    }
    if altered > 0 {
        report.findings.push(Finding::Altered { requests: altered });
    }
    if moment.table_exists(None, "topic")? {
        report.topics = number("SELECT count(*) FROM topic")?;
        let miscounted = number(
            "SELECT count(*) FROM topic LEFT JOIN (SELECT topic, count(*) AS counted, min(offset) AS first, \
             max(offset) AS newest, sum(octet_length(json)) AS size FROM message GROUP BY topic) \
             ON topic = number WHERE messages <> coalesce(counted, 0) OR bytes <> coalesce(size, 0) \
             OR counted > 0 AND (first <> last - messages + 1 OR newest <> last)",
        )?;
        if miscounted > 0 {
            report.findings.push(Finding::Miscounted { topics: miscounted });
        }
    }
    Ok(())
}

fn examine_files(conn: &Connection, folder: &Path, report: &mut Report) -> std::io::Result<()> {
    let broken = std::io::Error::other;
    let mut kept = conn.prepare("SELECT id, size FROM artifact").map_err(broken)?;
    let mut rows = kept.query([]).map_err(broken)?;
    while let Some(row) = rows.next().map_err(broken)? {
        let (id, size): (String, i64) = (row.get(0).map_err(broken)?, row.get(1).map_err(broken)?);
        let Some(id) = streamer_engine::store::ArtifactId::parse(&id) else {
            report.findings.push(Finding::Damaged("an artifact has an impossible id".to_owned()));
            continue;
        };
        let path = file_of(folder, &id);
        match path.metadata() {
            Ok(file) if file.len() == count(size) => {}
            Ok(_) => report.findings.push(Finding::WrongSize(path)),
            Err(_) => report.findings.push(Finding::MissingFile(path)),
        }
    }
    if folder.is_dir() {
        report.findings.extend(sweep::orphans(conn, folder)?.into_iter().map(Finding::Orphan));
    }
    Ok(())
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

//! What a store's file holds that the store never wrote.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, types::Value};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::template;
use crate::Target;

/// (table, column): all of a store's own.
type Columns = Vec<(String, String)>;

/// What is asked of a store at this place. Errors are answers; what is told is what they must not be.
pub type Ask = Box<dyn Fn(&Runtime, &Path) -> Result<(), String>>;

fn ask_the_product() -> Ask {
    Box::new(|runtime, path| runtime.block_on(template::ask_everything(path)).map(drop))
}

struct Place {
    runtime: Runtime,
    folder: TempDir,
    /// A sound store's file.
    sound: Vec<u8>,
    ask: Ask,
}

impl Place {
    fn new(ask: Ask) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // In memory where the system has such a folder: nothing here is to outlive anything.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let path = folder.path().join("store.db");
        runtime.block_on(template::fill(&path));
        let sound = fs::read(&path).expect("it was made");
        Self { runtime, folder, sound, ask }
    }

    /// A fresh file with these bytes.
    fn lay(&self, bytes: &[u8]) -> Result<PathBuf, String> {
        template::clear(self.folder.path());
        let path = self.folder.path().join("store.db");
        fs::write(&path, bytes).map_err(|e| format!("the folder takes no file: {e}"))?;
        Ok(path)
    }

    fn ask(&self, path: &Path) -> Result<(), String> {
        (self.ask)(&self.runtime, path)
    }
}

/// Rows whose columns hold anything, of any type.
pub struct Rows {
    place: Place,
    columns: Columns,
}

impl Default for Rows {
    fn default() -> Self {
        Self::asked_by(ask_the_product())
    }
}

impl Rows {
    /// With another reader in place of the product's.
    #[must_use]
    pub fn asked_by(ask: Ask) -> Self {
        let mut place = Place::new(ask);
        let path = place.folder.path().join("store.db");
        let columns = loosen(&path).expect("a sound file");
        place.sound = fs::read(&path).expect("it is there");
        Self { place, columns }
    }
}

/// Takes the types off the tables, which would keep most of what is to be written out; and lists their columns.
fn loosen(path: &Path) -> rusqlite::Result<Columns> {
    let file = Connection::open(path)?;
    file.pragma_update(None, "journal_mode", "DELETE")?;
    file.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    file.pragma_update(None, "writable_schema", true)?;
    file.execute("UPDATE sqlite_master SET sql = replace(sql, 'STRICT, ', '')", [])?;
    file.execute("UPDATE sqlite_master SET sql = replace(sql, 'STRICT', '')", [])?;
    drop(file);
    let file = Connection::open(path)?;
    let mut columns = file.prepare(
        "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY 1, 2",
    )?;
    columns.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

impl Target for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    /// A change is four bytes (column, row, kind, length) and a value.
    fn examples(&self) -> Vec<Vec<u8>> {
        let columns = u8::try_from(self.columns.len()).unwrap_or(u8::MAX);
        let each = (0..columns).map(|column| [&[column, 0, column % 5, 9][..], b"-12345678"].concat());
        let status: [&[u8]; 2] = [b"\0\0\x02\x09COMPLETED", b"\0\x01\x02\x07RUNNING"];
        each.chain(status.map(<[u8]>::to_vec)).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\u{2}",
            "\u{1}",
            "\u{3}",
            "\0",
            "PENDING",
            "PROCESSING",
            "RETRYING",
            "COMPLETED",
            "{\"a\":",
            "[",
            "null",
            "{\"Completed\":1}",
            "{\"percentage\":1e999}",
            "\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        let path = self.place.lay(&self.place.sound)?;
        let file = Connection::open(&path).map_err(|e| format!("the sound file cannot be opened: {e}"))?;
        let _ = file.execute_batch("BEGIN");
        let mut rest = input;
        while let [column, row, kind, len, more @ ..] = rest {
            let (value, more) = more.split_at((*len as usize).min(more.len()));
            rest = more;
            let (table, column) = &self.columns[usize::from(*column) % self.columns.len()];
            // What an index will not have stays as it was.
            let _ = file.execute(
                &format!("UPDATE \"{table}\" SET \"{column}\" = ?1 WHERE \"{column}\" IN (SELECT \"{column}\" FROM \"{table}\" LIMIT 1 OFFSET ?2)"),
                (of_bytes(*kind, value), i64::from(*row % 6)),
            );
        }
        file.execute_batch("COMMIT").map_err(|e| format!("nothing can be changed: {e}"))?;
        drop(file);
        self.place.ask(&path)
    }
}

fn of_bytes(kind: u8, bytes: &[u8]) -> Value {
    let mut number = [0; 8];
    let len = bytes.len().min(8);
    number[..len].copy_from_slice(&bytes[..len]);
    match kind % 5 {
        0 => Value::Null,
        1 => Value::Integer(i64::from_le_bytes(number)),
        2 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        3 => Value::Blob(bytes.to_vec()),
        _ => Value::Real(f64::from_le_bytes(number)),
    }
}

/// A file with other bytes in some places.
pub struct Pages {
    place: Place,
}

impl Default for Pages {
    fn default() -> Self {
        Self::asked_by(ask_the_product())
    }
}

impl Pages {
    /// With another reader in place of the product's.
    #[must_use]
    pub fn asked_by(ask: Ask) -> Self {
        Self { place: Place::new(ask) }
    }
}

impl Target for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    /// A change is five bytes: a place, of three; how many bytes; and what they become.
    fn examples(&self) -> Vec<Vec<u8>> {
        let pages = self.place.sound.len() / 4096;
        let head = [16_usize, 18, 20, 28, 36, 40, 44, 52, 56, 60, 68, 92];
        // The file's head; each page's head, its cells and its end.
        let places =
            head.into_iter().chain((0..pages).flat_map(|page| [0, 3, 8, 4000].map(|at| page * 4096 + at)));
        places.map(|at| [&(at as u32).to_be_bytes()[1..], &[1, 0xff]].concat()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &["\0\0\0", "\u{1}\0", "\u{4}\0", "\0\u{10}\0\u{1}\u{7f}", "\u{7f}", "\u{d}"]
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        let mut bytes = self.place.sound.clone();
        for change in input.chunks_exact(5) {
            let at = usize::from(change[0]) << 16 | usize::from(change[1]) << 8 | usize::from(change[2]);
            let at = at % bytes.len();
            let end = (at + usize::from(change[3])).min(bytes.len());
            bytes[at..end].fill(change[4]);
        }
        let path = self.place.lay(&bytes)?;
        self.place.ask(&path)
    }
}

//! The example files: the same for the same seed, on every machine.

mod measurements;
mod orders;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rand::{RngExt, rngs::ChaCha8Rng};

pub use measurements::measurements;
pub use orders::orders;

/// Sales, one order a line: date, customer, region, product, quantity, amount.
pub const ORDERS_FILE: &str = "orders.csv";

/// Machines with their readings, a label and the hours until service.
pub const MEASUREMENTS_FILE: &str = "measurements.csv";

/// Makes a file's content from a seed.
type Content = fn(u64) -> String;

/// Writes the example files into `folder` (made if absent) unless it holds files of somebody else. Returns those
/// written; running again changes nothing.
pub fn fill(folder: &Path, seed: u64) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let ours = [ORDERS_FILE, MEASUREMENTS_FILE].iter().any(|ours| name == *ours);
        if !ours && Path::new(&name).extension().is_none_or(|extension| extension != "partial") {
            return Ok(Vec::new());
        }
    }
    let files: [(&str, Content); 2] = [(ORDERS_FILE, orders), (MEASUREMENTS_FILE, measurements)];
    let mut written = Vec::new();
    for (name, content) in files {
        let path = folder.join(name);
        if path.exists() {
            continue;
        }
        // A name of its own until the content is whole: a reader never sees half a file.
        let partial = folder.join(format!("{name}.partial"));
        fs::write(&partial, content(seed))?;
        fs::rename(&partial, &path)?;
        written.push(path);
    }
    Ok(written)
}

/// A draw from the standard normal distribution, by Box and Muller's method.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Cells, Table};

    #[test]
    fn the_same_seed_gives_the_same_files() {
        assert_eq!(orders(7), orders(7));
        assert_ne!(orders(7), orders(8));
        assert_eq!(measurements(7), measurements(7));
        assert_ne!(measurements(7), measurements(8));
    }

    #[test]
    fn orders_cover_four_years_and_hold_what_must_be_escaped() {
        let text = orders(1);
        let table = Table::from_csv("f", text.as_bytes(), 100_000).expect("reads");
        assert!((4_000..12_000).contains(&table.rows()), "{} rows", table.rows());
        assert!(text.contains("2023-01-0") && text.contains("2026-12-"));
        assert!(text.contains("<script>") && text.contains("=HYPERLINK("));
        let missing = table.columns().iter().any(|column| match &column.cells {
            Cells::Numbers(cells) => cells.contains(&None),
            Cells::Texts(cells) => cells.contains(&None),
        });
        assert!(!missing);
    }

    #[test]
    fn measurements_have_gaps() {
        let table = Table::from_csv("f", measurements(1).as_bytes(), 100_000).expect("reads");
        let numbers = table.numbers("f", "vibration").expect("numeric");
        assert!(numbers.contains(&None));
        assert!(table.cells("label").is_some() && table.numbers("f", "target").is_ok());
    }

    #[test]
    fn an_empty_folder_is_filled_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("data");
        assert_eq!(fill(&inner, 1).expect("fills").len(), 2);
        assert_eq!(fill(&inner, 1).expect("fills").len(), 0);
        fs::remove_file(inner.join(ORDERS_FILE)).expect("removes");
        assert_eq!(fill(&inner, 1).expect("fills"), [inner.join(ORDERS_FILE)]);
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("mine.csv"), "a\n1\n").expect("writes");
        assert_eq!(fill(folder.path(), 1).expect("looks").len(), 0);
        assert!(!folder.path().join(ORDERS_FILE).exists());
    }
}

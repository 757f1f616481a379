//! CSV files that are safe to open in a spreadsheet.

use crate::problem::Problem;

/// Writes CSV whose texts are never taken for formulas.
pub(crate) struct Sheet(csv::Writer<Vec<u8>>);

/// One value of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    Number(f64),
    /// A number already printed by us.
    Figure(&'a str),
    Empty,
}

impl Sheet {
    pub(crate) fn new() -> Self {
        Self(csv::Writer::from_writer(Vec::new()))
    }

    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), Problem> {
        for cell in cells {
            match cell {
                Cell::Text(text) => self.0.write_field(neutral(text)),
                Cell::Number(number) => self.0.write_field(number.to_string()),
                Cell::Figure(figure) => self.0.write_field(figure),
                Cell::Empty => self.0.write_field(""),
            }
            .map_err(Problem::failed("writing CSV"))?;
        }
        self.0.write_record(None::<&[u8]>).map_err(Problem::failed("writing CSV"))
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, Problem> {
        self.0.into_inner().map_err(|error| Problem::failed("writing CSV")(error.into_error()))
    }
}

/// The text with an apostrophe before it if a spreadsheet could take it for a formula.
///
/// The characters are those of OWASP's "CSV Injection" page, their full-width forms included.
fn neutral(text: &str) -> String {
    const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if text.starts_with(STARTS) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text_and_numbers_stay_numbers() {
        let mut sheet = Sheet::new();
        let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain", "a=b"];
        sheet.row(texts.map(Cell::Text)).expect("writes");
        let mut figures = [Cell::Empty; 8];
        figures[..2].copy_from_slice(&[Cell::Number(-1.5), Cell::Figure("-2.00")]);
        sheet.row(figures).expect("writes");
        let bytes = sheet.finish().expect("finishes");
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]);
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("reads");
        let first: Vec<&str> = rows[0].iter().collect();
        assert_eq!(first, ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1", "plain", "a=b"]);
        assert_eq!(rows[1].iter().take(3).collect::<Vec<_>>(), ["-1.5", "-2.00", ""]);
    }

    #[test]
    fn a_formula_cannot_hide_behind_quotes_or_separators() {
        let mut sheet = Sheet::new();
        sheet.row([Cell::Text("=HYPERLINK(\"http://x\",\"a\")"), Cell::Text("a\",=1+1")]).expect("writes");
        let text = String::from_utf8(sheet.finish().expect("finishes")).expect("UTF-8");
        assert_eq!(text, "\"'=HYPERLINK(\"\"http://x\"\",\"\"a\"\")\",\"a\"\",=1+1\"\n");
    }
}

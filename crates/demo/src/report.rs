//! Sales reports: what was sold in a period, as CSV, HTML or PDF.

mod chart;
mod csv;
mod html;
mod orders;
mod pdf;
mod period;
mod summary;

use serde::Deserialize;

use crate::{document::Document, problem::Problem, progress::Progress, settings::Settings};

pub use period::{Period, YEARS_MAX};
pub use summary::{Group, Summary};

/// What `generate_report` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct Request {
    /// The first day, `2024-01-01`.
    pub start_date: String,
    /// The last day, included.
    pub end_date: String,
    /// The kind of file.
    #[serde(default)]
    pub format: Format,
    /// Whether HTML and PDF show charts. CSV has none.
    #[serde(default = "yes")]
    pub include_charts: bool,
}

/// The kind of file a report is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values, one line a figure.
    Csv,
    /// One page for the browser.
    Html,
    /// A4 pages.
    #[default]
    Pdf,
}

impl Request {
    /// Names the first mistake that shows without any data.
    pub fn check(&self) -> Result<(), Problem> {
        Period::parse(&self.start_date, &self.end_date).map(drop)
    }
}

fn yes() -> bool {
    true
}

/// Builds the report from the orders in the data folder. Reports 10, 30, 50 and 70 %; what is left is to store it.
pub fn build(
    request: &Request,
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Document, Problem> {
    progress.report(10.0, "Initializing report generation…")?;
    let period = Period::parse(&request.start_date, &request.end_date)?;

    progress.report(30.0, "Querying data…")?;
    let orders = orders::read(settings, &period, progress)?;

    progress.report(50.0, "Processing records…")?;
    let summary = Summary::of(period, &orders, progress)?;
    drop(orders);

    let (message, extension, media_type) = match request.format {
        Format::Csv => ("Generating CSV…", "csv", "text/csv; charset=utf-8"),
        Format::Html => ("Generating HTML…", "html", "text/html; charset=utf-8"),
        Format::Pdf => ("Generating PDF…", "pdf", "application/pdf"),
    };
    progress.report(70.0, message)?;
    let (bytes, pages) = match request.format {
        Format::Csv => (csv::render(&summary)?, 1),
        Format::Html => (html::render(&summary, request.include_charts)?, 1),
        Format::Pdf => pdf::render(&summary, request.include_charts)?,
    };
    let name = format!("sales-{}-to-{}.{extension}", summary.period.start, summary.period.end);
    Ok(Document { name, media_type, bytes, pages })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{data, progress::testing::Recorder};

    fn request(format: Format) -> Request {
        Request {
            start_date: "2024-01-01".to_owned(),
            end_date: "2024-03-31".to_owned(),
            format,
            include_charts: true,
        }
    }

    fn over(orders: &str) -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(data::ORDERS_FILE), orders).expect("writes");
        let settings = Settings::new(folder.path());
        (folder, settings)
    }

    fn text(document: Document) -> String {
        String::from_utf8(document.bytes).expect("UTF-8")
    }

    #[test]
    fn the_steps_are_told_as_they_come() {
        let (_folder, settings) = over(&data::orders(1));
        let mut recorder = Recorder::new();
        let document = build(&request(Format::Pdf), &settings, &mut recorder).expect("builds");
        assert_eq!(recorder.percentages(), [10.0, 30.0, 50.0, 70.0]);
        assert_eq!(document.name, "sales-2024-01-01-to-2024-03-31.pdf");
        assert!(document.bytes.starts_with(b"%PDF-1.7"));
        assert!(document.pages > 1, "{} pages", document.pages);
    }

    #[test]
    fn it_stops_when_cancelled() {
        let (_folder, settings) = over(&data::orders(1));
        for patience in 0..4 {
            let result = build(&request(Format::Html), &settings, &mut Recorder::with_patience(patience));
            assert!(matches!(result, Err(Problem::Cancelled)), "after {patience}");
        }
    }

    #[test]
    fn csv_neutralises_formulas() {
        let (_folder, settings) = over(&data::orders(1));
        let csv = text(build(&request(Format::Csv), &settings, &mut Recorder::new()).expect("builds"));
        assert!(csv.contains("\"'=HYPERLINK("));
        assert!(csv.contains(",'@home Supplies,"));
        assert!(!csv.contains("\"=HYPERLINK(") && !csv.contains(",@home"));
    }

    #[test]
    fn html_escapes_all_text() {
        let (_folder, settings) = over(&data::orders(1));
        let html = text(build(&request(Format::Html), &settings, &mut Recorder::new()).expect("builds"));
        assert!(html.contains("&lt;script&gt;alert(&quot;sold&quot;)"));
        assert!(!html.contains("<script"));
        assert!(html.contains("<svg") && html.contains("Cedar &amp; Stone"));
        let plain = Request { include_charts: false, ..request(Format::Html) };
        assert!(!text(build(&plain, &settings, &mut Recorder::new()).expect("builds")).contains("<svg"));
    }

    #[test]
    fn a_hostile_product_name_is_escaped_in_the_chart() {
        let orders = "date,customer,region,product,quantity,amount\n2024-01-02,A,N,<b onload=x>&,1,2.50\n";
        let (_folder, settings) = over(orders);
        let html = text(build(&request(Format::Html), &settings, &mut Recorder::new()).expect("builds"));
        assert!(!html.contains("<b onload"));
        assert!(html.matches("&lt;b onload=x&gt;&amp;").count() >= 2, "in the table and in the chart");
    }

    #[test]
    fn a_period_without_orders_is_a_report_of_nothing() {
        let (_folder, settings) = over(&data::orders(1));
        for format in [Format::Csv, Format::Html, Format::Pdf] {
            let early =
                Request { start_date: "1999-01-01".into(), end_date: "1999-01-31".into(), ..request(format) };
            let document = build(&early, &settings, &mut Recorder::new()).expect("builds");
            assert_eq!(document.pages, 1);
        }
    }

    #[test]
    fn broken_orders_are_our_failure_not_the_clients_mistake() {
        let cases = ["", "%PDF-1.4 garbage", "date,customer\n2024-01-01,A\n"];
        let row = "date,customer,region,product,quantity,amount\n2024-01-01,A,N,P,many,1.00\n";
        for orders in cases.into_iter().chain([row]) {
            let (_folder, settings) = over(orders);
            let result = build(&request(Format::Csv), &settings, &mut Recorder::new());
            assert!(matches!(result, Err(Problem::Failed { .. })), "{orders:?}: {result:?}");
        }
    }
}

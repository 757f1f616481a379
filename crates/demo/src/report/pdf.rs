//! The report as a PDF: A4 pages with the totals, charts, and tables that continue from page to page.

mod drawing;
mod font;
mod paper;

use self::{
    font::Face,
    paper::{Align, CONTENT_WIDTH, Paper},
};
use super::{
    chart::{self, Chart},
    html::totals,
    summary::{Group, Summary, grouped, money},
};
use crate::problem::Problem;

const INK: [f32; 3] = [0.12, 0.16, 0.22];
const FAINT: [f32; 3] = [0.42, 0.45, 0.50];
const SHADE: [f32; 3] = [0.95, 0.96, 0.97];
const RULE: [f32; 3] = [0.88, 0.90, 0.92];

const ROW_HEIGHT: f32 = 17.0;
const CUSTOMERS_SHOWN: usize = 10;

/// Right edges of the four figures of a table's row; the name takes what is left of them.
const FIGURES: [(&str, f32); 4] =
    [("Orders", 290.0), ("Units", 345.0), ("Revenue", 425.0), ("Average", 499.0)];
const NAME_WIDTH: f32 = 235.0;

/// The file and how many pages it has.
pub(super) fn render(summary: &Summary, include_charts: bool) -> Result<(Vec<u8>, usize), Problem> {
    let mut paper = Paper::new();
    paper.text("Sales report", Face::Bold, 22.0, INK, 0.0, Align::Left);
    paper.advance(18.0);
    paper.text(&summary.period.to_string(), Face::Regular, 11.0, FAINT, 0.0, Align::Left);
    paper.advance(24.0);
    headline(&mut paper, &summary.total);
    if include_charts {
        for chart in &Chart::of(summary) {
            draw_chart(&mut paper, chart)?;
        }
    }
    let customers = &summary.customers[..summary.customers.len().min(CUSTOMERS_SHOWN)];
    table(&mut paper, "Top customers", customers);
    table(&mut paper, "Products", &summary.products);
    table(&mut paper, "Regions", &summary.regions);
    let days: Vec<(String, Group)> =
        summary.days.iter().map(|(day, group)| (day.to_string(), *group)).collect();
    table(&mut paper, "Days", &days);
    Ok(paper.finish(&format!("Sales report {}", summary.period)))
}

fn headline(paper: &mut Paper, total: &Group) {
    const GAP: f32 = 10.0;
    const HEIGHT: f32 = 46.0;
    let totals = totals(total);
    let width = (CONTENT_WIDTH - GAP * (totals.len() - 1) as f32) / totals.len() as f32;
    for (at, (name, value)) in totals.iter().enumerate() {
        let left = at as f32 * (width + GAP);
        paper.fill(left, -HEIGHT + 14.0, width, HEIGHT, SHADE);
        paper.text_at(name, Face::Regular, 9.0, FAINT, left + 10.0, 0.0, Align::Left);
        paper.text_at(value, Face::Bold, 14.0, INK, left + 10.0, -19.0, Align::Left);
    }
    paper.advance(HEIGHT + 12.0);
}

fn draw_chart(paper: &mut Paper, chart: &Chart) -> Result<(), Problem> {
    let scale = CONTENT_WIDTH / chart::SIZE.0 as f32;
    let height = chart::SIZE.1 as f32 * scale;
    paper.keep_together(height + 30.0);
    paper.text(chart.title, Face::Bold, 13.0, INK, 0.0, Align::Left);
    paper.advance(8.0);
    chart::draw(chart, paper.drawing(chart::SIZE, scale))?;
    paper.advance(height + 26.0);
    Ok(())
}

fn table(paper: &mut Paper, title: &str, rows: &[(String, Group)]) {
    // The title never stands alone at the foot of a page.
    paper.keep_together(ROW_HEIGHT * 4.0 + 20.0);
    paper.text(title, Face::Bold, 13.0, INK, 0.0, Align::Left);
    paper.advance(20.0);
    if rows.is_empty() {
        paper.text("No orders in this period.", Face::Regular, 10.0, FAINT, 0.0, Align::Left);
        paper.advance(30.0);
        return;
    }
    head(paper);
    for (name, group) in rows {
        if paper.keep_together(ROW_HEIGHT) {
            head(paper);
        }
        let figures =
            [grouped(group.orders), grouped(group.units), money(group.cents), money(group.average_cents())];
        let name = font::fitted(name, Face::Regular, 9.5, NAME_WIDTH);
        paper.text(&name, Face::Regular, 9.5, INK, 5.0, Align::Left);
        for ((_, right), figure) in FIGURES.iter().zip(figures) {
            paper.text(&figure, Face::Regular, 9.5, INK, right - 5.0, Align::Right);
        }
        paper.fill(0.0, -5.5, CONTENT_WIDTH, 0.5, RULE);
        paper.advance(ROW_HEIGHT);
    }
    paper.advance(18.0);
}

fn head(paper: &mut Paper) {
    paper.fill(0.0, -5.0, CONTENT_WIDTH, ROW_HEIGHT, SHADE);
    paper.text("Name", Face::Bold, 9.5, INK, 5.0, Align::Left);
    for (name, right) in FIGURES {
        paper.text(name, Face::Bold, 9.5, INK, right - 5.0, Align::Right);
    }
    paper.advance(ROW_HEIGHT + 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data, progress::testing::Recorder, report::Period, settings::Settings};

    fn pages(start: &str, end: &str, include_charts: bool) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        data::fill(folder.path(), 1).expect("fills");
        let period = Period::parse(start, end).expect("a period");
        let settings = Settings::new(folder.path());
        let orders = super::super::orders::read(&settings, &period, &mut Recorder::new()).expect("reads");
        let summary = Summary::of(period, &orders, &mut Recorder::new()).expect("sums up");
        let (bytes, pages) = render(&summary, include_charts).expect("renders");
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("/Type /Page\n").count(), pages);
        assert!(text.trim_end().ends_with("%%EOF"));
        pages
    }

    #[test]
    fn tables_continue_over_pages() {
        let month = pages("2024-01-01", "2024-01-31", true);
        let year = pages("2024-01-01", "2024-12-31", true);
        assert!((2..6).contains(&month), "{month} pages");
        assert!((8..20).contains(&year), "{year} pages");
        assert!(pages("2024-01-01", "2024-12-31", false) <= year);
        assert_eq!(pages("2001-01-01", "2001-01-31", true), 1);
    }
}

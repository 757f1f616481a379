//! The report as CSV: one line for each figure's group, so that it can be filtered and pivoted.

use super::summary::{Group, Summary};
use crate::{
    problem::Problem,
    sheet::{Cell, Sheet},
};

pub(super) fn render(summary: &Summary) -> Result<Vec<u8>, Problem> {
    let mut sheet = Sheet::new();
    sheet.row(["group", "name", "orders", "units", "revenue", "average_order"].map(Cell::Text))?;
    line(&mut sheet, "total", &summary.period.to_string(), &summary.total)?;
    for (day, group) in &summary.days {
        line(&mut sheet, "day", &day.to_string(), group)?;
    }
    let groups =
        [("customer", &summary.customers), ("product", &summary.products), ("region", &summary.regions)];
    for (kind, names) in groups {
        for (name, group) in names {
            line(&mut sheet, kind, name, group)?;
        }
    }
    sheet.finish()
}

fn line(sheet: &mut Sheet, kind: &str, name: &str, group: &Group) -> Result<(), Problem> {
    let (orders, units) = (group.orders.to_string(), group.units.to_string());
    let (revenue, average) = (plain(group.cents), plain(group.average_cents()));
    sheet.row([
        Cell::Text(kind),
        Cell::Text(name),
        Cell::Figure(&orders),
        Cell::Figure(&units),
        Cell::Figure(&revenue),
        Cell::Figure(&average),
    ])
}

/// `-1234` as `-12.34`, as programs read it.
fn plain(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}

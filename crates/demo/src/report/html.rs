//! The report as one HTML page. `maud` escapes every text; the charts are inline SVG, and nothing is loaded or run.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::SVGBackend;

use super::{
    chart::{self, Chart},
    summary::{Group, Summary, grouped, money},
};
use crate::problem::Problem;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem } .period { color: #6b7280; margin-top: 0 }
dl { display: flex; flex-wrap: wrap; gap: 1rem } dl div { flex: 1; background: #f3f4f6; border-radius: 8px; padding: .8rem 1rem }
dt { color: #6b7280; font-size: .85rem } dd { margin: 0; font-size: 1.4rem; font-weight: 600 }
table { border-collapse: collapse; width: 100% } th, td { padding: .35rem .6rem; border-bottom: 1px solid #e5e7eb; text-align: left }
th { background: #f3f4f6 } .n { text-align: right; font-variant-numeric: tabular-nums } svg { width: 100%; height: auto }
";

pub(super) fn render(summary: &Summary, include_charts: bool) -> Result<Vec<u8>, Problem> {
    let charts = if include_charts {
        charts(summary)?
    } else {
        html! {}
    };
    let title = format!("Sales report {}", summary.period);
    let days: Vec<(String, Group)> =
        summary.days.iter().map(|(day, group)| (day.to_string(), *group)).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Sales report" }
                p.period { (summary.period) }
                dl {
                    @for (name, value) in totals(&summary.total) {
                        div { dt { (name) } dd { (value) } }
                    }
                }
                (charts)
                (table("Customers", &summary.customers))
                (table("Products", &summary.products))
                (table("Regions", &summary.regions))
                (table("Days", &days))
            }
        }
    };
    Ok(page.into_string().into_bytes())
}

/// The headline figures, for both the page and the PDF.
pub(super) fn totals(total: &Group) -> [(&'static str, String); 4] {
    [
        ("Orders", grouped(total.orders)),
        ("Units", grouped(total.units)),
        ("Revenue", money(total.cents)),
        ("Average order", money(total.average_cents())),
    ]
}

fn charts(summary: &Summary) -> Result<Markup, Problem> {
    let charts = Chart::of(summary);
    let drawn =
        charts.iter().map(|chart| Ok((chart.title, svg(chart)?))).collect::<Result<Vec<_>, Problem>>()?;
    Ok(html! {
        @for (title, svg) in drawn {
            h2 { (title) }
            (PreEscaped(svg))
        }
    })
}

fn svg(chart: &Chart) -> Result<String, Problem> {
    let mut svg = String::new();
    chart::draw(chart, SVGBackend::with_string(&mut svg, chart::SIZE))?;
    Ok(svg)
}

fn table(title: &str, rows: &[(String, Group)]) -> Markup {
    html! {
        h2 { (title) }
        @if rows.is_empty() {
            p { "No orders in this period." }
        } @else {
            table {
                thead { tr { th { "Name" } th.n { "Orders" } th.n { "Units" } th.n { "Revenue" } th.n { "Average" } } }
                tbody {
                    @for (name, group) in rows {
                        tr {
                            td { (name) }
                            td.n { (grouped(group.orders)) }
                            td.n { (grouped(group.units)) }
                            td.n { (money(group.cents)) }
                            td.n { (money(group.average_cents())) }
                        }
                    }
                }
            }
        }
    }
}

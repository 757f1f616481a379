//! Charts, drawn the same on every backend.

use plotters::{
    coord::ranged1d::{IntoSegmentedCoord, SegmentValue},
    prelude::*,
};

use super::summary::{Summary, grouped};
use crate::problem::{Fault, Problem};

/// Width and height of a chart, in the backend's own units.
pub(super) const SIZE: (u32, u32) = (920, 320);

const BAR: RGBColor = RGBColor(96, 140, 210);
const LINE: RGBColor = RGBColor(217, 119, 6);
const GRID: RGBColor = RGBColor(225, 228, 232);
const INK: RGBColor = RGBColor(75, 85, 99);

/// How many bars a moving average spans.
const WINDOW: usize = 7;

/// Labels are shortened to this many characters.
const LABEL_CHARS_MAX: usize = 14;

/// One chart of bars.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    bars: Vec<(String, f64)>,
    /// Whether a line shows the moving average.
    averaged: bool,
}

impl Chart {
    /// The charts of a report; none without orders.
    pub(super) fn of(summary: &Summary) -> Vec<Self> {
        if summary.total.orders == 0 {
            return Vec::new();
        }
        let revenue = |cents: i64| cents as f64 / 100.0;
        let time = summary.over_time().into_iter().map(|(label, cents)| (label, revenue(cents)));
        let products =
            summary.products.iter().take(10).map(|(name, group)| (name.clone(), revenue(group.cents)));
        vec![
            Self { title: "Revenue over time and its moving average", bars: time.collect(), averaged: true },
            Self { title: "Revenue by product", bars: products.collect(), averaged: false },
        ]
    }
}

/// Draws `chart` onto `backend`, which is of [`SIZE`].
pub(super) fn draw<B>(chart: &Chart, backend: B) -> Result<(), Problem>
where
    B: DrawingBackend,
    B::ErrorType: 'static,
{
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| Fault::from(error.to_string());
    plot(chart, backend).map_err(failed).map_err(Problem::failed("drawing a chart"))
}

fn plot<B: DrawingBackend>(chart: &Chart, backend: B) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let area = backend.into_drawing_area();
    let highest = chart.bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let lowest = chart.bars.iter().map(|(_, value)| *value).fold(0.0, f64::min);
    let mut plot =
        ChartBuilder::on(&area).margin(6).x_label_area_size(28).y_label_area_size(76).build_cartesian_2d(
            (0..chart.bars.len().saturating_sub(1)).into_segmented(),
            lowest * 1.05..highest * 1.05,
        )?;
    let label = |place: &SegmentValue<usize>| match place {
        SegmentValue::CenterOf(bar) => {
            chart.bars.get(*bar).map_or_else(String::new, |(name, _)| shortened(name))
        }
        _ => String::new(),
    };
    plot.configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(if chart.averaged { 12 } else { chart.bars.len() })
        .y_labels(5)
        .x_label_formatter(&label)
        .y_label_formatter(&|value| rounded(*value))
        .label_style(("sans-serif", 15).into_font().color(&INK))
        .draw()?;
    let gap = if chart.bars.len() > 20 { 1 } else { 10 };
    plot.draw_series(chart.bars.iter().enumerate().map(|(bar, (_, value))| {
        let corners = [(SegmentValue::Exact(bar), 0.0), (SegmentValue::Exact(bar + 1), *value)];
        let mut bar = Rectangle::new(corners, BAR.filled());
        bar.set_margin(0, 0, gap, gap);
        bar
    }))?;
    if chart.averaged && chart.bars.len() > WINDOW {
        let averages = chart.bars.windows(WINDOW).enumerate().map(|(at, window)| {
            let average = window.iter().map(|(_, value)| value).sum::<f64>() / WINDOW as f64;
            (SegmentValue::CenterOf(at + WINDOW / 2), average)
        });
        plot.draw_series(LineSeries::new(averages, LINE.stroke_width(2)))?;
    }
    area.present()
}

fn rounded(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", grouped(value.abs().round() as u64))
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LABEL_CHARS_MAX {
        return name.to_owned();
    }
    let kept: String = name.chars().take(LABEL_CHARS_MAX - 1).collect();
    format!("{kept}…")
}

//! The orders of a period.

use jiff::civil::Date;
use serde::Deserialize;

use super::Period;
use crate::{
    data::ORDERS_FILE,
    problem::{Fault, Problem},
    progress::Progress,
    settings::Settings,
};

/// How many lines are read between two looks at whether the report is still wanted.
const BATCH: usize = 1_000;

const COLUMNS: [&str; 6] = ["date", "customer", "region", "product", "quantity", "amount"];

/// One order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    pub(super) date: Date,
    pub(super) customer: String,
    pub(super) region: String,
    pub(super) product: String,
    pub(super) quantity: u64,
    pub(super) cents: i64,
}

#[derive(Deserialize)]
struct Line {
    date: String,
    customer: String,
    region: String,
    product: String,
    quantity: u32,
    amount: String,
}

/// Reads the orders of `period`, in the order of the file.
pub(super) fn read(
    settings: &Settings,
    period: &Period,
    progress: &mut dyn Progress,
) -> Result<Vec<Order>, Problem> {
    let failed = || Problem::failed::<Fault>("reading the orders");
    let bytes =
        settings.folder().read(ORDERS_FILE, ORDERS_FILE).map_err(|problem| failed()(problem.into()))?;
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let header = reader.headers().map_err(|error| failed()(error.into()))?;
    if let Some(absent) = COLUMNS.iter().find(|name| !header.iter().any(|column| column == **name)) {
        return Err(failed()(format!("no column `{absent}`").into()));
    }
    let mut orders = Vec::new();
    for (row, line) in reader.deserialize::<Line>().enumerate() {
        if row % BATCH == 0 {
            progress.still_wanted()?;
        }
        if row == settings.rows_max {
            return Err(failed()(format!("more than {} orders", settings.rows_max).into()));
        }
        let line = line.map_err(|error| failed()(error.into()))?;
        let date: Date = line.date.parse().map_err(|error: jiff::Error| failed()(error.into()))?;
        if period.contains(date) {
            let cents = cents(&line.amount)
                .ok_or_else(|| failed()(format!("order {}: the amount is not 0.00", row + 1).into()))?;
            orders.push(Order {
                date,
                customer: line.customer,
                region: line.region,
                product: line.product,
                quantity: u64::from(line.quantity),
                cents,
            });
        }
    }
    Ok(orders)
}

/// Reads `-12.5` as -1250: at most two decimals, so that sums are exact.
fn cents(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits_only = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 12
        || fraction.len() > 2
        || !digits_only(whole)
        || !digits_only(fraction)
    {
        return None;
    }
    Some(sign * format!("{whole}{fraction:0<2}").parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(cents("12.34"), Some(1234));
        assert_eq!(cents("-12.5"), Some(-1250));
        assert_eq!(cents("7"), Some(700));
        assert_eq!(cents("0.05"), Some(5));
        for bad in ["", ".5", "1.234", "1,5", "1e3", "--1", "9999999999999"] {
            assert_eq!(cents(bad), None, "{bad:?}");
        }
    }
}

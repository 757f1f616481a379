//! What the orders of a period come to.

use std::collections::BTreeMap;

use jiff::{ToSpan, civil::Date};

use super::{Period, orders::Order};
use crate::{problem::Problem, progress::Progress};

const BATCH: usize = 1_000;

/// The figures of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The days covered.
    pub period: Period,
    /// Everything together.
    pub total: Group,
    /// Every day of the period that has orders, in order.
    pub days: Vec<(Date, Group)>,
    /// By revenue, the highest first.
    pub customers: Vec<(String, Group)>,
    /// By revenue, the highest first.
    pub products: Vec<(String, Group)>,
    /// By revenue, the highest first.
    pub regions: Vec<(String, Group)>,
}

/// Some orders together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub orders: u64,
    /// Units sold.
    pub units: u64,
    /// Their amounts, in cents.
    pub cents: i64,
}

impl Group {
    fn add(&mut self, order: &Order) {
        self.orders += 1;
        self.units += order.quantity;
        self.cents += order.cents;
    }

    /// Cents per order, rounded; 0 without orders.
    #[must_use]
    pub fn average_cents(&self) -> i64 {
        if self.orders == 0 { 0 } else { (self.cents as f64 / self.orders as f64).round() as i64 }
    }
}

impl Summary {
    pub(super) fn of(period: Period, orders: &[Order], progress: &mut dyn Progress) -> Result<Self, Problem> {
        let mut total = Group::default();
        let mut days: BTreeMap<Date, Group> = BTreeMap::new();
        let mut customers: BTreeMap<&str, Group> = BTreeMap::new();
        let mut products: BTreeMap<&str, Group> = BTreeMap::new();
        let mut regions: BTreeMap<&str, Group> = BTreeMap::new();
        for batch in orders.chunks(BATCH) {
            progress.still_wanted()?;
            for order in batch {
                total.add(order);
                days.entry(order.date).or_default().add(order);
                customers.entry(&order.customer).or_default().add(order);
                products.entry(&order.product).or_default().add(order);
                regions.entry(&order.region).or_default().add(order);
            }
        }
        Ok(Self {
            period,
            total,
            days: days.into_iter().collect(),
            customers: ranked(customers),
            products: ranked(products),
            regions: ranked(regions),
        })
    }

    /// Revenue over time in few enough steps for a chart: days, else weeks, else months. Steps without orders are
    /// there as 0.
    pub(super) fn over_time(&self) -> Vec<(String, i64)> {
        let days = self.period.days();
        let step = match days {
            ..=62 => 1.day(),
            63..=400 => 7.days(),
            _ => 1.month(),
        };
        let first = if days > 400 { self.period.start.first_of_month() } else { self.period.start };
        let starts: Vec<Date> = first.series(step).take_while(|date| *date <= self.period.end).collect();
        let mut sums = vec![0; starts.len()];
        for (day, group) in &self.days {
            // The first start is never after the first day, so that one is always found.
            let step = starts.partition_point(|start| start <= day).saturating_sub(1);
            sums[step] += group.cents;
        }
        let label = |date: &Date| match days {
            ..=400 => format!("{:02}-{:02}", date.month(), date.day()),
            _ => format!("{}-{:02}", date.year(), date.month()),
        };
        starts.iter().map(label).zip(sums).collect()
    }
}

fn ranked(groups: BTreeMap<&str, Group>) -> Vec<(String, Group)> {
    let mut groups: Vec<(String, Group)> =
        groups.into_iter().map(|(name, group)| (name.to_owned(), group)).collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.cents));
    groups
}

/// `123456` as `1,234.56`.
pub(super) fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", grouped(cents / 100), cents % 100)
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::testing::Recorder;

    fn order(date: &str, customer: &str, quantity: u64, cents: i64) -> Order {
        Order {
            date: date.parse().expect("a date"),
            customer: customer.to_owned(),
            region: "North".to_owned(),
            product: "Lamp".to_owned(),
            quantity,
            cents,
        }
    }

    fn summary(start: &str, end: &str, orders: &[Order]) -> Summary {
        let period = Period::parse(start, end).expect("a period");
        Summary::of(period, orders, &mut Recorder::new()).expect("sums up")
    }

    #[test]
    fn figures_add_up() {
        let orders = [
            order("2024-01-01", "a", 1, 100),
            order("2024-01-03", "b", 2, 301),
            order("2024-01-01", "a", 3, 50),
        ];
        let summary = summary("2024-01-01", "2024-01-03", &orders);
        assert_eq!(summary.total, Group { orders: 3, units: 6, cents: 451 });
        assert_eq!(summary.total.average_cents(), 150);
        assert_eq!(summary.days.len(), 2);
        assert_eq!(summary.days[0].1, Group { orders: 2, units: 4, cents: 150 });
        let names: Vec<&str> = summary.customers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let days = [("01-01".to_owned(), 150), ("01-02".to_owned(), 0), ("01-03".to_owned(), 301)];
        assert_eq!(summary.over_time(), days);
    }

    #[test]
    fn long_periods_are_shown_by_week_and_by_month() {
        let orders = [order("2024-01-20", "a", 1, 100), order("2024-12-31", "a", 1, 50)];
        let year = summary("2024-01-15", "2024-12-31", &orders).over_time();
        assert_eq!(year.len(), 51);
        assert_eq!((year[0].1, year[50].1), (100, 50));
        let years = summary("2023-01-15", "2024-12-31", &orders).over_time();
        assert_eq!(years.len(), 24);
        assert_eq!(years[12], ("2024-01".to_owned(), 100));
        assert_eq!(years.iter().map(|(_, cents)| cents).sum::<i64>(), 150);
    }

    #[test]
    fn nothing_sums_to_nothing() {
        let summary = summary("2024-01-01", "2024-01-31", &[]);
        assert_eq!(summary.total.average_cents(), 0);
        assert!(summary.customers.is_empty());
    }

    #[test]
    fn money_is_grouped() {
        assert_eq!(money(5), "0.05");
        assert_eq!(money(-123_456), "-1,234.56");
        assert_eq!(money(100_000_000), "1,000,000.00");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

//! The days a report covers.

use std::fmt;

use jiff::{ToSpan, civil::Date};

use crate::problem::Problem;

/// The longest period.
pub const YEARS_MAX: i32 = 10;

/// From one day to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first day.
    pub start: Date,
    /// The last day.
    pub end: Date,
}

impl Period {
    /// Reads two ISO dates. Each mistake names its field: `start_date` or `end_date`.
    pub fn parse(start: &str, end: &str) -> Result<Self, Problem> {
        let start = date("start_date", start)?;
        let end = date("end_date", end)?;
        if end < start {
            return Err(Problem::invalid("end_date", "must not be before start_date"));
        }
        if end >= start.saturating_add(YEARS_MAX.years()) {
            return Err(Problem::invalid(
                "end_date",
                format!("must be within {YEARS_MAX} years of start_date"),
            ));
        }
        Ok(Self { start, end })
    }

    /// Whether `date` is one of its days.
    #[must_use]
    pub fn contains(&self, date: Date) -> bool {
        self.start <= date && date <= self.end
    }

    /// How many days it has.
    #[must_use]
    pub fn days(&self) -> i32 {
        (self.end - self.start).get_days() + 1
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

fn date(field: &str, text: &str) -> Result<Date, Problem> {
    // jiff reads more than plain dates; a report takes only those.
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = if plain { text.parse().ok() } else { None };
    date.ok_or_else(|| Problem::invalid(field, "must be a date such as 2024-01-31"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(start: &str, end: &str) -> String {
        Period::parse(start, end).expect_err("refused").to_string()
    }

    #[test]
    fn both_ends_count() {
        let period = Period::parse("2024-02-28", "2024-03-01").expect("a period");
        assert_eq!(period.days(), 3);
        assert!(period.contains(period.start) && period.contains(period.end));
        assert_eq!(Period::parse("2024-01-01", "2024-01-01").expect("a day").days(), 1);
        assert_eq!(Period::parse("2015-01-01", "2024-12-31").expect("ten years").days(), 3653);
    }

    #[test]
    fn each_mistake_names_its_field() {
        assert_eq!(refusal("2024-02-30", "2024-03-01"), "start_date: must be a date such as 2024-01-31");
        for bad in ["", "31.01.2024", "2024-1-31", "2024-01-31T00:00", "20240131", "yesterday"] {
            assert_eq!(refusal("2024-01-01", bad), "end_date: must be a date such as 2024-01-31", "{bad:?}");
        }
        assert_eq!(refusal("2024-01-02", "2024-01-01"), "end_date: must not be before start_date");
        assert_eq!(refusal("2015-01-01", "2025-01-01"), "end_date: must be within 10 years of start_date");
        assert_eq!(refusal("0001-01-01", "9999-12-31"), "end_date: must be within 10 years of start_date");
    }
}

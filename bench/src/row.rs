//! What the bench comes to: rows of the product's figure beside its floor's.

use serde::Serialize;

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    name: &'static str,
    /// The product's median over all rounds.
    value: f64,
    unit: &'static str,
    /// The floor's.
    floor: f64,
    /// `value / floor`; or to that of the peer that `ratio_to` names.
    ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to: Option<&'static str>,
    /// What others came to, who were measured in turns with both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<Beside>,
    #[serde(skip)]
    aim: Aim,
    /// Microseconds on the server's core for each thing that was done, where that can be told.
    #[serde(skip)]
    cpu: Option<(f64, f64)>,
}

/// Another's figure.
#[derive(Debug, Clone, Serialize)]
struct Beside {
    name: &'static str,
    value: f64,
    #[serde(skip)]
    cpu: Option<f64>,
}

/// What a row is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// A ratio to the floor: more is better.
    AtLeast(f64),
    /// A ratio to the floor: less is better.
    AtMost(f64),
    /// A value of its own, in the row's unit.
    Below(f64),
    /// As above: more is better.
    ValueAtLeast(f64),
    /// Nothing is promised; less or more, it is to be seen.
    None,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    pub(crate) cpu_micros: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self { value, cpu_micros: None }
    }
}

impl Row {
    /// From what both sides came to, round by round.
    pub(crate) fn of(
        name: &'static str,
        unit: &'static str,
        aim: Aim,
        product: &[Sample],
        floor: &[Sample],
    ) -> Self {
        let (value, floor_value) = (median_value(product), median_value(floor));
        let cpu = median_cpu(product).zip(median_cpu(floor));
        let ratio = value / floor_value;
        Self { name, value, unit, floor: floor_value, ratio, ratio_to: None, beside: Vec::new(), aim, cpu }
    }

    /// Beside what somebody else came to, if they took part.
    pub(crate) fn beside(mut self, name: &'static str, samples: &[Sample]) -> Self {
        if !samples.is_empty() {
            let (value, cpu) = (median_value(samples), median_cpu(samples));
            self.beside.push(Beside { name, value, cpu });
        }
        self
    }

    /// With the ratio to this one of those [`beside`](Self::beside); to the floor if it did not take part.
    pub(crate) fn against(mut self, name: &'static str) -> Self {
        let other = self.beside.iter().find(|beside| beside.name == name);
        self.ratio_to = Some(other.map_or("floor", |other| other.name));
        self.ratio = other.map_or(self.ratio, |other| self.value / other.value);
        self
    }

    /// For people.
    pub(crate) fn print(&self) {
        let Self { name, value, unit, floor, ratio, ratio_to, beside, aim, cpu } = self;
        let (aim, reached) = match *aim {
            Aim::AtLeast(least) => (format!("≥ {least}"), Some(*ratio >= least)),
            Aim::AtMost(most) => (format!("≤ {most}"), Some(*ratio <= most)),
            Aim::Below(bound) => (format!("value < {bound}"), Some(*value < bound)),
            Aim::ValueAtLeast(least) => (format!("value ≥ {least}"), Some(*value >= least)),
            Aim::None => (String::new(), None),
        };
        let reached = match reached {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "",
        };
        let cpu = cpu.map_or_else(String::new, |(product, floor)| {
            format!("{product:.2} / {floor:.2} µs on the core ({:.2})", floor / product)
        });
        println!("{name:18} {value:>12.2} {floor:>12.2} {unit:14} {ratio:>7.3} {aim:>12} {reached:8} {cpu}");
        for Beside { name, value, cpu } in beside {
            let cpu = cpu.map_or_else(String::new, |cpu| format!("{cpu:.2} µs on the core"));
            println!("    beside {name:20} {value:>12.2} {unit:30} {cpu}");
        }
        if let Some(other) = ratio_to {
            println!("    the ratio is to {other}");
        }
    }
}

/// What [`Row::print`]'s columns are.
pub(crate) fn print_head() {
    let (name, value, floor, unit) = ("row", "value", "floor", "unit");
    println!("{name:18} {value:>12} {floor:>12} {unit:14} {:>7} {:>12}", "ratio", "aim");
}

fn median_value(samples: &[Sample]) -> f64 {
    median(samples.iter().map(|sample| sample.value).collect())
}

fn median_cpu(samples: &[Sample]) -> Option<f64> {
    samples.iter().map(|sample| sample.cpu_micros).collect::<Option<Vec<f64>>>().map(median)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

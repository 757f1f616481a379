//! What the walk came to: steps and figures.

use serde::Serialize;

/// The whole walk.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) steps: Vec<Step>,
    pub(super) figures: Vec<Figure>,
}

/// One step of it.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    name: &'static str,
    ok: bool,
    detail: String,
}

/// Something measured.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

/// What the seeds' system, on AWS, was measured at, in milliseconds.
const SEEDS: [(&str, f64); 5] = [
    ("connect_p50", 35.0),
    ("send_p99", 8.0),
    ("broadcast_100", 42.0),
    ("disconnect_cleanup", 15.0),
    ("jwt_check", 3.0),
];

impl Step {
    pub(super) fn of(name: &'static str, done: anyhow::Result<String>) -> Self {
        match done {
            Ok(detail) => Self { name, ok: true, detail },
            Err(e) => Self { name, ok: false, detail: format!("{e:#}") },
        }
    }
}

impl Outcome {
    pub(super) fn add(&mut self, step: Step) {
        println!("{} {}", if step.ok { "✔" } else { "✘" }, step.detail);
        self.steps.push(step);
    }

    pub(super) fn is_ok(&self) -> bool {
        self.steps.iter().all(|step| step.ok)
    }

    pub(super) fn print_figures(&self) {
        println!("\n{:<20} {:>10}   {:>15}", "figure", "here", "seed, on AWS");
        for Figure { name, value, unit } in &self.figures {
            let seed = SEEDS.iter().find(|(seed, _)| seed == name);
            let seed = seed.map_or(String::new(), |(_, value)| format!("{value:.0} {unit}"));
            println!("{name:<20} {value:>7.3} {unit}   {seed:>15}");
        }
    }
}

//! Readings of machines that run well, wear out or fail.

use std::fmt::Write;

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

const ROWS: usize = 1_200;

/// Label, share of the machines, and the mean and deviation of each reading.
struct State {
    label: &'static str,
    share: f64,
    temperature: (f64, f64),
    pressure: (f64, f64),
    vibration: (f64, f64),
}

const STATES: [State; 3] = [
    State {
        label: "normal",
        share: 0.6,
        temperature: (55.0, 4.0),
        pressure: (3.2, 0.25),
        vibration: (1.1, 0.25),
    },
    State {
        label: "worn",
        share: 0.3,
        temperature: (64.0, 4.5),
        pressure: (2.8, 0.3),
        vibration: (2.2, 0.45),
    },
    State {
        label: "faulty",
        share: 0.1,
        temperature: (78.0, 6.0),
        pressure: (2.1, 0.4),
        vibration: (3.9, 0.7),
    },
];

/// The content of `measurements.csv`: three readings and the load, the `label` of the machine's state, and as `target`
/// the hours until service. About two readings in a hundred are missing and one in a hundred is far out.
#[must_use]
pub fn measurements(seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = String::from("temperature,pressure,vibration,load,label,target\n");
    for _ in 0..ROWS {
        let state = draw_state(&mut random);
        let mut around = |(mean, deviation): (f64, f64)| mean + deviation * super::normal(&mut random);
        let (temperature, pressure) = (around(state.temperature), around(state.pressure));
        let mut vibration = around(state.vibration).max(0.0);
        let noise = around((0.0, 18.0));
        let load: f64 = random.random_range(20.0..95.0);
        let hours = (900.0 - 6.0 * temperature - 70.0 * vibration - 2.0 * load + noise).max(0.0);
        if random.random_bool(0.01) {
            vibration *= random.random_range(6.0..9.0);
        }
        let pressure = reading(pressure, &mut random);
        let vibration = reading(vibration, &mut random);
        writeln!(text, "{temperature:.2},{pressure},{vibration},{load:.1},{},{hours:.1}", state.label)
            .expect("a String takes all");
    }
    text
}

fn draw_state(random: &mut ChaCha8Rng) -> &'static State {
    let mut left: f64 = random.random();
    for state in &STATES {
        left -= state.share;
        if left < 0.0 {
            return state;
        }
    }
    &STATES[0]
}

fn reading(value: f64, random: &mut ChaCha8Rng) -> String {
    if random.random_bool(0.02) { String::new() } else { format!("{value:.3}") }
}

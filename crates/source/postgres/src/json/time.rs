//! Dates, times and intervals as PostgreSQL prints them, with `DateStyle` ISO and `IntervalStyle` postgres.

const DAY_MICROS: i64 = 86_400_000_000;

/// Days since 1970-01-01 of `2026-11-21`, `0044-03-15 BC`.
pub(super) fn days(text: &str) -> Option<i64> {
    let (date, before_christ) = match text.strip_suffix(" BC") {
        Some(date) => (date, true),
        None => (text, false),
    };
    let mut parts = date.splitn(3, '-');
    let year = digits(parts.next()?)?;
    let month = digits(parts.next()?)?;
    let day = digits(parts.next()?)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year == 0 {
        return None;
    }
    // 1 BC is the year 0.
    Some(days_from_civil(if before_christ { 1 - year } else { year }, month, day))
}

/// Howard Hinnant's algorithm, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Microseconds since midnight of `09:41:43.007042`; 24:00:00 is PostgreSQL's last.
pub(super) fn micros_of_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hours = digits(parts.next()?)?;
    let minutes = digits(parts.next()?)?;
    let (seconds, fraction) = seconds(parts.next()?)?;
    if hours > 24 || minutes > 59 || seconds > 60 {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction)
}

/// `43.007042` as seconds and microseconds.
fn seconds(text: &str) -> Option<(i64, i64)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 6 || (text.contains('.') && fraction.is_empty()) {
        return None;
    }
    let micros =
        if fraction.is_empty() { 0 } else { digits(fraction)? * 10_i64.pow(6 - fraction.len() as u32) };
    Some((digits(seconds)?, micros))
}

/// Microseconds since 1970 of `2026-11-21 09:41:43.007042`.
pub(super) fn micros(text: &str) -> Option<i64> {
    let (text, era) = match text.strip_suffix(" BC") {
        Some(text) => (text, " BC"),
        None => (text, ""),
    };
    let (date, time) = text.split_once(' ')?;
    let days = if era.is_empty() { days(date)? } else { days(&format!("{date}{era}"))? };
    days.checked_mul(DAY_MICROS)?.checked_add(micros_of_day(time)?)
}

/// `2026-11-21T09:41:43.007042Z` of `2026-11-21 09:41:43.007042+00`. What has no such form stays text.
pub(super) fn iso_utc(text: &str) -> Option<String> {
    let text = text.strip_suffix("+00")?;
    let (date, time) = text.split_once(' ')?;
    (date.len() == 10).then(|| format!("{date}T{time}Z"))
}

/// `08:00:00.25Z` of `10:00:00.25+02`.
pub(super) fn iso_time_utc(text: &str) -> Option<String> {
    let at = text.rfind(['+', '-'])?;
    let (time, zone) = text.split_at(at);
    let (sign, zone) = (if zone.starts_with('-') { -1 } else { 1 }, &zone[1..]);
    let mut parts = zone.splitn(3, ':').map(digits);
    let mut part = || parts.next().unwrap_or(Some(0));
    let offset = sign * ((part()? * 60 + part()?) * 60 + part()?);
    let micros = (micros_of_day(time)? - offset.checked_mul(1_000_000)?).rem_euclid(DAY_MICROS);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!("{fraction:06}");
    Some(match fraction.trim_end_matches('0') {
        "" => format!("{clock}Z"),
        fraction => format!("{clock}.{fraction}Z"),
    })
}

/// Microseconds of `1 year 2 mons -3 days 04:05:06.5`, a month taken as 365.25 / 12 days, as Debezium does.
pub(super) fn interval_micros(text: &str) -> Option<i64> {
    const MONTH_MICROS: i64 = 2_629_800_000_000;
    let mut total: i64 = 0;
    let mut words = text.split(' ').peekable();
    words.peek().filter(|word| !word.is_empty())?;
    while let Some(word) = words.next() {
        let micros = if word.contains(':') {
            let (negative, time) = match word.strip_prefix('-') {
                Some(time) => (true, time),
                None => (false, word.strip_prefix('+').unwrap_or(word)),
            };
            // Hours of an interval are not bound to a day.
            let (hours, rest) = time.split_once(':')?;
            let micros = digits(hours)?.checked_mul(3_600_000_000)? + micros_of_day(&format!("00:{rest}"))?;
            if negative { -micros } else { micros }
        } else {
            let number: i64 = word.parse().ok()?;
            number.checked_mul(match words.next()? {
                "year" | "years" => 12 * MONTH_MICROS,
                "mon" | "mons" => MONTH_MICROS,
                "day" | "days" => DAY_MICROS,
                _ => return None,
            })?
        };
        total = total.checked_add(micros)?;
    }
    Some(total)
}

/// A number of at most nine digits, so that sums of them stay in bounds.
fn digits(text: &str) -> Option<i64> {
    let fits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

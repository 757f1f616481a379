//! What an unknown name was probably meant to be.

use super::path::Path;

/// The nearest of `known` to `name`, if it is near enough to be a slip.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(slips_max(name), name, known)
}

/// How far from what was meant a name of this length may be.
fn slips_max(name: &str) -> usize {
    (name.chars().count() / 3).max(1)
}

fn nearest_within<'a>(
    distance_max: usize,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let chars = name.chars().count();
    known
        .into_iter()
        // Two names are at least as far apart as their lengths; to measure takes the product of them.
        .filter(|candidate| chars.abs_diff(candidate.chars().count()) <= distance_max)
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The setting that an unknown one was probably meant to be: one beside it, one of that name in another
/// section, or one whose sections were joined by a single underscore.
pub(super) fn setting(unknown: &Path, beside: &[&str], known: &[Path]) -> Option<Path> {
    let (parent, last) = (unknown.parent()?, unknown.keys().last()?);
    if let Some(sibling) = nearest(last, beside.iter().copied()) {
        return Some(parent.key(sibling));
    }
    if let Some(elsewhere) = known.iter().find(|path| path.keys().last() == Some(last)) {
        return Some(elsewhere.clone());
    }
    let flat = |path: &Path| path.keys().collect::<Vec<_>>().join("_");
    let flattened: Vec<_> = known.iter().map(flat).collect();
    let name = flat(unknown);
    // A section that is right does not bring a name nearer that is not.
    let found = nearest_within(slips_max(last), &name, flattened.iter().map(String::as_str))?;
    known.iter().find(|path| flat(path) == found).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood() {
        let known: Vec<_> = ["engine", "engine.queue_depth_max", "listen", "listen.port"]
            .map(|name| Path::parse(name).expect("a name"))
            .into();
        let suggest = |unknown: &str, beside: &[&str]| {
            let unknown = Path::parse(unknown).expect("a name");
            setting(&unknown, beside, &known).map(|path| path.to_string())
        };
        let engine = Some("engine.queue_depth_max".to_owned());
        assert_eq!(suggest("engine.queue_dept_max", &["queue_depth_max"]), engine);
        assert_eq!(suggest("queue_depth_max", &["engine", "listen"]), engine);
        assert_eq!(suggest("engine_queue_depth_max", &["engine", "listen"]), engine);
        assert_eq!(suggest("engne.queue_depth_max", &["engine", "listen"]), engine);
        assert_eq!(suggest("colour", &["engine", "listen"]), None);
        assert_eq!(suggest("listen.bogus", &["port"]), None);
        // Without a measuring that would take minutes.
        assert_eq!(suggest(&"x".repeat(4_000_000), &["engine", "listen"]), None);
    }
}

//! Tenants in the metrics: the largest by name, the others together.
//!
//! Written here rather than recorded: a recorder keeps a label for good once it has been there, and tenants come and
//! go without end.

use std::fmt::Write as _;

use crate::Hub;

/// So many tenants are named.
const NAMED_MAX: usize = 20;

/// The longest name that is shown, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The connections of the tenants, as Prometheus reads them.
pub(super) fn connections(hub: &Hub) -> String {
    let (largest, others) = hub.largest_tenants(NAMED_MAX);
    let mut text = String::from("# TYPE streamer_tenant_connections gauge\n");
    let mut write = |label: &str, count: usize| {
        let _ = writeln!(text, "streamer_tenant_connections{{{label}}} {count}");
    };
    for (tenant, count) in largest {
        write(&format!("tenant=\"{}\"", escaped(tenant.as_str())), count);
    }
    // A label of its own: a tenant may be called anything.
    write("others=\"true\"", others);
    text
}

fn escaped(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().take(NAME_CHARS_MAX) {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use streamer_protocol::TenantId;

    use super::*;
    use crate::Settings;

    #[test]
    fn the_largest_are_named_and_no_name_breaks_out() {
        let hub = Hub::new(&Settings::default());
        let place = |tenant: &str| hub.place(&TenantId::new(tenant)).expect("room");
        let mut held: Vec<_> =
            (0..NAMED_MAX).flat_map(|n| [place(&n.to_string()), place(&n.to_string())]).collect();
        held.extend(["a", "b", "c"].map(place));
        let text = connections(&hub);
        assert_eq!(text.lines().count(), NAMED_MAX + 2);
        assert!(text.contains("{tenant=\"7\"} 2\n") && text.ends_with("{others=\"true\"} 3\n"), "{text}");

        drop(held);
        let _odd = place("a\"b\\c\nd");
        assert!(connections(&hub).contains(r#"{tenant="a\"b\\c\nd"} 1"#), "{}", connections(&hub));
        assert_eq!(escaped(&"x".repeat(1000)).len(), NAME_CHARS_MAX);
    }
}

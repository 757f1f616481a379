//! Which crate may import which: bins → adapters → the engine or the events → the protocol.
//!
//! Rust keeps packages free of cycles by itself; these rules keep them in their layers.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata};

/// What each package of the workspace may import from it. For its tests a package may import any library.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("streamer-protocol", &[]),
    // Beneath both halves: where a test has a process die. It knows none of their steps.
    ("streamer-failpoint", &[]),
    ("streamer-engine", &["streamer-failpoint", "streamer-protocol"]),
    // The engine and the events do not import each other: only programs see both.
    ("streamer-events", &["streamer-failpoint"]),
    // Adapters: each knows one technology, and none knows another.
    // What two adapters share of one technology.
    ("streamer-http", &[]),
    ("streamer-auth", &["streamer-engine", "streamer-http", "streamer-protocol"]),
    ("streamer-remote", &["streamer-engine", "streamer-http", "streamer-protocol"]),
    ("streamer-store-sqlite", &["streamer-engine", "streamer-protocol"]),
    ("streamer-store-conformance", &["streamer-engine", "streamer-protocol"]),
    ("streamer-events-conformance", &["streamer-events"]),
    ("streamer-source-postgres", &["streamer-events"]),
    ("streamer-sink-mongodb", &["streamer-events"]),
    // Around the pipeline: what writes its outbox, and what looks into both of its ends.
    ("streamer-events-tools", &["streamer-events", "streamer-sink-mongodb", "streamer-source-postgres"]),
    // The one adapter between the two halves.
    ("streamer-sink-topics", &["streamer-engine", "streamer-events", "streamer-protocol"]),
    // Starts real servers; for tests, benchmarks and the demonstration.
    ("streamer-servers", &[]),
    ("streamer-server", &["streamer-auth", "streamer-engine", "streamer-protocol"]),
    ("streamer-demo", &["streamer-engine", "streamer-protocol"]),
    ("streamer-client", &["streamer-protocol"]),
    ("streamer-service", &[]),
    // Programs: they put the pieces together.
    ("streamer-cli", LIBRARIES),
    // An application makes its own binary out of the command line's library.
    ("streamer-examples", &["streamer-cli", "streamer-engine", "streamer-events"]),
    (
        "streamer-e2e",
        &["streamer-auth", "streamer-cli", "streamer-engine", "streamer-events", "streamer-protocol"],
    ),
    // It measures the product's own binary too.
    (
        "streamer-bench",
        &[
            "streamer-auth",
            "streamer-cli",
            "streamer-engine",
            "streamer-events",
            "streamer-events-tools",
            "streamer-protocol",
            "streamer-remote",
            "streamer-server",
            "streamer-servers",
            "streamer-service",
            "streamer-source-postgres",
            "streamer-store-sqlite",
        ],
    ),
    ("streamer-fuzz", LIBRARIES),
    ("xtask", &["streamer-protocol", "streamer-servers"]),
];

/// What a program may be made of. `streamer-store-conformance` is not among them: it is for tests alone.
const LIBRARIES: &[&str] = &[
    "streamer-auth",
    "streamer-client",
    "streamer-demo",
    "streamer-engine",
    "streamer-events",
    "streamer-events-tools",
    "streamer-failpoint",
    "streamer-protocol",
    "streamer-remote",
    "streamer-server",
    "streamer-servers",
    "streamer-service",
    "streamer-sink-mongodb",
    "streamer-sink-topics",
    "streamer-source-postgres",
    "streamer-store-sqlite",
];

/// What must not be compiled for a package, at any distance, and why.
const NEVER_COMPILES: &[(&str, &[&str], &str)] = &[
    ("streamer-protocol", &["tokio", "hyper", "rusqlite"], "the wire does no I/O"),
    (
        "streamer-engine",
        &["axum", "hyper", "rusqlite", "tokio-tungstenite"],
        "a port's technology is its adapter's",
    ),
    (
        "streamer-events",
        &["axum", "hyper", "mongodb", "postgres-protocol", "rustls"],
        "a port's technology is its adapter's",
    ),
    (
        "streamer-client",
        &["streamer-engine", "rusqlite", "axum"],
        "a client runs no server and keeps no store",
    ),
    ("streamer-server", &["rusqlite"], "the store is chosen by the program"),
];

/// Features with which a program breaks on purpose: only the dependencies of tests turn them on, so that no build of
/// the workspace has them.
const FOR_TESTS: &[&str] = &["failpoints", "faults", "planted"];

/// Packages and what they depend on, tests aside where it says so.
#[derive(Clone, Default)]
struct Graph {
    /// The packages of the workspace.
    ours: BTreeSet<String>,
    /// For every package in the tree: what it is compiled with.
    compiled_with: BTreeMap<String, BTreeSet<String>>,
    /// For every package of the workspace: what its own code and its default features turn on.
    turned_on: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of(metadata: &Metadata) -> Self {
        let name = |id: &cargo_metadata::PackageId| metadata[id].name.to_string();
        let mut graph = Self::default();
        graph.ours.extend(metadata.workspace_members.iter().map(name));
        for package in metadata.workspace_packages() {
            let used = package.dependencies.iter().filter(|used| used.kind != DependencyKind::Development);
            let features = used
                .flat_map(|used| &used.features)
                .chain(package.features.get("default").into_iter().flatten());
            graph.turned_on.insert(package.name.to_string(), features.cloned().collect());
        }
        let resolved = metadata.resolve.as_ref().expect("metadata was asked for with its dependencies");
        for node in &resolved.nodes {
            let compiled = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|info| info.kind != DependencyKind::Development)
            });
            // Two versions of a package are one here: neither may be where one must not.
            let names = compiled.map(|dependency| name(&dependency.pkg));
            graph.compiled_with.entry(name(&node.id)).or_default().extend(names);
        }
        graph
    }

    fn direct(&self, package: &str) -> impl Iterator<Item = &str> {
        self.compiled_with.get(package).into_iter().flatten().map(String::as_str)
    }

    /// Everything that is compiled for a package.
    fn all<'a>(&'a self, package: &'a str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![package];
        while let Some(next) = open.pop() {
            open.extend(self.direct(next).filter(|dependency| seen.insert(*dependency)));
        }
        seen
    }

    fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for package in &self.ours {
            let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| name == package) else {
                violations.push(format!("{package} has no rule yet: give it one in xtask/src/imports.rs"));
                continue;
            };
            let ours = self.direct(package).filter(|import| self.ours.contains(*import));
            let wrong = ours.filter(|import| !allowed.contains(import));
            violations.extend(wrong.map(|import| format!("{package} must not import {import}")));
        }
        for (package, features) in &self.turned_on {
            // As another feature's, one is `package/feature`.
            let feature = |full: &str| FOR_TESTS.contains(&full.rsplit('/').next().unwrap_or(full));
            let wrong = features.iter().filter(|full| feature(full));
            violations
                .extend(wrong.map(|full| format!("{package} must not turn on {full}, which is for tests")));
        }
        for (package, never, reason) in NEVER_COMPILES {
            let all = self.all(package);
            let wrong = never.iter().filter(|name| all.contains(*name));
            violations.extend(wrong.map(|name| format!("{package} must not compile {name}: {reason}")));
        }
        violations
    }
}

/// What breaks the rules, a line each.
pub(crate) fn violations(metadata: &Metadata) -> Vec<String> {
    Graph::of(metadata).violations()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    fn graph() -> Graph {
        Graph::of(&Workspace::load().expect("cargo is there").metadata)
    }

    #[test]
    fn imports_go_one_way() {
        assert_eq!(graph().violations(), Vec::<String>::new());
    }

    #[test]
    fn every_rule_is_about_a_package_that_exists() {
        let ours = graph().ours;
        let named = MAY_IMPORT.iter().map(|(name, _)| *name);
        assert_eq!(named.collect::<BTreeSet<_>>(), ours.iter().map(String::as_str).collect());
        assert!(NEVER_COMPILES.iter().all(|(name, ..)| ours.contains(*name)));
    }

    #[test]
    fn a_wrong_import_is_found() {
        let planted = |package: &str, import: &str| {
            let mut graph = graph();
            graph.compiled_with.entry(package.to_owned()).or_default().insert(import.to_owned());
            graph.violations().join("\n")
        };
        for (package, import) in [
            ("streamer-protocol", "streamer-engine"),
            ("streamer-engine", "streamer-store-sqlite"),
            ("streamer-server", "streamer-service"),
            ("streamer-store-sqlite", "streamer-store-conformance"),
            ("streamer-cli", "streamer-store-conformance"),
            ("streamer-client", "streamer-store-sqlite"),
            ("streamer-events", "streamer-engine"),
        ] {
            let found = planted(package, import);
            assert!(found.contains(&format!("{package} must not import {import}")), "{found}");
        }
        // At a distance: serde is part of everything.
        let found = planted("serde", "rusqlite");
        assert!(found.contains("streamer-client must not compile rusqlite"), "{found}");
    }

    #[test]
    fn a_feature_for_tests_is_found() {
        for feature in ["faults", "streamer-engine/failpoints", "streamer-events/failpoints"] {
            let mut graph = graph();
            graph.turned_on.entry("streamer-cli".to_owned()).or_default().insert(feature.to_owned());
            assert!(graph.violations().join("\n").contains(&format!("must not turn on {feature}")));
        }
    }

    #[test]
    fn a_package_without_a_rule_is_found() {
        let mut graph = graph();
        graph.ours.insert("streamer-new".to_owned());
        assert!(graph.violations().join("\n").contains("streamer-new has no rule"));
    }
}

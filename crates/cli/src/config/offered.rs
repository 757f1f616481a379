//! What the configuration says of actions, held against those that the program offers.

use std::collections::BTreeSet;

use streamer_engine::Router;
use streamer_service::config::Mistakes;

use super::Config;

/// Lists every action that is not there, and those that would be there twice. `own` are the program's.
pub(super) fn check(config: &Config, own: &Router, mistakes: &mut Mistakes) {
    let own = names(config, own);
    let behind_urls = config.actions.iter().filter(|(_, action)| action.url.is_some());
    let offered: BTreeSet<&str> =
        own.iter().map(String::as_str).chain(behind_urls.map(|(name, _)| name.as_str())).collect();
    let missing = || {
        let names = offered.iter().copied().collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { "none".to_owned() } else { names };
        format!("correct the name, or give the action a url; there are: {names}")
    };
    for name in config.engine.action_running_max.keys() {
        if !offered.contains(name.as_str()) {
            let problem = format!("there is no action {name:?}: {}", missing());
            mistakes.push("engine.action_running_max", problem);
        }
    }
    for (name, action) in &config.actions {
        if action.url.is_some() && own.contains(name) {
            let problem = "there is an action of this name already: choose another, or leave url out";
            mistakes.push(format!("actions.{name:?}.url"), problem);
        }
        if action.webhook_url.is_some() && !offered.contains(name.as_str()) {
            let problem = format!("there is no action {name:?}: {}", missing());
            mistakes.push(format!("actions.{name:?}.webhook_url"), problem);
        }
    }
}

#[cfg(feature = "demo")]
fn names(config: &Config, own: &Router) -> BTreeSet<String> {
    let demo = config.demo.enabled.then(|| streamer_demo::Settings::demo(&config.demo.data_dir));
    let demo = demo.map(streamer_demo::routes);
    [own].into_iter().chain(&demo).flat_map(|routes| routes.actions().map(ToString::to_string)).collect()
}

#[cfg(not(feature = "demo"))]
fn names(_: &Config, own: &Router) -> BTreeSet<String> {
    own.actions().map(ToString::to_string).collect()
}

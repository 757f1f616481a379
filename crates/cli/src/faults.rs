//! What tests do to a server from outside: let it die at a chosen place, and set its clock. Without the feature
//! `faults`, which only tests turn on, nothing of it is there.

#[cfg(not(feature = "faults"))]
mod switch {
    use streamer_engine::Ports;

    /// Takes what the environment asks for.
    pub(crate) const fn arm() -> anyhow::Result<()> {
        Ok(())
    }

    /// The ports, with what is asked for around them.
    pub(crate) const fn ports(ports: Ports) -> Ports {
        ports
    }

    /// The variables that ask for it.
    pub(crate) const VARIABLES: &[&str] = &[];
}

#[cfg(feature = "faults")]
mod switch {
    use std::{env, fs, path::PathBuf, sync::Arc};

    use streamer_engine::{Ports, clock::Clock, failpoint, protocol::Timestamp};
    use streamer_events::failpoint::Step as EventStep;

    /// A place to die at, such as `commit.after:3`.
    const FAILPOINT: &str = "STREAMER_FAILPOINT";

    /// A file that holds by how many seconds the clock is wrong.
    const CLOCK_FILE: &str = "STREAMER_CLOCK_FILE";

    /// The variables that ask for it.
    pub(crate) const VARIABLES: &[&str] = &[FAILPOINT, CLOCK_FILE];

    /// Takes what the environment asks for.
    pub(crate) fn arm() -> anyhow::Result<()> {
        let Ok(place) = env::var(FAILPOINT) else { return Ok(()) };
        let of_requests = failpoint::Step::ALL.iter().map(|step| step.name());
        let of_events = EventStep::ALL.iter().map(|step| step.name());
        streamer_failpoint::arm(&place, of_requests.chain(of_events)).map_err(anyhow::Error::msg)
    }

    /// The ports, with what is asked for around them.
    pub(crate) fn ports(ports: Ports) -> Ports {
        let clock = match env::var_os(CLOCK_FILE) {
            Some(file) => Arc::new(WrongClock { right: ports.clock, file: file.into() }),
            None => ports.clock,
        };
        Ports { store: failpoint::around(ports.store), clock, ..ports }
    }

    /// A clock that somebody sets while it is being read.
    struct WrongClock {
        right: Arc<dyn Clock>,
        file: PathBuf,
    }

    impl Clock for WrongClock {
        fn now(&self) -> Timestamp {
            let wrong_by_s = fs::read_to_string(&self.file).ok().and_then(|text| text.trim().parse().ok());
            let wrong_by_s: i64 = wrong_by_s.unwrap_or(0);
            Timestamp::from_millis(self.right.now().as_millis() + 1000 * wrong_by_s)
        }
    }
}

pub(crate) use switch::{VARIABLES, arm, ports};

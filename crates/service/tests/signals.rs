//! Signals, sent to a process of their own.

#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use streamer_service::signals::{Hangups, Stop};

/// Not a test of its own: the process to which the others send signals.
#[tokio::test]
#[ignore = "run by the other tests"]
async fn process() {
    let stop = Stop::on_signals().unwrap();
    println!("\nlistening");
    stop.fired().await;
    println!("\nstopping");
    if std::env::var_os("STREAMER_TEST_HANG").is_some() {
        std::future::pending::<()>().await;
    }
    drop(stop);
    println!("\nended");
}

/// Not a test of its own either.
#[tokio::test]
#[ignore = "run by the other tests"]
async fn hanging_up() {
    let (stop, mut hangups) = (Stop::on_signals().unwrap(), Hangups::listen().unwrap());
    println!("\nlistening");
    for _ in 0..2 {
        hangups.next().await;
        println!("\nasked");
    }
    stop.fired().await;
}

struct Process(Child, Lines<BufReader<ChildStdout>>);

impl Process {
    fn start(hang: bool) -> Self {
        Self::start_as("signals::process", hang)
    }

    fn start_as(name: &str, hang: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--ignored", "--nocapture"]).stdout(Stdio::piped());
        if hang {
            command.env("STREAMER_TEST_HANG", "1");
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self(child, lines);
        process.says("listening");
        process
    }

    fn says(&mut self, word: &str) {
        assert!(self.1.any(|line| line.unwrap() == word), "the process ended without saying {word}");
    }

    fn send(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

#[test]
fn one_signal_stops() {
    for signal in ["-TERM", "-INT"] {
        let mut process = Process::start(false);
        process.send(signal);
        process.says("stopping");
        process.says("ended");
        assert!(process.0.wait().unwrap().success());
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let mut process = Process::start(true);
        process.send("-TERM");
        process.says("stopping");
        process.send(signal);
        assert_eq!(process.0.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn a_hangup_asks_and_ends_nothing() {
    let mut process = Process::start_as("signals::hanging_up", false);
    for _ in 0..2 {
        process.send("-HUP");
        process.says("asked");
    }
    process.send("-TERM");
    assert!(process.0.wait().unwrap().success());
}

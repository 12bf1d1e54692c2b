//! Signals that ask a training to end, and those that it was told to ignore.
#![cfg(unix)]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use place::{Place, texts};

#[path = "support/place.rs"]
mod place;

const SIGNALS: [(&str, libc::c_int); 3] =
    [("HUP", libc::SIGHUP), ("INT", libc::SIGINT), ("TERM", libc::SIGTERM)];

const TRAIN: &str = "train --config tiny.toml --data data.csv --set train.epochs=20 --out run";

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// A training after its first checkpoint, started with one signal ignored, as `nohup` does it.
fn training(place: &Place, ignored: libc::c_int) -> Child {
    let mut program = place.command(TRAIN);
    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        program.pre_exec(move || {
            libc::signal(ignored, libc::SIG_IGN);
            Ok(())
        });
    }
    let child = program.spawn().unwrap();
    let started = Instant::now();
    while !place.path("run/last.safetensors").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint comes");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    for (name, number) in SIGNALS {
        let place = Place::new();
        let child = training(&place, number);
        signal(&child, &format!("-{name}"));
        let output = child.wait_with_output().unwrap();
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{name}: {err}");
        assert!(out.contains("of 20 epochs") && !err.contains("stopping"), "{name}: {out}{err}");
    }
}

#[test]
fn other_signals_stop_a_training_once_its_state_is_saved() {
    for (index, (name, _)) in SIGNALS.into_iter().enumerate() {
        let place = Place::new();
        let (_, another) = SIGNALS[(index + 1) % SIGNALS.len()];
        let child = training(&place, another);
        signal(&child, &format!("-{name}"));
        let output = child.wait_with_output().unwrap();
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(130), "{name}: {err}");
        assert!(err.contains("stopping") && err.contains("train --resume "), "{name}: {err}");
    }
}

//! Commands that tell of models, devices and the program itself.

use std::fs;

use clap::ValueEnum;
use clap_complete::Shell;
use moodshader::exec::{AdapterSummary, Record, adapters};
use moodshader::model::parameters::parameter_shapes;
use serde_json::Value;

#[path = "support/trained.rs"]
mod trained;
use trained::Trained;

#[test]
fn info_tells_what_a_checkpoint_holds() {
    let place = Trained::new();
    let text = place.ok("info --model run/best.safetensors");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "file run/best.safetensors (moodshader/1",
        "happy, dark, epic",
        "12 clips (happy 4, dark 4, epic 6), 8 for validation",
        "macro ROC-AUC",
        "thresholds",
        "n_fft 512",
        "horizontal.blocks.1 [4, 16, 43]",
        "horizontal.lstm0 [43, 16]",
        "horizontal.lstm1 [8]",
        "dense [3]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let value: Value =
        serde_json::from_str(&place.ok("info --model run/last.safetensors --format json")).unwrap();
    let checkpoint = place.checkpoint("run/last.safetensors");
    let preset = checkpoint.description().unwrap().preset;
    let parameters: usize =
        parameter_shapes(&preset).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(value["parameters"], parameters);
    assert_eq!((&value["optimizer"], &value["update"]), (&true.into(), &45.into()));
    assert_eq!(value["preset"]["train"]["batch"], 4);
    assert!(value["training"]["validation"].is_null());
    for (file, named) in [("gone", "gone"), ("tiny.toml", "tiny.toml")] {
        let (code, _, err) = place.run(&format!("info --model {file}"));
        assert!(code == 2 && err.contains(named), "{err}");
    }
}

#[test]
fn devices_tell_whether_the_kernels_were_verified() {
    let place = Trained::new();
    let text = place.ok("devices");
    assert!(text.contains("not verified here") && text.contains("auto takes 0: "), "{text}");
    let summary = AdapterSummary::of(&adapters()[0].get_info());
    // What `moodshader verify` keeps.
    let cache = place.path("cache");
    for (failed, told) in
        [(vec![], "all 3 cases passed"), (vec!["optim/adam".to_owned()], "optim/adam")]
    {
        let record = Record { adapter: summary.to_string(), cases: 3, failed };
        record.keep(&summary, &cache).unwrap();
        assert_eq!(Record::of(&summary, &cache), Some(record));
        let text = place.ok("devices");
        let first = text.lines().nth(2).unwrap();
        assert!(first.contains(told) && !first.contains("not verified"), "{text}");
    }
    let other = AdapterSummary { driver: "another version".into(), ..summary };
    assert_eq!(Record::of(&other, &cache), None);
}

#[test]
fn a_verification_is_written_down_to_be_sent() {
    let place = Trained::new();
    let (code, out, err) = place.run("verify --filter layers/dense --report sent.json --seed 3");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("layers/dense/forward") && err.contains(" cases passed"), "{out} {err}");
    let text = std::fs::read_to_string(place.path("sent.json")).unwrap();
    let sent: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(sent["passed"], true);
    let adapter = &sent["adapters"][0];
    assert!(
        adapter["adapter"]["driver"].is_string()
            && adapter["kernels"].as_array().unwrap().len() >= 9
    );
    assert_eq!(adapter["update"]["preset"], "demo");
    assert!(adapter["update"]["clips_per_second"].as_f64().unwrap() > 0.0);
    let (code, _, err) = place.run("verify --device cpu");
    assert!(code == 2 && err.contains("CPU reference with itself"), "{err}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let place = Trained::new();
    for shell in Shell::value_variants() {
        let script = place.ok(&format!("completions {shell}"));
        assert!(script.contains("write-tags") && script.contains("evaluate"), "{shell}");
    }
    place.ok("man pages/here");
    let page = fs::read_to_string(place.path("pages/here/moodshader-predict.1")).unwrap();
    assert!(page.contains("playlist"), "{page}");
    for name in ["moodshader.1", "moodshader-train.1", "moodshader-dataset-check.1"] {
        assert!(place.path("pages/here").join(name).is_file(), "{name}");
    }
}

#[test]
fn a_name_that_is_nearly_right_is_suggested() {
    let place = Trained::new();
    for (arguments, suggested) in [
        ("evalute", "'evaluate'"),
        ("predict --modell x y", "'--model'"),
        ("completions bsh", "bash"),
        ("train --preset papper", "paper"),
        ("train --set train.bach=3", "train.batch"),
        ("train --data train.csv --moods drak", "dark"),
        ("train --device cup", "did you mean cpu?"),
    ] {
        let (code, _, err) = place.run(arguments);
        assert!(code == 2 && err.contains(suggested), "{arguments}: {code} {err}");
    }
}

/// A full disk behind standard output is told; a reader that has closed the pipe has what it wants.
#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_not_lost_in_silence() {
    let place = Trained::new();
    for arguments in [
        "predict --model run/best.safetensors --format csv .",
        "predict --model run/best.safetensors --format json .",
        "evaluate --model run/best.safetensors --data validation.csv",
        "info --model run/best.safetensors",
        "dataset stats train.csv",
        "devices",
        "predict --help",
        "--version",
        "completions bash",
    ] {
        let command = || trained::tones::program(&place.path("."), arguments);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command().stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {err}");
        assert!(err.contains("standard output"), "{arguments}: {err}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command().stdout(writer).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments}: {err}");
        assert!(!err.contains("error"), "{arguments}: {err}");
    }
}

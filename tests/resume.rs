//! How a training goes on after every way of being stopped, and when it does not.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use moodshader::model::checkpoint::Checkpoint;
use place::{CLIPS, Place, texts};

#[path = "support/place.rs"]
mod place;

fn updates(checkpoint: &Checkpoint) -> u64 {
    checkpoint.description().unwrap().update
}

#[test]
fn max_steps_stops_and_resume_goes_on_to_the_same_bytes() {
    let place = Place::new();
    place.train("--out whole");
    for steps in [0, 1, 3, 5, 8] {
        let run = format!("stopped-{steps}");
        let (_, err) = place.train(&format!("--out {run} --max-steps {steps}"));
        assert!(err.contains("--resume"), "{err}");
        assert_eq!(updates(&place.checkpoint(&format!("{run}/last.safetensors"))), steps);
        assert_eq!(place.path(&run).join("best.safetensors").exists(), steps >= 3);
        if steps == 1 {
            place.ok(&format!("train --resume {run} --max-steps 7"));
            assert_eq!(updates(&place.checkpoint(&format!("{run}/last.safetensors"))), 7);
        }
        place.ok(&format!("train --resume {run}"));
        place.same("whole", &run);
    }
    // More steps than there are change nothing; a finished run says so.
    place.train("--out more --max-steps 1000");
    place.same("whole", "more");
    let (out, err) = place.ok("train --resume more");
    assert!(err.contains("finished") && out.contains("macro"), "{out}{err}");
    place.same("whole", "more");
}

#[test]
fn what_is_drawn_for_an_update_is_drawn_again_on_resume() {
    let place = Place::new();
    let keys = ["mixup=0.4", "mask_bands=0.2", "mask_steps=0.2", "schedule=cosine"];
    let sets: String = keys.iter().map(|key| format!(" --set train.{key}")).collect();
    place.train(&format!("--out whole{sets}"));
    place.train(&format!("--out stopped{sets} --max-steps 4"));
    place.ok("train --resume stopped");
    place.same("whole", "stopped");
    // At the last epoch's end the cosine has come to nothing.
    let metrics = fs::read_to_string(place.path("whole/metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(last["learning_rate"].as_f64(), Some(0.0));
    let output = place.run("train --resume whole --epochs 9");
    assert_eq!(output.status.code(), Some(2));
    // Frozen layers never hear a changed clip.
    let output =
        place.run("train --init musicnn-msd --data data.csv --set train.mixup=0.4 --out frozen");
    let (_, err) = texts(&output);
    assert!(output.status.code() == Some(2) && err.contains("train.trainable"), "{err}");
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[cfg(unix)]
fn wait_for(path: &Path) {
    let started = Instant::now();
    // Whether the folder can be written is tried with an empty config.toml.
    while fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_kills_lose_nothing() {
    let place = Place::new();
    let long = "--set train.epochs=30";
    place.train(&format!("--out whole {long}"));
    let start = format!("train --config tiny.toml --data data.csv --out stopped {long}");
    let first = place.command(&start).spawn().unwrap();
    wait_for(&place.path("stopped/last.safetensors"));
    std::thread::sleep(Duration::from_millis(50));
    signal(&first, "-INT");
    let output = first.wait_with_output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(130), "{err}");
    for pause in [300, 450, 700] {
        let mut killed = place.command("train --resume stopped").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        let _ = killed.kill();
        killed.wait().unwrap();
    }
    place.ok("train --resume stopped");
    place.same("whole", "stopped");
}

#[cfg(unix)]
#[test]
fn a_run_that_is_trained_is_not_gone_on_with_beside() {
    let place = Place::new();
    let start = "train --config tiny.toml --data data.csv --out run --set train.epochs=1000";
    let mut first = place.command(start).spawn().unwrap();
    wait_for(&place.path("run/last.safetensors"));
    let second = place.run("train --resume run");
    let (_, err) = texts(&second);
    assert_eq!(second.status.code(), Some(2), "{err}");
    assert!(err.contains("a training is under way there"), "{err}");
    first.kill().unwrap();
    first.wait().unwrap();
    place.ok("train --resume run --max-steps 1");
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_features_are_computed_says_how_to_go_on() {
    let place = Place::new();
    let rows: Vec<String> = (0..200).map(|index| place.clip(index)).collect();
    place.manifest("data.csv", &rows);
    let start = "train --config tiny.toml --data data.csv --out run --max-steps 2";
    let first = place.command(start).spawn().unwrap();
    wait_for(&place.path("run/config.toml"));
    signal(&first, "-INT");
    let output = first.wait_with_output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("train --resume"), "{err}");
    place.ok("train --resume run --max-steps 2");
    place.train("--out whole --max-steps 2");
    place.same("whole", "run");
}

#[cfg(unix)]
#[test]
fn ctrl_c_before_the_report_says_what_writes_it() {
    let place = Place::new();
    place.train("--out whole");
    let start = "train --config tiny.toml --data data.csv --out run --quiet";
    let first = place.command(start).spawn().unwrap();
    let metrics = place.path("run/metrics.jsonl");
    wait_for(&place.path("run/last.safetensors"));
    while fs::read_to_string(&metrics).unwrap_or_default().lines().count() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&first, "-INT");
    let output = first.wait_with_output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("before the report was written") && err.contains("--resume"), "{err}");
    assert!(!place.path("run/report.html").exists());
    place.ok("train --resume run");
    place.same("whole", "run");
}

#[test]
fn without_its_state_a_run_is_not_begun_again() {
    let place = Place::new();
    place.train("--out run");
    fs::remove_file(place.path("run/last.safetensors")).unwrap();
    let before = place.files("run");
    let output = place.run("train --resume run --max-steps 4");
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("last.safetensors is missing") && err.contains("--init"), "{err}");
    assert!(place.files("run") == before);
}

#[test]
fn a_run_that_was_changed_is_not_gone_on_with() {
    let place = Place::new();
    place.train("--out run --max-steps 4");
    let good = place.files("run");
    let manifest = fs::read(place.path("data.csv")).unwrap();
    let config = String::from_utf8(good["config.toml"].clone()).unwrap();
    let last = &good["last.safetensors"];
    let write = |name: &str, bytes: &[u8]| fs::write(place.path(name), bytes).unwrap();
    let edited = |from: &str, to: &str| -> Vec<u8> {
        assert!(config.contains(from));
        config.replace(from, to).into()
    };
    let changes: [(&str, Vec<u8>, &[&str]); 10] = [
        ("run/config.toml", edited("batch = 4", "batch = 3"), &["train.batch: 4 then, 3 now"]),
        ("run/config.toml", edited("seed = 0", "seed = 1"), &["seed: 0 then, 1 now"]),
        ("run/config.toml", edited("batch = 4", "batch = 4\nbach = 4"), &["config.toml", "`bach`"]),
        ("run/config.toml", edited("seed = 0", "seed = 0\nsead = 0"), &["config.toml", "`sead`"]),
        ("run/tracks.csv", b"part,id,path\n".to_vec(), &["tracks.csv", "damaged", "moods"]),
        ("run/config.toml", b"seed = ".to_vec(), &["config.toml", "damaged"]),
        ("run/last.safetensors", last[..last.len() / 2].to_vec(), &["last.safetensors", "--init"]),
        ("run/last.safetensors", good["best.safetensors"].clone(), &["exp_avg", "--init"]),
        ("run/metrics.jsonl", Vec::new(), &["metrics.jsonl", "epoch 1"]),
        ("data.csv", manifest[..manifest.len() - 40].to_vec(), &["data.csv"]),
    ];
    for (name, bytes, named) in changes {
        let before = fs::read(place.path(name)).unwrap();
        write(name, &bytes);
        let changed = place.files("run");
        let output = place.run("train --resume run");
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {err}");
        assert!(named.iter().all(|part| err.contains(part)), "{name}: {err}");
        assert!(changed == place.files("run"), "{name}: a file was written");
        write(name, &before);
    }
    // Fewer tracks are another split.
    let text = String::from_utf8(manifest.clone()).unwrap();
    let fewer: Vec<&str> = text.lines().take(CLIPS).collect();
    write("data.csv", fewer.join("\n").as_bytes());
    let (_, err) = texts(&place.run("train --resume run"));
    assert!(err.contains("tracks have changed") && err.contains("1 gone"), "{err}");
    write("data.csv", &manifest);
    place.ok("train --resume run");
    place.train("--out whole");
    place.same("whole", "run");
    // What was changed after the end is told as well.
    write("run/config.toml", &edited("dropout = 0.5", "dropout = 0.25"));
    let output = place.run("train --resume run");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("model.dropout: 0.5 then, 0.25 now") && out.is_empty(), "{out}{err}");
}

#[test]
fn changed_tracks_are_named() {
    let place = Place::new();
    let rows: Vec<String> = (0..CLIPS).map(|index| place.clip(index)).collect();
    let parts = [("data.csv", 0..8), ("held.csv", 8..11), ("test.csv", 11..14)];
    for (name, range) in parts.clone() {
        place.manifest(name, &rows[range]);
    }
    let start = "--validation held.csv --test test.csv";
    place.train(&format!("{start} --out run --max-steps 1"));
    let list = fs::read_to_string(place.path("run/tracks.csv")).unwrap();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 1 + CLIPS);
    assert_eq!(lines[0], "part,id,path,moods");
    let listed = |index: usize| format!("größe/{index}, take 1.wav");
    let row = |part: &str, index: usize, moods: &str| {
        format!("{part},\"{0}\",\"{0}\",{moods}", listed(index))
    };
    assert_eq!(lines[1], row("training", 0, "happy|epic"));
    assert_eq!(lines[8], row("training", 7, "dark"));
    assert_eq!(lines[9], row("validation", 8, "epic"));
    assert_eq!(lines[14], row("test", 13, "dark"));

    let before = place.files("run");
    let swapped: Vec<String> = [0, 2, 1, 3, 4, 5, 6, 7].map(|row| rows[row].clone()).into();
    let relabelled = [rows[8].clone(), rows[9].replace("happy", "dark|epic"), rows[10].clone()];
    let replaced: Vec<String> = [0, 1, 2, 3, 4, 5, 6, 13].map(|row| rows[row].clone()).into();
    let changes = [
        (
            "data.csv",
            swapped,
            vec![format!("training: 2 in another order (the first: {})", listed(1))],
        ),
        (
            "data.csv",
            replaced,
            vec![
                format!("training: 1 gone (the first: {})", listed(7)),
                format!("1 new (the first: {})", listed(13)),
            ],
        ),
        (
            "held.csv",
            relabelled.into(),
            vec![format!(
                "validation: 1 relabelled (the first: {}, happy then, dark|epic now)",
                listed(9)
            )],
        ),
        (
            "test.csv",
            rows[11..12].to_vec(),
            vec![format!("test: 2 gone (the first: {})", listed(12))],
        ),
    ];
    for (name, changed, named) in changes {
        let manifest = fs::read(place.path(name)).unwrap();
        place.manifest(name, &changed);
        let output = place.run("train --resume run");
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {err}");
        assert!(named.iter().all(|part| err.contains(part)), "{name}: {err}");
        for (other, _) in &parts {
            let part = match *other {
                "data.csv" => "training:",
                "held.csv" => "validation:",
                _ => "test:",
            };
            assert_eq!(err.contains(part), *other == name, "{name}: {err}");
        }
        assert!(before == place.files("run"), "{name}: a file was written");
        fs::write(place.path(name), manifest).unwrap();
    }
    // Audio that cannot be read any more is gone, too.
    let audio = fs::read(place.path(&listed(2))).unwrap();
    fs::remove_file(place.path(&listed(2))).unwrap();
    let (_, err) = texts(&place.run("train --resume run"));
    let gone = format!("training: 1 gone (the first: {})", listed(2));
    assert!(err.contains(&gone) && err.contains("cannot be read count as gone"), "{err}");
    fs::write(place.path(&listed(2)), audio).unwrap();
    // A run of a version that kept no list goes on, too.
    fs::remove_file(place.path("run/tracks.csv")).unwrap();
    place.ok("train --resume run --max-steps 2");
}

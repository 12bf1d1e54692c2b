//! `moodshader compare` as people use it: what the table says, how a comparison goes on after every
//! way of being stopped, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use moodshader::metrics::{Scores, average_precision, roc_auc};
use moodshader::run::read_predictions;
use serde_json::Value;
use tempfile::TempDir;
use tones::MOODS;

#[path = "support/tones.rs"]
mod tones;

/// `paper`'s form in small; the other presets are made from it.
const TRAINING: &str = "[train]\nepochs = 3\nbatch = 4\nlearning_rate = 1e-2\n";
const CLIPS: usize = 24;

/// A small corpus that is easy to learn, presets, and a cache of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        let write = |name: &str, text: &str| fs::write(place.path(name), text).unwrap();
        let preset = [tones::MODEL, TRAINING].concat();
        write("tiny.toml", &preset);
        write("twin.toml", &preset);
        write("sigmoid.toml", &preset.replace("[[model", "[model]\noutput = \"sigmoid\"\n[[model"));
        write("idle.toml", &preset.replace("1e-2", "1e-12"));
        write("other.toml", &preset.replace("\"epic\"", "\"calm\""));
        let rows: String = (0..CLIPS).map(|index| place.clip(index)).collect();
        write("data.csv", &format!("path,tags\n{rows}"));
        place
    }

    /// Writes clip `index`, a tone whose pitch tells its mood, and gives its row.
    fn clip(&self, index: usize) -> String {
        let pitch = 0.05 * (1 + 4 * (index % 3)) as f32;
        tones::wav(&self.path(&format!("{index}.wav")), pitch, 22_050, index as u32 + 1);
        let second = if index.is_multiple_of(8) { "|epic" } else { "" };
        format!("{index}.wav,{}{second}\n", MOODS[index % 3])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &str) -> Command {
        tones::program(self.0.path(), &format!("compare {arguments}"))
    }

    /// Standard output and standard error of what must end with `status`.
    fn compare(&self, arguments: &str, status: i32) -> (String, String) {
        texts(&self.command(arguments).output().unwrap(), status)
    }

    fn json(&self, out: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{out}/comparison.json"))).unwrap()
    }

    /// The table without what the clock decides.
    fn timeless(&self, out: &str) -> Value {
        let mut json = self.json(out);
        for row in json["presets"].as_array_mut().unwrap() {
            row["clips_per_second"].take();
        }
        json
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }
}

fn texts(output: &Output, status: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    (out, err)
}

/// Waits until a run has ended two epochs: the state of the first is saved then.
fn wait_for_epochs(run: &Path) {
    let started = Instant::now();
    let lines =
        || fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    while lines() < 2 {
        assert!(started.elapsed() < Duration::from_secs(120), "{} does not come", run.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_table_says_what_the_runs_reached() {
    let place = Place::new();
    let arguments = "--presets tiny.toml,sigmoid.toml,twin.toml,idle.toml --data data.csv \
                     --validation data.csv --set train.epochs=8 --out out";
    let (out, _) = place.compare(arguments, 0);
    let table = place.json("out");
    let rows = table["presets"].as_array().unwrap();
    let names = ["tiny", "sigmoid", "twin", "idle"];
    assert!(rows.iter().map(|row| &row["preset"]).eq(names));
    for (row, name) in rows.iter().zip(names) {
        let lines = place.text(&format!("out/{name}/seed-0/metrics.jsonl"));
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 8);
        let best = &lines[row["best_epochs"][0].as_u64().unwrap() as usize - 1];
        let greatest =
            |line: &Value| line["roc_auc"]["macro"].as_f64() <= best["roc_auc"]["macro"].as_f64();
        assert!(lines.iter().all(greatest));
        let averaged = &row["averaged_scores"];
        assert_eq!(averaged["roc_auc"], best["roc_auc"]);
        assert_eq!(averaged["pr_auc"], best["pr_auc"]);
        assert_eq!(row["over_seeds"]["roc_auc"]["mean"], best["roc_auc"]["macro"]);
        assert_eq!(row["train_loss"]["mean"], best["train_loss"]);
        let [train, validation] = ["train_loss", "validation_loss"].map(|key| best[key].as_f64());
        assert_eq!(row["gap"]["mean"].as_f64(), Some(validation.unwrap() - train.unwrap()));
        let interval = &averaged["roc_auc_interval"]["macro"];
        assert!(interval[0].as_f64() <= best["roc_auc"]["macro"].as_f64());
        assert!(interval[1].as_f64() >= interval[0].as_f64());
        assert!(row["clips_per_second"].as_f64().unwrap() > 0.0);
        // Text and Markdown have every preset and its ROC-AUC.
        let auc = format!("{:.4}", best["roc_auc"]["macro"].as_f64().unwrap());
        for text in [&out, &place.text("out/comparison.md")] {
            let has = |line: &str| line.contains(&format!("{name} ")) && line.contains(&auc);
            assert!(text.lines().any(has), "{name}: {text}");
        }
    }
    // 3·5 + 3 + 2·3 and 4·3·5 + 4 + 2·4 of the blocks; the LSTMs read 4 channels of 16 bands; the head.
    let lstm = |inputs, units| 2 * 4 * units * (inputs + units + 1);
    let parameters = 24 + 72 + lstm(64, 8) + lstm(16, 4) + 8 * 3 + 3;
    assert_eq!(rows[0]["parameters"], parameters);

    // The first is compared with nothing, its twin is the same, and one that did not learn is worse.
    assert!(rows[0]["difference"].is_null());
    assert_eq!(rows[2]["difference"]["roc_auc"]["macro"], 0.0);
    assert_eq!(rows[2]["difference"]["beyond_chance"], false);
    let idle = &rows[3]["difference"];
    assert!(idle["roc_auc_interval"]["macro"][1].as_f64().unwrap() < 0.0, "{idle}");
    assert_eq!(idle["beyond_chance"], true);
    assert!(out.contains("not the same quantity"), "{out}");
    // 2 clips of 24 have two moods of three.
    let floor = 2.0 / 24.0 * 2.0 * f64::ln(2.0) / 3.0;
    assert!(out.contains(&format!("{floor:.4}")), "{out}");

    let mut csv = csv::Reader::from_path(place.path("out/comparison.csv")).unwrap();
    let head = csv.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|cell| cell == name).unwrap();
    let records: Vec<_> = csv.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 4);
    for (record, row) in records.iter().zip(rows) {
        let number = |name: &str| record[column(name)].parse::<f64>().ok();
        assert_eq!(number("roc_auc"), row["over_seeds"]["roc_auc"]["mean"].as_f64());
        assert_eq!(number("roc_auc_dark"), row["averaged_scores"]["roc_auc"]["dark"].as_f64());
        assert_eq!(number("clips_per_second"), row["clips_per_second"].as_f64());
        assert_eq!(number("roc_auc_difference"), row["difference"]["roc_auc"]["macro"].as_f64());
    }

    let page = place.text("out/comparison.html");
    assert!(names.iter().all(|name| page.contains(&format!("href=\"{name}/seed-0/report.html\""))));
    assert!(place.path("out/tiny/seed-0/report.html").exists());

    // Once more: nothing is trained, and nothing changes, the pace included.
    let before =
        ["comparison.md", "comparison.csv", "comparison.json", "tiny/seed-0/last.safetensors"]
            .map(|name| (name, place.bytes(&format!("out/{name}"))));
    let trained = fs::metadata(place.path("out/tiny/seed-0/last.safetensors")).unwrap();
    let (again, err) = place.compare(arguments, 0);
    assert_eq!(again, out);
    assert_eq!(err.matches("finished before").count(), 4, "{err}");
    for (name, bytes) in before {
        assert!(place.bytes(&format!("out/{name}")) == bytes, "{name}");
    }
    let after = fs::metadata(place.path("out/tiny/seed-0/last.safetensors")).unwrap();
    assert_eq!(after.modified().unwrap(), trained.modified().unwrap());
}

#[test]
fn seeds_share_a_split_and_their_scores_are_averaged() {
    let place = Place::new();
    let arguments = "--presets tiny.toml,sigmoid.toml --data data.csv --seeds 3 --out out";
    let (out, _) = place.compare(arguments, 0);
    let judged = |name: &str, seed: u64| {
        read_predictions(&place.path(&format!("out/{name}/seed-{seed}/predictions.csv"))).unwrap()
    };
    for (row, name) in
        place.json("out")["presets"].as_array().unwrap().iter().zip(["tiny", "sigmoid"])
    {
        let runs: Vec<_> = (0..3).map(|seed| judged(name, seed)).collect();
        assert!(runs.iter().all(|run| run.names == judged("tiny", 0).names));
        assert!(runs[0].scores != runs[1].scores);
        let aucs: Vec<f64> = runs
            .iter()
            .map(|run| Scores::new(&run.targets, &run.scores, 3).unwrap())
            .filter_map(|scores| scores.roc_auc.macro_mean)
            .collect();
        let mean = aucs.iter().sum::<f64>() / 3.0;
        let deviation = (aucs.iter().map(|auc| (auc - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        let over_seeds = &row["over_seeds"]["roc_auc"];
        assert!((over_seeds["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
        assert!((over_seeds["deviation"].as_f64().unwrap() - deviation).abs() < 1e-12);
        assert!(out.contains(&format!("{mean:.4} ± {deviation:.4}")), "{out}");

        let column = |mood: usize| -> (Vec<bool>, Vec<f32>) {
            let clip = |clip: usize| {
                let place = 3 * clip + mood;
                let sum: f64 = runs.iter().map(|run| f64::from(run.scores[place])).sum();
                (runs[0].targets[place], (sum / 3.0) as f32)
            };
            (0..runs[0].clips()).map(clip).unzip()
        };
        for (mood, mood_name) in MOODS.iter().enumerate() {
            let (targets, scores) = column(mood);
            let averaged = &row["averaged_scores"];
            assert_eq!(
                averaged["roc_auc"][mood_name].as_f64(),
                roc_auc(&targets, &scores).unwrap()
            );
            let precision = average_precision(&targets, &scores).unwrap();
            assert_eq!(averaged["pr_auc"][mood_name].as_f64(), precision);
        }
    }
}

#[test]
fn without_data_presets_of_any_clip_length_share_a_corpus() {
    let place = Place::new();
    fs::write(place.path("long.toml"), place.text("tiny.toml").replace("= 1.0", "= 1.5")).unwrap();
    let (out, _) = place.compare(
        "--presets tiny.toml,long.toml --set train.epochs=1 --set train.batch=64 --out out",
        0,
    );
    assert!(out.contains("tiny") && out.contains("long"), "{out}");
    let corpora: Vec<_> = fs::read_dir(place.path("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("synthetic"))
        .collect();
    assert!(matches!(&corpora[..], [one] if one.contains("1.5s")), "{corpora:?}");
}

#[cfg(unix)]
#[test]
fn a_comparison_goes_on_after_ctrl_c_and_kills() {
    let place = Place::new();
    let arguments = "--presets tiny.toml,sigmoid.toml --data data.csv --set train.epochs=40";
    place.compare(&format!("{arguments} --out whole"), 0);
    let stopped = format!("{arguments} --out stopped");

    let child = place.command(&stopped).spawn().unwrap();
    wait_for_epochs(&place.path("stopped/tiny/seed-0"));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let (out, err) = texts(&child.wait_with_output().unwrap(), 130);
    assert!(
        out.is_empty() && err.contains("0 of 2 runs") && err.contains("--out stopped"),
        "{err}"
    );

    // A kill after the first run has ended: its row is there already.
    let mut child = place.command(&stopped).spawn().unwrap();
    wait_for_epochs(&place.path("stopped/sigmoid/seed-0"));
    let so_far = place.json("stopped");
    assert_eq!(so_far["finished"], false);
    assert_eq!(so_far["presets"].as_array().unwrap().len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();

    let (_, err) = place.compare(&stopped, 0);
    assert!(err.contains("tiny, seed 0 (run 1 of 2): finished before"), "{err}");
    assert!(err.contains("going on after update"), "{err}");
    assert_eq!(place.timeless("stopped"), place.timeless("whole"));
    for run in ["tiny/seed-0", "sigmoid/seed-0"] {
        for file in ["best.safetensors", "last.safetensors", "metrics.jsonl", "predictions.csv"] {
            let [whole, stopped] =
                ["whole", "stopped"].map(|out| place.bytes(&format!("{out}/{run}/{file}")));
            assert!(whole == stopped, "{run}/{file}");
        }
    }
}

#[test]
fn a_changed_comparison_is_refused_with_the_difference() {
    let place = Place::new();
    let arguments = "--presets tiny.toml,twin.toml --data data.csv --out out";
    place.compare(arguments, 0);
    let before = place.bytes("out/comparison.json");
    for (change, message) in [
        ("--set train.epochs=4", "tiny.train.epochs: 3 then, 4 now"),
        ("--set model.branch.0.lstm=[8,5]", "twin.model.branch.0.lstm: [8, 4] then, [8, 5] now"),
        ("--seeds 2", "seeds: 1 then, 2 now"),
        ("--moods happy,dark", "data.moods: not set then"),
        ("--validation data.csv", "data.validation: not set then"),
    ] {
        let (_, err) = place.compare(&format!("{arguments} {change}"), 2);
        assert!(err.contains(message) && err.contains("another --out"), "{change}: {err}");
    }
    let (_, err) = place.compare("--presets twin.toml,tiny.toml --data data.csv --out out", 2);
    assert!(err.contains("presets: tiny,twin then, twin,tiny now"), "{err}");
    assert!(place.bytes("out/comparison.json") == before);

    // A run that is not the comparison's own.
    fs::remove_dir_all(place.path("out/twin")).unwrap();
    let seed = place.path("out/twin/seed-0");
    fs::create_dir_all(seed.parent().unwrap()).unwrap();
    let train = "train --config sigmoid.toml --data data.csv --max-steps 0 --out";
    let status = tones::program(place.0.path(), train).arg(&seed).output().unwrap().status;
    assert!(status.success());
    let (_, err) = place.compare(arguments, 2);
    assert!(err.contains("not the run that the comparison began"), "{err}");
    assert!(err.contains("model.output"), "{err}");
}

#[test]
fn what_cannot_be_compared_leaves_nothing_behind() {
    let place = Place::new();
    fs::write(place.path("lost.csv"), "path,tags\nnowhere.wav,happy\nnor here.wav,dark\n").unwrap();
    for (arguments, message) in [
        ("--presets tiny.toml,tiny.toml --data data.csv", "names tiny twice"),
        ("--presets tiny.toml,other.toml --data data.csv", "other moods than tiny"),
        ("--presets tiny.toml,papre --data data.csv", "there is no preset `papre`"),
        ("--presets tiny.toml --data data.csv --set model.dropout=2", "model.dropout"),
        ("--presets tiny.toml --data lost.csv", "nowhere.wav"),
        ("--presets tiny.toml --data data.csv --seeds 0", "--seeds"),
    ] {
        let (_, err) = place.compare(&format!("{arguments} --out deep/out"), 2);
        assert!(err.contains(message), "{arguments}: {err}");
        assert!(!place.path("deep").exists(), "{arguments}");
    }
    // The slip mended, the same folder serves.
    place.compare("--presets tiny.toml --data data.csv --out deep/out", 0);
    // Someone's folder is in its place.
    fs::create_dir_all(place.path("mine/tiny")).unwrap();
    let (_, err) = place.compare("--presets tiny.toml --data data.csv --out mine", 2);
    assert!(err.contains("holds other files"), "{err}");
}

//! `moodshader train` as people use it: what a run writes, how it goes on after every way of being
//! stopped, and what it says to input that is wrong.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use moodshader::metrics::Scores;
use moodshader::model::checkpoint::Checkpoint;
use moodshader::model::parameters::{buffer_shapes, parameter_shapes};
use place::{CLIPS, Place, texts};

#[path = "support/place.rs"]
mod place;

fn updates(checkpoint: &Checkpoint) -> u64 {
    checkpoint.description().unwrap().update
}

const FINISHED: [&str; 8] = [
    "best.safetensors",
    "config.toml",
    "events.out.tfevents.0.moodshader",
    "last.safetensors",
    "metrics.jsonl",
    "predictions.csv",
    "report.html",
    "tracks.csv",
];

#[test]
fn one_seed_gives_the_same_bytes() {
    let place = Place::new();
    place.train("--out one");
    // Cached features, another folder and another place for the words change nothing.
    place.train("--out deep/two --quiet");
    place.train("--out three --seed 1");
    assert!(place.files("one").keys().eq(FINISHED));
    place.same("one", "deep/two");
    assert!(place.files("one")["best.safetensors"] != place.files("three")["best.safetensors"]);
}

#[test]
fn two_runs_at_once_share_a_cache() {
    let place = Place::new();
    let runs: Vec<Child> = (0..2)
        .map(|run| {
            let arguments = format!("train --config tiny.toml --data data.csv --out {run}");
            place.command(&arguments).spawn().unwrap()
        })
        .collect();
    for run in runs {
        assert!(run.wait_with_output().unwrap().status.success());
    }
    place.same("0", "1");
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

#[cfg(unix)]
/// The whole model among a checkpoint's tensors whose names begin so, flat.
fn model(checkpoint: &Checkpoint, prefix: &str) -> Vec<f32> {
    let preset = checkpoint.description().unwrap().preset;
    let shapes = [parameter_shapes(&preset), buffer_shapes(&preset)].concat();
    let named: Vec<_> =
        shapes.into_iter().map(|(name, shape)| (format!("{prefix}{name}"), shape)).collect();
    checkpoint.values(&named).unwrap().into_iter().flat_map(|(_, values)| values).collect()
}

#[test]
fn the_model_that_is_kept_has_the_averages() {
    let place = Place::new();
    let keys = "--set train.average_epochs=0.5";
    let after = |updates: usize, device: &str| {
        let run = format!("after-{updates}-{device}");
        place.train(&format!("--out {run} {keys} --max-steps {updates} --device {device}"));
        run
    };
    let runs: Vec<String> = (0..=5).map(|updates| after(updates, "auto")).collect();
    let last = |run: &str| place.checkpoint(&format!("{run}/last.safetensors"));
    let mut average = model(&last(&runs[0]), "");
    // Three updates an epoch: the weight of the last, 1 / (0.5 · 3), is reached.
    for (run, weight) in runs[1..].iter().zip([0.9, 9.0 / 11.0, 0.75, 9.0 / 13.0, 2.0 / 3.0]) {
        for (average, value) in average.iter_mut().zip(model(&last(run), "")) {
            *average += weight * (value - *average);
        }
        let kept = model(&last(run), "optimizer.average.");
        let off = kept.iter().zip(&average).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-6, "{run}: {off}");
    }
    // The first epoch's, which is the first that is judged.
    let best = model(&place.checkpoint(&format!("{}/best.safetensors", runs[3])), "");
    assert_eq!(best, model(&last(&runs[3]), "optimizer.average."));
    assert_ne!(best, model(&last(&runs[3]), ""));
    let cpu = model(&last(&after(4, "cpu")), "optimizer.average.");
    let gpu = model(&last(&runs[4]), "optimizer.average.");
    let off = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-3, "CPU and GPU differ by {off}");

    place.train(&format!("--out whole {keys}"));
    place.ok(&format!("train --resume {}", runs[4]));
    place.same("whole", &runs[4]);
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
fn init_takes_weights_and_statistics_only() {
    let place = Place::new();
    place.train("--out first --seed 5");
    place.train("--out second --init first/last.safetensors --max-steps 0");
    let (first, second) =
        (place.checkpoint("first/last.safetensors"), place.checkpoint("second/last.safetensors"));
    assert_eq!(updates(&second), 0);
    for (name, tensor) in &second.tensors {
        if name.starts_with("optimizer.") {
            assert!(tensor.values.iter().all(|&value| value == 0.0), "{name}");
        } else {
            assert!(*tensor == first.tensors[name], "{name}");
        }
    }
    place.train("--out fresh --max-steps 0");
    let fresh = place.checkpoint("fresh/last.safetensors");
    assert!(fresh.tensors["dense.weight"] != second.tensors["dense.weight"]);
    // The same moods in another order, and others, get a last layer of their own.
    for (run, moods) in ["dark,happy,epic", "happy,dark", "happy,dark,calm"].iter().enumerate() {
        place.manifest("calm.csv", &[0, 1, 2].map(|index| place.clip(index) + "|calm"));
        let output = place.run(&format!(
            "train --config tiny.toml --data calm.csv --validation calm.csv --moods {moods} --out \
             other{run} --init first/last.safetensors --max-steps 0"
        ));
        let (_, err) = texts(&output);
        assert!(output.status.success(), "{err}");
        let told =
            ["first/last.safetensors", "happy, dark, epic", "all weights but the last layer"];
        assert!(told.iter().all(|part| err.contains(part)), "{err}");
        let other = place.checkpoint(&format!("other{run}/last.safetensors"));
        for (name, tensor) in &other.tensors {
            if !name.starts_with("optimizer.") {
                let same = *tensor == first.tensors[name];
                // Biases begin with 0.
                assert_eq!(
                    same,
                    !name.starts_with("dense.weight") && !name.starts_with("dense.bias")
                );
            }
        }
    }
    // The recipe's numbers are measured anew: the split is another.
    assert!(
        first.description().unwrap().normalization != second.description().unwrap().normalization
    );
}

#[test]
fn without_shuffling_the_manifest_orders_the_clips() {
    let place = Place::new();
    let rows: Vec<String> = (0..8).map(|index| place.clip(index)).collect();
    let reordered = |order: [usize; 8]| order.map(|row| rows[row].clone());
    place.manifest("a.csv", &rows);
    place.manifest("b.csv", &reordered([0, 1, 2, 3, 7, 5, 6, 4]));
    place.manifest("c.csv", &reordered([4, 5, 6, 7, 0, 1, 2, 3]));
    let weights = |name: &str| {
        place.ok(&format!(
            "train --config tiny.toml --data {name}.csv --validation data.csv --out {name} \
             --set train.shuffle=false --max-steps 1"
        ));
        let mut checkpoint = place.checkpoint(&format!("{name}/last.safetensors"));
        checkpoint.tensors.remove("optimizer.exp_avg.dense.weight").unwrap().values
    };
    let [a, b, c] = ["a", "b", "c"].map(weights);
    let distance = |x: &[f32], y: &[f32]| -> f32 {
        x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    };
    // The first batch is the same in a and b, up to the rounding of the normalisation.
    let (near, far) = (distance(&a, &b), distance(&a, &c));
    assert!(near < 1e-5 && far > 100.0 * near.max(1e-6), "{near} {far}");
}

#[test]
fn what_a_run_writes() {
    let place = Place::new();
    place.manifest("test.csv", &(8..14).map(|index| place.clip(index)).collect::<Vec<_>>());
    let (out, err) = place.train("--test test.csv --out run");
    assert!(err.contains("epoch 1/3") && err.contains("epoch 3/3"), "{err}");
    assert!(!err.contains(['\r', '\u{1b}']), "control characters in a log: {err:?}");
    assert!(out.contains("validation macro") && out.contains("test macro"), "{out}");

    let text = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().zip(1..).all(|(line, epoch)| line["epoch"] == epoch));
    assert!(lines.iter().zip(1..).all(|(line, epoch)| line["update"] == 3 * epoch));
    let best = lines.iter().fold(None, |best: Option<f64>, line| {
        let auc = line["roc_auc"]["macro"].as_f64();
        if auc > best { auc } else { best }
    });

    for (file, expected, clips) in [("predictions", best, 3), ("predictions-test", None, 6)] {
        let mut reader = csv::Reader::from_path(place.path(&format!("run/{file}.csv"))).unwrap();
        let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let columns = "id,path,label_happy,label_dark,label_epic,score_happy,score_dark,score_epic";
        assert_eq!(header.join(","), columns);
        let (mut targets, mut scores) = (Vec::new(), Vec::new());
        for row in reader.records().map(Result::unwrap) {
            assert!(place.path(&row[1]).is_file(), "{}", &row[1]);
            targets.extend((2..5).map(|at| &row[at] == "1"));
            scores.extend((5..8).map(|at| row[at].parse::<f32>().unwrap()));
        }
        let scores = Scores::new(&targets, &scores, 3).unwrap();
        assert_eq!(scores.clips, clips);
        if expected.is_some() {
            assert_eq!(scores.roc_auc.macro_mean, expected);
        }
    }

    let config: toml::Table =
        toml::from_str(&fs::read_to_string(place.path("run/config.toml")).unwrap()).unwrap();
    assert!(Path::new(config["data"]["data"].as_str().unwrap()).is_absolute());
    assert_eq!(config["preset"]["train"]["batch"].as_integer(), Some(4));

    // Quiet leaves results, warnings (here: test clips that also train) and the device that auto took;
    // a stopped run is not tested.
    let (out, err) = place.train("--test test.csv --out quiet --quiet");
    assert!(
        !out.is_empty()
            && err.lines().all(|line| line.starts_with("warning") || line.starts_with("device: ")),
        "{err}"
    );
    place.same("run", "quiet");
    place.train("--test test.csv --out short --max-steps 4");
    assert!(!place.path("short/predictions-test.csv").exists());
    place.ok("train --resume short");
    place.same("run", "short");
}

#[test]
fn wrong_input_is_named_and_leaves_nothing() {
    let place = Place::new();
    place.train("--out taken --max-steps 0");
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir(place.path("old")).unwrap();
    fs::write(place.path("old/best.safetensors"), "precious").unwrap();
    fs::write(place.path("nothing.csv"), "").unwrap();
    fs::write(place.path("header.csv"), "path,tags\n").unwrap();
    fs::write(place.path("gone.csv"), "path,tags\nno.wav,dark\nnone.wav,epic\n").unwrap();
    fs::write(place.path("sad.csv"), "path,tags\na.wav,sad\nb.wav,glad\n").unwrap();
    fs::write(place.path("rows.tsv"), "TRACK_ID\tARTIST_ID\n1\t2\n").unwrap();
    fs::write(place.path("latin.csv"), b"path,tags\nsch\xf6n.wav,dark\n").unwrap();
    fs::write(place.path("bad.toml"), "[train\n").unwrap();
    let data = "--config tiny.toml --data data.csv --out run";
    let cases = [
        ("--data data.csv --out run --preset pape".to_owned(), vec!["pape", "paper"]),
        ("--data data.csv --out run --config bad.toml".to_owned(), vec!["bad.toml"]),
        ("--data data.csv --out run --config gone.toml".to_owned(), vec!["gone.toml"]),
        ("--resume empty".to_owned(), vec!["empty", "--out"]),
        ("--resume gone".to_owned(), vec!["gone"]),
        (format!("{data} --resume taken"), vec!["--resume"]),
        (format!("{data} --set train.bach=2"), vec!["train.bach", "train.batch"]),
        (format!("{data} --set train.batch=many"), vec!["train.batch", "whole number"]),
        (format!("{data} --set train.batch"), vec!["KEY=VALUE"]),
        (format!("{data} --moods hapy,dark"), vec!["hapy", "happy"]),
        (format!("{data} --device voodoo"), vec!["voodoo", "cpu"]),
        (format!("{data} --audio-root gone"), vec!["--audio-root", "gone"]),
        (format!("{data} --audio-root empty"), vec!["0, take 1.wav", "--audio-root"]),
        (format!("{data} --validation gone.tsv"), vec!["--validation", "gone.tsv"]),
        (format!("{data} --test sad.csv"), vec!["sad.csv", "glad"]),
        (format!("{data} --init gone"), vec!["--init", "gone"]),
        (format!("{data} --init data.csv"), vec!["data.csv", "safetensors"]),
        (
            format!("{data} --init taken/last.safetensors --set model.branch.0.lstm=[4,4]"),
            vec!["last.safetensors", "shape"],
        ),
        (format!("{data} --seed 18446744073709551615"), vec!["--seed"]),
    ];
    let manifests = [
        ("nothing.csv", "path,tags"),
        ("header.csv", "lists no track"),
        ("gone.csv", "no.wav"),
        ("sad.csv", "--moods"),
        ("rows.tsv", "TRACK_ID"),
        ("latin.csv", "UTF-8"),
        ("absent.csv", "absent.csv"),
        ("empty", "without audio"),
    ]
    .map(|(name, cause)| {
        (format!("--config tiny.toml --out run --data {name}"), vec![name, cause])
    });
    let folders =
        [("taken", "already holds a run"), ("tiny.toml/run", "--out"), ("old", "overwritten")].map(
            |(name, cause)| {
                (format!("--config tiny.toml --data data.csv --out {name}"), vec![name, cause])
            },
        );
    let before = (place.files("taken"), place.files("old"));
    for (arguments, named) in cases.into_iter().chain(manifests).chain(folders) {
        let output = place.run(&format!("train {arguments}"));
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {err}");
        assert!(named.iter().all(|part| err.contains(part)), "{arguments}: {err}");
        assert!(out.is_empty() && !err.contains("panicked"), "{arguments}: {err}");
        assert!(!place.path("run").exists(), "{arguments}: a run folder is left");
    }
    assert!(before == (place.files("taken"), place.files("old")));
    place.train("--out run --max-steps 0");
}

#[test]
fn broken_files_are_listed_and_the_rest_trains() {
    let place = Place::new();
    let mut rows: Vec<String> = (0..CLIPS).map(|index| place.clip(index)).collect();
    fs::write(place.path("zero.wav"), "").unwrap();
    fs::write(place.path("text.wav"), "not audio at all").unwrap();
    fs::create_dir(place.path("folder.wav")).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 22_050,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut file = hound::WavWriter::create(place.path("nan.wav"), spec).unwrap();
    (0..24_000).for_each(|_| file.write_sample(f32::NAN).unwrap());
    file.finalize().unwrap();
    let broken = ["zero.wav", "text.wav", "folder.wav", "nan.wav", "missing.wav"];
    rows.extend(broken.map(|name| format!("{name},dark")));
    place.manifest("data.csv", &rows);
    place.manifest("held.csv", &rows[..3]);
    let (_, err) = place.train("--validation held.csv --out run");
    let (_, list) = err.split_once("epoch 3/3").expect("it trains to the end");
    assert!(list.contains("5 audio files could not be used"), "{err}");
    assert!(broken.iter().all(|name| list.contains(name)), "{err}");
    assert!(err.contains("14 training"), "{err}");
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

#[test]
fn odd_sizes_train() {
    let place = Place::new();
    let rows: Vec<String> = (0..2).map(|index| place.clip(index)).collect();
    place.manifest("one.csv", &rows[..1]);
    place.manifest("two.csv", &rows);
    // One training clip; a validation in which no mood can be ranked; a batch beyond the corpus;
    // clips longer than the files.
    let (out, _) = place
        .ok("train --config tiny.toml --data one.csv --validation one.csv --out one --set \
         train.batch=64 --set audio.clip_seconds=2");
    assert!(out.contains("no mood can be ranked"), "{out}");
    assert!(place.files("one").keys().eq(FINISHED));
    assert!(
        String::from_utf8_lossy(&place.files("one")["metrics.jsonl"]).contains("\"macro\":null")
    );
    place.ok("train --config tiny.toml --data two.csv --out two");
}

#[test]
fn a_training_that_diverges_keeps_the_last_good_state() {
    let place = Place::new();
    for (rate, device) in [("1e30", "auto"), ("1e300", "auto"), ("1e30", "cpu")] {
        let run = format!("{rate}-{device}");
        let output = place.run(&format!(
            "train --config tiny.toml --data data.csv --out {run} --device {device} --set \
             train.learning_rate={rate}"
        ));
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("not finite") && err.contains("train.learning_rate"), "{err}");
        let last = place.checkpoint(&format!("{run}/last.safetensors"));
        assert!(last.tensors.values().flat_map(|tensor| &tensor.values).all(|x| x.is_finite()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_the_cpu_trains_and_says_so() {
    let place = Place::new();
    let bare = |arguments: &str| {
        let mut command = place.command(arguments);
        for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LIBGL_DRIVERS_PATH"] {
            command.env(variable, "/nonexistent");
        }
        command.env("__EGL_VENDOR_LIBRARY_DIRS", "/nonexistent").output().unwrap()
    };
    let start = "train --config tiny.toml --data data.csv";
    let output = bare(&format!("{start} --out auto --quiet"));
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("CPU reference") && err.contains("mesa-vulkan-drivers"), "{err}");
    assert!(place.files("auto").keys().eq(FINISHED));
    let output = bare(&format!("{start} --out gpu --device gpu"));
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("apt-get install mesa-vulkan-drivers"), "{err}");
    assert!(!place.path("gpu").exists());
    // The same on the CPU twice is the same, too.
    place.train("--out cpu --device cpu");
    assert!(place.files("cpu")["last.safetensors"] == place.files("auto")["last.safetensors"]);
}

#[test]
fn synth_writes_a_corpus_that_trains_and_overwrites_nothing() {
    let place = Place::new();
    let (out, _) = place.ok("synth --out corpus --clips 4 --seed 3 --quiet");
    assert_eq!(Path::new(out.trim()), Path::new("corpus/manifest.tsv"));
    let before = fs::read(place.path("corpus/manifest.tsv")).unwrap();
    let output = place.run("synth --out corpus --clips 2");
    assert_eq!(output.status.code(), Some(2));
    assert!(before == fs::read(place.path("corpus/manifest.tsv")).unwrap());
    place.ok(
        "train --config tiny.toml --data corpus/manifest.tsv --moods all --out run --max-steps 1",
    );
    for wrong in ["synth --out tiny.toml/x --clips 1", "synth --out c --clips 0", "synth"] {
        assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong}");
    }
}

//! `moodshader train` as people use it: what a run writes, and what it says to input that is wrong.

use std::fs;
use std::path::Path;
use std::process::Child;

use moodshader::metrics::Scores;
use moodshader::model::checkpoint::Checkpoint;
use moodshader::model::parameters::{buffer_shapes, parameter_shapes};
use place::{CLIPS, Place, texts};

#[path = "support/place.rs"]
mod place;

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
    // Looking back no epoch at all keeps what the last update left.
    place.train("--out none --set train.average_epochs=0 --max-steps 3");
    assert_eq!(model(&place.checkpoint("none/best.safetensors"), ""), model(&last(&runs[3]), ""));
    let cpu = model(&last(&after(4, "cpu")), "optimizer.average.");
    let gpu = model(&last(&runs[4]), "optimizer.average.");
    let off = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-3, "CPU and GPU differ by {off}");

    place.train(&format!("--out whole {keys}"));
    place.ok(&format!("train --resume {}", runs[4]));
    place.same("whole", &runs[4]);
}

#[test]
fn init_takes_weights_and_statistics_only() {
    let place = Place::new();
    place.train("--out first --seed 5");
    place.train("--out second --init first/last.safetensors --max-steps 0");
    let (first, second) =
        (place.checkpoint("first/last.safetensors"), place.checkpoint("second/last.safetensors"));
    assert_eq!(second.description().unwrap().update, 0);
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
fn artists_on_both_sides_are_told() {
    let place = Place::new();
    let list = |name: &str, clips: std::ops::Range<usize>| {
        let rows: String = clips.map(|clip| format!("{},Someone\n", place.clip(clip))).collect();
        fs::write(place.path(name), format!("path,tags,artist\n{rows}")).unwrap();
    };
    list("train.csv", 0..8);
    list("held.csv", 8..12);
    let command = "train --config tiny.toml --data train.csv --validation held.csv --test held.csv";
    let (_, err) = place.ok(&format!("{command} --max-steps 1 --out run"));
    for name in ["validation", "test"] {
        let told = format!("4 of 4 {name} tracks are by artists of the training data");
        assert!(err.contains(&told), "{err}");
    }
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

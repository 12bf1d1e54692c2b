//! `moodshader evaluate`: the same numbers as training's, on any manifest.

use std::fs;
use std::sync::LazyLock;

use moodshader::metrics::{f1, roc_auc};
use moodshader::run::read_predictions;
use serde_json::Value;

#[path = "support/trained.rs"]
mod trained;
use trained::{MOODS, Trained};

static TRAINED: LazyLock<Trained> = LazyLock::new(Trained::new);

const EVALUATE: &str = "evaluate --model run/best.safetensors";

fn json(arguments: &str) -> Value {
    serde_json::from_str(&TRAINED.ok(arguments)).unwrap()
}

/// Labels and scores of one mood in a predictions file.
fn column(file: &str, mood: &str) -> (Vec<bool>, Vec<f32>) {
    let mut reader = csv::Reader::from_path(TRAINED.path(file)).unwrap();
    let rows = reader.deserialize().map(Result::unwrap);
    rows.map(|row: std::collections::HashMap<String, String>| {
        (
            row[&format!("label_{mood}")] == "1",
            row[&format!("score_{mood}")].parse::<f32>().unwrap(),
        )
    })
    .unzip()
}

#[test]
fn the_validation_clips_get_the_scores_that_training_gave_them() {
    let value = json(&format!(
        "{EVALUATE} --data validation.csv --format json --predictions again.csv --quiet"
    ));
    let metrics = fs::read_to_string(TRAINED.path("run/metrics.jsonl")).unwrap();
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let best = lines
        .iter()
        .rev()
        .max_by(|a, b| {
            let auc = |line: &Value| line["roc_auc"]["macro"].as_f64().unwrap();
            auc(a).total_cmp(&auc(b))
        })
        .unwrap();
    assert_eq!(value["roc_auc"], best["roc_auc"]);
    assert_eq!(value["pr_auc"], best["pr_auc"]);
    let loss = |line: &Value, key: &str| line[key].as_f64().unwrap();
    assert!((loss(&value, "loss") - loss(best, "validation_loss")).abs() < 1e-6);
    assert_eq!(value["clips"], 8);
    let read = |name: &str| fs::read_to_string(TRAINED.path(name)).unwrap();
    assert_eq!(read("again.csv"), read("run/predictions.csv"));

    let description = TRAINED.checkpoint("run/best.safetensors").description().unwrap();
    let reached = description.training.unwrap();
    assert_eq!((reached.clips, reached.validation_clips), (12, 8));
    assert_eq!(reached.positives, [4, 4, 6]);
    assert_eq!(reached.validation.unwrap().roc_auc, value["roc_auc"]["macro"].as_f64());
}

#[test]
fn thresholds_are_the_best_for_f1_on_the_validation_clips() {
    let value = json(&format!("{EVALUATE} --data validation.csv --format json"));
    let mut sum = 0.0;
    for mood in MOODS {
        let (targets, scores) = column("run/predictions.csv", mood);
        let threshold = value["thresholds"][mood].as_f64().unwrap();
        let ours = f1(&targets, &scores, threshold).unwrap();
        let others = scores.iter().map(|&score| f1(&targets, &scores, f64::from(score)).unwrap());
        assert!(others.fold(0.0, f64::max) <= ours, "{mood}");
        assert_eq!(value["f1"][mood].as_f64(), Some(ours));
        sum += ours;
    }
    assert!((value["f1"]["macro"].as_f64().unwrap() - sum / 3.0).abs() < 1e-12);
    // It is those that chose them.
    let (_, _, err) = TRAINED.run(&format!("{EVALUATE} --data validation.csv"));
    assert!(err.contains("8 of the 8 tracks are those by which"), "{err}");
    // The state that training goes on from has none.
    let text = TRAINED.ok("evaluate --model run/last.safetensors --data validation.csv");
    assert!(text.contains("no thresholds"), "{text}");
}

#[test]
fn intervals_and_rates_are_those_of_the_predictions() {
    let arguments = format!("{EVALUATE} --data train.csv --format json --predictions train-p.csv");
    let value = json(&arguments);
    assert_eq!(value, json(&arguments));
    for metric in ["roc_auc", "pr_auc"] {
        for name in ["macro"].iter().chain(&MOODS) {
            let interval = &value[format!("{metric}_interval")][name];
            let [low, at, high] =
                [&interval[0], &value[metric][name], &interval[1]].map(|x| x.as_f64().unwrap());
            assert!(
                low <= at && at <= high && (0.0..=1.0).contains(&low),
                "{metric} {name}: {interval}"
            );
        }
    }
    let judged = read_predictions(&TRAINED.path("train-p.csv")).unwrap();
    assert!(judged.moods == MOODS && judged.clips() == 12);
    let columns = MOODS.map(|mood| column("train-p.csv", mood));
    for (mood, (targets, scores)) in MOODS.iter().zip(&columns) {
        assert_eq!(value["roc_auc"][mood].as_f64(), roc_auc(targets, scores).unwrap());
    }
    let hits = (0..12).filter(|&clip| {
        let first = (0..3).max_by(|&a, &b| columns[a].1[clip].total_cmp(&columns[b].1[clip]));
        columns[first.unwrap()].0[clip]
    });
    assert_eq!(value["top1_hit_rate"].as_f64(), Some(hits.count() as f64 / 12.0));
    assert!(value["calibration_error"].as_f64().unwrap() < 1.0);
}

#[test]
fn a_mood_without_clips_is_undefined() {
    fs::write(TRAINED.path("two.csv"), "path,tags\nclip 1.wav,dark\nclip 2.wav,epic|dark\n")
        .unwrap();
    let value = json(&format!("{EVALUATE} --data two.csv --format json"));
    for key in ["roc_auc", "pr_auc", "f1", "roc_auc_interval"] {
        assert!(value[key]["happy"].is_null(), "{key}: {value}");
    }
    assert!(value["roc_auc"]["dark"].is_null() && !value["f1"]["dark"].is_null(), "{value}");
    assert_eq!(value["roc_auc"]["macro"], value["roc_auc"]["epic"]);
    let (code, out, err) = TRAINED.run(&format!("{EVALUATE} --data two.csv"));
    assert!(
        code == 0 && out.contains("macro") && err.contains("no track has the mood happy"),
        "{err}"
    );
}

#[test]
fn what_cannot_be_heard_is_told() {
    fs::write(
        TRAINED.path("gone.csv"),
        "path,tags\nclip 1.wav,dark\ngone.wav,epic\nclip 2.wav,epic\nclip 3.wav,rock\n",
    )
    .unwrap();
    let (code, out, err) = TRAINED.run(&format!("{EVALUATE} --data gone.csv --format json"));
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("gone.wav") && err.contains("1 tracks without"), "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["clips"], 2);
    fs::write(TRAINED.path("none.csv"), "path,tags\nx.wav,dark\n").unwrap();
    for (data, named) in
        [("none.csv", "--audio-root"), ("nowhere.csv", "nowhere.csv"), ("tiny.toml", "path,tags")]
    {
        let (code, out, err) = TRAINED.run(&format!("{EVALUATE} --data {data}"));
        assert!(code == 2 && err.contains(named) && out.is_empty(), "{data}: {err}");
    }
}

#[test]
fn a_manifest_without_the_models_moods_is_refused_with_what_evaluate_can_do() {
    let place = Trained::new();
    std::fs::write(place.path("other.csv"), "path,tags\nclip 0.wav,sport\n").unwrap();
    let (code, _, err) = place.run("evaluate --model run/best.safetensors --data other.csv");
    assert!(code == 2 && err.contains("there are sport"), "{code} {err}");
    assert!(err.contains("the moods that it was trained on") && !err.contains("--moods"), "{err}");
    // Where moods can be chosen, it says so.
    let (code, _, err) = place.run("train --config tiny.toml --data other.csv --out x");
    assert!(code == 2 && err.contains("--moods A,B"), "{code} {err}");
}

/// Devices agree within a tolerance only, so none takes another's features.
#[test]
fn each_device_has_features_of_its_own_and_a_run_may_change_to_another() {
    let place = Trained::new();
    let clips = || -> usize {
        let text = place.ok("dataset cache");
        let line = text.lines().find(|line| line.contains(" clips, ")).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    };
    // The clips are copies of three tones.
    assert_eq!(clips(), 3);
    place.ok("evaluate --model run/best.safetensors --data train.csv");
    assert_eq!(clips(), 3);
    place.ok("evaluate --model run/best.safetensors --data train.csv --device cpu");
    assert_eq!(clips(), 6);
    place.ok("train --config tiny.toml --data train.csv --out half --max-steps 2");
    place.ok("train --resume half --device cpu --max-steps 3");
}

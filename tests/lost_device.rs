//! What commands do when a call to the driver fails: a Vulkan layer (`tests/faults`) makes it fail.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use place::{CLIPS, Place, texts};
use rayon::prelude::*;
use tempfile::TempDir;
use vulkan_faults::{COUNTS, FAULT, FULL, FUNCTIONS, LOST, NAME, manifest};

#[path = "support/place.rs"]
mod place;

/// The folder of the layer's manifest.
static LAYER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    // Cargo leaves the layer beside this test.
    let test = std::env::current_exe().unwrap();
    let library = test.with_file_name("libvulkan_faults.so");
    assert!(library.exists(), "{} is missing", library.display());
    fs::write(folder.path().join("faults.json"), manifest(&library)).unwrap();
    folder
});

/// A corpus whose features are cached, and two runs on it.
static TRAINED: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::new();
    place.train("--out run");
    place
});

/// On Mesa's software Vulkan adapter, with the layer below it.
fn with_layer(place: &Place, arguments: &str) -> Command {
    let mut command = place.command(&format!("{arguments} --device vulkan"));
    command.env("VK_LAYER_PATH", LAYER.path()).env("VK_INSTANCE_LAYERS", NAME);
    command
}

/// What the call `at` of `function` leads to.
fn with_fault(place: &Place, arguments: &str, function: &str, at: usize, result: i32) -> Output {
    let fault = format!("{function}:{at}:{result}");
    with_layer(place, arguments).env(FAULT, fault).output().unwrap()
}

/// How often a command that succeeds calls each function, and what it prints.
fn counted(place: &Place, arguments: &str) -> (BTreeMap<&'static str, usize>, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("calls");
    let output = with_layer(place, arguments).env(COUNTS, &path).output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{arguments}: {err}");
    let calls = fs::read_to_string(path).unwrap();
    let count = |&name: &&'static str| (name, calls.lines().filter(|line| *line == name).count());
    (FUNCTIONS.iter().map(count).filter(|(_, count)| *count > 0).collect(), out)
}

/// Whatever call fails, the command ends in order: it does all the same, or tells why not.
fn assert_in_order(output: &Output, whole: &str, fault: &str) {
    let (out, err) = texts(output);
    assert!(!err.contains("panicked"), "{fault}: {err}");
    match output.status.code() {
        Some(0) => assert_eq!(out, whole, "{fault}: {err}"),
        Some(1) => {
            let reasons = ["the device was lost (", "has not enough memory left", "cannot open "];
            let told = err.contains("error: ") && reasons.iter().any(|reason| err.contains(reason));
            assert!(told, "{fault}: {err}");
        }
        status => panic!("{fault}: {status:?}, {:?}: {err}", output.status),
    }
}

const PREDICT: &str = "predict --model run/best.safetensors größe --quiet --again";

#[test]
fn one_call_of_each_function_fails() {
    let (calls, whole) = counted(&TRAINED, PREDICT);
    assert!(calls.len() > 20 && calls["vkQueueSubmit"] > 20, "{calls:?}");
    let faults: Vec<_> = calls
        .iter()
        .enumerate()
        .flat_map(|(place, (&function, &count))| {
            let results = if place % 2 == 0 { [LOST, FULL] } else { [FULL, LOST] };
            [(function, count / 3, results[0]), (function, count - 1, results[1])]
        })
        .collect();
    faults.par_iter().for_each(|&(function, at, result)| {
        let output = with_fault(&TRAINED, PREDICT, function, at, result);
        assert_in_order(&output, &whole, &format!("{function}:{at}:{result}"));
    });
}

/// Every call of the commands that use a device, with both results, half an hour on two busy cores.
#[test]
#[ignore = "half an hour"]
fn every_call_fails() {
    let commands = [
        PREDICT,
        "evaluate --model run/best.safetensors --data data.csv --quiet",
        "features größe --config tiny.toml --out OUT --quiet",
        "train --config tiny.toml --data data.csv --set train.epochs=1 --out OUT --quiet",
    ];
    for command in commands {
        let name = command.split(' ').next().unwrap();
        let scratch = |out: &Path| command.replace("OUT", &out.display().to_string());
        let folder = TempDir::new().unwrap();
        let (calls, whole) = counted(&TRAINED, &scratch(&folder.path().join("out")));
        let whole = whole.replace(&folder.path().display().to_string(), "");
        let faults: Vec<_> = calls
            .iter()
            .flat_map(|(&function, &count)| (0..count).map(move |at| (function, at)))
            .flat_map(|(function, at)| [(function, at, LOST), (function, at, FULL)])
            .collect();
        let succeeded = faults.par_iter().filter(|&&(function, at, result)| {
            let folder = TempDir::new().unwrap();
            let arguments = scratch(&folder.path().join("out"));
            let mut output = with_fault(&TRAINED, &arguments, function, at, result);
            let out = String::from_utf8(output.stdout).unwrap();
            output.stdout = out.replace(&folder.path().display().to_string(), "").into();
            assert_in_order(&output, &whole, &format!("{name}, {function}:{at}:{result}"));
            output.status.success()
        });
        let succeeded = succeeded.count();
        println!(
            "{name}: {} calls failed; {succeeded} times it did all the same, else it said why not",
            faults.len()
        );
    }
}

#[test]
fn a_training_goes_on_from_what_it_had_saved() {
    let place = Place::new();
    place.train("--out whole --device vulkan");
    let (calls, _) = counted(&place, "train --config tiny.toml --data data.csv --out counted");
    // In the second epoch, and before the first update.
    for (at, run) in [(2 * calls["vkQueueSubmit"] / 3, "late"), (0, "early")] {
        let start = format!("train --config tiny.toml --data data.csv --out {run}");
        let output = with_fault(&place, &start, "vkQueueSubmit", at, LOST);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        let way_on = place.path(run).canonicalize().unwrap();
        let told = format!(
            "(a driver reset?); go on with: moodshader train --resume {}\n",
            way_on.display()
        );
        assert!(err.contains("the device was lost") && err.ends_with(&told), "{err}");
        place.ok(&format!("train --resume {run}"));
        place.same("whole", run);
    }
    let fresh = "train --config tiny.toml --data data.csv --out full";
    let (function, at) = ("vkCreateBuffer", calls["vkCreateBuffer"] / 2);
    let output = with_fault(&place, fresh, function, at, FULL);
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("memory left; start with a smaller batch (--set train.batch=…)"), "{err}");
}

/// 14 clips are a batch of 16 at most, so that there are several where the largest finds no memory.
#[test]
fn prediction_tries_smaller_batches_where_memory_is_short() {
    let whole = TRAINED.ok(PREDICT).0;
    // The first after the device's own: those of the extractor, then the model's.
    for at in [3, 8, 16, 20] {
        let output = with_fault(&TRAINED, PREDICT, "vkCreateBuffer", at, FULL);
        let (out, err) = texts(&output);
        assert_eq!((output.status.code(), out), (Some(0), whole.clone()), "{at}: {err}");
    }
}

#[test]
fn what_was_predicted_before_the_loss_is_printed() {
    let place = Place::new();
    place.train("--out run --max-steps 3");
    // With these, a batch of 16 clips and a last one of fewer.
    for index in CLIPS..20 {
        place.clip(index);
    }
    let predict = "predict --model run/best.safetensors größe --format csv --again";
    let (calls, whole) = counted(&place, predict);
    let output = with_fault(&place, predict, "vkQueueSubmit", calls["vkQueueSubmit"] - 1, LOST);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("run the same command again: what it has heard is kept"), "{err}");
    assert_eq!((out.lines().count(), whole.lines().count()), (1 + 16, 1 + 20));
    // Threads decode, so that any one file of the first batch's may be late; the order is kept.
    let mut all = whole.lines();
    assert!(out.lines().all(|line| all.any(|other| other == line)), "{out}\n{whole}");
}

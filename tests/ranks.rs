//! Several processes that compute together: `mpirun -n 2` and `-n 3` on this machine, more of them than
//! it has cores.
#![cfg(feature = "mpi")]

mod support;

#[path = "support/place.rs"]
mod place;

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use moodshader::dataset::batches::Batch;
use moodshader::exec::Device;
use moodshader::model::bench::normalization;
use moodshader::model::parameters::{initialise, initialise_buffers};
use moodshader::model::preset::Preset;
use moodshader::model::{Inputs, Network, Session, Update};
use moodshader::plan::Storage;
use place::{Place, texts};
use support::relative;

/// Nothing here takes as long; what hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

const TRAIN: &str = "train --config tiny.toml --data data.csv";

/// The program as `count` ranks.
fn ranks(place: &Place, count: usize, arguments: &str) -> Command {
    let program = place.command(arguments);
    let mut command = Command::new("mpirun");
    command
        .args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"])
        // The network of a machine that has none is no matter.
        .args(["--mca", "btl", "self,vader"])
        // Containers forbid to read another process's memory.
        .args(["--mca", "btl_vader_single_copy_mechanism", "none"])
        .args(["-n", &count.to_string()])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(program.get_current_dir().unwrap())
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What came of it, in bounded time.
fn end(mut child: Child) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it hangs: {:?}", texts(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn run(place: &Place, count: usize, arguments: &str) -> Output {
    end(ranks(place, count, arguments).spawn().expect("Open MPI is installed"))
}

fn ok(place: &Place, count: usize, arguments: &str) -> (String, String) {
    let output = run(place, count, arguments);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{arguments}: {out}{err}");
    (out, err)
}

/// The ranks of a training, once its first epoch is saved.
fn training(place: &Place, more: &str) -> (Child, Vec<String>) {
    let arguments = format!("{TRAIN} --set train.epochs=2000 --out run {more}");
    let child = ranks(place, 2, &arguments).env("MOODSHADER_RANK_TIMEOUT", "3").spawn().unwrap();
    let started = Instant::now();
    while !place.path("run/metrics.jsonl").exists() {
        assert!(started.elapsed() < PATIENCE, "no epoch ends");
        std::thread::sleep(Duration::from_millis(5));
    }
    let folder = fs::canonicalize(place.path("")).unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let at = entry.path();
        let rank = fs::read(at.join("cmdline")).is_ok_and(|line| {
            let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
            program.ends_with(b"moodshader")
        });
        rank && fs::read_link(at.join("cwd")).is_ok_and(|cwd| cwd == folder)
    });
    let rank_of = |id: &str| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap();
        let variables = environment.split(|byte| *byte == 0);
        let name = b"OMPI_COMM_WORLD_RANK=";
        variables.filter_map(|set| set.strip_prefix(&name[..])).next().unwrap().to_vec()
    };
    let mut ids: Vec<String> =
        processes.map(|entry| entry.file_name().into_string().unwrap()).collect();
    ids.sort_by_key(|id| rank_of(id));
    assert_eq!(ids.len(), 2);
    (child, ids)
}

/// Adds a file whose header is cut.
fn break_a_file(place: &Place) {
    let clip = fs::read(place.path("größe/0, take 1.wav")).unwrap();
    fs::write(place.path("größe/broken.wav"), &clip[..30]).unwrap();
}

fn signal(name: &str, id: &str) {
    assert!(Command::new("kill").args([name, id]).status().unwrap().success());
}

#[test]
fn the_same_ranks_leave_the_same_bytes_and_a_resumed_run_ends_with_them() {
    let place = Place::new();
    // Batches of 4, 4 and 3 clips do not divide by 3; an epoch's clips neither.
    let train = format!("{TRAIN} --set train.average_epochs=1");
    ok(&place, 3, &format!("{train} --out one"));
    ok(&place, 3, &format!("{train} --out other"));
    place.same("one", "other");
    ok(&place, 3, &format!("{train} --max-steps 4 --out broken"));
    ok(&place, 3, "train --resume broken");
    place.same("one", "broken");
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let place = Place::new();
    let run = format!("{TRAIN} --set train.batch=2 --max-steps 3 --out run");
    // The last batch has one clip, so that rank 1 has none of it.
    let (_, err) = ok(&place, 2, &run);
    assert!(err.contains("rank 0: ") && err.contains("rank 1: "), "{err}");
    assert_eq!(err.matches("shaders ready").count(), 1, "{err}");
    ok(&place, 1, "train --resume run --max-steps 7");
    let (out, _) = ok(&place, 2, "train --resume run");
    assert_eq!(out.matches("best model").count(), 1, "{out}");
    assert_eq!(place.checkpoint("run/last.safetensors").description().unwrap().update, 18);
    let (_, err) = ok(&place, 2, "train --resume run");
    assert!(err.contains("is finished"), "{err}");
}

#[test]
fn what_all_ranks_fail_with_is_told_once() {
    let place = Place::new();
    for (arguments, said) in [
        (format!("{TRAIN} --set train.batch=1 --out run"), "a batch needs as many clips"),
        ("train --data none.csv --out run".to_owned(), "none.csv"),
        ("evaluate --model run --data data.csv".to_owned(), "start it without mpirun"),
        (format!("{TRAIN} --device cpu,cpu,cpu --out run"), "names 3 devices"),
    ] {
        let output = run(&place, 2, &arguments);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {err}");
        assert_eq!(err.matches("error: ").count(), 1, "{arguments}: {err}");
        assert!(err.contains(said), "{arguments}: {err}");
        assert!(!place.path("run").exists(), "{arguments}");
    }
}

/// Else every process would believe itself alone, and train the whole model.
#[test]
fn a_launcher_of_another_mpi_is_told_from_ones_own() {
    let place = Place::new();
    let output = place.command("info musicnn-msd").env("PMI_SIZE", "2").output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("start it with the mpirun of the same MPI"), "{err}");
}

#[test]
fn a_signal_to_one_rank_stops_all_after_the_same_update() {
    let place = Place::new();
    let (child, ids) = training(&place, "");
    signal("-TERM", &ids[1]);
    let output = end(child);
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert_eq!(err.matches("go on with: moodshader train --resume").count(), 1, "{err}");
    let update = place.checkpoint("run/last.safetensors").description().unwrap().update;
    assert!(err.contains(&format!("stopped after update {update};")), "{err}");
    ok(&place, 2, &format!("train --resume run --max-steps {}", update + 2));
}

#[test]
fn a_rank_that_dies_ends_the_run_and_what_was_saved_is_kept() {
    let place = Place::new();
    let (child, ids) = training(&place, "");
    signal("-KILL", &ids[1]);
    let output = end(child);
    assert!(!output.status.success());
    let update = place.checkpoint("run/last.safetensors").description().unwrap().update;
    ok(&place, 2, &format!("train --resume run --max-steps {}", update + 1));
}

#[test]
fn a_rank_that_hangs_ends_the_run_in_bounded_time() {
    let place = Place::new();
    let (child, ids) = training(&place, "");
    signal("-STOP", &ids[1]);
    let output = end(child);
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("waited 3 s for the other ranks"), "{err}");
    place.checkpoint("run/last.safetensors");
}

#[test]
fn a_library_is_heard_by_all_ranks_and_told_by_one() {
    let place = Place::new();
    place.train("--epochs 1 --out run");
    break_a_file(&place);
    let predict = "predict --model run --format json größe";
    let alone = place.run(predict);
    fs::remove_dir_all(place.path("cache")).unwrap();
    let shared = run(&place, 3, predict);
    let ([out, shared_out], [err, shared_err]) = {
        let (alone, shared) = (texts(&alone), texts(&shared));
        ([alone.0, shared.0], [alone.1, shared.1])
    };
    assert_eq!((alone.status.code(), shared.status.code()), (Some(1), Some(1)), "{shared_err}");
    let [one, other]: [serde_json::Value; 2] =
        [&out, &shared_out].map(|text| serde_json::from_str(text).unwrap());
    let (one, other) = (one.as_array().unwrap(), other.as_array().unwrap());
    assert_eq!((one.len(), other.len()), (place::CLIPS, place::CLIPS));
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one["path"], other["path"]);
        let moods = [one, other].map(|song| song["moods"].as_object().unwrap().clone());
        for (mood, probability) in &moods[0] {
            let difference = probability.as_f64().unwrap() - moods[1][mood].as_f64().unwrap();
            assert!(difference.abs() < 1e-5, "{} {mood}", one["path"]);
        }
    }
    for err in [&err, &shared_err] {
        assert_eq!(err.matches("broken.wav").count(), 1, "{err}");
    }
    // One process knows from the index what several have heard.
    let (again, err) = texts(&place.run(predict));
    assert!(err.contains("0 new") && err.contains("14 unchanged"), "{err}");
    let timeless = |text: &str| -> Vec<serde_json::Value> { serde_json::from_str(text).unwrap() };
    assert_eq!(timeless(&again), timeless(&shared_out));
}

#[test]
fn arrays_of_several_ranks_are_those_of_one() {
    let place = Place::new();
    break_a_file(&place);
    let features = "features --config tiny.toml größe --out";
    let alone = place.run(&format!("{features} alone"));
    let shared = run(&place, 3, &format!("{features} shared"));
    for output in [alone, shared] {
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("14 arrays written"), "{err}");
        assert_eq!(err.matches("broken.wav").count(), 1, "{err}");
    }
    place.same("alone", "shared");

    fs::remove_file(place.path("größe/broken.wav")).unwrap();
    let (_, err) = ok(&place, 2, &format!("{features} shared"));
    assert!(err.contains("14 of 14 arrays are there already"), "{err}");
}

#[test]
fn several_ranks_find_in_manifests_what_one_does() {
    let place = Place::new();
    break_a_file(&place);
    fs::copy(place.path("größe/3, take 1.wav"), place.path("größe/copy.wav")).unwrap();
    place.manifest("more.csv", &["größe/broken.wav,epic".into(), "größe/copy.wav,epic".into()]);
    for format in ["text", "json"] {
        let check = format!("dataset check data.csv more.csv --format {format}");
        let (alone, shared) = (place.run(&check), run(&place, 3, &check));
        assert_eq!(alone.status.code(), shared.status.code());
        let ((out, _), (shared_out, err)) = (texts(&alone), texts(&shared));
        assert_eq!(out, shared_out, "{err}");
        assert!(out.contains("broken.wav") && out.contains("copy.wav"), "{out}");
    }
}

const UPDATE: Update = Update { number: 3, seed: 7, learning_rate: 1e-3, averaging: 1.0 };

/// The gradient of a batch's mean loss, summed over the shares that so many ranks have.
fn shared(device: &Device, network: &Network, batch: &Batch, count: usize) -> Vec<f32> {
    let of = batch.clips;
    let share = |rank: usize| (rank * of).div_ceil(count)..((rank + 1) * of).div_ceil(count);
    let size = batch.main.len() / of;
    let moods = batch.targets.len() / of;
    let six = batch.handcrafted.len() / of;
    let mut sum: Vec<f64> = Vec::new();
    for clips in (0..count).map(share) {
        let mut session =
            Session::sharing(device, network.clone(), of, |_| clips.clone(), &[]).unwrap();
        begin(&mut session);
        let part = Inputs {
            clips: clips.len(),
            main: &batch.main[clips.start * size..clips.end * size],
            handcrafted: &batch.handcrafted[clips.start * six..clips.end * six],
        };
        let targets = &batch.targets[clips.start * moods..clips.end * moods];
        let said = session.contribute(part, targets, clips.clone(), of, UPDATE).unwrap();
        let [first, second] = said.gradient.map(|part| part().unwrap());
        let gradient = session.parts().unwrap().join([&first, &second]);
        sum.resize(gradient.len(), 0.0);
        let weight = clips.len() as f32 / of as f32;
        for (sum, gradient) in sum.iter_mut().zip(gradient) {
            *sum += f64::from(weight * gradient);
        }
    }
    sum.into_iter().map(|sum| sum as f32).collect()
}

/// The first weights of a model.
fn begin(session: &mut Session) {
    let preset = session.network().preset().clone();
    session.upload(Storage::Parameters, &initialise(&preset, 1)).unwrap();
    session.upload(Storage::Buffers, &initialise_buffers(&preset)).unwrap();
    session.set_epoch_loss(0.0).unwrap();
}

/// Without batch norm, of all presets the one with recurrences alone, shares of a batch make the
/// gradient of the batch, with dropout and label smoothing.
#[test]
fn shares_of_a_batch_make_its_gradient() {
    let mut preset = Preset::named("rnn-handcrafted").unwrap();
    for (key, value) in [
        ("audio.clip_seconds", "0.5"),
        ("features.mels", "8"),
        ("model.rnn.lstm", "[8, 4]"),
        ("model.dropout", "0.5"),
        ("train.label_smoothing", "0.1"),
        ("train.batch", "7"),
    ] {
        preset.set(key, value).unwrap();
    }
    let network = Network::new(&preset, normalization(&preset));
    let batch = support::noise(&preset, 7, 5);
    for device in [Device::Cpu, support::device()] {
        let mut whole = Session::new(&device, network.clone(), 7, &[]).unwrap();
        begin(&mut whole);
        whole.update(batch.inputs(), &batch.targets, UPDATE).unwrap();
        let whole: Vec<f32> = {
            let tensors = whole.download(Storage::Gradients).unwrap();
            network.layout(Storage::Gradients).flatten(&tensors).unwrap()
        };
        assert!(whole.iter().any(|gradient| gradient.abs() > 1e-3));
        for count in [2, 3, 7] {
            let error = relative(&shared(&device, &network, &batch, count), &whole);
            println!("{count} ranks, {}: {error:.1e}", device.describe());
            assert!(error < 1e-6, "{count} ranks, {}: {error:.1e}", device.describe());
        }
    }
}

//! What a run trains and validates on: copies, moods without a contrast, audio that has moved, and what
//! is told of the files on every run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use place::{CLIPS, Place, texts};

#[path = "support/place.rs"]
mod place;

/// Where the file of clip `index` lies.
fn listed(index: usize) -> String {
    format!("größe/{index}, take 1.wav")
}

fn copy(place: &Place, from: usize, to: &str) {
    fs::copy(place.path(&listed(from)), place.path(to)).unwrap();
}

/// The parts of a run that each file is in.
fn parts(place: &Place, run: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(place.path(&format!("{run}/tracks.csv"))).unwrap();
    for row in reader.records().map(Result::unwrap) {
        parts.entry(row[2].to_owned()).or_default().insert(row[0].to_owned());
    }
    parts
}

#[test]
fn copies_are_held_back_together() {
    let place = Place::new();
    let mut rows = Vec::new();
    for index in 0..CLIPS {
        rows.push(place.clip(index));
        let name = format!("copy{index}.wav");
        copy(&place, index, &name);
        rows.push(format!("{name},{}", if index % 2 == 0 { "dark" } else { "happy" }));
    }
    place.manifest("data.csv", &rows);
    for seed in 0..4 {
        let (_, err) = place.train(&format!("--out {seed} --seed {seed} --max-steps 0"));
        assert!(err.contains("14 tracks are byte for byte copies"), "{err}");
        assert!(!err.contains("same audio"), "{err}");
        let parts = parts(&place, &seed.to_string());
        for index in 0..CLIPS {
            assert_eq!(parts[&listed(index)], parts[&format!("copy{index}.wav")], "{index}");
        }
        let held_back = parts.values().filter(|parts| parts.contains("validation")).count();
        assert!((4..=8).contains(&held_back), "{held_back} of 28");
    }
    // Without a copy there is no such line.
    place.manifest("data.csv", &rows.iter().step_by(2).cloned().collect::<Vec<_>>());
    let (_, err) = place.train("--out alone --max-steps 0");
    assert!(!err.contains("copies"), "{err}");

    let all_one: Vec<String> = (0..3)
        .map(|number| {
            copy(&place, 0, &format!("one{number}.wav"));
            format!("one{number}.wav,happy|dark")
        })
        .collect();
    place.manifest("data.csv", &all_one);
    let output = place.run("train --config tiny.toml --data data.csv --out none");
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("copies") && err.contains("--validation"), "{err}");
}

#[test]
fn copies_join_artists() {
    let place = Place::new();
    let mut text = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n".to_owned();
    // Artists 0 and 1, 2 and 3, … share a song.
    for artist in 0..10 {
        let shared = format!("shared{artist}.wav");
        place.clip(2 * artist + 1);
        place.clip(artist / 2 * 2);
        copy(&place, artist / 2 * 2, &shared);
        for (number, path) in [listed(2 * artist + 1), shared].into_iter().enumerate() {
            let mood = place::MOODS[artist % 3];
            text += &format!("t{artist}-{number}\ta{artist}\tb\t{path}\t1\tmood/theme---{mood}\n");
        }
    }
    fs::write(place.path("data.tsv"), text).unwrap();
    for seed in 0..4 {
        let start = format!("train --config tiny.toml --data data.tsv --out {seed} --seed {seed}");
        place.ok(&format!("{start} --max-steps 0"));
        let parts = parts(&place, &seed.to_string());
        for pair in 0..5 {
            let of_artist = |artist: usize| {
                let own = &parts[&listed(2 * artist + 1)];
                own | &parts[&format!("shared{artist}.wav")]
            };
            let both = &of_artist(2 * pair) | &of_artist(2 * pair + 1);
            assert_eq!(both.len(), 1, "seed {seed}: {parts:?}");
        }
    }
}

#[test]
fn copies_in_a_given_validation_are_told_and_change_nothing() {
    let place = Place::new();
    let mut rows: Vec<String> = (0..CLIPS).map(|index| place.clip(index)).collect();
    place.manifest("data.csv", &rows[..8]);
    let mut held = rows.split_off(10);
    for index in 0..4 {
        copy(&place, index, &format!("copy{index}.wav"));
        held.push(format!("copy{index}.wav,dark"));
    }
    // The same file is no copy of itself; that is another warning.
    held.push(place.clip(5));
    place.manifest("held.csv", &held);
    let (_, err) = place.train("--validation held.csv --test held.csv --out run --quiet");
    for data in ["validation", "test"] {
        let told = format!("warning: 4 tracks of the {data} data have the same audio as training");
        assert!(err.contains(&told), "{err}");
        assert!(err.contains(&format!("1 tracks are in the training and in the {data}")), "{err}");
    }
    assert!(err.contains(&format!("copy0.wav = {}", listed(0))), "{err}");
    assert!(!err.contains("copy3.wav"), "more than three are named: {err}");
    assert_eq!(parts(&place, "run")["copy3.wav"], ["test", "validation"].map(str::to_owned).into());
}

/// As a run of a version that did not look for copies.
#[test]
fn a_run_that_goes_on_keeps_its_split_with_copies_in_it() {
    let place = Place::new();
    place.train("--out run --max-steps 1");
    let before = parts(&place, "run");
    let one_in = |part: &str| {
        let index = (0..CLIPS).find(|&index| before[&listed(index)].contains(part)).unwrap();
        listed(index)
    };
    let (train, validation) = (one_in("training"), one_in("validation"));
    fs::copy(place.path(&train), place.path(&validation)).unwrap();
    let (_, err) = place.ok("train --resume run");
    assert!(err.contains("1 tracks of the validation data have the same audio"), "{err}");
    assert_eq!(parts(&place, "run"), before);
}

#[test]
fn a_mood_without_a_contrast_is_told_and_one_alone_needs_tracks_without_it() {
    let place = Place::new();
    let rows: Vec<String> = (0..CLIPS)
        .map(|index| {
            place.clip(index);
            format!("\"{}\",{}", listed(index), ["happy", "other", "happy|dark"][index % 3])
        })
        .collect();
    place.manifest("mixed.csv", &rows);
    let (_, err) = place.ok(
        "train --config tiny.toml --data mixed.csv --set model.output=sigmoid --moods happy --out one \
         --max-steps 0",
    );
    assert!(err.contains("5 tracks have none of the 1 moods"), "{err}");
    let rows: Vec<String> = rows.iter().map(|row| row.replace("other", "happy")).collect();
    place.manifest("data.csv", &rows);
    for more in ["", "--validation data.csv", "--set train.class_weights=balanced"] {
        let output = place.run(&format!(
            "train --config tiny.toml --data data.csv --set model.output=sigmoid --moods happy \
             --out run {more}"
        ));
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("every training clip has the mood happy"), "{err}");
        assert!(err.contains("--moods") && !place.path("run").exists(), "{err}");
    }
    let (_, err) = place.train("--moods happy,dark --out two --max-steps 0 --quiet");
    let told = "warning: every training clip has the mood happy: there is nothing to learn";
    assert!(err.contains(told) && !err.contains("the mood dark"), "{err}");

    // Of two artists the one with fewer tracks is held back, who alone has epic.
    let mut text = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n".to_owned();
    for index in 0..10 {
        let mood = ["dark", "happy"][index % 2];
        let artist = usize::from(index > 1);
        let more = if index == 0 { "epic" } else { "" };
        text += &format!("t{index}\ta{artist}\tb\t{}\t1\t{mood}\t{more}\n", listed(index));
    }
    fs::write(place.path("data.tsv"), text).unwrap();
    let (_, err) = place.ok("train --config tiny.toml --data data.tsv --out rare --max-steps 0");
    assert!(err.contains("warning: no training clip has the mood epic"), "{err}");
}

#[test]
fn a_run_goes_on_where_its_audio_has_moved() {
    let place = Place::new();
    let start = "train --config tiny.toml --data data.csv --audio-root before";
    fs::create_dir(place.path("before")).unwrap();
    fs::rename(place.path("größe"), place.path("before/größe")).unwrap();
    place.ok(&format!("{start} --out whole"));
    place.ok(&format!("{start} --out run --max-steps 2"));
    fs::rename(place.path("before"), place.path("after")).unwrap();

    let output = place.run("train --resume run");
    let (_, err) = texts(&output);
    assert!(output.status.code() == Some(2) && err.contains("--audio-root"), "{err}");
    place.ok("train --resume run --audio-root after --max-steps 4");
    // From now on it needs no flag.
    place.ok("train --resume run");
    let (whole, run) = (place.files("whole"), place.files("run"));
    for name in ["best.safetensors", "last.safetensors", "metrics.jsonl", "tracks.csv"] {
        assert!(whole[name] == run[name], "{name} differs");
    }

    // Other audio under the same names is another run's.
    place
        .ok("train --config tiny.toml --data data.csv --audio-root after --out else --max-steps 1");
    fs::create_dir_all(place.path("same/größe")).unwrap();
    for index in 0..CLIPS {
        fs::copy(
            place.path(&format!("after/{}", listed(0))),
            place.path(&format!("same/{}", listed(index))),
        )
        .unwrap();
    }
    let config = place.files("else")["config.toml"].clone();
    let output = place.run("train --resume else --audio-root same");
    let (_, err) = texts(&output);
    assert!(output.status.code() == Some(2) && err.contains("audio"), "{err}");
    assert!(place.files("else")["config.toml"] == config, "the run has taken the folder");
}

#[test]
fn every_flag_beside_resume_works_or_is_refused() {
    let place = Place::new();
    place.train("--out run --max-steps 1");
    fs::write(place.path("held.csv"), fs::read(place.path("data.csv")).unwrap()).unwrap();
    let before = place.files("run");
    for flag in [
        "--preset demo",
        "--config tiny.toml",
        "--set train.batch=4",
        "--moods happy",
        "--data data.csv",
        "--validation held.csv",
        "--test held.csv",
        "--out other",
        "--init run/last.safetensors",
        "--seed 0",
    ] {
        let output = place.run(&format!("train --resume run {flag}"));
        let (_, err) = texts(&output);
        let name = flag.split(' ').next().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag}: {err}");
        for part in [name, "--audio-root", "--device", "--max-steps"] {
            assert!(err.contains(part), "{flag}: {err}");
        }
        assert!(before == place.files("run"), "{flag}");
    }
    let (_, err) = place.ok("train --resume run --audio-root . --device cpu --max-steps 2 --quiet");
    assert!(!err.contains("going on"), "{err}");
    assert_eq!(place.checkpoint("run/last.safetensors").description().unwrap().update, 2);

    place.ok("train --config tiny.toml --out composed --max-steps 0");
    let output = place.run("train --resume composed --audio-root .");
    let (_, err) = texts(&output);
    assert!(output.status.code() == Some(2) && err.contains("composes its own corpus"), "{err}");

    // Without --resume, what says more about the data needs the data.
    for flag in ["--audio-root .", "--validation held.csv", "--test held.csv"] {
        let output = place.run(&format!("train --config tiny.toml --out other {flag}"));
        let (_, err) = texts(&output);
        assert!(output.status.code() == Some(2) && err.contains("--data"), "{flag}: {err}");
    }
}

#[test]
fn what_is_wrong_with_files_is_told_on_every_run() {
    let place = Place::new();
    let whole = fs::read(place.path(&listed(1))).unwrap();
    fs::write(place.path(&listed(1)), &whole[..whole.len() - 4000]).unwrap();
    let rows: Vec<String> = (0..CLIPS)
        .map(|index| format!("\"{}\",{}", listed(index), place::MOODS[index % 3]))
        .collect();
    place.manifest("data.csv", &rows);
    let start = "train --config tiny.toml --data data.csv --validation data.csv --set \
                 audio.clip_seconds=1.05 --max-steps 4";
    let told = |err: &str| -> Vec<String> {
        let told = |line: &&str| {
            line.contains("padded with silence") || line.contains("what is there is used")
        };
        err.lines().filter(told).map(str::to_owned).collect()
    };
    let (_, first) = place.ok(&format!("{start} --out first"));
    let expected = [
        "training: 1 clip is shorter than 1.05 s and padded with silence",
        "training: 1 file ends before its header says; what is there is used",
        "validation: 1 clip is shorter than 1.05 s and padded with silence",
        "validation: 1 file ends before its header says; what is there is used",
    ];
    assert_eq!(told(&first), expected);
    let (_, second) = place.ok(&format!("{start} --out second"));
    assert_eq!(told(&second), expected);
    place.same("first", "second");
    for _ in 0..2 {
        let (_, err) = place.ok("evaluate --model first/best.safetensors --data data.csv");
        let expected = expected[..2].iter().map(|line| line.replace("training: ", ""));
        assert_eq!(told(&err), expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_cache_that_can_only_be_read_is_used() {
    let place = Place::new();
    place.train("--out whole");
    // Permissions would not stop an administrator, under whom tests may run.
    let new = place.path("cache/features/new");
    fs::remove_dir_all(&new).unwrap();
    fs::write(&new, "").unwrap();
    let (_, err) = place.train("--out again");
    assert!(!err.contains("not in the cache"), "{err}");
    place.same("whole", "again");

    let lacking = "--set features.top_db=70 --quiet";
    let (_, err) = place.train(&format!("--out lacking {lacking}"));
    let told = "warning: the features of 14 clips are not in the cache";
    assert!(err.contains(told) && err.contains("MOODSHADER_CACHE"), "{err}");
    let (_, err) = place.ok("evaluate --model lacking/best.safetensors --data data.csv");
    assert_eq!(err.matches(told).count(), 1, "{err}");
    fs::remove_file(&new).unwrap();
    place.train(&format!("--out kept {lacking}"));
    place.same("lacking", "kept");
}

#[test]
fn clips_too_long_for_the_adapter_are_refused_before_any_is_read() {
    let place = Place::new();
    // Files that are read first would be told as broken. That they are equal makes no copies of them:
    // they hold no audio.
    (0..CLIPS).for_each(|index| fs::write(place.path(&listed(index)), "no audio").unwrap());
    let output = place.run(
        "train --config tiny.toml --data data.csv --out run --set audio.clip_seconds=3600 --set \
         train.batch=1",
    );
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("audio.clip_seconds") && err.contains("MiB"), "{err}");
    assert!(!err.contains("cannot be used") && !place.path("run").exists(), "{err}");
}

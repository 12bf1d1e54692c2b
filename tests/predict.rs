//! `moodshader predict` as people use it, and the library behind it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use moodshader::{Device, Tagger};
use serde_json::Value;

#[path = "support/trained.rs"]
mod trained;
use trained::tones::{program, tone};
use trained::{MOODS, Trained, wav};

/// Samples of a clip of the model.
const CLIP: usize = 22_050;

static TRAINED: LazyLock<Trained> = LazyLock::new(|| {
    let place = Trained::new();
    let music = place.path("music");
    fs::create_dir_all(music.join("sub folder")).unwrap();
    // 3 clips and a tail that is dropped, 2 and one that is not, and less than one.
    wav(&music.join("a.wav"), 0.05, 3 * CLIP + 9000);
    wav(&music.join("sub folder/b ü.wav"), 0.1, 2 * CLIP + 13_000);
    wav(&music.join("short.wav"), 0.15, 8000);
    fs::write(music.join("notes.txt"), "no audio").unwrap();
    fs::copy(fixture("sweep.ogg"), music.join("z.ogg")).unwrap();
    place
});

const MODEL: &str = "predict --model run/best.safetensors";

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name)
}

fn json(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// By way of the text, where an f32 has its own digits.
fn as_json(value: &impl serde::Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn moods(value: &Value) -> Vec<f64> {
    let moods = value["moods"].as_object().unwrap();
    assert!(moods.keys().eq(MOODS), "{moods:?}");
    moods.values().map(|p| p.as_f64().unwrap()).collect()
}

#[test]
fn json_has_every_audio_file_of_a_folder_with_every_mood() {
    let files = json(&TRAINED.ok(&format!("{MODEL} music --format json --top 1")));
    let paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        ["music/a.wav", "music/short.wav", "music/sub folder/b ü.wav", "music/z.ogg"]
    );
    for file in &files {
        assert!((moods(file).iter().sum::<f64>() - 1.0).abs() < 1e-5, "{file}");
        assert!(file.get("timeline").is_none());
        assert_eq!(file["padded"], file["path"] == "music/short.wav");
    }
    assert!((files[0]["duration"].as_f64().unwrap() - 75_150.0 / 22_050.0).abs() < 1e-9);
}

#[test]
fn a_recording_is_the_average_of_its_clips() {
    let files = json(&TRAINED.ok(&format!("{MODEL} music --format json --timeline")));
    let clips: Vec<usize> =
        files.iter().map(|file| file["timeline"].as_array().unwrap().len()).collect();
    assert_eq!(clips, [3, 1, 3, 7]);
    for file in &files {
        let spans = file["timeline"].as_array().unwrap();
        for (mood, average) in moods(file).into_iter().enumerate() {
            let sum: f64 = spans.iter().map(|span| moods(span)[mood]).sum();
            assert!((sum / spans.len() as f64 - average).abs() < 1e-6);
        }
        let mut at = 0.0;
        for span in spans {
            assert_eq!(span["start"].as_f64(), Some(at));
            at += 1.0;
            let end = span["end"].as_f64().unwrap();
            assert!(end == at || Some(end) == file["duration"].as_f64(), "{span}");
        }
    }
    // Another tone has other moods.
    let [a, b] = [0, 2].map(|file| moods(&files[file]));
    assert!(a.iter().zip(&b).any(|(a, b)| (a - b).abs() > 0.02), "{files:?}");
}

#[test]
fn the_library_predicts_the_same_from_samples_and_files() {
    let place = &*TRAINED;
    let files = json(&place.ok(&format!("{MODEL} music --format json --timeline")));
    let device = Device::auto().unwrap();
    let mut tagger = Tagger::open(place.path("run/best.safetensors"), &device).unwrap();
    let length = 3 * CLIP + 9000;
    let samples = tone(0.05, length, length as u32);
    let from_samples = tagger.predict(&samples, 22_050).unwrap();
    assert_eq!(as_json(&from_samples.moods), files[0]["moods"]);
    for file in &files {
        let prediction = tagger.predict_file(place.path(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(as_json(&prediction.timeline), file["timeline"]);
        assert_eq!(prediction.moods.get("dark"), Some(moods(file)[1] as f32));
    }
    let ranked: Vec<f32> = from_samples.moods.ranked().into_iter().map(|(_, p)| p).collect();
    assert!(ranked.is_sorted_by(|a, b| a >= b));
    // At another rate it is nearly the same.
    let other = tone(0.05 / 2.0, 2 * samples.len(), 2 * samples.len() as u32);
    let other = tagger.predict(&other, 44_100).unwrap();
    assert_eq!(other.timeline.len(), 3);
    for wrong in [&[][..], &[0.0, f32::NAN]] {
        assert!(tagger.predict(wrong, 22_050).is_err());
    }
    assert!(tagger.predict(&[0.0], 3).is_err());
}

#[test]
fn what_a_file_is_predicted_with_changes_nothing() {
    let place = &*TRAINED;
    let many = place.path("many");
    fs::create_dir(&many).unwrap();
    for file in 0..23 {
        wav(&many.join(format!("{file:02}.wav")), 0.03 + 0.01 * file as f32, CLIP + 500 * file);
    }
    let together = json(&place.ok(&format!("{MODEL} many --format json")));
    for file in [0, 7, 22] {
        let alone = json(&place.ok(&format!("{MODEL} many/{file:02}.wav --format json --again")));
        assert_eq!(alone[0], together[file]);
    }
    // A file that is named twice counts once.
    let twice = json(&place.ok(&format!("{MODEL} many/07.wav many --format json")));
    assert_eq!((twice.len(), &twice[0]), (23, &together[7]));
}

#[test]
fn csv_has_labels_and_all_moods() {
    let table = |more: &str| -> Vec<HashMap<String, String>> {
        let text = TRAINED.ok(&format!("{MODEL} music --format csv {more}"));
        csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect()
    };
    let files = json(&TRAINED.ok(&format!("{MODEL} music --format json --timeline")));
    let rows = table("--top 1");
    assert_eq!(rows.len(), files.len());
    for (row, file) in rows.iter().zip(&files) {
        assert_eq!(row["path"], file["path"].as_str().unwrap());
        for (mood, probability) in MOODS.iter().zip(moods(file)) {
            assert_eq!(
                f64::from(row[*mood].parse::<f32>().unwrap()),
                f64::from(probability as f32)
            );
        }
    }
    let spans = table("--timeline");
    assert_eq!(spans.len(), 14);
    assert_eq!((&*spans[1]["start"], &*spans[1]["end"]), ("1", "2"));
}

#[test]
fn text_is_for_people() {
    let out = TRAINED.ok(&format!("{MODEL} music/short.wav music/a.wav --top 2 --timeline"));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("music/short.wav") && lines[0].contains("padded"), "{out}");
    assert!(lines[4].starts_with("music/a.wav  (0:03)"), "{out}");
    assert_eq!(lines.len(), 8, "{out}");
    let blocks = |line: &str| line.chars().filter(|c| ('▁'..='█').contains(c)).count();
    assert_eq!([lines[1], lines[5], lines[6]].map(blocks), [1, 3, 3], "{out}");
    assert_eq!(TRAINED.ok(&format!("{MODEL} music/a.wav")).lines().count(), 1 + MOODS.len());
}

#[test]
fn files_that_fail_are_listed_and_the_rest_is_done() {
    let place = &*TRAINED;
    fs::write(place.path("broken.flac"), b"fLaC and then nothing").unwrap();
    let (code, out, err) =
        place.run(&format!("{MODEL} broken.flac music/a.wav gone.mp3 --format json --quiet"));
    assert_eq!(code, 1, "{err}");
    assert_eq!(json(&out).len(), 1);
    assert!(
        err.contains("2 of 3") && err.contains("broken.flac") && err.contains("gone.mp3"),
        "{err}"
    );
    let (_, _, err) = place.run(&format!("{MODEL} music/a.wav -q"));
    assert_eq!(err, "");
    let (_, _, err) = place.run(&format!("{MODEL} music/a.wav music/short.wav --again"));
    assert!(err.contains("clips/s") && err.contains("1 audio file shorter than a clip"), "{err}");
}

#[test]
fn wrong_usage_is_named() {
    let place = &*TRAINED;
    fs::create_dir_all(place.path("empty")).unwrap();
    fs::write(place.path("dark.m3u8"), "precious").unwrap();
    for (arguments, named) in [
        ("predict --model gone.safetensors music", "gone.safetensors"),
        ("predict --model tiny.toml music", "tiny.toml"),
        ("predict --model run/best.safetensors", "PATH"),
        ("predict --model run/best.safetensors empty", "no audio file in empty"),
        ("predict --model run/best.safetensors gone.mp3", "gone.mp3"),
        ("predict --model run/best.safetensors music --top 0", "--top"),
        ("predict --model run/best.safetensors music --format yaml", "yaml"),
        ("predict --model run/best.safetensors music --dry-run", "--write-tags"),
        ("predict --model run/best.safetensors music --playlist drk", "knows dark"),
        ("predict --model run/last.safetensors music --playlist dark", "no thresholds"),
        ("predict --model run/best.safetensors music --playlist dark", "dark.m3u8 is in the way"),
        ("predict --model run/best.safetensors music --threshold drk=0.5", "knows dark"),
        ("predict --model run/best.safetensors music --threshold dark=2", "no probability"),
        ("predict --model run/best.safetensors music --min-precision 80", "a share above 0"),
        ("predict --model run/last.safetensors music --min-precision 0.8", "--threshold MOOD="),
        ("predict --files-from gone.txt", "gone.txt"),
        ("predict --undo gone.csv", "gone.csv"),
        ("predict --model run/best.safetensors music --device gpuu", "did you mean gpu?"),
    ] {
        let (code, out, err) = place.run(arguments);
        assert!(code == 2 && err.contains(named) && out.is_empty(), "{arguments}: {code} {err}");
    }
    assert_eq!(fs::read(place.path("dark.m3u8")).unwrap(), b"precious");
}

#[test]
fn a_playlist_has_the_files_that_reach_the_threshold_best_first() {
    let place = &*TRAINED;
    fs::create_dir_all(place.path("lists")).unwrap();
    let thresholds = place.checkpoint("run/best.safetensors").description().unwrap().thresholds;
    let threshold = thresholds.unwrap()[0].unwrap();
    let command =
        format!("{MODEL} . --format json --playlist happy --playlist epic --playlist-out lists");
    let (_, out, _) = place.run(&command);
    let mut expected: Vec<(f64, String)> = json(&out)
        .iter()
        .map(|file| (moods(file)[0], file["path"].as_str().unwrap().to_owned()))
        .filter(|(probability, _)| *probability >= threshold)
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert!(!expected.is_empty() && expected.len() < json(&out).len());
    let text = fs::read_to_string(place.path("lists/happy.m3u8")).unwrap();
    assert!(text.starts_with("#EXTM3U\n"), "{text}");
    let listed: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| place.path("lists").join(line).canonicalize().unwrap().display().to_string())
        .collect();
    let expected: Vec<String> = expected
        .iter()
        .map(|(_, path)| place.path(path).canonicalize().unwrap().display().to_string())
        .collect();
    assert_eq!(listed, expected);
    // One of its own is written anew.
    place.run(&command);
    assert_eq!(text, fs::read_to_string(place.path("lists/happy.m3u8")).unwrap());
}

#[test]
fn tags_are_written_only_when_asked_and_not_in_a_dry_run() {
    let place = &*TRAINED;
    let file = place.path("tagged.ogg");
    fs::copy(fixture("sweep.ogg"), &file).unwrap();
    let before = fs::read(&file).unwrap();
    place.ok(&format!("{MODEL} tagged.ogg"));
    let (_, _, err) = place.run(&format!("{MODEL} tagged.ogg --write-tags --dry-run --quiet"));
    assert!(
        err.contains("tagged.ogg: MOOD would say ") && err.contains("instead of nothing"),
        "{err}"
    );
    assert_eq!(before, fs::read(&file).unwrap());
    place.ok(&format!("{MODEL} tagged.ogg --write-tags"));
    let after = fs::read(&file).unwrap();
    assert!(after != before && after.windows(5).any(|bytes| bytes == b"MOOD="));
    // What it says already is not written again.
    let (_, _, err) = place.run(&format!("{MODEL} tagged.ogg --write-tags"));
    assert!(!err.contains("new tag"), "{err}");
    assert_eq!(after, fs::read(&file).unwrap());
}

/// Unix alone allows such a name.
#[cfg(unix)]
#[test]
fn a_name_with_a_line_break_is_left_out_of_the_playlist_alone() {
    let place = &*TRAINED;
    let folder = place.path("breaks");
    fs::create_dir_all(&folder).unwrap();
    for (name, pitch) in [("two\nlines.wav", 0.05), ("one.wav", 0.05)] {
        wav(&folder.join(name), pitch, CLIP);
    }
    let (code, out, err) = place.run(&format!(
        "{MODEL} breaks --format json --playlist happy --playlist dark --playlist epic \
         --playlist-out breaks"
    ));
    assert_eq!((code, json(&out).len()), (1, 2), "{err}");
    assert!(err.contains("1 of 2 files failed") && err.contains("line break"), "{err}");
    let lists: Vec<String> = ["happy", "dark", "epic"]
        .map(|mood| fs::read_to_string(folder.join(format!("{mood}.m3u8"))).unwrap())
        .to_vec();
    assert!(lists.iter().any(|list| list.ends_with("\none.wav\n")), "{lists:?}");
    assert!(lists.iter().all(|list| !list.contains("lines")), "{lists:?}");

    // A line a vector, and what is short is told.
    wav(&folder.join("short.wav"), 0.05, CLIP / 2);
    let (code, _, err) = place.run("embed --model run breaks --out vectors.npy");
    assert!(code == 0 && err.contains("1 audio file shorter than a clip"), "{err}");
    let names = fs::read_to_string(place.path("vectors.txt")).unwrap();
    assert_eq!(names, "breaks/one.wav\nbreaks/short.wav\nbreaks/two\\x0Alines.wav\n");
}

#[test]
fn files_with_audio_endings_but_no_audio_are_told() {
    let place = &*TRAINED;
    let folder = place.path("dubious");
    fs::create_dir_all(&folder).unwrap();
    wav(&folder.join("a.wav"), 0.05, CLIP);
    for (name, content) in [("b.mp3", ""), ("c.FLAC", "<html>"), ("d.ogg", "text"), ("e.m4a", "x")]
    {
        fs::write(folder.join(name), content).unwrap();
    }
    fs::write(folder.join("cover.txt"), "text").unwrap();
    let (code, out, err) = place.run(&format!("{MODEL} dubious --format json"));
    assert_eq!((code, json(&out).len()), (0, 1), "{err}");
    let note = "passed over 4 files with audio endings that hold no audio that is read: dubious/b.mp3, \
                dubious/c.FLAC, dubious/d.ogg and 1 more";
    assert!(err.contains(note) && !err.contains("cover"), "{err}");
}

/// Starts a prediction of many files as JSON, lets `end` end it once a file is told, and gives all that
/// it wrote and its exit status.
#[cfg(unix)]
fn many_ended_by(end: fn(&mut std::process::Child)) -> (String, std::process::ExitStatus) {
    use std::io::Read;

    let place = &*TRAINED;
    let folder = place.path("sixty");
    fs::create_dir_all(&folder).unwrap();
    for file in 0..MANY {
        wav(&folder.join(format!("{file}.wav")), 0.05, 20 * CLIP);
    }
    let arguments = format!("{MODEL} sixty --format json --device cpu --again");
    let root = folder.parent().unwrap();
    let mut child = program(root, &arguments).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut text = Vec::new();
    // The end of an entry, not of the moods in it.
    while !text.ends_with(b"\n  }") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1, "nothing is told before the end");
        text.push(byte[0]);
    }
    end(&mut child);
    output.read_to_end(&mut text).unwrap();
    (String::from_utf8(text).unwrap(), child.wait().unwrap())
}

/// Files of [`many_ended_by`]; all of them fit into a pipe at once.
const MANY: usize = 60;

#[cfg(unix)]
#[test]
fn a_killed_prediction_leaves_what_it_told_in_json() {
    let (text, _) = many_ended_by(|child| child.kill().unwrap());
    // Unless the kill came into the middle of an entry, only the bracket is missing.
    let whole = &text[..text.rfind("\n  }").expect("a file is told") + "\n  }".len()];
    let files = json(&format!("{whole}\n]"));
    assert!(!files.is_empty() && files.len() < MANY, "{}", files.len());
}

#[cfg(unix)]
#[test]
fn an_interrupted_prediction_ends_its_json() {
    use rustix::process::{Pid, Signal, kill_process};

    let (text, status) = many_ended_by(|child| {
        kill_process(Pid::from_child(child), Signal::INT).unwrap();
    });
    let files = json(&text);
    assert!(!files.is_empty() && files.len() < MANY, "{}", files.len());
    assert_eq!(status.code(), Some(130));
}

#[test]
fn json_is_one_array_whatever_it_holds() {
    let place = &*TRAINED;
    fs::create_dir_all(place.path("three")).unwrap();
    for name in ["a \" b.wav", "b.wav", "c.wav"] {
        wav(&place.path("three").join(name), 0.05, 2 * CLIP);
    }
    fs::write(place.path("nothing.flac"), b"fLaC and then nothing").unwrap();
    for (what, count) in [("three --timeline", 3), ("three/b.wav", 1), ("nothing.flac", 0)] {
        let (_, out, err) = place.run(&format!("{MODEL} {what} --format json"));
        let files: Vec<Value> = json(&out);
        assert_eq!(files.len(), count, "{err}");
        assert_eq!(out, serde_json::to_string_pretty(&files).unwrap() + "\n");
    }
}

//! `moodshader dataset` and `moodshader features`, as they are called.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hound::{SampleFormat, WavSpec, WavWriter};
use moodshader::audio::centre_clip;
use moodshader::dataset::features::{Extractor, FeatureRecipe};
use moodshader::exec::Device;
use moodshader::model::preset::Preset;
use serde_json::Value;
use tempfile::TempDir;

/// A folder for the files of a test, and a cache of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A second of noise that depends on `seed`.
    fn song(&self, name: &str, seed: u32) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let spec = WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        let mut state = seed;
        for _ in 0..8000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            writer.write_sample((state >> 18) as i16).unwrap();
        }
        writer.finalize().unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_moodshader"))
            .args(arguments)
            .current_dir(self.0.path())
            .env("MOODSHADER_CACHE", self.at("cache"))
            .output()
            .unwrap()
    }

    /// Standard output of a call that must succeed.
    fn out(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.out(arguments)).unwrap()
    }

    /// Standard error of a call that must end with 2.
    fn refused(&self, arguments: &[&str]) -> String {
        self.ended(2, arguments)
    }

    /// Standard error of a call that must end with `code`.
    fn ended(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const HEADER: &str = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\r\n";

fn train() -> String {
    format!(
        "{HEADER}\
         t1\ta1\tb1\t01/1.wav\t1800\tmood/theme---happy\tmood/theme---dark\r\n\
         t2\ta1\tb2\t01/2.wav\t1800\tmood/theme---happy\r\n\
         t3\ta2\tb3\t01/3.wav\t60\tmood/theme---sport\r\n\
         t4\ta3\tb4\t01/4.wav\t60\r\n"
    )
}

#[test]
fn stats_count_tracks_moods_and_what_is_left_out() {
    let place = Place::new();
    place.write("train.tsv", &train());
    let stats = &place.json(&["dataset", "stats", "train.tsv", "--format", "json"])[0];
    assert_eq!(stats["manifest"], "train.tsv");
    for (key, value) in [("listed", 4), ("tracks", 2), ("artists", 1), ("albums", 2)] {
        assert_eq!(stats[key], value, "{key}");
    }
    assert_eq!(stats["hours"], 1.0);
    assert_eq!(stats["left_out"]["other_tags"], 1);
    assert_eq!(stats["left_out"]["untagged"], 1);
    assert_eq!(stats["moods"]["happy"], 2);
    assert_eq!(stats["moods"]["film"], 0);
    assert_eq!(stats["together"]["happy"]["dark"], 1);
    assert_eq!(stats["together"]["dark"]["happy"], 1);
    assert_eq!(stats["together"]["dark"]["film"], 0);

    let text = place.out(&["dataset", "stats", "train.tsv", "--moods", "all"]);
    let words: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    for line in [
        &["listed", "4"][..],
        &["tracks", "3"],
        &["1", "have", "no", "tags"],
        &["dark", "1", "1", "0"],
        &["sport", "0", "0", "1"],
    ] {
        assert!(words.iter().any(|words| words == line), "{line:?} in {text}");
    }

    let tags: Vec<String> = (0..13).map(|tag| format!("tag{tag}")).collect();
    place.write("many.csv", &format!("path,tags\na.wav,{}\nb.wav,tag3|tag7\n", tags.join("|")));
    let text = place.out(&["dataset", "stats", "many.csv", "--moods", "all"]);
    assert!(text.contains("     2 tag3\n") && text.contains("     2 tag3, tag7\n"), "{text}");
    assert!(text.contains("artists       not stated"), "{text}");

    let message = place.refused(&["dataset", "stats", "train.tsv", "--moods", "hapy"]);
    assert!(message.contains("hapy") && message.contains("happy"), "{message}");
    let message = place.refused(&["dataset", "stats", "train.tsv", "--moods", "all", "gone.tsv"]);
    assert!(message.contains("gone.tsv"), "{message}");
}

#[test]
fn check_finds_bad_files_and_what_manifests_share() {
    let place = Place::new();
    for (name, seed) in [("01/1.wav", 1), ("01/2.wav", 2), ("01/3.wav", 3), ("02/5.wav", 1)] {
        place.song(name, seed);
    }
    place.write("01/4.wav", "no music");
    place.write("train.tsv", &train());
    place.write("alone.tsv", &format!("{HEADER}t9\ta9\tb9\t01/3.wav\t1\thappy\r\n"));
    place.write(
        "test.tsv",
        &format!("{HEADER}t5\ta1\tb5\t02/5.wav\t1\thappy\r\nt3\ta2\tb3\t01/3.wav\t60\tsport\r\n"),
    );

    let found = place.json(&["dataset", "check", "alone.tsv", "--format", "json"]);
    assert_eq!(found["files"], 1);
    assert_eq!(found["passed"], true);
    assert_eq!(found["short"][0]["seconds"], 1.0);

    let arguments = ["dataset", "check", "train.tsv", "test.tsv", "--format", "json"];
    let output = place.run(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["files"], 5);
    assert_eq!(found["unreadable"][0]["path"], "01/4.wav");
    assert_eq!(found["copies"], serde_json::json!([["01/1.wav", "02/5.wav"]]));
    let shared: Vec<String> = found["shared"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| format!("{} {}", item["what"], item["name"]).replace('"', ""))
        .collect();
    assert_eq!(
        shared,
        ["track t3", "audio 01/1.wav = 02/5.wav", "artist a1", "artist a2", "album b3"]
    );

    let text = place.run(&["dataset", "check", "train.tsv", "--quiet"]);
    assert_eq!(text.status.code(), Some(1));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("4 files read") && text.contains("1 cannot be used"), "{text}");
    assert!(place.out(&["dataset", "check", "train.tsv", "--moods", "happy"]).contains("2 files"));
}

/// Shape and values of a float32 array in rows.
fn read_npy(path: &Path) -> ([usize; 2], Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\0");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(end % 64, 0);
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': ("));
    assert!(header.ends_with('\n'));
    let shape = &header[header.find("'shape': (").unwrap() + 10..header.find("), }").unwrap()];
    let shape: Vec<usize> = shape.split(", ").map(|size| size.parse().unwrap()).collect();
    let (values, rest) = bytes[end..].as_chunks();
    assert!(rest.is_empty());
    ([shape[0], shape[1]], values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

#[test]
fn features_are_written_once_and_whole() {
    let place = Place::new();
    let song = place.song("music/a/one.wav", 1);
    place.song("music/b/two.v2.wav", 2);
    place.write("music/notes.txt", "not music");
    let arguments = ["features", "music", "--out", "out", "--preset", "demo", "--device", "cpu"];
    let first = place.run(&arguments);
    assert!(first.status.success(), "{}", stderr(&first));
    assert!(stderr(&first).contains("2 files are shorter than 3 s"), "{}", stderr(&first));

    let demo = Preset::named("demo").unwrap();
    let recipe = FeatureRecipe::of(&demo);
    let (shape, values) = read_npy(&place.at("out/one.npy"));
    assert_eq!(shape, [128, 130]);
    let clip = centre_clip(&song, recipe.audio.sample_rate, recipe.clip_samples()).unwrap();
    let mut extractor = Extractor::new(&Device::Cpu, recipe).unwrap();
    assert_eq!(values, extractor.extract(&[&clip.samples]).unwrap()[0].log_mel);
    assert_eq!(read_npy(&place.at("out/two.v2.npy")).0, [128, 130]);
    let text = fs::read_to_string(place.at("out/recipe.txt")).unwrap();
    assert_eq!(text, format!("{recipe}\n"));

    // A second call finds the work done, but for audio that has changed since.
    let written = || fs::metadata(place.at("out/one.npy")).unwrap().modified().unwrap();
    let before = written();
    fs::remove_file(place.at("out/two.v2.npy")).unwrap();
    let second = place.run(&arguments);
    assert!(stderr(&second).contains("1 of 2 arrays are there already"), "{}", stderr(&second));
    // What was said of the files is said again.
    assert!(stderr(&second).contains("2 files are shorter than 3 s"), "{}", stderr(&second));
    assert!(written() == before && place.at("out/two.v2.npy").exists());
    let file = fs::File::options().write(true).open(&song).unwrap();
    file.set_modified(before + std::time::Duration::from_secs(5)).unwrap();
    place.out(&arguments);
    assert_eq!(written(), before);
    let names: Vec<_> = fs::read_dir(place.at("out")).unwrap().collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn what_a_killed_process_was_writing_is_swept() {
    let place = Place::new();
    place.song("one.wav", 1);
    // No process has this number: it is beyond what systems give out.
    let (gone, here) = (999_999_999, std::process::id());
    let dead = [format!(".one.npy.moodshader-{gone}"), format!("one.npy.{gone}.partial")];
    let alive = [format!(".two.npy.moodshader-{here}"), format!("two.npy.{here}.partial")];
    let others = ["two.npy.partial".to_owned(), format!("notes.{gone}.partial")];
    for name in dead.iter().chain(&alive).chain(&others) {
        place.write(&format!("out/{name}"), "half an array");
    }
    place.out(&["features", "one.wav", "--out", "out", "--preset", "demo", "--device", "cpu"]);
    let mut left: Vec<String> = fs::read_dir(place.at("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let written = ["one.npy", "recipe.txt", "sources.jsonl"].map(str::to_owned);
    let mut expected: Vec<String> = alive.into_iter().chain(others).chain(written).collect();
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn arrays_follow_the_content_and_are_whole() {
    let place = Place::new();
    let song = place.song("music/one.wav", 1);
    let other = place.song("other/one.wav", 2);
    let arguments = |from| ["features", from, "--out", "o", "--preset", "demo", "--device", "cpu"];
    let array = || fs::read(place.at("o/one.npy")).unwrap();
    place.out(&arguments("music"));
    let of_song = array();

    // The same name from another folder.
    let message = place.refused(&arguments("other"));
    assert!(message.contains("music/one.wav") && message.contains("other/one.wav"), "{message}");
    assert_eq!(array(), of_song);
    // The same content, wherever it lies, has the same array.
    place.song("moved/one.wav", 1);
    assert!(stderr(&place.run(&arguments("moved"))).contains("1 of 1 arrays are there already"));

    // Another content with an older time.
    fs::copy(&other, &song).unwrap();
    let file = fs::File::options().write(true).open(&song).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    place.out(&arguments("music"));
    let changed = array();
    assert!(changed != of_song);

    // A damaged array, and a damaged or missing index.
    fs::write(place.at("o/one.npy"), &changed[..changed.len() / 2]).unwrap();
    place.out(&arguments("music"));
    assert_eq!(array(), changed);
    for index in [Some("{\"array\": \"one.n"), None] {
        match index {
            Some(text) => fs::write(place.at("o/sources.jsonl"), text).unwrap(),
            None => fs::remove_file(place.at("o/sources.jsonl")).unwrap(),
        }
        fs::write(place.at("o/one.npy"), "x").unwrap();
        place.out(&arguments("music"));
        assert_eq!(array(), changed);
    }
}

#[test]
fn files_of_a_mood_folder_that_hold_no_audio_are_told() {
    let place = Place::new();
    place.song("moods/happy/a.wav", 1);
    place.write("moods/happy/b.mp3", "");
    place.write("moods/happy/c.wma", "\x30\x26\u{b2}");
    place.write("moods/happy/cover.txt", "text");
    let output = place.run(&["dataset", "stats", "moods", "--moods", "all", "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats[0]["tracks"], 1);
    let note = "passed over 2 files with audio endings that hold no audio that is read: happy/b.mp3, happy/c.wma";
    assert!(stderr(&output).contains(note), "{}", stderr(&output));

    let output = place.run(&["dataset", "check", "moods", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["unreadable"].as_array().unwrap().len(), 1);
    assert_eq!(found["unreadable"][0]["path"], "happy/b.mp3");
    let note = "passed over 1 file of a kind that is not read: happy/c.wma";
    assert!(stderr(&output).contains(note), "{}", stderr(&output));
    let output = place.run(&["dataset", "check", "moods", "--strict", "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["unreadable"].as_array().unwrap().len(), 2);

    let demo = ["features", "moods", "--out", "o", "--preset", "demo", "--device", "cpu"];
    assert!(stderr(&place.run(&demo)).contains("passed over 2 files"));
}

#[test]
fn a_folder_with_a_manifest_in_it_says_to_name_that() {
    let place = Place::new();
    place.out(&["synth", "--out", "corpus", "--clips", "1", "--quiet"]);
    for command in ["stats", "check"] {
        let message = place.refused(&["dataset", command, "corpus"]);
        assert!(message.contains("name corpus/manifest.tsv instead"), "{message}");
    }
    place.out(&["dataset", "stats", "corpus/manifest.tsv"]);
}

#[test]
fn features_of_the_rest_are_written_where_files_are_bad() {
    let place = Place::new();
    place.song("one.wav", 1);
    place.write("bad.wav", "RIFF\0\0\0\0WAVEdata");
    let arguments = ["features", "one.wav", "bad.wav", "--out", "o", "--preset", "demo"];
    let message = place.ended(1, &[&arguments[..], &["--device", "cpu", "--quiet"]].concat());
    assert!(message.contains("1 of 2 files cannot be used"), "{message}");
    assert!(message.contains("bad.wav is a broken or unusual WAV file"), "{message}");
    assert!(place.at("o/one.npy").exists() && !place.at("o/bad.npy").exists());
}

#[test]
fn features_refuse_clashes_and_other_recipes() {
    let place = Place::new();
    place.song("a/one.wav", 1);
    place.song("b/one.wav", 2);
    let message = place.refused(&["features", "a", "b", "--out", "o", "--device", "cpu"]);
    assert!(message.contains("a/one.wav") && message.contains("b/one.wav"), "{message}");
    assert!(!place.at("o").exists());

    let demo = ["features", "a", "--out", "o", "--device", "cpu", "--preset", "demo"];
    place.out(&demo);
    let message = place.refused(&["features", "a", "--out", "o", "--device", "cpu"]);
    assert!(message.contains("another recipe"), "{message}");

    place.write("p/one.npy", "mine");
    let message = place.refused(&["features", "a", "--out", "p", "--device", "cpu"]);
    assert!(message.contains("recipe.txt"), "{message}");
    assert_eq!(fs::read(place.at("p/one.npy")).unwrap(), b"mine");
    assert!(place.refused(&["features", "gone.wav", "--out", "o"]).contains("gone.wav"));
}

#[test]
fn the_cache_is_shown_bounded_and_cleared() {
    let place = Place::new();
    let cache = ["dataset", "cache"];
    let text = place.out(&cache);
    assert!(text.contains("cache/features\n0 clips, 0 bytes"), "{text}");
    place.write("cache/features/ab/cd.f32", &"x".repeat(1500));
    assert!(place.out(&cache).contains("1 clips, 1.5 kB"));
    assert!(place.out(&["dataset", "cache", "--max-size", "2kB"]).contains("1 clips"));
    assert!(place.out(&["dataset", "cache", "--max-size", "1 KB"]).contains("0 clips"));
    place.write("cache/features/ab/cd.f32", "x");
    place.write("cache/synthetic-v1-3s-2-seed0/01/1.wav", &"x".repeat(1200));
    place.write("cache/.building-synthetic-v1-3s-2-seed0-99-0/01/1.wav", "12345");
    let text = place.out(&cache);
    assert!(text.contains("synthetic-v1-3s-2-seed0\nsynthetic corpus, 1.2 kB"), "{text}");
    assert!(text.contains("seed0-99-0\nunfinished corpus, 5 bytes"), "{text}");
    let text = place.out(&["dataset", "cache", "--clear"]);
    assert!(text.contains("0 clips") && !text.contains("corpus"), "{text}");
    let left: Vec<_> =
        fs::read_dir(place.at("cache")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [place.at("cache/features")]);
    place.refused(&["dataset", "cache", "--max-size", "2 songs"]);
}

/// A matrix of 20 000 tags would take 3 GB, and comparing all with all minutes.
#[test]
fn very_many_tags_are_counted_at_once() {
    let place = Place::new();
    let tags: Vec<String> = (0..20_000).map(|tag| format!("t{tag:x}")).collect();
    let mut rows: Vec<String> = tags.iter().map(|tag| format!("{tag}.wav,{tag}")).collect();
    rows.push("a.wav,t7|t4e1f".to_owned());
    rows.push("b.wav,t7|t4e1f".to_owned());
    rows.push(format!("all.wav,{}", tags.join("|")));
    place.write("list.csv", &format!("path,tags\n{}\n", rows.join("\n")));
    let started = std::time::Instant::now();
    let stats =
        &place.json(&["dataset", "stats", "list.csv", "--moods", "all", "--format", "json"])[0];
    assert_eq!(stats["moods"].as_object().unwrap().len(), 20_000);
    assert_eq!(stats["moods"]["t0"], 2);
    assert_eq!(stats["together"].as_object().unwrap().len(), 1000);
    assert_eq!(stats["together"]["t7"]["t4e1f"], 3);
    let text = place.out(&["dataset", "stats", "list.csv", "--moods", "all"]);
    assert!(text.contains("most frequent pairs of the 1000 most frequent moods"), "{text}");
    assert!(text.contains("     3 t4e1f, t7"), "{text}");

    let train = ["train", "--data", "list.csv", "--out", "run", "--device", "cpu"];
    for moods in ["all", &tags.join(",")] {
        let message = place.refused(&[&train[..], &["--moods", moods]].concat());
        assert!(message.contains("moods = 20000: at most 16384"), "{message}");
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

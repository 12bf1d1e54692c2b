//! Which moods a song has, and where they are written: thresholds of one's own, playlists and tags that can
//! be taken back.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

#[path = "support/trained.rs"]
mod trained;
use trained::{MOODS, Trained, wav};

/// Samples of a clip of the model.
const CLIP: usize = 22_050;
const MODEL: &str = "predict --model run/best.safetensors";

static TRAINED: LazyLock<Trained> = LazyLock::new(|| {
    let place = Trained::new();
    fs::create_dir_all(place.path("music/deep")).unwrap();
    for file in 0..6 {
        let folder = if file < 3 { "music" } else { "music/deep" };
        let path = place.path(&format!("{folder}/{file}.wav"));
        wav(&path, 0.05 * (1 + file % 3) as f32, 2 * CLIP + 10 * file);
    }
    place
});

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name)
}

/// Of each file its moods with their probabilities, and its tags.
fn told(more: &str) -> Vec<(HashMap<String, f64>, Vec<String>)> {
    let files: Vec<Value> =
        serde_json::from_str(&TRAINED.ok(&format!("{MODEL} music --format json {more}"))).unwrap();
    files
        .iter()
        .map(|file| {
            let moods = file["moods"].as_object().unwrap().iter();
            let moods = moods.map(|(mood, p)| (mood.clone(), p.as_f64().unwrap())).collect();
            let tags = file["tags"].as_array().unwrap().iter();
            (moods, tags.map(|tag| tag.as_str().unwrap().to_owned()).collect())
        })
        .collect()
}

#[test]
fn tags_are_the_moods_that_reach_their_thresholds() {
    let description = TRAINED.checkpoint("run/best.safetensors").description().unwrap();
    for (moods, tags) in told("") {
        let mut reaching: Vec<&str> = MOODS
            .into_iter()
            .filter(|mood| {
                let threshold = description.threshold(mood);
                threshold.is_some_and(|threshold| f64::from(moods[*mood] as f32) >= threshold)
            })
            .collect();
        reaching.sort_by(|a, b| moods[*b].total_cmp(&moods[*a]));
        match reaching.is_empty() {
            true => assert_eq!(tags.len(), 1),
            false => assert_eq!(tags, reaching),
        }
    }
    for (moods, tags) in told("--threshold happy=0 --threshold dark=1 --max-moods 1") {
        assert!(tags.len() == 1 && tags[0] != "dark", "{moods:?} {tags:?}");
    }
    // Of a threshold that nothing reaches, nothing is written.
    let never: String = MOODS.iter().map(|mood| format!(" --threshold {mood}=1")).collect();
    assert!(told(&never).iter().all(|(_, tags)| tags.is_empty()));
    // Text marks them, CSV has a column for them.
    let text = TRAINED.ok(&format!("{MODEL} music/0.wav --threshold happy=0.001 --max-moods 9"));
    assert!(text.lines().next().unwrap().contains("(0:02)  tags: "), "{text}");
    assert!(text.contains("  * from 0.001 on"), "{text}");
    let csv =
        TRAINED.ok(&format!("{MODEL} music --format csv --threshold happy=0 --threshold epic=0"));
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    for row in rows.deserialize::<HashMap<String, String>>() {
        let row = row.unwrap();
        let tags: Vec<&str> = row["tags"].split('|').collect();
        assert!(tags.contains(&"happy") && tags.contains(&"epic"), "{row:?}");
    }
}

#[test]
fn a_precision_chooses_the_thresholds_that_had_it() {
    let description = TRAINED.checkpoint("run/best.safetensors").description().unwrap();
    let predictions = fs::read_to_string(TRAINED.path("run/predictions.csv")).unwrap();
    let rows: Vec<HashMap<String, String>> = csv::Reader::from_reader(predictions.as_bytes())
        .deserialize()
        .map(Result::unwrap)
        .collect();
    let (labels, steps) = (description.labels, description.precisions.unwrap());
    let threshold_of = |mood: &str, wanted: f64| -> Option<f64> {
        let steps = &steps[labels.iter().position(|known| known == mood).unwrap()];
        Some(steps.iter().find(|(_, precision)| *precision >= wanted)?.0)
    };
    let mut chosen = 0;
    for mood in MOODS {
        for wanted in [0.2, 0.5, 0.9] {
            let Some(threshold) = threshold_of(mood, wanted) else {
                continue;
            };
            // Scores are f32, and so is the threshold.
            let of = |row: &HashMap<String, String>, kind: &str| {
                f64::from(row[&format!("{kind}_{mood}")].parse::<f32>().unwrap())
            };
            let taken: Vec<f64> = rows
                .iter()
                .filter(|row| of(row, "score") >= threshold)
                .map(|row| of(row, "label"))
                .collect();
            let precision = taken.iter().sum::<f64>() / taken.len() as f64;
            assert!(precision >= wanted && taken.len() >= 5, "{mood} {wanted}: {precision}");
            chosen += 1;
        }
    }
    assert!(chosen > 2, "{chosen}");
    // A mood that never was so sure is told, and given to no song.
    let (code, out, err) = TRAINED.run(&format!("{MODEL} music --format json --min-precision 1"));
    assert_eq!(code, 0, "{err}");
    for mood in MOODS.into_iter().filter(|mood| threshold_of(mood, 1.0).is_none()) {
        assert!(err.contains("no song is given") && err.contains(mood), "{err}");
        assert!(!out.contains(&format!("\"{mood}\"\n")), "{out}");
    }
}

#[test]
fn a_precision_is_measured_on_labelled_songs() {
    let place = &*TRAINED;
    // By the built-in model, which does not say how precise it is.
    fs::create_dir(place.path("known")).unwrap();
    let mut list = "path,tags\n".to_owned();
    for (file, tag) in
        ["chillout", "chillout", "chillout", "chillout", "chillout", "rock"].iter().enumerate()
    {
        wav(&place.path(&format!("known/{file}.wav")), 0.05 * (1 + file) as f32, 4 * CLIP);
        list += &format!("known/{file}.wav,{tag}\n");
    }
    fs::write(place.path("known.csv"), list).unwrap();
    let precise = "predict known --format json --min-precision 0.8";
    let (code, _, err) = place.run(precise);
    assert!(code == 2 && err.contains("--labelled MANIFEST"), "{err}");
    let (code, out, err) = place.run(&format!("{precise} --labelled known.csv"));
    assert_eq!(code, 0, "{err}");
    let told: Vec<Value> = serde_json::from_str(&out).unwrap();
    let tagged = |file: &&Value| file["tags"] == serde_json::json!(["chillout"]);
    assert!(told.iter().filter(tagged).count() >= 5, "{out}");
    // Nothing is known of the other tags.
    assert!(err.contains("no song is given") && err.contains("happy"), "{err}");
    // Which playlists there are is decided by what was measured.
    let lists = format!("{precise} --labelled known.csv --playlist-out lists --playlist");
    let (code, _, err) = place.run(&format!("{lists} chillout"));
    assert!(code == 0 && place.path("lists/chillout.m3u8").exists(), "{err}");
    let (code, _, err) = place.run(&format!("{lists} happy"));
    assert!(code == 2 && err.contains("as precise as --min-precision"), "{err}");
    assert!(!place.path("lists/happy.m3u8").exists());

    // Of no five of them all have it.
    let four = fs::read_to_string(place.path("known.csv")).unwrap();
    fs::write(place.path("four.csv"), four.replace("3.wav,chillout", "3.wav,rock")).unwrap();
    let sure = "predict known --format json --min-precision 0.99 --labelled four.csv";
    let (_, out, err) = place.run(sure);
    assert!(err.contains("no song is given") && err.contains("chillout"), "{err}");
    let told: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert!(told.iter().all(|file| file["tags"] == serde_json::json!([])), "{out}");

    // A song without a mood counts against it, whatever the model was trained on; what trained it is told.
    let rows: String = (0..12)
        .map(|clip| format!("clip {clip}.wav,{}\n", if clip % 3 == 0 { "dark" } else { "" }))
        .collect();
    fs::write(place.path("dark.csv"), format!("path,tags\n{rows}")).unwrap();
    let own = "predict music --model run/best.safetensors --min-precision 0.99 --labelled dark.csv";
    let (code, _, err) = place.run(own);
    assert!(code == 0 && err.contains("12 of the 12 labelled songs trained this model"), "{err}");
    assert!(err.contains("no song is given") && err.contains("dark"), "{err}");

    fs::write(place.path("others.csv"), "path,tags\nknown/0.wav,lugubrious\n").unwrap();
    fs::write(place.path("gone.csv"), "path,tags\ngone.wav,chillout\n").unwrap();
    for (file, said) in [
        ("others.csv", "lugubrious"),
        ("gone.csv", "none of its 1 songs can be heard; the first: "),
        ("missing.csv", "missing.csv"),
    ] {
        let (code, _, err) = place.run(&format!("{precise} --labelled {file}"));
        assert!(code == 2 && err.contains(file) && err.contains(said), "{err}");
    }
}

#[test]
fn playlists_travel_with_the_music() {
    let place = &*TRAINED;
    fs::create_dir_all(place.path("travel/deep")).unwrap();
    for file in 0..6 {
        let folder = if file < 3 { "music" } else { "music/deep" };
        let copy = place.path(&format!("{folder}/{file}.wav").replace("music", "travel"));
        fs::copy(place.path(&format!("{folder}/{file}.wav")), copy).unwrap();
    }
    let zero: String = MOODS.iter().map(|mood| format!(" --threshold {mood}=0")).collect();
    let lists = format!("--playlist all --playlist-size 4 --playlist-out travel/lists/new {zero}");
    fs::copy(fixture("sweep.mp3"), place.path("travel/deep/sweep.mp3")).unwrap();
    let (code, _, err) = place.run(&format!("{MODEL} travel {lists}"));
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("4 audio files in travel/lists/new/happy.m3u8, the most probable of 7"),
        "{err}"
    );
    for mood in MOODS {
        let path = place.path(&format!("travel/lists/new/{mood}.m3u8"));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 4, "{text}");
    }
    fs::remove_file(place.path("travel/deep/sweep.mp3")).unwrap();
    // Beside or above the music, files are named from there.
    place.ok(&format!("{MODEL} travel --playlist HAPPY --playlist-out travel {zero}"));
    let text = fs::read_to_string(place.path("travel/happy.m3u8")).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(
            Path::new(line).is_relative() && place.path("travel").join(line).is_file(),
            "{line}"
        );
    }
    // A rule for Navidrome.
    let nsp = "--playlist dark --playlist-format nsp --playlist-size 50 --playlist-out lists";
    for _ in 0..2 {
        place.ok(&format!("{MODEL} travel {nsp} {zero}"));
    }
    let rule: Value =
        serde_json::from_str(&fs::read_to_string(place.path("lists/dark.nsp")).unwrap()).unwrap();
    assert_eq!(rule["all"][0]["is"]["mood"], "dark");
    assert_eq!((&rule["name"], &rule["limit"]), (&"dark".into(), &50.into()));
}

#[test]
fn titles_of_a_playlist_come_from_the_tags() {
    let place = &*TRAINED;
    fs::create_dir_all(place.path("titled")).unwrap();
    let file = place.path("titled/file name.flac");
    fs::copy(fixture("noise.flac"), &file).unwrap();
    {
        use lofty::prelude::*;
        let mut tagged = lofty::read_from_path(&file).unwrap();
        tagged.insert_tag(lofty::tag::Tag::new(lofty::tag::TagType::VorbisComments));
        let tag = tagged.primary_tag_mut().unwrap();
        tag.set_title("A Title".to_owned());
        tag.set_artist("Somebody".to_owned());
        tagged.save_to_path(&file, lofty::config::WriteOptions::default()).unwrap();
    }
    let command = format!(
        "{MODEL} titled --playlist happy --threshold happy=0 --playlist-out titled --quiet"
    );
    for _ in 0..2 {
        place.ok(&command);
        let text = fs::read_to_string(place.path("titled/happy.m3u8")).unwrap();
        assert!(text.contains(",Somebody - A Title\nfile name.flac\n"), "{text}");
        fs::remove_file(place.path("titled/happy.m3u8")).unwrap();
    }
}

/// The moods that a dry run says a file names now.
fn named(file: &str) -> String {
    let (_, _, err) = TRAINED.run(&format!(
        "{MODEL} {file} --write-tags --replace-existing --dry-run --threshold happy=0"
    ));
    let line = err.lines().find(|line| line.contains("instead of"));
    line.map_or(String::new(), |line| line.rsplit_once("instead of ").unwrap().1.to_owned())
}

/// The log that a command names.
fn log_of(err: &str) -> String {
    let line = err.lines().find(|line| line.contains("--undo ")).unwrap_or_else(|| panic!("{err}"));
    line.rsplit_once("--undo ").unwrap().1.to_owned()
}

#[test]
fn tags_of_others_stay_and_what_was_written_is_taken_back() {
    let place = &*TRAINED;
    let write = |more: &str| {
        let (code, _, err) = place.run(&format!("{MODEL} own.ogg --write-tags {more}"));
        assert_eq!(code, 0, "{err}");
        err
    };
    let only = |mood: &str| {
        let others = MOODS.iter().filter(|other| **other != mood);
        let others: String = others.map(|mood| format!(" --threshold {mood}=1")).collect();
        format!("--threshold {mood}=0 {others}")
    };
    fs::copy(fixture("sweep.ogg"), place.path("own.ogg")).unwrap();
    let untouched = fs::read(place.path("own.ogg")).unwrap();
    let first = write(&only("dark"));
    assert!(first.contains("own.ogg: MOOD says dark instead of nothing"), "{first}");
    let tagged = fs::read(place.path("own.ogg")).unwrap();
    // Its own are replaced.
    let second = write(&only("epic"));
    assert!(second.contains("own.ogg: MOOD says epic instead of dark"), "{second}");
    // It has not been changed since it was heard, but for its tag.
    assert!(second.contains("0 new, 0 changed, 0 gone, 1 unchanged"), "{second}");
    // The last change is taken back, then the first.
    place.ok(&format!("predict --undo {} --dry-run", log_of(&second)));
    assert_eq!(named("own.ogg"), "epic");
    place.ok(&format!("predict --undo {}", log_of(&second)));
    assert_eq!(fs::read(place.path("own.ogg")).unwrap(), tagged);
    let log = log_of(&first);
    let name = Path::new(&log).file_name().unwrap().to_str().unwrap();
    place.ok(&format!("predict --undo {name}"));
    assert_eq!(fs::read(place.path("own.ogg")).unwrap(), untouched);
    // The file has not to be heard again for that.
    let (_, _, err) = place.run(&format!("{MODEL} own.ogg"));
    assert!(err.contains("0 new, 0 changed, 0 gone, 1 unchanged"), "{err}");
    // Nor are moods that were its own once, and were then written by hand.
    moodshader::predict::tags::write(&place.path("own.ogg"), &["epic".to_owned()]).unwrap();
    assert!(write(&only("dark")).contains("MOOD says epic; dark instead of epic"));
    // What no mood reaches any more is taken away, and nothing else.
    let none: String = MOODS.iter().map(|mood| format!(" --threshold {mood}=1")).collect();
    assert!(write(&none).contains("MOOD says epic instead of epic; dark"));
    fs::write(place.path("own.ogg"), &untouched).unwrap();
    // A second time there is nothing to do.
    let (code, _, err) = place.run(&format!("predict --undo {log}"));
    assert!(code == 0 && err.contains("0 audio files name the moods"), "{err}");

    // Somebody else's stay in front, unless told.
    moodshader::predict::tags::write(&place.path("own.ogg"), &["Mine".to_owned()]).unwrap();
    let third = write(&only("happy"));
    assert!(third.contains("MOOD says Mine; happy instead of Mine"), "{third}");
    assert!(third.contains("1 audio file with moods that this program did not write"), "{third}");
    let fourth = write(&only("dark"));
    assert!(fourth.contains("MOOD says Mine; dark instead of Mine; happy"), "{fourth}");
    let fifth = write(&format!("--replace-existing {}", only("dark")));
    assert!(fifth.contains("MOOD says dark instead of Mine; dark"), "{fifth}");
    // What has another tag by now is left alone.
    moodshader::predict::tags::write(&place.path("own.ogg"), &["Changed".to_owned()]).unwrap();
    let (code, _, err) = place.run(&format!("predict --undo {}", log_of(&fifth)));
    assert!(code == 1 && err.contains("names Changed by now"), "{err}");
    assert_eq!(named("own.ogg"), "Changed");
    let (code, _, err) = place.run("predict --undo own.ogg");
    assert!(code == 2 && err.contains("is no log of tags"), "{err}");
}

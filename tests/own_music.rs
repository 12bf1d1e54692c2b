//! The natural commands on music of one's own: folders and CSVs, without flags that one has to know.

use std::fs;
use std::path::Path;
use std::process::Output;

use lofty::config::WriteOptions;
use lofty::prelude::{Accessor, TagExt};
use lofty::tag::{Tag, TagType};
use moodshader::run::{Config, EpochMetrics};
use tempfile::TempDir;

#[path = "support/tones.rs"]
mod tones;

/// Changes to the preset `demo` under which it learns tones in seconds.
const QUICK: &str = "--preset demo --set audio.clip_seconds=1 --set features.n_fft=512 --set \
                     features.hop=512 --set features.mels=32 --set model.branch.0.channels=[4] --set \
                     model.branch.0.lstm=[4] --set model.branch.1.channels=[4] --set \
                     model.branch.1.lstm=[4] --batch 4";

/// A folder of music.
struct Music(TempDir);

impl Music {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Writes a tone into a folder that is made.
    fn song(&self, listed: &str, number: u32) {
        let path = self.0.path().join(listed);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        tones::wav(&path, 0.05 * (1 + number % 3) as f32, 24_000, number + 1);
    }

    /// `songs` of each mood in a folder `library`.
    fn library(&self, moods: &[&str], songs: u32) {
        for (place, mood) in (0..).zip(moods) {
            for song in 0..songs {
                self.song(&format!("library/{mood}/{song}.wav"), place + 3 * song);
            }
        }
    }

    fn run(&self, arguments: &str) -> (i32, String, String) {
        let Output { status, stdout, stderr } =
            tones::program(self.0.path(), arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// Both streams of a command that must succeed.
    fn ok(&self, arguments: &str) -> (String, String) {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments}: {err}");
        (out, err)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn config(&self, run: &str) -> Config {
        Config::read(&self.path(run).join("config.toml")).unwrap()
    }
}

fn by(path: &Path, artist: &str) {
    let mut tag = Tag::new(TagType::Id3v2);
    tag.set_artist(artist.to_owned());
    tag.save_to_path(path, WriteOptions::default()).unwrap();
}

#[test]
fn all_tags_of_a_folder_are_its_moods() {
    let music = Music::new();
    music.library(&["happy", "Sad"], 6);
    let (_, err) = music.ok(&format!("train library {QUICK} --out run --max-steps 0"));
    assert!(err.contains("moods: Sad, happy (all tags of library)"), "{err}");
    assert!(err.contains("artists unknown: the score may be too high"), "{err}");
    assert_eq!(music.config("run").preset.moods, ["Sad", "happy"]);
    let (out, err) = music.ok("dataset stats library");
    assert!(out.contains("Sad") && !out.contains("film"), "{out}");
    assert!(err.contains("(all tags of library)"), "{err}");
    // A mood that is named is found in any spelling; blanks beside commas make none.
    let mut command = tones::program(music.0.path(), &format!("train {QUICK}"));
    let output = command
        .args(["library", "--moods", "SAD , happy", "--max-steps", "0", "--out", "named"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(music.config("named").preset.moods, ["SAD", "happy"]);
}

#[test]
fn a_spreadsheet_is_read_as_people_write_it() {
    let music = Music::new();
    let cells = ["Happy, dark", "happy;dark", "\"\"dark", "HAPPY", "dark|happy", ""];
    let mut rows = vec!["Title;File;Mood;Artist".to_owned()];
    for song in 0..18 {
        music.song(&format!("songs/{song}.wav"), song);
        let cell = cells[song as usize % 6].replace('"', "");
        rows.push(format!("t;songs/{song}.wav;\"{cell}\";Band {}", song / 2));
    }
    music.write("list.csv", &rows.join("\r\n"));
    let (_, err) = music.ok(&format!("train list.csv {QUICK} --out run --max-steps 0"));
    for told in [
        "tracks have several moods: each has a probability of its own",
        "moods: dark, happy (all tags of list.csv)",
        "HAPPY, Happy and happy are one mood",
        "3 tracks have none of the 2 moods",
        "split by artist (9 artists)",
    ] {
        assert!(err.contains(told), "{told}: {err}");
    }
    let config = music.config("run");
    assert_eq!(config.preset.train.patience, Some(10));
    assert_eq!(config.preset.train.average_epochs, Some(2.0));
    assert!(config.data.negatives);
    // What is asked for stays as it is asked for.
    let (_, err) = music.ok(&format!(
        "train list.csv {QUICK} --set model.output=softmax --set train.loss=softmax_bce --set \
         train.patience=3 --set train.average_epochs=0 --moods happy,dark --out asked --max-steps 0"
    ));
    assert!(err.contains("3 tracks without any of the 2 moods are left out"), "{err}");
    let config = music.config("asked");
    assert_eq!(config.preset.train.patience, Some(3));
    assert_eq!(config.preset.train.average_epochs, Some(0.0));
    assert!(!config.data.negatives);
    // One mood alone is learnt against the tracks without it.
    let (out, _) = music.ok(&format!("train list.csv {QUICK} --moods happy --epochs 2 --out one"));
    let score = out.lines().find(|line| line.starts_with("happy")).unwrap();
    assert!(!score.contains('-'), "{out}");
    let (out, _) = music.ok("evaluate one list.csv --format json -q");
    assert!(out.contains("\"clips\": 18"), "{out}");
}

#[test]
fn artists_are_read_from_files_unless_that_would_take_a_mood_away() {
    let music = Music::new();
    music.library(&["happy", "sad"], 8);
    let each = |artist: &dyn Fn(&str, u32) -> String| {
        for (mood, song) in ["happy", "sad"].iter().flat_map(|m| (0..8).map(move |s| (*m, s))) {
            by(&music.path(&format!("library/{mood}/{song}.wav")), &artist(mood, song));
        }
    };
    each(&|_, song| format!("Band {}", song / 2));
    let (_, err) = music.ok(&format!("train library {QUICK} --out first --max-steps 0"));
    assert!(err.contains("split by artist (4 artists)"), "{err}");
    // No band is on both sides.
    let tracks = fs::read_to_string(music.path("first/tracks.csv")).unwrap();
    let bands = |part: &str| -> Vec<u32> {
        let rows = tracks.lines().filter(|row| row.starts_with(part));
        let song = |row: &str| {
            let path = row.split(',').nth(2).unwrap();
            let (_, file) = path.rsplit_once('/').unwrap();
            file.trim_end_matches(".wav").parse::<u32>().unwrap() / 2
        };
        rows.map(song).collect()
    };
    let held_back = bands("validation");
    assert!(!held_back.is_empty());
    assert!(bands("training").iter().all(|band| !held_back.contains(band)), "{tracks}");
    let (out, _) = music.ok("dataset stats library --format json");
    assert!(out.contains("\"artists\": 4"), "{out}");

    each(&|mood, _| format!("The {mood} ones"));
    let (_, err) = music.ok(&format!("train library {QUICK} --out second --max-steps 0"));
    assert!(err.contains("would be on one side of a split by artist"), "{err}");
    // So it is where a column says it, and where one mood alone would be lost.
    let mut rows = vec!["path,mood,Artist Name".to_owned()];
    for song in 0..8 {
        rows.push(format!("library/happy/{song}.wav,happy,Band {song}"));
        rows.push(format!("library/sad/{song}.wav,sad,Crooner"));
    }
    music.write("bands.csv", &rows.join("\n"));
    let (_, err) = music.ok(&format!("train bands.csv {QUICK} --out third --max-steps 0"));
    assert!(err.contains("all tracks of the mood sad would be on one side"), "{err}");
    let various = rows.join("\n").replace("Crooner", "Various Artists").replace("Band", "VA Band");
    music.write("various.csv", &various);
    music.ok(&format!("train various.csv {QUICK} --out fourth --max-steps 0"));
}

#[test]
fn a_run_says_what_it_learned_and_what_comes_next() {
    let music = Music::new();
    music.library(&["happy", "sad"], 8);
    let (out, err) = music.ok(&format!("train library {QUICK} --epochs 4 --out run"));
    assert!(out.contains("ROC-AUC [95 %]") && out.contains(']'), "{out}");
    for told in ["validation clips: the scores mean little", "report: ", "next: moodshader predict"]
    {
        assert!(err.contains(told), "{told}: {err}");
    }
    let sentences = ["too short: ", "learning: ", "over-fitting since"];
    assert!(sentences.iter().any(|sentence| err.contains(sentence)), "{err}");
    let metrics = fs::read_to_string(music.path("run/metrics.jsonl")).unwrap();
    let line: EpochMetrics = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    let interval = line.roc_auc_interval["macro"].as_array().unwrap();
    assert!(interval[0].as_f64() <= line.macro_roc_auc() && interval.len() == 2, "{metrics}");

    // The folder stands for its model.
    let (out, _) = music.ok("predict --model run library/happy -q --format csv");
    assert_eq!(out.lines().count(), 9, "{out}");
    music.ok("info run");
    let (_, err) = music.ok("evaluate run library");
    assert!(err.contains("of the 16 tracks trained this model"), "{err}");
    music.ok("export run -o run.onnx");
    let (code, _, err) = music.run("predict run library/happy");
    assert!(code != 0 && err.contains("run is a run, and not music; --model run"), "{err}");
    let (code, _, err) = music.run("predict -m library library/happy");
    assert!(code == 2 && err.contains("so no run"), "{err}");
    let (code, _, err) = music.run(&format!("train library {QUICK} --out library"));
    assert!(code == 2 && err.contains("holds other files"), "{err}");
}

#[test]
fn a_finished_run_can_have_more_epochs() {
    let music = Music::new();
    music.library(&["happy", "sad"], 8);
    music.ok(&format!("train library {QUICK} --epochs 4 --out whole"));
    music.ok(&format!("train library {QUICK} --epochs 2 --out raised"));
    music.ok("train --resume raised --epochs 4");
    for name in ["config.toml", "metrics.jsonl", "last.safetensors", "predictions.csv"] {
        let bytes = |run: &str| fs::read(music.path(run).join(name)).unwrap();
        assert!(bytes("whole") == bytes("raised"), "{name}");
    }
    let (code, _, err) = music.run("train --resume raised --epochs 3");
    assert!(code == 2 && err.contains("can have more but not fewer"), "{err}");
    let (code, _, err) = music.run("train --resume raised --lr 0.1");
    assert!(code == 2 && err.contains("--lr cannot be changed"), "{err}");

    // One that ended since it had no patience needs more of that.
    music.ok(&format!("train library {QUICK} --epochs 60 --set train.patience=1 --out early"));
    let (code, _, err) = music.run("train --resume early --epochs 70");
    assert!(code == 2 && err.contains("(--set train.patience=2)"), "{err}");
    music.ok("train --resume early --epochs 70 --set train.patience=2");
    // Without its best model nothing is trained for nothing.
    fs::remove_file(music.path("raised/best.safetensors")).unwrap();
    let (code, _, err) = music.run("train --resume raised --epochs 6");
    assert!(code == 2 && err.contains("best.safetensors is missing"), "{err}");
    let (code, _, err) = music.run("predict -m raised library/happy");
    assert!(code == 2 && err.contains("best.safetensors is missing"), "{err}");
}

/// A model of one's own can begin another with other moods: none is lost for that.
#[test]
fn a_run_on_top_of_another_has_the_moods_of_its_data() {
    let music = Music::new();
    music.library(&["happy", "sad"], 6);
    music.ok(&format!("train library {QUICK} --max-steps 1 --out first"));
    fs::rename(music.path("library/sad"), music.path("library/party")).unwrap();
    let (_, err) =
        music.ok("train library --init first/last.safetensors --max-steps 0 --out second");
    assert!(err.contains("moods: happy, party (all tags of library)"), "{err}");
    assert!(fs::read_to_string(music.path("second/config.toml")).unwrap().contains("\"party\""));
}

#[test]
fn a_learning_curve_says_whether_more_labels_would_help() {
    let music = Music::new();
    music.library(&["happy", "sad"], 12);
    let command = format!("learning-curve library {QUICK} --epochs 2 --out curve");
    let (out, err) = music.ok(&command);
    assert!(out.contains("twice the tracks brought"), "{out}");
    assert!(err.contains("curve/learning-curve.html"), "{err}");
    // The shares are of the training tracks, and lie within one another; all are judged alike.
    let tracks = |share: u32, part: &str| -> Vec<String> {
        let text =
            fs::read_to_string(music.path(&format!("curve/share-{share}/tracks.csv"))).unwrap();
        let rows = text.lines().filter(|row| row.starts_with(part));
        rows.map(str::to_owned).collect()
    };
    let [quarter, half, all] = [25, 50, 100].map(|share| tracks(share, "training"));
    assert_eq!([quarter.len(), half.len(), all.len()], [5, 9, 19]);
    assert!(
        quarter.iter().all(|row| half.contains(row)) && half.iter().all(|row| all.contains(row))
    );
    assert_eq!(tracks(25, "validation"), tracks(100, "validation"));
    // Each is trained for as many updates.
    let epochs = |share: u32| {
        let path = music.path(&format!("curve/share-{share}/metrics.jsonl"));
        fs::read_to_string(path).unwrap().lines().count()
    };
    assert_eq!([25, 50, 100].map(epochs), [8, 4, 2]);
    let rows = fs::read_to_string(music.path("curve/learning-curve.csv")).unwrap();
    assert_eq!(rows.lines().count(), 4, "{rows}");
    let page = fs::read_to_string(music.path("curve/learning-curve.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("share-25/report.html"), "{page}");
    // It goes on with what is there, and with nothing else.
    assert_eq!(music.ok(&command).0, out);
    let (code, _, err) = music.run(&format!("{command} --seed 1"));
    assert!(code == 2 && err.contains("was begun otherwise"), "{err}");
    let (code, _, err) = music.run(&format!("learning-curve library {QUICK} --out library"));
    assert!(code == 2 && err.contains("holds other files"), "{err}");

    // Before anything is trained, the labels can be asked too.
    let (out, _) = music.ok("dataset stats library");
    assert!(
        out.contains("moods with fewer than 30 tracks") && out.contains("no artist is known"),
        "{out}"
    );
}

#[test]
fn several_models_answer_together() {
    let music = Music::new();
    music.library(&["happy", "sad"], 8);
    let command = format!("train library --test library {QUICK} --epochs 2 --seeds 2 --out many");
    let (out, err) = music.ok(&command);
    assert!(out.contains("\ntest macro"), "{out}");
    assert!(out.contains("2 models together") && out.contains("validation macro"), "{out}");
    assert!(err.contains("next: moodshader predict --model many"), "{err}");
    let tracks = |seed: u32| fs::read(music.path(&format!("many/seed-{seed}/tracks.csv"))).unwrap();
    assert!(tracks(0) == tracks(1));
    // What was trained before stays.
    let before = fs::read(music.path("many/seed-1/last.safetensors")).unwrap();
    assert_eq!(music.ok(&command).0, out);
    assert!(before == fs::read(music.path("many/seed-1/last.safetensors")).unwrap());

    let moods = |model: &str| -> Vec<[f64; 2]> {
        let (out, _) = music.ok(&format!("predict {model} library/happy -q --format json"));
        let songs: serde_json::Value = serde_json::from_str(&out).unwrap();
        let both = |song: &serde_json::Value| {
            ["happy", "sad"].map(|mood| song["moods"][mood].as_f64().unwrap())
        };
        songs.as_array().unwrap().iter().map(both).collect()
    };
    let (one, other) = (moods("-m many/seed-0"), moods("-m many/seed-1"));
    let together = moods("-m many");
    assert_eq!(together, moods("-m many/seed-0 -m many/seed-1"));
    for ((one, other), both) in one.iter().zip(&other).zip(&together) {
        for mood in 0..2 {
            assert!((both[mood] - (one[mood] + other[mood]) / 2.0).abs() < 1e-6);
        }
    }
    assert!(one != other);
    let scores = |model: &str| -> Vec<f64> {
        music.ok(&format!("evaluate {model} library -q --predictions scores.csv"));
        let table = fs::read_to_string(music.path("scores.csv")).unwrap();
        let rows = table.lines().skip(1);
        rows.flat_map(|row| row.rsplit(',').take(2).map(|cell| cell.parse().unwrap())).collect()
    };
    let [one, other, both] = ["many/seed-0", "many/seed-1", "many"].map(scores);
    assert!(both.len() == 32 && one != other);
    for ((one, other), both) in one.iter().zip(&other).zip(&both) {
        assert!((both - (one + other) / 2.0).abs() < 1e-6, "{one} {other} {both}");
    }
    // Those that trained the models are told, as they are of one.
    let (_, err) = music.ok("evaluate many library --format json");
    assert!(err.contains("trained this model") && err.contains("2 models answer"), "{err}");
    // Fewer seeds than there are would be judged, and more asked.
    let (code, _, err) =
        music.run(&format!("train library {QUICK} --epochs 2 --seed 1 --out many"));
    assert!(code == 2, "{err}");
    let fewer = format!("train library {QUICK} --epochs 2 --seed 1 --seeds 2 --out many");
    let (code, _, err) = music.run(&fewer);
    assert!(code == 2 && err.contains("many/seed-0 is a model of another --seeds"), "{err}");
    // A list that lies in the folder one is in is not that of a built-in model.
    music.write("tracks.csv", "someone's own");
    music.write("other.csv", "path,tags\nlibrary/happy/0.wav,nobody's\n");
    let (code, _, err) = music.run("evaluate musicnn-msd other.csv");
    assert!(code == 2 && err.contains("other.csv") && !err.contains("damaged"), "{err}");
    // Finished runs are compared as they are, and by nothing else.
    for more in ["library", "--moods happy", "--epochs 9", "--seeds 2"] {
        let (code, _, err) =
            music.run(&format!("compare {more} --presets many/seed-0,many/seed-1"));
        assert!(code == 2 && err.contains("leave out the manifest"), "{more}: {err}");
    }
    let (out, err) = music.ok("compare --presets many/seed-0,many/seed-1 --out compared");
    assert!(out.contains("Against seed-0: seed-1"), "{out}");
    assert!(out.contains("took part as finished runs") && !err.contains("device"), "{out}{err}");
    let page = fs::read_to_string(music.path("compared/comparison.html")).unwrap();
    assert!(page.contains("class=\"intervals\"") && page.contains("Validation ROC-AUC by epoch"));
    // A preset beside a run is trained on the run's split, whatever its seed.
    music.ok(&format!("train library {QUICK} --epochs 1 --seed 3 --out alone"));
    let sets = QUICK.trim_start_matches("--preset demo");
    let (out, _) =
        music.ok(&format!("compare library --presets alone,demo {sets} --epochs 1 --out beside"));
    assert!(out.contains("Against alone: demo"), "{out}");
    // Models that know other moods cannot.
    let (code, _, err) = music.run("predict -m many/seed-0 -m musicnn-msd library/happy");
    assert!(code == 2 && err.contains("know the same moods"), "{err}");
}

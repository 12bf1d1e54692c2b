//! Music as it lies on disks: folders in folders, links, rubbish bins, names of all kinds, silence.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use moodshader::Error;
use moodshader::audio::{Found, find_audio};
use moodshader::error::Kind;
use moodshader::predict::playlist::file_name;
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/trained.rs"]
mod trained;
use trained::{Trained, wav};

#[cfg(unix)]
#[path = "support/unlistable.rs"]
mod unlistable;

/// Samples of a clip of the model.
const CLIP: usize = 22_050;

const MODEL: &str = "predict --model run/best.safetensors";

static TRAINED: LazyLock<Trained> = LazyLock::new(Trained::new);

fn json(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// What begins like audio is enough to be found.
fn song(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"RIFF\0\0\0\0WAVE").unwrap();
    path
}

fn found_in(folder: &Path) -> Found {
    find_audio(&[folder.to_owned()]).unwrap()
}

fn input_error<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Input, "{error}");
    error.to_string()
}

#[test]
fn folders_are_searched_for_audio() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().to_owned();
    let inner = song(&root, "b/c/inner.aac");
    let outer = song(&root, "a.wav");
    let text = root.join("b/notes.mp3");
    fs::write(&text, b"not music").unwrap();
    fs::write(root.join("b/notes.txt"), b"not music").unwrap();
    let found = found_in(&root);
    assert_eq!(found.files, [outer.clone(), inner.clone()]);
    assert_eq!(found.passed_over, std::slice::from_ref(&text));
    // A file that is named is taken at its word, and none is taken twice.
    let found = find_audio(&[text.clone(), root, outer.clone()]).unwrap();
    assert_eq!(found.files, [text, outer, inner]);
    let empty = TempDir::new().unwrap();
    assert!(input_error(find_audio(&[empty.path().to_owned()])).contains("no audio file"));
    assert!(input_error(find_audio(&[empty.path().join("gone")])).contains("gone"));
}

#[test]
fn what_systems_keep_for_themselves_is_passed_over_unless_named() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let kept = [song(root, ".Trasher/a.wav"), song(root, "Trash/a.wav"), song(root, "z.wav")];
    for bin in [
        ".Trash",
        ".Trash-1000/files",
        ".Trashes/501",
        "$RECYCLE.BIN/S-1-5",
        "#recycle",
        "album/@eaDir/z.wav",
        "album/.AppleDouble",
        "home/.local/share/Trash/files",
    ] {
        song(root, &format!("{bin}/gone.wav"));
    }
    let fork = song(root, "album/._z.wav");
    fs::write(root.join("album/._cover.jpg"), "fork").unwrap();
    let found = found_in(root);
    assert_eq!(found.files, kept);
    assert_eq!(found.kept_by_systems.len(), 9, "{:?}", found.kept_by_systems);
    let note: Vec<String> = found.notes().collect();
    assert!(note.len() == 1 && note[0].starts_with("passed over 9 rubbish bins"), "{note:?}");
    assert!(note[0].contains("#recycle") && note[0].ends_with(" and 6 more"), "{note:?}");

    let bin = root.join(".Trash-1000");
    assert_eq!(found_in(&bin).files, [bin.join("files/gone.wav")]);
    assert_eq!(find_audio(std::slice::from_ref(&fork)).unwrap().files, [fork]);
}

#[cfg(unix)]
#[test]
fn linked_folders_are_followed_once_and_never_round() {
    use std::os::unix::fs::symlink;

    let folder = TempDir::new().unwrap();
    let (root, elsewhere) = (folder.path().join("library"), folder.path().join("elsewhere"));
    let own = song(&root, "real/a.wav");
    song(&elsewhere, "inner/b.wav");
    song(folder.path(), "outside.wav");
    for (target, link) in [
        ("../elsewhere", "linked"),      // followed
        ("../elsewhere/inner", "other"), // known by now
        ("real", "before"),              // known by its own name, though "before" comes first
        ("..", "real/up"),               // around itself, and entered
        ("/", "real/disk"),              // around itself
        ("../..", "real/out"),
        ("gone.wav", "dead.wav"), // nowhere
        ("gone", "dead"),         // a disk that is away
        ("round.wav", "round.wav"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    symlink("../../library/real", elsewhere.join("inner/back")).unwrap();
    let found = found_in(&root);
    assert_eq!(found.files, [root.join("linked/inner/b.wav"), own]);
    let links =
        ["dead", "dead.wav", "real/disk", "real/out", "round.wav"].map(|link| root.join(link));
    assert_eq!(found.links, links);
    assert!(found.unlisted.is_empty(), "{:?}", found.unlisted);
    let note: Vec<String> = found.notes().collect();
    assert!(note.len() == 1 && note[0].starts_with("passed over 5 links that lead"), "{note:?}");
}

/// A folder a mood follows the same rules.
#[cfg(unix)]
#[test]
fn a_linked_mood_counts_and_a_way_out_does_not() {
    use std::os::unix::fs::symlink;

    let folder = TempDir::new().unwrap();
    let root = folder.path().join("moods");
    song(&root, "dark/a.wav");
    song(folder.path(), "elsewhere/deep/b.wav");
    for (target, link) in [("../elsewhere", "epic"), ("..", "out"), ("..", "dark/loop")] {
        symlink(target, root.join(link)).unwrap();
    }
    symlink("a.wav", root.join("dark/again.wav")).unwrap();
    let manifest = moodshader::dataset::manifest::read(&root, None).unwrap();
    let rows: Vec<_> = manifest.tracks.iter().map(|track| track.listed.as_str()).collect();
    assert_eq!(rows, ["dark/a.wav", "epic/deep/b.wav"]);
    assert!(manifest.notes.iter().any(|note| note.contains("2 links")), "{:?}", manifest.notes);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_listed_does_not_stop_the_rest() {
    let place = &*TRAINED;
    let library = place.path("half/happy");
    fs::create_dir_all(library.join("locked")).unwrap();
    wav(&library.join("a.wav"), 0.05, CLIP);
    unlistable::unlistable(&library.join("locked"));
    let told = |err: &str| assert!(err.contains("cannot list half/happy/locked/x"), "{err}");

    let (code, out, err) = place.run(&format!("{MODEL} half --format json"));
    assert_eq!((code, json(&out).len()), (1, 1), "{err}");
    assert!(err.contains("1 of 2 files failed"), "{err}");
    told(&err);
    let (code, _, err) = place.run("features half --out arrays --preset demo --device cpu");
    assert!(code == 1 && place.path("arrays/a.npy").exists(), "{err}");
    assert!(err.contains("1 of 2 files cannot be used"), "{err}");
    told(&err);
    // Again, where there is nothing to do.
    let (code, _, err) = place.run("features half --out arrays --preset demo --device cpu");
    assert_eq!(code, 1, "{err}");
    let (code, out, err) = place.run("dataset stats half --moods all --format json");
    assert_eq!((code, &json(&out)[0]["listed"]), (1, &Value::from(1)), "{err}");
    told(&err);
    let (code, out, err) = place.run("dataset check half");
    assert!(code == 1 && out.contains("1 files read"), "{err}");
    told(&out);
    let (code, _, err) =
        place.run("evaluate --model run/best.safetensors --data half --device cpu --quiet");
    assert!(code == 0 && err.contains("warning: "), "{err}");
    told(&err);
    // The folder that is named is the caller's to mend.
    let long = library.join("locked").join("x/".repeat(3000));
    let (code, out, err) = place.run(&format!("{MODEL} {}", long.display()));
    assert!(code != 0 && out.is_empty(), "{err}");
}

/// Names in Latin-1 that differ in a byte which is not UTF-8, and one that reads like their text. macOS
/// has no such names.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_text_lead_back_to_their_files() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = &*TRAINED;
    let names: [&[u8]; 3] = [b"caf\xc9.wav", b"caf\xe9.wav", br"caf\xE9.wav"];
    let texts = [r"latin/caf\x5CxE9.wav", r"latin/caf\xC9.wav", r"latin/caf\xE9.wav"];
    fs::create_dir_all(place.path("latin")).unwrap();
    for name in names {
        wav(&place.path("latin").join(OsStr::from_bytes(name)), 0.05, CLIP);
    }
    let playlists = "--playlist happy --playlist dark --playlist epic --playlist-out latin";
    let (code, out, err) = place.run(&format!("{MODEL} latin --format json {playlists}"));
    assert!(code == 0 && err.contains("2 file names are not UTF-8"), "{err}");
    let files = json(&out);
    let paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, texts);
    let csv = place.ok(&format!("{MODEL} latin --format csv"));
    let cells = csv.lines().skip(1).map(|row| row.split(',').next().unwrap());
    assert_eq!(cells.collect::<Vec<_>>(), texts);
    // A player looks for the bytes.
    let lists = ["happy", "dark", "epic"]
        .map(|mood| fs::read(place.path(&format!("latin/{mood}.m3u8"))).unwrap());
    let best = lists.iter().max_by_key(|list| list.len()).unwrap();
    let lines: Vec<&[u8]> = best.split(|byte| *byte == b'\n').collect();
    assert!(names.iter().all(|name| lines.contains(name)), "{}", String::from_utf8_lossy(best));

    // What a result says can be written into a manifest.
    let rows: Vec<String> = texts.iter().map(|text| format!("{text},happy")).collect();
    fs::write(place.path("latin.csv"), format!("path,tags\n{}\n", rows.join("\n"))).unwrap();
    let (code, out, err) = place.run("dataset check latin.csv --format json");
    assert_eq!(code, 0, "{out}{err}");

    let features = "features latin --out latin-arrays --preset demo --device cpu";
    place.ok(features);
    let (_, _, err) = place.run(features);
    assert!(err.contains("3 of 3 arrays are there already"), "{err}");
    let sources = fs::read_to_string(place.path("latin-arrays/sources.jsonl")).unwrap();
    for (line, text) in sources.lines().zip(texts) {
        let source: Value = serde_json::from_str(line).unwrap();
        assert!(source["audio"].as_str().unwrap().ends_with(text), "{line}");
    }
    // Moods as folders list the same texts.
    fs::create_dir_all(place.path("latin-moods")).unwrap();
    fs::rename(place.path("latin"), place.path("latin-moods/latin")).unwrap();
    let manifest = moodshader::dataset::manifest::read(&place.path("latin-moods"), None).unwrap();
    let listed: Vec<_> = manifest.tracks.iter().map(|track| track.listed.as_str()).collect();
    assert_eq!(listed, texts);
}

#[test]
fn features_of_long_names_are_kept_apart_and_one_that_cannot_be_written_stops_nothing() {
    let place = &*TRAINED;
    let long = |last: &str| format!("{}{last}.wav", "x".repeat(248));
    fs::create_dir_all(place.path("long")).unwrap();
    for (name, pitch) in [(long("1"), 0.05), (long("2"), 0.1), ("z.wav".to_owned(), 0.15)] {
        wav(&place.path("long").join(name), pitch, CLIP);
    }
    let features = "features long --out long-arrays --preset demo --device cpu";
    place.ok(features);
    let sources = fs::read_to_string(place.path("long-arrays/sources.jsonl")).unwrap();
    let sources: Vec<Value> =
        sources.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = sources.iter().map(|line| line["array"].as_str().unwrap()).collect();
    assert!(names[0] != names[1] && names[0].ends_with(".npy"), "{names:?}");
    for (line, audio) in sources.iter().zip([long("1"), long("2"), "z.wav".to_owned()]) {
        assert!(line["audio"].as_str().unwrap().ends_with(&audio), "{line}");
        assert!(place.path("long-arrays").join(line["array"].as_str().unwrap()).is_file());
    }
    let (_, _, err) = place.run(features);
    assert!(err.contains("3 of 3 arrays are there already"), "{err}");

    for name in &names[..2] {
        fs::remove_file(place.path("long-arrays").join(name)).unwrap();
    }
    fs::create_dir(place.path("long-arrays").join(names[0])).unwrap();
    let (code, _, err) = place.run(features);
    assert!(code != 0 && err.contains("1 of 3 files cannot be used"), "{err}");
    assert!(err.contains(names[0]) && place.path("long-arrays").join(names[1]).is_file(), "{err}");
}

#[test]
fn every_mood_has_a_playlist_of_its_own() {
    let name = |mood: &str| file_name(mood, "m3u8").to_str().unwrap().to_owned();
    assert_eq!(["dark", "Größe_1", "lo fi"].map(name), ["dark.m3u8", "Größe_1.m3u8", "lo fi.m3u8"]);
    assert_eq!(name("a/b"), "a%2Fb.m3u8");
    let alike = ["a/b", "a:b", r"a\b", "a_b", "a%2Fb", "a%b", "a\nb", "a?b", "a*b"];
    let names: HashSet<String> = alike.into_iter().map(name).collect();
    assert_eq!(names.len(), alike.len());
    assert!(names.iter().all(|name| !name.contains(['/', '\\', ':', '?', '*', '\n'])));
    let long = ["1", "2"].map(|last| name(&("x".repeat(300) + last)));
    assert!(long[0] != long[1] && long.iter().all(|name| name.len() <= 247), "{long:?}");
}

#[test]
fn silence_has_no_mood_in_tags_and_playlists() {
    let place = &*TRAINED;
    let folder = place.path("quiet");
    fs::create_dir_all(&folder).unwrap();
    let dither = |at: usize| [0, 1, 0, -1][at / 7 % 4];
    trained::tones::write(&folder.join("dither.wav"), (0..2 * CLIP).map(dither));
    trained::tones::write(&folder.join("short.wav"), (0..CLIP / 3).map(|_| 0));
    trained::tones::write(&folder.join("zeros.wav"), (0..3 * CLIP).map(|_| 0));
    trained::tones::write(&folder.join("constant.wav"), (0..3 * CLIP).map(|_| 99));
    // The quietest sound, and sound in the last clip alone.
    trained::tones::write(&folder.join("faint.wav"), (0..CLIP).map(|at| 2 * dither(at)));
    trained::tones::write(
        &folder.join("late.wav"),
        (0..3 * CLIP).map(|at| if at < 50_000 { 0 } else { 99 }),
    );
    let silent = ["constant.wav", "dither.wav", "short.wav", "zeros.wav"];
    let bytes = || silent.map(|name| fs::read(folder.join(name)).unwrap());
    let before = bytes();

    let lists = "--playlist happy --playlist dark --playlist epic --playlist-out quiet";
    let (code, out, err) = place.run(&format!("{MODEL} quiet --format json {lists}"));
    assert!(code == 0 && err.contains("4 audio files silent throughout"), "{err}");
    for file in json(&out) {
        let is_silent = silent.iter().any(|name| file["path"].as_str().unwrap().ends_with(name));
        assert_eq!(file.get("silent"), is_silent.then_some(&Value::Bool(true)), "{file}");
    }
    let lists: Vec<String> = ["happy", "dark", "epic"]
        .map(|mood| fs::read_to_string(folder.join(format!("{mood}.m3u8"))).unwrap())
        .to_vec();
    assert!(silent.iter().all(|name| !lists.concat().contains(name)), "{lists:?}");

    let (_, _, err) = place.run(&format!("{MODEL} quiet --write-tags --dry-run --quiet"));
    for name in silent {
        let told = format!("quiet/{name}: is silent and would get no tag");
        assert!(err.contains(&told), "{err}");
    }
    assert!(err.contains("quiet/faint.wav: TMOO would say "), "{err}");
    let (code, out, err) = place.run(&format!("{MODEL} quiet --write-tags --top 1"));
    assert!(code == 0 && err.contains("no tag is written"), "{err}");
    assert!(out.contains("quiet/zeros.wav  (0:03, silent)\n"), "{out}");
    assert!(bytes() == before);
    assert!(fs::read(folder.join("late.wav")).unwrap().windows(4).any(|bytes| bytes == b"TMOO"));

    let rows = silent.map(|name| format!("quiet/{name},dark\n")).concat();
    fs::write(place.path("silence.csv"), format!("path,tags\n{rows}quiet/faint.wav,dark\n"))
        .unwrap();
    let out = place.ok("dataset check silence.csv --format json");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["silent"].as_array().unwrap().len(), 4, "{out}");
}

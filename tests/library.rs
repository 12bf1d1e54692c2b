//! Music as it lies on disks: folders in folders, links, rubbish bins, names of all kinds, silence.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use moodshader::Error;
use moodshader::audio::{Found, find_audio};
use moodshader::error::Kind;
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
        ("gone", "dead"),
        ("round.wav", "round.wav"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    symlink("../../library/real", elsewhere.join("inner/back")).unwrap();
    let found = found_in(&root);
    assert_eq!(found.files, [root.join("linked/inner/b.wav"), own]);
    let links = ["dead.wav", "real/disk", "real/out", "round.wav"].map(|link| root.join(link));
    assert_eq!(found.links, links);
    assert!(found.unlisted.is_empty(), "{:?}", found.unlisted);
    let note: Vec<String> = found.notes().collect();
    assert!(note.len() == 1 && note[0].starts_with("passed over 4 links that lead"), "{note:?}");
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
    assert!(code == 2 && out.contains("1 files read"), "{err}");
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

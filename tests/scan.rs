//! A library that is scanned again and again: what is known is not heard twice, whatever happens to files,
//! scans and the index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

#[path = "support/trained.rs"]
mod trained;
use trained::tones::program;
use trained::{Trained, wav};

/// Samples of a clip of the model.
const CLIP: usize = 22_050;
const FILES: usize = 6;

/// A library of its own, with its own cache, and the model that others have trained.
struct Library {
    folder: TempDir,
}

static TRAINED: std::sync::LazyLock<Trained> = std::sync::LazyLock::new(Trained::new);

impl Library {
    fn new() -> Self {
        let library = Self { folder: TempDir::new().unwrap() };
        fs::create_dir_all(library.path("music/deep")).unwrap();
        for file in 0..FILES {
            let name = if file < 4 { format!("{file}.wav") } else { format!("deep/{file}.wav") };
            wav(&library.path("music").join(name), 0.05 * (1 + file % 3) as f32, CLIP + 100 * file);
        }
        // Old enough that nobody writes them.
        let all = ["0.wav", "1.wav", "2.wav", "3.wav", "deep/4.wav", "deep/5.wav"];
        all.iter().for_each(|file| age(&library.path("music").join(file)));
        library
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &str) -> std::process::Command {
        let model = TRAINED.path("run/best.safetensors");
        program(self.folder.path(), &format!("predict --model {} {arguments}", model.display()))
    }

    /// Exit status, standard output, standard error.
    fn run(&self, arguments: &str) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Scans the library: what it prints as JSON, and how it compares with the last scan.
    fn scan(&self, more: &str) -> (String, String) {
        let (code, out, err) = self.run(&format!("music --format json {more}"));
        assert_eq!(code, 0, "{err}");
        (out, compared(&err))
    }
}

/// The line "… new, … changed, …".
fn compared(err: &str) -> String {
    let line = err.lines().find(|line| line.contains(" new, ")).unwrap_or_else(|| panic!("{err}"));
    line.to_owned()
}

/// Sets the time of change back by an hour.
fn age(file: &Path) {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().append(true).open(file).unwrap().set_modified(hour_ago).unwrap();
}

fn json(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_second_scan_hears_nothing_and_says_the_same() {
    let library = Library::new();
    let (first, compared) = library.scan("");
    assert_eq!(compared, "6 new, 0 changed, 0 gone, 0 unchanged, 0 failed");
    let (second, compared) = library.scan("");
    assert_eq!(compared, "0 new, 0 changed, 0 gone, 6 unchanged, 0 failed");
    assert_eq!(first, second);
    // With timelines, too; and heard again it is the same.
    let (timeline, compared) = library.scan("--timeline");
    assert!(compared.starts_with("0 new"), "{compared}");
    let (again, compared) = library.scan("--timeline --again");
    assert_eq!(compared, "6 new, 0 changed, 0 gone, 0 unchanged, 0 failed");
    assert_eq!(timeline, again);
    // A device that is named answers itself, and other numbers of clips are other questions.
    assert!(library.scan("--device cpu").1.starts_with("6 new"));
    assert!(library.scan("--windows 1").1.starts_with("6 new"));
}

/// The first scan of a library writes tags, and makes the index that has to know of them.
#[test]
fn what_the_first_scan_tags_is_not_heard_again() {
    let library = Library::new();
    let (code, _, err) = library.run("music --write-tags --min-precision 0.01");
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("with a new tag MOOD"), "{err}");
    let (_, compared) = library.scan("");
    assert_eq!(compared, "0 new, 0 changed, 0 gone, 6 unchanged, 0 failed");
}

/// Whoever reads the first line alone gets the rest that was asked for, and hears of what fails.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_has_enough_ends_no_work_on_files() {
    let library = Library::new();
    let closed = |arguments: &str| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = library.command(arguments).stdout(writer).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = closed("music --write-tags --min-precision 0.01 --report page.html");
    assert_eq!(code, Some(0), "{err}");
    assert!(library.path("page.html").exists(), "{err}");
    assert!(library.scan("").1.contains("6 unchanged"));
    fs::write(library.path("music/broken.wav"), b"RIFF\0\0\0\0WAVEfmt ").unwrap();
    let (code, err) = closed("music --write-tags");
    assert!(code == Some(1) && err.contains("broken.wav"), "{code:?} {err}");
}

#[test]
fn what_changes_moves_comes_and_goes_is_seen() {
    let library = Library::new();
    let (before, _) = library.scan("");
    let at = |name: &str| library.path("music").join(name);
    wav(&at("0.wav"), 0.15, 3 * CLIP);
    age(&at("0.wav"));
    fs::rename(at("1.wav"), at("deep/moved.wav")).unwrap();
    fs::copy(at("2.wav"), at("copy.wav")).unwrap();
    let changed = at("2.wav").metadata().unwrap().modified().unwrap();
    fs::File::options().append(true).open(at("copy.wav")).unwrap().set_modified(changed).unwrap();
    fs::remove_file(at("3.wav")).unwrap();
    wav(&at("new.wav"), 0.1, 2 * CLIP);
    age(&at("new.wav"));
    // Its rights alone change.
    #[cfg(unix)]
    {
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(at("deep/4.wav"), rights).unwrap();
    }
    let (after, compared) = library.scan("");
    assert_eq!(compared, "1 new, 1 changed, 1 gone, 3 unchanged, 2 moved or copied, 0 failed");
    let (before, after) = (json(&before), json(&after));
    let moods = |files: &[Value], path: &str| {
        let file = files.iter().find(|file| file["path"] == format!("music/{path}"));
        file.unwrap_or_else(|| panic!("{path}"))["moods"].clone()
    };
    assert_eq!(moods(&after, "deep/moved.wav"), moods(&before, "1.wav"));
    assert_eq!(moods(&after, "copy.wav"), moods(&before, "2.wav"));
    assert_ne!(moods(&after, "0.wav"), moods(&before, "0.wav"));
    assert_eq!(library.scan("").1, "0 new, 0 changed, 0 gone, 7 unchanged, 0 failed");
    // A part of the library alone forgets nothing of the rest.
    let (_, _, err) = library.run("music/deep");
    assert_eq!(self::compared(&err), "0 new, 0 changed, 0 gone, 3 unchanged, 0 failed");
    assert_eq!(library.scan("").1, "0 new, 0 changed, 0 gone, 7 unchanged, 0 failed");
}

/// Two files exchange their names, of one size and one time: each keeps its own moods.
#[test]
fn exchanged_names_are_seen() {
    let library = Library::new();
    let at = |name: &str| library.path("music").join(name);
    wav(&at("1.wav"), 0.15, CLIP);
    let time = at("0.wav").metadata().unwrap().modified().unwrap();
    fs::File::options().append(true).open(at("1.wav")).unwrap().set_modified(time).unwrap();
    assert_eq!(at("0.wav").metadata().unwrap().len(), at("1.wav").metadata().unwrap().len());
    let (before, _) = library.scan("");
    fs::rename(at("0.wav"), at("aside")).unwrap();
    fs::rename(at("1.wav"), at("0.wav")).unwrap();
    fs::rename(at("aside"), at("1.wav")).unwrap();
    let (after, compared) = library.scan("");
    assert_eq!(compared, "0 new, 0 changed, 0 gone, 4 unchanged, 2 moved or copied, 0 failed");
    let (before, after) = (json(&before), json(&after));
    assert_ne!(before[0]["moods"], before[1]["moods"]);
    assert_eq!(before[0]["moods"], after[1]["moods"]);
    assert_eq!(before[1]["moods"], after[0]["moods"]);
}

#[test]
fn a_damaged_page_costs_one_scan() {
    let library = Library::new();
    for file in 0..40 {
        let path = library.path(&format!("music/more {file}.wav"));
        wav(&path, 0.05, CLIP + 7 * file);
        age(&path);
    }
    let (first, _) = library.scan("");
    let index =
        fs::read_dir(library.path("cache/library")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&index).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..64].fill(0xa5);
    }
    fs::write(&index, bytes).unwrap();
    assert_eq!(library.scan("").0, first);
    // The next one begins another index, which lasts.
    library.scan("");
    assert!(library.scan("").1.starts_with("0 new, 0 changed, 0 gone, 46 unchanged"));
}

#[test]
fn a_file_that_is_being_written_is_left_for_the_next_scan() {
    let library = Library::new();
    let growing = library.path("music/growing.wav");
    wav(&growing, 0.1, 2 * CLIP);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (code, out, err) = std::thread::scope(|scope| {
        let written = scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                use std::io::Write;
                let mut file = fs::File::options().append(true).open(&growing).unwrap();
                file.write_all(&[0; 64]).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let scanned = library.run("music --format json");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        written.join().unwrap();
        scanned
    });
    assert_eq!((code, json(&out).len()), (0, FILES), "{err}");
    assert!(err.contains("growing.wav is being written by another program"), "{err}");
    age(&growing);
    assert_eq!(library.scan("").1, "1 new, 0 changed, 0 gone, 6 unchanged, 0 failed");
}

#[test]
fn a_killed_scan_goes_on_where_it_was() {
    let library = Library::new();
    for file in 0..40 {
        let path = library.path(&format!("music/more {file:02}.wav"));
        wav(&path, 0.05 + 0.001 * file as f32, 6 * CLIP + 10 * file);
        age(&path);
    }
    let unbroken = {
        let other = Library { folder: TempDir::new().unwrap() };
        let music = library.path("music");
        let output = other.command(&format!("{} --format json", music.display())).output().unwrap();
        json(&String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(unbroken.len(), FILES + 40);
    for round in 0..4 {
        let mut child =
            library.command("music --format jsonl").stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + 130 * round));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let (whole, _) = library.scan("");
    let whole = json(&whole);
    for (one, other) in whole.iter().zip(&unbroken) {
        assert_eq!((&one["moods"], &one["duration"]), (&other["moods"], &other["duration"]));
    }
    assert_eq!(whole.len(), unbroken.len());
    assert_eq!(library.scan("").1, "0 new, 0 changed, 0 gone, 46 unchanged, 0 failed");
}

#[test]
fn two_scans_at_once_do_not_harm_each_other() {
    let library = Library::new();
    let start = || library.command("music --format json").spawn().unwrap();
    let outputs = [start(), start()].map(|child| child.wait_with_output().unwrap());
    assert!(outputs.iter().all(|output| output.status.success()));
    assert_eq!(outputs[0].stdout, outputs[1].stdout);
    let (third, compared) = library.scan("");
    assert_eq!(compared, "0 new, 0 changed, 0 gone, 6 unchanged, 0 failed");
    assert_eq!(third.as_bytes(), outputs[0].stdout);
}

/// Of two that write tags, the second waits, so that it knows what the first has written.
#[test]
fn two_that_write_tags_know_each_others_moods() {
    let library = Library::new();
    let tags = |more: &str| library.command(&format!("music --write-tags {more}"));
    let both =
        ["--threshold happy=0", "--threshold dark=0"].map(|more| tags(more).spawn().unwrap());
    for run in both {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let (code, _, err) = library.run("music --write-tags --threshold epic=0");
    assert!(code == 0 && !err.contains("did not write"), "{err}");
}

#[test]
fn an_index_that_cannot_be_used_stops_nothing() {
    let library = Library::new();
    let (first, _) = library.scan("");
    let entry = |folder: &str| fs::read_dir(library.path(folder)).unwrap().next().unwrap().unwrap();
    let index = entry("cache/library").path();
    fs::write(&index, vec![7; 5000]).unwrap();
    let (code, second, err) = library.run("music --format json");
    assert!(code == 0 && compared(&err).starts_with("6 new"), "{err}");
    assert_eq!(first, second);
    let aside = index.with_extension("broken");
    assert!(err.contains("the index was damaged") && aside.exists(), "{err}");
    assert!(library.scan("").1.starts_with("0 new"));
    // There is no place for one.
    fs::remove_dir_all(library.path("cache")).unwrap();
    fs::write(library.path("cache"), "a file").unwrap();
    let (code, out, err) = library.run("music --format json");
    assert_eq!((code, out), (0, first), "{err}");
    assert!(err.contains("warning: ") && err.contains("nothing is kept"), "{err}");
}

/// A power cut leaves files empty or full of zeros; a disk that is unplugged leaves an empty folder.
#[test]
fn what_was_music_is_missed_and_what_may_come_back_is_kept() {
    let library = Library::new();
    library.scan("");
    let whole = fs::read(library.path("music/1.wav")).unwrap();
    fs::write(library.path("music/1.wav"), vec![0; whole.len()]).unwrap();
    age(&library.path("music/1.wav"));
    let (code, _, err) = library.run("music --format json");
    assert!(code == 1 && err.contains("music/1.wav was music when it was heard last"), "{err}");
    assert_eq!(compared(&err), "0 new, 0 changed, 0 gone, 5 unchanged, 1 failed");
    fs::write(library.path("music/1.wav"), whole).unwrap();
    age(&library.path("music/1.wav"));
    library.scan("");

    fs::rename(library.path("music/deep"), library.path("away")).unwrap();
    fs::create_dir(library.path("music/deep")).unwrap();
    let (code, _, err) = library.run("music --format json");
    assert!(code == 0 && err.contains("music/deep is empty"), "{err}");
    assert_eq!(compared(&err), "0 new, 0 changed, 0 gone, 4 unchanged, 0 failed");
    fs::remove_dir(library.path("music/deep")).unwrap();
    fs::rename(library.path("away"), library.path("music/deep")).unwrap();
    assert_eq!(library.scan("").1, "0 new, 0 changed, 0 gone, 6 unchanged, 0 failed");
    fs::remove_dir_all(library.path("music/deep")).unwrap();
    assert_eq!(library.scan("").1, "0 new, 0 changed, 2 gone, 4 unchanged, 0 failed");

    std::os::unix::fs::symlink(library.path("unplugged"), library.path("music/disk")).unwrap();
    let (code, _, err) = library.run("music --format json");
    assert!(code == 0 && err.contains("music/disk"), "{err}");
}

#[test]
fn a_scan_that_is_stopped_says_so() {
    let library = Library::new();
    for file in 0..60 {
        let path = library.path(&format!("music/more {file:02}.wav"));
        wav(&path, 0.05 + 0.001 * file as f32, 40 * CLIP + 10 * file);
    }
    let mut command = library.command("music --device cpu --format jsonl");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut results = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut results, &mut line).unwrap();
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let reading = std::thread::spawn(move || std::io::copy(&mut results, &mut std::io::sink()));
    let output = child.wait_with_output().unwrap();
    reading.join().unwrap().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("the same command goes on with them"), "{err}");
}

#[test]
fn paths_come_from_lists_and_playlists() {
    let library = Library::new();
    let paths = |arguments: &str| -> Vec<String> {
        let (code, out, err) = library.run(&format!("{arguments} --format jsonl"));
        assert_eq!(code, 0, "{err}");
        let file = |line: &str| serde_json::from_str::<Value>(line).unwrap()["path"].clone();
        out.lines().map(|line| file(line).as_str().unwrap().to_owned()).collect()
    };
    fs::write(library.path("list.txt"), "\u{feff}music/1.wav\r\nmusic/deep\n\n").unwrap();
    let listed = ["music/1.wav", "music/deep/4.wav", "music/deep/5.wav"];
    assert_eq!(paths("--files-from list.txt"), listed);
    fs::write(library.path("zeros"), "music/deep\0music/1.wav\0").unwrap();
    assert_eq!(
        paths("--files-from zeros"),
        ["music/deep/4.wav", "music/deep/5.wav", "music/1.wav"]
    );
    let list = "\u{feff}#EXTM3U\n#EXTINF:1,One\n1.wav\nhttp://radio.example/stream\ndeep/5.wav\n";
    fs::write(library.path("music/some.m3u8"), list).unwrap();
    assert_eq!(paths("music/some.m3u8"), ["music/1.wav", "music/deep/5.wav"]);
    let address = library.path("music/deep/4.wav").display().to_string().replace("deep", "%64eep");
    let file = library.path("music/deep/4.wav").display().to_string();
    for scheme in ["file", "FILE"] {
        fs::write(library.path("player.m3u"), format!("{scheme}://{address}\n")).unwrap();
        assert_eq!(paths("player.m3u"), [&*file]);
    }
    // Of a Windows program that means UTF-16 by Unicode.
    let list = format!("\u{feff}{file}\r\n");
    let units: Vec<u8> = list.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(library.path("unicode.m3u"), units).unwrap();
    assert_eq!(paths("unicode.m3u"), [&*file]);
    // Of Windows, in its letters; of macOS, in its way to write them.
    let song = library.path("music/deep/Björk’s.wav");
    fs::copy(library.path("music/deep/4.wav"), &song).unwrap();
    fs::write(library.path("windows.m3u"), b"music\\deep\\Bj\xf6rk\x92s.wav\r\n").unwrap();
    fs::write(library.path("mac.m3u8"), "music/deep/Bjo\u{308}rk’s.wav\n").unwrap();
    for list in ["windows.m3u", "mac.m3u8"] {
        assert_eq!(paths(list), ["music/deep/Björk’s.wav"]);
    }
    fs::remove_file(song).unwrap();
    let mut command = library.command("--files-from - --format jsonl");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"music/2.wav\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
}

#[test]
fn the_next_scan_of_many_files_takes_a_moment() {
    let library = Library::new();
    let source = fs::read(library.path("music/0.wav")).unwrap();
    for file in 0..400_u32 {
        let mut bytes = source.clone();
        bytes.extend(file.to_le_bytes());
        let path = library.path(&format!("music/deep/{file}.wav"));
        fs::write(&path, bytes).unwrap();
        age(&path);
    }
    let begun = Instant::now();
    library.scan("");
    let first = begun.elapsed();
    let begun = Instant::now();
    assert!(library.scan("").1.contains(" 404 unchanged"));
    // Starting the program is most of it.
    assert!(begun.elapsed() < first, "{:?} after {first:?}", begun.elapsed());
}

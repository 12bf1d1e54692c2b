//! The synthetic corpus: what anyone may rely on who trains on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use moodshader::dataset::synthetic::{CorpusSpec, MANIFEST, MOODS, SAMPLE_RATE, cached, generate};
use moodshader::error::{Error, Kind, Result};
use tempfile::TempDir;

const SMALL: CorpusSpec =
    CorpusSpec { clips: 12, clip_seconds: 1.5, seed: 7, shuffle_labels: false };

fn quiet(_: usize) -> Result<()> {
    Ok(())
}

fn corpus(spec: &CorpusSpec) -> TempDir {
    let folder = TempDir::new().unwrap();
    generate(spec, folder.path(), &quiet).unwrap();
    folder
}

/// Every file below `folder` with its content.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let inner = contents(&path).into_iter();
            files.extend(inner.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

struct Row {
    track: String,
    artist: String,
    path: String,
    seconds: f64,
    moods: Vec<String>,
}

fn rows(folder: &Path) -> Vec<Row> {
    let text = fs::read_to_string(folder.join(MANIFEST)).unwrap();
    let mut lines = text.lines();
    let header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS";
    assert_eq!(lines.next(), Some(header));
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let moods = columns[5..].iter();
        Row {
            track: columns[0].to_owned(),
            artist: columns[1].to_owned(),
            path: columns[3].to_owned(),
            seconds: columns[4].parse().unwrap(),
            moods: moods.map(|t| t.strip_prefix("mood/theme---").unwrap().to_owned()).collect(),
        }
    };
    lines.map(row).collect()
}

fn samples(path: &Path) -> Vec<i16> {
    hound::WavReader::open(path).unwrap().samples().collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_seed_decides_every_byte() {
    let first = contents(corpus(&SMALL).path());
    assert_eq!(first.len(), SMALL.clips + 1);
    assert!(first == contents(corpus(&SMALL).path()));
    let other = contents(corpus(&CorpusSpec { seed: 8, ..SMALL }).path());
    assert!(first.iter().all(|(file, bytes)| other[file] != *bytes));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        contents(pool.install(|| corpus(&SMALL)).path())
    };
    assert!(with_threads(1) == with_threads(5));
}

#[test]
fn a_larger_corpus_begins_with_the_smaller_one() {
    let (few, many) = (corpus(&SMALL), corpus(&CorpusSpec { clips: 31, ..SMALL }));
    let (few, mut many) = (contents(few.path()), contents(many.path()));
    let rows = many.remove(MANIFEST).unwrap();
    assert!(rows.starts_with(&few[MANIFEST]));
    assert!(few.iter().filter(|(file, _)| *file != MANIFEST).all(|(f, bytes)| many[f] == *bytes));
}

#[test]
fn the_manifest_names_every_clip() {
    let spec = CorpusSpec { clips: 105, clip_seconds: 1.0, ..SMALL };
    let folder = corpus(&spec);
    let rows = rows(folder.path());
    assert_eq!(rows.len(), spec.clips);
    assert_eq!(
        (rows[103].track.as_str(), rows[103].path.as_str()),
        ("track_0000104", "04/104.wav")
    );
    for row in &rows {
        let reader = hound::WavReader::open(folder.path().join(&row.path)).unwrap();
        let format = reader.spec();
        assert_eq!(
            (format.channels, format.sample_rate, format.bits_per_sample),
            (1, SAMPLE_RATE, 16)
        );
        assert_eq!(reader.duration(), SAMPLE_RATE);
        assert_eq!(row.seconds, 1.0);
    }
}

#[test]
fn moods_are_one_to_three_and_about_equally_frequent() {
    let spec = CorpusSpec { clips: 200, clip_seconds: 1.0, ..SMALL };
    let rows = rows(corpus(&spec).path());
    assert!(rows.iter().all(|row| (1..=3).contains(&row.moods.len())));
    for count in 1..=3 {
        assert!(rows.iter().any(|row| row.moods.len() == count));
    }
    for mood in MOODS {
        let songs = rows.iter().filter(|row| row.moods.iter().any(|m| m == mood)).count();
        assert!((20..=60).contains(&songs), "{mood}: {songs} of {}", rows.len());
        // Ten songs are enough to hear every mood.
        assert!(rows[..10].iter().any(|row| row.moods.iter().any(|m| m == mood)), "{mood}");
    }
}

#[test]
fn an_artist_has_several_songs_and_tells_no_mood() {
    let spec = CorpusSpec { clips: 400, clip_seconds: 1.0, ..SMALL };
    let rows = rows(corpus(&spec).path());
    assert_ne!(rows[0].artist, rows[1].artist, "two songs can be split by artist");
    let mut artists: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &rows {
        artists.entry(&row.artist).or_default().push(row);
    }
    assert!(artists.values().all(|songs| songs.len() > 1));
    // Two songs of an artist share a mood as often as two songs of different artists.
    let share = |a: &Row, b: &Row| a.moods.iter().any(|mood| b.moods.contains(mood));
    let (mut within, mut across) = ((0, 0), (0, 0));
    for (i, a) in rows.iter().enumerate() {
        for b in &rows[..i] {
            let (shared, pairs) = if a.artist == b.artist { &mut within } else { &mut across };
            *shared += usize::from(share(a, b));
            *pairs += 1;
        }
    }
    let rate = |(shared, pairs)| f64::from(shared as u32) / f64::from(pairs);
    assert!((rate(within) - rate(across)).abs() < 0.08, "{} {}", rate(within), rate(across));
}

#[test]
fn clips_are_neither_silent_nor_clipped_and_equally_loud() {
    let folder = corpus(&CorpusSpec { clips: 40, clip_seconds: 3.0, ..SMALL });
    for row in rows(folder.path()) {
        let samples = samples(&folder.path().join(&row.path));
        let peak = samples.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(peak < 32_200, "{}: {peak}", row.path);
        let decibels = |samples: &[i16]| {
            let square = |&s: &i16| (f64::from(s) / 32_768.0).powi(2);
            10.0 * (samples.iter().map(square).sum::<f64>() / samples.len() as f64).log10()
        };
        let level = decibels(&samples);
        assert!((-24.5..-18.5).contains(&level), "{}: {level} dB", row.path);
        for (number, second) in samples.chunks(SAMPLE_RATE as usize).enumerate() {
            assert!(decibels(second) > -60.0, "{}: second {number} is silent", row.path);
        }
    }
}

#[test]
fn shuffled_labels_are_the_same_sets_on_other_songs() {
    let (straight, shuffled) =
        (corpus(&SMALL), corpus(&CorpusSpec { shuffle_labels: true, ..SMALL }));
    let moods = |folder: &TempDir| -> Vec<Vec<String>> {
        rows(folder.path()).into_iter().map(|row| row.moods).collect()
    };
    let (mut before, mut after) = (moods(&straight), moods(&shuffled));
    assert_ne!(before, after);
    before.sort();
    after.sort();
    assert_eq!(before, after);
    let audio = |folder: &TempDir| {
        let mut files = contents(folder.path());
        files.remove(MANIFEST);
        files
    };
    assert!(audio(&straight) == audio(&shuffled));
}

#[test]
fn progress_counts_every_clip() {
    let seen = Mutex::new(Vec::new());
    let folder = TempDir::new().unwrap();
    generate(&SMALL, folder.path(), &|done| {
        seen.lock().unwrap().push(done);
        Ok(())
    })
    .unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=SMALL.clips));
}

#[test]
fn a_cached_corpus_is_built_once() {
    let root = TempDir::new().unwrap();
    let built = AtomicUsize::new(0);
    let count = |_| {
        built.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let manifest = cached(&SMALL, root.path(), &count).unwrap();
    assert_eq!(cached(&SMALL, root.path(), &count).unwrap(), manifest);
    assert_eq!(built.load(Ordering::Relaxed), SMALL.clips);
    // Another length, count, seed or label order is another corpus.
    for other in [
        CorpusSpec { clip_seconds: 1.25, ..SMALL },
        CorpusSpec { clips: 11, ..SMALL },
        CorpusSpec { seed: 1, ..SMALL },
        CorpusSpec { shuffle_labels: true, ..SMALL },
    ] {
        assert_ne!(cached(&other, root.path(), &quiet).unwrap(), manifest);
    }
}

#[test]
fn an_interrupted_build_is_not_reused() {
    let root = TempDir::new().unwrap();
    let stop = |done| if done < 5 { Ok(()) } else { Err(Error::stopped("stopped")) };
    let stopped = cached(&SMALL, root.path(), &stop).unwrap_err();
    assert_eq!(stopped.kind, Kind::Stopped);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    let killed = std::panic::catch_unwind(|| {
        cached(&SMALL, root.path(), &|done| {
            assert!(done < 5, "killed");
            Ok(())
        })
    });
    assert!(killed.is_err());
    let manifest = cached(&SMALL, root.path(), &quiet).unwrap();
    assert!(contents(manifest.parent().unwrap()) == contents(corpus(&SMALL).path()));
}

#[test]
fn a_damaged_corpus_is_built_again() {
    let root = TempDir::new().unwrap();
    let manifest = cached(&SMALL, root.path(), &quiet).unwrap();
    let folder = manifest.parent().unwrap();
    let whole = contents(folder);
    fs::remove_file(folder.join("03/3.wav")).unwrap();
    fs::write(folder.join("04/4.wav"), b"RIFF").unwrap();
    assert_eq!(cached(&SMALL, root.path(), &quiet).unwrap(), manifest);
    assert!(contents(folder) == whole);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn concurrent_builds_agree() {
    let root = TempDir::new().unwrap();
    let manifests: Vec<_> = std::thread::scope(|scope| {
        let builds: Vec<_> =
            (0..4).map(|_| scope.spawn(|| cached(&SMALL, root.path(), &quiet).unwrap())).collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    assert!(manifests.iter().all(|manifest| *manifest == manifests[0]));
    assert!(contents(manifests[0].parent().unwrap()) == contents(corpus(&SMALL).path()));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_corpus_of_nothing_is_refused() {
    let root = TempDir::new().unwrap();
    for spec in [
        CorpusSpec { clips: 0, ..SMALL },
        CorpusSpec { clip_seconds: 0.5, ..SMALL },
        CorpusSpec { clip_seconds: f64::NAN, ..SMALL },
    ] {
        assert!(generate(&spec, root.path(), &quiet).is_err());
        assert!(cached(&spec, root.path(), &quiet).is_err());
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

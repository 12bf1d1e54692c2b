//! From a manifest to labelled, split tracks, on manifests that the tests write themselves.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use moodshader::dataset::labels::{Labelled, LabelledTrack, MoodChoice, Unlabelled, counts};
use moodshader::dataset::manifest::{self, Track};
use moodshader::dataset::split::{Split, overlap, share_of, split_hash};
use moodshader::error::{Kind, Result};
use tempfile::TempDir;

const HEADER: &str = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\r\n";

/// Writes `text` as a manifest into a folder of its own and reads it.
fn read(text: &str) -> Result<Vec<Track>> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tracks.tsv");
    fs::write(&path, text).unwrap();
    manifest::read(&path, None).map(|manifest| manifest.tracks)
}

fn tsv(rows: &str) -> Result<Vec<Track>> {
    read(&format!("{HEADER}{rows}"))
}

fn input_error<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Input, "{error}");
    error.to_string()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn jamendo_rows_of_any_width_are_read() {
    let tracks = tsv("track_0000948\tartist_000087\talbum_000149\t48/948.mp3\t212.7\t\
                      mood/theme---happy\tgenre---rock\tmood/theme---dark\r\n\
                      track_0000950\tartist_000088\talbum_000150\t50/950.mp3\t248.0\t\
                      mood/theme---film\r\n")
    .unwrap();
    assert_eq!(tracks.len(), 2);
    assert_eq!(tracks[0].id, "track_0000948");
    assert_eq!(tracks[0].artist.as_deref(), Some("artist_000087"));
    assert_eq!(tracks[0].album.as_deref(), Some("album_000149"));
    assert_eq!(tracks[0].listed, "48/948.mp3");
    assert_eq!(tracks[0].duration, Some(212.7));
    assert_eq!(tracks[0].tags, ["happy", "genre---rock", "dark"]);
    assert_eq!(tracks[1].tags, ["film"]);
}

#[test]
fn a_csv_joins_tags_with_bars() {
    let tracks = read("path,tags\nsongs/a.wav,happy|dark\n\"b, live.wav\",\nc.wav,film|film\n");
    let tracks = tracks.unwrap();
    assert_eq!(tracks[0].listed, "songs/a.wav");
    assert_eq!((&tracks[0].artist, tracks[0].duration), (&None, None));
    assert_eq!(tracks[0].tags, ["happy", "dark"]);
    assert_eq!(tracks[1].listed, "b, live.wav");
    assert!(tracks[1].tags.is_empty());
    assert_eq!(tracks[2].tags, ["film"]);
}

#[test]
fn a_cell_that_says_there_is_nothing_is_no_mood_and_no_artist() {
    let rows = "a.wav,N/A,N/A\nb.wav,nan,NaN\nc.wav,NULL,null\nd.wav,none,None\ne.wav,-,-\n";
    for track in read(&format!("path,mood,artist\n{rows}")).unwrap() {
        assert!(track.tags.is_empty() && track.artist.is_none(), "{track:?}");
    }
    let tracks = read("path,mood\na.wav,N/A | happy\nb.wav,null|null\nc.wav,nano\n").unwrap();
    let tags: Vec<_> = tracks.iter().map(|track| track.tags.join("+")).collect();
    assert_eq!(tags, ["happy", "", "nano"]);
}

#[test]
fn of_two_columns_of_tags_the_one_that_is_not_read_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("list.csv");
    let text =
        "path,mood,tags,artist,albumartist\na.wav,happy,dark,N/A,Anna\nb.wav,film,epic,Ben,Carl\n";
    fs::write(&path, text).unwrap();
    let manifest = manifest::read(&path, None).unwrap();
    assert_eq!(manifest.tracks[0].tags, ["dark"]);
    let [note] = &manifest.notes[..] else { panic!("{:?}", manifest.notes) };
    assert!(note.contains("the tags are those of the column tags; not read: mood"), "{note}");
    // A name that says nothing gives way to one that does.
    let artists: Vec<_> =
        manifest.tracks.iter().filter_map(|track| track.artist.as_deref()).collect();
    assert_eq!(artists, ["Anna", "Ben"]);
}

/// Lists as spreadsheets and other programs write them.
#[test]
fn odd_lists_are_read_as_they_are_meant() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("happy")).unwrap();
    for name in ["happy/a b.wav", "c.wav"] {
        fs::write(at(name), b"").unwrap();
    }
    let address = format!("file://{}", at("happy/a%20b.wav").display());
    let rows =
        format!("path,tags\n{address},happy\nc.wav,dark\n,\nhappy\\a b.wav,love\nc.wav,film\n");
    fs::write(at("list.csv"), rows).unwrap();
    let manifest = manifest::read(&at("list.csv"), None).unwrap();
    let found: Vec<_> =
        manifest.tracks.iter().map(|track| (track.path.clone(), track.tags.join("|"))).collect();
    let song = at("happy/a b.wav");
    assert_eq!(
        found,
        [
            (song.clone(), "happy".to_owned()),
            (at("c.wav"), "dark|film".to_owned()),
            (song, "love".to_owned())
        ]
    );
    assert!(manifest.notes.iter().any(|note| note.contains("1 rows name a track")));
    for (header, said) in [
        ("path,feeling", "(path, feeling) names no tags"),
        ("song,mood", "(song, mood) names no paths"),
    ] {
        fs::write(at("list.csv"), format!("{header}\nc.wav,dark\n")).unwrap();
        let message = input_error(manifest::read(&at("list.csv"), None));
        assert!(message.contains(said), "{message}");
    }
    fs::write(at("song.mp3"), b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\0").unwrap();
    let message = input_error(manifest::read(&at("song.mp3"), None));
    assert!(message.contains("is music (MP3)"), "{message}");
}

/// A link is the file that it leads to.
#[cfg(unix)]
#[test]
fn a_file_in_two_moods_folders_is_one_track() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for mood in ["dark", "happy"] {
        fs::create_dir(at(mood)).unwrap();
    }
    for name in ["dark/a.mp3", "dark/b.mp3"] {
        fs::write(at(name), b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\0").unwrap();
    }
    std::os::unix::fs::symlink(at("dark/a.mp3"), at("happy/a.mp3")).unwrap();
    fs::hard_link(at("dark/b.mp3"), at("happy/other.mp3")).unwrap();
    let manifest = manifest::read(folder.path(), None).unwrap();
    assert_eq!(manifest.tracks.len(), 2);
    assert!(manifest.tracks.iter().all(|track| track.tags == ["dark", "happy"]));
    assert!(manifest.notes.iter().any(|note| note.contains("2 links")), "{:?}", manifest.notes);
}

/// Artists of a duet are on one side with all that either has made.
#[test]
fn a_duet_joins_its_artists() {
    let mut tracks = library(40);
    for (index, track) in tracks.iter_mut().enumerate() {
        if index % 20 == 3 {
            let own = track.track.artist.clone().unwrap();
            track.track.artist = Some(format!("{own}; A{}", index % 40));
        }
    }
    let artists = |side: &[LabelledTrack]| -> HashSet<String> {
        let named = side.iter().filter_map(|track| track.track.artist.as_deref());
        named.flat_map(|artist| artist.split("; ").map(str::to_lowercase)).collect()
    };
    let Split { train, validation } = Split::by_artist(tracks, &[], 0).unwrap();
    assert!(artists(&train).is_disjoint(&artists(&validation)));
}

/// Also where no two tracks have the same moods.
#[test]
fn a_share_of_the_tracks_is_that_share_of_any_kind() {
    let kinds: [&dyn Fn(usize, usize) -> bool; 3] = [
        &|track, mood| track % 8 == mood,
        &|track, mood| track >> mood & 1 == 1,
        &|track, mood| mood < 2 && (track < 4) == (mood == 0),
    ];
    for (kind, has) in kinds.into_iter().enumerate() {
        let tracks: Vec<LabelledTrack> = (0..200)
            .zip(library(100))
            .map(|(track, labelled)| {
                let targets = (0..8).map(|mood| has(track, mood)).collect();
                LabelledTrack { targets, ..labelled }
            })
            .collect();
        let share = |share: f64| -> Vec<String> {
            share_of(tracks.clone(), share).into_iter().map(|track| track.track.id).collect()
        };
        let [none, quarter, half, all] = [0.0, 0.25, 0.5, 1.0].map(share);
        assert!(none.len() == 1 && all.len() == 200, "{kind}");
        assert!((40..=60).contains(&quarter.len()), "{kind}: {}", quarter.len());
        assert!((85..=115).contains(&half.len()), "{kind}: {}", half.len());
        let inside = |few: &[String], many: &[String]| few.iter().all(|id| many.contains(id));
        assert!(inside(&none, &quarter) && inside(&quarter, &half) && inside(&half, &all));
    }
}

#[test]
fn a_quote_that_is_not_closed_swallows_no_rows() {
    let message =
        input_error(read("path,tags\na.wav,happy\nb.wav,\"dark\nc.wav,film\nd.wav,epic\n"));
    assert!(message.contains("line 3") && message.contains("quote"), "{message}");
    // In any column, though another quote closes it later.
    for (text, line) in [
        ("path,tags\na.wav,film\n\"b.wav,dark\nc.wav,dark\n\"d.wav\",dark\n", 3),
        ("path,tags,artist\na.wav,film,\"Foo\nb.wav,dark,\nc.wav,dark,\n", 2),
        // The next quote opens a cell that is the first of its row.
        ("title,path,tags\n\"A\",a.wav,film\n\"B,b.wav,dark\n\"C\",c.wav,dark\n", 3),
        ("path,tags\r\na.wav,film\r\n\"b.wav,dark\r\n\"c.wav\",dark\r\n", 3),
    ] {
        let message = input_error(read(text));
        assert!(
            message.contains(&format!("line {line}")) && message.contains("quote"),
            "{message}"
        );
    }
    assert_eq!(read("path,tags\n\"a\nb.wav\",\"happy\"\n").unwrap()[0].listed, "a\nb.wav");
    // Quotes in a cell are written twice, and those of a cell that does not begin with one are letters.
    let tracks = read("path,tags\n\"a \"\"b\"\".wav\" ,film\n12\" mix.wav,\"dark\"\n").unwrap();
    assert_eq!([&*tracks[0].listed, &*tracks[1].listed], ["a \"b\".wav", "12\" mix.wav"]);
}

#[test]
fn lines_are_counted_alike_whatever_ends_them() {
    for end in ["\n", "\r\n"] {
        let text = ["path,tags", "a.wav,film", "", "b.wav,film,x", ""].join(end);
        let message = input_error(read(&text));
        assert!(message.contains("line 4"), "{end:?}: {message}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(read("\u{feff}path,tags\r\na.wav,happy\r\n").unwrap()[0].tags, ["happy"]);
    assert_eq!(read(&format!("\u{feff}{HEADER}t\ta\tb\tc.wav\t\thappy")).unwrap()[0].id, "t");
}

#[test]
fn paths_start_at_the_audio_root_or_at_the_manifest() {
    let folder = TempDir::new().unwrap();
    let root = std::path::absolute(folder.path()).unwrap();
    let manifest = root.join("lists/tracks.csv");
    fs::create_dir_all(root.join("lists")).unwrap();
    fs::create_dir_all(root.join("audio")).unwrap();
    fs::write(&manifest, "path,tags\nx/a.wav,happy\n").unwrap();

    let path = |audio_root: Option<&Path>| {
        manifest::read(&manifest, audio_root).unwrap().tracks.remove(0).path
    };
    assert_eq!(path(None), root.join("lists/x/a.wav"));
    assert_eq!(path(Some(&root.join("audio"))), root.join("audio/x/a.wav"));

    let message = input_error(manifest::read(&manifest, Some(&root.join("nowhere"))));
    assert!(message.contains("nowhere") && message.contains("--audio-root"), "{message}");
}

#[test]
fn the_low_quality_download_stands_in_for_a_missing_file() {
    let folder = TempDir::new().unwrap();
    let root = std::path::absolute(folder.path()).unwrap();
    let manifest = root.join("tracks.tsv");
    fs::write(
        &manifest,
        format!(
            "{HEADER}t1\ta\tb\t1.mp3\t1\thappy\nt2\ta\tb\t2.mp3\t1\thappy\nt3\ta\tb\t3.mp3\t1\n"
        ),
    )
    .unwrap();
    for file in ["1.low.mp3", "2.mp3", "2.low.mp3"] {
        fs::write(root.join(file), b"").unwrap();
    }
    let tracks = manifest::read(&manifest, None).unwrap().tracks;
    let paths: Vec<_> = tracks.iter().map(|track| track.path.clone()).collect();
    assert_eq!(paths, ["1.low.mp3", "2.mp3", "3.mp3"].map(|name| root.join(name)));
    assert_eq!(tracks[0].listed, "1.mp3");
}

/// macOS writes é as two characters, others as one.
#[test]
fn names_that_are_the_same_to_the_eye_name_the_same_file() {
    let (one, two) = ("caf\u{e9}", "cafe\u{301}");
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    for name in [format!("{one}.wav"), format!("{two}/{one}/a.wav"), format!("{one} 2/{two}.wav")] {
        fs::create_dir_all(root.join(&name).parent().unwrap()).unwrap();
        fs::write(root.join(name), b"RIFF\0\0\0\0WAVE").unwrap();
    }
    let listed = [format!("{two}.wav"), format!("{one}/{two}/a.wav"), format!("{two} 2/{one}.wav")];
    let manifest = root.join("list.csv");
    let rows: Vec<String> = listed.iter().map(|path| format!("{path},happy\n")).collect();
    fs::write(&manifest, format!("path,tags\n{}", rows.concat())).unwrap();
    let tracks = manifest::read(&manifest, None).unwrap().tracks;
    assert!(tracks.iter().all(|track| track.path.is_file()), "{tracks:?}");
    assert!(tracks.iter().map(|track| &track.listed).eq(&listed));
}

/// What is not sure is told.
#[cfg(target_os = "linux")]
#[test]
fn an_error_tells_of_files_of_nearly_that_name() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    // Three ways to write a letter with two accents; and another case without any.
    for name in ["Vi\u{1ec7}t.wav", "Vie\u{323}\u{302}t.wav", "Song.wav", "other.wav"] {
        fs::write(root.join(name), "").unwrap();
    }
    let manifest = root.join("list.csv");
    let rows = "Vi\u{ea}\u{323}t.wav,happy\ns\u{f6}ng.WAV,dark\ngone.wav,dark\n";
    fs::write(&manifest, format!("path,tags\n{rows}")).unwrap();
    let tracks = manifest::read(&manifest, None).unwrap().tracks;
    assert!(tracks.iter().all(|track| !track.path.exists()), "{tracks:?}");
    let errors: Vec<String> = moodshader::dataset::check::check(&[tracks], 1.0, &|_| ())
        .unwrap()
        .unreadable
        .into_iter()
        .map(|(_, error)| error.to_string())
        .collect();
    let told = |words: &str| errors.iter().filter(|error| error.contains(words)).count();
    assert_eq!(told("No such file"), 3, "{errors:?}");
    assert_eq!(told("Vie\u{323}\u{302}t.wav, Vi\u{1ec7}t.wav are there"), 1, "{errors:?}");
    assert_eq!(told("Song.wav is there"), 1, "{errors:?}");
}

#[test]
fn a_folder_a_mood_is_a_manifest() {
    let folder = TempDir::new().unwrap();
    for (file, content) in [
        ("happy/b.wav", &b"RIFF\0\0\0\0WAVE"[..]),
        ("happy/a.wav", b"RIFF\0\0\0\0WAVE"),
        ("happy/cover.txt", b"not audio"),
        ("dark/a.wav", b"RIFF\0\0\0\0WAVE"),
        ("dark/album/happy/a.wav", b"RIFF\0\0\0\0WAVE"),
        ("dark/album/notes.txt", b"not audio"),
        ("dark/@eaDir/a.wav", b"RIFF\0\0\0\0WAVE"),
        (".Trash-1000/files/a.wav", b"RIFF\0\0\0\0WAVE"),
        ("loose.wav", b"RIFF\0\0\0\0WAVE"),
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let manifest::Manifest { tracks, notes, unlisted } =
        manifest::read(folder.path(), None).unwrap();
    let rows: Vec<_> = tracks.iter().map(|t| (t.listed.as_str(), &*t.tags)).collect();
    let (dark, happy) = (&["dark".to_owned()][..], &["happy".to_owned()][..]);
    let expected = [
        ("dark/a.wav", dark),
        ("dark/album/happy/a.wav", dark),
        ("happy/a.wav", happy),
        ("happy/b.wav", happy),
    ];
    assert_eq!(rows, expected);
    let [bins, loose] = &notes[..] else { panic!("{notes:?}") };
    assert!(bins.starts_with("passed over 2 rubbish bins"), "{bins}");
    assert!(loose.contains("1 audio file that lies in no folder of a mood"), "{loose}");
    assert!(loose.contains("loose.wav"), "{loose}");
    assert!(unlisted.is_empty());
    assert!(tracks.iter().all(|track| track.path.is_file()));

    let message = input_error(manifest::read(&folder.path().join("happy"), None));
    assert!(message.contains("happy"), "{message}");
}

#[test]
fn errors_name_the_file_the_line_and_the_cause() {
    for (text, line, cause) in [
        (format!("{HEADER}t1\ta\tb\tc.wav\n"), 2, "4 columns"),
        (format!("{HEADER}t1\ta\tb\tc.wav\t3:20\thappy\n"), 2, "3:20"),
        (format!("{HEADER}t1\ta\tb\tc.wav\t-1\thappy\n"), 2, "-1"),
        (format!("{HEADER}t1\ta\tb\t\t1\thappy\n"), 2, "PATH is empty"),
        (format!("{HEADER}\n\nt1\ta\tb\tc\t1\nt1\ta\tb\td\t1\n"), 5, "line 4"),
        ("TRACK_ID\tARTIST_ID\n".to_owned(), 1, "header"),
        ("song,feeling\na,b\n".to_owned(), 1, "path,tags"),
        (String::new(), 1, "path,tags"),
        ("path,tags\na.wav,happy\nb.wav,dark,film\n".to_owned(), 3, "joined by |"),
        ("path,tags\na.wav,happy\n,dark\n".to_owned(), 3, "path is empty"),
        ("path,tags,artist\na.wav,happy,Anna\na.wav,dark,Ben\n".to_owned(), 3, "line 2"),
    ] {
        let message = input_error(read(&text));
        let place = format!("tracks.tsv, line {line}: ");
        assert!(message.contains(&place) && message.contains(cause), "{text:?}: {message}");
    }
    assert!(input_error(read(HEADER)).contains("lists no track"));
    assert!(input_error(manifest::read(Path::new("no/such.tsv"), None)).contains("no/such.tsv"));
    // A bare name lies in the current folder, which is that of Cargo.toml here.
    let message = input_error(manifest::read(Path::new("Cargo.toml"), None));
    assert!(message.contains("Cargo.toml, line 1: "), "{message}");
}

#[test]
fn text_that_is_not_utf8_names_its_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("latin.csv");
    fs::write(&path, b"path,tags\na.wav,happy\ncaf\xe9.wav,dark\n").unwrap();
    assert!(input_error(manifest::read(&path, None)).contains("latin.csv, line 3: "));
}

#[test]
fn other_tags_are_ignored_and_other_tracks_counted() {
    let tracks = read("path,tags\na,dark|happy\nb,film\nc,happy\nd,\n").unwrap();
    let labelled =
        Labelled::new(tracks, &names(&["happy", "dark", "epic"]), Unlabelled::LeftOut).unwrap();
    let targets: Vec<_> = labelled.tracks.iter().map(|t| t.targets.clone()).collect();
    assert_eq!(targets, [vec![true, true, false], vec![true, false, false]]);
    assert_eq!(labelled.left_out, 2);
    assert_eq!(counts(&labelled.tracks), [2, 1, 0]);
    assert_eq!(labelled.warning.as_deref(), Some("no track has the mood epic"));
}

#[test]
fn all_moods_are_the_sorted_tags() {
    let tracks = read("path,tags\na,dark|happy\nb,film|dark\n").unwrap();
    let labels = MoodChoice::parse("all").unwrap().labels(&tracks).unwrap();
    assert_eq!(labels, ["dark", "film", "happy"]);
}

#[test]
fn named_moods_keep_their_order_and_must_exist() {
    let tracks = read("path,tags\na,dark|happy\nb,film|heavy\n").unwrap();
    let labels = MoodChoice::parse("happy, dark").unwrap().labels(&tracks).unwrap();
    assert_eq!(labels, ["happy", "dark"]);

    let message = input_error(MoodChoice::parse("dark,hapy").unwrap().labels(&tracks));
    assert!(message.contains("the mood hapy; there are happy, heavy, "), "{message}");

    for wrong in ["happy,,dark", "", "happy,happy"] {
        input_error(MoodChoice::parse(wrong));
    }
}

#[test]
fn a_preset_mood_without_tracks_is_no_error() {
    let tracks = read("path,tags\na,happy\n").unwrap();
    let choice = MoodChoice::Preset(names(&["happy", "love"]));
    assert_eq!(choice.labels(&tracks).unwrap(), ["happy", "love"]);

    let message = input_error(Labelled::new(tracks, &names(&["love"]), Unlabelled::LeftOut));
    assert!(message.contains("love") && message.contains("there are happy"), "{message}");
}

/// Tracks by artists of uneven output, each artist with moods of their own.
fn library(artists: usize) -> Vec<LabelledTrack> {
    let mut rows = String::new();
    for artist in 0..artists {
        for song in 0..1 + artist * 7 % 9 {
            let mood = ["happy", "dark", "film", "love"][(artist + song / 3) % 4];
            rows += &format!("t{artist}-{song}\ta{artist}\tb\t{artist}/{song}.wav\t30\t{mood}\n");
        }
    }
    let labels = names(&["happy", "dark", "film", "love"]);
    Labelled::new(tsv(&rows).unwrap(), &labels, Unlabelled::LeftOut).unwrap().tracks
}

fn ids(tracks: &[LabelledTrack]) -> Vec<&str> {
    tracks.iter().map(|labelled| labelled.track.id.as_str()).collect()
}

#[test]
fn a_split_keeps_artists_apart_and_moods_balanced() {
    let tracks = library(100);
    for seed in 0..5 {
        let Split { train, validation } = Split::by_artist(tracks.clone(), &[], seed).unwrap();
        assert_eq!(train.len() + validation.len(), tracks.len());
        let artists = |side: &[LabelledTrack]| -> HashSet<String> {
            side.iter().filter_map(|labelled| labelled.track.artist.clone()).collect()
        };
        assert!(artists(&train).is_disjoint(&artists(&validation)));
        for mood in 0..4 {
            let count = |side: &[LabelledTrack]| side.iter().filter(|t| t.targets[mood]).count();
            let share = count(&validation) as f64 / count(&tracks) as f64;
            assert!((share - 0.2).abs() < 0.02, "seed {seed}, mood {mood}: {share}");
        }
    }
}

#[test]
fn an_artist_in_several_spellings_is_one() {
    let songs = |artist: &str, first: usize| -> String {
        let song = |n| format!("{n}.wav,{},{artist}\n", ["dark", "happy"][n % 2]);
        (first..first + 8).map(song).collect()
    };
    let mut rows = "path,mood,artist\n".to_owned();
    for (at, artist) in ["Anna", "ANNA", " anna ", "Ben", "Carl", "Dora", "Eva"].iter().enumerate()
    {
        rows += &songs(artist, 8 * at);
    }
    let labels = names(&["dark", "happy"]);
    let tracks = Labelled::new(read(&rows).unwrap(), &labels, Unlabelled::LeftOut).unwrap().tracks;
    for seed in 0..8 {
        let Split { train, validation } = Split::by_artist(tracks.clone(), &[], seed).unwrap();
        let artists = |side: &[LabelledTrack]| -> HashSet<String> {
            side.iter().map(|track| track.track.artist.clone().unwrap().to_lowercase()).collect()
        };
        assert!(artists(&train).is_disjoint(&artists(&validation)), "seed {seed}");
    }
}

#[test]
fn a_rare_mood_is_on_both_sides() {
    let mut rows: String = (0..40).map(|n| format!("song{n:02}.wav,happy\n")).collect();
    rows += "rare1.wav,love\nrare2.wav,love\n";
    let tracks = read(&format!("path,tags\n{rows}")).unwrap();
    let tracks =
        Labelled::new(tracks, &names(&["happy", "love"]), Unlabelled::LeftOut).unwrap().tracks;
    for seed in 0..10 {
        let Split { train, validation } = Split::by_artist(tracks.clone(), &[], seed).unwrap();
        for side in [train, validation] {
            assert!(side.iter().any(|t| t.targets[1]), "seed {seed}");
        }
    }
}

#[test]
fn a_split_depends_on_the_seed_and_not_on_the_order() {
    let tracks = library(60);
    let mut reversed = tracks.clone();
    reversed.reverse();
    let split = Split::by_artist(tracks.clone(), &[], 7).unwrap();
    let again = Split::by_artist(reversed, &[], 7).unwrap();
    let other = Split::by_artist(tracks, &[], 8).unwrap();

    let mut backwards = ids(&again.validation);
    backwards.reverse();
    assert_eq!(ids(&split.validation), backwards);
    assert_ne!(ids(&split.validation), ids(&other.validation));

    let labels = names(&["happy", "dark", "film", "love"]);
    let hash = |split: &Split| split_hash(&labels, &split.train, &split.validation);
    assert_eq!(hash(&split), hash(&again));
    assert_ne!(hash(&split), hash(&other));
    assert_ne!(hash(&split), split_hash(&labels, &split.validation, &split.train));
    let renamed = names(&["happy", "dark", "film", "sad"]);
    assert_ne!(hash(&split), split_hash(&renamed, &split.train, &split.validation));
}

#[test]
fn a_split_hash_does_not_depend_on_where_the_audio_lies() {
    let labels = names(&["happy"]);
    let hash = || {
        let tracks = read("path,tags\na.wav,happy\nb.wav,happy\n").unwrap();
        let mut tracks = Labelled::new(tracks, &labels, Unlabelled::LeftOut).unwrap().tracks;
        let validation = tracks.split_off(1);
        split_hash(&labels, &tracks, &validation)
    };
    assert_eq!(hash(), hash()); // each reads its manifest in another folder
    assert_eq!(hash().len(), 64);
}

#[test]
fn one_artist_cannot_be_split() {
    let rows = "t1\ta\tb\t1.wav\t1\thappy\nt2\ta\tb\t2.wav\t1\thappy\n";
    let tracks =
        Labelled::new(tsv(rows).unwrap(), &names(&["happy"]), Unlabelled::LeftOut).unwrap().tracks;
    let message = input_error(Split::by_artist(tracks, &[], 0));
    assert!(message.contains("artist") && message.contains("--validation"), "{message}");
}

#[test]
fn overlap_counts_tracks_known_by_id_or_file() {
    let labels = names(&["happy"]);
    let label =
        |tracks: Vec<Track>| Labelled::new(tracks, &labels, Unlabelled::LeftOut).unwrap().tracks;
    let one = label(tsv("t1\ta\tb\t1.wav\t1\thappy\nt2\ta\tb\t2.wav\t1\thappy\n").unwrap());
    let two = label(tsv("t2\ta\tb\tmoved.wav\t1\thappy\nt3\ta\tb\t3.wav\t1\thappy\n").unwrap());
    assert_eq!(overlap(&one, &two), 1);
    assert_eq!(overlap(&one, &one), 2);

    // The same relative path in another folder is another file.
    let here = label(read("path,tags\na.wav,happy\n").unwrap());
    let there = label(read("path,tags\na.wav,happy\n").unwrap());
    assert_eq!(overlap(&here, &there), 0);
    assert_eq!(overlap(&here, &here), 1);
}

//! Manifests: lists of tracks with their tags.
//!
//! Three forms are read; the content decides which, not the ending:
//!
//! - MTG-Jamendo's TSV as published: a header `TRACK_ID ARTIST_ID ALBUM_ID PATH DURATION TAGS`, then
//!   one row a track with one tag in each further column, so that rows vary in width;
//! - a CSV with a column of paths and one of tags, under any of their usual names ([`PATHS`], [`TAGS`]),
//!   separated by commas, semicolons or tabs; several tags in a cell are joined by `|`, `,` or `;`, and
//!   `N/A` and the like (`NOTHING`) are none.
//!   Columns of artists and albums are read, others are not;
//! - a folder with one folder of audio files a mood, which may lie in further folders there. A file
//!   that is no audio is passed over, unless its name has an audio ending: that one is listed, and
//!   found unusable when it is read.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::synthetic;
use crate::audio::{Unlisted, format_of, names_somebody, walk_each};
use crate::error::{Error, Result};
use crate::files::{ByLetters, address_path, identity, names_note, path_from_text, path_text};

/// MTG-Jamendo marks the family of each tag; this family is what a mood tagger is about.
const MOOD_PREFIX: &str = "mood/theme---";

const TSV_HEADER: [&str; 6] = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"];

/// What a TSV begins with.
const TSV_BEGIN: &str = "TRACK_ID\t";

/// Bytes that tell what a manifest is: a byte order mark and that.
const HEAD: u64 = 3 + TSV_BEGIN.len() as u64;

/// Names of the column of audio files, without regard to case.
pub const PATHS: [&str; 9] = [
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "audio",
    "audio_path",
    "location",
];

/// Names of the column of tags.
pub const TAGS: [&str; 8] =
    ["tags", "tag", "moods", "mood", "labels", "label", "emotions", "emotion"];

/// Names of the column of artists, ...
const ARTISTS: [&str; 7] =
    ["artist", "artist_id", "artists", "artist_name", "albumartist", "album_artist", "performer"];
/// ... and of albums.
const ALBUMS: [&str; 4] = ["album", "album_id", "albums", "album_title"];

/// What stands in place of a name in a CSV, without regard to case, where there is nothing to say.
const NOTHING: [&str; 8] = ["n/a", "#n/a", "na", "<na>", "nan", "null", "none", "-"];

/// What stands between the tags of a cell.
const BETWEEN_TAGS: [char; 3] = ['|', ',', ';'];

/// One row of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Unique in its manifest. Where the manifest has no ids, the same as `listed`.
    pub id: String,
    /// Id of the artist, where the manifest has one.
    pub artist: Option<String>,
    /// Id of the album, where the manifest has one.
    pub album: Option<String>,
    /// The audio file, absolute. Whether it exists is found out when it is read.
    pub path: PathBuf,
    /// The audio file as the manifest writes it.
    pub listed: String,
    /// In seconds, as the manifest says.
    pub duration: Option<f64>,
    /// Without the prefix `mood/theme---`; other families keep theirs (`genre---rock`).
    pub tags: Vec<String>,
}

/// What a manifest says.
#[derive(Debug, Default)]
pub struct Manifest {
    /// In its order, that of names where it is a folder; at least one.
    pub tracks: Vec<Track>,
    /// Sentences about what was passed over.
    pub notes: Vec<String>,
    /// Folders of a mood; the rest is there.
    pub unlisted: Vec<Unlisted>,
}

impl Manifest {
    /// The tracks alone, where it is enough to `tell` people of all else.
    pub fn tell(self, tell: impl Fn(&str)) -> Vec<Track> {
        self.notes.iter().for_each(|note| tell(note));
        for (_, error) in self.unlisted {
            tell(&format!("warning: {error}; what is in it is left out"));
        }
        self.tracks
    }
}

/// Whether the manifest is of one's own making, a CSV or a folder, and not a TSV as MTG-Jamendo
/// publishes them, whose tags are of many families.
///
/// # Errors
/// It cannot be read.
pub fn is_own(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return Ok(true);
    }
    let mut bytes = Vec::new();
    let head = fs::File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut bytes));
    head.map_err(|error| Error::io("read", path, &error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(!bytes.starts_with(TSV_BEGIN.as_bytes()))
}

/// Reads the manifest at `path`. Relative audio paths start at `audio_root`, else at the folder of
/// the manifest.
///
/// # Errors
/// The manifest or `audio_root` cannot be read; a line is damaged, or a track is listed twice (the
/// message names the line); no track is listed.
pub fn read(path: &Path, audio_root: Option<&Path>) -> Result<Manifest> {
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|error| Error::io("find", path, &error));
    let root = match audio_root {
        Some(root) if root.is_dir() => absolute(root)?,
        Some(root) => {
            return Err(Error::input(format!(
                "the audio root {} is not a folder; --audio-root names the folder that the \
                 manifest's paths start from",
                root.display()
            )));
        }
        None => absolute(path)?.parent().map(Path::to_owned).unwrap_or_default(),
    };
    if path.is_dir() {
        return read_folder(path);
    }
    let (tracks, notes) = read_file(path, &root)?;
    if tracks.is_empty() {
        return Err(Error::input(format!(
            "{} lists no track: there is a header and no row; name a manifest with tracks",
            path.display()
        )));
    }
    Ok(Manifest { tracks, notes, ..Manifest::default() })
}

/// The tracks, and sentences about what was passed over.
fn read_file(path: &Path, root: &Path) -> Result<(Vec<Track>, Vec<String>)> {
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, &error))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        if let Ok(Some(format)) = format_of(path) {
            return Error::input(format!(
                "{} is music ({format}) and no manifest; name a folder with a folder for each mood, or a CSV that \
                 lists files and tags",
                path.display()
            ));
        }
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        at(path, line, "it is not UTF-8 text; save the manifest as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header = text.lines().next().unwrap_or_default();
    let is_csv = !header.starts_with(TSV_BEGIN);
    let (rows, mut notes) = match is_csv {
        true => read_csv(path, text)?,
        false => (read_tsv(path, text)?, Vec::new()),
    };

    let mut tracks: Vec<Track> = Vec::with_capacity(rows.len());
    let mut lines = HashMap::with_capacity(rows.len());
    let mut again = 0;
    let mut by_letters = ByLetters::default();
    for (line, mut track) in rows {
        if let Some(&(first, place)) = lines.get(&track.id) {
            let known: &mut Track = &mut tracks[place];
            if !is_csv || (&known.artist, &known.album) != (&track.artist, &track.album) {
                let cause =
                    format!("track {} is already listed in line {first}; remove one", track.id);
                return Err(at(path, line, &cause));
            }
            // Some lists have a row for each tag.
            track.tags.retain(|tag| !known.tags.contains(tag));
            known.tags.append(&mut track.tags);
            again += 1;
            continue;
        }
        lines.insert(track.id.clone(), (line, tracks.len()));
        track.path = locate(root, &track.listed, &mut by_letters);
        tracks.push(track);
    }
    if again > 0 {
        notes.push(format!(
            "{}: {again} rows name a track of a row before; their tags are joined",
            path.display()
        ));
    }
    Ok((tracks, notes))
}

/// A row and the number of its line.
type Row = (usize, Track);

fn read_tsv(path: &Path, text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        let cells: Vec<&str> = row.split('\t').map(str::trim).collect();
        if line == 1 {
            if cells != TSV_HEADER {
                let cause = format!("the header of a TSV manifest is {}", TSV_HEADER.join(" "));
                return Err(at(path, line, &cause));
            }
            continue;
        }
        if cells == [""] {
            continue;
        }
        let [id, artist, album, listed, duration, tags @ ..] = cells.as_slice() else {
            let cause = format!(
                "{} columns where at least 6 belong ({}), separated by tabs",
                cells.len(),
                TSV_HEADER.join(" ")
            );
            return Err(at(path, line, &cause));
        };
        for (name, cell) in [("TRACK_ID", id), ("PATH", listed)] {
            if cell.is_empty() {
                return Err(at(path, line, &format!("{name} is empty")));
            }
        }
        let known = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
        let track = Track {
            id: (*id).to_owned(),
            artist: known(artist),
            album: known(album),
            path: PathBuf::new(),
            listed: (*listed).to_owned(),
            duration: parse_duration(duration).map_err(|cause| at(path, line, &cause))?,
            tags: clean_tags(tags.iter().copied()),
        };
        rows.push((line, track));
    }
    Ok(rows)
}

fn parse_duration(cell: &str) -> Result<Option<f64>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds)),
        _ => Err(format!("the duration {cell:?} is not a number of seconds")),
    }
}

/// The rows, and sentences about columns that are not read.
fn read_csv(path: &Path, text: &str) -> Result<(Vec<Row>, Vec<String>)> {
    let first_line = text.lines().next().unwrap_or_default();
    let separator = separator_of(first_line);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    if let Some(line) = stray_quote(text.as_bytes(), separator) {
        let cause = "a cell begins with a quote and does not end with one: close it, or write every quote \
                     inside it twice";
        return Err(at(path, line, cause));
    }
    let header = reader.headers().map_err(|error| csv_error(path, text, &error))?.clone();
    let columns = |names: &[&str]| -> Vec<usize> {
        let plain = |cell: &str| cell.to_lowercase().replace([' ', '-'], "_");
        let places = |name: &&str| header.iter().position(|cell| plain(cell) == **name);
        names.iter().filter_map(places).collect()
    };
    let (paths, tags) = (columns(&PATHS), columns(&TAGS));
    let (&[path_column, ..], &[tags_column, ..]) = (&*paths, &*tags) else {
        let missing = match (paths.is_empty(), tags.is_empty()) {
            (true, true) => "neither paths nor tags",
            (true, false) => "no paths",
            _ => "no tags",
        };
        let cause = format!(
            "the header ({}) names {missing}; a manifest begins with a header such as path,tags (CSV) or with \
             MTG-Jamendo's {} (TSV); paths stand under one of {}, tags under one of {}",
            header.iter().collect::<Vec<_>>().join(", "),
            TSV_HEADER.join(" "),
            PATHS.join(", "),
            TAGS.join(", ")
        );
        return Err(at(path, 1, &cause));
    };
    let names =
        |columns: &[usize]| columns.iter().map(|&at| &header[at]).collect::<Vec<_>>().join(", ");
    let notes = [("paths", &paths), ("tags", &tags)].into_iter().filter_map(|(what, columns)| {
        let others = columns.get(1..).filter(|others| !others.is_empty())?;
        Some(format!(
            "{}: the {what} are those of the column {}; not read: {}",
            path.display(),
            &header[columns[0]],
            names(others)
        ))
    });
    let notes = notes.collect();
    let (artist_columns, album_columns) = (columns(&ARTISTS), columns(&ALBUMS));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, text, &error))?;
        let line = record.position().map_or(1, |position| line_of(text, position));
        let listed = &record[path_column];
        // Spreadsheets have such rows behind the last.
        if record.iter().all(str::is_empty) {
            continue;
        }
        if listed.is_empty() {
            return Err(at(path, line, "the path is empty"));
        }
        // A quote that is not closed takes in all rows behind it, up to the next one.
        let swallows = |cell: &str| {
            cell.split_once('\n').is_some_and(|(_, more)| more.contains(char::from(separator)))
        };
        if let Some(column) = record.iter().position(swallows) {
            let name = header.get(column).unwrap_or_default();
            let cause = format!(
                "the cell of `{name}` goes on over several lines: close its quote, or write it in one"
            );
            return Err(at(path, line, &cause));
        }
        if record[tags_column].contains('\n') {
            return Err(at(path, line, "the tags go on over several lines: close the quote"));
        }
        let says = |cell: &&str| !cell.is_empty() && !NOTHING.contains(&&*cell.to_lowercase());
        // The first that says something.
        let known = |columns: &[usize]| -> Option<String> {
            columns.iter().map(|&column| &record[column]).find(says).map(str::to_owned)
        };
        let tags = record[tags_column].split(BETWEEN_TAGS).filter(|tag| says(&tag.trim()));
        let track = Track {
            id: listed.to_owned(),
            artist: known(&artist_columns).filter(|name| names_somebody(name)),
            album: known(&album_columns),
            path: PathBuf::new(),
            listed: listed.to_owned(),
            duration: None,
            tags: clean_tags(tags),
        };
        rows.push((line, track));
    }
    Ok((rows, notes))
}

/// The first of comma, semicolon and tab that the header has outside quotes; spreadsheets of many
/// countries write semicolons.
fn separator_of(header: &str) -> u8 {
    let mut quoted = false;
    let separator = header.bytes().find(|byte| {
        quoted ^= *byte == b'"';
        !quoted && b",;\t".contains(byte)
    });
    separator.unwrap_or(b',')
}

/// The line on which a quoted cell begins that has more behind its last quote, or no last quote. A quote
/// that is not closed ends at the next one, which opens another cell: what follows it tells.
fn stray_quote(text: &[u8], separator: u8) -> Option<usize> {
    let (mut line, mut begins, mut at) = (1, true, 0);
    while let Some(&byte) = text.get(at) {
        if begins && byte == b'"' {
            let start = line;
            loop {
                at += 1;
                match (text.get(at)?, text.get(at + 1)) {
                    (b'"', Some(b'"')) => at += 1,
                    (b'"', None) => return None,
                    (b'"', Some(&next)) if next == separator || b" \r\n".contains(&next) => break,
                    (b'"', Some(_)) => return Some(start),
                    (byte, next) => {
                        line += usize::from(*byte == b'\n');
                        if next.is_none() {
                            return Some(start);
                        }
                    }
                }
            }
        }
        line += usize::from(byte == b'\n');
        begins = byte == separator || byte == b'\n';
        at += 1;
    }
    None
}

/// The reader counts a line when it reads its end; of two letters that end one, the second is read with the
/// next record.
fn line_of(text: &str, position: &csv::Position) -> usize {
    let behind = text.as_bytes().get(position.byte() as usize..).unwrap_or_default();
    let ends = behind.iter().take_while(|byte| b"\r\n".contains(byte));
    position.line() as usize + ends.filter(|byte| **byte == b'\n').count()
}

fn csv_error(path: &Path, text: &str, error: &csv::Error) -> Error {
    let line = error.position().map_or(1, |position| line_of(text, position));
    let cause = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "{len} columns where the header has {expected_len}; tags are joined by | (or stand in double \
             quotes), and so does a path with a comma"
        ),
        _ => error.to_string(),
    };
    at(path, line, &cause)
}

/// Every folder right inside `path` is a mood, every audio file in it, however deep, a track.
fn read_folder(path: &Path) -> Result<Manifest> {
    let manifest = path.join(synthetic::MANIFEST);
    if manifest.is_file() {
        return Err(Error::input(format!(
            "{} holds a manifest, and its folders may be no moods; name {} instead of the folder",
            path.display(),
            manifest.display()
        )));
    }
    let mut tracks: Vec<Track> = Vec::new();
    // A file under several names is one track.
    let (mut known, mut joined) = (HashMap::new(), 0);
    let (moods, mut aside) = walk_each(path)?;
    for (mood, mut found) in moods {
        let tag = path_text(Path::new(mood.file_name().unwrap_or_default()));
        let mut files = std::mem::take(&mut found.files);
        // Told where they are read.
        files.append(&mut found.passed_over);
        files.sort();
        aside.extend(found);
        for file in files {
            if let Some(&first) = identity(&file).as_ref().and_then(|file| known.get(file)) {
                let track: &mut Track = &mut tracks[first];
                if !track.tags.contains(&tag) {
                    track.tags.extend(clean_tags([&*tag]));
                    joined += 1;
                }
                continue;
            }
            known.extend(identity(&file).map(|file| (file, tracks.len())));
            let listed = file.strip_prefix(path).unwrap_or(&file);
            let listed = path_text(listed).replace(std::path::MAIN_SEPARATOR, "/");
            tracks.push(Track {
                id: listed.clone(),
                artist: None,
                album: None,
                path: std::path::absolute(&file)
                    .map_err(|error| Error::io("find", &file, &error))?,
                listed,
                duration: None,
                tags: clean_tags([&*tag]),
            });
        }
    }
    if tracks.is_empty() {
        return Err(aside.explain(Error::input(format!(
            "{} is a folder without audio files in folders named after moods",
            path.display()
        ))));
    }
    let joined = (joined > 0).then(|| {
        format!("{joined} links name a file of another mood's folder: it is one track, with the moods of both")
    });
    let names = names_note(tracks.iter().map(|track| &track.path));
    let notes = aside.notes().chain(names).chain(joined).collect();
    Ok(Manifest { tracks, notes, unlisted: aside.unlisted })
}

/// The audio file that a row names. MTG-Jamendo's low-quality download calls `48/948.mp3`
/// `48/948.low.mp3`; it is taken where only it exists. So is the file of which [`path_text`] gave the
/// row's path, the one of a path with Windows' separators, and the only one whose name is the same to the eye.
fn locate(root: &Path, listed: &str, by_letters: &mut ByLetters) -> PathBuf {
    let path = address_path(listed).unwrap_or_else(|| root.join(listed));
    if path.exists() {
        return path;
    }
    let of_windows = root.join(listed.replace('\\', "/"));
    if of_windows.exists() {
        return of_windows;
    }
    let low = path.extension().map(|ending| {
        let mut low_ending = std::ffi::OsString::from("low.");
        low_ending.push(ending);
        path.with_extension(low_ending)
    });
    let from_text = root.join(path_from_text(listed));
    let exact = low.into_iter().chain([from_text]).find(|path| path.exists());
    exact.or_else(|| by_letters.find(root, Path::new(listed))).unwrap_or(path)
}

/// Drops the mood prefix, empty cells and repetitions; keeps the order.
fn clean_tags<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut tags = Vec::new();
    let mut known = HashSet::new();
    for cell in cells {
        let tag = cell.trim();
        let tag = tag.strip_prefix(MOOD_PREFIX).unwrap_or(tag);
        if !tag.is_empty() && known.insert(tag) {
            tags.push(tag.to_owned());
        }
    }
    tags
}

fn at(path: &Path, line: usize, cause: &str) -> Error {
    Error::input(format!("{}, line {line}: {cause}", path.display()))
}

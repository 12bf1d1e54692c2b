//! `moodshader dataset`: what is in the manifests, and whether it can be used.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{Format, list_errors, to_json};
use crate::audio::{Unlisted, format_of, passed_over, unread};
use crate::dataset::artists::read_credits;
use crate::dataset::cache::{FeatureCache, default_root, show_bytes};
use crate::dataset::check::{Crossing, Findings, assist, check, files};
use crate::dataset::labels::{self, CHOOSE, MoodChoice};
use crate::dataset::manifest::{self, Manifest, Track};
use crate::dataset::stats::{PAIRED, Stats};
use crate::dataset::synthetic;
use crate::files::path_text;
use crate::model::preset::Preset;
use crate::output;
use crate::predict::library;
use crate::ranks::Ranks;
use crate::report::Progress;
use crate::{Error, Result};

/// Count what manifests hold, check their audio, or manage the cache.
#[derive(Args, Debug)]
pub struct Dataset {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Stats(Counting),
    Check(Checking),
    Cache(Cache),
}

/// Which tracks are meant.
#[derive(Args, Debug)]
struct Selection {
    /// MTG-Jamendo's TSV or a part of its split, a CSV `path,tags`, or a folder per mood.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// The folder that the manifests' paths are relative to.
    #[arg(long, value_name = "DIR")]
    audio_root: Option<PathBuf>,
    /// Text for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Print tracks, moods and which of them meet, artists, hours, what is left out and why, and whether the
/// labels suffice.
///
/// Of more than 1000 moods, pairs are counted for the 1000 most frequent.
#[derive(Args, Debug)]
struct Counting {
    #[command(flatten)]
    selection: Selection,
    /// The moods to count: a list such as happy,dark, or all (every tag). Default: all tags of
    /// a CSV or a folder, paper's ten of MTG-Jamendo's TSV.
    #[arg(long)]
    moods: Option<String>,
}

/// Read every file, and look for what manifests share.
///
/// Reports files that cannot be used, are shorter than a clip, truncated, damaged or silent, files
/// with the same bytes, and tracks, albums, artists and copies that more than one of the manifests
/// has. Ends with 1 where a file cannot be used or manifests share something, else with 0.
#[derive(Args, Debug)]
struct Checking {
    #[command(flatten)]
    selection: Selection,
    /// Check only tracks with one of these moods: a list such as happy,dark. Default: all tracks.
    #[arg(long)]
    moods: Option<String>,
    /// Count files of folders as failed whose kind is not read; else they are passed over with a note.
    #[arg(long)]
    strict: bool,
    /// Show warnings and errors only.
    #[arg(long)]
    quiet: bool,
}

/// Print place and size of what the cache holds, bound it, or clear it.
///
/// The cache lies in the folder that MOODSHADER_CACHE names, else in the platform's. It holds the
/// features of clips, what models have heard of music libraries, and the synthetic corpora that `train`
/// composes where it is given no music. All are made again when they are needed.
#[derive(Args, Debug)]
struct Cache {
    /// Remove all features, what models have heard, synthetic corpora, and what was left by programs that
    /// were killed.
    #[arg(long, conflicts_with = "max_size")]
    clear: bool,
    /// Remove features, the oldest first, until this much is left, such as 500MB or 20GB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
}

impl Dataset {
    /// Whether several processes share its work.
    pub fn may_have_ranks(&self) -> bool {
        matches!(self.command, Command::Check(_))
    }

    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Stats(counting) => counting.run(),
            Command::Check(checking) => checking.run(),
            Command::Cache(cache) => cache.run(),
        }
    }
}

impl Selection {
    /// The tracks of each manifest, and what is missing of them.
    fn read(&self, progress: &Progress) -> Result<(Vec<Vec<Track>>, Vec<Unlisted>)> {
        let root = self.audio_root.as_deref();
        let (mut manifests, mut all_unlisted) = (Vec::new(), Vec::new());
        for path in &self.manifests {
            let Manifest { tracks, notes, unlisted } = manifest::read(path, root)?;
            notes.iter().for_each(|note| progress.note(note));
            manifests.push(tracks);
            all_unlisted.extend(unlisted);
        }
        Ok((manifests, all_unlisted))
    }

    /// Whether none is as MTG-Jamendo publishes them.
    fn is_own(&self) -> Result<bool> {
        for path in &self.manifests {
            if !manifest::is_own(path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn name(&self, place: usize) -> String {
        self.manifests[place].display().to_string()
    }
}

/// The moods that are counted, for the tracks of all manifests together, which are spelt alike.
fn moods(
    choice: &MoodChoice,
    manifests: &mut [Vec<Track>],
    progress: &Progress,
) -> Result<Vec<String>> {
    let all: Vec<Track> = manifests.iter().flatten().cloned().collect();
    let labels = choice.labels(&all)?;
    // Says which tags there are, where none of the moods is among them.
    let mut all = all;
    let notes = labels::respell(&mut all, &labels);
    notes.iter().for_each(|note| progress.note(note));
    labels::check(&all, &labels).map_err(|error| error.followed_by(CHOOSE))?;
    for tracks in manifests {
        labels::respell(tracks, &labels);
    }
    Ok(labels)
}

/// A folder's files with an audio ending that hold no audio do not count, and are told.
fn leave_out_no_audio(tracks: &mut Vec<Track>, progress: &Progress) {
    // What cannot be read may hold some.
    let holds_audio = |track: &Track| {
        let is_other = track.path.metadata().is_ok_and(|path| !path.is_file());
        !is_other && !matches!(format_of(&track.path), Ok(None))
    };
    let (kept, without): (Vec<Track>, Vec<Track>) =
        std::mem::take(tracks).into_iter().partition(holds_audio);
    *tracks = kept;
    let without: Vec<PathBuf> = without.into_iter().map(|track| track.listed.into()).collect();
    if let Some(note) = passed_over(&without) {
        progress.note(&note);
    }
}

impl Counting {
    fn run(&self) -> Result<()> {
        let progress = Progress::new(false);
        let (mut manifests, unlisted) = self.selection.read(&progress)?;
        for (path, tracks) in self.selection.manifests.iter().zip(&mut manifests) {
            if path.is_dir() {
                leave_out_no_audio(tracks, &progress);
            }
        }
        let choice = match &self.moods {
            Some(moods) => MoodChoice::parse(moods)?,
            None if self.selection.is_own()? => MoodChoice::All,
            None => MoodChoice::Preset(Preset::named("paper")?.moods),
        };
        let moods = moods(&choice, &mut manifests, &progress)?;
        if self.moods.is_none() && choice == MoodChoice::All {
            progress.note(&labels::all_tags(&moods, &self.selection.name(0)));
        }
        let bar = progress.bar("looking for artists", manifests.iter().map(Vec::len).sum());
        let never = AtomicBool::new(false);
        let tracks = manifests.par_iter_mut().flatten();
        read_credits(tracks, &never, &|done| bar.at(done))?;
        drop(bar);
        let mut all = Vec::new();
        for (place, tracks) in manifests.iter().enumerate() {
            let stats = Stats::new(tracks, &moods);
            let name = self.selection.name(place);
            match self.selection.format {
                Format::Json => all.push(stats_json(&name, &stats, &moods)),
                Format::Text => {
                    if place > 0 {
                        output::line("");
                    }
                    let with_files = self.selection.audio_root.is_some();
                    output::line(stats_text(&name, &stats, &moods, with_files).trim_end());
                    let advice = stats.advice(&moods);
                    if !advice.is_empty() {
                        output::line("\n  advice");
                    }
                    advice.iter().for_each(|line| output::line(format_args!("  - {line}")));
                }
            }
        }
        if self.selection.format == Format::Json {
            output::line(to_json(&Value::Array(all))?);
        }
        if unlisted.is_empty() {
            return Ok(());
        }
        let unlisted: Vec<Error> = unlisted.into_iter().map(|(_, error)| error).collect();
        let headline = format!("what is in {} of the folders is not counted:", unlisted.len());
        Err(list_errors(&headline, &unlisted))
    }
}

/// Lines of a list that are shown.
const SHOWN: usize = 20;

/// Moods whose pairs still make a matrix that can be read.
const MATRIX_MOODS: usize = 12;

fn stats_text(name: &str, stats: &Stats, moods: &[String], with_files: bool) -> String {
    let mut text = format!("{name}\n");
    let mut line = |what: &str, value: String| {
        text.push_str(&format!("  {what:<14}{value}\n"));
    };
    let left_out = stats.listed - stats.tracks;
    line("listed", stats.listed.to_string());
    // Where tracks have several moods, or there is one alone, training takes the others as examples of none.
    let several = stats.counts.iter().sum::<usize>() > stats.tracks;
    line(if several || moods.len() == 1 { "no mood" } else { "left out" }, left_out.to_string());
    if stats.other_tags > 0 {
        line("", format!("{} have tags, but none of the {} moods", stats.other_tags, moods.len()));
    }
    if stats.untagged > 0 {
        line("", format!("{} have no tags", stats.untagged));
    }
    line("tracks", stats.tracks.to_string());
    let known = |count: Option<usize>| count.map_or("not stated".into(), |count| count.to_string());
    line("artists", known(stats.artists));
    line("albums", known(stats.albums));
    line("hours", stats.hours.map_or("not stated".into(), |hours| format!("{hours:.1}")));
    if with_files && stats.missing > 0 {
        line("missing", format!("{} tracks have no audio file", stats.missing));
    }
    if moods.len() > MATRIX_MOODS {
        text.push_str("\n  tracks with each mood\n");
        for (mood, count) in moods.iter().zip(&stats.counts) {
            text.push_str(&format!("  {count:>6} {mood}\n"));
        }
        let of = match stats.paired.len() < moods.len() {
            true => format!(" of the {PAIRED} most frequent moods"),
            false => String::new(),
        };
        text.push_str(&format!("\n  most frequent pairs{of}\n"));
        for (count, a, b) in frequent_pairs(stats, moods) {
            text.push_str(&format!("  {count:>6} {a}, {b}\n"));
        }
        return text;
    }
    let width = moods.iter().map(|mood| mood.chars().count()).max().unwrap_or(0);
    text.push_str("\n  tracks with each mood, and with each pair\n");
    text.push_str(&format!("  {:width$}", ""));
    for mood in moods {
        text.push_str(&format!(" {mood:>6}"));
    }
    text.push('\n');
    for (mood, row) in moods.iter().zip(&stats.together) {
        text.push_str(&format!("  {mood:width$}"));
        for (other, count) in moods.iter().zip(row) {
            let column = other.chars().count().max(6);
            text.push_str(&format!(" {count:>column$}"));
        }
        text.push('\n');
    }
    text
}

/// The pairs that most tracks have, with their tracks.
fn frequent_pairs<'a>(stats: &Stats, moods: &'a [String]) -> Vec<(usize, &'a str, &'a str)> {
    let mood = |place: usize| &*moods[stats.paired[place]];
    let mut pairs: Vec<_> = (0..stats.paired.len())
        .flat_map(|a| (a + 1..stats.paired.len()).map(move |b| (a, b)))
        .map(|(a, b)| (stats.together[a][b], mood(a), mood(b)))
        .filter(|(count, ..)| *count > 0)
        .collect();
    pairs.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    pairs.truncate(SHOWN);
    pairs
}

fn stats_json(name: &str, stats: &Stats, moods: &[String]) -> Value {
    let counts: Value =
        moods.iter().cloned().zip(stats.counts.iter().map(|&count| Value::from(count))).collect();
    let paired = || stats.paired.iter().map(|&mood| moods[mood].clone());
    let row = |counts: &Vec<usize>| -> Value {
        paired().zip(counts.iter().map(|&count| Value::from(count))).collect()
    };
    let together: Value = paired().zip(stats.together.iter().map(row)).collect();
    json!({
        "manifest": name,
        "listed": stats.listed,
        "tracks": stats.tracks,
        "left_out": { "other_tags": stats.other_tags, "untagged": stats.untagged },
        "artists": stats.artists,
        "albums": stats.albums,
        "hours": stats.hours,
        "missing": stats.missing,
        "moods": counts,
        "together": together,
        "advice": stats.advice(moods),
    })
}

impl Checking {
    fn run(&self) -> Result<()> {
        let clip_seconds = Preset::named("paper")?.audio.clip_seconds;
        if !Ranks::this().is_first() {
            return assist(clip_seconds);
        }
        let progress = Progress::new(self.quiet);
        let (mut manifests, unlisted) = self.selection.read(&progress)?;
        if let Some(choice) = &self.moods {
            let choice = MoodChoice::parse(choice)?;
            let moods: HashSet<String> =
                moods(&choice, &mut manifests, &progress)?.into_iter().collect();
            for tracks in &mut manifests {
                tracks.retain(|track| track.tags.iter().any(|tag| moods.contains(tag)));
            }
        }
        let bar = progress.bar("reading", files(&manifests));
        let mut findings = check(&manifests, clip_seconds, &|done| bar.at(done))?;
        drop(bar);
        let unlisted = unlisted.into_iter().map(|(folder, error)| (path_text(&folder), error));
        if !self.strict && self.selection.manifests.iter().all(|path| path.is_dir()) {
            let passed_over = findings.pass_over_unread().into_iter().map(PathBuf::from);
            if let Some(note) = unread(&passed_over.collect::<Vec<_>>()) {
                progress.note(&note);
            }
        }
        findings.unreadable.extend(unlisted);
        match self.selection.format {
            Format::Text => self.print(&findings, clip_seconds),
            Format::Json => output::line(to_json(&self.json(&findings))?),
        }
        if findings.serious() {
            return Err(Error::failure(format!(
                "{} of the files cannot be used, and manifests share {} tracks, copies, artists or albums",
                findings.unreadable.len(),
                findings.crossings.len()
            )));
        }
        Ok(())
    }

    fn print(&self, findings: &Findings, clip_seconds: f64) {
        let crossing = |crossing: &Crossing| {
            let places: Vec<String> =
                crossing.manifests.iter().map(|&place| self.selection.name(place)).collect();
            format!("{} {}: {}", crossing.what.name(), crossing.name, places.join(", "))
        };
        let short = |(listed, seconds): &(String, f64)| format!("{listed}: {seconds:.2} s");
        output::line(format_args!("{} files read", findings.files));
        list("cannot be used", &findings.unreadable, |(_, error)| error.to_string());
        list("end before their header says", &findings.truncated, String::clone);
        list("have parts that cannot be decoded", &findings.damaged, String::clone);
        list("have a silent centre clip", &findings.silent, String::clone);
        list(&format!("are shorter than {clip_seconds} s"), &findings.short, short);
        list("groups of files with the same bytes", &findings.copies, |group| group.join(" = "));
        list("in more than one manifest", &findings.crossings, crossing);
    }

    fn json(&self, findings: &Findings) -> Value {
        let unreadable = findings.unreadable.iter();
        let short = findings.short.iter();
        let crossings = findings.crossings.iter();
        json!({
            "files": findings.files,
            "unreadable": unreadable
                .map(|(path, error)| json!({ "path": path, "cause": error.to_string() }))
                .collect::<Vec<_>>(),
            "truncated": findings.truncated,
            "damaged": findings.damaged,
            "silent": findings.silent,
            "short": short
                .map(|(path, seconds)| json!({ "path": path, "seconds": seconds }))
                .collect::<Vec<_>>(),
            "copies": findings.copies,
            "shared": crossings
                .map(|crossing| {
                    let places = crossing.manifests.iter();
                    json!({
                        "what": crossing.what.name(),
                        "name": crossing.name,
                        "manifests": places.map(|&at| self.selection.name(at)).collect::<Vec<_>>(),
                    })
                })
                .collect::<Vec<_>>(),
            "passed": !findings.serious(),
        })
    }
}

/// A count, then the first of the items.
fn list<T>(what: &str, items: &[T], line: impl Fn(&T) -> String) {
    output::line(format_args!("{:>6} {what}", items.len()));
    for item in items.iter().take(SHOWN) {
        output::line(format_args!("         {}", line(item)));
    }
    if items.len() > SHOWN {
        output::line(format_args!(
            "         and {} more (--format json lists all)",
            items.len() - SHOWN
        ));
    }
}

impl Cache {
    fn run(&self) -> Result<()> {
        let cache = FeatureCache::open(None)?;
        let root = default_root()?;
        if self.clear {
            cache.clear()?;
            synthetic::clear(&root)?;
            library::clear()?;
        }
        if let Some(bytes) = self.max_size {
            cache.shrink(bytes)?;
        }
        output::line(format_args!("{}\n{}", cache.folder().display(), cache.size()?));
        for corpus in synthetic::stored(&root)? {
            let what = if corpus.left_over { "unfinished corpus" } else { "synthetic corpus" };
            let (path, size) = (corpus.folder.display(), show_bytes(corpus.bytes));
            output::line(format_args!("{path}\n{what}, {size}"));
        }
        for (index, bytes) in library::indexes()? {
            output::line(format_args!(
                "{}\nwhat a model has heard, {}",
                index.display(),
                show_bytes(bytes)
            ));
        }
        Ok(())
    }
}

/// A number with an optional unit: 500MB, 20 GB, 1.5GiB.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        other => return Err(format!("{other} is no unit; use MB, GB or TB")),
    };
    match digits.trim().parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok((number * unit) as u64),
        _ => Err("expected a number and a unit, such as 20GB".into()),
    }
}

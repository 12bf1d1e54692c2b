//! Whom a file's own tags name: what tells whether two recordings are by the same people.

use std::path::Path;

use lofty::config::{ParseOptions, ParsingMode};
use lofty::file::TaggedFileExt;
use lofty::probe::Probe;
use lofty::tag::ItemKey;

/// What stands for the artist of a compilation and names nobody.
const NOBODY: [&str; 4] = ["various artists", "various", "va", "unknown artist"];

/// The artist and the album of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credits {
    /// The album's artist, who is the same with every guest; of a compilation, the track's.
    pub artist: Option<String>,
    /// The album.
    pub album: Option<String>,
    /// The track's artist, guests included, as players show it; the album's where there is none.
    pub performer: Option<String>,
    /// The track.
    pub title: Option<String>,
}

/// Whether an artist's name is one, and not what stands in its place on compilations.
pub fn names_somebody(name: &str) -> bool {
    !NOBODY.contains(&name.to_lowercase().as_str())
}

/// The credits of the file at `path`; empty where it has no tags, or none that can be read.
pub fn credits(path: &Path) -> Credits {
    // Reading a pipe could wait for ever.
    if !path.is_file() {
        return Credits::default();
    }
    let options = ParseOptions::new()
        .read_properties(false)
        .read_cover_art(false)
        .parsing_mode(ParsingMode::Relaxed);
    let read = || Probe::open(path).ok()?.options(options).guess_file_type().ok()?.read().ok();
    let Some(file) = read() else { return Credits::default() };
    let first = |key: ItemKey| {
        let texts = file.tags().iter().filter_map(|tag| tag.get_string(key));
        texts.map(str::trim).find(|text| !text.is_empty()).map(str::to_owned)
    };
    Credits {
        artist: first(ItemKey::AlbumArtist)
            .filter(|name| names_somebody(name))
            .or_else(|| first(ItemKey::TrackArtist).filter(|name| names_somebody(name))),
        album: first(ItemKey::AlbumTitle),
        performer: first(ItemKey::TrackArtist).or_else(|| first(ItemKey::AlbumArtist)),
        title: first(ItemKey::TrackTitle),
    }
}

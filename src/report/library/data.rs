//! The songs as JSON inside of the page.
//!
//! A column a property, which is a third shorter than an object a song, and probabilities in
//! thousandths, a song's after the other's.

use serde::Serialize;

use super::map::Map;
use super::{About, Song};

/// What the page's script reads.
#[derive(Serialize)]
struct Data<'a> {
    labels: &'a [String],
    /// What stands between the folders of a path.
    separator: char,
    paths: Vec<&'a str>,
    addresses: Vec<String>,
    titles: Vec<Option<&'a str>>,
    artists: Vec<Option<&'a str>>,
    seconds: Vec<u64>,
    /// Thousandths. \[songs, labels\]
    probabilities: Vec<u16>,
    /// The most probable first.
    tags: Vec<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    places: Option<&'a [Option<[i16; 2]>]>,
}

/// JSON that can stand in a `script`.
pub fn json(about: &About<'_>, songs: &[Song], map: Option<&Map>) -> String {
    let labels = about.labels.len();
    let data = Data {
        labels: about.labels,
        separator: std::path::MAIN_SEPARATOR,
        paths: songs.iter().map(|song| &*song.path).collect(),
        addresses: songs.iter().map(|song| address(&song.address)).collect(),
        titles: songs.iter().map(|song| named(song.title.as_deref())).collect(),
        artists: songs.iter().map(|song| named(song.artist.as_deref())).collect(),
        seconds: songs.iter().map(|song| song.seconds.round() as u64).collect(),
        probabilities: songs
            .iter()
            .flat_map(|song| {
                let known = song.probabilities.iter().copied().chain(std::iter::repeat(0.0));
                known.take(labels).map(thousandths)
            })
            .collect(),
        tags: songs.iter().map(ranked_tags).collect(),
        places: map.map(|map| &*map.places),
    };
    let text = serde_json::to_string(&data).expect("text and numbers can be JSON");
    // Without it, nothing ends a script or begins a comment in it.
    text.replace('<', "\\u003c")
}

/// A tag of blanks says nothing.
fn named(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn thousandths(probability: f32) -> u16 {
    (probability.clamp(0.0, 1.0) * 1000.0).round() as u16
}

fn ranked_tags(song: &Song) -> Vec<usize> {
    let mut tags = song.tags.clone();
    let probability = |tag: usize| song.probabilities.get(tag).copied().unwrap_or(0.0);
    tags.sort_by(|&a, &b| probability(b).total_cmp(&probability(a)));
    tags
}

/// An address that no browser takes for a script's, whatever the first folder is called:
/// `javascript:x.mp3` is a file here.
fn address(address: &str) -> String {
    let first = address.split('/').next().unwrap_or(address);
    match first.contains(':') && !address.starts_with("file:///") {
        true => format!("./{address}"),
        false => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{address, thousandths};

    #[test]
    fn a_file_with_a_colon_is_a_file() {
        assert_eq!(address("javascript:alert(1).mp3"), "./javascript:alert(1).mp3");
        assert_eq!(address("music/a:b.mp3"), "music/a:b.mp3");
        assert_eq!(address("file:///music/a.mp3"), "file:///music/a.mp3");
        assert_eq!(address("../a.mp3"), "../a.mp3");
    }

    #[test]
    fn probabilities_have_three_digits() {
        assert_eq!([0.0, 0.1234, 0.9996, 1.0, f32::NAN].map(thousandths), [0, 123, 1000, 1000, 0]);
    }
}

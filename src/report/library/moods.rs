//! How many songs have each mood, and which moods meet.

use std::cmp::Reverse;

use super::{About, Song};
use crate::report::page::{Section, counted, escape, grouped, matrix, paragraph, scrolling};

/// Tags of the table at most, so that it can be read at a glance.
const MOST_IN_TABLE: usize = 12;

/// A bar a tag; pressed, it chooses the songs that have it.
pub fn at_a_glance(about: &About<'_>, songs: &[Song]) -> Section {
    let counts = counts(about.labels.len(), songs);
    let found = frequent(&counts);
    let mut body = String::new();
    if about.silent == songs.len() {
        body.push_str(&paragraph("Every song is silent throughout, and silence has no mood."));
    } else if found.is_empty() {
        body.push_str(&paragraph(
            "No song reaches a mood's threshold. The list below can still be sorted by the \
             probability of any mood.",
        ));
    } else {
        body.push_str(
            "<p>How many songs have each tag, as <code>--write-tags</code> would write them. Press \
             one to see its songs, a second one for the songs that have both.</p>\n",
        );
    }
    let is_mood = |label: &usize| about.moods.get(*label).copied().unwrap_or(true);
    let (moods, others): (Vec<usize>, Vec<usize>) = found.iter().partition(|label| is_mood(label));
    let grouped = !moods.is_empty() && !others.is_empty();
    for (name, labels) in [("Moods", moods), ("Styles, instruments and the like", others)] {
        if grouped {
            body.push_str(&format!("<h3>{name}</h3>\n"));
        }
        if !labels.is_empty() {
            body.push_str(&bars(about.labels, &counts, &labels, songs.len()));
        }
    }
    let absent: Vec<String> = (0..about.labels.len())
        .filter(|label| counts[*label] == 0 && is_mood(label))
        .map(|label| escape(&about.labels[label]))
        .collect();
    if !absent.is_empty() && !found.is_empty() {
        body.push_str(&format!("<p class=\"state\">In no song: {}.</p>\n", absent.join(", ")));
    }
    Section { id: "moods", title: "Moods".to_owned(), body }
}

fn bars(labels: &[String], counts: &[usize], shown: &[usize], songs: usize) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut html = String::from("<ul class=\"tally\">\n");
    for &label in shown {
        let count = counts[label];
        html.push_str(&format!(
            "<li><button type=\"button\" data-tag=\"{label}\" aria-pressed=\"false\">\
             <bdi>{}</bdi><span class=\"bar\" aria-hidden=\"true\"><i style=\"width:{:.1}%\"></i>\
             </span><span class=\"count\">{} <small>{}</small></span></button></li>\n",
            escape(&labels[label]),
            100.0 * count as f64 / most as f64,
            grouped(count),
            percent(count, songs),
        ));
    }
    html + "</ul>\n"
}

/// How often the most frequent tags stand together; none where fewer than two occur, or one song
/// says it all.
pub fn meetings(labels: &[String], songs: &[Song]) -> Option<Section> {
    let counts = counts(labels.len(), songs);
    let mut shown = frequent(&counts);
    if shown.len() < 2 || songs.len() < 2 {
        return None;
    }
    let all = shown.len();
    shown.truncate(MOST_IN_TABLE);
    let mut both = vec![0; labels.len() * labels.len()];
    for song in songs {
        for &tag in &song.tags {
            for &other in &song.tags {
                both[tag * labels.len() + other] += 1;
            }
        }
    }
    let table = matrix(labels, &shown, "Songs with both tags", |row, column| {
        let count: usize = both[row * labels.len() + column];
        (count, count as f64 / counts[row].max(1) as f64)
    });
    let mut body = paragraph(
        "Songs that have the tags of both row and column; on the diagonal, all that have the tag. \
         A cell is the stronger in colour the larger its share of the row's songs.",
    );
    if all > shown.len() {
        let text = format!("The {MOST_IN_TABLE} most frequent of {}.", counted(all, "tag"));
        body.push_str(&paragraph(&text));
    }
    body.push_str(&scrolling("Moods that meet", &table));
    Some(Section { id: "meetings", title: "Moods that meet".to_owned(), body })
}

/// Songs with each label as a tag.
fn counts(labels: usize, songs: &[Song]) -> Vec<usize> {
    let mut counts = vec![0; labels];
    for &tag in songs.iter().flat_map(|song| &song.tags) {
        counts[tag] += 1;
    }
    counts
}

/// Labels that occur, the most frequent first.
fn frequent(counts: &[usize]) -> Vec<usize> {
    let mut labels: Vec<usize> = (0..counts.len()).filter(|&label| counts[label] > 0).collect();
    // A stable sort: among equals the model's order.
    labels.sort_by_key(|&label| Reverse(counts[label]));
    labels
}

/// In whole percent, but never nothing where there is something.
fn percent(part: usize, whole: usize) -> String {
    match 100.0 * part as f64 / whole as f64 {
        share if share < 0.5 => "&lt;\u{a0}1\u{a0}%".to_owned(),
        share => format!("{share:.0}\u{a0}%"),
    }
}

//! A page to look at one's music: which moods the songs have, which of them are near, and the songs
//! themselves, which the browser plays.
//!
//! It is one file that opens without a network. What it says at a glance is HTML; the map and the
//! list are made by its script of the songs that stand in it as JSON.

mod data;
mod map;
mod moods;

use crate::report::page::{Document, Section, counted, escape, grouped, paragraph};

/// What is known beside the songs.
pub struct About<'a> {
    /// The model's name.
    pub model: &'a str,
    /// What the model was trained on, or where it comes from, in a line; may be empty.
    pub source: &'a str,
    /// What the model knows, in the order of its outputs.
    pub labels: &'a [String],
    /// Which of the labels are moods; the others are styles, instruments and the like.
    pub moods: &'a [bool],
    /// Songs that are silent throughout, of which the moods say nothing.
    pub silent: usize,
    /// Files that could not be used and are not among the songs.
    pub failed: usize,
}

/// A song as the page shows it.
pub struct Song {
    /// For people.
    pub path: String,
    /// For the browser: relative to the page or `file:///…`, percent-encoded.
    pub address: String,
    /// As the file names it.
    pub title: Option<String>,
    /// As the file names it.
    pub artist: Option<String>,
    /// Length.
    pub seconds: f64,
    /// One for each label.
    pub probabilities: Vec<f32>,
    /// Places among the labels of those that `--write-tags` would write.
    pub tags: Vec<usize>,
    /// What the model's last layer reads; may be empty.
    pub embedding: Vec<f32>,
}

/// The whole file.
pub fn page(about: &About<'_>, songs: &[Song]) -> String {
    let map = map::Map::of(songs);
    let mut sections = Vec::new();
    if !songs.is_empty() {
        sections.push(moods::at_a_glance(about, songs));
        sections.extend(moods::meetings(about.labels, songs));
        sections.extend(map.as_ref().map(|map| on_a_map(map, songs.len())));
        sections.push(list(about, songs));
    }
    let title = format!("Moods of {}", counted(songs.len(), "song"));
    let end = match songs.is_empty() {
        true => String::new(),
        false => format!(
            "{}<script type=\"application/json\" id=\"library-data\">{}</script>\n\
             <script>\n{}</script>\n",
            include_str!("../../../assets/library/dock.html"),
            data::json(about, songs, map.as_ref()),
            include_str!("../../../assets/library/library.js")
        ),
    };
    Document {
        title: &title,
        lead: &lead(about, songs),
        sections: &sections,
        style: include_str!("../../../assets/library/library.css"),
        end: &end,
    }
    .to_string()
}

/// The model and the headline numbers.
fn lead(about: &About<'_>, songs: &[Song]) -> String {
    let mut lead = format!("<p class=\"state\">Heard by <b>{}</b>", escape(about.model));
    if !about.source.is_empty() {
        lead.push_str(&format!(": {}", escape(about.source)));
    }
    lead.push_str("</p>\n");
    if songs.is_empty() {
        lead.push_str(&paragraph("There is no song to show."));
    }
    let tagged = songs.iter().filter(|song| !song.tags.is_empty()).count();
    let mut facts = Vec::new();
    if !songs.is_empty() {
        facts.push(("songs", grouped(songs.len())));
        facts.push(("of music", length(songs.iter().map(|song| song.seconds).sum())));
        facts.push(("songs with a mood", grouped(tagged)));
    }
    if about.silent > 0 {
        facts.push(("silent throughout", grouped(about.silent)));
    }
    if about.failed > 0 {
        facts.push(("could not be used", counted(about.failed, "file")));
    }
    lead.push_str("<dl class=\"facts\">");
    for (name, value) in facts {
        lead.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    }
    lead + "</dl>\n"
}

/// Hours, or minutes where there are few.
fn length(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as usize;
    match minutes {
        0..120 => format!("{minutes}\u{a0}min"),
        _ => format!("{}\u{a0}h", grouped((seconds / 3600.0).round() as usize)),
    }
}

fn on_a_map(map: &map::Map, songs: usize) -> Section {
    let mut body = paragraph(&format!(
        "Each dot is a song, and songs that lie near each other sound alike to the model. It hears \
         many more differences than a plane can show: these are the two directions in which the \
         songs differ the most, and they hold {:.0} % of all differences. Dots that touch may \
         still differ in others.",
        100.0 * map.share
    ));
    let left_out = songs - map.places.iter().flatten().count();
    if left_out > 0 {
        let which = match left_out {
            1 => "1 song has no place on it, since the model has nothing to say of it.".to_owned(),
            _ => format!(
                "{} have no place on it, since the model has nothing to say of them.",
                counted(left_out, "song")
            ),
        };
        body.push_str(&paragraph(&which));
    }
    body.push_str(include_str!("../../../assets/library/map.html"));
    Section { id: "map", title: "Map".to_owned(), body }
}

fn list(about: &About<'_>, songs: &[Song]) -> Section {
    let options = |moods: bool| -> String {
        let labels = about.labels.iter().zip(about.moods).enumerate();
        let chosen = labels.filter(|(_, (_, is_mood))| **is_mood == moods);
        chosen
            .map(|(at, (label, _))| format!("<option value=\"{at}\">{}</option>", escape(label)))
            .collect()
    };
    let mut groups = String::new();
    for (name, options) in [("Mood", options(true)), ("Style, instrument…", options(false))] {
        if !options.is_empty() {
            groups.push_str(&format!("<optgroup label=\"{name}\">{options}</optgroup>"));
        }
    }
    let body = include_str!("../../../assets/library/list.html")
        .replace("{rows}", &(songs.len() + 1).to_string())
        .replace("{options}", &groups);
    Section { id: "songs", title: "Songs".to_owned(), body }
}

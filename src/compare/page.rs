//! The table of a comparison as a page that opens without a network.

use super::Table;
use super::table::Cells;
use crate::report::page::{self, Document, Section, escape, scrolling};

impl Table {
    /// The whole file; each preset's name leads to the report of its first run.
    pub fn html(&self) -> String {
        let lead = format!("<p class=\"state\">{}.</p>\n", escape(&self.heading()));
        let notes = self.notes().into_iter().map(|note| format!("<li>{}</li>\n", escape(&note)));
        let sections = [
            section("presets", "Presets", "Best epoch of each preset", &self.summary()),
            section("moods", "Moods", "ROC-AUC of each mood", &self.moods()),
            Section {
                id: "reading",
                title: "How to read the numbers".to_owned(),
                body: format!("<ul>\n{}</ul>\n", notes.collect::<String>()),
            },
        ];
        Document { title: "moodshader: comparison", lead: &lead, sections: &sections }.to_string()
    }
}

fn section(id: &'static str, title: &str, caption: &str, cells: &Cells) -> Section {
    let head: Vec<String> = cells.head.iter().map(|cell| escape(cell)).collect();
    let row = |row: &Vec<String>| {
        // A mean stays on one line with its deviation.
        let cell = |cell: &String| escape(cell).replace(" ± ", "\u{a0}±\u{a0}");
        let mut row: Vec<String> = row.iter().map(cell).collect();
        row[0] = format!("<a href=\"{}/seed-0/report.html\">{}</a>", address(&row[0]), row[0]);
        row
    };
    let table = page::Table {
        caption,
        head: &head.iter().map(String::as_str).collect::<Vec<_>>(),
        rows: cells.rows.iter().map(row).collect(),
        total: false,
    };
    Section { id, title: title.to_owned(), body: scrolling(title, &table.to_string()) }
}

/// A folder's name as a part of an address, from escaped text.
fn address(name: &str) -> String {
    // A colon would end the name of a protocol.
    [('%', "%25"), ('#', "%23"), ('?', "%3F"), (':', "%3A")]
        .into_iter()
        .fold(name.to_owned(), |name, (letter, code)| name.replace(letter, code))
}

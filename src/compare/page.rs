//! The table of a comparison as a page that opens without a network.

use super::table::Cells;
use super::{Judgement, Table};
use crate::metrics::Interval;
use crate::report::page::{
    self, Axis, Chart, Document, Line, Look, Section, WIDE, escape, paragraph, scrolling,
};

impl Table {
    /// The whole file; each preset's name leads to the report of its first run.
    pub fn html(&self) -> String {
        let lead = paragraph(&self.verdict())
            + &format!("<p class=\"state\">{}.</p>\n", escape(&self.heading()));
        let notes = self.notes().into_iter().map(|note| format!("<li>{}</li>\n", escape(&note)));
        let sections = [
            self.pictures(),
            self.section("presets", "Presets", "Best epoch of each preset", &self.summary()),
            self.section("moods", "Moods", "ROC-AUC of each mood", &self.moods()),
            Section {
                id: "reading",
                title: "How to read the numbers".to_owned(),
                body: format!("<ul>\n{}</ul>\n", notes.collect::<String>()),
            },
        ];
        let names: Vec<&str> = self.judgements.iter().map(|row| row.name.as_str()).collect();
        let title = format!("Comparison of {}", names.join(", "));
        Document { title: &title, lead: &lead, sections: &sections, ..Document::default() }
            .to_string()
    }

    /// Scores with their intervals as bars, and the validation curves over each other.
    fn pictures(&self) -> Section {
        let mut body = String::from("<div class=\"charts\">\n");
        body.push_str(&self.bars());
        let lines = self.judgements.iter().map(|row| Line {
            name: row.name.clone(),
            points: row.curve.clone(),
            look: Look::Marked,
        });
        let chart = Chart {
            id: "curves".to_owned(),
            title: "Validation ROC-AUC by epoch, seed 0",
            description: self.verdict(),
            axes: [
                Axis { label: "epoch", range: None, whole: true },
                Axis { label: "macro ROC-AUC", range: None, whole: false },
            ],
            size: WIDE,
            lines: lines.collect(),
            mark: None,
        };
        body.push_str(&format!("{chart}</div>\n"));
        Section { id: "pictures", title: "Scores".to_owned(), body }
    }

    fn bars(&self) -> String {
        let rows: Vec<(&str, f64, Interval)> = self
            .judgements
            .iter()
            .filter_map(|row| {
                let score = row.scores.roc_auc.macro_mean?;
                Some((row.name.as_str(), score, row.intervals.roc_auc.macro_mean?))
            })
            .collect();
        let low = rows.iter().map(|(_, _, interval)| interval.0).fold(f64::INFINITY, f64::min);
        let high = rows.iter().map(|(_, _, interval)| interval.1).fold(f64::NEG_INFINITY, f64::max);
        let percent = |value: f64| 100.0 * (value - low) / (high - low).max(1e-9);
        let mut html = String::from(
            "<figure><figcaption>Macro ROC-AUC with its 95 % interval</figcaption><ul class=\"intervals\">\n",
        );
        for (name, score, Interval(from, to)) in rows {
            html.push_str(&format!(
                "<li><span>{}</span><span class=\"range\" aria-hidden=\"true\"><i style=\"left:{:.1}%;\
                 width:{:.1}%\"></i><b style=\"left:{:.1}%\"></b></span><span>{score:.3} \
                 <small>{from:.2}\u{a0}–\u{a0}{to:.2}</small></span></li>\n",
                escape(name),
                percent(from),
                percent(to) - percent(from),
                percent(score),
            ));
        }
        html + "</ul></figure>\n"
    }

    fn section(&self, id: &'static str, title: &str, caption: &str, cells: &Cells) -> Section {
        let head: Vec<String> = cells.head.iter().map(|cell| escape(cell)).collect();
        let row = |(row, judgement): (&Vec<String>, &Judgement)| {
            // A mean stays on one line with its deviation.
            let cell = |cell: &String| escape(cell).replace(" ± ", "\u{a0}±\u{a0}");
            let mut row: Vec<String> = row.iter().map(cell).collect();
            if !judgement.elsewhere {
                row[0] =
                    format!("<a href=\"{}/seed-0/report.html\">{}</a>", address(&row[0]), row[0]);
            }
            row
        };
        let table = page::Table {
            caption,
            head: &head.iter().map(String::as_str).collect::<Vec<_>>(),
            rows: cells.rows.iter().zip(&self.judgements).map(row).collect(),
            total: false,
        };
        Section { id, title: title.to_owned(), body: scrolling(title, &table.to_string()) }
    }
}

/// A folder's name as a part of an address, from escaped text.
fn address(name: &str) -> String {
    // A colon would end the name of a protocol.
    [('%', "%25"), ('#', "%23"), ('?', "%3F"), (':', "%3A")]
        .into_iter()
        .fold(name.to_owned(), |name, (letter, code)| name.replace(letter, code))
}

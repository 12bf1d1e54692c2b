//! Pieces of HTML.

use std::fmt::{Display, Write};

use crate::metrics::Interval;

/// A document that needs no network: what it shows, and how it looks, is inside.
#[derive(Default)]
pub struct Document<'a> {
    /// Title of the window, and heading at the top.
    pub title: &'a str,
    /// HTML below the title.
    pub lead: &'a str,
    /// In order; the links at the top follow them.
    pub sections: &'a [Section],
    /// Rules for what other pages do not have.
    pub style: &'a str,
    /// HTML behind the last section.
    pub end: &'a str,
}

/// A part of a document with a heading.
pub struct Section {
    /// What links to it name.
    pub id: &'static str,
    /// Text.
    pub title: String,
    /// HTML.
    pub body: String,
}

impl Display for Document<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { title, lead, sections, style, end } = self;
        let title = escape(title);
        writeln!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{}{style}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#main\">Skip to the report</a>\n\
             <header>\n<h1>{title}</h1>\n{lead}\n<nav aria-label=\"Sections\"><ul>",
            include_str!("style.css")
        )?;
        for Section { id, title, .. } in *sections {
            writeln!(f, "<li><a href=\"#{id}\">{}</a></li>", escape(title))?;
        }
        f.write_str("</ul></nav>\n</header>\n<main id=\"main\">\n")?;
        for Section { id, title, body } in *sections {
            writeln!(
                f,
                "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n\
                 <h2 id=\"{id}-title\">{}</h2>\n{body}\n</section>",
                escape(title)
            )?;
        }
        write!(f, "</main>\n{end}</body>\n</html>\n")
    }
}

/// Text in which nothing is markup.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A file's name may hold what no document may.
            control if control.is_control() && control != '\n' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A table. Cells are HTML; the first of each row is the row's heading.
pub struct Table<'a> {
    /// HTML.
    pub caption: &'a str,
    /// HTML, one cell a column.
    pub head: &'a [&'a str],
    /// HTML.
    pub rows: Vec<Vec<String>>,
    /// Sets the last row, of means, apart.
    pub total: bool,
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<table><caption>{}</caption>\n<thead><tr>", self.caption)?;
        for cell in self.head {
            write!(f, "<th scope=\"col\">{cell}</th>")?;
        }
        f.write_str("</tr></thead>\n<tbody>\n")?;
        for (at, row) in self.rows.iter().enumerate() {
            let last = self.total && at + 1 == self.rows.len();
            f.write_str(if last { "<tr class=\"total\">" } else { "<tr>" })?;
            for (column, cell) in row.iter().enumerate() {
                match column {
                    0 => write!(f, "<th scope=\"row\">{cell}</th>")?,
                    _ => write!(f, "<td>{cell}</td>")?,
                }
            }
            f.write_str("</tr>\n")?;
        }
        f.write_str("</tbody></table>\n")
    }
}

/// A part that may be wider than the screen and then scrolls by itself, by keyboard too.
pub fn scrolling(label: &str, body: &str) -> String {
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{body}</div>\n",
        escape(label)
    )
}

/// A part that opens on demand.
pub fn details(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>\n{body}</details>\n", escape(summary))
}

/// A paragraph of text.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// "1 clip", "2 clips".
pub fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Four decimals, or a dash where there is no number.
pub fn decimals(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.4}"))
}

/// [`decimals`] with the 95 % interval, where there is one.
pub fn within(value: Option<f64>, interval: Option<Interval>) -> String {
    match interval {
        Some(Interval(low, high)) => {
            format!("{} <small>{low:.2}\u{a0}–\u{a0}{high:.2}</small>", decimals(value))
        }
        None => decimals(value),
    }
}

/// With blanks that do not break between groups of three digits.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        let _ = write!(text, "{digit}");
    }
    text
}

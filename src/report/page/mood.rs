//! How well each mood is ranked, and which moods meet.

use std::fmt::Write;

use super::Section;
use super::chart::{Axis, Chart, Line, Look, SQUARE};
use super::html::{Table, decimals, escape, paragraph, scrolling};
use crate::Result;
use crate::metrics::{Curves, Judged, Scores, curves};

/// Moods that a matrix shows at most, so that it can still be read.
const MOST_IN_MATRIX: usize = 24;

/// A row a mood: how many clips have it, and how well the model ranks them, on each split.
pub fn table(splits: &[(&str, &Judged)]) -> Result<String> {
    let mut html = paragraph(
        "PR-AUC is average precision. Scores that mean nothing reach 0.5 in ROC-AUC and the share of \
         clips in PR-AUC. A hit is a clip whose highest score belongs to one of its moods; in a mood's row, to that mood.",
    );
    for (name, judged) in splits {
        let scores = judged.metrics()?;
        let top = judged.top_moods();
        let mut rows: Vec<Vec<String>> =
            (0..judged.moods.len()).map(|mood| row(judged, &scores, &top, mood)).collect();
        let hits = (0..judged.clips()).filter(|&clip| judged.has(clip, top[clip])).count();
        rows.push(vec![
            "macro\u{a0}mean".to_owned(),
            String::new(),
            String::new(),
            decimals(scores.roc_auc.macro_mean),
            decimals(scores.pr_auc.macro_mean),
            mean_hits(&rows),
        ]);
        let clips = judged.clips();
        let caption = format!("{name}: {clips} clips, of which {hits} are hits");
        let head = ["mood", "clips", "share %", "ROC-AUC", "PR-AUC", "hits %"];
        let table = Table { caption: &caption, head: &head, rows, total: true };
        html.push_str(&scrolling(&format!("Scores by mood, {name}"), &table.to_string()));
    }
    Ok(html)
}

fn row(judged: &Judged, scores: &Scores, top: &[usize], mood: usize) -> Vec<String> {
    let with = scores.positives[mood];
    let hits = (0..judged.clips()).filter(|&clip| top[clip] == mood && judged.has(clip, mood));
    vec![
        escape(&judged.moods[mood]),
        with.to_string(),
        percent(with, judged.clips()),
        decimals(scores.roc_auc.moods[mood]),
        decimals(scores.pr_auc.moods[mood]),
        percent(hits.count(), with),
    ]
}

/// Mean over the moods that any clip has.
fn mean_hits(rows: &[Vec<String>]) -> String {
    let shares: Vec<f64> = rows.iter().filter_map(|row| row[5].parse().ok()).collect();
    match shares.len() {
        0 => "–".to_owned(),
        moods => format!("{:.1}", shares.iter().sum::<f64>() / moods as f64),
    }
}

fn percent(part: usize, whole: usize) -> String {
    match whole {
        0 => "–".to_owned(),
        _ => format!("{:.1}", 100.0 * part as f64 / whole as f64),
    }
}

/// Both curves of every mood.
pub fn curve_charts(judged: &Judged) -> Result<String> {
    let scores = judged.metrics()?;
    let mut html = String::from("<div class=\"moods\">\n");
    for (mood, name) in judged.moods.iter().enumerate() {
        write_curves(&mut html, judged, &scores, mood, name)?;
    }
    html.push_str("</div>\n");
    Ok(html)
}

fn write_curves(
    html: &mut String,
    judged: &Judged,
    scores: &Scores,
    mood: usize,
    name: &str,
) -> Result<()> {
    let (targets, column) = judged.column(mood);
    let heading = escape(name);
    let Some(Curves { roc, precision_recall }) = curves(&targets, &column)? else {
        let _ = writeln!(
            html,
            "<article><h3>{heading}</h3><p>No curve: {} of {} clips have this mood, and ranking needs \
             both kinds.</p></article>",
            scores.positives[mood],
            judged.clips()
        );
        return Ok(());
    };
    let share = scores.positives[mood] as f64 / judged.clips() as f64;
    let areas = [&scores.roc_auc, &scores.pr_auc].map(|metric| decimals(metric.moods[mood]));
    let unit = Some([0.0, 1.0]);
    let chart = |kind: &str, title: &str, labels: [&str; 2], lines: Vec<Line>, description| {
        let axes = labels.map(|label| Axis { label, range: unit, whole: false });
        let id = format!("{kind}-{mood}");
        Chart { id, title, description, axes, size: SQUARE, lines, mark: None }.to_string()
    };
    let chance = |points| Line { name: "chance".to_owned(), points, look: Look::Reference };
    let curve = |points, look| Line { name: format!("{name}: the model"), points, look };
    let pr_start = precision_recall.first().map_or(1.0, |point| point[1]);
    let mut steps = vec![[0.0, pr_start]];
    steps.extend(precision_recall);
    let _ = writeln!(
        html,
        "<article><h3>{heading}</h3><div class=\"pair\">{}{}</div></article>",
        chart(
            "roc",
            &format!("ROC, area {}", areas[0]),
            ["false positives", "true positives"],
            vec![curve(roc, Look::Straight), chance(vec![[0.0, 0.0], [1.0, 1.0]])],
            format!(
                "Share of clips without and with the mood that score at least as high; area {}.",
                areas[0]
            ),
        ),
        chart(
            "pr",
            &format!("PR, area {}", areas[1]),
            ["recall", "precision"],
            vec![curve(steps, Look::Steps), chance(vec![[0.0, share], [1.0, share]])],
            format!("Precision against recall; average precision {}, chance {share:.4}.", areas[1]),
        ),
    );
    Ok(())
}

/// Which moods meet in a clip, and which are taken for which.
pub fn meetings(judged: &Judged) -> Result<Section> {
    let scores = judged.metrics()?;
    let mut shown: Vec<usize> = (0..judged.moods.len()).collect();
    if shown.len() > MOST_IN_MATRIX {
        shown.sort_by_key(|&mood| std::cmp::Reverse(scores.positives[mood]));
        shown.truncate(MOST_IN_MATRIX);
        shown.sort_unstable();
    }
    let top = judged.top_moods();
    let both = |row: usize, column: usize| {
        (0..judged.clips())
            .filter(|&clip| judged.has(clip, row) && judged.has(clip, column))
            .count()
    };
    // Of the clips with a mood: those whose top mood is another, which they do not have.
    let taken = |row: usize, column: usize| {
        let clips =
            (0..judged.clips()).filter(|&clip| judged.has(clip, row) && top[clip] == column);
        clips.filter(|&clip| row == column || !judged.has(clip, column)).count()
    };
    let cell = |count: usize, of: usize| (count, count as f64 / of.max(1) as f64);
    let names = &judged.moods;
    let together = matrix(names, &shown, "Moods that meet", |row, column| {
        cell(both(row, column), scores.positives[row])
    });
    let errors = matrix(names, &shown, "Errors that meet", |row, column| {
        cell(taken(row, column), scores.positives[row])
    });
    let mut body = String::new();
    if shown.len() < names.len() {
        let _ =
            writeln!(body, "<p>The {MOST_IN_MATRIX} most frequent of {} moods.</p>", names.len());
    }
    body.push_str(&paragraph(
        "Counts of validation clips, best model; a cell is darker the larger its share of the clips \
         with its row's mood.",
    ));
    body.push_str("<div class=\"wide-pair\">\n<div>");
    body.push_str(&paragraph("Clips with both moods; on the diagonal, all with the mood."));
    body.push_str(&scrolling("Moods that meet", &together));
    body.push_str("</div>\n<div>");
    body.push_str(&paragraph(
        "Clips with the row's mood whose highest score is the column's, a mood that they do not \
         have; on the diagonal, the hits.",
    ));
    body.push_str(&scrolling("Errors that meet", &errors));
    body.push_str("</div>\n</div>\n");
    Ok(Section { id: "meetings", title: "Moods and errors that meet".to_owned(), body })
}

/// A square table of counts, shaded by a share from 0 to 1.
fn matrix(
    names: &[String],
    shown: &[usize],
    caption: &str,
    cell: impl Fn(usize, usize) -> (usize, f64),
) -> String {
    let mut html =
        format!("<table class=\"matrix\"><caption>{caption}</caption>\n<thead><tr><td></td>");
    for &column in shown {
        let _ = write!(html, "<th scope=\"col\"><span>{}</span></th>", escape(&names[column]));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for &row in shown {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(&names[row]));
        for &column in shown {
            let (count, share) = cell(row, column);
            let class = if row == column { " class=\"same\"" } else { "" };
            let _ = write!(html, "<td{class} style=\"--share:{:.0}%\">{count}</td>", 100.0 * share);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table>\n");
    html
}

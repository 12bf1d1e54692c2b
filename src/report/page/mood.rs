//! How well each mood is ranked, and which moods meet.

use std::fmt::Write;

use super::Section;
use super::chart::{Axis, Chart, Line, Look, SQUARE};
use super::html::{Table, counted, decimals, escape, paragraph, scrolling, within};
use crate::Result;
use crate::metrics::{Curves, Judged, Measured, Scores, curves};

/// Moods that a matrix shows at most, so that it can still be read.
const MOST_IN_MATRIX: usize = 24;

/// A row a mood: how many clips have it, and how well the model ranks them, on each split.
pub fn table(splits: &[(&str, &Judged, &Measured)]) -> Result<String> {
    let mut html = paragraph(
        "PR-AUC is average precision. Scores that mean nothing reach 0.5 in ROC-AUC and the share of \
         clips in PR-AUC; behind each stands its 95 % interval, had other clips been drawn. Precision, \
         recall and F1 are those of the clips whose score reaches the threshold, which has the greatest F1 \
         on the validation clips.",
    );
    let thresholds = match splits.first() {
        Some((_, validation, _)) => validation.thresholds()?,
        None => Vec::new(),
    };
    for (name, judged, Measured { scores, intervals }) in splits {
        let decisions: Vec<Option<Decision>> =
            (0..judged.moods.len()).map(|mood| decision(judged, mood, thresholds[mood])).collect();
        let row = |mood: usize| {
            let [precision, recall, f1] =
                Decision::cells(decisions[mood].as_ref().map(|decision| decision.shares()));
            vec![
                escape(&judged.moods[mood]),
                scores.positives[mood].to_string(),
                percent(scores.positives[mood], judged.clips()),
                within(scores.roc_auc.moods[mood], intervals.roc_auc.moods[mood]),
                within(scores.pr_auc.moods[mood], intervals.pr_auc.moods[mood]),
                thresholds[mood].map_or("–".to_owned(), |threshold| format!("{threshold:.3}")),
                precision,
                recall,
                f1,
            ]
        };
        let mut rows: Vec<Vec<String>> = (0..judged.moods.len()).map(row).collect();
        let [precision, recall, f1] = Decision::cells(Decision::mean(&decisions));
        rows.push(vec![
            "macro\u{a0}mean".to_owned(),
            String::new(),
            String::new(),
            within(scores.roc_auc.macro_mean, intervals.roc_auc.macro_mean),
            within(scores.pr_auc.macro_mean, intervals.pr_auc.macro_mean),
            String::new(),
            precision,
            recall,
            f1,
        ]);
        let caption = format!("{name}: {}", counted(judged.clips(), "clip"));
        let head = [
            "mood",
            "clips",
            "share %",
            "ROC-AUC",
            "PR-AUC",
            "threshold",
            "precision",
            "recall",
            "F1",
        ];
        let table = Table { caption: &caption, head: &head, rows, total: true };
        html.push_str(&scrolling(&format!("Scores by mood, {name}"), &table.to_string()));
    }
    Ok(html)
}

/// Clips by whether they have a mood and whether their score reaches its threshold.
struct Decision {
    /// They have it and reach it.
    right: usize,
    /// They reach it without the mood.
    wrong: usize,
    /// They have it and do not reach it.
    missed: usize,
    /// All others.
    rest: usize,
}

fn decision(judged: &Judged, mood: usize, threshold: Option<f64>) -> Option<Decision> {
    let threshold = threshold?;
    let mut counts = Decision { right: 0, wrong: 0, missed: 0, rest: 0 };
    for clip in 0..judged.clips() {
        let count = match (judged.has(clip, mood), f64::from(judged.score(clip, mood)) >= threshold)
        {
            (true, true) => &mut counts.right,
            (false, true) => &mut counts.wrong,
            (true, false) => &mut counts.missed,
            (false, false) => &mut counts.rest,
        };
        *count += 1;
    }
    Some(counts)
}

impl Decision {
    /// Precision, recall and F1; what nothing is divided by is 0.
    fn shares(&self) -> [f64; 3] {
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let Self { right, wrong, missed, .. } = *self;
        [
            share(right, right + wrong),
            share(right, right + missed),
            share(2 * right, 2 * right + wrong + missed),
        ]
    }

    fn mean(decisions: &[Option<Self>]) -> Option<[f64; 3]> {
        let shares: Vec<[f64; 3]> = decisions.iter().flatten().map(Self::shares).collect();
        let mean = |at: usize| shares.iter().map(|s| s[at]).sum::<f64>() / shares.len() as f64;
        (!shares.is_empty()).then(|| [mean(0), mean(1), mean(2)])
    }

    fn cells(shares: Option<[f64; 3]>) -> [String; 3] {
        match shares {
            Some(shares) => shares.map(|share| format!("{share:.2}")),
            None => ["–", "–", "–"].map(str::to_owned),
        }
    }

    fn on_roc(&self) -> [f64; 2] {
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        [share(self.wrong, self.wrong + self.rest), share(self.right, self.right + self.missed)]
    }

    fn on_precision_recall(&self) -> [f64; 2] {
        let [precision, recall, _] = self.shares();
        [recall, precision]
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
    let (scores, thresholds) = (judged.metrics()?, judged.thresholds()?);
    let mut html = String::from("<div class=\"moods\">\n");
    for (mood, name) in judged.moods.iter().enumerate() {
        write_curves(&mut html, judged, &scores, (mood, thresholds[mood]), name)?;
    }
    html.push_str("</div>\n");
    Ok(html)
}

fn write_curves(
    html: &mut String,
    judged: &Judged,
    scores: &Scores,
    (mood, threshold): (usize, Option<f64>),
    name: &str,
) -> Result<()> {
    let (targets, column) = judged.column(mood);
    let heading = escape(name);
    let Some(Curves { roc, precision_recall }) = curves(&targets, &column)? else {
        let _ = writeln!(
            html,
            "<article><h3>{heading}</h3><p>No curve: {} of {} have this mood, and ranking needs \
             both kinds.</p></article>",
            scores.positives[mood],
            counted(judged.clips(), "clip")
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
    let point = decision(judged, mood, threshold);
    let at_threshold = |place: fn(&Decision) -> [f64; 2]| {
        let name = format!("at the threshold {:.3}", threshold.unwrap_or_default());
        point.as_ref().map(|point| Line { name, points: vec![place(point)], look: Look::Marked })
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
            [curve(roc, Look::Straight), chance(vec![[0.0, 0.0], [1.0, 1.0]])]
                .into_iter()
                .chain(at_threshold(Decision::on_roc))
                .collect(),
            format!(
                "Share of clips without and with the mood that score at least as high; area {}.",
                areas[0]
            ),
        ),
        chart(
            "pr",
            &format!("PR, area {}", areas[1]),
            ["recall", "precision"],
            [curve(steps, Look::Steps), chance(vec![[0.0, share], [1.0, share]])]
                .into_iter()
                .chain(at_threshold(Decision::on_precision_recall))
                .collect(),
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
        "Counts of validation clips, best model; a cell is the stronger in colour the larger its share of the clips \
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
pub fn matrix(
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

//! The table of a comparison: its cells and notes, as text and as Markdown.

use std::collections::BTreeSet;

use super::{Judgement, Statistic};
use crate::metrics::{Difference, Interval, Intervals};
use crate::model::preset::Output;
use crate::report::page::grouped;

/// Columns of the summary on training, the preset's name included; metrics follow.
const TRAINING_COLUMNS: usize = 8;

/// What a comparison has found so far, a row a preset.
#[derive(Clone, Debug)]
pub struct Table {
    /// Runs of each preset.
    pub seeds: u64,
    /// Presets there will be.
    pub of: usize,
    /// Presets whose runs are finished, in order; the first is what the others are compared with.
    pub judgements: Vec<Judgement>,
}

/// Head and rows of cells.
pub(super) struct Cells {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// For people: the summary in two parts, so that lines stay short, the moods and the notes.
    pub fn text(&self) -> String {
        let (training, metrics) = self.summary().split(TRAINING_COLUMNS);
        let parts = [training, metrics, self.moods()].map(|part| part.text()).join("\n");
        let notes: String = self.notes().iter().map(|note| format!("- {note}\n")).collect();
        format!("{}\n{}\n\n{parts}\n{notes}", self.heading(), self.verdict())
    }

    /// For a README.
    pub fn markdown(&self) -> String {
        let notes: String =
            self.notes().iter().map(|note| format!("- {}\n", markdown(note))).collect();
        format!(
            "{}\n\n{}\n\n{}\nROC-AUC of each mood:\n\n{}\n{notes}",
            self.heading(),
            markdown(&self.verdict()),
            self.summary().markdown(),
            self.moods().markdown()
        )
    }

    /// What was compared, and whether more will come.
    pub(super) fn heading(&self) -> String {
        let count = |number: u64, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        let clips = self.judgements.first().map_or(0, |first| first.averaged.clips());
        let heading = format!(
            "{} with {} each, judged on {}",
            count(self.judgements.len() as u64, "preset"),
            count(self.seeds, "seed"),
            count(clips as u64, "validation clip")
        );
        match self.of - self.judgements.len() {
            0 => heading,
            left => format!("{heading} (unfinished: {} to come)", count(left as u64, "preset")),
        }
    }

    /// What came out, in a sentence or two.
    pub(super) fn verdict(&self) -> String {
        let Some((first, others)) = self.judgements.split_first() else { return String::new() };
        let score = |row: &Judgement| row.scores.roc_auc.macro_mean;
        // Of equals the first.
        let best =
            self.judgements.iter().rev().max_by(|a, b| {
                score(a).unwrap_or(f64::NAN).total_cmp(&score(b).unwrap_or(f64::NAN))
            });
        let best = match best.and_then(|row| Some((row, score(row)?))) {
            Some((row, score)) => format!("Best is {} with a ROC-AUC of {score:.3}. ", row.name),
            None => String::new(),
        };
        let named = |wanted: Option<bool>, better: bool| {
            let rows = others.iter().filter(|row| {
                let rise = row.difference.as_ref().and_then(|d| d.roc_auc.value.macro_mean);
                row.beyond_chance() == wanted
                    && (wanted != Some(true) || rise.is_some_and(|rise| (rise > 0.0) == better))
            });
            rows.map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let parts = [
            ("better beyond chance", named(Some(true), true)),
            ("worse beyond chance", named(Some(true), false)),
            ("no different beyond chance", named(Some(false), true)),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{names}: {what}"))
            .collect();
        match parts.is_empty() {
            true => best,
            false => format!("{best}Against {}: {}.", first.name, parts.join("; ")),
        }
    }

    pub(super) fn summary(&self) -> Cells {
        let several = self.seeds > 1;
        let first = self.judgements.first().map_or("", |first| &*first.name);
        let mut head: Vec<String> =
            ["preset", "parameters", "clips/s", "epochs"].map(str::to_owned).into();
        head.push(if several { "best epochs" } else { "best epoch" }.to_owned());
        head.extend(["training loss", "validation loss", "gap"].map(str::to_owned));
        if several {
            head.extend(["ROC-AUC", "PR-AUC"].map(str::to_owned));
        }
        let of = if several { "of averaged scores " } else { "" };
        head.extend(["ROC-AUC", "PR-AUC"].map(|metric| format!("{metric} {of}[95 %]")));
        head.push(format!("ROC-AUC against {first} [95 %]"));
        head.push("beyond chance".to_owned());
        let row = |row: &Judgement| {
            let mut cells = vec![
                row.name.clone(),
                grouped(row.parameters),
                row.clips_per_second.map_or("-".to_owned(), |pace| format!("{pace:.1}")),
                row.epochs.to_string(),
                list(&row.best_epochs, ", "),
                statistic(Some(row.train_loss), 4),
                statistic(Some(row.validation_loss), 4),
                signed(row.gap),
            ];
            if several {
                cells.extend([row.roc_auc, row.pr_auc].map(|metric| statistic(metric, 4)));
            }
            let metrics = [
                (&row.scores.roc_auc, &row.intervals.roc_auc),
                (&row.scores.pr_auc, &row.intervals.pr_auc),
            ];
            cells.extend(metrics.map(|(value, intervals)| {
                let value = value.macro_mean.map(|value| format!("{value:.4}"));
                bounded(value, intervals, |bound| format!("{bound:.3}"))
            }));
            cells.push(row.difference.as_ref().map_or("-".to_owned(), |difference| {
                let Difference { value, intervals } = &difference.roc_auc;
                let value = value.macro_mean.map(|value| format!("{value:+.4}"));
                bounded(value, intervals, |bound| format!("{bound:+.3}"))
            }));
            cells.push(match row.beyond_chance() {
                None => "-".to_owned(),
                Some(beyond) => if beyond { "yes" } else { "no" }.to_owned(),
            });
            cells
        };
        Cells { head, rows: self.judgements.iter().map(row).collect() }
    }

    /// ROC-AUC of each mood, a row a preset.
    pub(super) fn moods(&self) -> Cells {
        let moods = self.judgements.first().map_or(&[][..], |first| &first.averaged.moods);
        let row = |row: &Judgement| {
            let cells = row.mood_roc_auc.iter().map(|metric| statistic(*metric, 3));
            std::iter::once(row.name.clone()).chain(cells).collect()
        };
        Cells {
            head: std::iter::once("preset".to_owned()).chain(moods.iter().cloned()).collect(),
            rows: self.judgements.iter().map(row).collect(),
        }
    }

    /// How the numbers are to be read.
    pub(super) fn notes(&self) -> Vec<String> {
        let Some(first) = self.judgements.first() else { return Vec::new() };
        let mut notes = Vec::new();
        let trained = self.judgements.iter().any(|row| !row.elsewhere);
        notes.extend(trained.then(|| match self.seeds {
            1 => "All presets are trained with seed 0 on the same split. What another seed would \
                  change is not in the table; --seeds 3 shows it."
                .to_owned(),
            seeds => format!(
                "All presets are trained with the seeds 0 to {} on the same split. ± is the \
                 standard deviation over the seeds (n − 1). Intervals and differences are those of \
                 the clips' scores averaged over the seeds: one model made of {seeds}, often better \
                 than the mean of its parts.",
                seeds - 1
            ),
        }));
        notes.push(
            "Metrics are macro means on the validation clips, by the model of the best epoch. That \
             epoch is chosen on the same clips, so that all of them are a little too high."
                .to_owned(),
        );
        notes.push(format!(
            "Intervals are 95 % percentile intervals of a bootstrap over the clips (1000 resamples, \
             the same ones for every preset): what other clips would change. Clips count as \
             independent, which clips of one song are not. A difference to {} is beyond chance if \
             its interval (paired: both models judged on the same resample) does not hold 0. Each \
             preset is tested by itself, without correction for their number.",
            first.name
        ));
        notes.push(
            "Losses are those of the best epoch; the gap is validation minus training. The training \
             loss is the epoch's mean with dropout, while the weights still change, so that a gap \
             below 0 is usual early on and one that grows is over-fitting."
                .to_owned(),
        );
        let with = |output| {
            let rows = self.judgements.iter().filter(move |row| row.output == output);
            rows.map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (softmax, sigmoid) = (with(Output::Softmax), with(Output::Sigmoid));
        if !softmax.is_empty() && !sigmoid.is_empty() {
            let floor = match first.softmax_floor() {
                0.0 => {
                    "each clip here has one mood, so both can reach 0, but a softmax that raises \
                        one mood lowers the others"
                        .to_owned()
                }
                floor => format!(
                    "on these clips its loss cannot fall below {floor:.4}, that of a sigmoid can \
                     reach 0"
                ),
            };
            notes.push(format!(
                "Losses of a softmax ({softmax}) and of a sigmoid ({sigmoid}) are not the same \
                 quantity. Both are the binary cross-entropy of the outputs, mean over clips and \
                 moods, but the outputs of a softmax add up to 1: {floor}. Compare losses in one \
                 group, and the groups by ROC-AUC and PR-AUC."
            ));
        }
        let changed: Vec<&str> =
            self.judgements.iter().filter(|row| row.changes_loss).map(|row| &*row.name).collect();
        if !changed.is_empty() {
            notes.push(format!(
                "The training loss of {} is weighted by class, or of smoothed labels or mixed clips, and the \
                 validation loss is not: the gap says nothing there.",
                changed.join(", ")
            ));
        }
        let devices: BTreeSet<&str> =
            self.judgements.iter().flat_map(|row| row.devices.iter().map(String::as_str)).collect();
        if !devices.is_empty() {
            notes.push(format!(
                "clips/s is the pace of training as measured, with reading the features, without \
                 preparation and validation, on {}. Whatever else the machine did slowed it down.",
                devices.into_iter().collect::<Vec<_>>().join(" and ")
            ));
        }
        let elsewhere: Vec<&str> =
            self.judgements.iter().filter(|row| row.elsewhere).map(|row| &*row.name).collect();
        if !elsewhere.is_empty() {
            notes.push(format!(
                "{} took part as finished runs: their training tracks may be others than those of the \
                 rest, and their pace is not known.",
                elsewhere.join(", ")
            ));
        }
        let undefined = first.mood_roc_auc.iter().filter(|metric| metric.is_none()).count();
        if undefined > 0 {
            notes.push(
                "A mood that every validation clip has, or none, has no ROC-AUC (-) and is left out \
                 of the means."
                    .to_owned(),
            );
        }
        notes
    }
}

/// Text that means itself in Markdown, in a cell too; names may hold anything.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        // Brackets are ours, around intervals; only with a parenthesis are they a link.
        if r"\`*|<>&".contains(letter) || (letter == '(' && escaped.ends_with(']')) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Numbers, `between` between them.
pub(super) fn list(numbers: &[u64], between: &str) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(between)
}

fn statistic(value: Option<Statistic>, decimals: usize) -> String {
    match value {
        None => "-".to_owned(),
        Some(Statistic { mean, deviation: None }) => format!("{mean:.decimals$}"),
        Some(Statistic { mean, deviation: Some(deviation) }) => {
            format!("{mean:.decimals$} ± {deviation:.decimals$}")
        }
    }
}

fn signed(value: Statistic) -> String {
    let text = statistic(Some(value), 4);
    if text.starts_with('-') { text } else { format!("+{text}") }
}

/// A number and the interval of the macro mean.
fn bounded(value: Option<String>, intervals: &Intervals, bound: fn(f64) -> String) -> String {
    match (value, intervals.macro_mean) {
        (None, _) => "-".to_owned(),
        (Some(value), None) => value,
        (Some(value), Some(Interval(low, high))) => {
            format!("{value} [{}, {}]", bound(low), bound(high))
        }
    }
}

impl Cells {
    /// The first `columns`, and the rest behind the first column once more.
    fn split(self, columns: usize) -> (Self, Self) {
        let rest = |cells: &Vec<String>| -> Vec<String> {
            cells[..1].iter().chain(&cells[columns..]).cloned().collect()
        };
        let second = Self { head: rest(&self.head), rows: self.rows.iter().map(rest).collect() };
        let cut = |mut cells: Vec<String>| {
            cells.truncate(columns);
            cells
        };
        (Self { head: cut(self.head), rows: self.rows.into_iter().map(cut).collect() }, second)
    }

    /// Columns that line up.
    fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| &row[column]).chain([&self.head[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        std::iter::once(&self.head).chain(&self.rows).map(line).collect()
    }

    fn markdown(&self) -> String {
        let line = |cells: &Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|cell| markdown(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = format!("|{}\n", "---|".repeat(self.head.len()));
        let rows: String = self.rows.iter().map(line).collect();
        format!("{}{rule}{rows}", line(&self.head))
    }
}

#[cfg(test)]
mod tests {
    use super::markdown;

    #[test]
    fn names_mean_themselves_in_markdown() {
        assert_eq!(markdown("a|b<i> [x](y)"), r"a\|b\<i\> [x]\(y)");
        assert_eq!(markdown("0.71 [0.6, 0.8]"), "0.71 [0.6, 0.8]");
    }
}

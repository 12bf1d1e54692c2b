//! `report.html`: a run in one file that opens without a network.
//!
//! All but the section on throughput is a function of the training, so a resumed run's report has
//! the bytes of an unbroken one's there.

mod chart;
mod clips;
mod html;
mod model;
mod mood;
mod spectrogram;

use std::fmt::Write;

use crate::Result;
use crate::metrics::{Bootstrap, Judged, Measured, Scores};
use crate::model::preset::Preset;
use crate::run::{EpochMetrics, Learning, Pace, best};
use html::{decimals, details};

pub(crate) use chart::{Axis, Chart, Line, Look, WIDE};
pub use clips::{Exhibit, Timeline, most_wrong};
pub use html::{Document, Section, Table, counted, escape, grouped, paragraph, scrolling, within};
pub use model::Filters;
pub(crate) use mood::matrix;
pub use spectrogram::data_url;

/// Points that the learning rate's curve is drawn with.
const RATE_POINTS: u64 = 120;

/// What a run knows of itself.
pub struct Page<'a> {
    /// The preset's name, or the name of the file that it was read from.
    pub preset_name: &'a str,
    /// What was trained on, for people.
    pub data: &'a str,
    /// What was trained.
    pub preset: &'a Preset,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Updates done.
    pub update: u64,
    /// The learning rate's measure.
    pub updates_per_epoch: u64,
    /// Nothing is left to do.
    pub finished: bool,
    /// Clips of training, validation and test.
    pub clips: [usize; 3],
    /// What `metrics.jsonl` holds.
    pub epochs: &'a [EpochMetrics],
    /// Updates inside epochs, and the mean training loss since the epoch began.
    pub losses: &'a [(u64, f32)],
    /// The best model's scores, once an epoch has ended.
    pub validation: Option<&'a Judged>,
    /// The best model's scores on the test manifest, if there is one and the run is finished.
    pub test: Option<&'a Judged>,
    /// The clips of [`most_wrong`], in its order.
    pub exhibits: &'a [Exhibit],
    /// First-layer kernels of each branch of the best model.
    pub filters: &'a [Filters],
    /// Differs from run to run.
    pub throughput: Throughput<'a>,
}

/// What differs from run to run.
pub struct Throughput<'a> {
    /// The run's folder.
    pub folder: &'a str,
    /// The adapter, for people.
    pub device: &'a str,
    /// What this process trained on in each epoch.
    pub pace: &'a [Pace],
}

impl Page<'_> {
    /// The whole file.
    ///
    /// # Errors
    /// A score that is not a number.
    pub fn html(&self) -> Result<String> {
        let mut sections = vec![self.curves()];
        // Each takes a thousand resamples.
        let measured = |judged: Option<&Judged>| judged.map(Judged::measured).transpose();
        let [of_validation, of_test] = [measured(self.validation)?, measured(self.test)?];
        if let (Some(validation), Some(scores)) = (self.validation, &of_validation) {
            let mut splits = vec![("Validation", validation, scores)];
            if let (Some(test), Some(scores)) = (self.test, &of_test) {
                splits.push(("Test", test, scores));
            }
            sections.push(Section {
                id: "moods",
                title: "Moods".to_owned(),
                body: mood::table(&splits)?,
            });
            sections.push(Section {
                id: "curves",
                title: "ROC and precision–recall".to_owned(),
                body: paragraph("Validation clips, best model. The dashed line is chance, the point is the threshold.")
                    + &mood::curve_charts(validation)?,
            });
            sections.push(mood::meetings(validation)?);
            let clip = [self.preset.audio.clip_seconds, self.preset.features.fmax];
            sections.push(clips::section(validation, self.exhibits, clip));
        }
        sections.push(model::diagram(self.preset)?);
        if !self.filters.is_empty() {
            sections.push(model::filters(self.filters));
        }
        sections.push(self.throughput());
        sections.push(Section {
            id: "preset",
            title: "Preset".to_owned(),
            body: details(
                "The resolved preset, as TOML",
                &scrolling("Preset", &format!("<pre>{}</pre>\n", escape(&self.preset.to_toml()?))),
            ),
        });
        let title = format!("{} on {}, seed {}", self.preset_name, self.data, self.seed);
        let lead = self.lead(of_validation.as_ref(), of_test.as_ref());
        Ok(Document { title: &title, lead: &lead, sections: &sections, ..Document::default() }
            .to_string())
    }

    /// State and headline numbers.
    fn lead(&self, validation: Option<&Measured>, test: Option<&Measured>) -> String {
        let epochs = self.preset.train.epochs;
        let (updates, ended) = (counted(self.update as usize, "update"), self.epochs.len());
        let mut lead = match self.finished {
            true => {
                format!(
                    "<p class=\"state\">Finished: {}, {updates}.</p>\n",
                    counted(ended, "epoch")
                )
            }
            false => format!(
                "<p class=\"state\">Not finished: {ended} of {epochs} epochs, {updates} so far.</p>\n"
            ),
        };
        let warning = validation.and_then(Measured::means_little);
        let learning = Learning::of(self.epochs, warning.is_some());
        if let Some(warning) = &warning {
            lead.push_str(&paragraph(&format!(
                "Take care: {}.",
                warning.trim_start_matches("warning: ")
            )));
        }
        if let Some(learning) = learning {
            lead.push_str(&paragraph(&format!("The curves say: {learning}.")));
        }
        let mut facts = Vec::new();
        if let Some(Measured { scores, intervals }) = validation {
            let epoch = best(self.epochs).map_or(1, |line| line.epoch);
            facts.push(("best epoch", epoch.to_string()));
            let [roc_auc, pr_auc] = macro_means(scores, intervals);
            facts.push(("validation ROC-AUC", roc_auc));
            facts.push(("validation PR-AUC", pr_auc));
        }
        if let Some(Measured { scores, intervals }) = test {
            let [roc_auc, pr_auc] = macro_means(scores, intervals);
            facts.push(("test ROC-AUC", roc_auc));
            facts.push(("test PR-AUC", pr_auc));
        }
        let [train, validation, test] = self.clips.map(grouped);
        facts.push(("training clips", train));
        facts.push(("validation clips", validation));
        if self.clips[2] > 0 {
            facts.push(("test clips", test));
        }
        facts.push(("seed", self.seed.to_string()));
        lead.push_str("<dl class=\"facts\">");
        for (name, value) in facts {
            let _ = write!(lead, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        lead.push_str("</dl>\n");
        lead
    }

    fn curves(&self) -> Section {
        let mut body = String::new();
        if self.epochs.is_empty() {
            body.push_str(&paragraph("No epoch has ended yet."));
        }
        body.push_str("<div class=\"charts\">\n");
        let epoch = |line: &EpochMetrics| line.epoch as f64;
        let by_update = Axis { label: "update", range: None, whole: true };
        let by_epoch = Axis { label: "epoch", range: None, whole: true };
        let auto = |label| Axis { label, range: None, whole: false };
        let best = best(self.epochs);
        let update_mark = best.map(|line| (line.update as f64, "the best model"));
        let epoch_mark = best.map(|line| (line.epoch as f64, "the best model"));
        let chart = |id: &str, title, axes, lines: Vec<Line>, mark| {
            let description = lines.iter().map(extent).collect::<Vec<_>>().join(" ");
            Chart { id: id.to_owned(), title, description, axes, size: WIDE, lines, mark }
        };
        let line = |name: &str, points: Vec<[f64; 2]>| Line {
            name: name.to_owned(),
            points,
            look: Look::Marked,
        };
        let of_epochs = |value: &dyn Fn(&EpochMetrics) -> Option<f64>,
                         x: &dyn Fn(&EpochMetrics) -> f64| {
            let point = |line| Some([x(line), value(line)?]);
            self.epochs.iter().filter_map(point).collect::<Vec<[f64; 2]>>()
        };
        let update = |line: &EpochMetrics| line.update as f64;

        let training = self.looks();
        if !training.is_empty() {
            let validation = of_epochs(&|line| Some(line.validation_loss), &update);
            let mut lines = vec![line("training (mean of the epoch so far)", training)];
            if !validation.is_empty() {
                lines.push(line("validation", validation));
            }
            let axes = [by_update, auto("loss")];
            let _ =
                write!(body, "{}", chart("loss", "Loss over updates", axes, lines, update_mark));
        }
        let points = self.rates();
        let rate = Line { name: "learning rate".to_owned(), points, look: Look::Straight };
        let _ = write!(
            body,
            "{}",
            chart(
                "rate",
                "Learning rate over updates",
                [by_update, auto("learning rate")],
                vec![rate],
                None,
            )
        );
        if !self.epochs.is_empty() {
            let losses = vec![
                line("training (with dropout)", of_epochs(&|line| Some(line.train_loss), &epoch)),
                line("validation", of_epochs(&|line| Some(line.validation_loss), &epoch)),
            ];
            let axes = [by_epoch, auto("loss")];
            let title = "Training against validation";
            let _ = write!(body, "{}", chart("epochs", title, axes, losses, epoch_mark));
            let mean = |map: &serde_json::Map<String, serde_json::Value>| map["macro"].as_f64();
            let metrics = vec![
                line("ROC-AUC", of_epochs(&|line| mean(&line.roc_auc), &epoch)),
                line("PR-AUC", of_epochs(&|line| mean(&line.pr_auc), &epoch)),
            ];
            let axes = [by_epoch, auto("macro mean")];
            let title = "Validation metrics";
            let _ = write!(body, "{}", chart("metrics", title, axes, metrics, epoch_mark));
        }
        body.push_str("</div>\n");
        if best.is_some() {
            body.push_str(&paragraph("The vertical line marks the best model."));
        }
        if !self.epochs.is_empty() {
            body.push_str(&details("Every epoch in numbers", &self.epoch_table()));
        }
        Section { id: "training", title: "Training".to_owned(), body }
    }

    fn epoch_table(&self) -> String {
        let row = |line: &EpochMetrics| {
            let mean = |map: &serde_json::Map<String, serde_json::Value>| map["macro"].as_f64();
            vec![
                line.epoch.to_string(),
                grouped(line.update as usize),
                decimals(Some(line.train_loss)),
                decimals(Some(line.validation_loss)),
                decimals(mean(&line.roc_auc)),
                decimals(mean(&line.pr_auc)),
            ]
        };
        let table = Table {
            caption: "Losses and macro means after each epoch",
            head: &["epoch", "updates", "training loss", "validation loss", "ROC-AUC", "PR-AUC"],
            rows: self.epochs.iter().map(row).collect(),
            total: false,
        };
        scrolling("Epochs", &table.to_string())
    }

    /// The mean training loss since the epoch began, by update: TensorBoard's `loss/train`.
    fn looks(&self) -> Vec<[f64; 2]> {
        let inside = self.losses.iter().map(|&(update, loss)| [update as f64, f64::from(loss)]);
        let ends = self.epochs.iter().map(|line| [line.update as f64, line.train_loss]);
        let mut looks: Vec<[f64; 2]> = inside.chain(ends).collect();
        looks.sort_by(|a, b| a[0].total_cmp(&b[0]));
        looks
    }

    /// The learning rate over the whole training, done or not.
    fn rates(&self) -> Vec<[f64; 2]> {
        let train = &self.preset.train;
        let last = train.epochs * self.updates_per_epoch;
        let mut updates: Vec<u64> = (0..=RATE_POINTS).map(|at| at * last / RATE_POINTS).collect();
        updates.dedup();
        let rate = |update| [update as f64, train.learning_rate(update, self.updates_per_epoch)];
        updates.into_iter().map(rate).collect()
    }

    fn throughput(&self) -> Section {
        let Throughput { folder, device, pace } = self.throughput;
        let mut body =
            format!("<p>Run: {}</p>\n<p>Adapter: {}</p>\n", escape(folder), escape(device));
        if pace.is_empty() {
            body.push_str(&paragraph("The process that wrote this file trained on no clip."));
        } else {
            let row = |pace: &Pace| {
                let seconds = pace.seconds.max(1e-9);
                vec![
                    pace.epoch.to_string(),
                    grouped(pace.clips),
                    format!("{seconds:.1}"),
                    format!("{:.1}", pace.clips as f64 / seconds),
                    format!("{:.2} %", 100.0 * pace.waited / seconds),
                ]
            };
            body.push_str(&paragraph("Measured by the process that wrote this file."));
            let table = Table {
                caption: "Training",
                head: &["epoch", "clips", "seconds", "clips/s", "waiting for data"],
                rows: pace.iter().map(row).collect(),
                total: false,
            };
            body.push_str(&scrolling("Throughput", &table.to_string()));
        }
        Section { id: "throughput", title: "Adapter and throughput".to_owned(), body }
    }
}

/// ROC-AUC and PR-AUC over all moods, with their intervals.
fn macro_means(scores: &Scores, intervals: &Bootstrap) -> [String; 2] {
    [
        within(scores.roc_auc.macro_mean, intervals.roc_auc.macro_mean),
        within(scores.pr_auc.macro_mean, intervals.pr_auc.macro_mean),
    ]
}

/// A line in words: where it starts and ends, its lowest and its highest point.
fn extent(line: &Line) -> String {
    let values = || line.points.iter().map(|point| point[1]);
    let (Some(first), Some(last)) = (values().next(), values().next_back()) else {
        return format!("{}: no points.", line.name);
    };
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let [first, last, low, high] = [first, last, low, high].map(chart::Number);
    format!("{}: from {first} to {last}, lowest {low}, highest {high}.", line.name)
}

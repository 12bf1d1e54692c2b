//! Whether more labels would help: one model trained on a quarter, on half and on all of the training
//! tracks, judged on the same validation clips.
//!
//! The folder holds a run for each share, `share-25` and so on, and `learning-curve.csv` and `.html`. Started
//! again, it goes on where it stopped.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::exec::Device;
use crate::files::write_atomically;
use crate::metrics::{Interval, Measured, bounded};
use crate::model::preset::{MAX_EPOCHS, Train};
use crate::report::Progress;
use crate::report::page::{
    self, Axis, Chart, Document, Line, Look, Section, WIDE, paragraph, scrolling, within,
};
use crate::run::{Config, RunFolder, best, read_predictions};
use crate::train::{Outcome, Until, start_or_resume};
use crate::{Error, Result};

/// Shares of the training tracks, in percent.
const SHARES: [u32; 3] = [25, 50, 100];

/// A rise of the score from half of the tracks to all that more tracks may be expected to go on with.
const RISES: f64 = 0.01;

/// A model that was trained on a share of the tracks.
#[derive(Clone, Debug)]
pub struct Point {
    /// In percent.
    pub share: u32,
    /// Clips that it was trained on.
    pub clips: usize,
    /// The epoch that was kept.
    pub epoch: u64,
    /// On the validation clips.
    pub measured: Measured,
}

/// A model for each share.
#[derive(Clone, Debug)]
pub struct Curve {
    /// By share.
    pub points: Vec<Point>,
    /// How much more ROC-AUC the model of all tracks has than that of half of them, both judged on the same
    /// clips; none where no mood can be ranked.
    pub rise: Option<(f64, Option<Interval>)>,
}

fn run_folder(out: &Path, share: u32) -> PathBuf {
    out.join(format!("share-{share}"))
}

/// Trains what is not trained yet, and writes table and page into `out` at the end.
///
/// # Errors
/// `out` holds something else; what a training fails with; [`Stopped`](crate::error::Kind::Stopped) when told
/// to stop.
pub fn learning_curve(
    config: &Config,
    out: &Path,
    device: &Device,
    until: Until<'_>,
    progress: &Progress,
) -> Result<Curve> {
    let begun = SHARES.iter().any(|&share| RunFolder::at(&run_folder(out, share)).is_begun());
    if !begun {
        RunFolder::check_free(out)?;
    }
    let (mut points, mut judged) = (Vec::new(), Vec::new());
    for share in SHARES {
        progress.note(&format!("{share} % of the training tracks"));
        let mut config = config.clone();
        config.data.train_share = (share < 100).then(|| f64::from(share) / 100.0);
        stretch(&mut config.preset.train, 100 / share);
        let outcome = start_or_resume(config, &run_folder(out, share), device, until, progress)?;
        if outcome.interrupted {
            return Err(Error::stopped(format!(
                "stopped; go on with the same command and --out {}",
                out.display()
            )));
        }
        judged.push(read_predictions(&outcome.folder.predictions())?);
        points.push(Point::of(share, outcome)?);
    }
    let rise = match &judged[..] {
        [.., half, all] => all.better_than(half)?.roc_auc,
        _ => unreachable!("there are three shares"),
    };
    let rise = rise.value.macro_mean.map(|value| (value, rise.intervals.macro_mean));
    let curve = Curve { points, rise };
    write_atomically(&out.join("learning-curve.csv"), curve.csv().as_bytes())?;
    write_atomically(&out.join("learning-curve.html"), curve.html(config).as_bytes())?;
    Ok(curve)
}

/// As many updates on a part of the tracks as on all of them, at the same rates: an epoch is so many times
/// shorter. Else the part would be trained less, and more tracks seem to help that do not.
fn stretch(train: &mut Train, times: u32) {
    let epochs = |of_all: u64| of_all.saturating_mul(times.into()).min(MAX_EPOCHS);
    train.patience = train.patience.map(epochs);
    train.epochs = epochs(train.epochs);
    train.decay_epochs *= f64::from(times);
    train.average_epochs = train.average_epochs.map(|epochs| epochs * f64::from(times));
}

impl Point {
    fn of(share: u32, outcome: Outcome) -> Result<Self> {
        let clips = outcome.folder.description()?.training.map_or(0, |training| training.clips);
        let measured = outcome.validation.ok_or_else(|| {
            Error::failure(format!("{} has no scores", outcome.folder.path().display()))
        })?;
        let epoch = best(&outcome.metrics).map_or(1, |line| line.epoch);
        Ok(Self { share, clips, epoch, measured })
    }

    fn roc_auc(&self) -> (Option<f64>, Option<Interval>) {
        let Measured { scores, intervals } = &self.measured;
        (scores.roc_auc.macro_mean, intervals.roc_auc.macro_mean)
    }

    fn pr_auc(&self) -> (Option<f64>, Option<Interval>) {
        let Measured { scores, intervals } = &self.measured;
        (scores.pr_auc.macro_mean, intervals.pr_auc.macro_mean)
    }
}

impl Curve {
    /// Whether more labels would help, in a sentence.
    pub fn verdict(&self) -> String {
        let Some((rise, interval)) = self.rise else {
            return "no mood can be ranked on the validation clips: more are needed there"
                .to_owned();
        };
        if let [.., half, all] = &self.points[..]
            && 4 * half.clips > 3 * all.clips
        {
            return format!(
                "of so few tracks the shares hardly differ ({} and {} clips), so that nothing can be concluded",
                half.clips, all.clips
            );
        }
        let brought = format!("twice the tracks brought {rise:+.3} in ROC-AUC");
        match interval {
            Some(Interval(low, high)) if low <= 0.0 && high >= 0.0 => format!(
                "{brought}, which the validation clips cannot tell from nothing ({low:+.3} to {high:+.3}): judge \
                 on more of them, with --validation"
            ),
            _ if rise >= RISES => format!("{brought}: more labelled tracks would help"),
            _ if rise <= -RISES => format!(
                "{brought}: the score fell, so that it is not the number of tracks that it wants"
            ),
            _ => format!(
                "{brought}: the curve is level, and more tracks like these would hardly help"
            ),
        }
    }

    /// A line for each share.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:>6}  {:>6}  {:>10}  {:<21}  {}\n",
            "tracks", "clips", "best epoch", "ROC-AUC [95 %]", "PR-AUC [95 %]"
        );
        for point in &self.points {
            let (roc_auc, pr_auc) = (point.roc_auc(), point.pr_auc());
            let _ = writeln!(
                text,
                "{:>4} %  {:>6}  {:>10}  {:<21}  {}",
                point.share,
                point.clips,
                point.epoch,
                bounded(roc_auc.0, roc_auc.1),
                bounded(pr_auc.0, pr_auc.1)
            );
        }
        text + &self.verdict()
    }

    fn csv(&self) -> String {
        let mut text = "share,clips,best_epoch,roc_auc,roc_auc_low,roc_auc_high,pr_auc,pr_auc_low,\
                        pr_auc_high\n"
            .to_owned();
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        for point in &self.points {
            let _ = write!(text, "{},{},{}", point.share, point.clips, point.epoch);
            for (value, interval) in [point.roc_auc(), point.pr_auc()] {
                let (low, high) = (interval.map(|i| i.0), interval.map(|i| i.1));
                let _ = write!(text, ",{},{},{}", number(value), number(low), number(high));
            }
            text.push('\n');
        }
        text
    }

    fn html(&self, config: &Config) -> String {
        let title = format!("Learning curve of {} on {}", config.preset_name, config.data.name());
        let line = |name: &str, value: &dyn Fn(&Point) -> Option<f64>, look| Line {
            name: name.to_owned(),
            points: self
                .points
                .iter()
                .filter_map(|point| Some([point.clips as f64, value(point)?]))
                .collect(),
            look,
        };
        let bound = |at: fn(Interval) -> f64| move |point: &Point| point.roc_auc().1.map(at);
        let lines = vec![
            line("ROC-AUC", &|point| point.roc_auc().0, Look::Marked),
            line("95 %, from", &bound(|interval| interval.0), Look::Reference),
            line("to", &bound(|interval| interval.1), Look::Reference),
        ];
        let chart = Chart {
            id: "curve".to_owned(),
            title: "Validation ROC-AUC by training clips",
            description: self.verdict(),
            axes: [
                Axis { label: "training clips", range: None, whole: true },
                Axis { label: "macro ROC-AUC", range: None, whole: false },
            ],
            size: WIDE,
            lines,
            mark: None,
        };
        let row = |point: &Point| {
            let (roc_auc, pr_auc) = (point.roc_auc(), point.pr_auc());
            vec![
                format!("<a href=\"share-{0}/report.html\">{0} %</a>", point.share),
                point.clips.to_string(),
                point.epoch.to_string(),
                within(roc_auc.0, roc_auc.1),
                within(pr_auc.0, pr_auc.1),
            ]
        };
        let table = page::Table {
            caption: "Models by share of the training tracks",
            head: &["tracks", "clips", "best epoch", "ROC-AUC", "PR-AUC"],
            rows: self.points.iter().map(row).collect(),
            total: false,
        };
        let body = format!("<div class=\"charts\">\n{chart}</div>\n")
            + &scrolling("Shares", &table.to_string());
        let lead = paragraph(&format!("In short: {}.", self.verdict()));
        let section = Section { id: "curve-section", title: "Curve".to_owned(), body };
        Document { title: &title, lead: &lead, sections: &[section], ..Document::default() }
            .to_string()
    }
}

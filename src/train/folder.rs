//! The run folder: which files a run writes, and what they say about how far it came.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::prepare::Prepared;
use crate::metrics::Scores;
use crate::model::checkpoint::write_atomically;
use crate::{Error, Result};

/// One line of `metrics.jsonl`. Nothing in it depends on the clock, so that a resumed run writes
/// the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: u64,
    /// Updates in all.
    pub update: u64,
    /// Of the next update.
    pub learning_rate: f64,
    /// Mean over the epoch's clips, with dropout, as training saw them.
    pub train_loss: f64,
    /// Mean over the validation clips.
    pub validation_loss: f64,
    /// `macro` and each mood; null where a mood has no positive or no negative.
    pub roc_auc: serde_json::Map<String, serde_json::Value>,
    pub pr_auc: serde_json::Map<String, serde_json::Value>,
}

impl EpochMetrics {
    /// The number that decides which model is kept.
    pub fn macro_roc_auc(&self) -> Option<f64> {
        self.roc_auc.get("macro").and_then(serde_json::Value::as_f64)
    }
}

/// The line of the best epoch: the greatest macro ROC-AUC, the earliest on ties.
pub fn best(metrics: &[EpochMetrics]) -> Option<&EpochMetrics> {
    metrics.iter().fold(None, |best, line| {
        let better = match (best.and_then(EpochMetrics::macro_roc_auc), line.macro_roc_auc()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(best), Some(new)) => new > best,
        };
        if better { Some(line) } else { best }
    })
}

#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes a new folder with its parents; refuses one that holds a run.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned() };
        if folder.config().exists() {
            return Err(Error::input(format!(
                "{} already holds a run; choose another --out, or go on with it: --resume {}",
                path.display(),
                path.display()
            )));
        }
        std::fs::create_dir_all(path).map_err(|error| Error::io("create", path, &error))?;
        let path = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
        Ok(Self { path })
    }

    /// An existing run.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned() };
        if !folder.config().is_file() {
            return Err(Error::input(format!(
                "{} holds no run: there is no config.toml in it; --resume takes the folder that a \
                 training was given as --out",
                path.display()
            )));
        }
        let path = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    pub fn predictions(&self) -> PathBuf {
        self.path.join("predictions.csv")
    }

    pub fn test_predictions(&self) -> PathBuf {
        self.path.join("predictions-test.csv")
    }

    /// The lines of `metrics.jsonl`; none where the file is not there yet. A last line that a kill
    /// cut off is left out: its epoch runs again.
    pub fn read_metrics(&self) -> Result<Vec<EpochMetrics>> {
        let path = self.metrics();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(|error| Error::io("read", &path, &error))?,
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|error| {
                    Error::input(format!("{} line {}: {error}", path.display(), index + 1))
                })
            })
            .collect()
    }

    pub fn write_metrics(&self, lines: &[EpochMetrics]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            let line =
                serde_json::to_string(line).map_err(|error| Error::failure(error.to_string()))?;
            text.push_str(&line);
            text.push('\n');
        }
        write_atomically(&self.metrics(), text.as_bytes())
    }
}

/// `id,path`, then `label_MOOD` and `score_MOOD` for every mood; scores are [clips, moods].
pub fn write_predictions(
    path: &Path,
    moods: &[String],
    clips: &[Prepared],
    scores: &[f32],
) -> Result<()> {
    let failed =
        |error: csv::Error| Error::failure(format!("cannot write {}: {error}", path.display()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let labels = moods.iter().map(|mood| format!("label_{mood}"));
    let header = labels.chain(moods.iter().map(|mood| format!("score_{mood}")));
    writer
        .write_record(["id".to_owned(), "path".to_owned()].into_iter().chain(header))
        .map_err(failed)?;
    for (clip, scores) in clips.iter().zip(scores.chunks(moods.len())) {
        let track = &clip.track.track;
        let labels = clip.track.targets.iter().map(|&target| u8::from(target).to_string());
        let scores = scores.iter().map(f32::to_string);
        writer
            .write_record(
                [track.id.clone(), track.listed.clone()].into_iter().chain(labels).chain(scores),
            )
            .map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::failure(format!("cannot write {}: {error}", path.display())))?;
    write_atomically(path, &bytes)
}

/// The metrics of an epoch, by mood.
pub fn by_mood(
    scores: &Scores,
    moods: &[String],
) -> Result<[serde_json::Map<String, serde_json::Value>; 2]> {
    let map =
        |per_mood: &crate::metrics::PerMood| match serde_json::to_value(per_mood.labelled(moods)) {
            Ok(serde_json::Value::Object(map)) => Ok(map),
            Ok(_) => Err(Error::failure("metrics by mood are not a map")),
            Err(error) => Err(Error::failure(error.to_string())),
        };
    Ok([map(&scores.roc_auc)?, map(&scores.pr_auc)?])
}

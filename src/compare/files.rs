//! The table of a comparison for other programs: CSV and JSON.

use serde_json::{Value, json};

use super::table::list;
use super::{Judgement, Statistic, Table};
use crate::metrics::Interval;
use crate::{Error, Result};

impl Table {
    /// One row a preset, one column a number, in full precision; empty where there is none.
    ///
    /// # Errors
    /// Never, but by a program that is wrong.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let failed = |error: csv::Error| Error::failure(error.to_string());
        let mut writer = csv::Writer::from_writer(Vec::new());
        for (at, row) in self.judgements.iter().enumerate() {
            let columns = columns(row);
            if at == 0 {
                writer.write_record(columns.iter().map(|(name, _)| name)).map_err(failed)?;
            }
            writer.write_record(columns.iter().map(|(_, value)| value)).map_err(failed)?;
        }
        writer.into_inner().map_err(|error| Error::failure(error.to_string()))
    }

    /// The same with names, `null` where there is no number, and the notes.
    ///
    /// # Errors
    /// Never, but by a program that is wrong.
    pub fn json(&self) -> Result<String> {
        let failed = |error: serde_json::Error| Error::failure(error.to_string());
        let rows = self.judgements.iter().map(|row| {
            let moods = &row.averaged.moods;
            let named = |values: &[Option<Statistic>]| -> Value {
                moods.iter().cloned().zip(values.iter().map(|value| json!(value))).collect()
            };
            let difference = match &row.difference {
                None => Value::Null,
                Some(difference) => json!({
                    "roc_auc": difference.roc_auc.value.labelled(moods),
                    "roc_auc_interval": difference.roc_auc.intervals.labelled(moods),
                    "pr_auc": difference.pr_auc.value.labelled(moods),
                    "pr_auc_interval": difference.pr_auc.intervals.labelled(moods),
                    "beyond_chance": row.beyond_chance(),
                }),
            };
            json!({
                "preset": row.name,
                "parameters": row.parameters,
                "clips_per_second": row.clips_per_second,
                "devices": row.devices,
                "epochs": row.epochs,
                "best_epochs": row.best_epochs,
                "train_loss": row.train_loss,
                "validation_loss": row.validation_loss,
                "gap": row.gap,
                "over_seeds": {
                    "roc_auc": row.roc_auc,
                    "pr_auc": row.pr_auc,
                    "mood_roc_auc": named(&row.mood_roc_auc),
                },
                "averaged_scores": {
                    "roc_auc": row.scores.roc_auc.labelled(moods),
                    "roc_auc_interval": row.intervals.roc_auc.labelled(moods),
                    "pr_auc": row.scores.pr_auc.labelled(moods),
                    "pr_auc_interval": row.intervals.pr_auc.labelled(moods),
                },
                "difference": difference,
            })
        });
        let rows: Vec<Value> = rows.collect();
        let clips = self.judgements.first().map(|first| first.averaged.clips());
        let all = json!({
            "seeds": self.seeds,
            "validation_clips": clips,
            "finished": self.judgements.len() == self.of,
            "presets": rows,
            "notes": self.notes(),
        });
        Ok(format!("{}\n", serde_json::to_string_pretty(&all).map_err(failed)?))
    }
}

/// Names and values of a row of the CSV.
fn columns(row: &Judgement) -> Vec<(String, String)> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let mut columns = vec![
        ("preset".to_owned(), row.name.clone()),
        ("parameters".to_owned(), row.parameters.to_string()),
        ("clips_per_second".to_owned(), number(row.clips_per_second)),
        ("epochs".to_owned(), row.epochs.to_string()),
        ("best_epochs".to_owned(), list(&row.best_epochs, " ")),
    ];
    let mut over_seeds = |name: &str, value: Option<Statistic>| {
        columns.push((name.to_owned(), number(value.map(|value| value.mean))));
        let deviation = value.and_then(|value| value.deviation);
        columns.push((format!("{name}_deviation"), number(deviation)));
    };
    over_seeds("train_loss", Some(row.train_loss));
    over_seeds("validation_loss", Some(row.validation_loss));
    over_seeds("gap", Some(row.gap));
    over_seeds("roc_auc", row.roc_auc);
    over_seeds("pr_auc", row.pr_auc);
    for (mood, value) in row.averaged.moods.iter().zip(&row.mood_roc_auc) {
        over_seeds(&format!("roc_auc_{mood}"), *value);
    }
    let mut bounded = |name: &str, value: Option<f64>, interval: Option<Interval>| {
        columns.push((name.to_owned(), number(value)));
        columns.push((format!("{name}_low"), number(interval.map(|interval| interval.0))));
        columns.push((format!("{name}_high"), number(interval.map(|interval| interval.1))));
    };
    let (scores, intervals) = (&row.scores, &row.intervals);
    let averaged = [
        ("averaged_roc_auc", &scores.roc_auc, &intervals.roc_auc),
        ("averaged_pr_auc", &scores.pr_auc, &intervals.pr_auc),
    ];
    for (name, value, intervals) in averaged {
        bounded(name, value.macro_mean, intervals.macro_mean);
    }
    let difference = row.difference.as_ref();
    let differences = [
        ("roc_auc_difference", difference.map(|difference| &difference.roc_auc)),
        ("pr_auc_difference", difference.map(|difference| &difference.pr_auc)),
    ];
    for (name, difference) in differences {
        let value = difference.and_then(|difference| difference.value.macro_mean);
        bounded(name, value, difference.and_then(|difference| difference.intervals.macro_mean));
    }
    let beyond = row.beyond_chance().map_or(String::new(), |beyond| beyond.to_string());
    columns.push(("beyond_chance".to_owned(), beyond));
    columns
}

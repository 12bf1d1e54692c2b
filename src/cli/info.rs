//! `moodshader info`: what a checkpoint holds.

use clap::Args;
use serde_json::{Map, json};

use super::{Format, model, to_json};
use crate::Result;
use crate::model::Graph;
use crate::model::checkpoint::{Description, FORMAT, Normalization, Training};
use crate::model::outline::{Line, outline};
use crate::model::preset::Scale;
use crate::output;

/// Show what a checkpoint holds: moods, recipe, layers, training and scores.
#[derive(Args, Debug)]
pub struct Info {
    #[command(flatten)]
    model: model::Named,
    /// Text for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Info {
    pub fn run(&self) -> Result<()> {
        let checkpoint = model::open(self.model.path())?;
        let description = checkpoint.description()?;
        let (columns, head) = outline(&Graph::of(&description.preset)?);
        let layers: Vec<Line> =
            columns.into_iter().chain([head]).flat_map(|column| column.lines).collect();
        let resumable = checkpoint.has_optimizer();
        match self.format {
            Format::Text => self.text(&description, &layers, resumable),
            Format::Json => {
                let document = json!({
                    "format": FORMAT,
                    "version": description.version,
                    "moods": description.labels,
                    "update": description.update,
                    "optimizer": resumable,
                    "split": description.split,
                    "normalization": description.normalization,
                    "thresholds": description.thresholds.as_ref().map(|thresholds| {
                        let by_mood = description.labels.iter().cloned().zip(thresholds);
                        by_mood.map(|(mood, at)| (mood, json!(at))).collect::<Map<_, _>>()
                    }),
                    "training": description.training,
                    "source": description.source,
                    "notice": description.notice,
                    "preset": description.preset,
                    "layers": layers.iter().map(|layer| json!({
                        "name": layer.name,
                        "operations": layer.operations,
                        "output": layer.output,
                        "parameters": layer.parameters,
                    })).collect::<Vec<_>>(),
                    "parameters": layers.iter().map(|layer| layer.parameters).sum::<usize>(),
                });
                output::line(to_json(&document)?);
            }
        }
        Ok(())
    }

    fn text(&self, description: &Description, layers: &[Line], resumable: bool) {
        let Description { labels, preset, normalization, .. } = description;
        let line = |what: &str, text: String| output::line(format_args!("{what:<12}{text}"));
        let optimizer = match resumable {
            true => ", with the optimiser's state: training can go on from here",
            false => "",
        };
        line(
            "file",
            format!("{} ({FORMAT}, version {})", self.model.path().display(), description.version),
        );
        if let Some(source) = &description.source {
            line("source", source.clone());
        }
        line("state", format!("after update {}{optimizer}", description.update));
        line("moods", labels.join(", "));
        if let Some(thresholds) = &description.thresholds {
            let shown: Vec<String> = labels
                .iter()
                .zip(thresholds)
                .map(|(mood, threshold)| match threshold {
                    Some(threshold) => format!("{mood} {threshold:.3}"),
                    None => format!("{mood} -"),
                })
                .collect();
            line("thresholds", shown.join(", "));
        }
        match &description.training {
            Some(training) => trained(training, labels, &line),
            None => line("training", "the file does not say".into()),
        }
        let (audio, features) = (&preset.audio, &preset.features);
        line("audio", format!("mono, {} Hz, clips of {} s", audio.sample_rate, audio.clip_seconds));
        line(
            "features",
            format!(
                "log-mel: n_fft {}, hop {}, {} bands from {} to {} Hz, {}",
                features.n_fft,
                features.hop,
                features.mels,
                features.fmin,
                features.fmax,
                match features.scale {
                    Scale::Decibels => format!("top_db {}", features.top_db),
                    Scale::Log10 => "log10(1 + 10000 · power)".to_owned(),
                }
            ),
        );
        let unit = if features.scale == Scale::Decibels { " dB" } else { "" };
        let Normalization { mean, std, .. } = normalization;
        line("", format!("standardised by mean {mean:.2}{unit}, deviation {std:.2}{unit}"));
        if let Some(notice) = &description.notice {
            output::line(format_args!("\n{notice}"));
        }
        output::line("");
        table(layers);
    }
}

fn trained(training: &Training, labels: &[String], line: &dyn Fn(&str, String)) {
    let Training { clips, positives, validation_clips, validation } = training;
    let moods: Vec<String> =
        labels.iter().zip(positives).map(|(mood, count)| format!("{mood} {count}")).collect();
    line(
        "training",
        format!("{clips} clips ({}), {validation_clips} for validation", moods.join(", ")),
    );
    let number =
        |value: Option<f64>| value.map_or("undefined".into(), |value| format!("{value:.4}"));
    if let Some(reached) = validation {
        line(
            "validation",
            format!(
                "after epoch {}: macro ROC-AUC {}, PR-AUC {}, loss {:.4}",
                reached.epoch,
                number(reached.roc_auc),
                number(reached.pr_auc),
                reached.loss
            ),
        );
    }
}

fn table(layers: &[Line]) {
    let width = layers.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).max(5);
    let row = |name: &str, output: &str, parameters: &str, operations: &str| {
        let line = format!("{name:<width$}  {output:<15}  {parameters:>10}  {operations}");
        output::line(line.trim_end());
    };
    row("layer", "output", "parameters", "operations");
    for layer in layers {
        let output = format!("{:?}", layer.output);
        // Without tensors of its own, a layer has no name.
        let parameters = match layer.parameters {
            0 => String::new(),
            count => count.to_string(),
        };
        row(&layer.name, &output, &parameters, &layer.operations.join(", "));
    }
    let total: usize = layers.iter().map(|layer| layer.parameters).sum();
    row("total", "", &total.to_string(), "");
}

//! What music of one's own says of how to train, where the command does not say it.
//!
//! The study's presets do what the study did on any data, if they are named.

use std::collections::HashSet;

use crate::Result;
use crate::dataset::labels::{MoodChoice, respell};
use crate::dataset::manifest::{self, Track};
use crate::model::preset::{Output, Preset};
use crate::report::Progress;
use crate::run::Data;

/// Epochs without a better score after which training on one's own music ends.
const PATIENCE: u64 = 10;

/// What the command leaves open.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// Outputs, loss, patience and averages: no preset of the study was named, and no file with one.
    pub recipe: bool,
    /// A preset of the study was named.
    pub study: bool,
    /// Layers and features are those of weights that are there. Outputs are chosen where they begin afresh, for
    /// other moods; and patience.
    pub from_checkpoint: bool,
    /// Each `--set`.
    pub sets: &'a [String],
}

impl Open<'_> {
    /// Whether the command says it.
    pub fn sets(&self, key: &str) -> bool {
        let key_of = |set: &String| set.split_once('=').map(|(key, _)| key.trim().to_owned());
        self.sets.iter().filter_map(key_of).any(|set| set == key)
    }
}

/// Chooses the moods, and what the training depends on.
///
/// # Errors
/// The manifest cannot be read, or its moods make no model.
pub fn settle(
    data: &mut Data,
    preset: &mut Preset,
    open: Open<'_>,
    progress: &Progress,
) -> Result<()> {
    let Some(path) = &data.data else { return Ok(()) };
    let own = manifest::is_own(path)?;
    if own {
        if data.moods.is_none() && preset.moods == Preset::named("paper")?.moods {
            data.moods = Some("all".to_owned());
        }
        if open.recipe || open.from_checkpoint {
            choose_recipe(data, preset, open, progress)?;
        }
    }
    if !own && open.recipe && preset.model.output == Output::Softmax {
        progress.note(
            "trained as the study trained on such a list: a track's moods share a probability of 1 (softmax); \
             --preset paper-sigmoid gives each its own",
        );
    }
    // On the data of the study, its presets leave out what it left out.
    data.negatives = preset.model.output == Output::Sigmoid && (own || !open.study);
    Ok(())
}

/// Whether tracks have other tags than the moods of a checkpoint: then these are the run's moods.
fn has_other_tags(tracks: &[Track], moods: &[String]) -> Result<bool> {
    let tags = MoodChoice::All.labels(tracks)?;
    Ok(tags.iter().collect::<HashSet<_>>() != moods.iter().collect())
}

fn choose_recipe(
    data: &mut Data,
    preset: &mut Preset,
    open: Open<'_>,
    progress: &Progress,
) -> Result<()> {
    let Some(path) = &data.data else { return Ok(()) };
    let mut tracks = manifest::read(path, data.audio_root.as_deref())?.tracks;
    if open.from_checkpoint && data.moods.is_none() && has_other_tags(&tracks, &preset.moods)? {
        data.moods = Some("all".to_owned());
    }
    let choice = match &data.moods {
        Some(moods) => MoodChoice::parse(moods)?,
        None => MoodChoice::Preset(preset.moods.clone()),
    };
    let labels = choice.labels(&tracks)?;
    respell(&mut tracks, &labels);
    let known: HashSet<&String> = labels.iter().collect();
    let has = |tags: &[String]| tags.iter().filter(|tag| known.contains(tag)).count();
    let several = tracks.iter().any(|track| has(&track.tags) > 1);
    let says_output = open.sets("model.output") || open.sets("train.loss");
    let open_softmax = !says_output && preset.model.output == Output::Softmax;
    let afresh = open.recipe || labels != preset.moods;
    if open_softmax && afresh && (several || labels.len() == 1) {
        preset.model.output = Output::Sigmoid;
        preset.train.loss = Output::Sigmoid.loss();
        progress.note(&format!(
            "{}: each has a probability of its own (model.output = \"sigmoid\")",
            if several { "tracks have several moods" } else { "there is one mood" }
        ));
    } else if open_softmax && several {
        progress.note(
            "tracks have several moods, and the moods of this model share a probability of 1 (model.output = \
             \"softmax\"): begin from nothing to give each its own",
        );
    }
    if !open.sets("train.patience") && preset.train.patience.is_none() {
        preset.train.patience = Some(PATIENCE);
    }
    if open.recipe && !open.sets("train.average_epochs") && preset.train.average_epochs.is_none() {
        preset.train.average_epochs = Preset::named("paper-averaged")?.train.average_epochs;
    }
    Ok(())
}

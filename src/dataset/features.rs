//! From clips of samples to log-mel spectrograms and hand-crafted features, on any device.
//!
//! ```text
//! samples → stft_power → mel → decibels or logarithms → [mels, frames]
//!    │          │         └→ peak ↗
//!    │          └→ spectral_shape → frame_statistics → [6], where a recipe asks for them
//!    └→ zero_crossings ───────────────↗
//! ```

use std::fmt;
use std::sync::Arc;

use crate::audio::Cut;
use crate::exec::{Arrival, Device, Executor, Input};
use crate::kernels::features::{
    HANDCRAFTED, MelFilters, decibels, frame_statistics, logarithms, mel, peak, spectral_shape,
    stft_power, stft_power_2048, twiddles, zero_crossings,
};
use crate::kernels::{Element, Facts};
use crate::model::preset::{self, Preset, Scale};
use crate::plan::{Plan, TensorId};
use crate::{Error, Result};

/// Clips that are transformed together at most.
const GROUP: usize = 4;

/// Elements that a tensor of a group may have: half of the smallest binding that an adapter must
/// allow, 128 MiB. A clip that needs more is transformed alone.
const GROUP_LIMIT: usize = 16 << 20;

/// Elements that a tensor may have at all, so that 32 bits count them.
const COUNT_LIMIT: usize = 1 << 30;

/// What a model hears of a clip, before standardisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// [mels, frames], as the recipe's scale has them
    pub log_mel: Vec<f32>,
    /// Where the recipe has a `rolloff`: see [`HANDCRAFTED`].
    pub handcrafted: Option<[f32; HANDCRAFTED]>,
}

/// Every number that a clip's features depend on; the definitions are librosa 0.11's.
///
/// Its text is the same for the same numbers only, so that it can be part of a cache key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureRecipe {
    /// What a clip is.
    pub audio: preset::Audio,
    /// How its log-mel spectrogram is made.
    pub features: preset::Features,
    /// Makes the hand-crafted features, with this share of a frame's magnitudes at or below the
    /// spectral rolloff. Their frames are the spectrogram's.
    pub rolloff: Option<f64>,
}

impl FeatureRecipe {
    /// What a preset's model hears.
    pub fn of(preset: &Preset) -> Self {
        let rolloff = preset.model.handcrafted.as_ref().map(|handcrafted| handcrafted.rolloff);
        Self { audio: preset.audio, features: preset.features, rolloff }
    }

    /// How clips are cut from a recording.
    pub fn cut(&self) -> Cut {
        self.features.cut(&self.audio)
    }

    /// Samples that a clip hears.
    pub fn clip_samples(&self) -> usize {
        self.cut().samples
    }

    /// Zeros around a clip, so that its frames are centred.
    fn padding(&self) -> usize {
        if self.features.context { 0 } else { self.features.n_fft / 2 }
    }

    /// Frames of a clip.
    pub fn frames(&self) -> usize {
        self.features.frames(&self.audio)
    }

    /// Numbers of a clip's log-mel spectrogram.
    pub fn log_mel_size(&self) -> usize {
        self.features.mels * self.frames()
    }

    /// The recipe of the log-mel spectrogram alone.
    pub fn log_mel(&self) -> Self {
        Self { rolloff: None, ..*self }
    }

    fn bins(&self) -> usize {
        1 + self.features.n_fft / 2
    }

    /// Elements of a clip's largest tensor.
    fn largest(&self) -> usize {
        let spectrum = self.bins().max(self.features.mels);
        self.clip_samples().max(self.frames().saturating_mul(spectrum))
    }

    /// Clips that are transformed together where there are enough.
    fn group(&self) -> usize {
        (GROUP_LIMIT / self.largest()).clamp(1, GROUP)
    }

    /// Refuses what no features can be made by.
    fn check(&self) -> Result<()> {
        self.audio.validate()?;
        self.features.validate(&self.audio)?;
        self.rolloff.map_or(Ok(()), preset::validate_rolloff)?;
        match self.largest() > COUNT_LIMIT {
            true => Err(self.too_long("32 bits do not count its spectra")),
            false => Ok(()),
        }
    }

    /// Refuses a recipe by which the device cannot transform a clip, before one is read.
    ///
    /// # Errors
    /// As [`Extractor::new`].
    pub fn check_fits(&self, device: &Device) -> Result<()> {
        self.check()?;
        let Device::Gpu(gpu) = device else { return Ok(()) };
        let (needed, allowed) =
            (4 * self.largest() as u64, gpu.limits().max_storage_buffer_binding_size);
        match needed > allowed {
            true => Err(self.too_long(format_args!(
                "its spectra need {} MiB in one binding and {} allows {} MiB",
                needed.div_ceil(1 << 20),
                gpu.summary().name,
                allowed >> 20
            ))),
            false => Ok(()),
        }
    }

    fn too_long(&self, reason: impl fmt::Display) -> Error {
        Error::input(format!(
            "audio.clip_seconds = {} is too long: {reason}; shorten the clips",
            self.audio.clip_seconds
        ))
    }
}

impl fmt::Display for FeatureRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preset::Audio { sample_rate, .. } = self.audio;
        let preset::Features { n_fft, hop, mels, fmin, fmax, top_db, scale, context } =
            self.features;
        let clip_samples = self.audio.clip_samples();
        write!(
            f,
            "log_mel sample_rate={sample_rate} clip_samples={clip_samples} n_fft={n_fft} hop={hop} \
             mels={mels} fmin={fmin} fmax={fmax}"
        )?;
        match scale {
            Scale::Decibels => write!(f, " top_db={top_db}")?,
            Scale::Log10 => f.write_str(" log10")?,
        }
        if context {
            f.write_str(" context")?;
        }
        if let Some(windows) = self.audio.windows {
            write!(f, " windows={windows}")?;
        }
        match self.rolloff {
            None => Ok(()),
            Some(share) => write!(f, " zero_crossing_rate spectral_centroid rolloff={share}"),
        }
    }
}

/// The tables that the kernels read besides the samples.
struct Tables {
    twiddles: Vec<f32>,
    bands: Vec<u32>,
    weights: Vec<f32>,
}

impl Tables {
    /// Computed in f64 and rounded.
    fn of(recipe: &FeatureRecipe) -> Self {
        let preset::Audio { sample_rate, .. } = recipe.audio;
        let preset::Features { n_fft, mels, fmin, fmax, .. } = recipe.features;
        let rounded = |table: Vec<f64>| table.into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let filters = MelFilters::slaney(sample_rate, n_fft, mels, fmin, fmax);
        Self {
            twiddles: rounded(twiddles(n_fft)),
            bands: filters.bands,
            weights: rounded(filters.weights),
        }
    }
}

/// A plan for features, with the tensors that the host writes and reads.
pub struct Program {
    /// Clips that it takes.
    pub clips: usize,
    /// The steps.
    pub plan: Plan,
    /// What the host writes and reads.
    pub handles: Handles,
}

/// The tensors of a plan for features that the host writes and reads.
#[derive(Clone, Copy)]
pub struct Handles {
    /// Input: [clips, samples].
    pub samples: TensorId,
    /// Output: [clips, mels, frames].
    pub log_mel: TensorId,
    /// Output where the recipe has a `rolloff`: [clips, 6].
    pub handcrafted: Option<TensorId>,
}

/// Plans by this recipe, on an adapter of which this is known: for groups of clips, where they can be
/// transformed together, and last for one.
///
/// # Errors
/// The recipe has a number that no spectrogram can be made with.
pub fn programs(recipe: &FeatureRecipe, facts: &Facts) -> Result<Vec<Program>> {
    recipe.check()?;
    let tables = Tables::of(recipe);
    let mut programs: Vec<Program> = Vec::new();
    for clips in [recipe.group(), 1] {
        if programs.iter().any(|program| program.clips == clips) {
            continue;
        }
        let (mut plan, handles) = plan(recipe, clips, &tables, facts);
        if let Some(before) = programs.last() {
            plan.share_constants(&before.plan);
        }
        programs.push(Program { clips, plan, handles });
    }
    Ok(programs)
}

/// The features of `clips` clips.
fn plan(recipe: &FeatureRecipe, clips: usize, tables: &Tables, facts: &Facts) -> (Plan, Handles) {
    let (frames, bins, mels) = (recipe.frames(), recipe.bins(), recipe.features.mels);
    let size = mels * frames;
    let mut plan = Plan::new(facts);
    let handles = Handles {
        samples: plan.input("samples", clips * recipe.clip_samples(), Element::F32),
        log_mel: plan.output("log-mel", clips * size),
        handcrafted: recipe.rolloff.map(|_| plan.output("hand-crafted", clips * HANDCRAFTED)),
    };
    let twiddles = plan.constant_numbers("twiddles", &tables.twiddles);
    let bands = plan.constant("bands", &tables.bands);
    let weights = plan.constant_numbers("weights", &tables.weights);
    let power = plan.scratch("power", clips * frames * bins);
    let energies = plan.scratch("energies", clips * size);

    let [clips, size] = [clips, size].map(|n| n as u32);
    let samples = handles.samples;
    let preset::Features { n_fft, hop, top_db, scale, .. } = recipe.features;
    let [length, hop, padding] = [recipe.clip_samples(), hop, recipe.padding()].map(|n| n as u32);
    if stft_power_2048::suits(n_fft, facts) {
        plan.step(
            stft_power_2048::Params { clips, samples: length, hop, padding },
            stft_power_2048::Tensors { samples, twiddles, power },
        );
    } else {
        plan.step(
            stft_power::Params { clips, samples: length, n_fft: n_fft as u32, hop, padding },
            stft_power::Tensors { samples, twiddles, power },
        );
    }
    plan.step(
        mel::Params {
            clips,
            frames: frames as u32,
            bins: bins as u32,
            mels: mels as u32,
            weights: tables.weights.len() as u32,
        },
        mel::Tensors { power, bands, weights, energies },
    );
    match scale {
        Scale::Decibels => {
            let loudest = plan.scratch("peak", clips as usize);
            plan.step(peak::Params { clips, size }, peak::Tensors { energies, peak: loudest });
            plan.step(
                decibels::Params { clips, size, top_db: top_db as f32 },
                decibels::Tensors { energies, peak: loudest, decibels: handles.log_mel },
            );
        }
        Scale::Log10 => plan.step(
            logarithms::Params { elements: clips * size },
            logarithms::Tensors { energies, logarithms: handles.log_mel },
        ),
    }
    if let (Some(share), Some(statistics)) = (recipe.rolloff, handles.handcrafted) {
        let [rates, centroids, rolloffs] = ["zero crossing rates", "centroids", "rolloffs"]
            .map(|name| plan.scratch(name, clips as usize * frames));
        plan.step(
            zero_crossings::Params { clips, samples: length, n_fft: n_fft as u32, hop },
            zero_crossings::Tensors { samples, rates },
        );
        plan.step(
            spectral_shape::Params {
                clips,
                frames: frames as u32,
                bins: bins as u32,
                bin_hz: (f64::from(recipe.audio.sample_rate) / n_fft as f64) as f32,
                share: share as f32,
            },
            spectral_shape::Tensors { power, centroids, rolloffs },
        );
        plan.step(
            frame_statistics::Params { clips, frames: frames as u32 },
            frame_statistics::Tensors { rates, centroids, rolloffs, statistics },
        );
    }
    (plan, handles)
}

/// The features of a group, on their way to the host.
struct Arriving {
    log_mel: Arrival,
    handcrafted: Option<Arrival>,
}

impl Arriving {
    fn clips(self, log_mel_size: usize) -> Result<Vec<Features>> {
        let log_mel = (self.log_mel)()?;
        let handcrafted = self.handcrafted.map(|arrival| arrival()).transpose()?;
        let mut handcrafted = handcrafted.iter().flat_map(|all| all.as_chunks().0).copied();
        let clips = log_mel
            .chunks(log_mel_size)
            .map(|log_mel| Features { log_mel: log_mel.to_vec(), handcrafted: handcrafted.next() });
        Ok(clips.collect())
    }
}

/// Computes features by one recipe.
pub struct Extractor {
    recipe: FeatureRecipe,
    executor: Box<dyn Executor>,
    /// Clips that a plan takes, the most first; the last takes single clips.
    programs: Vec<(usize, Handles)>,
    /// Samples of the group under way.
    group: Vec<f32>,
}

impl Extractor {
    /// Plans the work and compiles its kernels.
    ///
    /// # Errors
    /// The recipe has a number that no spectrogram can be made with, or the device cannot hold a
    /// clip's spectra.
    pub fn new(device: &Device, recipe: FeatureRecipe) -> Result<Self> {
        recipe.check_fits(device)?;
        let planned = programs(&recipe, device.facts())?;
        let load = |planned: Vec<Program>| -> Result<Self> {
            let programs = planned.iter().map(|program| (program.clips, program.handles)).collect();
            let plans = planned.into_iter().map(|program| Arc::new(program.plan)).collect();
            Ok(Self { recipe, executor: device.load(plans)?, programs, group: Vec::new() })
        };
        let single = planned.len() == 1;
        match load(planned) {
            Err(error) if error.kind.asks_for_less() && !single => {
                load(programs(&recipe, device.facts())?.split_off(1))
            }
            loaded => loaded,
        }
    }

    /// What the spectrograms are computed by.
    pub fn recipe(&self) -> &FeatureRecipe {
        &self.recipe
    }

    /// Each clip's features.
    ///
    /// # Errors
    /// A clip has not as many samples as the recipe says, or the device fails.
    pub fn extract(&mut self, clips: &[&[f32]]) -> Result<Vec<Features>> {
        let wanted = self.recipe.clip_samples();
        if let Some(clip) = clips.iter().find(|clip| clip.len() != wanted) {
            let got = clip.len();
            return Err(Error::input(format!("a clip has {got} samples instead of {wanted}")));
        }
        let mut features = Vec::with_capacity(clips.len());
        let mut rest = clips;
        // The host takes a group in while the device computes the next one.
        let mut under_way: Option<Arriving> = None;
        for (index, (clips, handles)) in self.programs.iter().enumerate() {
            while let Some((group, others)) = rest.split_at_checked(*clips) {
                rest = others;
                self.group.clear();
                self.group.extend(group.iter().copied().flatten());
                let inputs = [(handles.samples, Input::F32(&self.group))];
                self.executor.run(index, &inputs)?;
                let log_mel = self.executor.send(index, handles.log_mel)?;
                let handcrafted = handles.handcrafted.map(|id| self.executor.send(index, id));
                let handcrafted = handcrafted.transpose()?;
                if let Some(before) = under_way.replace(Arriving { log_mel, handcrafted }) {
                    features.extend(before.clips(self.recipe.log_mel_size())?);
                }
            }
        }
        if let Some(last) = under_way {
            features.extend(last.clips(self.recipe.log_mel_size())?);
        }
        Ok(features)
    }
}

impl fmt::Debug for Extractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extractor({})", self.recipe)
    }
}

//! From clips of samples to log-mel spectrograms and hand-crafted features, on any device.
//!
//! ```text
//! samples → stft_power → mel → decibels → [mels, frames] in dB
//!    │          │         └→ peak ↗
//!    │          └→ spectral_shape → frame_statistics → [6], where a recipe asks for them
//!    └→ zero_crossings ───────────────↗
//! ```

use std::fmt;
use std::sync::Arc;

use crate::exec::{Arrival, Device, Executor, Input};
pub use crate::kernels::features::HANDCRAFTED;
use crate::kernels::features::{
    MelFilters, decibels, frame_statistics, mel, peak, spectral_shape, stft_power, stft_power_2048,
    twiddles, zero_crossings,
};
use crate::kernels::{Element, Facts};
use crate::plan::{Plan, TensorId};
use crate::{Error, Result};

/// Clips that are transformed together where there are enough.
const GROUP: usize = 4;

/// Elements that a tensor of a group may have: half of the smallest binding that an adapter must
/// allow, 128 MiB. A clip that needs more is transformed alone.
const GROUP_LIMIT: usize = 16 << 20;

/// Elements that a tensor may have at all, so that 32 bits count them.
const COUNT_LIMIT: usize = 1 << 30;

/// Most mel bands; even at the longest transform, most bands would lie between two bins.
const MELS_LIMIT: usize = 4096;

/// Every number that a clip's features depend on; the definitions are librosa 0.11's.
///
/// The features of a clip are one array of [`Self::size`] numbers: the log-mel spectrogram
/// [mels, frames] in dB and, where the recipe has a `rolloff`, the [`HANDCRAFTED`] numbers after it.
///
/// Its text is the same for the same numbers only, so that it can be part of a cache key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureRecipe {
    /// Of the clips, in Hz.
    pub sample_rate: u32,
    /// Samples of a clip.
    pub clip_samples: usize,
    /// Samples of a frame; a power of two.
    pub n_fft: usize,
    /// Samples from a frame to the next.
    pub hop: usize,
    /// Mel bands.
    pub mels: usize,
    /// Lowest corner of the mel bands, in Hz.
    pub fmin: f64,
    /// Highest corner of the mel bands, in Hz.
    pub fmax: f64,
    /// What lies further than this below a clip's maximum is raised to it, in dB.
    pub top_db: f64,
    /// Makes the hand-crafted features, with this share of a frame's magnitudes at or below the
    /// spectral rolloff. Their frames are the spectrogram's.
    pub rolloff: Option<f64>,
}

impl FeatureRecipe {
    /// Frames of a clip.
    pub fn frames(&self) -> usize {
        1 + self.clip_samples / self.hop
    }

    /// Numbers of a clip's log-mel spectrogram.
    pub fn log_mel_size(&self) -> usize {
        self.mels * self.frames()
    }

    /// Numbers of a clip's features in all.
    pub fn size(&self) -> usize {
        self.log_mel_size() + if self.rolloff.is_some() { HANDCRAFTED } else { 0 }
    }

    fn bins(&self) -> usize {
        1 + self.n_fft / 2
    }

    /// Elements of a clip's largest tensor.
    fn largest(&self) -> usize {
        self.clip_samples.max(self.frames().saturating_mul(self.bins().max(self.mels)))
    }

    /// Names the first number that no spectrogram can be made with.
    fn check(&self) -> Result<()> {
        let nyquist = f64::from(self.sample_rate) / 2.0;
        let wrong = |what: String| Err(Error::input(format!("features: {what}")));
        if !self.n_fft.is_power_of_two() || !stft_power::N_FFT.contains(&self.n_fft) {
            let (low, high) = (stft_power::N_FFT.start(), stft_power::N_FFT.end());
            return wrong(format!(
                "n_fft is {}; it must be a power of two from {low} to {high}",
                self.n_fft
            ));
        }
        if self.hop == 0 || self.mels == 0 || self.clip_samples == 0 {
            return wrong("hop, mels and the clip's length must be at least 1".into());
        }
        if !(0.0 <= self.fmin && self.fmin < self.fmax && self.fmax <= nyquist) {
            return wrong(format!(
                "fmin {} Hz and fmax {} Hz must rise within 0 and {nyquist} Hz, half the sample rate",
                self.fmin, self.fmax
            ));
        }
        if !(self.top_db >= 0.0 && self.top_db.is_finite()) {
            return wrong(format!("top_db is {}; it must not be negative", self.top_db));
        }
        if let Some(share) = self.rolloff
            && !(0.0 < share && share < 1.0)
        {
            return wrong(format!("rolloff is {share}; it must lie between 0 and 1"));
        }
        if self.mels > MELS_LIMIT {
            return wrong(format!("{} mel bands are more than {MELS_LIMIT}", self.mels));
        }
        if self.largest().max(self.hop) > COUNT_LIMIT {
            return wrong("the clip is too long".into());
        }
        Ok(())
    }
}

impl fmt::Display for FeatureRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sample_rate, clip_samples, n_fft, hop, mels, fmin, fmax, top_db, rolloff } =
            self;
        write!(
            f,
            "log_mel sample_rate={sample_rate} clip_samples={clip_samples} n_fft={n_fft} hop={hop} \
             mels={mels} fmin={fmin} fmax={fmax} top_db={top_db}"
        )?;
        match rolloff {
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

/// A plan's tensors that the host touches.
struct Handles {
    samples: TensorId,
    twiddles: TensorId,
    bands: TensorId,
    weights: TensorId,
    decibels: TensorId,
    handcrafted: Option<TensorId>,
}

/// The features of `clips` clips.
fn plan(recipe: &FeatureRecipe, clips: usize, tables: &Tables, facts: &Facts) -> (Plan, Handles) {
    let (frames, bins, mels) = (recipe.frames(), recipe.bins(), recipe.mels);
    let size = mels * frames;
    let mut plan = Plan::new(facts);
    let handles = Handles {
        samples: plan.input("samples", clips * recipe.clip_samples, Element::F32),
        twiddles: plan.input("twiddles", tables.twiddles.len(), Element::F32),
        bands: plan.input("bands", tables.bands.len(), Element::U32),
        weights: plan.input("weights", tables.weights.len(), Element::F32),
        decibels: plan.output("decibels", clips * size),
        handcrafted: recipe.rolloff.map(|_| plan.output("hand-crafted", clips * HANDCRAFTED)),
    };
    let power = plan.scratch("power", clips * frames * bins);
    let energies = plan.scratch("energies", clips * size);
    let loudest = plan.scratch("peak", clips);

    let [clips, size] = [clips, size].map(|n| n as u32);
    let (samples, twiddles) = (handles.samples, handles.twiddles);
    let [length, hop] = [recipe.clip_samples, recipe.hop].map(|n| n as u32);
    if recipe.n_fft == stft_power_2048::N_FFT {
        plan.step(
            stft_power_2048::Params { clips, samples: length, hop },
            stft_power_2048::Tensors { samples, twiddles, power },
        );
    } else {
        plan.step(
            stft_power::Params { clips, samples: length, n_fft: recipe.n_fft as u32, hop },
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
        mel::Tensors { power, bands: handles.bands, weights: handles.weights, energies },
    );
    plan.step(peak::Params { clips, size }, peak::Tensors { energies, peak: loudest });
    plan.step(
        decibels::Params { clips, size, top_db: recipe.top_db as f32 },
        decibels::Tensors { energies, peak: loudest, decibels: handles.decibels },
    );
    if let (Some(share), Some(statistics)) = (recipe.rolloff, handles.handcrafted) {
        let [rates, centroids, rolloffs] = ["zero crossing rates", "centroids", "rolloffs"]
            .map(|name| plan.scratch(name, clips as usize * frames));
        plan.step(
            zero_crossings::Params {
                clips,
                samples: recipe.clip_samples as u32,
                n_fft: recipe.n_fft as u32,
                hop: recipe.hop as u32,
            },
            zero_crossings::Tensors { samples: handles.samples, rates },
        );
        plan.step(
            spectral_shape::Params {
                clips,
                frames: frames as u32,
                bins: bins as u32,
                bin_hz: (f64::from(recipe.sample_rate) / recipe.n_fft as f64) as f32,
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

/// A loaded plan, for groups of this many clips.
struct Program {
    clips: usize,
    handles: Handles,
}

/// The features of a group, on their way to the host.
struct Arriving {
    decibels: Arrival,
    handcrafted: Option<Arrival>,
}

impl Arriving {
    fn clips(self, log_mel_size: usize) -> Result<Vec<Vec<f32>>> {
        let decibels = (self.decibels)()?;
        let mut clips: Vec<_> = decibels.chunks(log_mel_size).map(<[f32]>::to_vec).collect();
        if let Some(handcrafted) = self.handcrafted {
            for (clip, six) in clips.iter_mut().zip(handcrafted()?.chunks(HANDCRAFTED)) {
                clip.extend_from_slice(six);
            }
        }
        Ok(clips)
    }
}

/// Computes features by one recipe.
pub struct Extractor {
    recipe: FeatureRecipe,
    tables: Tables,
    executor: Box<dyn Executor>,
    /// Largest groups first; the last takes single clips.
    programs: Vec<Program>,
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
        recipe.check()?;
        let FeatureRecipe { sample_rate, n_fft, mels, fmin, fmax, .. } = recipe;
        let rounded = |table: Vec<f64>| table.into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let filters = MelFilters::slaney(sample_rate, n_fft, mels, fmin, fmax);
        let tables = Tables {
            twiddles: rounded(twiddles(n_fft)),
            bands: filters.bands,
            weights: rounded(filters.weights),
        };
        let group = (GROUP_LIMIT / recipe.largest()).clamp(1, GROUP);
        let mut sizes = vec![group, 1];
        sizes.dedup();
        let (plans, programs) = sizes
            .into_iter()
            .map(|clips| {
                let (plan, handles) = plan(&recipe, clips, &tables, device.facts());
                (Arc::new(plan), Program { clips, handles })
            })
            .unzip();
        let executor = device.load(plans)?;
        Ok(Self { recipe, tables, executor, programs, group: Vec::new() })
    }

    /// What the spectrograms are computed by.
    pub fn recipe(&self) -> &FeatureRecipe {
        &self.recipe
    }

    /// Each clip's features, [`FeatureRecipe::size`] numbers before standardisation.
    ///
    /// # Errors
    /// A clip has not as many samples as the recipe says, or the device fails.
    pub fn extract(&mut self, clips: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let wanted = self.recipe.clip_samples;
        if let Some(clip) = clips.iter().find(|clip| clip.len() != wanted) {
            let got = clip.len();
            return Err(Error::input(format!("a clip has {got} samples instead of {wanted}")));
        }
        let mut features = Vec::with_capacity(clips.len());
        let mut rest = clips;
        // The host takes a group in while the device computes the next one.
        let mut under_way: Option<Arriving> = None;
        for (index, program) in self.programs.iter().enumerate() {
            let Program { clips, handles } = program;
            while let Some((group, others)) = rest.split_at_checked(*clips) {
                rest = others;
                self.group.clear();
                self.group.extend(group.iter().copied().flatten());
                let inputs = [
                    (handles.samples, Input::F32(&self.group)),
                    (handles.twiddles, Input::F32(&self.tables.twiddles)),
                    (handles.bands, Input::U32(&self.tables.bands)),
                    (handles.weights, Input::F32(&self.tables.weights)),
                ];
                self.executor.run(index, &inputs)?;
                let decibels = self.executor.send(index, handles.decibels)?;
                let handcrafted = handles.handcrafted.map(|id| self.executor.send(index, id));
                let handcrafted = handcrafted.transpose()?;
                if let Some(before) = under_way.replace(Arriving { decibels, handcrafted }) {
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

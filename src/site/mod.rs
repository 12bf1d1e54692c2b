//! A static site that names the moods of songs in a browser: the plans as data, the WGSL that they
//! launch, the weights, and a page that replays them on WebGPU. Nothing of it is computed twice: what
//! the page replays is what [`crate::exec::GpuPrograms`] replays.

mod folder;
mod json;
mod verification;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use crate::audio::INAUDIBLE;
use crate::dataset::features::{self, FeatureRecipe};
use crate::exec::{Limits, fits};
use crate::kernels::Facts;
use crate::kernels::features::mel_corner;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::model::preset::{Output, Preset, Scale};
use crate::model::{self, Network, Purpose};
use crate::plan::script::{Ends, Script};
use crate::plan::{Allocation, Plan};
use crate::{Error, Result};
use folder::{FORMAT, Folder, digest};
use weights::{Weights, Written};

pub use weights::Precision;

/// Files of the page, which are the same for every model.
const PAGE: [(&str, &str); 3] = [
    ("index.html", include_str!("../../assets/web/index.html")),
    ("moodshader.css", include_str!("../../assets/web/moodshader.css")),
    (
        "moodshader.js",
        concat!(
            include_str!("../../assets/web/replay.js"),
            include_str!("../../assets/web/recording.js"),
            include_str!("../../assets/web/page.js"),
            include_str!("../../assets/web/verification.js"),
        ),
    ),
];

/// Everything once more as a script, for a page that is opened as a file: browsers give such a page no
/// other file of its folder.
const DATA: &str = "data.js";
/// The notice that goes with weights of others.
const LICENCE: &str = "LICENSE-model.txt";

/// Clips that are predicted at a time, fewer than the program does: a phone has less memory, and a plan
/// for each size is downloaded.
const BATCHES: [usize; 2] = [8, 1];

/// What is written.
#[derive(Debug)]
pub struct Size {
    /// Bytes of what a visitor loads beside the weights.
    pub page: usize,
    /// Bytes of the weights.
    pub weights: usize,
}

/// Plans with what their buffers hold at first.
#[derive(Serialize)]
struct Programs {
    #[serde(flatten)]
    script: Script,
    contents: Vec<Written>,
}

/// What a site is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Of the trained weights.
    pub precision: Precision,
    /// Adds a page that replays the cases of `moodshader verify`.
    pub verification: bool,
}

/// Writes the site of a model of this name. A site that was there is replaced: until the new one is whole, a
/// page finds the old one. `done` is told how many of how many cases of the verification are written.
///
/// # Errors
/// The folder holds something else, in which files would be scattered; the model does not fit WebGPU's
/// default limits; a file cannot be written.
pub fn write(
    folder: &Path,
    name: &str,
    checkpoint: &Checkpoint,
    options: Options,
    done: impl FnMut(usize, usize),
) -> Result<Size> {
    let mut folder = Folder::open(folder)?;
    let description = checkpoint.description()?;
    let mut shaders = BTreeMap::new();
    let mut weights = Weights::default();
    let features = features(&description, &mut weights, &mut shaders)?;
    let prediction =
        prediction(checkpoint, &description, options.precision, &mut weights, &mut shaders)?;

    folder.begin()?;
    let sources: Vec<u8> = shaders.values().flat_map(|source| source.bytes()).collect();
    let below = format!("shaders/{}", digest(&sources));
    let paths: BTreeMap<_, _> =
        shaders.keys().map(|name| (*name, format!("{below}/{name}.wgsl"))).collect();
    for (name, source) in &shaders {
        folder.put(&paths[name], source.as_bytes())?;
    }
    let weights_file = format!("weights-{}.bin", digest(&weights.bytes));
    folder.put(&weights_file, &weights.bytes)?;
    if let Some(notice) = &description.notice {
        folder.put(LICENCE, notice.as_bytes())?;
    }
    for (name, text) in PAGE {
        folder.put(name, text.as_bytes())?;
    }
    if options.verification {
        verification::write(&mut folder, done)?;
    }
    let files: Vec<&str> = folder.written().iter().map(String::as_str).chain([DATA]).collect();
    let plan = json!({
        "format": FORMAT,
        "version": 1,
        "made_by": concat!("moodshader ", env!("CARGO_PKG_VERSION")),
        "model": about(name, &description),
        "audio": audio(&description.preset),
        "spectrogram": spectrogram(&description.preset),
        "shaders": paths,
        "weights": {"file": weights_file, "bytes": weights.bytes.len()},
        "features": value(&features)?,
        "prediction": value(&prediction)?,
        "verification": options.verification,
        "files": files,
    });
    let page: usize = PAGE.iter().map(|(_, text)| text.len()).sum();
    let size = Size {
        page: page + sources.len() + json::lines(&plan, json::DEPTH).len(),
        weights: weights.bytes.len(),
    };
    let data = json!({
        "plan": plan,
        "shaders": shaders,
        "weights": BASE64_STANDARD.encode(&weights.bytes),
    });
    folder.put(DATA, format!("var MOODSHADER_DATA = {data};\n").as_bytes())?;
    folder.finish(&plan)?;
    Ok(size)
}

/// The plans from samples to features.
fn features(
    description: &Description,
    weights: &mut Weights,
    shaders: &mut BTreeMap<&'static str, &'static str>,
) -> Result<Programs> {
    let planned = features::programs(&FeatureRecipe::of(&description.preset), &Facts::PORTABLE)?;
    let planned = planned.into_iter().map(|features::Program { clips, plan, handles }| {
        let mut outputs = vec![("log_mel", handles.log_mel)];
        outputs.extend(handles.handcrafted.map(|id| ("handcrafted", id)));
        (plan, Ends { clips, inputs: vec![("samples", handles.samples)], outputs })
    });
    let (allocation, ends) = allocate(planned.collect(), shaders)?;
    let contents = weights.put_constants(&allocation);
    Ok(Programs { script: Script::of(&allocation, &ends), contents })
}

/// The plans from features to probabilities.
fn prediction(
    checkpoint: &Checkpoint,
    description: &Description,
    precision: Precision,
    weights: &mut Weights,
    shaders: &mut BTreeMap<&'static str, &'static str>,
) -> Result<Programs> {
    let network = Network::new(&description.preset, description.normalization);
    let planned = BATCHES.into_iter().map(|clips| {
        let model::Program { plan, handles } =
            network.program(clips, Purpose::Inference, &Facts::PORTABLE);
        let mut inputs = vec![("log_mel", handles.input)];
        inputs.extend(handles.handcrafted.map(|id| ("handcrafted", id)));
        (plan, Ends { clips, inputs, outputs: vec![("probabilities", handles.output)] })
    });
    let (allocation, ends) = allocate(planned.collect(), shaders)?;
    let mut contents = weights.put_model(&allocation, &network, checkpoint, precision)?;
    contents.extend(weights.put_constants(&allocation));
    Ok(Programs { script: Script::of(&allocation, &ends), contents })
}

/// Lays out those of the plans that every adapter with WebGPU takes, and collects what they launch.
///
/// # Errors
/// The last plan, which is for one clip, is too large.
fn allocate(
    planned: Vec<(Plan, Ends)>,
    shaders: &mut BTreeMap<&'static str, &'static str>,
) -> Result<(Allocation, Vec<Ends>)> {
    let limits = Limits::default();
    let fits = |plan: &Plan| fits(plan, &limits, "a browser with WebGPU's default limits");
    let last = planned.len() - 1;
    let (mut plans, mut ends) = (Vec::new(), Vec::new());
    for (index, (plan, of_plan)) in planned.into_iter().enumerate() {
        match fits(&plan) {
            Err(error) if error.kind.asks_for_less() && index < last => continue,
            fits => fits?,
        }
        for step in plan.steps() {
            shaders.insert(step.launch.shader.name, step.launch.shader.source);
        }
        plans.push(Arc::new(plan));
        ends.push(of_plan);
    }
    Ok((Allocation::new(plans, limits.max_buffer_size as usize / 4), ends))
}

/// What the page says of the model.
fn about(name: &str, description: &Description) -> Value {
    let Description { labels, source, preset, .. } = description;
    let thresholds: Option<Vec<Option<f64>>> = description
        .thresholds
        .as_ref()
        .map(|_| labels.iter().map(|label| description.threshold(label)).collect());
    json!({
        "name": name,
        "about": source,
        "outputs": labels,
        "moods": description.moods(),
        "thresholds": thresholds,
        // As [`crate::predict::Choice`] has it.
        "one_at_least": description.moods.is_none(),
        "exclusive": preset.model.output == Output::Softmax,
        "licence": description.notice.as_ref().map(|_| LICENCE),
    })
}

/// How clips are cut from a recording: [`crate::audio::Cut`].
fn audio(preset: &Preset) -> Value {
    let cut = preset.cut();
    json!({
        "sample_rate": preset.audio.sample_rate,
        "step": cut.step,
        "before": cut.before,
        "samples": cut.samples,
        "slack": cut.slack,
        "windows": preset.audio.windows,
        "inaudible": INAUDIBLE,
    })
}

/// What the axes of a spectrogram are.
fn spectrogram(preset: &Preset) -> Value {
    let features = &preset.features;
    let centre = |band| mel_corner(band + 1, features.mels, features.fmin, features.fmax);
    json!({
        "mels": features.mels,
        "frames": preset.frames(),
        "hop": features.hop,
        "hz": (0..features.mels).map(centre).collect::<Vec<_>>(),
        "unit": match features.scale {
            Scale::Decibels => "dB",
            Scale::Log10 => "log10",
        },
    })
}

fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of)
        .map_err(|error| Error::failure(format!("no JSON can be made: {error}")))
}

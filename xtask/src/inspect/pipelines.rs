//! Every pipeline that the presets use, as SPIR-V.

use std::collections::BTreeMap;

use moodshader::dataset::features::{FeatureRecipe, programs};
use moodshader::kernels::{Binding, Constants, Facts, Launch, Shader};
use moodshader::model::bench::normalization;
use moodshader::model::preset::{Preset, Trainable};
use moodshader::model::{Network, Purpose};
use moodshader::plan::Plan;
use moodshader::{Error, Result};
use naga::back::{PipelineConstants, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{ShaderStage, front::wgsl};

/// Clips that layers which training leaves as they are compute together.
const EMBEDDED: usize = 16;

/// A schedule with its constants.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub shader: Shader,
    pub constants: Constants,
    pub bindings: &'static [Binding],
    /// The first preset that uses it.
    pub preset: &'static str,
}

impl Pipeline {
    pub fn of(launch: &Launch, preset: &'static str) -> Self {
        Self {
            shader: launch.shader,
            constants: launch.grid.constants.clone(),
            bindings: launch.kernel.bindings(),
            preset,
        }
    }
}

/// What an adapter of these facts is given for training, judging and predicting by every preset at its
/// own batch, with all layers and with the last one alone trained, and for features.
pub fn of_presets(facts: &Facts) -> Result<Vec<Pipeline>> {
    let mut found = BTreeMap::new();
    for name in Preset::names() {
        for plan in plans(&Preset::named(name)?, facts)? {
            for step in plan.steps() {
                let pipeline = Pipeline::of(&step.launch, name);
                found.entry(step.launch.pipeline_key()).or_insert(pipeline);
            }
        }
    }
    Ok(found.into_values().collect())
}

fn plans(preset: &Preset, facts: &Facts) -> Result<Vec<Plan>> {
    let batch = preset.train.batch;
    let network = Network::new(preset, normalization(preset));
    let purposes = [Purpose::Training, Purpose::Evaluation, Purpose::Inference];
    let mut plans: Vec<_> = purposes
        .into_iter()
        .map(|purpose| network.program(batch, purpose, facts).plan)
        .chain(programs(&FeatureRecipe::of(preset), facts)?.into_iter().map(|program| program.plan))
        .collect();
    let mut head = preset.clone();
    head.train.trainable = Trainable::Head;
    if let Some(frozen) = Network::frozen(&head, normalization(&head)) {
        let trained = Network::trained(&head, normalization(&head));
        plans.push(frozen.program(EMBEDDED, Purpose::Embedding, facts).plan);
        plans.push(trained.program(batch, Purpose::Training, facts).plan);
    }
    Ok(plans)
}

/// SPIR-V, as wgpu hands it to a driver.
#[derive(Debug)]
pub struct Translated {
    pub words: Vec<u32>,
    pub entry_point: String,
    /// Threads of a workgroup.
    pub threads: u32,
}

/// Translates as wgpu does where it is asked for no checks and no zeros in workgroup memory, with the
/// pipeline's constants in place, to a version of SPIR-V.
pub fn translate(pipeline: &Pipeline, version: (u8, u8)) -> Result<Translated> {
    let Pipeline { shader: Shader { name, source, .. }, constants, .. } = pipeline;
    let failure = |why: String| Error::failure(format!("{name}: {why}"));
    let module = wgsl::parse_str(source).map_err(|error| failure(error.emit_to_string(source)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| failure(error.emit_to_string(source)))?;
    let Some(entry) = module.entry_points.first() else {
        return Err(failure("no entry point".to_owned()));
    };
    let entry_point = entry.name.clone();
    let constants: PipelineConstants =
        constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let stage = ShaderStage::Compute;
    let (module, info) = process_overrides(&module, &info, Some((stage, &entry_point)), &constants)
        .map_err(|error| failure(error.to_string()))?;
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: version,
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        // What has no place in the map keeps its number: those that the kernels give are wgpu's.
        fake_missing_bindings: true,
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let wanted = spv::PipelineOptions { shader_stage: stage, entry_point: entry_point.clone() };
    let words = spv::write_vec(&module, &info, &options, Some(&wanted))
        .map_err(|error| failure(error.to_string()))?;
    let threads = module.entry_points[0].workgroup_size.iter().product();
    Ok(Translated { words, entry_point, threads })
}

//! Every shader as `naga` sees it: what it binds is what the Rust side declares, every backend
//! takes it, and it stays within what WebGPU promises on any adapter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use moodshader::kernels::{Access, Constants, Element, Facts, Listed, REGISTRY, Shader};
use moodshader::model::checkpoint::{HandcraftedNormalization, Normalization};
use moodshader::model::preset::Preset;
use moodshader::model::{Network, Program, Purpose};
use naga::back::{PipelineConstants, glsl, hlsl, msl, pipeline_constants, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ScalarKind, ShaderStage, StorageAccess, TypeInner};

/// WebGPU's default limits, besides those that schedules know of.
const WORKGROUP_DEPTH: u32 = 64;
const STORAGE_BUFFERS: usize = 8;
const WORKGROUPS: u32 = 65_535;
const BINDING_BYTES: usize = 128 << 20;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every schedule's shader, with the kernel that it computes.
fn shaders() -> impl Iterator<Item = (&'static Listed, Shader)> {
    REGISTRY.iter().flat_map(|kernel| (kernel.shaders)().into_iter().map(move |s| (kernel, s)))
}

/// A shader with its overrides still open.
fn parse(shader: Shader) -> (Module, ModuleInfo) {
    let Shader { name, source, .. } = shader;
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    let info = validate(&shader, &module);
    (module, info)
}

/// Whether a schedule is for any adapter; one that is not must say what it is for.
fn is_portable(shader: &Shader) -> bool {
    (shader.runs_on)(&Facts::PORTABLE)
}

/// A portable schedule asks for no capability.
fn validate(shader: &Shader, module: &Module) -> ModuleInfo {
    let id = shader.name;
    let capabilities =
        if is_portable(shader) { Capabilities::empty() } else { Capabilities::SUBGROUP };
    Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(module)
        .unwrap_or_else(|error| panic!("{id}: {error:?}"))
}

/// A shader as one of its pipelines has it.
struct Resolved {
    shader: Shader,
    constants: Constants,
    module: Module,
    info: ModuleInfo,
}

/// Every shader with every set of constants that its cases use.
fn resolved() -> Vec<Resolved> {
    let mut all = Vec::new();
    for (kernel, shader) in shaders() {
        let (module, info) = parse(shader);
        let mut seen = BTreeSet::new();
        for launch in (kernel.cases)().into_iter().map(|case| case.launch) {
            let constants = launch.grid.constants;
            if launch.shader.name != shader.name || !seen.insert(format!("{constants:?}")) {
                continue;
            }
            let values: PipelineConstants =
                constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            let main = (ShaderStage::Compute, module.entry_points[0].name.as_str());
            let (module, info) =
                pipeline_constants::process_overrides(&module, &info, Some(main), &values)
                    .unwrap_or_else(|error| panic!("{} {constants:?}: {error}", shader.name));
            let (module, info) = (module.into_owned(), info.into_owned());
            all.push(Resolved { shader, constants, module, info });
        }
    }
    all
}

#[test]
fn every_shader_is_registered_and_every_kernel_has_its_files_and_cases() {
    fn collect(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for item in folder.read_dir().expect("shaders/ can be read") {
            let path = item.expect("shaders/ can be read").path();
            if path.is_dir() {
                collect(&path, found);
            } else {
                found.insert(path);
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&repository().join("shaders"), &mut found);
    // By file, the kernels that use it, and the first files of the schedules.
    let mut uses: BTreeMap<_, [BTreeSet<&str>; 2]> = BTreeMap::new();
    for (kernel, shader) in shaders() {
        for file in shader.files {
            let path = repository().join("shaders").join(format!("{}.wgsl", file.path));
            let [kernels, firsts] = uses.entry(path).or_default();
            kernels.insert(kernel.id);
            firsts.insert(shader.files[0].path);
        }
    }
    assert!(found.iter().eq(uses.keys()), "{found:#?} lie there, {uses:#?} are used");
    let pieces = repository().join("shaders/pieces");
    for (path, [kernels, firsts]) in uses {
        if path.starts_with(&pieces) {
            assert!(firsts.len() >= 2, "{} is a piece of one file only", path.display());
        } else {
            assert_eq!(kernels.len(), 1, "{} is registered twice", path.display());
        }
    }
    for kernel in REGISTRY {
        let last = (kernel.shaders)().pop().expect("there is a schedule");
        assert_eq!(last.name, kernel.id, "the general schedule comes last");
        let file = repository().join("src/kernels").join(format!("{}.rs", kernel.id));
        assert!(file.is_file(), "{} is missing", file.display());
        for kind in ["minimal", "odd", "typical"] {
            let has = (kernel.cases)().iter().any(|case| case.name.starts_with(kind));
            assert!(has, "{} has no {kind} case", kernel.id);
        }
    }
}

#[test]
fn bindings_are_as_declared() {
    for (kernel, shader) in shaders() {
        let (module, _) = parse(shader);
        assert_eq!(module.entry_points.len(), 1, "{}", shader.name);
        assert_eq!(module.entry_points[0].stage, ShaderStage::Compute, "{}", shader.name);

        let mut reflected: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let place = variable.binding?;
                assert_eq!(place.group, 0, "{}", shader.name);
                let access = match variable.space {
                    AddressSpace::Uniform => "uniform",
                    AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                        "read_write"
                    }
                    AddressSpace::Storage { .. } => "read",
                    other => panic!("{}: {:?} is in {other:?}", shader.name, variable.name),
                };
                let element = match variable.space {
                    AddressSpace::Uniform if place.binding == 0 => None,
                    _ => Some(element(&module, variable.ty)),
                };
                Some((place.binding, variable.name.clone().unwrap_or_default(), access, element))
            })
            .collect();
        reflected.sort_by_key(|&(binding, ..)| binding);

        let mut declared = vec![(0, "params".to_owned(), "uniform", None)];
        for (number, binding) in (1..).zip(kernel.bindings) {
            let access = match binding.access {
                Access::Read => "read",
                Access::Uniform => "uniform",
                Access::Write | Access::Update | Access::Shares => "read_write",
            };
            declared.push((number, binding.name.to_owned(), access, Some(binding.element)));
        }
        assert_eq!(reflected, declared, "{}", shader.name);
    }
}

/// The number that an array holds, alone, in vectors or in matrices.
fn element(module: &Module, ty: naga::Handle<naga::Type>) -> Element {
    match module.types[ty].inner {
        TypeInner::Array { base, .. } => element(module, base),
        TypeInner::Scalar(scalar)
        | TypeInner::Atomic(scalar)
        | TypeInner::Vector { scalar, .. }
        | TypeInner::Matrix { scalar, .. } => match (scalar.kind, scalar.width) {
            (ScalarKind::Float, 4) => Element::F32,
            (ScalarKind::Uint, 4) => Element::U32,
            other => panic!("a tensor holds {other:?}"),
        },
        ref other => panic!("a tensor is {other:?}"),
    }
}

#[test]
fn parameters_lie_in_the_uniform_block_as_in_the_struct() {
    for (kernel, shader) in shaders() {
        let (module, _) = parse(shader);
        let block = module
            .global_variables
            .iter()
            .find(|(_, variable)| variable.space == AddressSpace::Uniform)
            .map(|(_, variable)| &module.types[variable.ty].inner);
        let Some(TypeInner::Struct { members, span }) = block else {
            panic!("{}: no uniform struct", shader.name);
        };
        let reflected: Vec<_> = members
            .iter()
            .map(|member| {
                let ty = match module.types[member.ty].inner {
                    TypeInner::Scalar(naga::Scalar::U32) => "u32",
                    TypeInner::Scalar(naga::Scalar::I32) => "i32",
                    TypeInner::Scalar(naga::Scalar::F32) => "f32",
                    ref other => panic!("{}: {:?} is {other:?}", shader.name, member.name),
                };
                (member.name.as_deref().unwrap_or_default(), ty, member.offset)
            })
            .collect();
        let declared: Vec<_> = (0..)
            .step_by(4)
            .zip((kernel.fields)())
            .map(|(offset, field)| (field.name, field.ty, offset))
            .collect();
        assert_eq!(reflected, declared, "{}", shader.name);
        for case in (kernel.cases)() {
            let params = case.launch.kernel.params();
            assert_eq!(params.len(), *span as usize, "{}", shader.name);
        }
    }
}

#[test]
fn shaders_stay_within_the_limits_that_they_are_chosen_by() {
    const LEAST: Facts = Facts::PORTABLE;
    for Resolved { shader, constants, module, .. } in resolved() {
        if !is_portable(&shader) {
            continue;
        }
        let id = shader.name;
        let memory: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
            .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
            .sum();
        assert!(memory <= LEAST.workgroup_bytes, "{id} {constants:?}: {memory} bytes a workgroup");
        let size = module.entry_points[0].workgroup_size;
        let threads: u32 = size.iter().product();
        assert!(threads <= LEAST.workgroup_threads, "{id} {constants:?}: {threads} threads");
        assert!(size[2] <= WORKGROUP_DEPTH, "{id} {constants:?}: {size:?}");
    }
    for kernel in REGISTRY {
        assert!(kernel.bindings.len() <= STORAGE_BUFFERS, "{}", kernel.id);
        for case in (kernel.cases)() {
            let most = case.launch.grid.workgroups.into_iter().max();
            assert!(most <= Some(WORKGROUPS), "{}: {most:?} workgroups", kernel.id);
        }
    }
}

#[test]
fn every_backend_takes_every_shader() {
    for shader in resolved() {
        let Resolved { shader: Shader { name, .. }, constants, module, info } = &shader;
        let fail = |backend: &str, error: &dyn std::fmt::Display| -> ! {
            panic!("{name} {constants:?} as {backend}: {error}")
        };
        spirv(&shader);
        if !is_portable(&shader.shader) {
            continue;
        }
        let (options, pipeline) = (msl::Options::default(), msl::PipelineOptions::default());
        // Metal 2.0 is the least that wgpu runs on.
        let options = msl::Options { lang_version: (2, 0), ..options };
        if let Err(error) = msl::write_string(module, info, &options, &pipeline) {
            fail("MSL", &error);
        }
        for shader_model in [hlsl::ShaderModel::V5_1, hlsl::ShaderModel::V6_0] {
            let options = hlsl::Options { shader_model, ..Default::default() };
            let pipeline = hlsl::PipelineOptions::default();
            let mut text = String::new();
            let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
            if let Err(error) = writer.write(module, info, None) {
                fail("HLSL", &error);
            }
        }
        let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
        let pipeline = glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: module.entry_points[0].name.clone(),
            multiview: None,
        };
        let mut text = String::new();
        let policies = naga::proc::BoundsCheckPolicies::default();
        let result = glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
            .and_then(|mut writer| writer.write());
        if let Err(error) = result {
            fail("GLSL", &error);
        }
    }
}

/// SPIR-V for Vulkan 1.1.
fn spirv(shader: &Resolved) -> Vec<u32> {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    spv::write_vec(&shader.module, &shader.info, &options, None)
        .unwrap_or_else(|error| panic!("{} {:?}: {error}", shader.shader.name, shader.constants))
}

/// Other people's validators, where this machine has them.
#[test]
fn tint_and_spirv_val_take_every_shader() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if found("tint") {
        let file = folder.path().join("shader.wgsl");
        for (_, shader) in shaders() {
            // What wgpu takes without a word, the standard wants to be told.
            let enabled = if is_portable(&shader) { "" } else { "enable subgroups;\n" };
            std::fs::write(&file, [enabled, shader.source].concat()).expect("the file is written");
            accepts(Command::new("tint").args(["--format", "wgsl"]).arg(&file), shader.name);
        }
    } else {
        println!("tint is not on PATH: left out");
    }
    if found("spirv-val") {
        let file = folder.path().join("shader.spv");
        for shader in resolved() {
            let words = spirv(&shader);
            std::fs::write(&file, bytemuck::cast_slice(&words)).expect("the file is written");
            let mut command = Command::new("spirv-val");
            accepts(command.args(["--target-env", "vulkan1.1"]).arg(&file), shader.shader.name);
        }
    } else {
        println!("spirv-val is not on PATH: left out");
    }
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn accepts(command: &mut Command, id: &str) {
    let output = command.output().expect("the validator starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} refuses {id}: {words}");
}

#[test]
fn plans_of_every_preset_stay_within_the_default_limits() {
    for name in Preset::names() {
        let preset = Preset::named(name).expect("the preset is embedded");
        assert!(preset.train.batch >= 16, "{name}");
        let handcrafted = HandcraftedNormalization { mean: [0.0; 6], std: [1.0; 6] };
        let handcrafted = preset.model.handcrafted.as_ref().map(|_| handcrafted);
        let normalization = Normalization { mean: 0.0, std: 1.0, handcrafted };
        let network = Network::new(&preset, normalization);
        for purpose in [Purpose::Training, Purpose::Evaluation, Purpose::Inference] {
            let batch = preset.train.batch;
            within_the_default_limits(&network.program(batch, purpose, &Facts::PORTABLE));
        }
    }
}

fn within_the_default_limits(program: &Program) {
    for step in program.plan.steps() {
        let workgroups = step.launch.grid.workgroups;
        assert!(
            workgroups.iter().all(|&n| 0 < n && n <= WORKGROUPS),
            "{}: {workgroups:?}",
            step.launch.shader.name
        );
        for &id in &step.tensors {
            let tensor = program.plan.tensor(id);
            let bytes = 4 * tensor.length;
            assert!(bytes <= BINDING_BYTES, "{}: {} MiB", tensor.name, bytes >> 20);
        }
    }
}

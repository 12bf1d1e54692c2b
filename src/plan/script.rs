//! Plans as plain data, for whoever replays them outside of this program: pages in a browser do.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Allocation, Extent, Memory, Step, TensorId};
use crate::kernels::{Access, Element, Launch};

/// Plans over shared buffers, as [`Allocation`] has laid them out.
#[derive(Debug, Serialize)]
pub struct Script {
    /// Each is zero at first.
    pub buffers: Vec<ScriptBuffer>,
    /// One a plan.
    pub programs: Vec<Replay>,
}

/// A buffer to make.
#[derive(Debug, Serialize)]
pub struct ScriptBuffer {
    /// For people.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// What replaying a plan is.
#[derive(Debug, Serialize)]
pub struct Replay {
    /// How many it takes.
    pub clips: usize,
    /// What is written before.
    pub inputs: BTreeMap<&'static str, Extent>,
    /// What can be read after.
    pub outputs: BTreeMap<&'static str, Extent>,
    /// Dispatches, in order.
    pub steps: Vec<ScriptStep>,
}

/// A dispatch.
#[derive(Debug, Serialize)]
pub struct ScriptStep {
    /// How it is launched.
    #[serde(flatten)]
    pub launch: ScriptLaunch,
    /// From binding 1 on.
    pub bindings: Vec<ScriptBinding>,
}

/// A pipeline with its parameters.
#[derive(Debug, Serialize)]
pub struct ScriptLaunch {
    /// The kernel's identity.
    pub kernel: &'static str,
    /// The name of its schedule, and so of its WGSL.
    pub shader: &'static str,
    /// Values of `override` constants.
    pub constants: BTreeMap<&'static str, f64>,
    /// To dispatch.
    pub workgroups: [u32; 3],
    /// The uniform block at binding 0; floats by their bits.
    pub parameters: Vec<u32>,
}

/// What a dispatch binds.
#[derive(Debug, Serialize)]
pub struct ScriptBinding {
    /// The tensor's name, for people.
    pub tensor: String,
    /// "read", "uniform", "write", "update" or "shares".
    pub access: &'static str,
    /// Where it lies.
    #[serde(flatten)]
    pub range: Extent,
}

/// The ends of a plan: how many clips it takes, what the host writes and what it reads.
#[derive(Debug)]
pub struct Ends {
    /// Clips.
    pub clips: usize,
    /// Names and tensors.
    pub inputs: Vec<(&'static str, TensorId)>,
    /// Names and tensors.
    pub outputs: Vec<(&'static str, TensorId)>,
}

impl Script {
    /// Of the allocation's plans, whose ends come in the same order.
    pub fn of(allocation: &Allocation, ends: &[Ends]) -> Self {
        let buffers = allocation.buffers().iter().map(|buffer| ScriptBuffer {
            name: match buffer.memory {
                Memory::Storage(storage) => format!("{storage:?}"),
                Memory::Arena(arena) => format!("{arena:?}"),
                Memory::Constants(_) => "Constants".to_owned(),
            },
            bytes: buffer.bytes(),
        });
        let programs = ends.iter().enumerate().map(|(plan, ends)| {
            let ranges = |named: &[(&'static str, TensorId)]| {
                named.iter().map(|&(name, id)| (name, allocation.range(plan, id))).collect()
            };
            let steps = allocation.plans()[plan].steps().iter();
            Replay {
                clips: ends.clips,
                inputs: ranges(&ends.inputs),
                outputs: ranges(&ends.outputs),
                steps: steps.map(|step| ScriptStep::of(allocation, plan, step)).collect(),
            }
        });
        Self { buffers: buffers.collect(), programs: programs.collect() }
    }
}

impl ScriptStep {
    fn of(allocation: &Allocation, plan: usize, step: &Step) -> Self {
        let uses = step.uses().zip(allocation.bindings(plan, step));
        let bindings = uses.map(|((id, access), range)| ScriptBinding {
            tensor: allocation.plans()[plan].tensor(id).name.clone(),
            access: access_name(access),
            range,
        });
        Self { launch: ScriptLaunch::of(&step.launch), bindings: bindings.collect() }
    }
}

impl ScriptLaunch {
    /// What a launch is, without what it binds.
    pub fn of(launch: &Launch) -> Self {
        Self {
            kernel: launch.kernel.id(),
            shader: launch.shader.name,
            constants: launch.grid.constants.iter().copied().collect(),
            workgroups: launch.grid.workgroups,
            parameters: bytemuck::pod_collect_to_vec(launch.kernel.params()),
        }
    }
}

/// What a tensor holds, in a word.
pub const fn element_name(element: Element) -> &'static str {
    match element {
        Element::F32 => "float32",
        Element::U32 => "uint32",
    }
}

/// How a kernel uses a tensor, in a word.
pub const fn access_name(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Uniform => "uniform",
        Access::Write => "write",
        Access::Update => "update",
        Access::Shares => "shares",
    }
}

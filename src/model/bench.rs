//! How long an update takes: a plan with drawn weights, replayed on drawn batches.

use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{HandcraftedNormalization, Normalization};
use super::parameters::{initialise, initialise_buffers};
use super::preset::Preset;
use super::{Handles, Network, Program, Purpose};
use crate::Result;
use crate::exec::{Executor, Gpu, GpuPrograms, Input};
use crate::kernels::features::HANDCRAFTED;
use crate::kernels::optim::adam;
use crate::plan::{Plan, Storage, TensorId};

/// For so long whole replays are timed, at least.
const SECONDS: f64 = 2.0;
/// Batches of different data that take turns.
const BATCHES: u64 = 4;

/// A loaded plan with batches to feed it.
pub struct UpdateBench {
    programs: GpuPrograms,
    plan: Arc<Plan>,
    handles: Handles,
    batches: Vec<[Vec<f32>; 3]>,
    preset: Preset,
}

impl UpdateBench {
    /// Whole updates at one batch size.
    ///
    /// # Errors
    /// The adapter cannot hold the plan; so of all that follow, or it fails.
    pub fn training(gpu: &Arc<Gpu>, preset: &Preset, batch: usize) -> Result<Self> {
        Self::load(gpu, preset, |network| network.program(batch, Purpose::Training, gpu.facts()))
    }

    /// The forward pass alone.
    ///
    /// # Errors
    /// As [`Self::training`].
    pub fn inference(gpu: &Arc<Gpu>, preset: &Preset, batch: usize) -> Result<Self> {
        Self::load(gpu, preset, |network| network.program(batch, Purpose::Inference, gpu.facts()))
    }

    fn load(
        gpu: &Arc<Gpu>,
        preset: &Preset,
        program: impl Fn(&Network) -> Program,
    ) -> Result<Self> {
        let network = Network::new(preset, normalization(preset));
        let Program { plan, handles } = program(&network);
        let plan = Arc::new(plan);
        let mut programs = GpuPrograms::new(Arc::clone(gpu), vec![Arc::clone(&plan)])?;
        for (storage, tensors) in [
            (Storage::Parameters, initialise(preset, 1)),
            (Storage::Buffers, initialise_buffers(preset)),
        ] {
            programs.upload(storage, &network.layout(storage).flatten(&tensors)?)?;
        }
        let batches = (0..BATCHES)
            .map(|batch| {
                let noise = |stream, low: f32, high: f32, count| -> Vec<f32> {
                    let mut state = (batch << 8 | stream) * 0x9e37_79b9_7f4a_7c15 + 1;
                    let mut next = || {
                        // xorshift64: speed does not depend on how good the noise is.
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        low + (high - low) * (state >> 40) as f32 / (1 << 24) as f32
                    };
                    (0..count).map(|_| next()).collect()
                };
                let length = |id| plan.tensor(id).length;
                let targets = noise(1, 0.0, 1.0, handles.targets.map_or(0, length));
                [
                    noise(0, -80.0, 0.0, length(handles.input)),
                    noise(2, -80.0, 0.0, handles.handcrafted.map_or(0, length)),
                    targets.into_iter().map(|x| f32::from(x > 0.7)).collect(),
                ]
            })
            .collect();
        let preset = preset.clone();
        Ok(Self { programs, plan, handles, batches, preset })
    }

    fn with_inputs<T>(
        &mut self,
        turn: u64,
        f: impl FnOnce(&mut GpuPrograms, &[(TensorId, Input<'_>)]) -> Result<T>,
    ) -> Result<T> {
        let train = &self.preset.train;
        let [log_mel, handcrafted, targets] = &self.batches[(turn % BATCHES) as usize];
        let control = adam::control(turn, 1, train.learning_rate, train.betas, 1.0);
        let mut inputs = vec![(self.handles.input, Input::F32(log_mel))];
        inputs.extend(self.handles.handcrafted.map(|id| (id, Input::F32(handcrafted))));
        inputs.extend(self.handles.targets.map(|id| (id, Input::F32(targets))));
        inputs.extend(self.handles.control.map(|id| (id, Input::U32(&control))));
        f(&mut self.programs, &inputs)
    }

    /// What is replayed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes that it takes on the device.
    pub fn device_bytes(&self) -> u64 {
        self.programs.device_bytes()
    }

    /// Until the device has done all.
    ///
    /// # Errors
    /// The device fails.
    pub fn wait(&mut self) -> Result<()> {
        self.programs.wait()
    }

    /// Counted operations of a replay.
    pub fn flops(&self) -> f64 {
        self.plan.steps().iter().map(|step| step.launch.kernel.cost().flops).sum()
    }

    /// Replays it once, on the batch whose turn it is.
    ///
    /// # Errors
    /// The device fails.
    pub fn step(&mut self, turn: u64) -> Result<()> {
        self.with_inputs(turn, |programs, inputs| programs.run(0, inputs))
    }

    /// As [`Self::step`]: seconds of every launch.
    ///
    /// # Errors
    /// The device fails.
    pub fn profile(&mut self, turn: u64) -> Result<Vec<f64>> {
        self.with_inputs(turn, |programs, inputs| Ok(programs.profile(0, inputs)?.seconds))
    }

    /// `least` whole replays or more in a row by the host's clock, after two to warm up, with a final
    /// wait.
    ///
    /// # Errors
    /// The device fails.
    pub fn seconds_of_a_step(&mut self, least: u32) -> Result<f64> {
        for turn in 0..2 {
            self.step(turn)?;
        }
        self.programs.wait()?;
        let start = Instant::now();
        let mut steps = 0;
        while steps < least || start.elapsed().as_secs_f64() < SECONDS {
            self.step(u64::from(steps))?;
            steps += 1;
        }
        self.programs.wait()?;
        Ok(start.elapsed().as_secs_f64() / f64::from(steps))
    }
}

/// A standardisation that fits the noise that is fed.
pub fn normalization(preset: &Preset) -> Normalization {
    let handcrafted = preset
        .model
        .handcrafted
        .as_ref()
        .map(|_| HandcraftedNormalization { mean: [-40.0; HANDCRAFTED], std: [15.0; HANDCRAFTED] });
    Normalization { mean: -40.0, std: 15.0, handcrafted }
}

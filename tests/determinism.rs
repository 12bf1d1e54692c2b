//! The same input gives the same bits: on the adapter from run to run, on the CPU from one number
//! of threads to another.

mod support;

#[path = "support/small.rs"]
mod small;

use std::sync::{Arc, OnceLock};

use moodshader::exec::verification::cases;
use moodshader::exec::{CpuPrograms, Executor, Gpu, GpuOptions, GpuPrograms, Input};
use moodshader::kernels::layers::dropout::CONTROL_WORDS;
use moodshader::kernels::optim::adam;
use moodshader::kernels::verify::Values;
use moodshader::model::{Handles, Network, Purpose};
use moodshader::plan::{Plan, Storage};

/// The adapter as `moodshader train` opens it: without checks, and with workgroup memory as it comes
/// rather than zero.
fn gpu() -> &'static Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| {
        let adapter = support::adapter();
        Arc::new(Gpu::open(adapter, GpuOptions::default()).expect("the adapter opens"))
    })
}

/// Clips of an update.
const CLIPS: usize = 5;

const TRAINS: &str = "a training plan has one";

/// A training plan of the small model and what it starts from.
struct Training {
    plan: Arc<Plan>,
    handles: Handles,
    batch: small::Batch,
    state: small::State,
    words: [u32; CONTROL_WORDS],
}

impl Training {
    fn new() -> Self {
        let network = Network::new(&small::preset(), small::NORMALIZATION);
        let program = network.program(CLIPS, Purpose::Training, gpu().facts());
        let batch = small::Batch::draw(&program, 1);
        let state = small::State::draw(&network, 2);
        let words = adam::control(3, 7, 1e-3, network.preset().train.betas, 1.0);
        let plan = Arc::new(program.plan);
        Self { plan, handles: program.handles, batch, state, words }
    }

    /// The bits of all that an update leaves behind.
    fn update(&self, programs: &mut dyn Executor) -> Vec<(String, Vec<u32>)> {
        self.state.put(programs);
        let moment: Vec<f32> = self.state.parameters.iter().map(|x| 1e-3 + 1e-2 * x * x).collect();
        for storage in [Storage::ExpAvg, Storage::ExpAvgSq] {
            programs.upload(storage, &moment).expect("the executor takes the moments");
        }
        programs.upload(Storage::EpochLoss, &[0.0]).expect("the executor takes the loss");
        let inputs = [
            (self.handles.input, Input::F32(&self.batch.main)),
            (self.handles.targets.expect(TRAINS), Input::F32(&self.batch.targets)),
            (self.handles.control.expect(TRAINS), Input::U32(&self.words)),
        ];
        programs.run(0, &inputs).expect("the update runs");
        let storages = [
            Storage::Parameters,
            Storage::Gradients,
            Storage::ExpAvg,
            Storage::ExpAvgSq,
            Storage::Buffers,
            Storage::EpochLoss,
        ];
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
        let mut left: Vec<(String, Vec<u32>)> = storages
            .into_iter()
            .map(|storage| {
                let values = programs.download(storage).expect("the storage is read");
                (format!("{storage:?}"), bits(values))
            })
            .collect();
        left.push((
            "loss".into(),
            bits(programs.read(0, self.handles.loss.expect(TRAINS)).expect("the loss is read")),
        ));
        left.push(("status".into(), programs.status().expect("the status is read")));
        left
    }
}

/// Fails with what differs first.
fn same(a: &[(String, Vec<u32>)], b: &[(String, Vec<u32>)], what: &str) {
    for ((name, a), (_, b)) in a.iter().zip(b) {
        let differing = a.iter().zip(b).filter(|(a, b)| a != b).count();
        let first = a.iter().zip(b).position(|(a, b)| a != b);
        assert!(first.is_none(), "{what}: {differing} of {name} differ, the first at {first:?}");
    }
}

#[test]
fn an_update_on_the_adapter_repeats_its_bits() {
    let training = Training::new();
    let mut programs = GpuPrograms::new(Arc::clone(gpu()), vec![Arc::clone(&training.plan)])
        .expect("the plan loads");
    let first = training.update(&mut programs);
    for (name, bits) in &first {
        assert!(bits.iter().any(|&bits| bits != 0), "{name} is all zero: the update did not run");
    }
    for repeat in 1..20 {
        same(&first, &training.update(&mut programs), &format!("repeat {repeat}"));
    }
}

#[test]
fn an_update_on_the_cpu_has_the_same_bits_on_any_number_of_threads() {
    let training = Training::new();
    let update = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads start").install(|| {
            let mut programs = CpuPrograms::<f32>::new(vec![Arc::clone(&training.plan)]);
            training.update(&mut programs)
        })
    };
    let one = update(1);
    for threads in [2, 3] {
        same(&one, &update(threads), &format!("{threads} threads"));
    }
}

/// A race hunt: a barrier left out shows as bits that change from run to run, on some run.
#[test]
fn kernels_repeat_their_bits() {
    let gpu = gpu();
    // A software adapter walks the threads of a workgroup in one order: only workgroups race there.
    let runs = if gpu.facts().software { 10 } else { 50 };
    let cases = cases("", gpu.facts()).expect("there are kernels");
    gpu.compile_all(cases.iter().map(|case| &case.launch));
    for case in &cases {
        let inputs = case.inputs(1);
        let run = || gpu.launch_once(&case.launch, &inputs).expect("the kernel runs");
        let first = run();
        for repeat in 1..runs {
            for ((a, b), binding) in first.iter().zip(&run()).zip(case.launch.kernel.bindings()) {
                assert!(
                    Values::bytes(a) == b.bytes(),
                    "{}, {}: {} differs in run {repeat}",
                    case.launch.shader.name,
                    case.name,
                    binding.name
                );
            }
        }
    }
}

//! Every schedule of every kernel against the CPU reference: on the adapter that `auto` takes with the
//! driver's checks of every index, and on every adapter of the machine as programs run, without.

mod support;

use moodshader::exec::verification::{Report, cases, verify};
use moodshader::exec::{Gpu, GpuOptions, adapters};
use moodshader::kernels::Launch;
use moodshader::kernels::layers::{sigmoid, softmax};
use moodshader::kernels::loss::{sigmoid_bce, softmax_bce};
use moodshader::kernels::optim::adam;
use moodshader::kernels::verify::{Values, inputs};
use moodshader::plan::STATUS_CLEAR;

#[test]
fn kernels_agree_with_their_references() {
    agree(support::gpu());
}

/// On a machine without a GPU these are Mesa's Vulkan and OpenGL.
#[test]
fn kernels_agree_with_their_references_on_every_adapter() {
    for adapter in adapters() {
        agree(&Gpu::open(adapter, GpuOptions::default()).expect("the adapter opens"));
    }
}

fn agree(gpu: &Gpu) {
    let cases = cases("", gpu.facts()).expect("there are kernels");
    gpu.compile_all(cases.iter().map(|case| &case.launch));
    let reports = cases.iter().map(|case| verify(gpu, case, 1));
    let failures: Vec<_> = reports
        .filter(|report| !report.passed())
        .map(|report: Report| report.to_string())
        .collect();
    assert!(failures.is_empty(), "{}:\n{}", gpu.summary(), failures.join("\n"));
}

/// A clip is predicted as it was evaluated in training, to the bit.
#[test]
fn probabilities_do_not_depend_on_whether_a_loss_is_computed() {
    let (batch, moods) = (67, 7);
    let agree = |alone: Launch, loss: Launch| {
        let run = |launch: &Launch, inputs: &[Values]| {
            support::gpu().launch_once(launch, inputs).expect("the kernel runs")
        };
        let mut drawn = inputs(&alone, 1);
        let before = inputs(&loss, 1);
        drawn[0] = before[0].clone();
        let (alone, loss) = (run(&alone, &drawn), run(&loss, &before));
        assert_eq!(alone[1].bytes(), loss[2].bytes());
    };
    let facts = support::gpu().facts();
    agree(
        Launch::new(softmax::forward::Params { batch, moods }, facts),
        Launch::new(softmax_bce::Params { batch, moods }, facts),
    );
    agree(
        Launch::new(sigmoid::forward::Params { elements: batch * moods }, facts),
        Launch::new(sigmoid_bce::Params { batch, moods }, facts),
    );
}

/// Infinities and NaN leave the number of the first bad update behind; finite gradients do not.
#[test]
fn adam_reports_the_first_gradient_that_is_not_finite() {
    const QUADS: usize = 20;
    let kernel = adam::Params::new(QUADS as u32, [0.9, 0.999], 1e-8, 0.0);
    let launch = Launch::new(kernel, support::gpu().facts());
    let control = adam::control(11, 0, 1e-3, [0.9, 0.999], 1.0);
    let status = |bad: f32, before: u32| {
        let mut gradient = vec![0.5; 4 * QUADS];
        gradient[4 * QUADS - 2] = bad;
        let still = || Values::F32(vec![0.1; 4 * QUADS]);
        let inputs = [
            Values::U32(control.to_vec()),
            Values::F32(gradient),
            still(),
            still(),
            still(),
            Values::U32(vec![before]),
        ];
        match &support::gpu().launch_once(&launch, &inputs).expect("the kernel runs")[5] {
            Values::U32(words) => words[0],
            Values::F32(_) => unreachable!("the status is a word"),
        }
    };
    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        assert_eq!(status(bad, STATUS_CLEAR), 11, "{bad}");
        assert_eq!(status(bad, 3), 3, "{bad} after update 3");
    }
    assert_eq!(status(f32::MAX, STATUS_CLEAR), STATUS_CLEAR);
}

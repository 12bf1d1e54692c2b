//! The whole model as one function.

use std::sync::Arc;

use moodshader::exec::CpuPrograms;
use moodshader::kernels::Facts;
use moodshader::kernels::optim::adam;
use moodshader::model::preset::Preset;
use moodshader::model::{Network, Purpose};
use moodshader::plan::Storage;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::differences::{derivative, dot, error, largest};
use crate::small;

/// Normalised error of a gradient: third derivatives and rounding weigh more than in one kernel.
const MODEL_TOLERANCE: f64 = 1e-5;

#[test]
fn whole_model() {
    check(&small::preset(), 2, &[]);
}

#[test]
fn whole_model_with_a_front() {
    // Of two clips, batch norm of vectors leaves nothing but signs. What shifts the mean and the maximum
    // of a map that nothing else reads, it takes away again.
    check(&small::front(), 5, &["middle.1.bn.bias"]);
}

fn check(preset: &Preset, batch: usize, without_influence: &[&str]) {
    let clips = batch;
    /// Elements of a large tensor that are tested.
    const TESTED: usize = 40;
    const TRAINS: &str = "a training plan has one";
    let network = Network::new(preset, small::NORMALIZATION);
    let program = network.program(clips, Purpose::Training, &Facts::PORTABLE);
    let batch = small::Batch::draw(&program, 1);
    let state = small::State::draw(&network, 2);
    // Without a learning rate the parameters stay where the differences put them.
    let control = adam::control(3, 7, 0.0, network.preset().train.betas, 1.0);
    let handles = program.handles;
    let plan = Arc::new(program.plan);
    let start = || {
        let mut programs = CpuPrograms::<f64>::new(vec![Arc::clone(&plan)]);
        let inputs = [
            (handles.input, moodshader::exec::Input::F32(&batch.main)),
            (handles.targets.expect(TRAINS), moodshader::exec::Input::F32(&batch.targets)),
            (handles.control.expect(TRAINS), moodshader::exec::Input::U32(&control)),
        ];
        state.put(&mut programs);
        moodshader::exec::Executor::run(&mut programs, 0, &inputs).expect("the CPU does not fail");
        programs
    };
    let gradients = start().storage_mut(Storage::Gradients).to_vec();

    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut elements = Vec::new();
    for (name, offset, length) in network.layout(Storage::Parameters).entries() {
        let scale = largest(&gradients[offset..offset + length]);
        let mut chosen = sample(&mut rng, length, length.min(TESTED)).into_vec();
        chosen.sort_unstable();
        elements.extend(chosen.into_iter().map(|element| (name, offset + element, scale)));
    }
    let differences: Vec<(f64, bool)> = elements
        .par_iter()
        .map_init(start, |programs, &(_, at, scale)| {
            let value = f64::from(state.parameters[at]);
            let slope = derivative(scale, |step| {
                for (to, &from) in
                    programs.storage_mut(Storage::Buffers).iter_mut().zip(&state.buffers)
                {
                    *to = f64::from(from);
                }
                programs.storage_mut(Storage::Parameters)[at] = value + step;
                programs.replay(0);
                let losses = programs.values(0, handles.loss.expect(TRAINS));
                losses.iter().sum::<f64>() / clips as f64
            });
            programs.storage_mut(Storage::Parameters)[at] = value;
            slope
        })
        .collect();

    let kinks = differences.iter().filter(|(_, kinked)| *kinked).count();
    println!("{} elements, {kinks} tested again with smaller steps", elements.len());
    let mut failures = Vec::new();
    for (name, _, length) in network.layout(Storage::Parameters).entries() {
        let of_tensor = elements.iter().zip(&differences).filter(|(element, _)| element.0 == name);
        let (got, want): (Vec<f64>, Vec<f64>) =
            of_tensor.map(|(element, difference)| (gradients[element.1], difference.0)).unzip();
        if without_influence.contains(&name) {
            assert!(largest(&got) < 1e-12, "{name} has an influence");
            continue;
        }
        let error = error(&got, &want);
        println!("{name}: {} of {length}, error {error:.1e}", got.len());
        assert!(dot(&want, &want) > 0.0, "{name} has no influence");
        if error.is_nan() || error >= MODEL_TOLERANCE {
            failures.push(format!("{name}: {error:.1e}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

//! Ceilings, kernels one by one, and whole updates.

use std::sync::Arc;
use std::time::Instant;

use moodshader::Result;
use moodshader::exec::verification::shape;
use moodshader::exec::{Gpu, GpuPrograms, Input};
use moodshader::kernels::bench::{copy, multiply_add};
use moodshader::kernels::features::{MelFilters, decibels, mel, peak, stft_power, stft_power_2048};
use moodshader::kernels::verify::{Values, inputs};
use moodshader::kernels::{Access, Facts, Kernel, Launch};
use moodshader::model::bench::UpdateBench;
use moodshader::model::preset::Preset;
use moodshader::plan::Plan;

use super::{Ceilings, Row, Update};

/// Replays of which the fastest counts for a ceiling, the median for a kernel.
const REPLAYS: usize = 5;
/// Clips that features are computed for at once.
const FEATURE_CLIPS: u32 = 4;
/// Whole updates in a row, at least.
const UPDATES: u32 = 10;

pub(super) fn ceilings(gpu: &Arc<Gpu>) -> Result<Ceilings> {
    // Enough for tens of milliseconds on a software adapter, and to fill a large GPU.
    let mut rounds = 256;
    let multiply = loop {
        let kernel = multiply_add::Params::new(1 << 16, rounds);
        let seconds = fastest(gpu, kernel)?;
        if seconds > 5e-3 || rounds >= 1 << 16 {
            break Kernel::cost(&kernel).flops / seconds;
        }
        rounds *= 4;
    };
    let kernel = copy::Params::new(1 << 21);
    let bytes = Kernel::cost(&kernel).bytes / fastest(gpu, kernel)?;
    Ok(Ceilings { gflops: 1e-9 * multiply, gbytes_per_second: 1e-9 * bytes })
}

fn fastest(gpu: &Arc<Gpu>, kernel: impl Kernel) -> Result<f64> {
    let plan = Arc::new(Plan::alone(Launch::new(kernel, gpu.facts())));
    Ok(times(gpu, &plan)?.into_iter().fold(f64::MAX, f64::min))
}

/// Seconds of a plan's one launch over drawn inputs, replay by replay.
fn times(gpu: &Arc<Gpu>, plan: &Arc<Plan>) -> Result<Vec<f64>> {
    let drawn = inputs(&plan.steps()[0].launch, 1);
    let step = &plan.steps()[0];
    let written: Vec<_> = step
        .uses()
        .zip(&drawn)
        .filter(|((_, access), _)| *access != Access::Write)
        .map(|((id, _), values)| match values {
            Values::F32(values) => (id, Input::F32(values)),
            Values::U32(words) => (id, Input::U32(words)),
        })
        .collect();
    let mut programs = GpuPrograms::new(Arc::clone(gpu), vec![Arc::clone(plan)])?;
    // The first replay may still compile.
    programs.profile(0, &written)?;
    (0..REPLAYS).map(|_| Ok(programs.profile(0, &written)?.seconds[0])).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Every kernel of an update, and those of the features, at their shapes.
pub(super) fn kernels(
    gpu: &Arc<Gpu>,
    preset: &Preset,
    batch: usize,
    ceilings: Ceilings,
    filter: &str,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for launch in feature_kernels(preset, gpu.facts()) {
        if launch.shader.name.contains(filter) {
            let plan = Arc::new(Plan::alone(launch));
            let seconds = median(times(gpu, &plan)?);
            rows.push(row(&plan.steps()[0].launch, 0, seconds, ceilings));
        }
    }
    let mut bench = UpdateBench::training(gpu, preset, batch)?;
    bench.step(0)?;
    let profiles: Vec<_> =
        (0..REPLAYS as u64).map(|turn| bench.profile(turn)).collect::<Result<_>>()?;
    for (index, step) in bench.plan().steps().iter().enumerate() {
        if !step.launch.shader.name.contains(filter) {
            continue;
        }
        let seconds = median(profiles.iter().map(|profile| profile[index]).collect());
        let new = row(&step.launch, 1, seconds, ceilings);
        match rows.iter_mut().find(|row| row.matches(&new)) {
            None => rows.push(new),
            Some(known) => {
                let total = known.seconds * known.count as f64 + seconds;
                known.count += 1;
                known.seconds = total / known.count as f64;
            }
        }
    }
    Ok(rows)
}

fn row(launch: &Launch, count: usize, seconds: f64, ceilings: Ceilings) -> Row {
    let cost = launch.kernel.cost();
    // A clock may be too coarse for the shortest launches.
    let rate = 1e-9 / seconds.max(1e-9);
    let (gflops, gbytes_per_second) = (rate * cost.flops, rate * cost.bytes);
    Row {
        kernel: launch.shader.name.to_owned(),
        shape: shape(launch),
        count,
        seconds,
        gflops,
        gbytes_per_second,
        share_of_ceiling: (gflops / ceilings.gflops)
            .max(gbytes_per_second / ceilings.gbytes_per_second),
    }
}

/// The kernels that make features, as the extractor launches them.
fn feature_kernels(preset: &Preset, facts: &Facts) -> Vec<Launch> {
    let features = &preset.features;
    let samples = preset.clip_samples();
    let filters = MelFilters::slaney(
        preset.audio.sample_rate,
        features.n_fft,
        features.mels,
        features.fmin,
        features.fmax,
    );
    let clips = FEATURE_CLIPS;
    let size = (features.mels * preset.frames()) as u32;
    let [samples, n_fft, hop] = [samples, features.n_fft, features.hop].map(|n| n as u32);
    let transform = if stft_power_2048::suits(features.n_fft, facts) {
        Launch::new(stft_power_2048::Params { clips, samples, hop, padding: n_fft / 2 }, facts)
    } else {
        Launch::new(stft_power::Params { clips, samples, n_fft, hop, padding: n_fft / 2 }, facts)
    };
    let mel = mel::Params {
        clips,
        frames: preset.frames() as u32,
        bins: features.n_fft as u32 / 2 + 1,
        mels: features.mels as u32,
        weights: filters.weights.len() as u32,
    };
    vec![
        transform,
        Launch::new(mel, facts),
        Launch::new(peak::Params { clips, size }, facts),
        Launch::new(decibels::Params { clips, size, top_db: features.top_db as f32 }, facts),
    ]
}

/// Whole updates at one batch size.
pub(super) fn update(
    gpu: &Arc<Gpu>,
    name: &str,
    preset: &Preset,
    batch: usize,
    ceilings: Ceilings,
) -> Result<Update> {
    let mut bench = UpdateBench::training(gpu, preset, batch)?;
    let seconds = bench.seconds_of_a_step(UPDATES)?;
    let recording = (0..REPLAYS as u64).map(|turn| {
        bench.wait()?;
        let start = Instant::now();
        bench.step(turn)?;
        Ok(start.elapsed().as_secs_f64())
    });
    let recording_seconds = median(recording.collect::<Result<_>>()?);
    bench.wait()?;
    let flops = bench.flops();
    let (dispatches, peak_device_bytes) = (bench.plan().steps().len(), bench.device_bytes());
    drop(bench);
    let mut inference = UpdateBench::inference(gpu, preset, batch)?;
    let inference_seconds = inference.seconds_of_a_step(UPDATES)?;
    let gflops = 1e-9 * flops / seconds;
    Ok(Update {
        preset: name.to_owned(),
        batch,
        seconds,
        clips_per_second: batch as f64 / seconds,
        dispatches,
        peak_device_bytes,
        gflops,
        share_of_ceiling: gflops / ceilings.gflops,
        recording_seconds,
        inference_clips_per_second: batch as f64 / inference_seconds,
    })
}

/// Seconds of an update, its counted operations, and the bytes that it takes on the device.
pub(super) fn growth(gpu: &Arc<Gpu>, preset: &Preset, batch: usize) -> Result<(f64, f64, u64)> {
    // A few are enough to see growth, and the largest sizes take long.
    const UPDATES: u32 = 3;
    let mut bench = UpdateBench::training(gpu, preset, batch)?;
    Ok((bench.seconds_of_a_step(UPDATES)?, bench.flops(), bench.device_bytes()))
}

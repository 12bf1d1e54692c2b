//! How an update grows with the batch, the clip's length and the mel bands.

use std::sync::Arc;

use moodshader::exec::Gpu;
use moodshader::model::preset::Preset;
use moodshader::{Error, Result};
use serde::Serialize;

use super::measure;
use crate::output::{Format, to_json};

const BATCHES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
const CLIP_SECONDS: [f64; 6] = [5.0, 10.0, 15.0, 30.0, 60.0, 120.0];
const MELS: [usize; 5] = [64, 96, 128, 192, 256];

/// One update's size and what it took.
#[derive(Debug, Serialize)]
struct Point {
    batch: usize,
    clip_seconds: f64,
    mels: usize,
    seconds: f64,
    clips_per_second: f64,
    gflop: f64,
    gflops: f64,
    device_bytes: u64,
}

/// Measures the preset along each of the three, the others as they are. Clips that are too short and
/// bands that are too few for the model are left out and named.
pub(super) fn run(gpu: &Arc<Gpu>, preset: &Preset, batch: usize, format: Format) -> Result<()> {
    let mut points = Vec::new();
    let mut measure = |batch: usize, changed: Preset| -> Result<()> {
        let (clip_seconds, mels) = (changed.audio.clip_seconds, changed.features.mels);
        if let Err(refusal) = changed.validate() {
            eprintln!("left out: {clip_seconds} s, {mels} bands: {refusal}");
            return Ok(());
        }
        eprintln!("batch {batch}, {clip_seconds} s, {mels} bands");
        let (seconds, flops, device_bytes) = measure::growth(gpu, &changed, batch)?;
        points.push(Point {
            batch,
            clip_seconds,
            mels,
            seconds,
            clips_per_second: batch as f64 / seconds,
            gflop: 1e-9 * flops,
            gflops: 1e-9 * flops / seconds,
            device_bytes,
        });
        Ok(())
    };
    for batch in BATCHES {
        measure(batch, preset.clone())?;
    }
    for clip_seconds in CLIP_SECONDS {
        let mut changed = preset.clone();
        changed.audio.clip_seconds = clip_seconds;
        measure(batch, changed)?;
    }
    for mels in MELS {
        let mut changed = preset.clone();
        changed.features.mels = mels;
        measure(batch, changed)?;
    }
    if points.is_empty() {
        return Err(Error::input("no size could be measured"));
    }
    match format {
        Format::Json => println!("{}", to_json(&points)?),
        Format::Text => {
            println!("| batch | clip, s | mel bands | update, ms | clips/s | GFLOP/s | MiB |");
            println!("|---|---|---|---|---|---|---|");
            for point in &points {
                println!(
                    "| {} | {} | {} | {:.0} | {:.2} | {:.1} | {:.0} |",
                    point.batch,
                    point.clip_seconds,
                    point.mels,
                    1e3 * point.seconds,
                    point.clips_per_second,
                    point.gflops,
                    point.device_bytes as f64 / f64::from(1 << 20)
                );
            }
        }
    }
    Ok(())
}

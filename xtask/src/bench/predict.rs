//! What an update should take on GPUs that are not at hand, from their data sheets.
//!
//! A step takes the longest of its multiply-adds, its memory traffic and its chain of dependent
//! steps, and a launch on top. The shares of the data sheet's peaks are assumptions; whoever has a
//! card can check them with `cargo xtask bench`.

use moodshader::Result;
use moodshader::kernels::{Facts, Launch};
use moodshader::model::{Network, Purpose, bench::normalization, preset::Preset};
use serde::Serialize;

use crate::output::{Format, to_json};

/// From the makers' data sheets.
struct Card {
    name: &'static str,
    /// f32, at boost clock.
    tflops: f64,
    gbytes_per_second: f64,
    /// Streaming multiprocessors, compute units, Xe cores or GPU cores.
    units: f64,
}

const fn card(name: &'static str, tflops: f64, gbytes_per_second: f64, units: f64) -> Card {
    Card { name, tflops, gbytes_per_second, units }
}

const CARDS: &[Card] = &[
    card("NVIDIA H200", 67.0, 4800.0, 132.0),
    card("NVIDIA GeForce RTX 4090", 82.6, 1008.0, 128.0),
    card("NVIDIA GeForce RTX 3060", 12.7, 360.0, 28.0),
    card("AMD Radeon RX 7900 XTX", 61.4, 960.0, 96.0),
    card("AMD Radeon RX 6600", 8.9, 224.0, 28.0),
    card("AMD Steam Deck (Van Gogh)", 1.6, 88.0, 8.0),
    card("Intel Arc A770", 19.7, 560.0, 32.0),
    card("Intel Iris Xe (96 EU)", 2.1, 68.0, 6.0),
    card("Apple M2 Max (38 cores)", 13.6, 400.0, 38.0),
    card("Apple M1 (8 cores)", 2.6, 68.0, 8.0),
];

/// Share of the peak that direct convolutions in f32 without tensor cores are taken to reach.
const ARITHMETIC: f64 = 0.35;
const BANDWIDTH: f64 = 0.7;
/// Seconds from one dispatch to the next that depends on it.
const LAUNCH: f64 = 5e-6;
/// Seconds of one dependent step inside a launch: a barrier, and weights from the cache.
const SERIAL_STEP: f64 = 2e-6;
/// Workgroups of 64 threads that fill a unit.
const WORKGROUPS_A_UNIT: f64 = 4.0;

#[derive(Debug, Serialize)]
struct Prediction {
    card: &'static str,
    batch: usize,
    seconds: f64,
    clips_per_second: f64,
    inference_clips_per_second: f64,
}

fn seconds(launch: &Launch, card: &Card) -> f64 {
    let cost = launch.kernel.cost();
    let workgroups: f64 = launch.grid.workgroups.into_iter().map(f64::from).product();
    let busy = (workgroups / (WORKGROUPS_A_UNIT * card.units)).min(1.0);
    let arithmetic = cost.flops / (1e12 * card.tflops * ARITHMETIC * busy);
    let memory = cost.bytes / (1e9 * card.gbytes_per_second * BANDWIDTH);
    let chain = SERIAL_STEP * f64::from(launch.kernel.serial_steps() - 1);
    arithmetic.max(memory).max(chain) + LAUNCH
}

pub(super) fn run(preset: &Preset, batch: usize, format: Format) -> Result<()> {
    let network = Network::new(preset, normalization(preset));
    let programs = [Purpose::Training, Purpose::Inference]
        .map(|purpose| network.program(batch, purpose, &Facts::PORTABLE));
    let predictions: Vec<_> = CARDS
        .iter()
        .map(|card| {
            let [update, inference] = [0, 1].map(|program: usize| {
                programs[program]
                    .plan
                    .steps()
                    .iter()
                    .map(|step| seconds(&step.launch, card))
                    .sum::<f64>()
            });
            Prediction {
                card: card.name,
                batch,
                seconds: update,
                clips_per_second: batch as f64 / update,
                inference_clips_per_second: batch as f64 / inference,
            }
        })
        .collect();
    match format {
        Format::Json => println!("{}", to_json(&predictions)?),
        Format::Text => {
            println!(
                "PREDICTED from data sheets, not measured: {:.0} % of the arithmetic peak, {:.0} % \
                 of the bandwidth,\n{:.0} µs a dispatch, {:.0} µs a step of a recurrence\n",
                100.0 * ARITHMETIC,
                100.0 * BANDWIDTH,
                1e6 * LAUNCH,
                1e6 * SERIAL_STEP
            );
            println!("{:28}  {:>10}  {:>14}  {:>16}", "", "update", "training", "prediction");
            for p in predictions {
                println!(
                    "{:28}  {:>7.2} ms  {:>7.0} clips/s  {:>9.0} clips/s",
                    p.card,
                    1e3 * p.seconds,
                    p.clips_per_second,
                    p.inference_clips_per_second
                );
            }
        }
    }
    Ok(())
}

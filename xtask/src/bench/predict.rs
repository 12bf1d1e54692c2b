//! What an update should take on GPUs that are not at hand, from their data sheets and from what a
//! compiler made of the shaders.
//!
//! A step takes the longest of its arithmetic, its memory traffic and its chain of dependent steps,
//! and a launch on top. Its arithmetic runs at the peak times the share of it that the instructions of
//! the innermost loop allow, times the share of the lanes that its grid fills, times the share of the
//! time in which some wave of a SIMD computes while others wait for their loads. Whoever has a card
//! can check all this with `cargo xtask bench`.

use std::collections::BTreeMap;

use moodshader::Result;
use moodshader::kernels::Launch;
use moodshader::model::{GradientParts, Network, Purpose, bench::normalization, preset::Preset};
use serde::Serialize;

use super::facts::{Chips, Fact, Known};
use super::ranks::{self, Cluster};
use crate::output::{Format, to_json};

/// From the makers' data sheets.
struct Card {
    name: &'static str,
    /// f32, at boost clock.
    tflops: f64,
    gbytes_per_second: f64,
    /// SIMDs, or what is like them: a quarter of a streaming multiprocessor or of an Apple core, a
    /// vector engine of Intel's.
    simds: f64,
    /// Multiply-adds that a SIMD begins in a cycle.
    lanes: f64,
    /// Whose compiled shaders are taken.
    family: &'static str,
    /// Whether the card is of that family.
    amd: bool,
}

const fn amd(
    name: &'static str,
    family: &'static str,
    [tflops, gbytes_per_second]: [f64; 2],
    [simds, lanes]: [f64; 2],
) -> Card {
    Card { name, tflops, gbytes_per_second, simds, lanes, family, amd: true }
}

/// RDNA 2's shaders stand in for those that no compiler was asked for.
const fn other(name: &'static str, rates: [f64; 2], width: [f64; 2]) -> Card {
    Card { amd: false, ..amd(name, "rdna2", rates, width) }
}

const CARDS: &[Card] = &[
    other("NVIDIA H200", [67.0, 4800.0], [528.0, 32.0]),
    other("NVIDIA GeForce RTX 4090", [82.6, 1008.0], [512.0, 32.0]),
    other("NVIDIA GeForce RTX 3060", [12.7, 360.0], [112.0, 32.0]),
    amd("AMD Radeon RX 7900 XTX", "rdna3", [61.4, 960.0], [192.0, 64.0]),
    amd("AMD Radeon RX 6600", "rdna2", [8.9, 224.0], [56.0, 32.0]),
    amd("AMD Steam Deck (Van Gogh)", "rdna2", [1.6, 88.0], [16.0, 32.0]),
    other("Intel Arc A770", [19.7, 560.0], [512.0, 8.0]),
    other("Intel Iris Xe (96 EU)", [2.1, 68.0], [96.0, 8.0]),
    other("Apple M2 Max (38 cores)", [13.6, 400.0], [152.0, 32.0]),
    other("Apple M1 (8 cores)", [2.6, 68.0], [32.0, 32.0]),
];

/// Cycles from a load to its use; the loads of one pass of a loop are waited for together.
const MEMORY_CYCLES: f64 = 400.0;
/// The same of workgroup memory.
const WORKGROUP_CYCLES: f64 = 64.0;
const BANDWIDTH: f64 = 0.7;
/// Seconds from one dispatch to the next that depends on it.
const LAUNCH: f64 = 5e-6;
/// Seconds of one dependent step inside a launch: a barrier, and weights from the cache.
const SERIAL_STEP: f64 = 2e-6;

#[derive(Debug, Serialize)]
pub(super) struct Prediction {
    pub(super) card: &'static str,
    /// Whose compiled shaders were taken.
    family: &'static str,
    /// Whether they stand in for the card's own.
    stand_in: bool,
    pub(super) batch: usize,
    pub(super) seconds: f64,
    /// Of them, those behind the point from where ranks exchange the first part of the gradient.
    pub(super) behind_first_part: f64,
    clips_per_second: f64,
    inference_clips_per_second: f64,
    /// Of the update's multiply-adds in its time, of the card's peak.
    share_of_peak: f64,
    /// Seconds of the update in each kernel, and how many launches of it there are.
    kernels: BTreeMap<&'static str, (f64, usize)>,
}

/// Share of a card's peak that a launch's arithmetic can run at, on SIMDs with room for so many
/// threads.
fn share_of_peak(fact: &Fact, room: f64, workgroups: f64, card: &Card) -> f64 {
    let [threads, subgroup] = [fact.threads, fact.subgroup].map(f64::from);
    let waves_of_a_group = (threads / subgroup).ceil();
    let waves_of_a_simd = workgroups * waves_of_a_group / card.simds;
    // Two operations an instruction are the peak.
    let useful = f64::from(fact.operations.max(1)) / (2.0 * f64::from(fact.instructions));
    let lanes = waves_of_a_simd.min(1.0) * threads / (waves_of_a_group * subgroup);
    // While one wave waits, others that fit beside it compute.
    let computing = f64::from(fact.instructions) * subgroup / card.lanes;
    let waiting = match (fact.loads, fact.workgroup_loads) {
        (0, 0) => 0.0,
        (0, _) => WORKGROUP_CYCLES,
        _ => MEMORY_CYCLES,
    };
    let beside = waves_of_a_simd.min(room / subgroup).max(1.0);
    let busy = (beside * computing / (computing + waiting)).min(1.0);
    useful * lanes * busy
}

fn seconds(launch: &Launch, card: &Card, chips: &Chips) -> Result<f64> {
    let cost = launch.kernel.cost();
    let workgroups: f64 = launch.grid.workgroups.into_iter().map(f64::from).product();
    let fact = chips.fact(launch)?;
    let share = share_of_peak(fact, chips.resident_threads(fact), workgroups, card);
    let arithmetic = cost.flops / (1e12 * card.tflops * share);
    let memory = cost.bytes / (1e9 * card.gbytes_per_second * BANDWIDTH);
    let chain = SERIAL_STEP * f64::from(launch.kernel.serial_steps() - 1);
    Ok(arithmetic.max(memory).max(chain) + LAUNCH)
}

fn predict(network: &Network, batch: usize, card: &Card, known: &Known) -> Result<Prediction> {
    let chips = known.family(card.family)?;
    let facts = chips.adapter.facts();
    let mut inference = 0.0;
    for step in network.program(batch, Purpose::Inference, &facts).plan.steps() {
        inference += seconds(&step.launch, card, chips)?;
    }
    let (mut update, mut flops, mut kernels) = (0.0, 0.0, BTreeMap::new());
    for step in network.program(batch, Purpose::Training, &facts).plan.steps() {
        let seconds = seconds(&step.launch, card, chips)?;
        update += seconds;
        flops += step.launch.kernel.cost().flops;
        let (sum, launches) = kernels.entry(step.launch.shader.name).or_default();
        *sum += seconds;
        *launches += 1;
    }
    let parts = GradientParts::of(network);
    let shared = network.program(batch, Purpose::Gradients, &facts).plan;
    let mut behind_first_part = 0.0;
    for step in &shared.steps()[parts.steps(&shared)..] {
        behind_first_part += seconds(&step.launch, card, chips)?;
    }
    Ok(Prediction {
        behind_first_part,
        card: card.name,
        family: card.family,
        stand_in: !card.amd,
        batch,
        seconds: update,
        clips_per_second: batch as f64 / update,
        inference_clips_per_second: batch as f64 / inference,
        share_of_peak: flops / update / (1e12 * card.tflops),
        kernels,
    })
}

pub(super) fn run(preset: &Preset, batch: usize, cluster: Cluster, format: Format) -> Result<()> {
    let network = Network::new(preset, normalization(preset));
    let known = Known::committed()?;
    let predictions = CARDS
        .iter()
        .map(|card| predict(&network, batch, card, &known))
        .collect::<Result<Vec<_>>>()?;
    if cluster.ranks > 1 {
        return ranks::run(&network, cluster, &predictions, format);
    }
    match format {
        Format::Json => println!("{}", to_json(&predictions)?),
        Format::Text => print(&predictions, &known.driver),
    }
    Ok(())
}

fn print(predictions: &[Prediction], driver: &str) {
    println!(
        "PREDICTED from data sheets and from what {driver} made of the shaders, not measured.\n\
         Of the arithmetic peak: the share that the instructions of each shader's innermost loop \
         allow, that its\ngrid has lanes for, and that its waves keep busy where a load of memory \
         takes {MEMORY_CYCLES:.0} cycles, one of\nworkgroup memory {WORKGROUP_CYCLES:.0}. {:.0} % of \
         the bandwidth; {:.0} µs a dispatch, {:.0} µs a step of a recurrence.\nWhat \
         caches cannot deliver and clocks below boost are not counted: take it for the best case.\nRDNA \
         3 and 2 were compiled for; RDNA 2's shaders stand in where a card is marked *.\n",
        100.0 * BANDWIDTH,
        1e6 * LAUNCH,
        1e6 * SERIAL_STEP
    );
    println!(
        "{:28}  {:>10}  {:>14}  {:>16}  {:>7}",
        "", "update", "training", "prediction", "of peak"
    );
    for p in predictions {
        println!(
            "{:28}  {:>7.2} ms  {:>7.0} clips/s  {:>9.0} clips/s  {:>5.0} %",
            format!("{}{}", p.card, if p.stand_in { " *" } else { "" }),
            1e3 * p.seconds,
            p.clips_per_second,
            p.inference_clips_per_second,
            100.0 * p.share_of_peak
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{CARDS, Card, other, predict, share_of_peak};
    use crate::bench::facts::{Fact, Known};
    use moodshader::model::preset::Preset;
    use moodshader::model::{Network, bench::normalization};

    const CARD: Card = other("card", [1.0, 100.0], [10.0, 32.0]);

    /// 100 instructions of a loop, 80 of which are multiply-adds, and waves of 64.
    fn fact(threads: u32, loads: u32, workgroup_loads: u32) -> Fact {
        let text = format!(
            "{{\"kernel\":\"k\",\"constants\":{{}},\"threads\":{threads},\"subgroup\":64,\"waves\":8,\
             \"instructions\":100,\"operations\":160,\"loads\":{loads},\
             \"workgroup_loads\":{workgroup_loads}}}"
        );
        serde_json::from_str(&text).expect("a fact")
    }

    #[test]
    fn arithmetic_runs_at_the_share_that_instructions_lanes_and_waves_allow() {
        let near = |share: f64, expected: f64| {
            assert!((share - expected).abs() < 1e-9, "{share}, not {expected}");
        };
        // A grid that fills the card, and nothing to wait for.
        near(share_of_peak(&fact(64, 0, 0), 256.0, 1000.0, &CARD), 0.8);
        // Waves for half of the SIMDs; half of each wave.
        near(share_of_peak(&fact(64, 0, 0), 256.0, 5.0, &CARD), 0.4);
        near(share_of_peak(&fact(32, 0, 0), 256.0, 1000.0, &CARD), 0.4);
        // A pass computes for 200 cycles and waits for 400: one wave is busy for a third, two for
        // two thirds, and four are more than enough.
        near(share_of_peak(&fact(64, 1, 1), 64.0, 1000.0, &CARD), 0.8 / 3.0);
        near(share_of_peak(&fact(64, 1, 1), 128.0, 1000.0, &CARD), 0.8 * 2.0 / 3.0);
        near(share_of_peak(&fact(64, 1, 1), 256.0, 1000.0, &CARD), 0.8);
        // Room is no use without waves in it.
        near(share_of_peak(&fact(64, 1, 1), 256.0, 10.0, &CARD), 0.8 / 3.0);
        // Workgroup memory is near.
        near(share_of_peak(&fact(64, 0, 1), 64.0, 1000.0, &CARD), 0.8 * 200.0 / 264.0);
    }

    #[test]
    fn the_committed_facts_know_every_kernel_of_the_presets() {
        let known = Known::committed().expect("the copy can be read");
        for name in Preset::names() {
            let preset = Preset::named(name).expect("it is embedded");
            let network = Network::new(&preset, normalization(&preset));
            for card in CARDS {
                let prediction = predict(&network, 4, card, &known).expect(name);
                assert!(prediction.share_of_peak > 0.0 && prediction.share_of_peak < 1.0, "{name}");
                assert!(prediction.inference_clips_per_second > prediction.clips_per_second);
            }
        }
    }
}

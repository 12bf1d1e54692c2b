//! What several cards should reach together, from what one should and from the link between them.
//!
//! Every card has a batch of the given size, and an update is that of one card plus the exchange in two parts:
//! the first is hidden behind the rest of the backward pass, as far as that takes as long.

use moodshader::Result;
use moodshader::model::{GradientParts, Network};
use moodshader::plan::Storage;
use serde::Serialize;

use super::predict::Prediction;
use crate::output::{Format, to_json};

/// From memory of the card to that of the host and back, over PCIe or in the memory that both share.
const HOST_BYTES_PER_SECOND: f64 = 8e9;
/// Of the host's own work for every number of every rank: copied, weighed, summed in f64.
const SECONDS_A_NUMBER: f64 = 2e-9;
/// Of a message between two ranks, and of one wait for the card.
const LATENCY: f64 = 30e-6;
/// The ranks meet, bring the parts of a sum together and hand the sums out.
const ROUNDS: f64 = 3.0;

/// The link between the hosts, and how many cards it joins.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    pub ranks: u32,
    /// Of every host, in each direction.
    pub gbits_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Together {
    card: &'static str,
    ranks: u32,
    gbits_per_second: f64,
    batch_of_a_rank: usize,
    update_seconds: f64,
    exchange_seconds: f64,
    /// Of the exchange, behind the backward pass.
    hidden_seconds: f64,
    clips_per_second: f64,
    /// Of as many times what one card reaches.
    efficiency: f64,
}

impl Cluster {
    /// Seconds from the gradients of the ranks to their sum on every card.
    fn exchange(self, numbers: usize) -> f64 {
        let (ranks, numbers) = (f64::from(self.ranks), numbers as f64);
        if self.ranks == 1 {
            return 0.0;
        }
        // As much as a ring: a rank sends its parts of the sums to their owners, and its own to all.
        let sent = 2.0 * (ranks - 1.0) / ranks * 4.0 * numbers;
        let link = 8.0 * sent / (1e9 * self.gbits_per_second);
        let host = 2.0 * 4.0 * numbers / HOST_BYTES_PER_SECOND + SECONDS_A_NUMBER * numbers;
        link + host + LATENCY * (ROUNDS * ranks.log2().ceil() + 1.0)
    }
}

pub fn run(
    network: &Network,
    cluster: Cluster,
    alone: &[Prediction],
    format: Format,
) -> Result<()> {
    let [first, second] = GradientParts::of(network).lengths();
    let second = second + network.layout(Storage::Buffers).length();
    let numbers = first + second;
    let [of_first, of_second] = [first, second].map(|numbers| cluster.exchange(numbers));
    let exchange = of_first + of_second;
    let together = |one: &Prediction| {
        let hidden = of_first.min(one.behind_first_part);
        let update = one.seconds + exchange - hidden;
        let ranks = f64::from(cluster.ranks);
        Together {
            card: one.card,
            ranks: cluster.ranks,
            gbits_per_second: cluster.gbits_per_second,
            batch_of_a_rank: one.batch,
            update_seconds: update,
            exchange_seconds: exchange,
            hidden_seconds: hidden,
            clips_per_second: ranks * one.batch as f64 / update,
            efficiency: one.seconds / update,
        }
    };
    let all: Vec<Together> = alone.iter().map(together).collect();
    if format == Format::Json {
        println!("{}", to_json(&all)?);
        return Ok(());
    }
    println!(
        "PREDICTED, not measured: {} ranks of one card, each with {} clips of every batch, {} Gbit/s \
         from each to the others.\n{:.1} MB to sum, {:.1} ms an update; the first {:.1} MB while the \
         convolutions' gradients are computed.\n",
        cluster.ranks,
        alone.first().map_or(0, |one| one.batch),
        cluster.gbits_per_second,
        4e-6 * numbers as f64,
        1e3 * exchange,
        4e-6 * first as f64
    );
    println!(
        "{:28}  {:>10}  {:>10}  {:>14}  {:>10}",
        "", "update", "hidden", "training", "efficiency"
    );
    for one in all {
        println!(
            "{:28}  {:>7.2} ms  {:>7.2} ms  {:>7.0} clips/s  {:>8.0} %",
            one.card,
            1e3 * one.update_seconds,
            1e3 * one.hidden_seconds,
            one.clips_per_second,
            100.0 * one.efficiency
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Cluster;

    #[test]
    fn a_ring_of_four_sends_half_as_much_again_as_there_is() {
        // 0.85 million numbers are 3.4 MB; 5.1 MB over 1 Gbit/s take 41 ms.
        let exchange =
            |ranks, gbits_per_second| Cluster { ranks, gbits_per_second }.exchange(850_000);
        assert_eq!(exchange(1, 1.0), 0.0);
        let link = exchange(4, 1.0) - exchange(4, 1e9);
        assert!((link - 0.0408).abs() < 1e-6, "{link}");
        assert!(exchange(64, 1.0) < 2.0 * 8.0 * 3.4e6 / 1e9 + 0.01);
    }
}

//! What training does to clips before a model hears them, drawn anew for every update.
//!
//! The numbers depend on the seed and the update alone, so that every device hears the same, and a run
//! that is resumed too.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

use super::preset::Train;
use crate::kernels::layers::augment::CHANGE_WORDS;

/// Tells these draws from those of the order of the clips, which are numbered by epochs.
const STREAMS: u64 = 1 << 63;

/// What is done to a clip of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The clip that it is mixed with.
    pub partner: usize,
    /// Its own share.
    pub weight: f32,
    /// Bands that are hidden.
    pub bands: Range<u32>,
    /// Steps that are hidden.
    pub steps: Range<u32>,
}

impl Train {
    /// Whether clips are changed.
    pub fn augments(&self) -> bool {
        self.mixup > 0.0 || self.mask_bands > 0.0 || self.mask_steps > 0.0
    }
}

/// The changes of a batch of so many clips of [bands, steps].
pub fn draw(
    train: &Train,
    clips: usize,
    [bands, steps]: [u32; 2],
    seed: u64,
    update: u64,
) -> Vec<Change> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAMS | update);
    let shares = Beta::new(train.mixup, train.mixup).ok().filter(|_| train.mixup > 0.0);
    let change = |_| {
        let partner = rng.random_range(0..clips);
        let share = shares.map_or(1.0, |shares| shares.sample(&mut rng));
        let mut hide = |all: u32, most: f64| {
            let width = rng.random_range(0..=(most * f64::from(all)).floor() as u32);
            let first = rng.random_range(0..=all - width);
            first..first + width
        };
        let bands = hide(bands, train.mask_bands);
        let steps = hide(steps, train.mask_steps);
        // The larger share is the clip's own, so that it stays what it is in the batch.
        Change { partner, weight: share.max(1.0 - share) as f32, bands, steps }
    };
    (0..clips).map(change).collect()
}

/// The changes of some clips of a batch, which are not mixed with clips that are elsewhere: partners are
/// counted from the first of them.
pub fn of_share(changes: Vec<Change>, clips: Range<usize>) -> Vec<Change> {
    let among = |change: Change| Change { partner: change.partner % clips.len(), ..change };
    changes.into_iter().skip(clips.start).take(clips.len()).map(among).collect()
}

/// As the kernel reads them.
pub fn words(changes: &[Change]) -> Vec<u32> {
    let words = |change: &Change| -> [u32; CHANGE_WORDS] {
        let Change { partner, weight, bands, steps } = change;
        [
            *partner as u32,
            weight.to_bits(),
            bands.start,
            bands.len() as u32,
            steps.start,
            steps.len() as u32,
        ]
    };
    changes.iter().flat_map(words).collect()
}

/// The targets [clips, moods] of changed clips: mixed as the clips are, then moved towards 1/2 by
/// `smoothing`.
pub fn targets(targets: &[f32], moods: usize, changes: &[Change], smoothing: f64) -> Vec<f32> {
    let smoothing = smoothing as f32;
    let smooth = |target: f32| (1.0 - smoothing) * target + 0.5 * smoothing;
    let own = targets.chunks(moods);
    match changes {
        [] => targets.iter().copied().map(smooth).collect(),
        _ => own
            .zip(changes)
            .flat_map(|(own, change)| {
                let other = &targets[change.partner * moods..][..moods];
                let mix = |(own, other): (&f32, &f32)| {
                    smooth(change.weight * own + (1.0 - change.weight) * other)
                };
                own.iter().zip(other).map(mix).collect::<Vec<_>>()
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset::Preset;

    fn train(mixup: f64, mask: f64) -> Train {
        let mut train = Preset::named("paper").unwrap().train;
        (train.mixup, train.mask_bands, train.mask_steps) = (mixup, mask, mask);
        train
    }

    #[test]
    fn changes_depend_on_seed_and_update_and_keep_their_bounds() {
        let draw = |seed, update| draw(&train(0.4, 0.25), 8, [128, 300], seed, update);
        assert_eq!(draw(1, 2), draw(1, 2));
        assert!(draw(1, 2) != draw(1, 3) && draw(1, 2) != draw(2, 2));
        let many: Vec<Change> = (0..100).flat_map(|update| draw(0, update)).collect();
        assert!(many.iter().all(|change| change.partner < 8));
        assert!(many.iter().all(|change| (0.5..=1.0).contains(&change.weight)));
        assert!(many.iter().all(|change| change.bands.len() <= 32 && change.bands.end <= 128));
        assert!(many.iter().all(|change| change.steps.len() <= 75 && change.steps.end <= 300));
        assert!(many.iter().any(|change| change.bands.len() == 32));
        assert!(many.iter().any(|change| change.weight < 0.6));
        assert!(many.iter().any(|change| change.weight > 0.95));
    }

    #[test]
    fn what_is_not_asked_for_is_not_done() {
        for change in draw(&train(0.0, 0.0), 4, [16, 20], 0, 7) {
            assert_eq!((change.weight, change.bands.len(), change.steps.len()), (1.0, 0, 0));
        }
    }

    #[test]
    fn targets_are_mixed_and_smoothed() {
        let change = |partner, weight| Change { partner, weight, bands: 0..0, steps: 0..0 };
        let mixed = targets(&[1.0, 0.0, 0.0, 1.0], 2, &[change(1, 0.75), change(1, 0.5)], 0.0);
        assert_eq!(mixed, [0.75, 0.25, 0.0, 1.0]);
        assert_eq!(targets(&[1.0, 0.0], 2, &[], 0.5), [0.75, 0.25]);
    }
}

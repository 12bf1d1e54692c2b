//! What the curves of a training say, in a sentence.

use std::fmt;

use super::{EpochMetrics, best};

/// Epochs that tell something.
const TELLING: usize = 3;
/// The loss on validation clips has risen, and not only wavered, where it lies this share above its lowest.
const RISEN: f64 = 0.02;
/// A training whose best epochs are within this share of its end was still getting better.
const AT_THE_END: f64 = 0.1;
/// Ranking by chance reaches 0.5.
const HARDLY_ANYTHING: f64 = 0.55;
const CHANCE: f64 = 0.5;

/// How a training went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// Too few epochs to tell.
    TooFew,
    /// The best score is hardly above chance.
    Nothing,
    /// It cannot be told from chance.
    PerhapsNothing,
    /// Since this epoch the training loss falls and the validation loss rises.
    OverFitting {
        /// That of the lowest validation loss.
        since: u64,
    },
    /// The score was still rising at the end.
    TooShort,
    /// The score was best at this epoch, and is no better since.
    Learned {
        /// The best one.
        best: u64,
    },
    /// The validation loss was still falling at the end.
    StillFalling,
    /// It was least at this epoch.
    Fallen {
        /// That of the lowest validation loss.
        until: u64,
    },
}

impl Learning {
    /// Reads the lines of `metrics.jsonl`; `None` of none. By the losses where the score tells little, as of
    /// `few` clips or where no mood can be ranked.
    pub fn of(metrics: &[EpochMetrics], few: bool) -> Option<Self> {
        let last = metrics.last()?;
        let best = best(metrics)?;
        if !few && best.macro_roc_auc().is_some_and(|auc| auc < HARDLY_ANYTHING) {
            return Some(Self::Nothing);
        }
        if !few && best.macro_roc_auc_low().is_some_and(|low| low <= CHANCE) {
            return Some(Self::PerhapsNothing);
        }
        if metrics.len() < TELLING {
            return Some(Self::TooFew);
        }
        let lowest =
            metrics.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss))?;
        let risen = last.validation_loss > lowest.validation_loss * (1.0 + RISEN);
        if risen && last.epoch > lowest.epoch + 1 && last.train_loss < lowest.train_loss {
            return Some(Self::OverFitting { since: lowest.epoch });
        }
        let near_the_end = (AT_THE_END * last.epoch as f64).floor() as u64;
        let by_loss = few || best.macro_roc_auc().is_none();
        let until = if by_loss { lowest.epoch } else { best.epoch };
        Some(match (by_loss, last.epoch - until <= near_the_end) {
            (true, true) => Self::StillFalling,
            (true, false) => Self::Fallen { until },
            (false, true) => Self::TooShort,
            (false, false) => Self::Learned { best: until },
        })
    }
}

/// A sentence for people, with what to do about it.
impl fmt::Display for Learning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew => f.write_str("too few epochs to read the curves"),
            Self::Nothing => f.write_str(
                "hardly anything was learned: the best score is not above 0.55, and chance has 0.5; do the labels say \
                 what can be heard? (moodshader dataset stats)",
            ),
            Self::PerhapsNothing => f.write_str(
                "perhaps nothing was learned: the interval of the best score reaches down to chance (0.5); more \
                 validation clips would tell",
            ),
            Self::OverFitting { since } => write!(
                f,
                "over-fitting since epoch {since}: the training loss falls, the validation loss rises; \
                 more tracks help, or training less (train.trainable, train.weight_decay)"
            ),
            Self::TooShort => f.write_str(
                "too short: the score was still rising at the last epoch; more may help (--resume with \
                 more --epochs)",
            ),
            Self::Learned { best } => {
                write!(f, "learning: the score was best at epoch {best} and has not risen since")
            }
            Self::StillFalling => f.write_str(
                "too short: the validation loss was still falling at the last epoch; more may help (--resume with \
                 more --epochs)",
            ),
            Self::Fallen { until } => write!(
                f,
                "learning: the validation loss was least at epoch {until} and has not fallen since"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Epochs of training loss, validation loss and score.
    fn read(lines: &[[f64; 3]]) -> Learning {
        read_of(lines, false)
    }

    fn read_of(lines: &[[f64; 3]], few: bool) -> Learning {
        let lines: Vec<EpochMetrics> = (1..)
            .zip(lines)
            .map(|(epoch, &[train_loss, validation_loss, auc])| {
                let scores = serde_json::json!({ "macro": auc });
                let roc_auc = scores.as_object().cloned().unwrap_or_default();
                EpochMetrics {
                    epoch,
                    train_loss,
                    validation_loss,
                    roc_auc,
                    ..EpochMetrics::default()
                }
            })
            .collect();
        Learning::of(&lines, few).unwrap()
    }

    #[test]
    fn curves_are_read_as_people_read_them() {
        let falling = |epochs: usize, auc: fn(usize) -> f64| -> Vec<[f64; 3]> {
            (0..epochs)
                .map(|at| [0.6 - 0.02 * at as f64, 0.6 - 0.01 * at as f64, auc(at)])
                .collect()
        };
        assert_eq!(read(&falling(2, |_| 0.8)), Learning::TooFew);
        assert_eq!(read(&falling(8, |_| 0.51)), Learning::Nothing);
        assert_eq!(read(&falling(8, |at| 0.6 + 0.01 * at as f64)), Learning::TooShort);
        assert_eq!(
            read(&falling(20, |at| 0.8 - 0.001 * at.abs_diff(9) as f64)),
            Learning::Learned { best: 10 }
        );
        let mut over = falling(12, |at| 0.8 - 0.01 * at.abs_diff(3) as f64);
        for (line, loss) in over[4..].iter_mut().zip([0.58, 0.6, 0.62, 0.65, 0.7, 0.72, 0.75, 0.8])
        {
            line[1] = loss;
        }
        assert_eq!(read(&over), Learning::OverFitting { since: 4 });
        // Of few clips the score says nothing.
        assert_eq!(read_of(&falling(8, |_| 1.0), true), Learning::StillFalling);
        let mut level = falling(20, |_| 1.0);
        level[9..].iter_mut().for_each(|line| line[1] = 0.515);
        assert_eq!(read_of(&level, true), Learning::Fallen { until: 10 });
    }
}

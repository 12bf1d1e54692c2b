//! Losses, with their softmax or sigmoid, from the logits.

use moodshader::kernels::Kernel;
use moodshader::kernels::loss::{positive_weights, sigmoid_bce, softmax_bce};

use crate::differences::{check, normal};

#[test]
fn softmax_with_binary_cross_entropy() {
    let (batch, moods) = (4, 5);
    let params = softmax_bce::Params { batch, moods };
    let mut logits = normal(20, 1);
    // One probability past the lower clip; all past the clips.
    logits[5] = -30.0;
    logits[10] = 40.0;
    let targets: Vec<f64> = (0..20).map(|i| f64::from(i % 3 == 0)).collect();
    let run = |logits: &[f64], d_logits: &mut [f64]| {
        let mut loss = vec![f64::NAN; 4];
        params.reference(softmax_bce::Slices {
            logits,
            targets: &targets,
            probabilities: &mut [0.0; 20],
            loss: &mut loss,
            d_logits,
        });
        loss.iter().sum::<f64>() / 4.0
    };
    let mut d_logits = vec![f64::NAN; 20];
    run(&logits, &mut d_logits);
    assert_eq!(&d_logits[10..15], &[0.0; 5], "no gradient where every probability is clipped");
    check("logits", &d_logits, &logits, |logits| run(logits, &mut [0.0; 20]));
}

#[test]
fn sigmoid_with_binary_cross_entropy() {
    let params = sigmoid_bce::Params { batch: 4, moods: 5 };
    let mut logits = normal(20, 1);
    // Where a plain sigmoid has no digits left, on both sides.
    (logits[3], logits[7], logits[12]) = (-50.0, 50.0, 30.0);
    let targets: Vec<f64> = (0..20).map(|i| f64::from(i % 3 == 0)).collect();
    let run = |logits: &[f64], d_logits: &mut [f64]| {
        let mut loss = vec![f64::NAN; 4];
        params.reference(sigmoid_bce::Slices {
            logits,
            targets: &targets,
            probabilities: &mut [0.0; 20],
            loss: &mut loss,
            d_logits,
        });
        loss.iter().sum::<f64>() / 4.0
    };
    let mut d_logits = vec![f64::NAN; 20];
    run(&logits, &mut d_logits);
    assert_eq!(d_logits[3], -1.0 / 20.0, "a target that is missed by far pulls with full force");
    check("logits", &d_logits, &logits, |logits| run(logits, &mut [0.0; 20]));
}

/// The weighted loss, written out from its definition, against what the two kernels leave.
#[test]
fn class_weights() {
    let (batch, moods) = (4, 5);
    let mut logits = normal(20, 1);
    logits[5] = -30.0;
    let targets: Vec<f64> = (0..20).map(|i| f64::from(i % 2 == 0)).collect();
    let weights = [0.5, 1.0, 4.0, 2.5, 9.0];
    for softmax in [0, 1] {
        let run = |logits: &[f64]| {
            let mut probabilities = vec![f64::NAN; 20];
            let (mut loss, mut d_logits) = (vec![f64::NAN; 4], vec![f64::NAN; 20]);
            let (probabilities, targets) = (&mut probabilities, &targets);
            if softmax == 1 {
                softmax_bce::Params { batch, moods }.reference(softmax_bce::Slices {
                    logits,
                    targets,
                    probabilities,
                    loss: &mut loss,
                    d_logits: &mut d_logits,
                });
            } else {
                sigmoid_bce::Params { batch, moods }.reference(sigmoid_bce::Slices {
                    logits,
                    targets,
                    probabilities,
                    loss: &mut loss,
                    d_logits: &mut d_logits,
                });
            }
            positive_weights::Params { batch, moods, softmax }.reference(
                positive_weights::Slices {
                    logits,
                    targets,
                    weights: &weights,
                    loss: &mut loss,
                    d_logits: &mut d_logits,
                },
            );
            let defined: f64 = (0..20)
                .map(|i| {
                    let p = match softmax {
                        1 => probabilities[i].clamp(1e-7, 1.0 - 1e-7),
                        _ => probabilities[i],
                    };
                    -weights[i % 5] * targets[i] * p.ln() - (1.0 - targets[i]) * (1.0 - p).ln()
                })
                .sum();
            let loss = loss.iter().sum::<f64>() / 4.0;
            assert!((loss / (defined / 20.0) - 1.0).abs() < 1e-6, "{loss} {}", defined / 20.0);
            (loss, d_logits)
        };
        let (_, d_logits) = run(&logits);
        check("logits", &d_logits, &logits, |logits| run(logits).0);
    }
}

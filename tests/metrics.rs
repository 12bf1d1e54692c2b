//! ROC-AUC and average precision against scikit-learn (`fixtures/metrics.py`), and their means.

use moodshader::metrics::{
    Interval, PerMood, Ranking, Resampling, Scores, Table, average_precision, best_threshold,
    bootstrap, curves, expected_calibration_error, f1, paired_bootstrap, roc_auc, top1_hit_rate,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    targets: Vec<u8>,
    scores: Vec<f32>,
    roc_auc: Option<f64>,
    average_precision: Option<f64>,
}

fn fixture() -> Vec<Case> {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    fixture.cases
}

fn booleans(targets: &[u8]) -> Vec<bool> {
    targets.iter().map(|target| *target == 1).collect()
}

/// scikit-learn adds up trapezia, so the last digits differ.
fn assert_close(name: &str, ours: Option<f64>, theirs: Option<f64>) {
    match (ours, theirs) {
        (None, None) => {}
        (Some(a), Some(b)) if (a - b).abs() < 1e-14 => {}
        _ => panic!("{name}: {ours:?}, and scikit-learn has {theirs:?}"),
    }
}

#[test]
fn scikit_learn_agrees() {
    for case in fixture() {
        let targets = booleans(&case.targets);
        assert_close(&case.name, roc_auc(&targets, &case.scores).unwrap(), case.roc_auc);
        let precision = average_precision(&targets, &case.scores).unwrap();
        assert_close(&case.name, precision, case.average_precision);
    }
}

#[test]
fn the_areas_under_the_curves_are_the_metrics() {
    for case in fixture() {
        let targets = booleans(&case.targets);
        let curves = curves(&targets, &case.scores).unwrap();
        let roc = curves.as_ref().map(|curves| {
            assert_eq!((curves.roc[0], curves.roc.last()), ([0.0; 2], Some(&[1.0; 2])));
            let trapezium = |w: &[[f64; 2]]| (w[1][0] - w[0][0]) * (w[0][1] + w[1][1]) / 2.0;
            curves.roc.windows(2).map(trapezium).sum()
        });
        assert_close(&case.name, roc, case.roc_auc);
        let precision = curves.map(|curves| {
            let mut before = 0.0;
            let step = |[recall, precision]: &[f64; 2]| {
                precision * (recall - std::mem::replace(&mut before, *recall))
            };
            curves.precision_recall.iter().map(step).sum()
        });
        assert_close(&case.name, precision, case.average_precision);
    }
}

/// Only the ranks count, and an infinity ranks as the largest number does.
#[test]
fn infinite_scores_rank_at_the_ends() {
    let case = fixture().into_iter().find(|case| case.name == "extremes").unwrap();
    let infinite = |score: &f32| {
        if score.abs() == f32::MAX { score.signum() * f32::INFINITY } else { *score }
    };
    let scores: Vec<f32> = case.scores.iter().map(infinite).collect();
    assert!(scores.contains(&f32::INFINITY) && scores.contains(&f32::NEG_INFINITY));
    let targets = booleans(&case.targets);
    assert_close("infinite", roc_auc(&targets, &scores).unwrap(), case.roc_auc);
    let precision = average_precision(&targets, &scores).unwrap();
    assert_close("infinite", precision, case.average_precision);
}

#[test]
fn a_score_that_is_not_a_number_is_an_error() {
    for metric in [roc_auc, average_precision] {
        let error = metric(&[true, false], &[0.5, f32::NAN]).unwrap_err();
        assert!(error.to_string().contains("clip 1"), "{error}");
        // Even where the metric would be undefined.
        assert!(metric(&[true], &[f32::NAN]).is_err());
        assert!(metric(&[true], &[]).is_err());
        assert_eq!(metric(&[], &[]).unwrap(), None);
    }
}

#[test]
fn undefined_moods_are_left_out_of_the_macro_mean() {
    let targets = [
        [true, false, true], //
        [false, false, true],
        [true, false, false],
        [false, false, true],
    ];
    let scores: [[f32; 3]; 4] =
        [[0.9, 0.1, 0.2], [0.1, 0.9, 0.5], [0.8, 0.2, 0.4], [0.2, 0.3, 0.6]];
    let scores = Scores::new(targets.as_flattened(), scores.as_flattened(), 3).unwrap();
    assert_eq!(scores.clips, 4);
    assert_eq!(scores.positives, [2, 0, 3]);
    let third = Some(2.0 / 3.0);
    assert_eq!(scores.roc_auc.moods, [Some(1.0), None, third]);
    assert_eq!(scores.roc_auc.macro_mean, Some((1.0 + 2.0 / 3.0) / 2.0));
    assert_eq!(scores.pr_auc.moods[1], None);
    let labels = ["happy", "film", "dark"].map(String::from);
    assert_eq!(
        serde_json::to_string(&scores.roc_auc.labelled(&labels)).unwrap(),
        r#"{"macro":0.8333333333333333,"happy":1.0,"film":null,"dark":0.6666666666666666}"#
    );
}

#[test]
fn with_no_defined_mood_the_macro_mean_is_null() {
    let scores = PerMood::new(vec![None, None]);
    assert_eq!(scores.macro_mean, None);
    let labels = ["happy", "film"].map(String::from);
    assert_eq!(
        serde_json::to_string(&scores.labelled(&labels)).unwrap(),
        r#"{"macro":null,"happy":null,"film":null}"#
    );
    assert_eq!(Scores::new(&[], &[], 2).unwrap().roc_auc.moods, [None, None]);
}

#[test]
fn scores_that_are_not_clips_by_moods_are_an_error() {
    for (targets, scores, moods) in [(3, 3, 2), (4, 2, 2), (2, 2, 0)] {
        assert!(Scores::new(&vec![true; targets], &vec![0.0; scores], moods).is_err());
    }
    let error = Scores::new(&[true, false], &[0.0, f32::NAN], 2).unwrap_err().to_string();
    assert!(error.contains("mood 1") && error.contains("clip 0"), "{error}");
}

/// Targets and two tables of scores, the second the better one.
fn noisy(clips: usize, moods: usize) -> (Vec<bool>, Vec<f32>, Vec<f32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let targets: Vec<bool> = (0..clips * moods).map(|_| rng.random_bool(0.3)).collect();
    let mut scores = |weight: f32| -> Vec<f32> {
        targets.iter().map(|&t| weight * f32::from(u8::from(t)) + rng.random::<f32>()).collect()
    };
    let (worse, better) = (scores(0.1), scores(0.6));
    (targets, worse, better)
}

#[test]
fn counting_a_clip_twice_is_having_it_twice() {
    let (targets, scores, _) = noisy(50, 1);
    // Rounded, so that some tie.
    let scores: Vec<f32> = scores.iter().map(|score| (10.0 * score).round()).collect();
    let counts: Vec<u32> = (0..50).map(|clip| clip % 4).collect();
    let repeat = |clip: usize| std::iter::repeat_n(clip, counts[clip] as usize);
    let (t, s): (Vec<bool>, Vec<f32>) =
        (0..50).flat_map(repeat).map(|clip| (targets[clip], scores[clip])).unzip();
    let ranking = Ranking::new(&targets, &scores).unwrap();
    assert_eq!(ranking.roc_auc(&counts), roc_auc(&t, &s).unwrap());
    assert_eq!(ranking.average_precision(&counts), average_precision(&t, &s).unwrap());
    assert_eq!(ranking.roc_auc(&[0; 50]), None);
}

#[test]
fn intervals_are_as_wide_as_the_draw_of_clips_makes_them() {
    let (targets, scores, _) = noisy(400, 3);
    let table = Table::new(&targets, &scores, 3).unwrap();
    let resampling = Resampling { resamples: 500, seed: 1 };
    let all = bootstrap(table, resampling).unwrap();
    assert_eq!(all, bootstrap(table, resampling).unwrap());
    assert!(all != bootstrap(table, Resampling { seed: 2, ..resampling }).unwrap());
    let values = Scores::new(&targets, &scores, 3).unwrap();
    for mood in 0..3 {
        let (targets, _) = table.mood(mood);
        let (auc, Interval(low, high)) =
            (values.roc_auc.moods[mood].unwrap(), all.roc_auc.moods[mood].unwrap());
        // Hanley and McNeil (1982), their formula for the standard error of an AUC.
        let positives = targets.iter().filter(|&&t| t).count() as f64;
        let negatives = targets.len() as f64 - positives;
        let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
        let variance = auc * (1.0 - auc)
            + (positives - 1.0) * (q1 - auc * auc)
            + (negatives - 1.0) * (q2 - auc * auc);
        let expected = 2.0 * 1.96 * (variance / (positives * negatives)).sqrt();
        assert!(low < auc && auc < high);
        assert!((0.8..1.25).contains(&((high - low) / expected)), "{} {expected}", high - low);
    }
    // The mean over moods moves less than each.
    let width = |Interval(low, high): Interval| high - low;
    assert!(width(all.roc_auc.macro_mean.unwrap()) < width(all.roc_auc.moods[0].unwrap()));
}

/// Resamples of few positives rank them better than the clips as they are.
#[test]
fn an_interval_holds_its_metric() {
    let clips = 30;
    let targets: Vec<bool> = (0..clips).map(|clip| clip % 13 == 12).collect();
    let scores: Vec<f32> =
        (0..clips).map(|clip| (clip * 7 % clips) as f32 / clips as f32).collect();
    let table = Table::new(&targets, &scores, 1).unwrap();
    let value = average_precision(&targets, &scores).unwrap().unwrap();
    for seed in 0..5 {
        let found = bootstrap(table, Resampling { resamples: 50, seed }).unwrap();
        let Interval(low, high) = found.pr_auc.moods[0].unwrap();
        assert!((low..=high).contains(&value), "{value} [{low}, {high}]");
    }
}

#[test]
fn an_undefined_mood_has_no_interval() {
    let targets = [true, false, true, false, true, false];
    let scores = [0.9, 0.1, 0.3, 0.2, 0.8, 0.4];
    let table = Table::new(&targets, &scores, 2).unwrap();
    let all = bootstrap(table, Resampling::default()).unwrap();
    assert_eq!((all.roc_auc.moods, all.pr_auc.macro_mean), (vec![None, None], None));
}

#[test]
fn paired_differences_are_sharper_than_two_intervals() {
    let (targets, worse, better) = noisy(300, 2);
    let table = |scores| Table::new(&targets, scores, 2).unwrap();
    let resampling = Resampling { resamples: 400, seed: 0 };
    let found = paired_bootstrap(table(&worse), table(&better), resampling).unwrap();
    let auc =
        |scores: &[f32]| Scores::new(&targets, scores, 2).unwrap().roc_auc.macro_mean.unwrap();
    let difference = found.roc_auc.value.macro_mean.unwrap();
    assert!((difference - (auc(&better) - auc(&worse))).abs() < 1e-12);
    let Interval(low, high) = found.roc_auc.intervals.macro_mean.unwrap();
    assert!(0.0 < low && low < difference && difference < high);
    // A model is no better than itself, whatever is drawn.
    let same = paired_bootstrap(table(&worse), table(&worse), resampling).unwrap();
    assert_eq!(same.pr_auc.intervals.macro_mean, Some(Interval(0.0, 0.0)));
    // The same model with a little noise: what is hard for one is hard for both.
    let near: Vec<f32> = worse.iter().enumerate().map(|(i, s)| s + 0.01 * (i % 3) as f32).collect();
    let paired = paired_bootstrap(table(&worse), table(&near), resampling).unwrap();
    let Interval(low, high) = paired.roc_auc.intervals.macro_mean.unwrap();
    let Interval(l, h) = bootstrap(table(&worse), resampling).unwrap().roc_auc.macro_mean.unwrap();
    assert!(5.0 * (high - low) < h - l, "{low} {high} {l} {h}");
    let other: Vec<bool> = targets.iter().map(|target| !target).collect();
    let unlike = Table::new(&other, &worse, 2).unwrap();
    assert!(paired_bootstrap(table(&worse), unlike, resampling).is_err());
}

#[test]
fn the_threshold_lies_between_what_counts_and_what_does_not() {
    let targets = [true, true, false, true, false, false];
    let scores = [0.9, 0.7, 0.6, 0.5, 0.25, 0.1];
    // F1 is 2·3 / (4 + 3) from 0.5 on.
    assert_eq!(best_threshold(&targets, &scores).unwrap(), Some(0.375));
    assert_eq!(f1(&targets, &scores, 0.375), Some(6.0 / 7.0));
    assert_eq!(f1(&targets, &scores, 0.95), Some(0.0));
    // Equal scores are not torn apart; where all count, the lowest score is the threshold.
    assert_eq!(best_threshold(&[true, false], &[0.5, 0.5]).unwrap(), Some(0.5));
    assert_eq!(best_threshold(&[false, false], &[0.5, 0.1]).unwrap(), None);
    assert_eq!(f1(&[false, false], &[0.5, 0.1], 0.3), None);
    assert!(best_threshold(&[true], &[f32::NAN]).is_err());
}

#[test]
fn calibration_and_hit_rate_by_hand() {
    // In [0, 1/15): mean 0.05, no positive of 2. In the last: 0.95 twice, one positive of 2.
    let error = expected_calibration_error(&[false, false, true, false], &[0.05, 0.05, 0.95, 0.95]);
    assert!((error.unwrap() - (2.0 * 0.05 + 2.0 * 0.45) / 4.0).abs() < 1e-6);
    assert_eq!(expected_calibration_error(&[true, false], &[1.0, 0.0]), Some(0.0));
    assert_eq!(expected_calibration_error(&[], &[]), None);
    let targets = [[true, false], [true, false], [false, true]];
    let scores = [[0.6, 0.4], [0.2, 0.8], [0.5, 0.5]];
    let table = Table::new(targets.as_flattened(), scores.as_flattened(), 2).unwrap();
    assert_eq!(top1_hit_rate(table), Some(1.0 / 3.0));
}

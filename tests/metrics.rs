//! ROC-AUC and average precision against scikit-learn (`fixtures/metrics.py`), and their means.

use moodshader::metrics::{PerMood, Scores, average_precision, curves, roc_auc};
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

//! The built-in models against the published package, which TensorFlow computed
//! (fixtures/musicnn_taggrams.py says how), and what they are used for.

mod support;

use std::collections::HashMap;

use moodshader::exec::Device;
use moodshader::model::builtin;
use moodshader::predict::Tagger;
use serde::Deserialize;
use support::device;

/// By network, by sound: each window's probabilities.
type Taggrams = HashMap<String, HashMap<String, Vec<Vec<f32>>>>;

#[derive(Deserialize)]
struct Fixture {
    labels: HashMap<String, Vec<String>>,
    taggrams: Taggrams,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/musicnn_taggrams.json"))
        .expect("the fixture is JSON")
}

/// What the published package rounds to float16 on its way is not rounded here.
const TOLERANCE: f32 = 1e-4;

/// The sounds of the fixture, at 16 kHz: chords that swell and noise between them, of three windows and
/// some more, and of three whose last frame lies at the end.
fn sound(name: &str) -> Vec<f32> {
    let (length, seed) = match name {
        "three" => (150_000, 1_u32),
        "just three" => (143_360, 2),
        _ => panic!("{name} is no sound of the fixture"),
    };
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    let tones: Vec<f64> =
        (0..4).map(|k| 110.0 * f64::from(seed) * f64::from(2 * k + 3) / 3.0).collect();
    let sample = |n: i32| {
        let t = f64::from(n) / 16_000.0;
        let swell = 0.5 - 0.5 * (2.0 * std::f64::consts::PI * t * 1.7).cos();
        let chord: f64 = tones.iter().map(|hz| (2.0 * std::f64::consts::PI * hz * t).sin()).sum();
        let hiss = 0.05 * noise() * (1.0 - swell);
        (0.15 * swell * chord + hiss) as f32
    };
    (0..length).map(sample).collect()
}

fn compare(name: &str, folder: &str, device: &Device) {
    let fixture = fixture();
    let checkpoint = builtin::checkpoint(name).expect("the model is built in");
    let mut tagger = Tagger::new(&checkpoint, device).expect("the model fits");
    assert_eq!(&**tagger.moods(), &*fixture.labels[folder]);
    tagger.set_windows(None);
    for (sound_name, taggram) in &fixture.taggrams[folder] {
        let prediction = tagger.predict(&sound(sound_name), 16_000).expect("the sound is heard");
        assert_eq!(prediction.timeline.len(), taggram.len(), "{sound_name}");
        for (window, (span, expected)) in prediction.timeline.iter().zip(taggram).enumerate() {
            for (got, want) in span.moods.probabilities().iter().zip(expected) {
                let apart = (got - want).abs();
                assert!(apart < TOLERANCE, "{name}, {sound_name}, window {window}: {got} {want}");
            }
        }
    }
}

#[test]
fn every_window_has_the_published_probabilities() {
    for (name, folder) in [("musicnn-msd", "MSD_musicnn"), ("musicnn-mtt", "MTT_musicnn")] {
        compare(name, folder, &device());
    }
}

#[test]
fn the_cpu_reference_has_them_too() {
    compare("musicnn-msd", "MSD_musicnn", &Device::Cpu);
}

#[test]
fn ten_windows_of_a_recording_are_heard_evenly_spread() {
    let mut tagger = Tagger::builtin(&device()).expect("the model fits");
    // 25 windows.
    let samples: Vec<f32> = sound("three").into_iter().cycle().take(25 * 47_872).collect();
    let prediction = tagger.predict(&samples, 16_000).expect("it is heard");
    let starts: Vec<usize> =
        prediction.timeline.iter().map(|span| (span.start / 2.992).round() as usize).collect();
    assert_eq!(starts, [1, 3, 6, 8, 11, 13, 16, 18, 21, 23]);
}

#[test]
fn what_is_heard_of_a_file_is_what_is_heard_of_its_samples() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("sound.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let samples = sound("just three");
    let mut writer = hound::WavWriter::create(&path, spec).expect("there is room");
    samples.iter().for_each(|&sample| writer.write_sample(sample).expect("there is room"));
    writer.finalize().expect("there is room");
    let mut tagger = Tagger::builtin(&device()).expect("the model fits");
    tagger.set_embedding(true);
    let of_file = tagger.predict_file(&path).expect("the file is heard");
    let of_samples = tagger.predict(&samples, 16_000).expect("the sound is heard");
    assert_eq!(of_file, of_samples);
    assert_eq!(of_file.embedding.len(), 200);
    // The last frame of the third lies at the end of the sound.
    assert_eq!(of_file.timeline.len(), 3);
}

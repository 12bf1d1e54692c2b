//! Log-mel features against librosa (`fixtures/librosa_features.py`), on the adapter and the CPU.

use std::collections::HashMap;

use moodshader::dataset::features::{Extractor, FeatureRecipe};
use moodshader::error::Kind;
use moodshader::exec::{Device, DeviceChoice, GpuOptions};
use moodshader::kernels::features::MelFilters;
use moodshader::model::preset::{Audio, Features, Scale};
use safetensors::SafeTensors;
use serde::Deserialize;

const FIXTURE: &[u8] = include_bytes!("fixtures/librosa_features.safetensors");

/// Farthest that a value may be from librosa's, in dB. The largest seen is 2.7e-4, on the tone: in
/// bands near 80 dB below its peak the rounding of f32 shows.
const TOLERANCE_DB: f32 = 1e-3;

#[derive(Deserialize)]
struct Description {
    recipes: HashMap<String, Recipe>,
    frame_stride: usize,
}

#[derive(Deserialize)]
struct Recipe {
    sample_rate: u32,
    samples: usize,
    n_fft: usize,
    hop: usize,
    mels: usize,
    top_db: f64,
    signals: Vec<String>,
}

impl Recipe {
    fn features(&self) -> FeatureRecipe {
        let Self { sample_rate, n_fft, hop, mels, top_db, .. } = *self;
        let clip_seconds = self.samples as f64 / f64::from(sample_rate);
        let fmax = f64::from(sample_rate) / 2.0;
        FeatureRecipe {
            audio: Audio { sample_rate, clip_seconds, windows: None },
            features: Features {
                n_fft,
                hop,
                mels,
                fmin: 0.0,
                fmax,
                top_db,
                scale: Scale::Decibels,
                context: false,
            },
            rolloff: None,
        }
    }

    fn filters(&self) -> MelFilters {
        let fmax = f64::from(self.sample_rate) / 2.0;
        MelFilters::slaney(self.sample_rate, self.n_fft, self.mels, 0.0, fmax)
    }
}

struct Fixture {
    tensors: SafeTensors<'static>,
    description: Description,
}

impl Fixture {
    fn open() -> Self {
        let (_, metadata) = SafeTensors::read_metadata(FIXTURE).unwrap();
        let text = &metadata.metadata().as_ref().unwrap()["fixture"];
        Self {
            tensors: SafeTensors::deserialize(FIXTURE).unwrap(),
            description: serde_json::from_str(text).unwrap(),
        }
    }

    fn numbers(&self, name: &str) -> Vec<f32> {
        let tensor = self.tensors.tensor(name).unwrap();
        bytemuck::pod_collect_to_vec(tensor.data())
    }

    /// What librosa made of a recipe is named after it, but for the standard one.
    fn of(&self, group: &str, recipe: &str, name: &str) -> Vec<f32> {
        match recipe {
            "standard" => self.numbers(&format!("{group}.{name}")),
            _ => self.numbers(&format!("{group}.{recipe}.{name}")),
        }
    }

    fn signal(&self, name: &str, samples: usize) -> Vec<f32> {
        let tensor = self.tensors.tensor(&format!("signal.{name}")).unwrap();
        let words: Vec<i16> = bytemuck::pod_collect_to_vec(tensor.data());
        words[..samples].iter().map(|&word| f32::from(word) / 32768.0).collect()
    }
}

fn open(choice: &DeviceChoice) -> Device {
    Device::open(choice, GpuOptions { checked: true }).expect("the device opens").0
}

/// Every recipe's signals, all in one call, against librosa's frames.
fn agrees_with_librosa(device: &Device) {
    let fixture = Fixture::open();
    let stride = fixture.description.frame_stride;
    for (name, recipe) in &fixture.description.recipes {
        let signals: Vec<_> =
            recipe.signals.iter().map(|name| fixture.signal(name, recipe.samples)).collect();
        let clips: Vec<&[f32]> = signals.iter().map(Vec::as_slice).collect();
        let mut extractor = Extractor::new(device, recipe.features()).unwrap();
        let features = extractor.extract(&clips).unwrap();
        assert_eq!(features.len(), clips.len());
        for (signal, features) in recipe.signals.iter().zip(&features) {
            let frames = recipe.features().frames();
            assert_eq!(features.log_mel.len(), recipe.mels * frames);
            let expected = fixture.of("expected", name, signal);
            let got = features.log_mel.chunks(frames).flat_map(|band| band.iter().step_by(stride));
            assert_eq!(got.clone().count(), expected.len());
            let off = got.zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{name} {signal}: {off:.1e} dB");
            assert!(off <= TOLERANCE_DB, "{name} {signal}: {off} dB");
        }
    }
}

#[test]
fn the_adapter_agrees_with_librosa() {
    agrees_with_librosa(&open(&DeviceChoice::Adapter));
}

#[test]
fn the_cpu_agrees_with_librosa() {
    agrees_with_librosa(&open(&DeviceChoice::Cpu));
}

/// Farthest that a hand-crafted feature may be from librosa's, relative to the feature's mean: the
/// deviation of what is constant, as a tone's centroid is, is rounding. The largest seen is 9e-6.
const HANDCRAFTED_TOLERANCE: f32 = 5e-5;

/// Every recipe's signals with their hand-crafted features, beside the same log-mel values as without.
fn handcrafted_agrees_with_librosa(device: &Device) {
    let fixture = Fixture::open();
    for (name, recipe) in &fixture.description.recipes {
        let signals: Vec<_> =
            recipe.signals.iter().map(|name| fixture.signal(name, recipe.samples)).collect();
        let clips: Vec<&[f32]> = signals.iter().map(Vec::as_slice).collect();
        let with = FeatureRecipe { rolloff: Some(0.85), ..recipe.features() };
        let plain = Extractor::new(device, recipe.features()).unwrap().extract(&clips).unwrap();
        let features = Extractor::new(device, with).unwrap().extract(&clips).unwrap();
        for ((signal, features), plain) in recipe.signals.iter().zip(&features).zip(&plain) {
            assert_eq!(features.log_mel, plain.log_mel);
            assert!(plain.handcrafted.is_none());
            let got = features.handcrafted.expect("the recipe asks for them");
            let expected = fixture.of("handcrafted", name, signal);
            for (got, want) in got.chunks(2).zip(expected.chunks(2)) {
                for (a, b) in got.iter().zip(want) {
                    let off = (a - b).abs();
                    println!("{name} {signal}: {:.1e}", off / want[0]);
                    assert!(off <= HANDCRAFTED_TOLERANCE * want[0], "{name} {signal}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn handcrafted_features_agree_with_librosa_on_the_adapter() {
    handcrafted_agrees_with_librosa(&open(&DeviceChoice::Adapter));
}

#[test]
fn handcrafted_features_agree_with_librosa_on_the_cpu() {
    handcrafted_agrees_with_librosa(&open(&DeviceChoice::Cpu));
}

#[test]
fn mel_filters_are_librosas() {
    let fixture = Fixture::open();
    for (name, recipe) in &fixture.description.recipes {
        let filters = recipe.filters();
        let sums = fixture.of("mel", name, "row_sums");
        assert_eq!(filters.bands.len(), 3 * sums.len());
        for (band, want) in filters.bands.chunks(3).zip(sums) {
            let weights = &filters.weights[band[2] as usize..][..band[1] as usize];
            let sum: f64 = weights.iter().sum();
            assert!((sum - f64::from(want)).abs() < 1e-6 * sum, "{name}: {sum} {want}");
        }
    }

    // [band, bin, weight] of all weights in some bands.
    let filters = fixture.description.recipes["standard"].filters();
    let listed = fixture.numbers("mel.weights");
    let mut seen = 0;
    let mut bands: Vec<usize> = listed.chunks(3).map(|entry| entry[0] as usize).collect();
    bands.dedup();
    for band in bands {
        let [first, count, offset] = [0, 1, 2].map(|i| filters.bands[3 * band + i] as usize);
        for (bin, &weight) in (first..).zip(&filters.weights[offset..offset + count]) {
            let entry = &listed[3 * seen..3 * seen + 3];
            assert_eq!([entry[0] as usize, entry[1] as usize], [band, bin]);
            assert!((weight - f64::from(entry[2])).abs() < 1e-6 * weight, "{band} {bin}");
            seen += 1;
        }
    }
    assert_eq!(3 * seen, listed.len());
}

/// How clips fall into groups does not show.
#[test]
fn a_clip_has_the_same_features_in_any_company() {
    let recipe = FeatureRecipe {
        audio: Audio { sample_rate: 8000, clip_seconds: 0.125, windows: None },
        features: Features {
            n_fft: 128,
            hop: 50,
            mels: 20,
            fmin: 50.0,
            fmax: 3500.0,
            top_db: 80.0,
            scale: Scale::Decibels,
            context: false,
        },
        rolloff: Some(0.85),
    };
    let clips: Vec<Vec<f32>> =
        (1..=7).map(|c| (0..1000).map(|i| ((c * i * i) as f32 * 0.37).sin()).collect()).collect();
    let clips: Vec<&[f32]> = clips.iter().map(Vec::as_slice).collect();
    for choice in [DeviceChoice::Adapter, DeviceChoice::Cpu] {
        let mut extractor = Extractor::new(&open(&choice), recipe).unwrap();
        let together = extractor.extract(&clips).unwrap();
        assert_eq!(together.len(), 7);
        for (clip, features) in clips.iter().zip(&together) {
            assert_eq!(&extractor.extract(&[clip]).unwrap()[0], features);
        }
        assert!(extractor.extract(&[]).unwrap().is_empty());
        assert_eq!(extractor.extract(&[&clips[0][1..]]).unwrap_err().kind, Kind::Input);
    }
}

#[test]
fn recipes_that_make_no_spectrogram_are_refused() {
    let good = Fixture::open().description.recipes["standard"].features();
    type Change = fn(&mut FeatureRecipe);
    let cases: [(Change, &str); 17] = [
        (|r| r.features.n_fft = 1000, "n_fft"),
        (|r| r.features.n_fft = 8192, "n_fft"),
        (|r| r.features.hop = 0, "hop"),
        (|r| r.features.hop = usize::MAX, "long"),
        (|r| r.features.mels = 0, "mels"),
        (|r| r.features.mels = 4097, "4096"),
        (|r| r.audio.clip_seconds = 0.0, "clip_seconds"),
        (|r| r.audio.clip_seconds = f64::MAX, "3600 s"),
        (|r| (r.audio.clip_seconds, r.features.hop) = (3600.0, 1), "long"),
        (|r| r.features.fmin = f64::NAN, "fmin"),
        (|r| (r.features.fmin, r.features.fmax) = (9000.0, 9000.0), "fmin"),
        (|r| r.features.fmax = 11_026.0, "fmax"),
        (|r| r.features.top_db = 0.0, "top_db"),
        (|r| r.features.top_db = -1.0, "top_db"),
        (|r| r.audio.sample_rate = 0, "sample_rate"),
        (|r| r.rolloff = Some(1.0), "rolloff"),
        (|r| r.rolloff = Some(f64::NAN), "rolloff"),
    ];
    for (change, word) in cases {
        let mut wrong = good;
        change(&mut wrong);
        let error = Extractor::new(&Device::Cpu, wrong).unwrap_err();
        assert_eq!(error.kind, Kind::Input);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_recipes_text_states_every_number() {
    let recipe = Fixture::open().description.recipes["standard"].features();
    assert_eq!(
        recipe.to_string(),
        "log_mel sample_rate=22050 clip_samples=33075 n_fft=2048 hop=512 mels=128 fmin=0 \
         fmax=11025 top_db=80"
    );
    let text = FeatureRecipe { rolloff: Some(0.85), ..recipe }.to_string();
    assert!(
        text.ends_with("top_db=80 zero_crossing_rate spectral_centroid rolloff=0.85"),
        "{text}"
    );
}

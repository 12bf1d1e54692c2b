//! What is fed to what.

use std::fs;
use std::path::Path;

use moodshader::audio::{AudioFile, Cut, Waveform, centre_clip, format_of, inspect, sound_hash};
use moodshader::dataset::labels::{Labelled, MoodChoice, Unlabelled};
use moodshader::dataset::manifest;
use moodshader::dataset::split::Split;
use moodshader::dataset::stats::Stats;
use moodshader::model::checkpoint::{Checkpoint, Description};
use moodshader::model::parameters::{initialise, initialise_buffers};
use moodshader::model::preset::Preset;
use moodshader::model::{Graph, outline};
use moodshader::predict::tags;
use moodshader::run::{Config, read_predictions};
use moodshader::{Device, Tagger};
use rand::{Rng, RngExt, seq::IndexedRandom};

use super::mutation::{mend_ogg, mutate};

/// Hz at which audio is heard: another than that of all seeds, so that it is resampled.
const RATE: u32 = 11_025;

/// Samples of a clip that a changed model is tried with.
const LONGEST_CLIP: usize = 1 << 16;

/// A kind of input, and what has to be true of it. An error of the program is right; a message says
/// what is not.
pub struct Target {
    pub name: &'static str,
    /// Files to begin with: their names, whose endings stay, and contents.
    pub seeds: Vec<(String, Vec<u8>)>,
    pub change: fn(&mut Vec<u8>, &[u8], &mut dyn Rng),
    pub check: fn(&Path) -> Result<bool, String>,
}

impl Target {
    /// The name and the bytes of an input.
    pub fn draw(&self, mut rng: &mut dyn Rng) -> (String, Vec<u8>) {
        let (name, seed) = self.seeds.choose(&mut rng).expect("every target has seeds");
        let (_, other) = self.seeds.choose(&mut rng).expect("every target has seeds");
        let mut bytes = seed.clone();
        (self.change)(&mut bytes, other, rng);
        (name.clone(), bytes)
    }
}

/// All of them. `fixtures` is the folder of the tests' audio.
///
/// # Errors
/// The fixtures cannot be read.
pub fn all(fixtures: &Path) -> moodshader::Result<Vec<Target>> {
    let sounds = sounds(fixtures)?;
    let presets = presets();
    let checkpoints =
        presets.iter().map(|(name, preset)| (format!("{name}.safetensors"), checkpoint(preset)));
    let checkpoints: Vec<_> = checkpoints.collect();
    let text = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let presets = presets.iter().map(|(name, preset)| {
        text(&format!("{name}.toml"), &preset.to_toml().expect("presets can be written"))
    });
    Ok(vec![
        Target { name: "audio", seeds: sounds.clone(), change: damage, check: hear },
        Target { name: "tags", seeds: sounds, change: damage, check: tag },
        Target { name: "manifests", seeds: manifests(), change: damage, check: list },
        Target { name: "presets", seeds: presets.collect(), change: damage, check: shape },
        Target { name: "runs", seeds: runs(), change: damage, check: read_run },
        Target { name: "checkpoints", seeds: checkpoints.clone(), change: damage, check: predict },
        Target {
            name: "weights",
            seeds: checkpoints,
            change: |bytes, _, rng| poison(bytes, rng),
            check: predict,
        },
    ])
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], mut rng: &mut dyn Rng) {
    *bytes = mutate(bytes, other, &mut rng);
    if bytes.starts_with(b"OggS") && rng.random_bool(0.7) {
        mend_ogg(bytes);
    }
}

/// Files of every format, some of them with tags.
fn sounds(fixtures: &Path) -> moodshader::Result<Vec<(String, Vec<u8>)>> {
    let read = |error| moodshader::Error::io("read", fixtures, &error);
    let mut sounds = Vec::new();
    for entry in fs::read_dir(fixtures).map_err(read)? {
        let entry = entry.map_err(read)?;
        let bytes = fs::read(entry.path()).map_err(read)?;
        sounds.push((entry.file_name().to_string_lossy().into_owned(), bytes));
    }
    sounds.sort();
    for (name, bytes) in sounds.clone() {
        let place = std::env::temp_dir().join(format!("{}-{name}", std::process::id()));
        fs::write(&place, &bytes).map_err(read)?;
        if tags::write(&place, &["dark".to_owned(), "calm".to_owned()]).is_ok() {
            sounds.push((format!("tagged-{name}"), fs::read(&place).map_err(read)?));
        }
        let _ = fs::remove_file(&place);
    }
    let samples: Vec<u8> = (0..4000u16).flat_map(|n| (n % 999).to_le_bytes()).collect();
    let format = |tag: u16, bits: u16| {
        let frame = bits / 8;
        let mut chunk = b"fmt \x10\0\0\0".to_vec();
        for field in [tag, 1, 8000, 0, 16_000, 0, frame, bits] {
            chunk.extend(field.to_le_bytes());
        }
        chunk
    };
    let length = samples.len() as u32;
    for (name, tag, bits) in [("int.wav", 1, 16), ("float.wav", 3, 32), ("law.wav", 6, 8)] {
        let data = [&b"data"[..], &length.to_le_bytes(), &samples].concat();
        let wav = [&b"RIFF\0\0\0\0WAVE"[..], &format(tag, bits), &data].concat();
        sounds.push((name.into(), wav));
    }
    let mut aiff =
        b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12\0\x01\0\0\x0f\xa0\0\x10\x40\x0b\xfa\0\0\0\0\0\0\0"
            .to_vec();
    aiff.extend([&b"SSND"[..], &(length + 8).to_be_bytes(), &[0; 8], &samples].concat());
    sounds.push(("int.aiff".into(), aiff));
    let mut caf = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20\x40\xbf\x40\0\0\0\0\0lpcm".to_vec();
    for number in [2u32, 2, 1, 1, 16] {
        caf.extend(number.to_be_bytes());
    }
    caf.extend([&b"data"[..], &(u64::from(length) + 4).to_be_bytes(), &[0; 4], &samples].concat());
    sounds.push(("int.caf".into(), caf));
    Ok(sounds)
}

/// Training, validation and prediction hear it; all say the same of it.
fn hear(path: &Path) -> Result<bool, String> {
    let inspected = inspect(path, 1.0);
    let clip = centre_clip(path, RATE, Cut::plain(RATE as usize));
    let samples = |samples: &[f32]| match samples.iter().find(|sample| !sample.is_finite()) {
        Some(sample) => Err(format!("gives a sample that is {sample}")),
        None => Ok(()),
    };
    if let Ok(clip) = &clip {
        samples(&clip.samples)?;
    }
    if let Ok(mut file) = AudioFile::open(path, RATE)
        && let Ok(clips) = file.successive_clips(RATE as usize)
    {
        for clip in clips {
            let Ok(clip) = clip else { break };
            samples(&clip.samples)?;
        }
    }
    Ok(inspected.is_ok() && clip.is_ok())
}

/// A tag is written whole, or nothing is; the sound stays as it was.
fn tag(path: &Path) -> Result<bool, String> {
    let before = fs::read(path).map_err(|error| error.to_string())?;
    if !matches!(format_of(path), Ok(Some(_))) {
        return Ok(false);
    }
    // A damaged file may say that its sound goes on where its tags are, and yet sound the same.
    let sound = || (sound_hash(path).ok(), Waveform::read(path).ok());
    let (coded, heard) = sound();
    let moods = ["dark".to_owned(), "epic".to_owned()];
    let promised = tags::preview(path, &moods).is_ok();
    let written = tags::write(path, &moods);
    if promised != written.is_ok() {
        return Err(format!("is promised ({promised}) and written otherwise: {written:?}"));
    }
    match written {
        Err(_) => {
            let after = fs::read(path).map_err(|error| error.to_string())?;
            (after == before).then_some(false).ok_or("is changed and refused".into())
        }
        Ok(_) => {
            let (coded_after, heard_after) = sound();
            let was_heard = coded.is_some() || heard.is_some();
            // One that claims more packets than it has bytes may have a silent one more: it is longer.
            let goes_on = match (&heard, &heard_after) {
                (Some(before), Some(after)) => after.samples.starts_with(&before.samples),
                (before, after) => before == after,
            };
            if was_heard && coded != coded_after && !goes_on {
                return Err("has another sound after a tag was written".into());
            }
            let again = tags::preview(path, &moods).map_err(|error| error.to_string())?;
            (!again.is_needed()).then_some(true).ok_or("does not say what was written".into())
        }
    }
}

fn manifests() -> Vec<(String, Vec<u8>)> {
    let rows = |rows: &[&str]| rows.join("\n").into_bytes();
    vec![
        (
            "list.csv".into(),
            rows(&["path,tags", "a.mp3,happy|dark", "\"b, c.mp3\",epic", "d.ogg,"]),
        ),
        (
            "jamendo.tsv".into(),
            rows(&[
                "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS",
                "track_1\tartist_1\talbum_1\t48/948.mp3\t212.7\tmood/theme---happy",
                "track_2\tartist_2\talbum_1\t14/214.mp3\t99.5\tmood/theme---dark\tmood/theme---epic",
                "track_3\tartist_3\talbum_2\t15/215.mp3\t31.5\tgenre---rock",
            ]),
        ),
    ]
}

fn list(path: &Path) -> Result<bool, String> {
    let Ok(manifest) = manifest::read(path, None) else { return Ok(false) };
    let tracks = manifest.tell(|_| {});
    let Ok(labels) = MoodChoice::parse("all").and_then(|moods| moods.labels(&tracks)) else {
        return Ok(false);
    };
    let stats = Stats::new(&tracks, &labels);
    let counted: usize = stats.counts.iter().sum();
    if counted == 0 {
        return Err("has tags that no track has".into());
    }
    let Ok(labelled) = Labelled::new(tracks, &labels, Unlabelled::LeftOut) else {
        return Ok(false);
    };
    let unread = vec![None; labelled.tracks.len()];
    Ok(Split::by_artist(labelled.tracks, &unread, 1).is_ok())
}

/// Small models of every kind.
fn presets() -> Vec<(&'static str, Preset)> {
    Preset::names()
        .map(|name| {
            let mut preset = Preset::named(name).expect("the name is from the list");
            let smaller = [
                ("audio.clip_seconds", "0.5"),
                ("features.n_fft", "512"),
                ("features.hop", "256"),
                ("features.mels", "32"),
            ];
            for (key, value) in smaller {
                preset.set(key, value).expect("presets have these keys");
            }
            (name, preset)
        })
        .filter(|(_, preset)| preset.validate().is_ok())
        .collect()
}

fn shape(path: &Path) -> Result<bool, String> {
    let Ok(preset) = Preset::from_file(path) else { return Ok(false) };
    let written = preset.to_toml().map_err(|error| error.to_string())?;
    let read = Preset::from_toml(&written, "what was written");
    if read.as_ref().ok() != Some(&preset) {
        return Err(format!("is not what it is after it was written: {read:?}"));
    }
    let Ok(graph) = Graph::of(&preset) else { return Ok(false) };
    let (columns, _) = outline::outline(&graph);
    (!columns.is_empty()).then_some(true).ok_or("has no layers".into())
}

fn runs() -> Vec<(String, Vec<u8>)> {
    let predictions = "id,path,label_happy,label_dark,score_happy,score_dark\n\
                       1,a.wav,1,0,0.75,0.25\n2,b.wav,0,1,0.5,0.5\n3,c.wav,0,1,0.125,0.875\n";
    vec![
        ("predictions.csv".into(), predictions.into()),
        (
            "config.toml".into(),
            Preset::named("demo").and_then(|demo| demo.to_toml()).unwrap_or_default().into(),
        ),
    ]
}

fn read_run(path: &Path) -> Result<bool, String> {
    if path.extension().is_some_and(|ending| ending == "toml") {
        return Ok(Config::read(path).is_ok());
    }
    Ok(read_predictions(path).is_ok())
}

fn checkpoint(preset: &Preset) -> Vec<u8> {
    let mut description = Description::untrained(preset);
    (description.normalization.mean, description.normalization.std) = (-40.0, 20.0);
    let tensors = initialise(preset, 1).into_iter().chain(initialise_buffers(preset));
    let place = std::env::temp_dir().join(format!("{}.safetensors", std::process::id()));
    let written = Checkpoint::new(&description, tensors)
        .and_then(|checkpoint| checkpoint.write(&place))
        .map(|()| fs::read(&place).unwrap_or_default());
    let _ = fs::remove_file(&place);
    written.expect("a checkpoint of an untrained model can be written")
}

/// Puts numbers that are none, or none that a trained model has, among the weights.
fn poison(bytes: &mut [u8], rng: &mut dyn Rng) {
    let Some(length) = bytes.first_chunk().map(|length| u64::from_le_bytes(*length) as usize)
    else {
        return;
    };
    let data = 8 + length;
    for _ in 0..rng.random_range(1..4) {
        let at = data + 4 * rng.random_range(0..(bytes.len() - data) / 4);
        let values =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 1e38, -1e30, 1e-45, f32::MAX];
        let value = values[rng.random_range(0..values.len())];
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// A checkpoint that is taken predicts probabilities.
fn predict(path: &Path) -> Result<bool, String> {
    let Ok(checkpoint) = Checkpoint::read(path) else { return Ok(false) };
    let description = checkpoint.description().map_err(|error| error.to_string())?;
    // Longer clips are right, and take what they take.
    if description.preset.audio.clip_samples() > LONGEST_CLIP {
        return Ok(true);
    }
    let Ok(mut tagger) = Tagger::new(&checkpoint, &Device::Cpu) else { return Ok(false) };
    let clip: Vec<f32> = (0..tagger.cut().samples).map(|n| (n as f32 * 0.1).sin() / 2.0).collect();
    let Ok(heard) = tagger.predict_clips(&[&clip]) else { return Ok(false) };
    let wrong = heard
        .iter()
        .flat_map(|clip| &clip.probabilities)
        .find(|value| !(0.0..=1.0).contains(*value));
    wrong.map_or(Ok(true), |value| Err(format!("gives a probability of {value}")))
}

//! Decoding, resampling and cutting clips, on files that the tests write themselves.

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use moodshader::audio::{AudioFile, Format, Waveform, centre_clip, format_of, successive_clips};
use moodshader::error::Kind;
use tempfile::TempDir;

fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16) -> WavSpec {
    let sample_format = SampleFormat::Int;
    WavSpec { channels, sample_rate, bits_per_sample, sample_format }
}

fn write_ints(path: &Path, spec: WavSpec, samples: impl IntoIterator<Item = i32>) {
    let mut writer = WavWriter::create(path, spec).unwrap();
    samples.into_iter().for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
}

fn write_floats(path: &Path, channels: u16, rate: u32, samples: impl IntoIterator<Item = f32>) {
    let spec = WavSpec { sample_format: SampleFormat::Float, ..spec(channels, rate, 32) };
    let mut writer = WavWriter::create(path, spec).unwrap();
    samples.into_iter().for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
}

fn tone(hertz: f64, rate: u32, length: usize) -> impl Iterator<Item = f32> {
    (0..length).map(move |n| (TAU * hertz * n as f64 / f64::from(rate)).sin() as f32)
}

/// Noise that is the same on every machine, in -1..1.
fn noise(length: usize) -> impl Iterator<Item = f32> {
    let mut state = 1u64;
    (0..length).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// A file in a folder of its own, which lives as long as the test.
fn file(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

fn input_error<T: std::fmt::Debug>(result: moodshader::error::Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Input, "{error}");
    error.to_string()
}

#[test]
fn integers_of_every_width_span_minus_one_to_one() {
    let folder = TempDir::new().unwrap();
    for bits in [8u16, 16, 24, 32] {
        let path = file(&folder, &format!("{bits}.wav"));
        let full = 2f64.powi(i32::from(bits) - 1);
        let (lowest, half) = (-full as i32, (full / 2.0) as i32);
        write_ints(&path, spec(1, 22_050, bits), [lowest, 0, half, -half]);
        assert_eq!(Waveform::read(&path).unwrap().samples, [-1.0, 0.0, 0.5, -0.5], "{bits} bits");
    }
}

#[test]
fn floats_are_taken_as_they_are() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "float.wav");
    write_floats(&path, 1, 48_000, [0.25, -1.5, 0.0]);
    let wave = Waveform::read(&path).unwrap();
    assert_eq!((wave.sample_rate, wave.samples), (48_000, vec![0.25, -1.5, 0.0]));
}

#[test]
fn channels_are_averaged() {
    let folder = TempDir::new().unwrap();
    let stereo = file(&folder, "stereo.wav");
    write_ints(&stereo, spec(2, 44_100, 16), [16_384, -16_384, 16_384, 0]);
    assert_eq!(Waveform::read(&stereo).unwrap().samples, [0.0, 0.25]);

    let surround = file(&folder, "surround.wav");
    write_floats(&surround, 6, 44_100, [0.6, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let mean = Waveform::read(&surround).unwrap().samples[0];
    assert!((mean - 0.1).abs() < 1e-7);
}

#[test]
fn the_content_decides_what_a_file_is() {
    let folder = TempDir::new().unwrap();
    let wav = file(&folder, "really-wav.mp3");
    write_ints(&wav, spec(1, 22_050, 16), [1, 2, 3]);
    assert_eq!(format_of(&wav).unwrap(), Some(Format::Wav));
    assert!(Waveform::read(&wav).is_ok());

    let mp3 = file(&folder, "really-mp3.wav");
    fs::write(&mp3, b"ID3\x04\0\0\0\0\0\0\0\0\0\0").unwrap();
    let message = input_error(Waveform::read(&mp3));
    assert!(message.contains("really-mp3.wav is a broken or unusual MP3 file"), "{message}");

    for text in [&b"path,tags\n"[..], b"", b"\xff\xfeT\0e\0x\0t\0"] {
        let path = file(&folder, "text.wav");
        fs::write(&path, text).unwrap();
        assert_eq!(format_of(&path).unwrap(), None);
        let message = input_error(Waveform::read(&path));
        assert!(message.contains("text.wav does not begin like any audio format"), "{message}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let message = input_error(centre_clip(Path::new("no/such/song.wav"), 22_050, 100));
    assert!(message.contains("song.wav"), "{message}");
}

#[test]
fn no_samples_and_no_finite_samples_are_errors() {
    let folder = TempDir::new().unwrap();
    let empty = file(&folder, "empty.wav");
    write_ints(&empty, spec(2, 22_050, 16), []);
    let message = input_error(centre_clip(&empty, 22_050, 100));
    assert!(message.contains("empty.wav holds no audio samples"), "{message}");

    for bad in [f32::NAN, f32::INFINITY] {
        let path = file(&folder, "bad.wav");
        write_floats(&path, 1, 1_000, noise(500).chain([bad]).chain(noise(500)));
        let message = input_error(centre_clip(&path, 1_000, 1_001));
        assert!(message.contains("bad.wav") && message.contains("0.500 s"), "{message}");
    }
}

#[test]
fn impossible_headers_are_errors() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "header.wav");
    write_ints(&path, spec(1, 22_050, 16), 0..100);
    let good = fs::read(&path).unwrap();
    let with = |offset: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[offset..offset + value.len()].copy_from_slice(value);
        fs::write(&path, bytes).unwrap();
        input_error(centre_clip(&path, 22_050, 50))
    };
    assert!(with(22, &0u16.to_le_bytes()).contains("zero channels"));
    assert!(with(34, &40u16.to_le_bytes()).contains("40 bits"));
    assert!(with(20, &0x55u16.to_le_bytes()).contains("header.wav"));
    assert!(with(16, &u32::MAX.to_le_bytes()).contains("format chunk"));
    assert!(with(12, b"junk").contains("format chunk"));

    let fast = [u32::MAX / 2, u32::MAX - 1].map(u32::to_le_bytes).concat();
    assert!(with(24, &fast).contains("sample rate"));

    fs::write(&path, &good[..30]).unwrap();
    input_error(centre_clip(&path, 22_050, 50));
}

/// Every file that is cut short or has one byte changed is either heard or refused.
#[test]
fn damage_never_panics() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "damaged.wav");
    write_ints(&path, spec(2, 44_100, 24), 0..60);
    let good = fs::read(&path).unwrap();
    let header = good.len() - 60 * 3;
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        let _ = successive_clips(&path, 22_050, 10);
    }
    for offset in 0..header {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[offset] = value;
            fs::write(&path, bytes).unwrap();
            let _ = successive_clips(&path, 22_050, 1_000);
        }
    }
}

#[test]
fn what_a_truncated_file_still_holds_is_used() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "cut.wav");
    write_ints(&path, spec(2, 22_050, 16), (0..200).map(|n| n * 100));
    let whole = Waveform::read(&path).unwrap().samples;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 41]).unwrap(); // the last frame that is left is cut too

    let clip = centre_clip(&path, 22_050, 100).unwrap();
    assert!(clip.truncated && clip.padded);
    assert_eq!(clip.samples[..89], whole[..89]);
    assert_eq!(clip.samples[89..], [0.0; 11]);
}

#[test]
fn a_file_of_unknown_length_is_read_to_its_end() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "piped.wav");
    write_ints(&path, spec(1, 22_050, 16), 0..100);
    let good = fs::read(&path).unwrap();
    let whole = Waveform::read(&path).unwrap();
    for (riff, data) in [(0u32, 0u32), (8, 0), (36, 0), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
        let mut bytes = good.clone();
        bytes[4..8].copy_from_slice(&riff.to_le_bytes());
        bytes[40..44].copy_from_slice(&data.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        assert_eq!(Waveform::read(&path).unwrap(), whole);
        assert!(!centre_clip(&path, 22_050, 100).unwrap().truncated);
    }
}

#[test]
fn chunks_of_odd_length_before_the_data_are_passed_over() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "odd.wav");
    write_ints(&path, spec(1, 22_050, 16), 0..100);
    let whole = Waveform::read(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.splice(36..36, *b"LIST\x05\0\0\0abcde\0");
    fs::write(&path, bytes).unwrap();
    assert_eq!(Waveform::read(&path).unwrap(), whole);
}

/// 24 valid bits in 4 bytes stand at the top of them by the WAV standard, at the bottom as ALSA's
/// `arecord` writes them with a plain header.
#[test]
fn wide_containers_are_read_by_the_kind_of_their_header() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "wide.wav");
    let expected: Vec<f32> = (495..505).map(|n| (n * 8) as f32 / (1 << 23) as f32).collect();

    // hound writes 32-bit integers with an extensible header; its valid bits stand at offset 38.
    write_ints(&path, spec(1, 22_050, 32), (0..1000).map(|n| (n * 8) << 8));
    let mut bytes = fs::read(&path).unwrap();
    bytes[38..40].copy_from_slice(&24u16.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert_eq!(centre_clip(&path, 22_050, 10).unwrap().samples, expected);

    // Two 16-bit samples become one 32-bit sample; rate in bytes, block size and bits follow.
    write_ints(&path, spec(1, 22_050, 16), (0..1000).flat_map(|n| [n * 8, 0]));
    let mut bytes = fs::read(&path).unwrap();
    bytes[28..32].copy_from_slice(&(4 * 22_050u32).to_le_bytes());
    bytes[32..36].copy_from_slice(&[4, 0, 24, 0]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(centre_clip(&path, 22_050, 10).unwrap().samples, expected);
}

#[test]
fn the_clip_of_a_long_file_is_its_centre() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "long.wav");
    write_ints(&path, spec(1, 22_050, 16), 0..1001);
    let clip = centre_clip(&path, 22_050, 100).unwrap();
    let expected: Vec<f32> = (450..550).map(|n| n as f32 / 32_768.0).collect();
    assert_eq!(clip.samples, expected);
    assert!(!clip.padded && !clip.truncated);
    assert!((clip.seconds_in_file - 1001.0 / 22_050.0).abs() < 1e-12);
}

#[test]
fn one_sample_makes_a_padded_clip() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "one.wav");
    write_ints(&path, spec(1, 22_050, 16), [16_384]);
    let clip = centre_clip(&path, 22_050, 4).unwrap();
    assert_eq!((clip.samples, clip.padded), (vec![0.5, 0.0, 0.0, 0.0], true));
}

#[test]
fn successive_clips_drop_a_tail_shorter_than_half_a_clip() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "song.wav");
    let clips = |length: i32| {
        write_ints(&path, spec(1, 22_050, 16), 1..=length);
        let clips = successive_clips(&path, 22_050, 10).unwrap();
        assert!(clips.iter().all(|clip| clip.samples.len() == 10));
        let heard = clips.iter().flat_map(|clip| &clip.samples).filter(|s| **s != 0.0).count();
        (clips.len(), heard, clips.last().unwrap().padded)
    };
    assert_eq!(clips(3), (1, 3, true));
    assert_eq!(clips(10), (1, 10, false));
    assert_eq!(clips(24), (2, 20, false));
    assert_eq!(clips(25), (3, 25, true));
    assert_eq!(clips(30), (3, 30, false));
}

#[test]
fn a_clip_of_no_length_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "song.wav");
    write_ints(&path, spec(1, 22_050, 16), 0..10);
    input_error(centre_clip(&path, 22_050, 0));
    input_error(successive_clips(&path, 22_050, 0));
}

const RATE_PAIRS: [(u32, u32); 9] = [
    (44_100, 22_050),
    (48_000, 22_050),
    (32_000, 22_050),
    (8_000, 22_050),
    (11_025, 22_050),
    (96_000, 16_000),
    (44_100, 12_000),
    (44_100, 48_000),
    (22_051, 22_050),
];

#[test]
fn a_resampled_length_is_rounded_up() {
    for (from, to) in RATE_PAIRS {
        for length in [1usize, 2, 1000, 4097] {
            let wave = Waveform { sample_rate: from, samples: noise(length).collect() };
            let expected = (length as u64 * u64::from(to)).div_ceil(from.into());
            let resampled = wave.resampled(to).unwrap();
            assert_eq!(resampled.sample_rate, to);
            assert_eq!(resampled.samples.len() as u64, expected, "{from} to {to}, {length}");
        }
    }
}

#[test]
fn a_tone_keeps_its_place_level_and_phase() {
    for (from, to) in RATE_PAIRS {
        let samples = tone(1_000.0, from, from as usize).collect();
        let heard = Waveform { sample_rate: from, samples }.resampled(to).unwrap().samples;
        let ideal: Vec<f32> = tone(1_000.0, to, heard.len()).collect();
        let edge = to as usize / 5;
        let worst =
            (edge..heard.len() - edge).map(|n| (heard[n] - ideal[n]).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{from} to {to}: {worst}");
    }
}

#[test]
fn tones_above_the_new_nyquist_frequency_vanish() {
    for hertz in [11_100.0, 12_000.0, 15_000.0, 20_000.0, 22_000.0] {
        let samples = tone(hertz, 44_100, 88_200).collect();
        let wave = Waveform { sample_rate: 44_100, samples }.resampled(22_050).unwrap();
        let middle = &wave.samples[10_000..34_100];
        let loudest = middle.iter().fold(0.0f32, |max, s| max.max(s.abs()));
        assert!(loudest < 1e-4, "{hertz} Hz leaks at {} dB", 20.0 * loudest.log10());
    }
}

#[test]
fn the_audible_band_passes_unchanged() {
    for hertz in [50.0, 5_000.0, 10_000.0, 10_600.0] {
        let samples = tone(hertz, 44_100, 88_200).collect();
        let wave = Waveform { sample_rate: 44_100, samples }.resampled(22_050).unwrap();
        let middle = &wave.samples[10_000..32_050]; // one second: whole periods
        let power = middle.iter().map(|s| f64::from(s * s)).sum::<f64>() / middle.len() as f64;
        let decibels = 10.0 * (2.0 * power).log10();
        assert!(decibels.abs() < 0.01, "{hertz} Hz changes by {decibels} dB");
    }
}

/// Decoding only what a clip needs must not be heard.
#[test]
fn clips_equal_those_cut_from_the_whole_resampled_file() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "noise.wav");
    for (from, to) in RATE_PAIRS.into_iter().chain([(22_050, 22_050)]) {
        let length = 3 * from as usize + 17;
        write_floats(&path, 2, from, noise(2 * length));
        let whole = Waveform::read(&path).unwrap().resampled(to).unwrap().samples;
        for clip_samples in [1usize, 1000, to as usize + 1] {
            let start = (whole.len() - clip_samples) / 2;
            let clip = centre_clip(&path, to, clip_samples).unwrap();
            assert_eq!(clip.samples, whole[start..start + clip_samples], "{from} to {to}");
        }
        let mut audio = AudioFile::open(&path, to).unwrap();
        let clips: Vec<_> =
            audio.successive_clips(to as usize).unwrap().map(Result::unwrap).collect();
        let joined: Vec<f32> = clips.iter().flat_map(|clip| clip.samples.clone()).collect();
        assert_eq!(clips.len(), 3);
        assert_eq!(joined, whole[..3 * to as usize], "{from} to {to}");
    }
}

/// Samples far from the clip, even broken ones, are never looked at.
#[test]
fn only_the_centre_of_a_long_file_is_decoded() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "long.wav");
    let music = noise(1_000_000).enumerate().map(|(n, s)| if n < 400_000 { f32::NAN } else { s });
    write_floats(&path, 1, 44_100, music);
    assert!(centre_clip(&path, 22_050, 22_050).is_ok());
    input_error(successive_clips(&path, 22_050, 22_050));
}

#[test]
fn samples_far_beyond_full_scale_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 22_050,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for index in 0..22_050 {
        writer.write_sample(if index % 2 == 0 { 1e30_f32 } else { -1e30 }).unwrap();
    }
    writer.finalize().unwrap();
    let error = moodshader::audio::centre_clip(&path, 22_050, 11_025).unwrap_err().to_string();
    assert!(error.contains("huge.wav") && error.contains("full scale"), "{error}");
}

//! Every format against what went into it (`fixtures/audio.sh`), damaged files, and very long ones.

use std::fs;
use std::path::{Path, PathBuf};

use moodshader::audio::{
    AudioFile, Format, Waveform, centre_clip, format_of, inspect, successive_clips,
};
use moodshader::error::Kind;
use tempfile::TempDir;

#[path = "support/sweep.rs"]
mod sweeps;
use sweeps::{likeness, sweep};

/// Samples of every fixture but `sweep.aac`.
const LENGTH: usize = 52_000;

/// How far ffmpeg's encoder gets with 8 kbit/s; its decoder gives the same samples.
const LOW_RATE_AAC: f64 = 0.85;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn noise() -> Vec<f32> {
    let mut state = 1u32;
    (0..LENGTH)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) % 3) as f32 - 1.0
        })
        .map(|value| value / 32_768.0)
        .collect()
}

fn input_error<T: std::fmt::Debug>(result: moodshader::error::Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error.kind, Kind::Input | Kind::Unread), "{error}");
    error.to_string()
}

#[test]
fn lossy_formats_begin_and_end_where_the_music_does() {
    let sweep = sweep(8000, LENGTH);
    for (name, format, alike) in [
        ("sweep.mp3", Format::Mp3, 0.99),
        ("sweep.ogg", Format::Ogg, 0.99),
        ("sweep.m4a", Format::Mp4, LOW_RATE_AAC),
    ] {
        let path = fixture(name);
        assert_eq!(format_of(&path).unwrap(), Some(format));
        let wave = Waveform::read(&path).unwrap();
        assert_eq!((wave.sample_rate, wave.samples.len()), (8000, LENGTH), "{name}");
        let here = likeness(&wave.samples, &sweep);
        assert!(here > alike, "{name}: {here}");
        for shift in 1..4 {
            assert!(likeness(&wave.samples[shift..], &sweep) < here, "{name} is late by {shift}");
            assert!(likeness(&sweep[shift..], &wave.samples) < here, "{name} is early by {shift}");
        }
    }
}

/// ADTS cannot say how much its encoder added: here 1024 samples before and some after.
#[test]
fn bare_aac_is_heard_whole() {
    let wave = Waveform::read(&fixture("sweep.aac")).unwrap();
    assert_eq!((wave.sample_rate, wave.samples.len()), (8000, 9 * 1024));
    assert!(likeness(&wave.samples[1024..9024], &sweep(8000, LENGTH)[..8000]) > 0.99);
}

#[test]
fn flac_is_exact() {
    let wave = Waveform::read(&fixture("noise.flac")).unwrap();
    assert_eq!(wave.samples, noise());
}

/// A WAV file of 8000 Hz, mono, with this format tag, bits a sample and data.
fn wav(tag: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = bits / 8;
    let mut body = b"WAVEfmt \x12\0\0\0".to_vec();
    body.extend(tag.to_le_bytes());
    body.extend(1u16.to_le_bytes());
    body.extend(8000u32.to_le_bytes());
    body.extend((8000 * u32::from(block)).to_le_bytes());
    body.extend(block.to_le_bytes());
    body.extend(bits.to_le_bytes());
    body.extend(0u16.to_le_bytes());
    body.extend(*b"fact\x04\0\0\0");
    body.extend((data.len() as u32 / u32::from(block)).to_le_bytes());
    body.extend(*b"data");
    body.extend((data.len() as u32).to_le_bytes());
    body.extend(data);
    let mut file = b"RIFF".to_vec();
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(body);
    file
}

#[test]
fn coded_and_long_samples_in_wav_are_read() {
    let folder = TempDir::new().unwrap();
    let sweep = sweep(8000, LENGTH);
    let long: Vec<u8> = sweep.iter().flat_map(|&sample| f64::from(sample).to_le_bytes()).collect();
    let wave = Waveform::read(&write(&folder, "long.wav", &wav(3, 64, &long))).unwrap();
    assert!(wave.sample_rate == 8000 && wave.samples == sweep);
    // G.711: the loudest of each sign, and the quietest.
    for (tag, codes, loudest) in
        [(7, [0x80, 0x00, 0xff], 32_124.0), (6, [0xaa, 0x2a, 0xd5], 32_256.0)]
    {
        let path = write(&folder, "telephone.wav", &wav(tag, 8, &codes.repeat(1000)));
        let samples = Waveform::read(&path).unwrap().samples;
        assert_eq!(samples.len(), 3000);
        assert_eq!(samples[..2], [loudest / 32_768.0, -loudest / 32_768.0], "{tag}");
        assert!(samples[2].abs() < 0.001);
    }
    let adpcm = Waveform::read(&fixture("sweep-adpcm.wav")).unwrap().samples;
    // The last block, of 2041 samples here, is heard whole.
    assert!((LENGTH..LENGTH + 2041).contains(&adpcm.len()), "{}", adpcm.len());
    assert!(likeness(&adpcm[..LENGTH], &sweep) > 0.99);
    let message = input_error(Waveform::read(&write(&folder, "odd.wav", &wav(3, 16, &[0; 8]))));
    assert!(message.contains("odd.wav") && message.contains("ffmpeg"), "{message}");
}

#[test]
fn caf_is_exact_and_matroska_is_refused() {
    assert_eq!(format_of(&fixture("noise.caf")).unwrap(), Some(Format::Caf));
    let samples = Waveform::read(&fixture("noise.caf")).unwrap().samples;
    // ffmpeg's header counts the last packet (of 4096) as full.
    assert_eq!(samples.len(), LENGTH.next_multiple_of(4096));
    assert!(samples[..LENGTH] == noise());
    let mut audio = AudioFile::open(&fixture("noise.caf"), 8000).unwrap();
    let clips: Vec<_> = audio.successive_clips(10_000).unwrap().map(Result::unwrap).collect();
    assert!(clips[3].samples == noise()[30_000..40_000]);
    let folder = TempDir::new().unwrap();
    let message = input_error(Waveform::read(&write(&folder, "a.mka", b"\x1a\x45\xdf\xa3webm")));
    assert!(message.contains("a.mka") && message.contains("ffmpeg"), "{message}");
}

/// AIFF as the standard has it: sizes big-endian, the rate in 80-bit floating point.
fn aiff(channels: u16, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_be_bytes()).collect();
    let frames = samples.len() as u32 / u32::from(channels.max(1));
    let mut body = b"AIFFCOMM\0\0\0\x12".to_vec();
    body.extend(channels.to_be_bytes());
    body.extend(frames.to_be_bytes());
    body.extend(16u16.to_be_bytes());
    body.extend(*b"\x40\x0b\xfa\0\0\0\0\0\0\0"); // 8000 Hz
    body.extend(*b"SSND");
    body.extend((data.len() as u32 + 8).to_be_bytes());
    body.extend([0; 8]);
    body.extend(data);
    let mut file = b"FORM".to_vec();
    file.extend((body.len() as u32).to_be_bytes());
    file.extend(body);
    file
}

#[test]
fn aiff_is_exact_and_its_channels_are_averaged() {
    let folder = TempDir::new().unwrap();
    let samples: Vec<i16> = (0..8000).map(|n| (n * 7 % 3001) as i16 - 1500).collect();
    let path = write(&folder, "tone.aif", &aiff(2, &samples));
    let wave = Waveform::read(&path).unwrap();
    assert_eq!(wave.sample_rate, 8000);
    let expected: Vec<f32> = samples
        .chunks(2)
        .map(|frame| (f32::from(frame[0]) + f32::from(frame[1])) / 65_536.0)
        .collect();
    assert_eq!(wave.samples, expected);

    let path = write(&folder, "one.aif", &aiff(1, &[16_384]));
    let clip = centre_clip(&path, 8000, 3).unwrap();
    assert_eq!((clip.samples, clip.padded), (vec![0.5, 0.0, 0.0], true));

    let silence = write(&folder, "silence.aif", &aiff(1, &[0; 100]));
    assert!(inspect(&silence, 1.0).unwrap().silent);
    assert!(!inspect(&path, 1.0).unwrap().silent);

    for (name, bytes) in [("empty.aif", aiff(1, &[])), ("no-channels.aif", aiff(0, &[1, 2, 3]))] {
        let message = input_error(centre_clip(&write(&folder, name, &bytes), 8000, 3));
        assert!(message.contains(name), "{message}");
    }
}

/// Seeking must not be heard, at any place and in any order.
#[test]
fn clips_equal_those_cut_from_the_whole_file() {
    for name in [
        "sweep.mp3",
        "sweep.ogg",
        "sweep.m4a",
        "noise.flac",
        "sweep.aac",
        "noise.caf",
        "sweep-adpcm.wav",
    ] {
        let path = fixture(name);
        let whole = Waveform::read(&path).unwrap();
        for length in [1, 999, 3000, 8000] {
            let start = (whole.samples.len() - length) / 2;
            let clip = centre_clip(&path, 8000, length).unwrap();
            assert_eq!(clip.samples, whole.samples[start..start + length], "{name} {length}");
            assert!(!clip.damaged && !clip.truncated, "{name}");
        }
        let mut audio = AudioFile::open(&path, 8000).unwrap();
        for length in [5000, 700] {
            let clips: Vec<_> =
                audio.successive_clips(length).unwrap().map(Result::unwrap).collect();
            for (clip, expected) in clips.iter().zip(whole.samples.chunks(length)) {
                assert_eq!(clip.samples[..expected.len()], *expected, "{name} {length}");
            }
            audio.centre_clip(100).unwrap();
        }
        let resampled = whole.resampled(11_025).unwrap().samples;
        let clips = successive_clips(&path, 11_025, 5000).unwrap();
        let joined: Vec<f32> = clips.into_iter().flat_map(|clip| clip.samples).collect();
        let length = resampled.len().min(joined.len());
        assert_eq!(joined[..length], resampled[..length], "{name}");
    }
}

#[test]
fn the_content_decides_and_tags_are_passed_over() {
    let folder = TempDir::new().unwrap();
    let mut tagged = b"ID3\x04\0\0\0\0\x02\x01".to_vec(); // 2 · 128 + 1 bytes
    tagged.resize(10 + 257, 0);
    for (name, format) in [
        ("sweep.mp3", Format::Mp3),
        ("sweep.aac", Format::Aac),
        ("noise.flac", Format::Flac),
        ("sweep.ogg", Format::Ogg),
        ("sweep.m4a", Format::Mp4),
    ] {
        let whole = Waveform::read(&fixture(name)).unwrap();
        for start in [&[][..], &tagged[..]] {
            let mut content = bytes(name);
            // The places in an MP4 file count from the beginning of all.
            if let Some(at) = content.windows(4).position(|kind| kind == b"stco") {
                for place in content[at + 12..].chunks_exact_mut(4).take(1) {
                    let moved = u32::from_be_bytes(place.try_into().unwrap()) + start.len() as u32;
                    place.copy_from_slice(&moved.to_be_bytes());
                }
            }
            let path = write(&folder, "song.wav", &[start, &content].concat());
            assert_eq!(format_of(&path).unwrap(), Some(format), "{name}");
            assert_eq!(Waveform::read(&path).unwrap(), whole, "{name}");
        }
    }
    let picture = write(&folder, "photo.m4a", b"\0\0\0\x18ftypheic\0\0\0\0");
    assert_eq!(format_of(&picture).unwrap(), None);
}

#[test]
fn a_truncated_file_gives_what_is_there() {
    let folder = TempDir::new().unwrap();
    for name in ["sweep.mp3", "noise.flac", "sweep.aac"] {
        let whole = Waveform::read(&fixture(name)).unwrap().samples;
        let good = bytes(name);
        let path = write(&folder, name, &good[..good.len() * 2 / 3]);
        let rest = Waveform::read(&path).unwrap().samples;
        assert!(rest.len() > whole.len() / 3 && rest.len() < whole.len() * 5 / 6, "{name}");
        // A codec may have needed what is gone for the last block or two.
        let sure = rest.len().saturating_sub(2 * 1024);
        assert_eq!(rest[..sure], whole[..sure], "{name}");
        let clip = centre_clip(&path, 8000, 1000).unwrap();
        assert_eq!(clip.truncated, name != "sweep.aac", "{name}: bare AAC does not know its end");
    }
    // The index of this MP4 file stood at its end, and this Ogg file had but one page of sound.
    for name in ["sweep.m4a", "sweep.ogg"] {
        let good = bytes(name);
        let path = write(&folder, name, &good[..good.len() * 2 / 3]);
        let message = input_error(centre_clip(&path, 8000, 1000));
        assert!(message.contains(&format!("{name} is a broken or unusual")), "{message}");
    }
}

#[test]
fn packets_that_cannot_be_decoded_are_silent() {
    let folder = TempDir::new().unwrap();
    let mut flac = bytes("noise.flac");
    let middle = flac.len() / 2;
    flac[middle..middle + 40].fill(0x55);
    let path = write(&folder, "hole.flac", &flac);
    let (whole, noise) = (Waveform::read(&path).unwrap().samples, noise());
    assert_eq!(whole.len(), LENGTH);
    let wrong = whole.iter().zip(&noise).filter(|(a, b)| a != b).count();
    assert!(wrong > 0 && wrong <= 2 * 4608, "{wrong}");
    assert!(whole.iter().zip(&noise).all(|(a, b)| a == b || *a == 0.0));
    assert!(centre_clip(&path, 8000, 20_000).unwrap().damaged);
    assert!(!centre_clip(&fixture("noise.flac"), 8000, 20_000).unwrap().damaged);
}

#[test]
fn a_codec_that_is_not_read_is_named() {
    let folder = TempDir::new().unwrap();
    let mut page = b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x13".to_vec();
    page.extend(*b"Speex   1.2.1\0\0\0\0\0\0");
    let message = input_error(centre_clip(&write(&folder, "talk.spx", &page), 8000, 100));
    assert!(message.contains("talk.spx") && message.contains("ffmpeg"), "{message}");
}

/// Every file that is cut short or has bytes changed is either heard or refused.
#[test]
fn damage_never_panics() {
    let folder = TempDir::new().unwrap();
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) as usize % below
    };
    for name in [
        "sweep.mp3",
        "sweep.ogg",
        "sweep.m4a",
        "noise.flac",
        "sweep.aac",
        "noise.caf",
        "sweep-adpcm.wav",
    ] {
        let good = bytes(name);
        for round in 0..60 {
            let mut bad = good.clone();
            if round % 3 == 0 {
                bad.truncate(random(good.len()));
            }
            let reach = if round % 2 == 0 { bad.len().min(600) } else { bad.len() };
            for _ in 0..if reach > 0 { 1 + random(10) } else { 0 } {
                bad[random(reach)] = random(256) as u8;
            }
            let path = write(&folder, name, &bad);
            let _ = successive_clips(&path, 8000, 10_000);
            let _ = centre_clip(&path, 22_050, 10_000);
        }
    }
}

/// Three hours of MP3: the clip comes from the middle, at the price of one clip.
#[test]
fn a_very_long_file_costs_no_more_than_its_clip() {
    const COPIES: usize = 1700;
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "hours.mp3", &bytes("sweep.mp3").repeat(COPIES));
    let clip = centre_clip(&path, 22_050, 22_050).unwrap();
    assert!(clip.seconds_in_file > 3.0 * 3600.0, "{}", clip.seconds_in_file);
    assert!(!clip.padded && clip.samples.iter().any(|sample| sample.abs() > 0.3));
    let mut audio = AudioFile::open(&path, 22_050).unwrap();
    let clips = audio.successive_clips(22_050).unwrap();
    assert!(clips.len() > 10_000);
    assert!(clips.take(20).all(|clip| clip.is_ok()));
}

/// A picture that claims to be longer than its block, and tags behind the sound.
#[test]
fn tags_do_not_hide_the_sound_of_flac() {
    let folder = TempDir::new().unwrap();
    let plain = fixture("noise.flac");
    let bytes = fs::read(&plain).unwrap();
    // Behind the description of the stream, which is never the last block here.
    assert_eq!((bytes[4], &bytes[5..8]), (0, &[0, 0, 34][..]));
    let picture = [&3_u32.to_be_bytes()[..], &9_u32.to_be_bytes(), b"image/png", &[0; 20], &[9; 8]];
    let picture = picture.concat();
    let block = [&[6, 0, 0, picture.len() as u8][..], &picture].concat();
    let ape = |flags: u32| {
        let numbers = [2000, 32, 0, flags].map(u32::to_le_bytes).concat();
        [&b"APETAGEX"[..], &numbers, &[0; 8]].concat()
    };
    let behind = [ape(5 << 29), ape(1 << 31), b"TAG".to_vec(), vec![0; 125]].concat();
    let path = folder.path().join("tagged.flac");
    fs::write(&path, [&bytes[..42], &block, &bytes[42..], &behind].concat()).unwrap();
    assert!(Waveform::read(&path).unwrap() == Waveform::read(&plain).unwrap());
    let clip = centre_clip(&path, 8000, 8000).unwrap();
    assert!(!clip.truncated && !clip.damaged);
}

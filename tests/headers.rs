//! Headers of PCM as programs have written them: what every player reads is heard, sample by
//! sample.

use std::fs;

use moodshader::audio::{Waveform, centre_clip};
use moodshader::predict::tags;
use tempfile::TempDir;

const RATE: u32 = 8000;

/// 500 frames of two channels, as 16-bit integers.
fn frames() -> Vec<[i16; 2]> {
    (0..500).map(|n: i16| [n * 60 - 15_000, 9000 - n * 31]).collect()
}

/// What is heard of them.
fn heard() -> Vec<f32> {
    frames().iter().map(|[a, b]| (f32::from(*a) + f32::from(*b)) / 65_536.0).collect()
}

fn read(name: &str, bytes: &[u8]) -> Result<Waveform, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    Waveform::read(&path).map_err(|error| error.to_string())
}

fn chunk(tag: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let pad = vec![0; body.len() % 2];
    [&tag[..], &(body.len() as u32).to_le_bytes(), body, &pad].concat()
}

fn riff(tag: &[u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    [&tag[..], &(body.len() as u32 + 4).to_le_bytes(), b"WAVE", &body].concat()
}

/// A format chunk's body: tag, channels, rate, bytes a second, bytes a frame, bits, and more.
fn format(tag: u16, rate: u32, second: u32, frame: u16, bits: u16, more: &[u8]) -> Vec<u8> {
    let mut body = [tag, 2].map(u16::to_le_bytes).concat();
    body.extend([rate, second].map(u32::to_le_bytes).concat());
    body.extend([frame, bits].map(u16::to_le_bytes).concat());
    body.extend(more);
    body
}

/// The frames in samples of some kind.
fn data<const N: usize>(sample: impl Fn(i16) -> [u8; N]) -> Vec<u8> {
    frames().into_iter().flatten().flat_map(sample).collect()
}

#[test]
fn format_chunks_of_all_lengths_are_read() {
    let int = data(i16::to_le_bytes);
    let float = data(|sample| (f32::from(sample) / 32_768.0).to_le_bytes());
    let long = data(|sample| (f64::from(sample) / 32_768.0).to_le_bytes());
    let guid = |tag: u8| {
        let mut more = [22u16, 16, 3, 0].map(u16::to_le_bytes).concat();
        more.extend([tag, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
        more
    };
    let mut tried = 0;
    for (tag, sub, bits, data) in
        [(1, 1, 16, &int), (3, 3, 32, &float), (3, 3, 64, &long), (0xfffe, 1, 16, &int)]
    {
        let frame = bits / 4;
        let more = if tag == 0xfffe { guid(sub) } else { vec![0; 48] };
        let lengths = if tag == 0xfffe { 24..=48 } else { 0..=48 };
        for length in lengths {
            let more = [&more[..], &[0; 48]].concat();
            // Wrong bytes a second; bytes a frame that cannot be; the number of bits left out.
            for (second, frame, bits) in [
                (RATE * u32::from(frame), frame, bits),
                (12_345, frame, bits),
                (0, 0, bits),
                (0, 1, bits),
                (0, frame, 0),
            ] {
                let body = format(tag, RATE, second, frame, bits, &more[..length]);
                let file = riff(b"RIFF", &[chunk(b"fmt ", &body), chunk(b"data", data)]);
                let wave = read("format.wav", &file).unwrap();
                assert_eq!(wave.sample_rate, RATE);
                assert_eq!(wave.samples, heard(), "tag {tag}, {length} more, frame {frame}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500);
}

#[test]
fn bits_stand_at_the_top_of_their_bytes() {
    // 12 bits in 16, 20 in 24, and 24 in 32 where an extension says so.
    let short = data(|sample| (sample & !15).to_le_bytes());
    let wide = data(|sample| [0, sample as u8, (sample >> 8) as u8]);
    let wider = data(|sample| [0, 0, sample as u8, (sample >> 8) as u8]);
    let low = data(|sample| (i32::from(sample) << 8).to_le_bytes());
    let extension = [&[22, 0, 24, 0, 3, 0, 0, 0, 1, 0][..], &[0; 14]].concat();
    for (tag, bits, frame, data, more) in [
        (1, 20, 6, &wide, &[][..]),
        (0xfffe, 32, 8, &wider, &extension),
        (0xfffe, 24, 8, &wider, &extension),
        (1, 32, 8, &wider, &[]),
        (1, 24, 8, &low, &[]),
    ] {
        let body = format(tag, RATE, 0, frame, bits, more);
        let file = riff(b"RIFF", &[chunk(b"fmt ", &body), chunk(b"data", data)]);
        assert_eq!(read("bits.wav", &file).unwrap().samples, heard(), "{tag} {bits}");
    }
    let body = format(1, RATE, 0, 4, 12, &[]);
    let file = riff(b"RIFF", &[chunk(b"fmt ", &body), chunk(b"data", &short)]);
    let samples = read("twelve.wav", &file).unwrap().samples;
    assert!(samples.iter().zip(heard()).all(|(a, b)| (a - b).abs() < 0.001));
}

#[test]
fn riff_has_other_names_and_orders() {
    let body = format(1, RATE, 0, 4, 16, &[]);
    let sound = chunk(b"data", &data(i16::to_le_bytes));
    // Of more than 4 GiB, under both names; the length that counts stands in a chunk of its own.
    let sizes = [0u64, sound.len() as u64 - 8, 500].map(u64::to_le_bytes).concat();
    let sizes = chunk(b"ds64", &[&sizes[..], &[0; 4]].concat());
    let mut unknown = sound.clone();
    unknown[4..8].fill(0xff);
    for name in [b"RF64", b"BW64"] {
        let file = riff(name, &[sizes.clone(), chunk(b"fmt ", &body), unknown.clone()]);
        let more = [file.clone(), chunk(b"LIST", b"more")].concat();
        for file in [file, more] {
            assert_eq!(read("long.wav", &file).unwrap().samples, heard());
        }
    }
    // The format behind the data, and a chunk of odd length whose pad byte was forgotten.
    let late = riff(b"RIFF", &[sound.clone(), chunk(b"fmt ", &body)]);
    let mut odd = chunk(b"LIST", b"odd");
    odd.pop();
    let odd = riff(b"RIFF", &[odd, chunk(b"fmt ", &body), sound.clone()]);
    // A length that was never filled in, with no chunk behind.
    let mut zero = riff(b"RIFF", &[chunk(b"fmt ", &body), sound.clone()]);
    let at = zero.len() - sound.len() + 4;
    zero[at..at + 4].fill(0);
    for file in [late, odd, zero] {
        assert_eq!(read("order.wav", &file).unwrap().samples, heard());
    }
    // All numbers big-endian.
    let swap = |tag: &[u8; 4], body: Vec<u8>| {
        [&tag[..], &(body.len() as u32).to_be_bytes(), &body].concat()
    };
    let mut big = [1u16, 2].map(u16::to_be_bytes).concat();
    big.extend([RATE, 0].map(u32::to_be_bytes).concat());
    big.extend([4u16, 16].map(u16::to_be_bytes).concat());
    let chunks = [swap(b"fmt ", big), swap(b"data", data(i16::to_be_bytes))].concat();
    let file = swap(b"RIFX", [&b"WAVE"[..], &chunks].concat());
    assert_eq!(read("big.wav", &file).unwrap().samples, heard());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tagged.wav");
    fs::write(&path, &file).unwrap();
    tags::write(&path, &["dark".to_owned()]).unwrap();
    let tagged = fs::read(&path).unwrap();
    assert!(tagged.len() > file.len() && tagged[8..].starts_with(&file[8..]));
    assert_eq!(read("tagged.wav", &tagged).unwrap().samples, heard());
}

#[test]
fn mp3_in_wav_is_heard() {
    let fixture = "tests/fixtures/audio/sweep.mp3";
    let mp3 = fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap();
    let body = format(0x55, RATE, 0, 1, 0, &[12, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let file = riff(b"RIFF", &[chunk(b"fmt ", &body), chunk(b"data", &mp3)]);
    assert_eq!(read("mp3.wav", &file), read("alone.mp3", &mp3));
}

/// AIFF or AIFF-C, with this coding (none: AIFF), bits and data.
fn aiff(coding: Option<&[u8; 4]>, bits: u16, data: &[u8]) -> Vec<u8> {
    let chunk = |tag: &[u8; 4], body: &[u8]| {
        [&tag[..], &(body.len() as u32).to_be_bytes(), body, &vec![0; body.len() % 2]].concat()
    };
    let mut common = [&[0, 2, 0, 0, 1, 0xf4][..], &bits.to_be_bytes()].concat();
    common.extend(*b"\x40\x0b\xfa\0\0\0\0\0\0\0"); // 8000 Hz
    if let Some(coding) = coding {
        common.extend([&coding[..], b"\x04name\0"].concat());
    }
    let kind: &[u8; 4] = if coding.is_some() { b"AIFC" } else { b"AIFF" };
    let sound = chunk(b"SSND", &[&[0; 8], data].concat());
    chunk(b"FORM", &[&kind[..], &chunk(b"COMM", &common), &sound].concat())
}

#[test]
fn aiff_of_all_codings_is_read() {
    let big = data(i16::to_be_bytes);
    let little = data(i16::to_le_bytes);
    let float = data(|sample| (f32::from(sample) / 32_768.0).to_be_bytes());
    let long = data(|sample| (f64::from(sample) / 32_768.0).to_be_bytes());
    let wide = data(|sample| [(sample >> 8) as u8, sample as u8, 0]);
    for (coding, bits, data) in [
        (None, 16, &big),
        (None, 24, &wide),
        (Some(b"NONE"), 16, &big),
        (Some(b"twos"), 16, &big),
        (Some(b"sowt"), 16, &little),
        (Some(b"in24"), 24, &wide),
        (Some(b"in24"), 16, &wide),
        (Some(b"fl32"), 32, &float),
        (Some(b"fl64"), 64, &long),
    ] {
        let good = aiff(coding, bits, data);
        assert_eq!(read("good.aiff", &good).unwrap().samples, heard(), "{coding:?} {bits}");
        // The outer length is too long or too short, as after tags were added.
        for length in [0, 100, good.len() as u32 + 1000, u32::MAX] {
            let mut wrong = good.clone();
            wrong[4..8].copy_from_slice(&length.to_be_bytes());
            assert_eq!(read("wrong.aiff", &wrong).unwrap().samples, heard());
        }
    }
    let message = read("ima.aifc", &aiff(Some(b"ima4"), 16, &big)).unwrap_err();
    assert!(message.contains("ima.aifc") && message.contains("ima4"), "{message}");
}

#[test]
fn aiff_that_claims_more_than_it_has_is_cut() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut.aiff");
    let good = aiff(None, 16, &data(i16::to_be_bytes));
    fs::write(&path, &good[..good.len() - 400]).unwrap();
    let clip = centre_clip(&path, RATE, 400).unwrap();
    assert!(clip.truncated);
    assert_eq!(clip.samples, heard()[..400]);
}

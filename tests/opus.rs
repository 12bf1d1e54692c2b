//! Opus against what went into it (`fixtures/audio.sh`), wherever it is read, with headers and
//! positions as the standard allows them and as damage makes them.

use std::fs;
use std::path::{Path, PathBuf};

use moodshader::audio::{AudioFile, Format, Waveform, centre_clip, format_of, sound_hash};
use moodshader::error::Kind;
use moodshader::predict::tags;
use tempfile::TempDir;

#[path = "support/sweep.rs"]
mod sweeps;
#[path = "support/tagged.rs"]
mod tagged;
use sweeps::{likeness, sweep};
use tagged::{Page, pages};

const RATE: u32 = 48_000;
/// Samples of both fixtures of the sweep.
const LENGTH: usize = 6 * 52_000;
/// Frames that `opusenc` puts before the music.
const PRE_SKIP: i64 = 312;

fn bytes(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name)).unwrap()
}

fn write(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("song.opus");
    fs::write(&path, bytes).unwrap();
    path
}

fn samples(bytes: &[u8]) -> Vec<f32> {
    Waveform::read(&write(&TempDir::new().unwrap(), bytes)).unwrap().samples
}

fn refusal(bytes: &[u8]) -> String {
    let error = Waveform::read(&write(&TempDir::new().unwrap(), bytes)).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    error.to_string()
}

fn file(pages: &[Page]) -> Vec<u8> {
    let page = |(number, page): (u32, &Page)| {
        tagged::page(page.flags, page.granule, 1, number, &page.lacing, &page.body)
    };
    (0..).zip(pages).flat_map(page).collect()
}

/// The file with another first packet.
fn with_header(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut pages = pages(&bytes(name));
    change(&mut pages[0].body);
    pages[0].lacing = vec![pages[0].body.len() as u8];
    file(&pages)
}

fn loudest(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |most, sample| sample.abs().max(most))
}

#[test]
fn it_begins_and_ends_where_the_music_does() {
    let sweep = sweep(RATE, LENGTH);
    for (name, alike) in [("sweep.opus", 0.98), ("speech.opus", 0.94)] {
        let folder = TempDir::new().unwrap();
        let path = write(&folder, &bytes(name));
        assert_eq!(format_of(&path).unwrap(), Some(Format::Ogg));
        let wave = Waveform::read(&path).unwrap();
        assert_eq!((wave.sample_rate, wave.samples.len()), (RATE, LENGTH), "{name}");
        let here = likeness(&wave.samples, &sweep);
        assert!(here > alike, "{name}: {here}");
        for shift in 6..9 {
            assert!(likeness(&wave.samples[shift..], &sweep) < here, "{name} is late by {shift}");
            assert!(likeness(&sweep[shift..], &wave.samples) < here, "{name} is early by {shift}");
        }
    }
}

/// Seeking must not be heard, at any place and in any order. Speech is all but the same: what its codec
/// predicts from a pitch goes back as far as the pitch does.
#[test]
fn clips_equal_those_cut_from_the_whole_file() {
    for name in ["sweep.opus", "speech.opus", "tone-surround.opus"] {
        let same = |heard: &[f32], expected: &[f32], what: usize| match name {
            "speech.opus" => {
                let here = likeness(heard, expected);
                assert!(here > 0.999, "{name} {what}: {here}");
            }
            _ => assert!(heard == expected, "{name} {what}"),
        };
        let folder = TempDir::new().unwrap();
        let path = write(&folder, &bytes(name));
        let whole = Waveform::read(&path).unwrap().samples;
        for length in [1, 999, 20_000] {
            let start = (whole.len() - length) / 2;
            let clip = centre_clip(&path, RATE, length).unwrap();
            same(&clip.samples, &whole[start..start + length], length);
            assert!(!clip.damaged && !clip.truncated, "{name}");
        }
        let mut audio = AudioFile::open(&path, RATE).unwrap();
        for length in [20_000, 7000] {
            let clips: Vec<_> =
                audio.successive_clips(length).unwrap().map(Result::unwrap).collect();
            for (clip, expected) in clips.iter().zip(whole.chunks(length)) {
                same(&clip.samples[..expected.len()], expected, length);
            }
            audio.centre_clip(100).unwrap();
        }
    }
}

#[test]
fn channels_are_averaged() {
    let one = samples(&bytes("tone-surround.opus"));
    assert_eq!(one.len(), 48_000);
    // ffmpeg's tone has an eighth of full scale, and a little more after coding.
    assert!((loudest(&one[4800..43_200]) * 6.0 - 0.125).abs() < 0.02);
    // Another channel is the same stream's, and one is nobody's.
    let twice = samples(&with_header("tone-surround.opus", |header| {
        assert_eq!(header[18..27], [1, 4, 2, 0, 4, 1, 2, 3, 5]);
        (header[21], header[26]) = (4, 255);
    }));
    assert!(one.iter().zip(&twice).all(|(one, twice)| (2.0 * one - twice).abs() < 1e-3));
}

#[test]
fn the_gain_of_the_header_is_heard() {
    let plain = samples(&bytes("sweep.opus"));
    for (gain, factor) in [(-1541_i16, 0.5), (1541, 2.0), (0, 1.0)] {
        let heard = samples(&with_header("sweep.opus", |header| {
            header[16..18].copy_from_slice(&gain.to_le_bytes());
        }));
        let far = |(a, b): (&f32, &f32)| (a * factor - b).abs() > 1e-3;
        assert!(!plain.iter().zip(&heard).any(far), "{gain}");
    }
}

#[test]
fn positions_say_where_the_music_is() {
    let whole = samples(&bytes("sweep.opus"));
    // What the encoder added is as long as the header says; the last position cuts the end off.
    let mut early = pages(&bytes("sweep.opus"));
    early[0].body[10..12].copy_from_slice(&1312_u16.to_le_bytes());
    early.last_mut().unwrap().granule -= 500;
    assert_eq!(samples(&file(&early)), whole[1000..LENGTH - 500]);
    // A recording that begins hours after its stream did, without its first page of sound.
    let mut late = pages(&bytes("sweep.opus"));
    late.remove(2);
    for page in &mut late[2..] {
        page.granule += 1 << 32;
    }
    let heard = samples(&file(&late));
    assert_eq!(heard.len(), LENGTH - 48_000);
    assert!(heard[48_000..] == whole[96_000..]);
    // The last page ends hours after its packets do.
    let mut hours = pages(&bytes("sweep.opus"));
    hours.last_mut().unwrap().granule += 1 << 40;
    let heard = samples(&file(&hours));
    assert!((LENGTH..LENGTH + 5760).contains(&heard.len()), "{}", heard.len());
    assert_eq!(heard[..LENGTH - 48_000], whole[..LENGTH - 48_000]);
}

#[test]
fn streams_in_a_row_are_heard_one_after_the_other() {
    let (music, speech) = (bytes("sweep.opus"), bytes("speech.opus"));
    let (surround, joined) = (bytes("tone-surround.opus"), samples(&music));
    let joined = [joined, samples(&surround), samples(&speech)].concat();
    assert_eq!(samples(&[music, surround, speech].concat()), joined);
}

#[test]
fn a_file_that_was_cut_gives_what_is_there() {
    let whole = samples(&bytes("sweep.opus"));
    let good = bytes("sweep.opus");
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &good[..good.len() * 2 / 3]);
    let rest = Waveform::read(&path).unwrap().samples;
    assert!(rest.len() > LENGTH / 2 && rest.len() < LENGTH * 5 / 6, "{}", rest.len());
    assert_eq!(rest, whole[..rest.len()]);
    assert!(centre_clip(&path, RATE, 1000).unwrap().truncated);
}

#[test]
fn packets_that_cannot_be_decoded_are_silent() {
    let whole = samples(&bytes("sweep.opus"));
    let mut pages = pages(&bytes("sweep.opus"));
    // One packet of the page is one frame still, with more padding than it has bytes.
    let start: usize = pages[4].lacing[..20].iter().map(|&length| usize::from(length)).sum();
    pages[4].body[start] |= 3;
    pages[4].body[start + 1..start + 3].copy_from_slice(&[0x41, 255]);
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &file(&pages));
    let heard = Waveform::read(&path).unwrap().samples;
    let begin = 2 * 48_000 + 20 * 960 - PRE_SKIP as usize;
    assert_eq!(heard.len(), LENGTH);
    assert!(heard[..begin] == whole[..begin] && heard[begin..begin + 960] == [0.0; 960]);
    assert!(heard[LENGTH - 48_000..] == whole[LENGTH - 48_000..]);
    assert!(centre_clip(&path, RATE, 200_000).unwrap().damaged);
}

#[test]
fn comments_that_cannot_be_do_not_hide_the_music() {
    let whole = samples(&bytes("sweep.opus"));
    let (many, long) = (1_000_000u32.to_le_bytes(), [b'x'; 700]);
    for comments in [
        &b""[..],
        b"\0\0\0",
        &[&[0; 4][..], &many].concat(),
        &[&many, &long[..]].concat(),
        &[&[0; 4], &[1, 0, 0, 0], &many, &long[..]].concat(),
    ] {
        let mut pages = pages(&bytes("sweep.opus"));
        let body = [b"OpusTags", comments].concat();
        (pages[1].lacing, pages[1].body) = (tagged::laced(body.len()), body);
        assert!(samples(&file(&pages)) == whole, "{} bytes", comments.len());
    }
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let header = |change: fn(&mut Vec<u8>)| refusal(&with_header("tone-surround.opus", change));
    for (change, what) in [
        ((|header| header[8] = 0x21) as fn(&mut Vec<u8>), ""),
        (|header| header[9] = 9, ""),
        (|header| header[9] = 0, ""),
        (|header| header[18] = 3, ""),
        (|header| header[18] = 0, ""),
        (|header| header[19] = 0, "streams that cannot be"),
        (|header| header[19] = 255, "streams that cannot be"),
        (|header| header[20] = 5, "streams that cannot be"),
        (|header| header[21] = 6, "streams that cannot be"),
        (|header| header.truncate(24), "a header that is cut"),
    ] {
        let message = header(change);
        assert!(message.contains("song.opus") && message.contains(what), "{message}");
    }
}

#[test]
fn a_tag_leaves_the_sound_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &bytes("speech.opus"));
    let (coded, heard) = (sound_hash(&path).unwrap(), Waveform::read(&path).unwrap());
    tags::write(&path, &["dark".to_owned(), "epic".to_owned()]).unwrap();
    let tagged = fs::read(&path).unwrap();
    assert!(tagged.windows(9).any(|bytes| bytes == b"MOOD=dark"));
    assert_eq!(sound_hash(&path).unwrap(), coded);
    assert_eq!(Waveform::read(&path).unwrap(), heard);
}

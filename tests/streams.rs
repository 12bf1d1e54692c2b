//! Streams as people have them: joined, chained, cut in front, of two kinds, HE-AAC, and with
//! headers that claim what no file of their size holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use moodshader::audio::{AudioFile, Format, Waveform, format_of, sound_hash, successive_clips};
use moodshader::error::Kind;
use tempfile::TempDir;

#[path = "support/tagged.rs"]
mod tagged;

fn bytes(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name)).unwrap()
}

fn samples(bytes: &[u8], name: &str) -> Vec<f32> {
    let folder = TempDir::new().unwrap();
    Waveform::read(&write(&folder, name, bytes)).unwrap().samples
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn refusal(bytes: &[u8], name: &str) -> String {
    let folder = TempDir::new().unwrap();
    let error = Waveform::read(&write(&folder, name, bytes)).unwrap_err();
    assert!(matches!(error.kind, Kind::Input | Kind::Unread), "{error}");
    assert!(error.to_string().contains(name), "{error}");
    error.to_string()
}

/// Two streams in a row, with other bytes or the same serial number, are heard one after the other.
#[test]
fn a_chain_of_ogg_streams_is_heard_whole() {
    let one = bytes("sweep.ogg");
    let alone = samples(&one, "one.ogg");
    let folder = TempDir::new().unwrap();
    let tag = [b"TAG".to_vec(), vec![0; 125]].concat();
    for between in [vec![], tag] {
        let path = write(&folder, "chain.ogg", &[&one[..], &between, &one].concat());
        let wave = Waveform::read(&path).unwrap();
        assert_eq!(wave.samples, [&alone[..], &alone].concat());
        let clips = successive_clips(&path, 8000, 10_000).unwrap();
        assert!(clips.iter().all(|clip| !clip.truncated && !clip.damaged));
        let joined: Vec<f32> = clips.iter().flat_map(|clip| clip.samples.clone()).collect();
        assert!(wave.samples.starts_with(&joined[..100_000]));
        // Both belong to the sound that a tag must not change.
        let single = write(&folder, "single.ogg", &one);
        assert_ne!(sound_hash(&path).unwrap(), sound_hash(&single).unwrap());
    }
    // The first was cut within its page of sound, as by a recorder that went on after a while; what is
    // left of it holds no sound.
    let path = write(&folder, "cut.ogg", &[&one[..one.len() - 900], &one].concat());
    assert_eq!(Waveform::read(&path).unwrap().samples, alone);
    // The second was cut within its headers, as a recording that was stopped.
    let path = write(&folder, "stopped.ogg", &[&one[..], &one[..100]].concat());
    assert_eq!(Waveform::read(&path).unwrap().samples, alone);
    // The second is of another codec.
    let speex = tagged::page(2, 0, 9, 0, &[19], b"Speex   1.2.1\0\0\0\0\0\0");
    let sound = tagged::page(4, 960, 9, 1, &[3], b"abc");
    let message = refusal(&[&one[..], &speex, &sound].concat(), "codecs.ogg");
    assert!(message.contains("stream 2 of the 2 joined"), "{message}");
}

/// Of streams side by side the first is heard.
#[test]
fn the_first_of_two_ogg_streams_is_heard() {
    let pages = |ogg: &[u8], serial: u32| -> Vec<Vec<u8>> {
        let mut pages = tagged::pages(ogg);
        pages.iter_mut().for_each(|page| page.serial = serial);
        pages.iter().map(tagged::Page::bytes).collect()
    };
    let kinds = [bytes("sweep.ogg"), bytes("sweep.opus"), in_ogg(&bytes("noise.flac"))];
    for (first, one) in kinds.iter().enumerate() {
        let alone = samples(one, "alone.ogg");
        for (second, other) in kinds.iter().enumerate() {
            let (one, other) = (pages(one, 1), pages(other, 2));
            let mut joined = Vec::new();
            for at in 0..one.len().max(other.len()) {
                joined.extend(one.get(at).into_iter().chain(other.get(at)).flatten());
            }
            assert!(samples(&joined, "two.ogg") == alone, "{first} {second}");
        }
    }
}

/// From mono to stereo and back; the rate cannot change.
#[test]
fn joined_mp3_is_heard_through_a_change_of_channels_and_no_other() {
    let (mono, stereo) = (bytes("sweep.mp3"), bytes("tone-stereo.mp3"));
    let joined = samples(&[&mono[..], &stereo, &mono].concat(), "joined.mp3");
    let tone = samples(&stereo, "tone.mp3");
    let loudest = |samples: &[f32]| samples.iter().fold(0f32, |a, b| a.max(b.abs()));
    let begin = joined.len() - samples(&mono, "mono.mp3").len() - tone.len();
    let (middle, end) = joined[begin..].split_at(tone.len());
    assert!(loudest(&middle[2000..6000]) > 0.05 && loudest(&end[2000..]) > 0.4);

    let faster = bytes("tone-11025.mp3");
    let message = refusal(&[mono, faster].concat(), "rate.mp3");
    assert!(message.contains("from 8000 to 11025 Hz"), "{message}");
    let (slow, fast) = (bytes("sweep.aac"), bytes("tone-11025.aac"));
    let message = refusal(&[&slow[..], &fast].concat(), "rate.aac");
    assert!(message.contains("from 8000 to 11025 Hz at 1."), "{message}");
    // However short a part of the whole the other is.
    let message = refusal(&[slow.repeat(200), fast].concat(), "end.aac");
    assert!(message.contains("from 8000 to 11025 Hz"), "{message}");
}

#[test]
fn bytes_in_front_of_mp3_and_aac_are_passed_over() {
    for (name, format) in [("sweep.mp3", Format::Mp3), ("sweep.aac", Format::Aac)] {
        let whole = bytes(name);
        let heard = samples(&whole, name);
        let ape = [&b"APETAGEX\xd0\x07\0\0\x10\0\0\0"[..], &[0; 16], &[b'x'; 16]].concat();
        for front in [vec![0; 3000], ape, b"\xff\xfbno frame".repeat(9)] {
            let joined = [&front[..], &whole].concat();
            assert_eq!(samples(&joined, name), heard, "{name}");
        }
        // Without its first frame, and in the middle of the second.
        let folder = TempDir::new().unwrap();
        let path = write(&folder, name, &whole[whole.len() / 2..]);
        assert_eq!(format_of(&path).unwrap(), Some(format));
        let rest = Waveform::read(&path).unwrap().samples.len();
        assert!((heard.len() / 3..heard.len()).contains(&rest), "{name}: {rest}");
        // What does not call itself music is not searched.
        let other = write(&folder, "data.bin", &[&[0; 3000][..], &whole].concat());
        assert_eq!(format_of(&other).unwrap(), None);
    }
}

/// A raw frame with a fill element of SBR data in front of its end mark.
fn with_sbr(frame: &[u8]) -> Vec<u8> {
    let mut bits: String = frame.iter().map(|byte| format!("{byte:08b}")).collect();
    bits.truncate(bits.rfind("111").unwrap());
    bits += &["110", "0011", "1101", &"0".repeat(20), "111"].concat();
    bits += &"0".repeat(bits.len().next_multiple_of(8) - bits.len());
    let byte = |eight: &[u8]| eight.iter().fold(0, |value, bit| value << 1 | (bit - b'0'));
    bits.as_bytes().chunks(8).map(byte).collect()
}

/// Half of its band would be heard as if it were all.
#[test]
fn he_aac_is_refused() {
    let (core, mut he, mut at) = (bytes("sweep.aac"), Vec::new(), 0);
    while at < core.len() {
        let mut header: [u8; 7] = core[at..at + 7].try_into().unwrap();
        let field = |header: &[u8; 7]| {
            usize::from(header[3] & 3) << 11
                | usize::from(header[4]) << 3
                | usize::from(header[5]) >> 5
        };
        let length = field(&header);
        let frame = with_sbr(&core[at + 7..at + length]);
        let longer = frame.len() + 7;
        header[3] = header[3] & !3 | (longer >> 11) as u8;
        header[4] = (longer >> 3) as u8;
        header[5] = header[5] & 0x1f | (longer << 5) as u8;
        he.extend(header);
        he.extend(frame);
        at += length;
    }
    assert!(refusal(&he, "he.aac").contains("HE-AAC"));
    samples(&core, "core.aac");
    // A stream that becomes it: where that is heard, it is told.
    let late = [core.repeat(20), he.repeat(20)].concat();
    assert!(refusal(&late, "late.aac").contains("HE-AAC"));

    // An extension behind the configuration says so.
    let mut said = bytes("sweep.m4a");
    let sync = said.windows(3).position(|bytes| bytes == b"\x56\xe5\0").unwrap();
    samples(&said, "plain.m4a");
    said[sync + 2] = 0x80;
    assert!(refusal(&said, "said.m4a").contains("HE-AAC"));
}

/// FLAC with sizes of blocks that its encoder left wrong.
#[test]
fn block_sizes_of_flac_are_those_of_its_frames() {
    let flac = bytes("noise.flac");
    let whole = samples(&flac, "noise.flac");
    // Two files joined, also with a tag between them, and a count of frames that is too small.
    let twice = [&whole[..], &whole].concat();
    for between in [&b""[..], b"ID3\x04\0\0\0\0\0\x0a0123456789"] {
        let joined = samples(&[&flac[..], between, &flac].concat(), "joined.flac");
        assert!(joined == twice, "{} of {}", joined.len(), twice.len());
    }
    let mut short = flac.clone();
    assert_eq!(u32::from_be_bytes(short[22..26].try_into().unwrap()), whole.len() as u32);
    short[22..26].copy_from_slice(&8000u32.to_be_bytes());
    assert_eq!(samples(&short, "short.flac"), whole);
    for sizes in [
        [0, 0],
        [16, 4608],
        [1000, 4608],
        [4608, 1000],
        [15, 65_535],
        [4096, 4096],
        [5000, 5000],
        [9216, 9216],
    ] {
        let mut changed = flac.clone();
        changed[8..12].copy_from_slice(&sizes.map(u16::to_be_bytes).concat());
        assert_eq!(samples(&changed, "sizes.flac"), whole, "{sizes:?}");
        assert!(samples(&in_ogg(&changed), "sizes.oga") == whole, "{sizes:?}");
    }
    let mut picture = flac;
    picture.splice(42..42, b"\x06\0\0\x08\0\0\0\x03\0\0\xff\xff".iter().copied());
    assert!(samples(&in_ogg(&picture), "picture.oga") == whole);
}

/// The FLAC file as a stream of Ogg, with a page for each packet.
fn in_ogg(flac: &[u8]) -> Vec<u8> {
    let mut packets = vec![[b"\x7fFLAC\x01\0\0\0", &flac[..42]].concat()];
    let (mut at, mut last) = (42, false);
    while !last {
        let length = u32::from_be_bytes([0, flac[at + 1], flac[at + 2], flac[at + 3]]);
        let block = &flac[at..at + 4 + length as usize];
        (at, last) = (at + block.len(), block[0] >= 0x80);
        packets.push(block.to_vec());
    }
    let headers = packets.len();
    // A frame has its number behind four bytes.
    let mut frames = flac[at..].to_vec();
    for number in 1.. {
        let begins = |four: &[u8]| four.starts_with(b"\xff\xf8") && four.last() == Some(&number);
        let Some(end) = frames.windows(5).position(begins) else { break };
        let behind = frames.split_off(end);
        packets.push(std::mem::replace(&mut frames, behind));
    }
    packets.push(frames);
    let number = packets.len();
    let page = |(index, packet): (usize, Vec<u8>)| {
        let flags = if index == 0 { 2 } else { 4 * u8::from(index + 1 == number) };
        let all = u32::from_be_bytes(flac[22..26].try_into().unwrap());
        let granule = ((index + 1).saturating_sub(headers) as i64 * 4096).min(all.into());
        let lacing = tagged::laced(packet.len());
        tagged::page(flags, granule, 7, index as u32, &lacing, &packet)
    };
    packets.into_iter().enumerate().flat_map(page).collect()
}

/// Whatever stands behind the last frame, none of the sound is lost for it.
#[test]
fn what_stands_behind_flac_is_not_heard() {
    let flac = bytes("noise.flac");
    let whole = samples(&flac, "noise.flac");
    let id3v1 = [&b"TAG"[..], &[0; 125]].concat();
    let lyrics = b"LYRICSBEGININD0000200LYR00003abc000032LYRICS200";
    let words = b"text that belongs to nothing".repeat(40);
    for behind in [&id3v1.repeat(2)[..], &[lyrics, &id3v1[..]].concat(), &words, &[0; 700], b"ID3"]
    {
        assert!(samples(&[&flac[..], behind].concat(), "behind.flac") == whole, "{}", behind.len());
    }
}

/// Pages of an Ogg file, with the granule position of those after the middle changed.
fn with_granules(ogg: &[u8], change: impl Fn(i64, bool) -> i64) -> Vec<u8> {
    let mut pages = tagged::pages(ogg);
    let last = pages.len() - 1;
    for (place, page) in pages.iter_mut().enumerate().filter(|(_, page)| page.granule > 0) {
        page.granule = change(page.granule, place == last);
    }
    pages.iter().flat_map(tagged::Page::bytes).collect()
}

/// What a file of a few kilobytes claims is heard or refused at once, and never as hours.
fn soon(bytes: &[u8], name: &str, what: &str) -> Option<Vec<f32>> {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, name, bytes);
    let begin = Instant::now();
    let heard = AudioFile::open(&path, 8000).and_then(|mut file| {
        let clips = file.successive_clips(4000)?;
        assert!(clips.len() < 100, "{what}: {} clips", clips.len());
        clips.collect::<Result<Vec<_>, _>>()
    });
    assert!(begin.elapsed() < Duration::from_secs(5), "{what}: {:?}", begin.elapsed());
    if let Err(e) = &heard {
        eprintln!("{e}");
    }
    heard.ok().map(|clips| clips.into_iter().flat_map(|clip| clip.samples).collect())
}

/// Positions that are too small leave nothing out, and those of Opus that are too large put nothing in.
#[test]
fn positions_that_leave_packets_out_are_not_believed() {
    for name in ["sweep.ogg", "sweep.opus"] {
        let file = bytes(name);
        let whole = soon(&file, name, "whole").unwrap();
        let changes: [fn(i64) -> i64; 4] = [|at| at / 2, |at| at / 3, |_| 0, |_| 44_100];
        for change in changes {
            let changed = with_granules(&file, |granule, _| change(granule));
            let heard = soon(&changed, name, "changed").unwrap();
            // What an encoder adds in front and behind is not known then.
            let more = heard.len() as i64 - whole.len() as i64;
            assert!((0..4000).contains(&more), "{name}: {more}");
        }
    }
}

#[test]
fn positions_that_no_packets_stand_behind_are_not_believed() {
    let ogg = bytes("sweep.ogg");
    let whole = soon(&ogg, "sweep.ogg", "whole").unwrap();
    for jump in [3600 * 8000, 1 << 32, 1 << 40, 1 << 62] {
        let last = with_granules(&ogg, |granule, last| granule + if last { jump } else { 0 });
        let heard = soon(&last, "last.ogg", "last").unwrap();
        assert!(heard.starts_with(&whole[..whole.len() - 4000]), "{jump}");
    }
    // A recording that begins hours after its stream did is as it was.
    let late = with_granules(&ogg, |granule, _| granule + (1 << 32));
    assert_eq!(soon(&late, "late.ogg", "late").unwrap(), whole);
}

/// Without `empty_moov`, ffmpeg's index has the first part of the music and its length.
#[test]
fn fragments_behind_an_index_of_their_beginning_are_heard() {
    let file = bytes("tone-index-and-fragments.m4a");
    let heard = soon(&file, "hybrid.m4a", "hybrid").unwrap();
    assert!((16_000..18_000).contains(&heard.len()), "{}", heard.len());
    assert!(heard[12_000..16_000].iter().any(|sample| sample.abs() > 0.05));
}

#[test]
fn counts_of_mp4_are_held_against_the_file() {
    for (name, mark, places) in [
        ("tone-fragments.m4a", b"trun", 4..24),
        ("tone-fragments.m4a", b"tfhd", 4..24),
        ("sweep.m4a", b"stts", 4..20),
        ("sweep.m4a", b"stsz", 4..20),
        ("sweep.m4a", b"stsc", 4..20),
        ("sweep.m4a", b"mdhd", 4..24),
    ] {
        let good = bytes(name);
        let whole = soon(&good, name, "whole").unwrap();
        let at = good.windows(4).position(|bytes| bytes == mark).unwrap();
        for place in places {
            for value in [1u8, 0x10, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at + place] ^= value;
                let what = format!("{} {place} {value}", mark.escape_ascii());
                if let Some(heard) = soon(&bad, name, &what) {
                    // Positions may be wrong by what an encoder adds, or the end be missing.
                    assert!(heard.len() <= whole.len() + 3 * 4000, "{what}: {}", heard.len());
                }
            }
        }
    }
}

/// 64 KiB of CAF that claim more frames or channels than any file holds, and other lengths.
#[test]
fn claims_of_caf_are_held_against_the_file() {
    let caf = |channels: u32, frames: u32, data: i64| {
        let mut file = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
        file.extend(8000f64.to_be_bytes());
        file.extend(*b"lpcm\0\0\0\0");
        for number in [2 * channels, frames, channels, 16] {
            file.extend(number.to_be_bytes());
        }
        file.extend(*b"data");
        file.extend(data.to_be_bytes());
        file.extend([0; 4]);
        file.extend((0..32_768u32).flat_map(|n| (n as i16).to_be_bytes()));
        file
    };
    let good = samples(&caf(1, 1, 65_540), "good.caf");
    assert_eq!(good.len(), 32_768);
    assert_eq!(samples(&caf(1, 1, -1), "open.caf"), good);
    assert_eq!(samples(&caf(1, 1, i64::MAX), "cut.caf"), good);
    for (channels, frames) in [(1, u32::MAX), (2, 1 << 20), (u32::MAX, 1), (0, 1), (1, 0), (1, 2)] {
        let what = format!("{channels} {frames}");
        assert_eq!(soon(&caf(channels, frames, 65_540), "claim.caf", &what), None, "{what}");
    }
    let coded = bytes("noise.caf");
    // More frames a packet than the codec's configuration has.
    let whole = samples(&coded, "coded.caf");
    let mut twice = coded.clone();
    let at = coded.windows(4).position(|bytes| bytes == b"desc").unwrap() + 12 + 20;
    assert_eq!(coded[at..at + 4], 4096u32.to_be_bytes());
    twice[at..at + 4].copy_from_slice(&8192u32.to_be_bytes());
    assert_eq!(samples(&twice, "twice.caf")[..52_000], whole[..52_000]);
    let description = coded.windows(4).position(|bytes| bytes == b"desc").unwrap() + 12;
    let table = coded.windows(4).position(|bytes| bytes == b"pakt").unwrap() + 4;
    for place in (description..description + 32).chain(table..table + 32) {
        for value in [1u8, 0x10, 0x80] {
            let mut bad = coded.clone();
            bad[place] ^= value;
            soon(&bad, "coded.caf", &format!("{place} {value}"));
        }
    }
}

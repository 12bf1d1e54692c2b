//! What the demultiplexer of MP4 does not tell: where the music begins and ends, and how many
//! packets the file claims.
//!
//! AAC decodes to some samples before the music and some after it. MP4 says in an edit list which
//! part is meant; `symphonia` does not read it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// The one stretch of an audio track that is meant to be heard, in ticks of the track's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edit {
    pub start: u64,
    /// Rounded to the movie's clock, often milliseconds. `None`: to the end.
    pub length: Option<u64>,
}

/// A body's place in the file, by the name of its box.
type Boxes = Vec<([u8; 4], Range<u64>)>;

/// Children of one box; a file with more is damaged. Fragments are a box or two for some seconds.
const MAX_BOXES: usize = 1 << 18;

/// Flags of a run of packets for the fields that each packet has, of four bytes each.
const PACKET_FIELDS: u32 = 0xf00;

/// The audio tracks that the file does not switch off, by the numbers that it gives them.
pub fn enabled_audio_tracks(path: &Path, start: u64) -> Vec<u32> {
    let tracks = || {
        let mut file = BufReader::new(File::open(path).ok()?);
        let end = file.seek(SeekFrom::End(0)).ok()?;
        let top = boxes(&mut file, start..end)?;
        let mut enabled = Vec::new();
        for track in named(&mut file, body(&top, b"moov")?, b"trak")? {
            let track = boxes(&mut file, track)?;
            let media = boxes(&mut file, body(&track, b"mdia")?)?;
            if is_audio(&mut file, &media)? {
                let (number, is_enabled) = track_header(&mut file, &track)?;
                enabled.extend(is_enabled.then_some(number));
            }
        }
        Some(enabled)
    };
    tracks().unwrap_or_default()
}

/// The edit of a track. `None` where the file has no edit list, one of several parts,
/// or none that can be read: everything is heard then.
pub fn edit_of_track(path: &Path, start: u64, number: u32) -> Option<Edit> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let end = file.seek(SeekFrom::End(0)).ok()?;
    let top = boxes(&mut file, start..end)?;
    let movie = boxes(&mut file, body(&top, b"moov")?)?;
    let movie_clock = clock(&mut file, body(&movie, b"mvhd")?)?;
    for (_, track) in movie.iter().filter(|(name, _)| name == b"trak") {
        let track = boxes(&mut file, track.clone())?;
        let media = boxes(&mut file, body(&track, b"mdia")?)?;
        if track_header(&mut file, &track)?.0 != number {
            continue;
        }
        let track_clock = clock(&mut file, body(&media, b"mdhd")?)?;
        let edits = boxes(&mut file, body(&track, b"edts")?)?;
        let (length, start) = only_edit(&mut file, body(&edits, b"elst")?)?;
        let length = u128::from(length) * u128::from(track_clock) + u128::from(movie_clock) / 2;
        let length = (length / u128::from(movie_clock)) as u64;
        return Some(Edit { start, length: (length > 0).then_some(length) });
    }
    None
}

/// Where the kinds of the boxes stand that hold tags: nothing of the sound is in them.
pub fn kinds_of_tags(path: &Path, start: u64) -> Vec<u64> {
    let kinds = || {
        let mut file = BufReader::new(File::open(path).ok()?);
        let end = file.seek(SeekFrom::End(0)).ok()?;
        let top = boxes(&mut file, start..end)?;
        let movie = boxes(&mut file, body(&top, b"moov")?)?;
        let of_tags = movie.into_iter().filter(|(name, _)| [*b"udta", *b"meta"].contains(name));
        let kinds = of_tags.map(|(name, body)| (name, body.start - 4));
        // Behind the kind of a box that is longer than four bytes can say stands its length.
        Some(
            kinds
                .filter(|(name, at)| read(&mut file, *at) == Some(*name))
                .map(|(_, at)| at)
                .collect(),
        )
    };
    kinds().unwrap_or_default()
}

/// Whether the file goes on in fragments behind its index.
pub fn has_fragments(path: &Path, start: u64) -> bool {
    let top = || {
        let mut file = BufReader::new(File::open(path).ok()?);
        let end = file.seek(SeekFrom::End(0)).ok()?;
        boxes(&mut file, start..end)
    };
    top().is_some_and(|top| top.iter().any(|(name, _)| name == b"moof"))
}

/// How many packets the tables claim for all audio tracks. None where the tables are broken: they
/// claim more packets than they have entries for, or than the file has bytes. The demultiplexer
/// would go through them one by one.
pub fn packets(path: &Path, start: u64) -> Option<u64> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let end = file.seek(SeekFrom::End(0)).ok()?;
    let mut packets = 0u64;
    let mut count = |number: u32, most: u64| {
        packets += u64::from(number);
        (u64::from(number) <= most && packets <= end).then_some(())
    };
    let top = boxes(&mut file, start..end)?;
    for (name, content) in top {
        match &name {
            b"moov" => {
                for track in named(&mut file, content, b"trak")? {
                    if let Some(table) = packet_table(&mut file, track) {
                        let size = u32::from_be_bytes(read(&mut file, table.start + 4)?);
                        let number = u32::from_be_bytes(read(&mut file, table.start + 8)?);
                        // Of four bytes each, or none where all have one size.
                        let entries = if size == 0 { (table.end - table.start) / 4 } else { end };
                        count(number, entries)?;
                    }
                }
            }
            b"moof" => {
                for track in named(&mut file, content, b"traf")? {
                    for run in named(&mut file, track, b"trun")? {
                        let fields = u32::from_be_bytes(read(&mut file, run.start)?);
                        let bytes = 4 * u64::from((fields & PACKET_FIELDS).count_ones());
                        let entries = (run.end - run.start).checked_div(bytes).unwrap_or(end);
                        count(u32::from_be_bytes(read(&mut file, run.start + 4)?), entries)?;
                    }
                }
            }
            _ => {}
        }
    }
    Some(packets)
}

/// The table of the packets' sizes of an audio track.
fn packet_table(file: &mut BufReader<File>, track: Range<u64>) -> Option<Range<u64>> {
    let [media] = &named(file, track, b"mdia")?[..] else { return None };
    let media = boxes(file, media.clone())?;
    if !is_audio(file, &media)? {
        return None;
    }
    let information = boxes(file, body(&media, b"minf")?)?;
    let tables = boxes(file, body(&information, b"stbl")?)?;
    body(&tables, b"stsz")
}

/// The bodies of all children of one name.
fn named(
    file: &mut BufReader<File>,
    range: Range<u64>,
    wanted: &[u8; 4],
) -> Option<Vec<Range<u64>>> {
    let children = boxes(file, range)?;
    Some(children.into_iter().filter(|(name, _)| name == wanted).map(|(_, body)| body).collect())
}

/// Length and start of the only entry that is not a pause.
fn only_edit(file: &mut BufReader<File>, list: Range<u64>) -> Option<(u64, u64)> {
    let [version, _, _, _, count @ ..] = read::<8>(file, list.start)?;
    let entry_bytes = if version == 1 { 20 } else { 12 };
    let count = u64::from(u32::from_be_bytes(count)).min((list.end - list.start) / entry_bytes);
    let mut found = None;
    for entry in 0..count.min(MAX_BOXES as u64) {
        let at = list.start + 8 + entry * entry_bytes;
        let (length, start) = if version == 1 {
            (u64::from_be_bytes(read(file, at)?), i64::from_be_bytes(read(file, at + 8)?))
        } else {
            let length = u32::from_be_bytes(read(file, at)?);
            (length.into(), i32::from_be_bytes(read(file, at + 4)?).into())
        };
        // A negative start is a pause before the music.
        if let Ok(start) = u64::try_from(start)
            && found.replace((length, start)).is_some()
        {
            return None;
        }
    }
    found
}

/// A track's number, and whether it is enabled.
fn track_header(file: &mut BufReader<File>, track: &Boxes) -> Option<(u32, bool)> {
    let header = body(track, b"tkhd")?;
    let [version, _, _, flags] = read(file, header.start)?;
    let at = if version == 1 { 20 } else { 12 };
    Some((u32::from_be_bytes(read(file, header.start + at)?), flags & 1 == 1))
}

fn is_audio(file: &mut BufReader<File>, media: &Boxes) -> Option<bool> {
    Some(read::<4>(file, body(media, b"hdlr")?.start + 8)? == *b"soun")
}

/// Ticks per second, from a movie or media header.
fn clock(file: &mut BufReader<File>, header: Range<u64>) -> Option<u32> {
    let [version] = read(file, header.start)?;
    let at = if version == 1 { 20 } else { 12 };
    Some(u32::from_be_bytes(read(file, header.start + at)?)).filter(|&ticks| ticks > 0)
}

fn body(boxes: &Boxes, wanted: &[u8; 4]) -> Option<Range<u64>> {
    boxes.iter().find(|(name, _)| name == wanted).map(|(_, body)| body.clone())
}

/// Up to one that cannot be, as bytes behind the last look.
fn boxes(file: &mut BufReader<File>, range: Range<u64>) -> Option<Boxes> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at + 8 <= range.end && found.len() < MAX_BOXES {
        let mut body = at + 8;
        let length = match u32::from_be_bytes(read(file, at)?) {
            0 => range.end - at,
            1 => {
                body += 8;
                u64::from_be_bytes(read(file, at + 8)?)
            }
            short => short.into(),
        };
        let Some(end) = at.checked_add(length).filter(|&end| end >= body) else { break };
        found.push((read(file, at + 4)?, body..end.min(range.end)));
        at = end;
    }
    Some(found)
}

fn read<const BYTES: usize>(file: &mut BufReader<File>, at: u64) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

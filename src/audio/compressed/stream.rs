//! One stream of packets: its length, and any stretch of it decoded.
//!
//! The samples that an encoder put before the music and after it are left away where the file says
//! how many they are.
//!
//! A lossy codec's packet depends on those before it, so decoding begins some packets early and
//! throws the beginning away. MP3 and AAC streams have no index, and their own idea of their length
//! is a guess; their packets are counted when the file is opened, and walked to reach a stretch. So
//! are those of files whose positions are wrong. Neither decodes anything.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_OPUS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::packet::Packet;
use symphonia::default::get_codecs;

use super::super::format::Format;
use super::super::mpeg::{self, Frame, Tallied, Tally};
use super::packets::{Packets, count};
use super::{Stretch, broken, changing, he_aac, mp4, opus, unread};
use crate::error::{Error, Result};
use crate::panics::caught;

/// Frames decoded before a stretch, but of Opus. An MP3 frame (1152) may take its bits from nine before it and
/// overlaps with one; two of Vorbis' longest blocks (8192) are less, too.
const LEAD_IN: u64 = 20_000;

/// Frames that an encoder may add after the music: LAME's tag has 12 bits to say so, and some files
/// have a packet or two more.
const PADDING: i64 = 4096 + 2 * 1152;

/// Frames kept behind a stretch, so that the next one may begin a little before its end, as it does
/// when resampling.
const KEPT: usize = 1 << 16;

/// Packets of a stream's beginning that are sampled for HE-AAC when it is opened; one in how many is
/// looked at; and how many have to be before what was heard is told.
const SAMPLED: usize = 64;
const EVERY: usize = 4;
const SEEN: usize = 8;

/// An open stream: its length is known, its samples have not been decoded.
pub struct Stream {
    path: PathBuf,
    stretch: Stretch,
    packets: Packets,
    decoder: Box<dyn AudioDecoder>,
    frames: u64,
    truncated: bool,
    damaged: bool,
    /// Where the packets stand; `None` where they have to be begun anew.
    position: Option<i64>,
    /// Whether the format's own way to a place is used, and whether the packets came to their place
    /// that way.
    may_seek: bool,
    sought: bool,
    /// Packets that end before this frame need not be decoded.
    wanted_from: i64,
    /// Channels of the frames that the decoder was made for, where that may change.
    mp3_channels: Option<u8>,
    /// Decoded frames, mono, without a gap.
    window: Vec<f32>,
    window_start: u64,
    /// The frame after the last one that was decoded.
    heard_to: u64,
    sampled: Sampled,
    channels: Vec<Vec<f64>>,
}

/// Packets of AAC that were looked at for HE-AAC, one in [`EVERY`]: a stream may become it.
#[derive(Default)]
struct Sampled {
    number: usize,
    seen: usize,
    found: usize,
}

impl Sampled {
    fn take(&mut self, packet: &[u8]) {
        if self.number.is_multiple_of(EVERY) {
            self.seen += 1;
            self.found += usize::from(he_aac::in_frame(packet));
        }
        self.number += 1;
    }
}

impl Stream {
    /// Opens what `stretch` says of the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, its codec is not known, or it is damaged or holds no samples.
    pub fn open(path: &Path, stretch: &Stretch) -> Result<Self> {
        guarded(path, stretch.format, || Self::open_unguarded(path, stretch))
    }

    fn open_unguarded(path: &Path, stretch: &Stretch) -> Result<Self> {
        let format = stretch.format;
        let table = match format {
            Format::Mp4 => {
                let claimed = mp4::packets(path, stretch.bytes.start);
                Some(claimed.ok_or_else(|| {
                    broken(path, format, "it claims more packets than it has bytes")
                })?)
            }
            _ => None,
        };
        let mut packets = Packets::open(path, stretch)?;
        let parameters = &packets.parameters;
        if parameters.codec == CODEC_ID_AAC
            && parameters.extra_data.as_deref().is_some_and(he_aac::in_configuration)
        {
            return Err(half_band(path));
        }
        let decoder = decoder(path, format, parameters)?;
        let rate = decoder.codec_params().sample_rate.or(parameters.sample_rate);
        let Some(sample_rate) = rate.filter(|&rate| rate > 0) else {
            return Err(broken(path, format, "it does not say its sample rate"));
        };
        packets.set_rate(sample_rate);
        let mut stream = Self {
            path: path.to_owned(),
            stretch: stretch.clone(),
            decoder,
            frames: 0,
            truncated: false,
            damaged: false,
            position: Some(i64::MIN),
            may_seek: !packets.are_counted() && !matches!(format, Format::Mp3 | Format::Aac),
            sought: false,
            packets,
            wanted_from: i64::MIN,
            mp3_channels: None,
            window: Vec::new(),
            window_start: 0,
            heard_to: 0,
            sampled: Sampled::default(),
            channels: Vec::new(),
        };
        stream.refuse_what_is_not_heard_whole()?;
        // What tables say is believed as far as their packets go.
        let most = table.map(|number| count(number).saturating_mul(stream.packets.most_frames));
        let believed = |said: &i64| most.is_none_or(|most| *said <= most.saturating_add(PADDING));
        stream.measure(stream.packets.said.filter(believed))?;
        Ok(stream)
    }

    pub fn sample_rate(&self) -> u32 {
        self.packets.sample_rate()
    }

    /// Samples per channel that are really there; at least 1.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The stream ends before its header says, or before its last page.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Parts of what was read so far could not be decoded and are silent.
    pub fn damaged(&self) -> bool {
        self.damaged
    }

    /// HE-AAC in frames that do not say so in front, and ADTS frames of several kinds.
    fn refuse_what_is_not_heard_whole(&mut self) -> Result<()> {
        if self.stretch.format == Format::Aac {
            let start = self.stretch.bytes.start;
            let (kinds, profile) = File::open(&self.path)
                .and_then(|file| {
                    Ok((mpeg::adts_kinds(&file, start)?, mpeg::adts_profile(&file, start)?))
                })
                .map_err(|error| Error::io("read", &self.path, &error))?;
            if profile != mpeg::LOW_COMPLEXITY {
                return Err(unread(&self.path, self.stretch.format, &format!("AAC {profile}")));
            }
            if let Some(&Tallied { kind: first, frames, .. }) = kinds.first()
                && let Some(other) = kinds.other_than(first)
            {
                let what = if other.sample_rate == first.sample_rate {
                    format!("its channels from {} to {}", first.channels, other.channels)
                } else {
                    rate_change(first.sample_rate, other.sample_rate)
                };
                let seconds = frames as f64 * 1024.0 / f64::from(first.sample_rate);
                return Err(changing(&self.path, &what, seconds));
            }
        }
        if self.packets.parameters.codec == CODEC_ID_AAC {
            let mut first = Sampled::default();
            while first.number < SAMPLED
                && let Some((packet, _)) = self.packets.next()?
            {
                first.take(&packet.data);
            }
            self.position = None;
            if first.found > first.seen / 2 {
                return Err(half_band(&self.path));
            }
        }
        Ok(())
    }

    /// Finds the length: what the header says if the end is there, else what is there.
    fn measure(&mut self, said_to_end: Option<i64>) -> Result<()> {
        let has_fragments = self.stretch.format == Format::Mp4
            && mp4::has_fragments(&self.path, self.stretch.bytes.start);
        let may_go_on = self.stretch.format == Format::Flac || has_fragments;
        let believed = self.may_seek && !self.stretch.clock_may_lie;
        let mut end = match said_to_end {
            Some(end) if believed && self.ends_at(end, may_go_on) => end,
            _ => {
                let end = self.walk_to_the_end()?;
                let doubted = self.stretch.clock_may_lie && self.packets.are_counted();
                self.truncated = match (self.stretch.format, said_to_end) {
                    // What wrong positions say of the end is as wrong.
                    _ if doubted => false,
                    (_, Some(said)) => end < said,
                    // A stream that is whole says so in its last page.
                    (Format::Ogg, None) => true,
                    // All that follows the frames of these is an error.
                    (Format::Mp3 | Format::Aac, None) => false,
                    _ => self.packets.ended == Some(true),
                };
                // A tag that speaks of far less than there is was left by joining files.
                said_to_end
                    .filter(|said| end <= said.saturating_add(PADDING))
                    .map_or(end, |said| end.min(said))
            }
        };
        if self.stretch.format == Format::Mp4
            && !self.packets.are_counted()
            && let Some(edit) =
                mp4::edit_of_track(&self.path, self.stretch.bytes.start, self.packets.track())
        {
            if let Some(length) = edit.length {
                let until = self.packets.frame_at(edit.start.saturating_add(length));
                // An index in front of fragments may speak of what lies before them alone.
                if !has_fragments || end <= until.saturating_add(PADDING) {
                    end = end.min(until);
                }
            }
            end = end.saturating_sub(self.packets.begin_at(edit.start));
        }
        self.frames = u64::try_from(end).unwrap_or(0);
        if self.frames > 0 {
            return Ok(());
        }
        if said_to_end.is_some_and(|said| said > 0) {
            return Err(broken(&self.path, self.stretch.format, "nothing of its sound is there"));
        }
        Err(Error::input(format!("{} holds no audio samples", self.path.display())))
    }

    /// Whether there is a packet that ends there or a little later; the last, where the file may go on:
    /// joined FLAC files have the count of the first, and the index in front of fragments may count what
    /// lies before them alone. What CAF says of its packets is not looked up in them.
    fn ends_at(&mut self, end: i64, may_go_on: bool) -> bool {
        self.position = None;
        let format = self.stretch.format;
        let reaches = format != Format::Caf
            && self.packets.seek(end - 1)
            && matches!(self.packets.next(), Ok(Some((_, place))) if place.end >= end);
        reaches && (!may_go_on || matches!(self.packets.next(), Ok(None)))
    }

    /// Passes over all packets, and returns the frame after the last.
    fn walk_to_the_end(&mut self) -> Result<i64> {
        if self.position.is_none() {
            self.packets.reopen()?;
        }
        let (mut end, mut held, mut too_long) = (0, 0i64, false);
        let mut rates = Tally::new(); // of MP3's frames
        let mut changed = None; // where the first of another rate begins
        while let Some((packet, place)) = self.packets.next()? {
            end = end.max(place.end);
            held = held.saturating_add(self.packets.frames_of(&packet));
            too_long |= place.end.saturating_sub(place.start) > self.packets.most_frames;
            if self.stretch.format == Format::Mp3
                && let Some(frame) = Frame::parse(&packet.data)
            {
                let rate = frame.kind.sample_rate;
                rates.add(rate);
                if rate != self.sample_rate() {
                    changed.get_or_insert(place.start);
                }
            }
        }
        self.position = None;
        let first = self.sample_rate();
        if let Some(other) = rates.other_than(first) {
            let seconds = changed.unwrap_or(0) as f64 / f64::from(first);
            return Err(changing(&self.path, &rate_change(first, other), seconds));
        }
        // Positions that leave more out than there is are wrong, and so are packets longer than their
        // codec has them, and FLAC that begins again. What is there is heard then.
        let more = held > end.saturating_add(PADDING);
        let again = more && self.stretch.format == Format::Flac;
        let fewer = end > held.saturating_add(PADDING);
        let doubted = self.stretch.clock_may_lie && (more || fewer);
        let lies = too_long || again || doubted || end / 2 > held.saturating_add(PADDING);
        if !self.packets.are_counted() && lies {
            self.packets.count_them();
            self.may_seek = false;
            return Ok(held);
        }
        Ok(end)
    }

    /// Hands the bytes of every packet to `take`, in order.
    pub fn for_each_packet(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let (path, format) = (self.path.clone(), self.stretch.format);
        guarded(&path, format, || {
            self.packets.reopen()?;
            while let Some((packet, _)) = self.packets.next()? {
                take(&packet.data);
            }
            self.position = None;
            Ok(())
        })
    }

    fn lead_in(&self) -> u64 {
        if self.packets.parameters.codec == CODEC_ID_OPUS { opus::LEAD_IN } else { LEAD_IN }
    }

    /// Makes the packets ready to be decoded from `start`.
    fn start_at(&mut self, start: u64) -> Result<()> {
        self.window.clear();
        (self.window_start, self.heard_to) = (start, 0);
        self.decoder.reset();
        let lead_in = start.saturating_sub(self.lead_in()) as i64;
        // What precedes the music belongs to the lead-in of its start.
        self.wanted_from = if lead_in > 0 { lead_in } else { i64::MIN };
        self.sought = self.may_seek && lead_in > 0 && self.packets.seek(lead_in);
        if self.sought {
            self.position = Some(lead_in);
        } else if self.position.is_none_or(|position| position > self.wanted_from) {
            self.packets.reopen()?;
            self.position = Some(i64::MIN);
        }
        Ok(())
    }

    /// Decodes `range` (inside the file) and averages the channels. What cannot be decoded within
    /// it is silent.
    ///
    /// # Errors
    /// The file cannot be read, or nothing in `range` can be decoded.
    pub fn read_mono(&mut self, range: Range<u64>) -> Result<Vec<f32>> {
        let (path, format) = (self.path.clone(), self.stretch.format);
        guarded(&path, format, || self.read_unguarded(range))
    }

    fn read_unguarded(&mut self, range: Range<u64>) -> Result<Vec<f32>> {
        let ready = self.window_start..=self.window_end() + self.lead_in();
        if self.position.is_none() || !ready.contains(&range.start) {
            self.start_at(range.start)?;
        }
        let damaged_before = self.damaged;
        let mut any = self.decode(&range)?;
        if self.sought && (!any || self.damaged && !damaged_before) {
            // Seeking may have led astray, as it does in short FLAC and in fragmented MP4 files.
            (self.may_seek, self.position) = (false, None);
            self.damaged = damaged_before;
            self.start_at(range.start)?;
            any = self.decode(&range)?;
        }
        if !any {
            let cause = "nothing in the clip can be decoded";
            return Err(broken(&self.path, self.stretch.format, cause));
        }
        let start = (range.start - self.window_start) as usize;
        let mono = self.window[start..start + (range.end - range.start) as usize].to_vec();
        let forgotten = self.window.len().saturating_sub(KEPT);
        self.window.drain(..forgotten);
        self.window_start += forgotten as u64;
        Ok(mono)
    }

    /// Extends the window to the end of `range`. Returns whether anything in it could be decoded.
    fn decode(&mut self, range: &Range<u64>) -> Result<bool> {
        self.sampled = Sampled::default();
        while self.window_end() < range.end
            && let Some((packet, frames)) = self.packets.next()?
        {
            self.position = Some(frames.end);
            if frames.end <= self.wanted_from {
                continue;
            }
            match self.decode_packet(&packet) {
                Ok(mono) => self.append(frames.start, &mono, range.end),
                // Before the stretch, it is the start of a decoder that has not seen the past.
                Err(_) => self.damaged |= frames.end > range.start as i64,
            }
        }
        // The last packet may be shorter than a header counts it. Seeking may have missed it.
        let at_the_end = self.packets.ended.is_some() && !self.sought;
        let more = if at_the_end { self.packets.most_frames as u64 } else { 0 };
        let known = self.heard_to + more;
        self.damaged |= range.end > self.window_end().max(known);
        let missing = range.end.saturating_sub(self.window_end()) as usize;
        self.window.resize(self.window.len() + missing, 0.0);
        if self.sampled.seen >= SEEN && self.sampled.found > self.sampled.seen / 2 {
            return Err(half_band(&self.path));
        }
        Ok(range.start < known || range.is_empty())
    }

    /// One packet, mono. MP3 goes on through a change from one channel to two and back, for which
    /// symphonia's decoder has to be made anew.
    fn decode_packet(&mut self, packet: &Packet) -> Result<Vec<f32>> {
        let (path, format) = (&self.path, self.stretch.format);
        if format == Format::Mp3
            && let Some(frame) = Frame::parse(&packet.data)
            && frame.kind.sample_rate == self.packets.sample_rate()
            && self.mp3_channels.replace(frame.kind.channels) != Some(frame.kind.channels)
        {
            self.decoder = decoder(path, format, &self.packets.parameters)?;
        }
        if self.packets.parameters.codec == CODEC_ID_AAC {
            self.sampled.take(&packet.data);
        }
        let decoded = self.decoder.decode(packet);
        let buffer = decoded.map_err(|error| broken(path, format, &error.to_string()))?;
        Ok(average(&buffer, &mut self.channels))
    }

    fn window_end(&self) -> u64 {
        self.window_start + self.window.len() as u64
    }

    /// Puts `mono`, which begins at `frame`, behind the window: what the window has is passed over,
    /// and a gap up to `end` is filled with silence.
    fn append(&mut self, frame: i64, mono: &[f32], end: u64) {
        let window_end = self.window_end() as i64;
        let mut new = mono;
        if let Ok(known) = usize::try_from(window_end.saturating_sub(frame)) {
            new = mono.get(known..).unwrap_or_default();
        } else {
            self.damaged = true;
            let gap_end = frame.min((end as i64).max(window_end));
            self.window.resize(self.window.len() + (gap_end - window_end) as usize, 0.0);
            if gap_end < frame {
                return;
            }
        }
        self.window.extend_from_slice(new);
        let end = u64::try_from(frame.saturating_add(mono.len() as i64)).unwrap_or(0);
        self.heard_to = self.heard_to.max(end);
    }
}

fn decoder(
    path: &Path,
    format: Format,
    parameters: &AudioCodecParameters,
) -> Result<Box<dyn AudioDecoder>> {
    // What is cut off at either end is decided here, for all formats alike.
    let options = AudioDecoderOptions::default().gapless(false);
    let decoder = match parameters.codec {
        CODEC_ID_OPUS => opus::Decoder::new(parameters).map(|decoder| Box::new(decoder) as _),
        _ => get_codecs().make_audio_decoder(parameters, &options),
    };
    decoder.map_err(|error| match error {
        SymphoniaError::Unsupported(cause) => unread(path, format, cause),
        error => broken(path, format, &error.to_string()),
    })
}

fn rate_change(from: u32, to: u32) -> String {
    format!("its sample rate from {from} to {to} Hz")
}

fn half_band(path: &Path) -> Error {
    Error::unread(format!(
        "{} is HE-AAC, of which this decoder hears the lower half of the band only; convert it \
         first, for example with `ffmpeg -i INPUT OUTPUT.flac`",
        path.display()
    ))
}

/// The channels' average, frame by frame.
fn average(buffer: &GenericAudioBufferRef<'_>, channels: &mut Vec<Vec<f64>>) -> Vec<f32> {
    buffer.copy_to_vecs_planar(channels);
    let scale = 1.0 / channels.len().max(1) as f64;
    (0..buffer.frames())
        .map(|frame| (channels.iter().map(|channel| channel[frame]).sum::<f64>() * scale) as f32)
        .collect()
}

/// Damage can make a decoder of symphonia panic. It is the file's error then, not the program's.
fn guarded<T>(path: &Path, format: Format, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read).unwrap_or_else(|_| Err(broken(path, format, "its decoder failed")))
}

//! One stream of packets: its length, and any stretch of it decoded.
//!
//! Positions are frames (one sample of every channel) from the start of the music: the samples that
//! an encoder put before it and after it are left away where the file says how many they are.
//!
//! A lossy codec's packet depends on those before it, so decoding begins some packets early and
//! throws the beginning away. MP3 and AAC streams have no index, and their own idea of their length
//! is a guess; their packets are counted when the file is opened, and walked to reach a stretch. So
//! are those of files whose positions are wrong. Neither decodes anything.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use symphonia::default::{formats, get_codecs};

use super::super::format::Format;
use super::super::mpeg::{self, Frame};
use super::source::Source;
use super::{Stretch, broken, changing, flac, he_aac, mp4};
use crate::error::{Error, Result};

/// Frames decoded before a stretch. An MP3 frame (1152) may take its bits from nine before it and
/// overlaps with one; two of Vorbis' longest blocks (8192) are less, too.
const LEAD_IN: u64 = 20_000;

/// Frames that an encoder may add after the music: LAME's tag has 12 bits to say so, and some files
/// have a packet or two more.
const PADDING: i64 = 4096 + 2 * 1152;

/// Frames kept behind a stretch, so that the next one may begin a little before its end, as it does
/// when resampling.
const KEPT: usize = 1 << 16;

/// Frames of other kinds that make a stream one that changes, if they are a hundredth of it, too. A
/// few are damage that looks like a header.
const MANY: u64 = 8;

/// Packets that are looked at for HE-AAC.
const SAMPLED: usize = 32;

/// An open stream: its length is known, its samples have not been decoded.
pub struct Stream {
    path: PathBuf,
    stretch: Stretch,
    reader: Box<dyn FormatReader>,
    parameters: AudioCodecParameters,
    decoder: Box<dyn AudioDecoder>,
    clock: Clock,
    /// The most frames that a packet has.
    most_frames: i64,
    frames: u64,
    truncated: bool,
    damaged: bool,
    /// Where the reader stands; `None` where it has to be opened anew.
    position: Option<i64>,
    /// Whether the format's own way to a place is used, and whether the reader came to its place
    /// that way.
    may_seek: bool,
    sought: bool,
    /// Where the next packet begins, if packets are counted: the file's positions are not used.
    counted: Option<i64>,
    /// Packets that end before this frame need not be decoded.
    wanted_from: i64,
    /// Channels of the frames that the decoder was made for, where that may change.
    mp3_channels: Option<u8>,
    /// Decoded frames, mono, without a gap.
    window: Vec<f32>,
    window_start: u64,
    /// The frame after the last one that was asked for.
    read_to: u64,
    channels: Vec<Vec<f64>>,
}

/// From the ticks of a track to its frames.
#[derive(Clone, Copy, Debug)]
struct Clock {
    track: u32,
    sample_rate: u32,
    /// Seconds per tick.
    tick: (u32, u32),
    /// The frame on this clock at which the music begins.
    origin: i64,
}

impl Clock {
    /// Ticks beyond this are wrong, and their product with rates would leave 128 bits.
    const MOST_TICKS: i64 = 1 << 60;

    fn frame_at(self, ticks: i64) -> i64 {
        let (numerator, denominator) = (i128::from(self.tick.0), i128::from(self.tick.1));
        let ticks = ticks.clamp(-Self::MOST_TICKS, Self::MOST_TICKS);
        let scaled = i128::from(ticks) * numerator * i128::from(self.sample_rate);
        let frame = (scaled + denominator / 2).div_euclid(denominator);
        i64::try_from(frame).unwrap_or(i64::MAX).saturating_sub(self.origin)
    }

    /// A tick that is not after `frame`.
    fn tick_before(self, frame: i64) -> i64 {
        let (numerator, denominator) = (i128::from(self.tick.0), i128::from(self.tick.1));
        let frame = i128::from(frame) + i128::from(self.origin);
        let tick = (frame * denominator).div_euclid(numerator * i128::from(self.sample_rate));
        i64::try_from(tick).unwrap_or(i64::MAX)
    }

    /// The frames that a packet decodes to, before anything is cut off. In streams of MPEG frames
    /// the length is their own: symphonia 0.6.1 counts what is cut off twice there.
    fn frames_of(self, packet: &Packet, format: Format) -> Range<i64> {
        let start = packet.pts.get();
        let ticks = match format {
            Format::Mp3 if packet.data.get(1).is_some_and(|byte| byte >> 3 & 3 == 3) => 1152,
            Format::Mp3 => 576,
            Format::Aac => 1024,
            _ => i64::try_from(packet.block_dur().get()).unwrap_or(i64::MAX),
        };
        self.frame_at(start)..self.frame_at(start.saturating_add(ticks))
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
        let packets = match format {
            Format::Mp4 => {
                let packets = mp4::packets(path, stretch.bytes.start);
                Some(packets.ok_or_else(|| {
                    broken(path, format, "it claims more packets than it has bytes")
                })?)
            }
            _ => None,
        };
        let reader = demux(path, stretch)?;
        let Some(track) = reader.default_track(TrackType::Audio) else {
            return Err(broken(path, format, "it has no sound that can be read"));
        };
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(broken(path, format, "it does not say what its codec is"));
        };
        if parameters.codec == CODEC_ID_AAC
            && parameters.extra_data.as_deref().is_some_and(he_aac::in_configuration)
        {
            return Err(half_band(path));
        }
        let decoder = decoder(path, format, parameters)?;
        // AAC's own header overrules its container.
        let rate = decoder.codec_params().sample_rate.or(parameters.sample_rate);
        let Some(sample_rate) = rate.filter(|&rate| rate > 0) else {
            return Err(broken(path, format, "it does not say its sample rate"));
        };
        if parameters.channels.as_ref().is_some_and(|channels| channels.count() == 0) {
            return Err(broken(path, format, "it has zero channels"));
        }
        let tick = track.time_base.map_or((1, sample_rate), |t| (t.numer.get(), t.denom.get()));
        let mut clock = Clock { track: track.id, sample_rate, tick, origin: 0 };
        if !stretch.clock_lies {
            clock.origin = clock.frame_at(track.start_ts.get()).max(0);
        }
        let said_to_end = match format {
            // Only an encoder that says what it added says the length; else it is an estimate.
            Format::Mp3 => track.delay.and(track.num_frames).map(frames_in),
            Format::Aac => None,
            _ if stretch.clock_lies => None,
            _ => match (track.num_frames, track.duration) {
                (Some(0), _) => None,
                (Some(frames), _) => Some(frames_in(frames).saturating_sub(clock.origin)),
                (None, Some(ticks)) => Some(clock.frame_at(frames_in(ticks.get()))),
                (None, None) => None,
            },
        };
        let mut stream = Self {
            path: path.to_owned(),
            stretch: stretch.clone(),
            most_frames: most_frames(parameters),
            parameters: parameters.clone(),
            reader,
            decoder,
            clock,
            frames: 0,
            truncated: false,
            damaged: false,
            position: Some(i64::MIN),
            may_seek: !stretch.clock_lies && !matches!(format, Format::Mp3 | Format::Aac),
            sought: false,
            counted: stretch.clock_lies.then_some(0),
            wanted_from: i64::MIN,
            mp3_channels: None,
            window: Vec::new(),
            window_start: 0,
            read_to: 0,
            channels: Vec::new(),
        };
        stream.refuse_what_is_not_heard_whole()?;
        // What tables say is believed as far as their packets go.
        let most = packets.map(|packets| frames_in(packets).saturating_mul(stream.most_frames));
        let believed = said_to_end.filter(|said| most.is_none_or(|most| *said <= most + PADDING));
        stream.measure(believed)?;
        Ok(stream)
    }

    pub fn sample_rate(&self) -> u32 {
        self.clock.sample_rate
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
            let kinds = File::open(&self.path)
                .and_then(|file| mpeg::adts_kinds(&file, self.stretch.bytes.start))
                .map_err(|error| Error::io("read", &self.path, &error))?;
            let all: u64 = kinds.iter().map(|(_, frames)| frames).sum();
            if let Some(&(first, frames)) = kinds.first()
                && let Some((other, _)) =
                    kinds[1..].iter().find(|(_, frames)| is_part_of(*frames, all))
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
        if self.parameters.codec == CODEC_ID_AAC {
            let (mut seen, mut found) = (0, 0);
            while seen < SAMPLED
                && let Some(packet) = self.next_packet()?
            {
                seen += 1;
                found += usize::from(he_aac::in_frame(&packet.data));
            }
            self.position = None;
            if found > seen / 2 {
                return Err(half_band(&self.path));
            }
        }
        Ok(())
    }

    /// Finds the length: what the header says if the end is there, else what is there.
    fn measure(&mut self, said_to_end: Option<i64>) -> Result<()> {
        let mut end = match said_to_end {
            Some(end) if self.may_seek && self.reaches(end - 1) => end,
            _ => {
                let end = self.walk_to_the_end()?;
                // An Ogg stream that is whole says so in its last page.
                self.truncated =
                    said_to_end.map_or(self.stretch.format == Format::Ogg, |said| end < said);
                // A tag that speaks of far less than there is was left by joining files.
                said_to_end
                    .filter(|said| end <= said.saturating_add(PADDING))
                    .map_or(end, |said| end.min(said))
            }
        };
        if self.stretch.format == Format::Mp4
            && self.counted.is_none()
            && let Some(edit) = mp4::edit_of_first_audio_track(&self.path, self.stretch.bytes.start)
        {
            let start = self.clock.frame_at(frames_in(edit.start));
            if let Some(length) = edit.length {
                let last = edit.start.saturating_add(length);
                end = end.min(self.clock.frame_at(frames_in(last)));
            }
            self.clock.origin = self.clock.origin.saturating_add(start);
            end = end.saturating_sub(start);
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

    /// Whether there is a packet at `frame`.
    fn reaches(&mut self, frame: i64) -> bool {
        self.position = None;
        self.seek(frame)
            && matches!(self.next_packet(), Ok(Some(packet)) if self.place(&packet).end > frame)
    }

    /// Passes over all packets, and returns the frame after the last.
    fn walk_to_the_end(&mut self) -> Result<i64> {
        if self.position.is_none() {
            self.reopen()?;
        }
        let (mut end, mut held) = (0, 0i64);
        let mut kinds: Vec<(u32, u64)> = Vec::new(); // rates of MP3's frames
        while let Some(packet) = self.next_packet()? {
            let place = self.place(&packet);
            end = end.max(place.end);
            held = held.saturating_add((place.end - place.start).min(self.most_frames));
            if self.stretch.format == Format::Mp3
                && let Some(frame) = Frame::parse(&packet.data)
            {
                let rate = frame.kind.sample_rate;
                match kinds.iter_mut().find(|(kind, _)| *kind == rate) {
                    Some((_, frames)) => *frames += 1,
                    None => kinds.push((rate, 1)),
                }
            }
        }
        self.position = None;
        let (all, first) = (kinds.iter().map(|(_, frames)| frames).sum(), self.clock.sample_rate);
        if let Some((other, frames)) =
            kinds.iter().find(|(rate, frames)| *rate != first && is_part_of(*frames, all))
        {
            let before = (all - frames) as f64 * 1152.0 / f64::from(first);
            return Err(changing(&self.path, &rate_change(first, *other), before));
        }
        // Positions that leave more out than there is are wrong. What is there is heard then.
        if self.counted.is_none() && end / 2 > held.saturating_add(PADDING) {
            (self.counted, self.may_seek, self.clock.origin) = (Some(0), false, 0);
            return Ok(held);
        }
        Ok(end)
    }

    /// Hands the bytes of every packet of the track to `take`, in order.
    pub fn for_each_packet(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let (path, format) = (self.path.clone(), self.stretch.format);
        guarded(&path, format, || {
            self.reopen()?;
            while let Some(packet) = self.next_packet()? {
                take(&packet.data);
            }
            self.position = None;
            Ok(())
        })
    }

    fn reopen(&mut self) -> Result<()> {
        self.reader = demux(&self.path, &self.stretch)?;
        self.position = Some(i64::MIN);
        self.counted = self.counted.map(|_| 0);
        Ok(())
    }

    /// The frames of the packet that was just read.
    fn place(&mut self, packet: &Packet) -> Range<i64> {
        let place = self.clock.frames_of(packet, self.stretch.format);
        let Some(next) = &mut self.counted else { return place };
        let start = *next;
        *next += (place.end - place.start).clamp(0, self.most_frames);
        start..*next
    }

    /// The next packet of the track; damage that hides all that follows counts as the end.
    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.clock.track => {
                    return Ok(Some(packet));
                }
                Ok(Some(_)) => {}
                Err(SymphoniaError::IoError(error))
                    if error.kind() != std::io::ErrorKind::UnexpectedEof
                        && error.raw_os_error().is_some() =>
                {
                    return Err(Error::io("read", &self.path, &error));
                }
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// Brings the reader to a packet that is not after `frame`, by the format's own means.
    fn seek(&mut self, frame: i64) -> bool {
        let ts = Timestamp::new(self.clock.tick_before(frame));
        let to = SeekTo::Timestamp { ts, track_id: self.clock.track };
        self.reader.seek(SeekMode::Accurate, to).is_ok_and(|place| place.actual_ts <= ts)
    }

    /// Makes the reader ready to decode from `start`.
    fn start_at(&mut self, start: u64) -> Result<()> {
        self.window.clear();
        self.window_start = start;
        self.decoder.reset();
        let lead_in = start.saturating_sub(LEAD_IN) as i64;
        // What precedes the music belongs to the lead-in of its start.
        self.wanted_from = if lead_in > 0 { lead_in } else { i64::MIN };
        self.sought = self.may_seek && lead_in > 0 && self.seek(lead_in);
        if self.sought {
            self.position = Some(lead_in);
        } else if self.position.is_none_or(|position| position > self.wanted_from) {
            self.reopen()?;
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
        let ready = self.window_start..=self.window_end() + LEAD_IN;
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
        self.read_to = range.end;
        let start = (range.start - self.window_start) as usize;
        let mono = self.window[start..start + (range.end - range.start) as usize].to_vec();
        let forgotten = self.window.len().saturating_sub(KEPT);
        self.window.drain(..forgotten);
        self.window_start += forgotten as u64;
        Ok(mono)
    }

    /// Extends the window to the end of `range`. Returns whether anything in it could be decoded
    /// that was not asked for before.
    fn decode(&mut self, range: &Range<u64>) -> Result<bool> {
        let mut any = range.end <= self.read_to.min(self.window_end()) || range.is_empty();
        // The window may hold a little more than was asked for.
        let fresh = range.start.max(self.read_to.min(self.window_end()));
        any |= self.window_end() > fresh;
        while self.window_end() < range.end
            && let Some(packet) = self.next_packet()?
        {
            let frames = self.place(&packet);
            self.position = Some(frames.end);
            if frames.end <= self.wanted_from {
                continue;
            }
            let inside = frames.end > range.start as i64;
            match self.decode_packet(&packet) {
                Ok(mono) => {
                    let heard = frames.start..frames.start.saturating_add(mono.len() as i64);
                    any |= heard.end > fresh as i64 && heard.start < range.end as i64;
                    self.append(frames.start, &mono, range.end);
                }
                // Before the stretch, it is the start of a decoder that has not seen the past.
                Err(_) => self.damaged |= inside,
            }
        }
        let missing = range.end.saturating_sub(self.window_end()) as usize;
        self.damaged |= missing > 0;
        self.window.resize(self.window.len() + missing, 0.0);
        Ok(any)
    }

    /// One packet, mono. MP3 goes on through a change from one channel to two and back, for which
    /// symphonia's decoder has to be made anew.
    fn decode_packet(&mut self, packet: &Packet) -> Result<Vec<f32>> {
        if self.stretch.format == Format::Mp3
            && let Some(frame) = Frame::parse(&packet.data)
            && frame.kind.sample_rate == self.clock.sample_rate
            && self.mp3_channels.replace(frame.kind.channels) != Some(frame.kind.channels)
        {
            self.decoder = decoder(&self.path, self.stretch.format, &self.parameters)?;
        }
        let buffer = self
            .decoder
            .decode(packet)
            .map_err(|error| broken(&self.path, self.stretch.format, &error.to_string()))?;
        Ok(average(&buffer, &mut self.channels))
    }

    fn window_end(&self) -> u64 {
        self.window_start + self.window.len() as u64
    }

    /// Puts `mono`, which begins at `frame`, behind the window: what the window has is passed over,
    /// and a gap up to `end` is filled with silence.
    fn append(&mut self, frame: i64, mono: &[f32], end: u64) {
        let window_end = self.window_end() as i64;
        if let Ok(known) = usize::try_from(window_end.saturating_sub(frame)) {
            self.window.extend_from_slice(mono.get(known..).unwrap_or_default());
        } else {
            self.damaged = true;
            let gap_end = frame.min((end as i64).max(window_end));
            self.window.resize(self.window.len() + (gap_end - window_end) as usize, 0.0);
            if gap_end == frame {
                self.window.extend_from_slice(mono);
            }
        }
    }
}

/// Finds out how the packets lie.
fn demux(path: &Path, stretch: &Stretch) -> Result<Box<dyn FormatReader>> {
    let io_error = |error| Error::io("read", path, &error);
    let file = File::open(path).map_err(io_error)?;
    let (format, bytes) = (stretch.format, stretch.bytes.clone());
    let source = match format {
        Format::Flac => flac::source(file, bytes.start).map_err(io_error)?,
        // The tables of MP4 count from the beginning of the file.
        Format::Mp4 => Source::new(file).with_stretch(0..bytes.end),
        _ => Source::new(file).with_bytes(stretch.header.clone()).with_stretch(bytes.clone()),
    };
    let mut stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let mut probe = Probe::new();
    match format {
        Format::Mp3 => probe.register_format::<formats::MpaReader<'_>>(),
        Format::Flac => probe.register_format::<formats::FlacReader<'_>>(),
        Format::Ogg => probe.register_format::<formats::OggReader<'_>>(),
        Format::Mp4 => {
            probe.register_format::<formats::IsoMp4Reader<'_>>();
            std::io::Seek::seek(&mut stream, std::io::SeekFrom::Start(bytes.start))
                .map_err(io_error)?;
        }
        Format::Aac => probe.register_format::<formats::AdtsReader<'_>>(),
        Format::Wav => probe.register_format::<formats::WavReader<'_>>(),
        Format::Caf => probe.register_format::<formats::CafReader<'_>>(),
        Format::Aiff => return Err(broken(path, format, "its samples are coded")),
    }
    probe
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| broken(path, format, &error.to_string()))
}

fn decoder(
    path: &Path,
    format: Format,
    parameters: &AudioCodecParameters,
) -> Result<Box<dyn AudioDecoder>> {
    // What is cut off at either end is decided here, for all formats alike.
    let options = AudioDecoderOptions::default().gapless(false);
    get_codecs().make_audio_decoder(parameters, &options).map_err(|error| match error {
        SymphoniaError::Unsupported(cause) => Error::input(format!(
            "{} is {format} of a kind that is not read ({cause}); convert it first, for example \
             with `ffmpeg -i INPUT OUTPUT.flac`",
            path.display()
        )),
        error => broken(path, format, &error.to_string()),
    })
}

/// The most frames that a packet of the codec decodes to.
fn most_frames(parameters: &AudioCodecParameters) -> i64 {
    match parameters.codec {
        CODEC_ID_AAC => 1024,
        // Its configuration begins with the frames of a packet.
        CODEC_ID_ALAC => parameters
            .extra_data
            .as_deref()
            .and_then(|configuration| configuration.first_chunk::<4>())
            .map_or(i64::from(u16::MAX), |&frames| u32::from_be_bytes(frames).into()),
        _ => parameters.max_frames_per_packet.map_or(i64::from(u16::MAX), frames_in),
    }
}

/// A count as a position. Nothing is that far away.
fn frames_in(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn is_part_of(frames: u64, all: u64) -> bool {
    frames >= MANY && frames >= all / 100
}

fn rate_change(from: u32, to: u32) -> String {
    format!("its sample rate from {from} to {to} Hz")
}

fn half_band(path: &Path) -> Error {
    Error::input(format!(
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
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(broken(path, format, "its decoder failed")))
}

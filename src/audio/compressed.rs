//! Every format but plain WAV, by `symphonia`: any stretch is decoded without keeping the rest.
//!
//! Positions are frames (one sample of every channel) from the start of the music: the samples that
//! an encoder put before it and after it are left away where the file says how many they are.
//!
//! A lossy codec's packet depends on those before it, so decoding begins some packets early and
//! throws the beginning away. MP3 and AAC streams have no index, and their own idea of their length
//! is a guess; their packets are counted when the file is opened, and walked to reach a stretch.
//! Neither decodes anything.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use symphonia::default::{formats, get_codecs};

use super::edit_list;
use super::flac_sound::FlacSound;
use super::format::Format;
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

/// An open file: its length is known, its samples have not been decoded.
pub struct CompressedFile {
    path: PathBuf,
    format: Format,
    /// First byte of the format, after any tags.
    first_byte: u64,
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    clock: Clock,
    frames: u64,
    truncated: bool,
    damaged: bool,
    /// Where the reader stands; `None` where it has to be opened anew.
    position: Option<i64>,
    /// Whether the format's own way to a place is used, and whether the reader came to its place
    /// that way.
    may_seek: bool,
    sought: bool,
    /// Packets that end before this frame need not be decoded.
    wanted_from: i64,
    /// Decoded frames, mono, without a gap.
    window: Vec<f32>,
    window_start: u64,
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
    fn frame_at(self, ticks: i64) -> i64 {
        let (numerator, denominator) = (i128::from(self.tick.0), i128::from(self.tick.1));
        let scaled = i128::from(ticks) * numerator * i128::from(self.sample_rate);
        let frame = (scaled + denominator / 2).div_euclid(denominator);
        (frame as i64).saturating_sub(self.origin)
    }

    /// A tick that is not after `frame`.
    fn tick_before(self, frame: i64) -> i64 {
        let (numerator, denominator) = (i128::from(self.tick.0), i128::from(self.tick.1));
        let frame = i128::from(frame) + i128::from(self.origin);
        (frame * denominator).div_euclid(numerator * i128::from(self.sample_rate)) as i64
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

impl CompressedFile {
    /// Opens `path`, whose `format` begins at `first_byte`.
    ///
    /// # Errors
    /// The file cannot be read, its codec is not known, or it is damaged or holds no samples.
    pub fn open(path: &Path, format: Format, first_byte: u64) -> Result<Self> {
        guarded(path, format, || Self::open_unguarded(path, format, first_byte))
    }

    fn open_unguarded(path: &Path, format: Format, first_byte: u64) -> Result<Self> {
        let reader = demux(path, format, first_byte)?;
        let Some(track) = reader.default_track(TrackType::Audio) else {
            return Err(broken(path, format, "it has no sound that can be read"));
        };
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(broken(path, format, "it does not say what its codec is"));
        };
        // What is cut off at either end is decided here, for all formats alike.
        let options = AudioDecoderOptions::default().gapless(false);
        let decoder =
            get_codecs().make_audio_decoder(parameters, &options).map_err(|error| match error {
                SymphoniaError::Unsupported(cause) => Error::input(format!(
                    "{} is {format} of a kind that is not read ({cause}); convert it first, for \
                     example with `ffmpeg -i INPUT OUTPUT.flac`",
                    path.display()
                )),
                error => broken(path, format, &error.to_string()),
            })?;
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
        clock.origin = clock.frame_at(track.start_ts.get()).max(0);
        let said_to_end = match format {
            // Only an encoder that says what it added says the length; else it is an estimate.
            Format::Mp3 => track.delay.and(track.num_frames).map(|frames| frames as i64),
            Format::Aac => None,
            _ => match (track.num_frames, track.duration) {
                (Some(0), _) => None,
                (Some(frames), _) => Some(frames as i64 - clock.origin),
                (None, Some(ticks)) => Some(clock.frame_at(ticks.get() as i64)),
                (None, None) => None,
            },
        };
        let mut file = Self {
            path: path.to_owned(),
            format,
            first_byte,
            reader,
            decoder,
            clock,
            frames: 0,
            truncated: false,
            damaged: false,
            position: Some(i64::MIN),
            may_seek: !matches!(format, Format::Mp3 | Format::Aac),
            sought: false,
            wanted_from: i64::MIN,
            window: Vec::new(),
            window_start: 0,
            channels: Vec::new(),
        };
        file.measure(said_to_end)?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn sample_rate(&self) -> u32 {
        self.clock.sample_rate
    }

    /// Samples per channel that are really there; at least 1.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The file ends before its header says, or before its last page.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Parts of what was read so far could not be decoded and are silent.
    pub fn damaged(&self) -> bool {
        self.damaged
    }

    /// Finds the length: what the header says if the end is there, else what is there.
    fn measure(&mut self, said_to_end: Option<i64>) -> Result<()> {
        let mut end = match said_to_end {
            Some(end) if self.may_seek && self.reaches(end - 1) => end,
            _ => {
                let end = self.walk_to_the_end()?;
                // An Ogg stream that is whole says so in its last page.
                self.truncated = said_to_end.map_or(self.format == Format::Ogg, |said| end < said);
                // A tag that speaks of far less than there is was left by joining files.
                said_to_end.filter(|said| end <= said + PADDING).map_or(end, |said| end.min(said))
            }
        };
        if self.format == Format::Mp4
            && let Some(edit) = edit_list::of_first_audio_track(&self.path, self.first_byte)
        {
            let start = self.clock.frame_at(edit.start as i64);
            if let Some(length) = edit.length {
                end = end.min(self.clock.frame_at((edit.start + length) as i64));
            }
            self.clock.origin += start;
            end -= start;
        }
        self.frames = u64::try_from(end).unwrap_or(0);
        if self.frames > 0 {
            return Ok(());
        }
        if said_to_end.is_some_and(|said| said > 0) {
            return Err(broken(&self.path, self.format, "nothing of its sound is there"));
        }
        Err(Error::input(format!("{} holds no audio samples", self.path.display())))
    }

    /// Whether there is a packet at `frame`.
    fn reaches(&mut self, frame: i64) -> bool {
        self.position = None;
        self.seek(frame) && matches!(self.next_packet(), Ok(Some(_)))
    }

    /// Passes over all packets, and returns the frame after the last.
    fn walk_to_the_end(&mut self) -> Result<i64> {
        if self.position.is_none() {
            self.reopen()?;
        }
        let mut end = 0;
        while let Some(packet) = self.next_packet()? {
            end = end.max(self.clock.frames_of(&packet, self.format).end);
        }
        self.position = None;
        Ok(end)
    }

    /// Hands the bytes of every packet of the track to `take`, in order.
    pub fn for_each_packet(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let (path, format) = (self.path.clone(), self.format);
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
        self.reader = demux(&self.path, self.format, self.first_byte)?;
        self.position = Some(i64::MIN);
        Ok(())
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
        let (path, format) = (self.path.clone(), self.format);
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
            return Err(broken(&self.path, self.format, "nothing in the clip can be decoded"));
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
        let mut any = self.window_end() > range.start || range.is_empty();
        while self.window_end() < range.end
            && let Some(packet) = self.next_packet()?
        {
            let frames = self.clock.frames_of(&packet, self.format);
            self.position = Some(frames.end);
            if frames.end <= self.wanted_from {
                continue;
            }
            let inside = frames.end > range.start as i64;
            match self.decoder.decode(&packet) {
                Ok(buffer) => {
                    let mono = average(&buffer, &mut self.channels);
                    any |= inside && !mono.is_empty();
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

/// Finds out how the packets of a file lie.
fn demux(path: &Path, format: Format, first_byte: u64) -> Result<Box<dyn FormatReader>> {
    let file = File::open(path).map_err(|error| Error::io("read", path, &error))?;
    let source: Box<dyn MediaSource> = match format {
        Format::Flac => Box::new(
            FlacSound::new(file, first_byte).map_err(|error| Error::io("read", path, &error))?,
        ),
        _ => Box::new(file),
    };
    let mut stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let mut probe = Probe::new();
    match format {
        Format::Mp3 => probe.register_format::<formats::MpaReader<'_>>(),
        Format::Flac => probe.register_format::<formats::FlacReader<'_>>(),
        Format::Ogg => probe.register_format::<formats::OggReader<'_>>(),
        Format::Mp4 => probe.register_format::<formats::IsoMp4Reader<'_>>(),
        Format::Aac => probe.register_format::<formats::AdtsReader<'_>>(),
        Format::Aiff => probe.register_format::<formats::AiffReader<'_>>(),
        Format::Wav => probe.register_format::<formats::WavReader<'_>>(),
        Format::Caf => probe.register_format::<formats::CafReader<'_>>(),
    }
    std::io::Seek::seek(&mut stream, std::io::SeekFrom::Start(first_byte))
        .map_err(|error| Error::io("read", path, &error))?;
    probe
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| broken(path, format, &error.to_string()))
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

fn broken(path: &Path, format: Format, cause: &str) -> Error {
    Error::input(format!(
        "{} is a broken or unusual {format} file: {cause}; convert it again, for example with \
         `ffmpeg -i INPUT OUTPUT.flac`",
        path.display()
    ))
}

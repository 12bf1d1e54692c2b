//! The packets of a stream, one after the other, and the frames that each of them is.
//!
//! Positions are frames (one sample of every channel) from the start of the music. A file's own may
//! be wrong; then they are counted from the packets.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_OPUS};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use symphonia::default::{formats, get_codecs};

use super::super::format::Format;
use super::super::mpeg::Frame;
use super::source::Source;
use super::{Stretch, broken, flac, mp4, ogg_headers, opus};
use crate::error::{Error, Result};

/// The most frames of a packet of any codec.
const MOST_FRAMES: i64 = 1 << 16;

/// The most frames that a codec needs before the music.
const MOST_BEFORE: u32 = 1 << 14;

/// An open stream of packets.
pub struct Packets {
    path: PathBuf,
    stretch: Stretch,
    reader: Box<dyn FormatReader>,
    pub parameters: AudioCodecParameters,
    clock: Clock,
    /// The most frames that a packet has.
    pub most_frames: i64,
    /// Where the next packet begins, if packets are counted: the file's positions are not used. The
    /// first one begins with what its codec needs before the music.
    counted: Option<i64>,
    first_frame: i64,
    /// The frames that the file says there are.
    pub said: Option<i64>,
    /// Whether there are no more packets, and that with an error.
    pub ended: Option<bool>,
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

    /// How many frames so many ticks are.
    fn frames_in(self, ticks: i64) -> i64 {
        let (numerator, denominator) = (i128::from(self.tick.0), i128::from(self.tick.1));
        let ticks = ticks.clamp(-Self::MOST_TICKS, Self::MOST_TICKS);
        let scaled = i128::from(ticks) * numerator * i128::from(self.sample_rate);
        let frames = (scaled + denominator / 2).div_euclid(denominator);
        i64::try_from(frames).unwrap_or(i64::MAX)
    }

    fn frame_at(self, ticks: i64) -> i64 {
        self.frames_in(ticks).saturating_sub(self.origin)
    }

    /// A tick that is not after `frame`.
    fn tick_before(self, frame: i64) -> i64 {
        let (numerator, denominator) = (i128::from(self.tick.0), i128::from(self.tick.1));
        let frame = i128::from(frame) + i128::from(self.origin);
        let tick = (frame * denominator).div_euclid(numerator * i128::from(self.sample_rate));
        i64::try_from(tick).unwrap_or(i64::MAX)
    }

    /// The ticks of a packet before anything is cut off. In streams of MPEG frames the length is
    /// their own: symphonia 0.6.1 counts what is cut off twice there.
    fn ticks_of(packet: &Packet, format: Format) -> i64 {
        match format {
            Format::Mp3 => Frame::parse(&packet.data).map_or(0, |frame| frame.samples.into()),
            Format::Aac => 1024,
            _ => count(packet.block_dur().get()),
        }
    }
}

impl Packets {
    /// Opens what `stretch` says of the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, has no sound, or does not say its codec.
    pub fn open(path: &Path, stretch: &Stretch) -> Result<Self> {
        let format = stretch.format;
        let reader = demux(path, stretch)?;
        let Some(track) = track_of(&*reader, path, stretch) else {
            return Err(broken(path, format, "it has no sound that can be read"));
        };
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(broken(path, format, "it does not say what its codec is"));
        };
        if parameters.channels.as_ref().is_some_and(|channels| channels.count() == 0) {
            return Err(broken(path, format, "it has zero channels"));
        }
        let most_before =
            if parameters.codec == CODEC_ID_OPUS { u16::MAX.into() } else { MOST_BEFORE };
        let first_frame = -i64::from(track.delay.unwrap_or(0).min(most_before));
        let clock = Clock { track: track.id, sample_rate: 1, tick: (1, 1), origin: 0 };
        Ok(Self {
            path: path.to_owned(),
            stretch: stretch.clone(),
            parameters: parameters.clone(),
            clock,
            most_frames: most_frames(parameters),
            counted: stretch.clock_lies.then_some(first_frame),
            first_frame,
            said: None,
            ended: None,
            reader,
        })
    }

    /// The rate is the decoder's: AAC's own header overrules its container. Positions and lengths are
    /// known from here on.
    pub fn set_rate(&mut self, sample_rate: u32) {
        let number = self.clock.track;
        let Some(track) = self.reader.tracks().iter().find(|track| track.id == number) else {
            return;
        };
        let tick = track.time_base.map_or((1, sample_rate), |t| (t.numer.get(), t.denom.get()));
        let mut clock = Clock { track: track.id, sample_rate, tick, origin: 0 };
        if self.counted.is_none() {
            clock.origin = clock.frame_at(track.start_ts.get()).max(0);
            if self.parameters.codec == CODEC_ID_OPUS {
                // Its positions count what stands before the music, too.
                clock.origin = clock.origin.saturating_sub(self.first_frame);
            }
        }
        self.said = match self.stretch.format {
            // Only an encoder that says what it added says the length; else it is an estimate.
            Format::Mp3 => track.delay.and(track.num_frames).map(count),
            Format::Aac => None,
            _ if self.counted.is_some() => None,
            _ => match (track.num_frames, track.duration) {
                (Some(0), _) => None,
                (Some(frames), _) => Some(count(frames).saturating_sub(clock.origin)),
                (None, Some(ticks)) => Some(clock.frame_at(count(ticks.get()))),
                (None, None) => None,
            },
        };
        self.clock = clock;
    }

    /// The number that the file gives the track.
    pub fn track(&self) -> u32 {
        self.clock.track
    }

    /// Samples per second and channel.
    pub fn sample_rate(&self) -> u32 {
        self.clock.sample_rate
    }

    /// Whether positions are counted, so that there is no way to a place but past all before it.
    pub fn are_counted(&self) -> bool {
        self.counted.is_some()
    }

    /// From here on packets are counted.
    pub fn count_them(&mut self) {
        self.counted = Some(self.first_frame);
        self.clock.origin = 0;
    }

    /// Leaves away what stands before `start`, in ticks. Returns how many frames that is.
    pub fn begin_at(&mut self, start: u64) -> i64 {
        let frames = self.clock.frame_at(count(start));
        self.clock.origin = self.clock.origin.saturating_add(frames);
        frames
    }

    /// The frame at `ticks`.
    pub fn frame_at(&self, ticks: u64) -> i64 {
        self.clock.frame_at(count(ticks))
    }

    /// Begins anew with the first packet.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn reopen(&mut self) -> Result<()> {
        self.reader = demux(&self.path, &self.stretch)?;
        self.counted = self.counted.map(|_| self.first_frame);
        self.ended = None;
        Ok(())
    }

    /// Goes to a packet that is not after `frame`, by the format's own means.
    pub fn seek(&mut self, frame: i64) -> bool {
        self.ended = None;
        let ts = Timestamp::new(self.clock.tick_before(frame));
        let to = SeekTo::Timestamp { ts, track_id: self.clock.track };
        self.reader.seek(SeekMode::Accurate, to).is_ok_and(|place| place.actual_ts <= ts)
    }

    /// The next packet and the frames that it decodes to; damage that hides all that follows counts
    /// as the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self) -> Result<Option<(Packet, Range<i64>)>> {
        loop {
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.clock.track => {
                    let place = self.place(&packet);
                    return Ok(Some((packet, place)));
                }
                Ok(Some(_)) => {}
                Err(SymphoniaError::IoError(error))
                    if error.kind() != std::io::ErrorKind::UnexpectedEof
                        && error.raw_os_error().is_some() =>
                {
                    return Err(Error::io("read", &self.path, &error));
                }
                end => {
                    self.ended = Some(end.is_err());
                    return Ok(None);
                }
            }
        }
    }

    fn place(&mut self, packet: &Packet) -> Range<i64> {
        let start = packet.pts.get();
        let Some(counted) = self.counted else {
            let end = start.saturating_add(Clock::ticks_of(packet, self.stretch.format));
            return self.clock.frame_at(start)..self.clock.frame_at(end);
        };
        let next = counted + self.frames_of(packet);
        self.counted = Some(next);
        counted..next
    }

    /// How many frames a packet has, as far as its codec allows.
    pub fn frames_of(&self, packet: &Packet) -> i64 {
        let ticks = Clock::ticks_of(packet, self.stretch.format);
        self.clock.frames_in(ticks).clamp(0, self.most_frames)
    }
}

/// The track that is heard: of several in MP4 the first that is not switched off and can be decoded.
fn track_of<'a>(reader: &'a dyn FormatReader, path: &Path, stretch: &Stretch) -> Option<&'a Track> {
    let decoded = |track: &&Track| match &track.codec_params {
        Some(CodecParameters::Audio(parameters)) => {
            get_codecs().get_audio_decoder(parameters.codec).is_some()
        }
        _ => false,
    };
    let tracks = || reader.tracks().iter();
    let chosen = match stretch.format {
        Format::Mp4 if reader.tracks().len() > 1 => {
            let enabled = mp4::enabled_audio_tracks(path, stretch.bytes.start);
            let is_enabled = |track: &&Track| enabled.contains(&track.id);
            tracks().filter(is_enabled).find(decoded).or_else(|| tracks().find(decoded))
        }
        _ => None,
    };
    chosen.or_else(|| reader.default_track(TrackType::Audio))
}

/// Finds out how the packets lie. A broken tag does not hide the sound.
fn demux(path: &Path, stretch: &Stretch) -> Result<Box<dyn FormatReader>> {
    demux_without(path, stretch, &[]).or_else(|error| match stretch.format {
        Format::Mp4 => {
            let tags = mp4::kinds_of_tags(path, stretch.bytes.start);
            demux_without(path, stretch, &tags).map_err(|_| error)
        }
        _ => Err(error),
    })
}

/// `kinds` are places of boxes' kinds in MP4, which are shown as free space.
fn demux_without(path: &Path, stretch: &Stretch, kinds: &[u64]) -> Result<Box<dyn FormatReader>> {
    let io_error = |error| Error::io("read", path, &error);
    let file = File::open(path).map_err(io_error)?;
    let (format, bytes) = (stretch.format, stretch.bytes.clone());
    let source = match format {
        Format::Flac => flac::source(file, bytes.clone()).map_err(io_error)?,
        Format::Ogg => {
            ogg_headers::source(file, bytes.clone(), &stretch.beside).map_err(io_error)?
        }
        // The tables of MP4 count from the beginning of the file. Tags in front of it are shown as free
        // space, since the demultiplexer may begin there.
        Format::Mp4 => {
            let mut free = u32::try_from(bytes.start).unwrap_or(0).to_be_bytes().to_vec();
            free.extend(b"free");
            free.truncate(bytes.start as usize);
            let mut at = free.len() as u64;
            let mut source = Source::new(file).with_bytes(free);
            for kind in kinds {
                source = source.with_stretch(at..*kind).with_bytes(b"free".to_vec());
                at = kind + 4;
            }
            source.with_stretch(at..bytes.end)
        }
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

/// The most frames that a packet of the codec decodes to.
fn most_frames(parameters: &AudioCodecParameters) -> i64 {
    let configuration = parameters.extra_data.as_deref().unwrap_or_default();
    match parameters.codec {
        CODEC_ID_AAC => 1024,
        CODEC_ID_OPUS => opus::MOST_FRAMES,
        CODEC_ID_ALAC => {
            // It begins with the frames of a packet. CAF may have it in two boxes, the first of
            // which only says what it is.
            let boxed = configuration.get(4..8) == Some(b"frma");
            let begin = configuration.get(if boxed { 24.. } else { 0.. });
            begin
                .and_then(|begin| begin.first_chunk::<4>())
                .map_or(MOST_FRAMES, |&frames| u32::from_be_bytes(frames).into())
        }
        _ => parameters.max_frames_per_packet.map_or(MOST_FRAMES, count),
    }
}

/// A count as a position. Nothing is that far away.
pub fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

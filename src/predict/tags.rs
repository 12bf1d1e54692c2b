//! The tag MOOD in audio files, written as players read it.
//!
//! | file | field |
//! |---|---|
//! | MP3, AAC, WAV, AIFF | ID3v2.4 `TMOO`; `TXXX:MOOD` where the file has an ID3v2.3 tag |
//! | FLAC, Ogg Vorbis | Vorbis comment `MOOD`, one for each mood |
//! | M4A | `----:com.apple.iTunes:MOOD` |
//!
//! A copy beside the file is changed and compared with it: the coded sound must be the same bytes
//! and every other tag the same value. Only then it takes the file's place, by renaming. So a file is
//! never half-written, and one whose tags the library does not fully understand is left alone.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use lofty::TextEncoding;
use lofty::config::{ParseOptions, ParsingMode, WriteOptions};
use lofty::file::AudioFile as _;
use lofty::id3::v2::{
    ExtendedTextFrame, Frame, FrameId, Id3v2Tag, Id3v2Version, TextInformationFrame,
};
use lofty::mp4::{Atom, AtomData, AtomIdent, Ilst};
use lofty::ogg::{OggPictureStorage, VorbisComments};
use lofty::tag::TagExt;

use crate::audio::{Format, format_of, sound_hash};
use crate::{Error, Result};

/// The name of the field where it is free to choose.
const MOOD: &str = "MOOD";
/// Who defined the free fields that players read in M4A.
const MEAN: &str = "com.apple.iTunes";
/// ID3v2.4's frame.
const TMOO: &str = "TMOO";
/// Bytes of an ID3v1 tag.
const ID3V1: usize = 128;
/// Stands between the moods where a field holds one text only.
const SEPARATOR: &str = "; ";

/// What writing a tag does to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the field is called in this file.
    pub field: &'static str,
    /// The moods that the file names so far.
    pub before: Vec<String>,
    /// The moods that it names afterwards.
    pub after: Vec<String>,
}

impl Change {
    /// Whether there is anything to write.
    pub fn is_needed(&self) -> bool {
        self.before != self.after
    }
}

/// What [`write`] would do to the file at `path`; nothing is written.
///
/// # Errors
/// The file or its tags cannot be read.
pub fn preview(path: &Path, moods: &[String]) -> Result<Change> {
    let tags = Tags::read(path)?;
    Ok(Change { field: tags.field(), before: tags.moods(), after: moods.to_vec() })
}

/// Names `moods` in the tag MOOD of the file at `path`, the most important first, in place of what
/// it named before.
///
/// # Errors
/// The file cannot be read or replaced, or its sound or another tag would change: it is then as it
/// was.
pub fn write(path: &Path, moods: &[String]) -> Result<Change> {
    // A link stays a link: the file behind it is replaced.
    let path = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
    let change = preview(&path, moods)?;
    if change.is_needed() {
        let copy = Replacement::of(&path)?;
        copy.set(moods)?;
        copy.check()?;
        copy.take_place()?;
    }
    Ok(change)
}

/// The tags of a file, of the kind that belongs to its format.
enum Tags {
    Id3v2(Id3v2Tag),
    Vorbis(VorbisComments),
    Mp4(Ilst),
}

impl Tags {
    fn read(path: &Path) -> Result<Self> {
        let format = format_of(path)?.ok_or_else(|| {
            Error::input(format!("{} does not begin like an audio file", path.display()))
        })?;
        let mut bytes = fs::read(path).map_err(|error| Error::io("read", path, &error))?;
        // An ID3v1 tag at the end stays where it is; what it holds is often against its standard.
        let end = bytes.len().saturating_sub(ID3V1);
        if bytes[end..].starts_with(b"TAG") {
            bytes.truncate(end);
        }
        let mut file = std::io::Cursor::new(bytes);
        // What cannot be understood must be an error: it could not be kept.
        let options = ParseOptions::new().parsing_mode(ParsingMode::Strict).read_properties(false);
        macro_rules! id3v2_of {
            ($file:path) => {
                <$file>::read_from(&mut file, options)
                    .map(|file| Self::Id3v2(file.id3v2().cloned().unwrap_or_default()))
            };
        }
        let tags = match format {
            Format::Mp3 => id3v2_of!(lofty::mpeg::MpegFile),
            Format::Aac => id3v2_of!(lofty::aac::AacFile),
            Format::Wav => id3v2_of!(lofty::iff::wav::WavFile),
            Format::Aiff => id3v2_of!(lofty::iff::aiff::AiffFile),
            Format::Flac => lofty::flac::FlacFile::read_from(&mut file, options).map(|flac| {
                let mut comments = flac.vorbis_comments().cloned().unwrap_or_default();
                // Beside the comments in the file, and written together with them.
                for (picture, information) in flac.pictures() {
                    let _ = comments.insert_picture(picture.clone(), Some(*information));
                }
                Self::Vorbis(comments)
            }),
            Format::Ogg => lofty::ogg::VorbisFile::read_from(&mut file, options)
                .map(|file| Self::Vorbis(file.vorbis_comments().clone())),
            Format::Mp4 => lofty::mp4::Mp4File::read_from(&mut file, options)
                .map(|file| Self::Mp4(file.ilst().cloned().unwrap_or_default())),
            Format::Caf => {
                return Err(Error::input(format!(
                    "{}: tags of {format} files are not written; convert it to FLAC or M4A",
                    path.display()
                )));
            }
        };
        tags.map_err(|error| {
            Error::input(format!(
                "{}: its tags cannot be read in full, so they could not be kept ({error}); save \
                 them again with a tag editor",
                path.display()
            ))
        })
    }

    /// ID3v2.3 has no frame for moods; a file that has such a tag keeps its version, since some
    /// players read no other.
    fn is_v3(tag: &Id3v2Tag) -> bool {
        tag.original_version() == Id3v2Version::V3
    }

    fn field(&self) -> &'static str {
        match self {
            Self::Id3v2(tag) if Self::is_v3(tag) => "TXXX:MOOD",
            Self::Id3v2(_) => TMOO,
            Self::Vorbis(_) => MOOD,
            Self::Mp4(_) => "----:com.apple.iTunes:MOOD",
        }
    }

    fn moods(&self) -> Vec<String> {
        let parts = |text: &str| -> Vec<String> {
            let parts = text.split(SEPARATOR).flat_map(|part| part.split('\0'));
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        match self {
            Self::Id3v2(tag) => tag
                .into_iter()
                .filter(|frame| is_mood_frame(frame))
                .flat_map(|frame| match frame {
                    Frame::Text(frame) => parts(&frame.value),
                    Frame::UserText(frame) => parts(&frame.content),
                    _ => Vec::new(),
                })
                .collect(),
            Self::Vorbis(comments) => comments.get_all(MOOD).map(str::to_owned).collect(),
            Self::Mp4(ilst) => ilst
                .into_iter()
                .filter(|atom| is_mood_atom(atom))
                .flat_map(|atom| atom.data())
                .flat_map(|data| match data {
                    AtomData::UTF8(text) | AtomData::UTF16(text) => parts(text),
                    _ => Vec::new(),
                })
                .collect(),
        }
    }

    fn set(&mut self, moods: &[String]) {
        match self {
            Self::Id3v2(tag) => {
                let v3 = Self::is_v3(tag);
                tag.retain(|frame| !is_mood_frame(frame));
                let encoding = if v3 { TextEncoding::UTF16 } else { TextEncoding::UTF8 };
                if v3 {
                    let text = moods.join(SEPARATOR);
                    let frame = ExtendedTextFrame::new(encoding, MOOD.to_owned(), text);
                    tag.insert(Frame::UserText(frame));
                } else {
                    let id = FrameId::Valid(TMOO.into());
                    let frame = TextInformationFrame::new(id, encoding, moods.join("\0"));
                    tag.insert(Frame::Text(frame));
                }
            }
            Self::Vorbis(comments) => {
                comments.remove(MOOD).for_each(drop);
                for mood in moods {
                    comments.push(MOOD.to_owned(), mood.clone());
                }
            }
            Self::Mp4(ilst) => {
                ilst.retain(|atom| !is_mood_atom(atom));
                let ident = AtomIdent::Freeform { mean: MEAN.into(), name: MOOD.into() };
                let data = moods.iter().map(|mood| AtomData::UTF8(mood.clone())).collect();
                if let Some(atom) = Atom::from_collection(ident, data) {
                    ilst.insert(atom);
                }
            }
        }
    }

    fn save(&self, file: &mut File) -> lofty::error::Result<()> {
        let options = WriteOptions::new().lossy_text_encoding(false);
        match self {
            Self::Id3v2(tag) => tag.save_to(file, { options }.use_id3v23(Self::is_v3(tag))),
            Self::Vorbis(comments) => comments.save_to(file, options),
            Self::Mp4(ilst) => ilst.save_to(file, options),
        }
    }

    /// Everything but the moods, in an order of its own, to be compared.
    fn others(&self) -> Vec<String> {
        let mut others: Vec<String> = match self {
            Self::Id3v2(tag) => tag
                .into_iter()
                .filter(|frame| !is_mood_frame(frame))
                .map(|frame| format!("{frame:?}"))
                .collect(),
            Self::Vorbis(comments) => comments
                .items()
                .filter(|(key, _)| !key.eq_ignore_ascii_case(MOOD))
                .map(|item| format!("{item:?}"))
                .chain(comments.pictures().iter().map(|picture| format!("{picture:?}")))
                .chain([comments.vendor().to_owned()])
                .collect(),
            Self::Mp4(ilst) => ilst
                .into_iter()
                .filter(|atom| !is_mood_atom(atom))
                .map(|atom| format!("{:?} {:?}", atom.ident(), atom.data().collect::<Vec<_>>()))
                .collect(),
        };
        others.sort_unstable();
        others
    }
}

fn is_mood_frame(frame: &Frame<'_>) -> bool {
    match frame {
        Frame::Text(_) => frame.id_str() == TMOO,
        Frame::UserText(frame) => frame.description.eq_ignore_ascii_case(MOOD),
        _ => false,
    }
}

fn is_mood_atom(atom: &Atom<'_>) -> bool {
    matches!(atom.ident(), AtomIdent::Freeform { mean, name }
        if mean == MEAN && name.eq_ignore_ascii_case(MOOD))
}

/// A copy beside a file, to be changed; it goes again unless it takes the file's place.
struct Replacement {
    original: PathBuf,
    path: PathBuf,
}

impl Replacement {
    fn of(original: &Path) -> Result<Self> {
        let name = original.file_name().unwrap_or_default().to_string_lossy();
        let path = original.with_file_name(format!(".{name}.moodshader-{}", std::process::id()));
        let copy = Self { original: original.to_owned(), path };
        fs::copy(original, &copy.path).map_err(|error| Error::io("write", &copy.path, &error))?;
        Ok(copy)
    }

    fn set(&self, moods: &[String]) -> Result<()> {
        let mut tags = Tags::read(&self.path)?;
        tags.set(moods);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|error| Error::io("write", &self.path, &error))?;
        tags.save(&mut file).map_err(|error| {
            Error::failure(format!(
                "{}: its tag cannot be written ({error}); the file is as it was",
                self.original.display()
            ))
        })?;
        file.sync_all().map_err(|error| Error::io("write", &self.path, &error))
    }

    /// The sound and the other tags are those of the file.
    fn check(&self) -> Result<()> {
        let refused = |what: &str| {
            Error::failure(format!(
                "{}: {what} would change with the tag; the file is as it was",
                self.original.display()
            ))
        };
        if sound_hash(&self.original)? != sound_hash(&self.path)? {
            return Err(refused("the sound"));
        }
        if Tags::read(&self.original)?.others() != Tags::read(&self.path)?.others() {
            return Err(refused("another tag"));
        }
        Ok(())
    }

    fn take_place(self) -> Result<()> {
        fs::rename(&self.path, &self.original)
            .map_err(|error| Error::io("write", &self.original, &error))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Gone where it took the file's place.
        let _ = fs::remove_file(&self.path);
    }
}

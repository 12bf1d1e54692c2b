//! The tag MOOD in every format: what is written, and that nothing else changes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lofty::config::{ParseOptions, WriteOptions};
use lofty::file::AudioFile;
use lofty::id3::v2::{BinaryFrame, Frame, FrameId, Id3v2Tag};
use lofty::iff::wav::WavFile;
use lofty::mp4::Mp4File;
use lofty::mpeg::MpegFile;
use lofty::ogg::VorbisFile;
use lofty::picture::{MimeType, Picture, PictureType};
use lofty::tag::{Accessor, TagExt};
use moodshader::audio::{Waveform, sound_hash};
use moodshader::predict::tags::{Change, preview, write};
use tempfile::TempDir;

fn fixture(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name);
    fs::copy(from, &path).unwrap();
    path
}

fn moods(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn open<T: AudioFile>(path: &Path) -> T {
    T::read_from(&mut File::open(path).unwrap(), ParseOptions::new()).unwrap()
}

/// Two rounds: written where nothing stood, then in place of it.
fn written_twice(path: &Path, field: &str) {
    let sound = (sound_hash(path).unwrap(), Waveform::read(path).unwrap());
    let first = write(path, &moods(&["dark", "epic"])).unwrap();
    assert_eq!((first.field, first.before), (field, Vec::new()));
    assert_eq!(preview(path, &moods(&["dark"])).unwrap().before, moods(&["dark", "epic"]));
    let second = write(path, &moods(&["happy"])).unwrap();
    assert_eq!(second.before, moods(&["dark", "epic"]));
    let bytes = fs::read(path).unwrap();
    let third = write(path, &moods(&["happy"])).unwrap();
    assert!(!third.is_needed() && bytes == fs::read(path).unwrap());
    assert!(sound == (sound_hash(path).unwrap(), Waveform::read(path).unwrap()));
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "a copy is left behind: {left:?}");
}

fn picture() -> Picture {
    Picture::unchecked(vec![0x89, 0x50, 0x4e, 0x47, 1, 2, 3])
        .pic_type(PictureType::CoverFront)
        .mime_type(MimeType::Png)
        .build()
}

#[test]
fn vorbis_comments() {
    let folder = TempDir::new().unwrap();
    let path = fixture(&folder, "sweep.ogg");
    let mut file: VorbisFile = open(&path);
    let comments = file.vorbis_comments_mut();
    comments.set_title("Größe".into());
    comments.push("X-OWN".into(), "kept".into());
    comments.push("mood".into(), "old".into());
    file.save_to_path(&path, WriteOptions::new()).unwrap();
    let Change { before, .. } = preview(&path, &[]).unwrap();
    assert_eq!(before, moods(&["old"]));
    write(&path, &[]).unwrap();
    written_twice(&path, "MOOD");
    let file: VorbisFile = open(&path);
    let comments = file.vorbis_comments();
    assert_eq!(comments.get_all("MOOD").collect::<Vec<_>>(), ["happy"]);
    assert_eq!(comments.get("X-OWN"), Some("kept"));
    assert_eq!(comments.title().as_deref(), Some("Größe"));
}

#[test]
fn flac_keeps_pictures() {
    let folder = TempDir::new().unwrap();
    let path = fixture(&folder, "noise.flac");
    let mut comments = lofty::ogg::VorbisComments::default();
    comments.set_artist("A; B".into());
    lofty::ogg::OggPictureStorage::insert_picture(
        &mut comments,
        picture(),
        Some(lofty::picture::PictureInformation::default()),
    )
    .unwrap();
    comments.save_to_path(&path, WriteOptions::new()).unwrap();
    written_twice(&path, "MOOD");
    let file: lofty::flac::FlacFile = open(&path);
    assert_eq!(lofty::ogg::OggPictureStorage::pictures(&file)[0].0, picture());
    let comments = file.vorbis_comments().unwrap();
    assert_eq!((comments.artist().as_deref(), comments.get("MOOD")), (Some("A; B"), Some("happy")));
}

#[test]
fn mp4() {
    let folder = TempDir::new().unwrap();
    let path = fixture(&folder, "sweep.m4a");
    let mut ilst = lofty::mp4::Ilst::new();
    ilst.set_album("Album".into());
    ilst.insert_picture(picture());
    ilst.save_to_path(&path, WriteOptions::new()).unwrap();
    written_twice(&path, "----:com.apple.iTunes:MOOD");
    let file: Mp4File = open(&path);
    let ilst = file.ilst().unwrap();
    assert_eq!(ilst.album().as_deref(), Some("Album"));
    assert_eq!(ilst.pictures().unwrap().count(), 1);
}

#[test]
fn mp4_in_fragments() {
    let folder = TempDir::new().unwrap();
    let path = fixture(&folder, "tone-fragments.m4a");
    let (mut bytes, sound) = (fs::read(&path).unwrap(), Waveform::read(&path).unwrap());
    written_twice(&path, "----:com.apple.iTunes:MOOD");
    // The same sound, whose places every fragment counts from the start of the file.
    let find = |bytes: &[u8], kind: &[u8]| bytes.windows(4).position(|part| part == kind);
    let mut at = 0;
    while let Some(header) = find(&bytes[at..], b"tfhd") {
        at += header;
        let base = u64::from_be_bytes(bytes[at + 12..at + 20].try_into().unwrap());
        bytes[at + 12..at + 20].fill(0);
        at += find(&bytes[at..], b"trun").unwrap();
        let offset = u32::from_be_bytes(bytes[at + 12..at + 16].try_into().unwrap());
        bytes[at + 12..at + 16].copy_from_slice(&(offset + base as u32).to_be_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    assert!(sound == Waveform::read(&path).unwrap());
    let told = write(&path, &moods(&["dark"])).unwrap_err().to_string();
    assert!(told.contains("fragments.m4a") && told.contains("ffmpeg"), "{told}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Everything after the ID3v2 tag.
fn stream(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if !bytes.starts_with(b"ID3") {
        return bytes;
    }
    let length = bytes[6..10].iter().fold(0, |sum, &byte| sum << 7 | usize::from(byte));
    bytes[10 + length..].to_vec()
}

#[test]
fn id3v2_4_in_mp3_leaves_the_stream_and_what_follows_it() {
    let folder = TempDir::new().unwrap();
    let path = fixture(&folder, "sweep.mp3");
    // An ID3v1 tag at the end is no business of ours.
    let mut bytes = stream(&path);
    let mut old = vec![0; 128];
    old[..9].copy_from_slice(b"TAGLegacy");
    bytes.extend(old);
    fs::write(&path, bytes).unwrap();
    let mut tag = Id3v2Tag::new();
    tag.set_title("Title".into());
    tag.insert_picture(picture());
    let own = FrameId::new("PRIV").unwrap();
    tag.insert(Frame::Binary(BinaryFrame::new(own, b"com.example\0\x01\x02".to_vec())));
    tag.save_to_path(&path, WriteOptions::new()).unwrap();
    let before = stream(&path);
    written_twice(&path, "TMOO");
    assert!(before == stream(&path));
    let file: MpegFile = open(&path);
    let tag = file.id3v2().unwrap();
    assert_eq!(tag.get_text(&FrameId::new("TMOO").unwrap()), Some("happy"));
    assert_eq!(tag.title().as_deref(), Some("Title"));
    assert_eq!(tag.into_iter().count(), 4);
}

#[test]
fn id3v2_3_stays_what_it_is() {
    let folder = TempDir::new().unwrap();
    let path = fixture(&folder, "sweep.mp3");
    let audio = stream(&path);
    // Frames of a title in Latin-1, a year, and one that nobody knows.
    let frame = |id: &[u8; 4], content: &[u8]| {
        let mut frame = id.to_vec();
        frame.extend((content.len() as u32).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(content);
        frame
    };
    let frames =
        [frame(b"TIT2", b"\0Sch\xf6n"), frame(b"TYER", b"\x001999"), frame(b"XMIN", b"mine")]
            .concat();
    let mut bytes = b"ID3\x03\0\0\0\0\0".to_vec();
    bytes.push(frames.len() as u8);
    bytes.extend(frames);
    bytes.extend(&audio);
    fs::write(&path, bytes).unwrap();
    written_twice(&path, "TXXX:MOOD");
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[..5], *b"ID3\x03\0");
    let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(has(b"TXXX") && has(b"TYER") && has(b"XMIN") && has(b"mine") && !has(b"TMOO"));
    assert!(audio == stream(&path));
    let file: MpegFile = open(&path);
    let tag = file.id3v2().unwrap();
    assert_eq!((tag.get_user_text("MOOD"), tag.title().as_deref()), (Some("happy"), Some("Schön")));
}

#[test]
fn wav_and_aac() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tone.wav");
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    (0..16_000_i32).for_each(|n| wav.write_sample((n % 800) as i16).unwrap());
    wav.finalize().unwrap();
    let mut info = lofty::iff::wav::RiffInfoList::new();
    info.set_title("In RIFF".into());
    info.save_to_path(&path, WriteOptions::new()).unwrap();
    written_twice(&path, "TMOO");
    let file: WavFile = open(&path);
    assert_eq!(file.riff_info().unwrap().title().as_deref(), Some("In RIFF"));
    fs::remove_file(&path).unwrap();
    written_twice(&fixture(&folder, "sweep.aac"), "TMOO");
}

#[test]
fn a_file_that_cannot_be_kept_whole_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = fixture(&folder, "sweep.ogg");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..60]).unwrap();
    assert!(write(&path, &moods(&["dark"])).is_err());
    assert_eq!(fs::read(&path).unwrap(), bytes[..60]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let gone = write(&folder.path().join("gone.mp3"), &moods(&["dark"])).unwrap_err();
    assert!(gone.to_string().contains("gone.mp3"), "{gone}");
}

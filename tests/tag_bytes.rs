//! Files around the tag MOOD: every byte of them but the one field, in every container.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use moodshader::audio::find_audio;
use moodshader::predict::tags::{preview, sweep, write};
use tempfile::TempDir;

const SOUND: &[u8] = b"\xff\xfb\x90\x00the sound \xff\x00\xff\xe0 of the file";

fn moods() -> Vec<String> {
    ["dark", "epic"].map(str::to_owned).to_vec()
}

/// The file `before` with the moods is `after`, byte for byte.
#[track_caller]
fn becomes(before: &[u8], after: &[u8]) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, before).unwrap();
    let change = preview(&path, &moods()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(write(&path, &moods()).unwrap(), change);
    let written = fs::read(&path).unwrap();
    assert!(written == after, "{}\n{}", written.escape_ascii(), after.escape_ascii());
    assert_eq!(preview(&path, &[]).unwrap().before, moods());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Refused in the same words with and without writing; the file is as it was.
#[track_caller]
fn refused(before: &[u8], reason: &str) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, before).unwrap();
    let told = write(&path, &moods()).unwrap_err().to_string();
    assert_eq!(told, preview(&path, &moods()).unwrap_err().to_string());
    assert!(told.contains(reason) && told.contains("as it was"), "{told}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn sevens(number: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7f) as u8)
}

fn frame(version: u8, id: &[u8], content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let size = if version == 4 { sevens(length) } else { (length as u32).to_be_bytes() };
    match version {
        2 => [id, &size[1..], content].concat(),
        _ => [id, &size, &[0, 0], content].concat(),
    }
}

fn tag(version: u8, flags: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [b"ID3", &[version, 0, flags][..], &sevens(body.len()), &body].concat()
}

fn tmoo() -> Vec<u8> {
    frame(4, b"TMOO", b"\x03dark\0epic")
}

fn txxx(version: u8) -> Vec<u8> {
    let utf_16 = |text: &str| -> Vec<u8> {
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let content = [&[1][..], &utf_16("MOOD"), &[0, 0], &utf_16("dark; epic")].concat();
    frame(version, if version == 2 { b"TXX" } else { b"TXXX" }, &content)
}

#[test]
fn id3_keeps_frames_and_padding() {
    let title = frame(4, b"TIT2", b"\x03T");
    becomes(SOUND, &[&tag(4, 0, &[&tmoo()]), SOUND].concat());
    let padding = [0; 20];
    becomes(
        &[&tag(4, 0, &[&tmoo_of("old"), &title, &title, &padding]), SOUND, b"TAG", &[7; 125]]
            .concat(),
        &[&tag(4, 0, &[&title, &title, &tmoo(), &padding]), SOUND, b"TAG", &[7; 125]].concat(),
    );
    // Two frames of a kind, a date where a year belongs, and another tag.
    let old: Vec<u8> =
        [(b"TPE1", &b"\0one"[..]), (b"TPE1", b"\0two"), (b"TYER", b"\x002001-02-03")]
            .iter()
            .flat_map(|(id, content)| frame(3, &id[..], content))
            .collect();
    let mood = frame(3, b"TXXX", b"\0mood\0calm; sad");
    let second = tag(4, 0, &[&title]);
    becomes(
        &[&tag(3, 0, &[&old, &mood, &mood]), &tag(4, 0, &[&title, &tmoo_of("old")])[..], SOUND]
            .concat(),
        &[&tag(3, 0, &[&old, &txxx(3)]), &second[..], SOUND].concat(),
    );
    let old = frame(2, b"TT2", b"\0T");
    becomes(
        &[&tag(2, 0, &[&old, &padding]), SOUND].concat(),
        &[&tag(2, 0, &[&old, &txxx(2), &padding]), SOUND].concat(),
    );
}

fn tmoo_of(mood: &str) -> Vec<u8> {
    frame(4, b"TMOO", format!("\x03{mood}").as_bytes())
}

/// With a zero behind every 0xff, each of which needs one here.
fn unsynchronised(bytes: &[u8]) -> Vec<u8> {
    let zeros = |byte: u8| usize::from(byte == 0xff);
    bytes.iter().flat_map(|&byte| [byte, 0].into_iter().take(1 + zeros(byte))).collect()
}

#[test]
fn id3_with_all_that_its_standard_has() {
    // Unsynchronised: zeros behind 0xff do not count in 2.3, and the new frame has them too.
    let picture = frame(3, b"APIC", &[0xff; 3]);
    let (raw, new) = (unsynchronised(&picture), unsynchronised(&txxx(3)));
    becomes(
        &[&tag(3, 0x80, &[&raw, &[0; 9]]), SOUND].concat(),
        &[&tag(3, 0x80, &[&raw, &new, &[0; 9]]), SOUND].concat(),
    );
    let picture = [b"APIC\0\0\0\x06\0\x02", &[0xff, 0, 0xff, 0, 0xff, 0][..]].concat();
    becomes(
        &[&tag(4, 0x80, &[&picture]), SOUND].concat(),
        &[&tag(4, 0x80, &[&picture, &tmoo()]), SOUND].concat(),
    );
    // Extended headers, and a footer with the length once more.
    let title = frame(3, b"TIT2", b"\0T");
    let extended = [0, 0, 0, 6, 0, 0, 0, 0, 0, 0];
    becomes(
        &[&tag(3, 0x40, &[&extended, &title]), SOUND].concat(),
        &[&tag(3, 0x40, &[&extended, &title, &txxx(3)]), SOUND].concat(),
    );
    let footed = |frames: &[&[u8]]| {
        let tag = tag(4, 0x50, frames);
        [&tag[..], b"3DI", &tag[3..10], SOUND].concat()
    };
    let (extended, title) = ([0, 0, 0, 6, 1, 0], frame(4, b"TIT2", b"\x03T"));
    becomes(&footed(&[&extended[..], &title]), &footed(&[&extended[..], &title, &tmoo()]));
    refused(&footed(&[&[0, 0, 0, 12, 1, 0x20, 5, 0, 0, 0, 0, 0][..], &title]), "checksum");
    // Lengths of eight bits a byte, as some write them in 2.4.
    let long = [b"COMM", &300_u32.to_be_bytes()[..], &[0, 0], &[b'x'; 300]].concat();
    becomes(
        &[&tag(4, 0, &[&long, &[0; 5]]), SOUND].concat(),
        &[&tag(4, 0, &[&long, &tmoo(), &[0; 5]]), SOUND].concat(),
    );
    refused(&[&tag(4, 0, &[&title, b"\0junk"]), SOUND].concat(), "frames");
    refused(&[&tag(4, 0x08, &[&title]), SOUND].concat(), "flags");
    refused(&tag(4, 0, &[&title])[..15], "longer");
    refused(&[&tag(4, 0, &[b"TMOO\0\0\0\x05\0\x08zzzzz"]), SOUND].concat(), "compressed");
}

fn comments(vendor: &str, items: &[&[u8]]) -> Vec<u8> {
    let counted = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let items_counted: Vec<u8> = items.iter().flat_map(|item| counted(item)).collect();
    let count = (items.len() as u32).to_le_bytes();
    [counted(vendor.as_bytes()), count.to_vec(), items_counted].concat()
}

fn flac(blocks: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = b"fLaC".to_vec();
    for (index, (kind, content)) in blocks.iter().enumerate() {
        let last = if index + 1 == blocks.len() { 0x80 } else { 0 };
        out.push(kind | last);
        out.extend(&(content.len() as u32).to_be_bytes()[1..]);
        out.extend(*content);
    }
    out.extend(b"\xff\xf8 and the rest of the sound");
    out
}

#[test]
fn flac_keeps_comments_and_blocks() {
    let information = [1; 34];
    let old: [&[u8]; 8] = [
        b"TRACKNUMBER=03",
        b"ARTIST=First",
        b"mood=old",
        b"ARTIST=Second",
        b"no sign",
        b"COMMENT=",
        b"COVERART=aWM=",
        b"LATIN=\xe9",
    ];
    let kept: Vec<&[u8]> = old.iter().copied().filter(|item| *item != b"mood=old").collect();
    let new = [&kept[..], &[b"MOOD=dark", b"MOOD=epic"]].concat();
    let around = |comments: &[u8]| {
        let blocks: [(u8, &[u8]); 5] =
            [(0, &information), (6, b"\0\0broken"), (4, comments), (1, &[0; 9]), (2, b"own")];
        [&tag(3, 0, &[]), &flac(&blocks)[..], b"TAG", &[0; 125]].concat()
    };
    becomes(&around(&comments("vendor", &old)), &around(&comments("vendor", &new)));
    let own = comments("", &[b"MOOD=dark", b"MOOD=epic"]);
    becomes(&flac(&[(0, &information)]), &flac(&[(0, &information), (4, &own)]));
    becomes(
        &flac(&[(0, &information), (1, &[0; 3])]),
        &flac(&[(0, &information), (4, &own), (1, &[0; 3])]),
    );
    let mut broken = comments("vendor", &old);
    broken.truncate(broken.len() - 3);
    refused(&flac(&[(0, &information), (4, &broken)]), "comment");
    refused(&flac(&[(0, &information), (1, &[0; 900])])[..200], "ends before");
}

/// A page of an Ogg file, the lengths of whose segments are `lacing`.
fn page(flags: u8, granule: i64, serial: u32, number: u32, lacing: &[u8], body: &[u8]) -> Vec<u8> {
    let mut page =
        [b"OggS\0", &[flags][..], &granule.to_le_bytes(), &serial.to_le_bytes()].concat();
    page.extend(number.to_le_bytes());
    page.extend([0, 0, 0, 0, lacing.len() as u8]);
    page.extend([lacing, body].concat());
    let mut sum = 0_u32;
    for byte in &page {
        sum ^= u32::from(*byte) << 24;
        (0..8).for_each(|_| sum = sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 });
    }
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

fn laced(length: usize) -> Vec<u8> {
    [vec![255; length / 255], vec![(length % 255) as u8]].concat()
}

/// Pages with comments and what follows them: (continued, granule, lacing, body), each numbered.
fn stream(pages: &[(u8, i64, &[u8], &[u8])]) -> Vec<u8> {
    let first = page(2, 0, 5, 0, &[30], &[b"\x01vorbis", &[1; 23][..]].concat());
    let pages = (1..).zip(pages).map(|(number, (flags, granule, lacing, body))| {
        page(*flags, *granule, 5, number, lacing, body)
    });
    [vec![first], pages.collect()].concat().concat()
}

#[test]
fn ogg_is_laid_over_pages_anew() {
    let packet = |items: &[&[u8]]| [b"\x03vorbis", &comments("v", items)[..], b"\x01"].concat();
    let (old, new) = (packet(&[b"TITLE"]), packet(&[b"TITLE", b"MOOD=dark", b"MOOD=epic"]));
    // The setup and the first sound share the page; what follows is damaged, and another chain.
    let more = [&[9; 300][..], &[8; 40]].concat();
    let tail = [page(2, 0, 5, 0, &[3], b"abc"), b"OggS no page".to_vec()].concat();
    let around = |comments: &[u8]| {
        let lacing = [laced(comments.len()), laced(300), vec![40]].concat();
        let body = [comments, &more].concat();
        [stream(&[(0, 77, &lacing, &body), (4, 99, &[4], b"last")]), tail.clone()].concat()
    };
    becomes(&around(&old), &around(&new));

    // A cover fills its page to the last segment: the comments go on on another, and all numbers
    // of the stream rise, but none of another stream's, nor of the next chain.
    let cover = [b"COVER=", &[b'c'; 255 * 254 - 100][..]].concat();
    let missing = 255 * 255 - 1 - packet(&[&cover, b""]).len();
    let filler = vec![b'f'; missing];
    let (old, new) =
        (packet(&[&cover, &filler]), packet(&[&cover, &filler, b"MOOD=dark", b"MOOD=epic"]));
    let setup = (laced(300), [9; 300]);
    let other = page(0, 12, 6, 40, &[5], b"other");
    let ours = |number: u32| page(4, 99, 5, number, &[4], b"last");
    let pages = stream(&[(0, 0, &laced(old.len()), &old), (0, 0, &setup.0, &setup.1)]);
    let before = [&pages, &other[..], b"between", &ours(3), &tail].concat();
    let (one, two) = new.split_at(255 * 255);
    let pages = stream(&[
        (0, -1, &[255; 255], one),
        (1, 0, &laced(two.len()), two),
        (0, 0, &setup.0, &setup.1),
    ]);
    becomes(&before, &[&pages, &other[..], b"between", &ours(4), &tail].concat());

    // Nothing is told apart where the comments do not end.
    refused(&before[..300], "comments");
    refused(&page(2, 0, 5, 0, &[4], b"what"), "Vorbis");
}

/// What stands in front of comments of some length.
type Lead = fn(usize) -> Vec<u8>;

#[test]
fn ogg_of_other_codecs() {
    let file = |first: &[u8], lead: Lead, items: &[&[u8]], tail: &[u8]| {
        let comments = [&comments("v", items)[..], tail].concat();
        let packet = [lead(comments.len()), comments].concat();
        [
            page(2, 0, 1, 0, &laced(first.len()), first),
            page(0, 0, 1, 1, &laced(packet.len()), &packet),
            page(4, 9, 1, 2, &[5], b"sound"),
        ]
        .concat()
    };
    let block = |length: usize| [&[0x84][..], &(length as u32).to_be_bytes()[1..]].concat();
    let codecs: [(&[u8], Lead, &[u8]); 3] = [
        (b"OpusHead\x01\x02", |_| b"OpusTags".to_vec(), b"\x01kept"),
        (b"Speex   1.2", |_| Vec::new(), b""),
        (b"\x7fFLAC\x01\0\0\x01fLaC", block, b""),
    ];
    for (first, lead, tail) in codecs {
        becomes(
            &file(first, lead, &[b"A=1", b"Mood=x", b"A=2"], tail),
            &file(first, lead, &[b"A=1", b"A=2", b"MOOD=dark", b"MOOD=epic"], tail),
        );
    }
}

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&(8 + content.len() as u32).to_be_bytes()[..], kind, &content].concat()
}

/// An M4A file with `tags` in its index and places of sound in tables of either kind, fragments too.
fn m4a(tags: &[u8], index_in_front: bool) -> Vec<u8> {
    let start = boxed(b"ftyp", &[b"M4A "]);
    let sound = boxed(b"mdat", &[b"some sound"]);
    let index = |place: u32| {
        let tables = [
            boxed(
                b"stco",
                &[&[0, 0, 0, 0, 0, 0, 0, 2], &place.to_be_bytes(), &(place + 5).to_be_bytes()],
            ),
            boxed(b"co64", &[&[0, 0, 0, 0, 0, 0, 0, 1], &u64::from(place + 3).to_be_bytes()]),
        ];
        let table = boxed(b"stbl", &[&boxed(b"stsd", &[b"of a kind"]), &tables.concat()]);
        let media = boxed(b"mdia", &[&boxed(b"minf", &[&table])]);
        boxed(b"moov", &[&boxed(b"mvhd", &[&[3; 12]]), &boxed(b"trak", &[&media]), tags])
    };
    let length = index(0).len() as u32;
    let front = start.len() as u32 + if index_in_front { length } else { 0 };
    let index = index(front + 8);
    let fragment = (start.len() + index.len() + sound.len()) as u64;
    let header = boxed(b"tfhd", &[&[0, 0, 0, 1, 0, 0, 0, 1], &fragment.to_be_bytes()]);
    let entry = [&[0; 8][..], &fragment.to_be_bytes(), &[1; 3]].concat();
    let head = [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    let fragments = [
        boxed(b"moof", &[&boxed(b"traf", &[&header])]),
        boxed(b"mfra", &[&boxed(b"tfra", &[&head, &entry])]),
    ]
    .concat();
    match index_in_front {
        true => [start, index, sound, fragments].concat(),
        false => [start, sound, index, fragments].concat(),
    }
}

fn value(text: &[u8]) -> Vec<u8> {
    boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], text])
}

/// An item with a name of its own.
fn free(name: &[u8], texts: &[&[u8]]) -> Vec<u8> {
    let mean = boxed(b"mean", &[&[0; 4], b"com.apple.iTunes"]);
    let values: Vec<u8> = texts.iter().flat_map(|text| value(text)).collect();
    boxed(b"----", &[&mean, &boxed(b"name", &[&[0; 4], name]), &values])
}

#[test]
fn m4a_moves_places_and_keeps_items() {
    let own = free(b"MOOD", &[b"dark", b"epic"]);
    let items = [
        boxed(b"gnre", &[&boxed(b"data", &[&[0; 8], &[0, 18]])]),
        boxed(b"\xa9gen", &[&value(b"House")]),
        free(b"OTHER", &[b"kept"]),
    ]
    .concat();
    let old = free(b"mood", &[b"old; older"]);
    let handler = boxed(b"hdlr", &[b"\0\0\0\0\0\0\0\0mdirappl", &[0; 9]]);
    let meta = |items: &[&[u8]], behind: &[u8]| {
        boxed(b"meta", &[&[0; 4], &handler, &boxed(b"ilst", items), behind])
    };
    for front in [true, false] {
        becomes(&m4a(b"", front), &m4a(&boxed(b"udta", &[&meta(&[&own], b"")]), front));
        let padding = boxed(b"free", &[&[0; 30]]);
        let other = boxed(b"udta", &[&boxed(b"note", &[b"text"]), &[0; 4]]);
        let tags = |items: &[&[u8]]| {
            [other.clone(), boxed(b"udta", &[&meta(items, &padding), &[0; 4]])].concat()
        };
        becomes(&m4a(&tags(&[&old, &items]), front), &m4a(&tags(&[&items, &own]), front));
    }
    let quicktime = boxed(b"hdlr", &[b"\0\0\0\0\0\0\0\0mdtaappl", &[0; 9]]);
    refused(&m4a(&boxed(b"udta", &[&boxed(b"meta", &[&[0; 4], &quicktime])]), true), "iTunes");
    refused(&m4a(&boxed(b"udta", &[&[0, 0, 1, 0], b"meta"]), true), "box");
    let iloc = boxed(b"meta", &[&[0; 4], &boxed(b"iloc", &[&[0; 8]])]);
    refused(&m4a(&iloc, true), "places");
}

fn chunk(big: bool, id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = content.len() as u32;
    let size = if big { length.to_be_bytes() } else { length.to_le_bytes() };
    [id, &size[..], content, &vec![0; content.len() % 2]].concat()
}

#[test]
fn wav_and_aiff_keep_chunks() {
    let title = frame(3, b"TIT2", b"\0T");
    for big in [false, true] {
        let file = |chunks: &[Vec<u8>]| {
            let body = [if big { b"AIFF" } else { b"WAVE" }.to_vec(), chunks.concat()].concat();
            [chunk(big, if big { b"FORM" } else { b"RIFF" }, &body), b"behind".to_vec()].concat()
        };
        let (sound, own) = (chunk(big, b"data", b"odd"), chunk(big, b"bext", &[5; 40]));
        let new = |tag: &[u8]| chunk(big, b"ID3 ", tag);
        becomes(
            &file(&[own.clone(), sound.clone()]),
            &file(&[own.clone(), sound.clone(), new(&tag(4, 0, &[&tmoo()]))]),
        );
        becomes(
            &file(&[new(&tag(3, 0, &[&title, &[0; 3]])), sound.clone(), own.clone()]),
            &file(&[new(&tag(3, 0, &[&title, &txxx(3), &[0; 3]])), sound.clone(), own.clone()]),
        );
        // The last padding is missing.
        let whole = file(std::slice::from_ref(&sound));
        let after = file(&[sound, new(&tag(4, 0, &[&tmoo()]))]);
        becomes(&whole[..whole.len() - 7], &after[..after.len() - 6]);
        refused(&whole[..whole.len() - 9], "header says");
    }
    let wide = |size: u64, chunks: &[u8]| {
        let lengths = [&size.to_le_bytes()[..], &4_u64.to_le_bytes(), &[0; 12]].concat();
        let sound = [b"data", &[0xff; 4][..], b"four"].concat();
        let head = [b"RF64", &[0xff; 4][..], b"WAVE"].concat();
        [head, chunk(false, b"ds64", &lengths), sound, chunks.to_vec()].concat()
    };
    let new = chunk(false, b"ID3 ", &tag(4, 0, &[&tmoo()]));
    becomes(&wide(52, b""), &wide(52 + new.len() as u64, &new));
}

#[test]
fn a_file_keeps_its_rights_and_attributes() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Of the 255 bytes that a name may have.
    let path = folder.path().join(format!("{}é.mp3", "x".repeat(247)));
    fs::write(&path, SOUND).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        xattr::set(&path, "user.rating", b"5").unwrap();
        let (link, second) = (folder.path().join("link"), folder.path().join("second"));
        symlink(&path, &link).unwrap();
        fs::hard_link(&path, &second).unwrap();
        write(&link, &moods()).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read(&second).unwrap(), SOUND);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(xattr::get(&path, "user.rating").unwrap().unwrap(), b"5");
    }
    assert!(!write(&path, &moods()).unwrap().is_needed() || cfg!(not(unix)));
}

#[test]
fn what_a_kill_leaves_is_passed_over_and_swept() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, SOUND).unwrap();
        path
    };
    let song = file("song.mp3");
    let (old, young) = (file(".song.mp3.moodshader-12"), file(".song.mp3.moodshader-13"));
    let others = [file(".song.mp3.moodshader-x"), file("song.moodshader-1"), file("a.moodshader-")];
    let found = find_audio(&[folder.path().to_owned()]).unwrap();
    assert_eq!(found.files.len(), 1 + others.len());
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    for path in others.iter().chain([&old]) {
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    sweep(&[song, folder.path().join("gone.mp3")]);
    assert!(!old.exists() && young.exists() && others.iter().all(|path| path.exists()));
}

/// Sound that nothing reads as something else, in a file with each kind of tag.
fn originals() -> Vec<Vec<u8>> {
    let title = frame(4, b"TIT2", b"\x03Title");
    let fixture = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio");
        fs::read(folder.join(name)).unwrap()
    };
    let texts = comments("vendor", &[b"TITLE=T", b"ARTIST=A"]);
    let packet = [b"\x03vorbis", &texts[..], b"\x01"].concat();
    let item = boxed(b"\xa9nam", &[&value(b"Title")]);
    let handler = boxed(b"hdlr", &[b"\0\0\0\0\0\0\0\0mdirappl", &[0; 9]]);
    let meta = boxed(b"meta", &[&[0; 4], &handler, &boxed(b"ilst", &[&item])]);
    let wav = [
        &b"WAVE"[..],
        &chunk(false, b"data", b"sound"),
        &chunk(false, b"ID3 ", &tag(4, 0, &[&title])),
    ];
    vec![
        [&tag(4, 0, &[&title, &[0; 9]]), SOUND].concat(),
        [&tag(3, 0xc0, &[&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0], &frame(3, b"TIT2", b"\0T")]), SOUND]
            .concat(),
        flac(&[(0, &[1; 34]), (4, &texts), (1, &[0; 9])]),
        stream(&[(0, 0, &laced(packet.len()), &packet), (4, 9, &[5], b"sound")]),
        m4a(&boxed(b"udta", &[&meta]), true),
        chunk(false, b"RIFF", &wav.concat()),
        fixture("sweep.ogg"),
        fixture("sweep.m4a"),
        fixture("noise.flac"),
        fixture("sweep.mp3"),
    ]
}

/// Where a changed file is written, all but a few numbers and the field is there as it was.
#[test]
fn damaged_files_lose_nothing() {
    const TRIES: usize = 150;
    /// Bytes that change with the length of the field: sizes, places, a page's checksum.
    const NUMBERS: usize = 64;
    let folder = TempDir::new().unwrap();
    let path: PathBuf = folder.path().join("file");
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut compared = 0;
    let texts: Vec<u8> = [b"MOOD=dark", b"MOOD=epic"]
        .iter()
        .flat_map(|text| [&[9, 0, 0, 0][..], *text].concat())
        .collect();
    let fields =
        [tmoo(), txxx(3), unsynchronised(&txxx(3)), texts, free(b"MOOD", &[b"dark", b"epic"])];
    for original in originals() {
        // Where the structure lies in small files, and the first part of large ones.
        let reach = original.len().min(600);
        for _ in 0..TRIES {
            let mut before = original.clone();
            for _ in 0..=draw(3) {
                let at = draw(reach);
                before[at] = match draw(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => before[at] ^ 1 << draw(8),
                    _ => draw(256) as u8,
                };
            }
            if draw(8) == 0 {
                before.truncate(draw(before.len()));
            }
            fs::write(&path, &before).unwrap();
            let told = preview(&path, &moods());
            match write(&path, &moods()) {
                Ok(change) => {
                    assert_eq!(told.unwrap(), change);
                    let after = fs::read(&path).unwrap();
                    assert_eq!(preview(&path, &moods()).unwrap().before, moods());
                    let field = fields.iter().find_map(|field| {
                        let at = after.windows(field.len()).position(|part| part == field)?;
                        Some(at..at + field.len())
                    });
                    let field = field.expect("the field");
                    let rest = [&after[..field.start], &after[field.end..]].concat();
                    // It differs where boxes, blocks, pages or tags are made for the field.
                    if rest.len() == before.len() {
                        let changed = before.iter().zip(&rest).filter(|(one, two)| one != two);
                        assert!(changed.count() <= NUMBERS, "{}", before.escape_ascii());
                        compared += 1;
                    }
                }
                Err(error) => {
                    assert_eq!(told.unwrap_err().to_string(), error.to_string());
                    assert_eq!(fs::read(&path).unwrap(), before);
                }
            }
        }
    }
    assert!(compared > 3 * TRIES, "only {compared} could be compared");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

//! Files around the tag MOOD: every byte of them but the one field, in every container.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use moodshader::audio::find_audio;
use moodshader::predict::tags::{preview, sweep, write};
use tempfile::TempDir;

use tagged::*;

#[path = "support/tagged.rs"]
mod tagged;

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

/// Latin letters where UTF-8 is named would be written back as others.
#[test]
fn moods_that_are_no_text_are_not_written_anew() {
    let title = frame(4, b"TIT2", b"\x03T");
    for mood in [
        frame(4, b"TMOO", b"\x03\xe9nergique"),
        frame(4, b"TXXX", b"\x03MOOD\0\xe9nergique"),
        frame(3, b"TXXX", b"\x01\xff\xfeM\0O\0O\0D\0\0\0\xff\xfe\0\xd8"),
    ] {
        let version = if mood.contains(&3) { 4 } else { 3 };
        refused(&[&tag(version, 0, &[&mood]), SOUND].concat(), "no text in the coding");
    }
    // What is no mood may hold what it likes.
    let other = frame(4, b"TXXX", b"\x03OTHER\0\xe9");
    becomes(
        &[&tag(4, 0, &[&other, &title]), SOUND].concat(),
        &[&tag(4, 0, &[&other, &title, &tmoo()]), SOUND].concat(),
    );
}

fn tmoo_of(mood: &str) -> Vec<u8> {
    frame(4, b"TMOO", format!("\x03{mood}").as_bytes())
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

    // A page that players skip, since its checksum is wrong, is not made one that they believe.
    let mut damaged = around(&packet(&[b"TITLE"]));
    let at = damaged.windows(5).position(|bytes| bytes == b"TITLE").expect("it is there");
    damaged[at] = b't';
    refused(&damaged, "checksum");

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
    let deep =
        (1..100_000_u32).rev().flat_map(|depth| [(8 * depth).to_be_bytes(), *b"trak"].concat());
    let deep: Vec<u8> = deep.collect();
    refused(&m4a(&deep, true), "deep");
    let iloc = boxed(b"meta", &[&[0; 4], &boxed(b"iloc", &[&[0; 8]])]);
    refused(&m4a(&iloc, true), "places");
}

/// Whole files too, in which what lies behind the index could move without its place.
#[test]
fn m4a_with_places_in_doubt_is_left_alone() {
    let tags = boxed(b"udta", &[&free(b"OTHER", &[b"kept"])]);
    let (front, back) = (m4a(&tags, true), m4a(&tags, false));
    let written = |file: &[u8], behind: &[u8]| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [file, behind].concat()).unwrap();
        write(&path, &moods()).unwrap();
        fs::read(&path).unwrap()
    };
    // Padding up to the end; and a box that some end at once, so that fragments follow.
    let zeros = [0; 99];
    assert_eq!(written(&front, &zeros), [written(&front, b""), zeros.to_vec()].concat());
    refused(
        &[&front, b"\0\0\0\0free".as_slice(), &boxed(b"moof", &[])].concat(),
        "end of the file",
    );
    // Fragments behind the index that count from the start of the file.
    let header = boxed(b"tfhd", &[&[0, 0, 0, 1, 0, 0, 0, 1], &[0; 8]]);
    let run = boxed(b"trun", &[&[0, 0, 0, 1, 0, 0, 0, 1], &(front.len() as u32).to_be_bytes()]);
    let fragment = boxed(b"moof", &[&boxed(b"traf", &[&header, &run])]);
    refused(&[front.clone(), fragment].concat(), "other side");
    // Places that count from the end of a tag in front, and a list of fragments in front.
    refused(&[tag(4, 0, &[]), front.clone()].concat(), "lead into");
    let (start, rest) = front.split_at(12);
    refused(&[start, &boxed(b"sidx", &[]), rest].concat(), "not known");
    // Behind an index at the end nothing moves.
    let end = back.windows(4).position(|kind| kind == b"moof").unwrap() - 4;
    written(&[&tag(4, 0, &[]), &back[..end]].concat(), b"");
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
    // The hidden one is passed over as what another program has not whole yet.
    assert_eq!(found.files, [others[2].clone(), others[1].clone(), song.clone()]);
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    for path in others.iter().chain([&old]) {
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    sweep(&[song, folder.path().join("gone.mp3")]);
    assert!(!old.exists() && young.exists() && others.iter().all(|path| path.exists()));
}

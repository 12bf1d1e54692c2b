//! Damaged files: where the tag MOOD can be written, nothing else of them changes.

use std::fs;
use std::path::{Path, PathBuf};

use moodshader::predict::tags::{preview, write};
use tempfile::TempDir;

use tagged::*;

#[path = "support/tagged.rs"]
mod tagged;

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

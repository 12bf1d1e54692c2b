//! Names of files as text, and names that fit into a folder.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf, is_separator};

/// Bytes that a name may have on the file systems of desktop systems.
pub const LONGEST_NAME: usize = 255;

/// A path as text that leads back to it, for JSON, CSV and the like. Where it is UTF-8, as it should
/// be, it stands as it is. Any other byte is written `\xNN`, and so is a backslash that would else
/// read like that. Two paths never have the same text.
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        let valid = chunk.valid();
        for (at, letter) in valid.char_indices() {
            match letter {
                '\\' if !is_separator('\\') && escaped(&valid[at..]).is_some() => {
                    text.push_str(r"\x5C");
                }
                _ => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!(r"\x{byte:02X}"));
        }
    }
    text
}

/// The file of an address of this host: of `file:///a%20b.mp3` what stands behind `file://`, where a host may
/// be named first. None where the text is no such address.
pub fn address_path(text: &str) -> Option<PathBuf> {
    const FILE: &str = "file://";
    let (_, address) = text
        .split_at_checked(FILE.len())
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(FILE))?;
    let path = &address[address.find('/').unwrap_or(0)..];
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        bytes.push(escaped.map_or(first, |(high, low)| 16 * high + low));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    // Of Windows: file:///C:/music.
    Some(match &*bytes {
        [b'/', _, b':', ..] if cfg!(windows) => path_of(&bytes[1..]),
        _ => path_of(&bytes),
    })
}

/// [`path_text`] on one line: line breaks and other control characters are written `\xNN` as well.
pub fn path_line(path: &Path) -> String {
    without_control(&path_text(path), |_| false).into_owned()
}

/// A text for a terminal, which obeys control characters, as names may have them. Lines stay lines.
pub fn terminal_text(text: &str) -> Cow<'_, str> {
    without_control(text, |letter| letter == '\n' || letter == '\t')
}

fn without_control(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let goes = |letter: char| letter.is_control() && !stays(letter);
    if !text.contains(goes) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for letter in text.chars() {
        match goes(letter) {
            false => shown.push(letter),
            true => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    shown.push_str(&format!(r"\x{byte:02X}"));
                }
            }
        }
    }
    Cow::Owned(shown)
}

/// The byte that `text` begins with in the form `\xNN`.
fn escaped(text: &str) -> Option<u8> {
    let digits = text.strip_prefix(r"\x")?.get(..2)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// The path that [`path_text`] gave `text` for. Only Unix has names that are not text.
pub fn path_from_text(text: &str) -> Cow<'_, Path> {
    #[cfg(unix)]
    if text.contains(r"\x") {
        use std::os::unix::ffi::OsStringExt;

        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let (end, byte) = (letter.len_utf8(), escaped(rest));
            match byte {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(&rest.as_bytes()[..end]),
            }
            rest = &rest[byte.map_or(end, |_| r"\xNN".len())..];
        }
        return PathBuf::from(OsString::from_vec(bytes)).into();
    }
    Path::new(text).into()
}

/// A sentence about files whose names [`path_text`] cannot show as they are; none where there is no
/// such file.
pub fn names_note<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Option<String> {
    let count = files.into_iter().filter(|file| file.to_str().is_none()).count();
    let names = if count == 1 { "name is" } else { "names are" };
    (count > 0).then(|| {
        format!(
            r"{count} file {names} not UTF-8: bytes that are not are written as \xNN in results"
        )
    })
}

/// The name `STEM` + `ending`. One of more than `room` bytes is cut, and a hash of the whole stem makes
/// it another than that of any other stem.
pub fn fitting_name(stem: &OsStr, ending: &str, room: usize) -> OsString {
    let mut name = stem.to_owned();
    if stem.len() + ending.len() > room {
        let hash = blake3::hash(stem.as_encoded_bytes()).to_hex();
        let ending = format!("-{}{ending}", &hash[..16]);
        let text = path_text(Path::new(stem));
        let mut cut = text.len().min(room.saturating_sub(ending.len()));
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        return format!("{}{ending}", &text[..cut]).into();
    }
    name.push(ending);
    name
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::HashSet;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn path(bytes: &[u8]) -> &Path {
        Path::new(OsStr::from_bytes(bytes))
    }

    #[test]
    fn text_leads_back_to_the_path_and_to_no_other() {
        let cases: [(&[u8], &str); 9] = [
            ("größe/a b.wav".as_bytes(), "größe/a b.wav"),
            (b"caf\xe9.mp3", r"caf\xE9.mp3"),
            (b"caf\xc9.mp3", r"caf\xC9.mp3"),
            (br"caf\xE9.mp3", r"caf\x5CxE9.mp3"),
            (br"caf\xe9.mp3", r"caf\x5Cxe9.mp3"),
            (br"a\b\xy.mp3", r"a\b\xy.mp3"),
            (b"\\\xe9\\x\xe9", r"\\xE9\x\xE9"),
            (b"\\x4\xe9", r"\x4\xE9"),
            (b"\xff\xfe", r"\xFF\xFE"),
        ];
        let texts: HashSet<String> =
            cases.iter().map(|(bytes, _)| path_text(path(bytes))).collect();
        assert_eq!(texts.len(), cases.len());
        for (bytes, text) in cases {
            assert_eq!(path_text(path(bytes)), text);
            assert_eq!(&*path_from_text(text), path(bytes));
        }
    }

    #[test]
    fn names_fit_and_stay_apart() {
        let plain = OsStr::from_bytes(b"caf\xe9");
        assert_eq!(fitting_name(plain, ".npy", 8), OsStr::from_bytes(b"caf\xe9.npy"));
        let long = |last: &str| "ü".repeat(200) + last;
        let name = |stem: &str| fitting_name(OsStr::new(stem), ".npy", 255);
        let (one, two) = (name(&long("1")), name(&long("2")));
        assert!(one != two && one.len() <= 255 && one.len() > 250, "{one:?}");
        assert!(one.to_str().unwrap().ends_with(".npy"));
    }
}

/// The path whose encoded bytes these are.
#[cfg(unix)]
pub fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(bytes).into()
}

/// The path whose encoded bytes these are; bytes that are not Unicode are those of no file.
#[cfg(not(unix))]
pub fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

//! Files whose names are the same to the eye. Unicode writes an accented letter as one character or as
//! two: macOS names files one way, most others the other, and a list made there names no file here.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::Error;

/// Looks for files by the letters of their names. What a folder holds is read once.
#[derive(Default)]
pub struct ByLetters {
    /// Names in a folder, by their letters.
    folders: HashMap<PathBuf, HashMap<String, Vec<OsString>>>,
}

impl ByLetters {
    /// The one path below `root` whose names have the letters of `path`'s; none where there are several.
    pub fn find(&mut self, root: &Path, path: &Path) -> Option<PathBuf> {
        let mut candidates = vec![root.to_owned()];
        for part in path.components() {
            let mut inside = Vec::new();
            for folder in candidates {
                match part {
                    // ASCII has one form only.
                    Component::Normal(name) if !name.is_ascii() => {
                        let letters: String = name.to_str()?.nfc().collect();
                        let names = self.names(&folder).get(&letters);
                        inside.extend(names.into_iter().flatten().map(|name| folder.join(name)));
                    }
                    _ => {
                        inside.extend([folder.join(part)].into_iter().filter(|path| path.exists()))
                    }
                }
            }
            candidates = inside;
        }
        match &mut *candidates {
            [one] => Some(std::mem::take(one)),
            _ => None,
        }
    }

    fn names(&mut self, folder: &Path) -> &HashMap<String, Vec<OsString>> {
        self.folders.entry(folder.to_owned()).or_insert_with(|| {
            let mut names: HashMap<_, Vec<_>> = HashMap::new();
            for name in names_in(folder) {
                if let Some(text) = name.to_str() {
                    names.entry(text.nfc().collect()).or_default().push(name);
                }
            }
            names
        })
    }
}

/// Nothing where the folder cannot be listed.
fn names_in(folder: &Path) -> impl Iterator<Item = OsString> {
    let here = folder.as_os_str().is_empty();
    fs::read_dir(if here { Path::new(".") } else { folder })
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
}

/// Names that a person could take for the one of `path` that is not there, by letters without accents
/// and case.
fn alike(path: &Path) -> Option<Vec<String>> {
    let plain = |name: &str| -> String {
        name.nfkd()
            .filter(|letter| !is_combining_mark(*letter))
            .flat_map(char::to_lowercase)
            .collect()
    };
    // The first part of the path that is missing, in the last folder that is there.
    let named = path.ancestors().filter(|path| !path.as_os_str().is_empty());
    let missing = named.take_while(|path| !path.exists()).last()?;
    let wanted = plain(missing.file_name()?.to_str()?);
    let mut names: Vec<String> = names_in(missing.parent()?)
        .filter_map(|name| name.into_string().ok())
        .filter(|name| plain(name) == wanted)
        .collect();
    names.sort();
    Some(names)
}

/// Tells behind an error about the file at `path`, if that is not there, which of nearly that name are.
pub fn name_alike(error: Error, path: &Path) -> Error {
    match alike(path).as_deref() {
        None | Some([]) => error,
        Some([name]) => error.followed_by(&format!(
            "{name} is there, whose name differs in accents or case only: write it as it is there"
        )),
        Some(names) => error.followed_by(&format!(
            "{} are there, whose names differ from it in accents or case only: rename all but one, or \
             write it as it is there",
            names.join(", ")
        )),
    }
}

/// macOS takes the two forms for one name.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn folders_in_both_forms_are_both_looked_into() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = ("caf\u{e9}", "cafe\u{301}");
        for folder in [one, two] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let touch = |path: &str| fs::write(root.path().join(path), "").unwrap();
        let find = |path: &str| ByLetters::default().find(root.path(), Path::new(path));
        touch(&format!("{two}/a.wav"));
        assert_eq!(find(&format!("{one}/a.wav")), Some(root.path().join(two).join("a.wav")));
        touch(&format!("{one}/a.wav"));
        assert_eq!(find(&format!("{one}/a.wav")), None);
        touch(&format!("{two}/{one}.wav"));
        let found = root.path().join(two).join(one).with_extension("wav");
        assert_eq!(find(&format!("{one}/{two}.wav")), Some(found));
        assert_eq!(find("gone.wav"), None);
    }
}

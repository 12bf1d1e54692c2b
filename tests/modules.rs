//! The order of the modules: what ARCHITECTURE.md lists, and what the files of `src/` import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Top-level modules, the lowest first: the words in backticks of ARCHITECTURE.md's numbered list.
fn listed() -> Vec<String> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, section) = page.split_once("\n## The order of the modules\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let numbered = section.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    numbered.flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// The first name of every path that follows `crate::`, in groups too: `crate::{a, b::{c, d}}` has
/// `a` and `b`.
fn imported(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = |text: &str| text.split(|c| !is_name(c)).next().unwrap().to_owned();
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    for (start, path) in code.match_indices("crate::") {
        if code[..start].ends_with(is_name) {
            continue;
        }
        let after = &code[start + path.len()..];
        let Some(group) = after.strip_prefix('{') else {
            names.insert(name(after));
            continue;
        };
        let mut depth = 1;
        let mut item = group;
        for (place, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                names.insert(name(item.trim_start()));
                item = &group[place + 1..];
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.remove("");
    names
}

/// The modules that `lib.rs` declares, and those that the names it exports stand in.
fn library() -> (BTreeSet<String>, BTreeMap<String, String>) {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let statements = |start: &'static str| {
        text.lines().filter_map(move |line| line.strip_prefix(start)?.strip_suffix(';'))
    };
    let modules = statements("pub mod ").map(str::to_owned).collect();
    let exports = statements("pub use ").flat_map(|path| {
        let (module, names) = path.split_once("::").unwrap();
        let names = names.trim_matches(['{', '}']).split(", ");
        names.map(|name| (name.to_owned(), module.to_owned())).collect::<Vec<_>>()
    });
    (modules, exports.collect())
}

#[test]
fn modules_import_only_what_stands_before_them() {
    let order = listed();
    let (modules, exports) = library();
    assert_eq!(order.iter().cloned().collect::<BTreeSet<_>>(), modules, "ARCHITECTURE.md, lib.rs");
    let place = |module: &str| order.iter().position(|listed| listed == module);
    let source = root().join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut upward = Vec::new();
    for file in files {
        let path = file.strip_prefix(&source).unwrap();
        let module = Path::new(path.iter().next().unwrap()).file_stem().unwrap().to_str().unwrap();
        // lib.rs and main.rs stand above all modules.
        let Some(own) = place(module) else { continue };
        for name in imported(&fs::read_to_string(&file).unwrap()) {
            let target = exports.get(&name).unwrap_or(&name);
            let Some(theirs) = place(target) else { panic!("{}: crate::{name}", path.display()) };
            if theirs > own {
                upward.push(format!("{} imports {target}", path.display()));
            }
        }
    }
    assert!(upward.is_empty(), "against the order:\n{}", upward.join("\n"));
}

#[test]
fn imports_are_found_in_groups_and_in_code() {
    let text = "use crate::{a::{b, c}, d};\nuse crate::e::f; // crate::g\nlet x = crate::h::I;\n";
    let found: Vec<String> = imported(text).into_iter().collect();
    assert_eq!(found, ["a", "d", "e", "h"]);
    assert!(imported("mycrate::a").is_empty());
}

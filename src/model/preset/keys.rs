//! The names of a preset's keys, and reading, merging and setting values by name.
//!
//! The tree below is what a misspelt key is compared with; a test holds it against the structs.

use serde::Deserialize;
use toml::{Table, Value};

use super::Preset;
use crate::error::{Error, Result};
use crate::spelling::distance;

/// What stands under a key.
#[derive(Clone, Copy)]
enum Node {
    Leaf,
    Table(&'static [(&'static str, Node)]),
    /// An array of tables: `model.branch.0.name` is a key of its first entry.
    Array(&'static [(&'static str, Node)]),
}
use Node::{Array, Leaf, Table as Section};

const ROOT: Node = Section(&[
    ("moods", Leaf),
    ("audio", Section(&[("sample_rate", Leaf), ("clip_seconds", Leaf)])),
    (
        "features",
        Section(&[
            ("n_fft", Leaf),
            ("hop", Leaf),
            ("mels", Leaf),
            ("fmin", Leaf),
            ("fmax", Leaf),
            ("top_db", Leaf),
        ]),
    ),
    (
        "model",
        Section(&[
            ("dropout", Leaf),
            ("output", Leaf),
            (
                "branch",
                Array(&[
                    ("name", Leaf),
                    ("kernel", Leaf),
                    ("channels", Leaf),
                    ("pool", Leaf),
                    ("lstm", Leaf),
                    ("summary", Leaf),
                ]),
            ),
            ("rnn", Section(&[("lstm", Leaf)])),
            ("handcrafted", Section(&[("hidden", Leaf), ("rolloff", Leaf)])),
        ]),
    ),
    (
        "train",
        Section(&[
            ("epochs", Leaf),
            ("batch", Leaf),
            ("learning_rate", Leaf),
            ("decay_rate", Leaf),
            ("decay_epochs", Leaf),
            ("decay_updates", Leaf),
            ("betas", Leaf),
            ("epsilon", Leaf),
            ("loss", Leaf),
            ("class_weights", Leaf),
            ("shuffle", Leaf),
        ]),
    ),
]);

/// TOML text in which every key is known.
pub(super) fn parse(text: &str) -> Result<Table> {
    let table: Table = toml::from_str(text)
        .map_err(|error| Error::input(format!("not valid TOML: {}", error.to_string().trim())))?;
    check(&Value::Table(table.clone()), ROOT, "")?;
    Ok(table)
}

/// Puts `given` over `base`: tables are merged, everything else is replaced.
pub(super) fn merge(base: &mut Table, given: Table) {
    for (key, value) in given {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(given)) => merge(base, given),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// A preset from a table that holds every key.
pub(super) fn resolve(table: Table) -> Result<Preset> {
    check(&Value::Table(table.clone()), ROOT, "")?;
    Preset::deserialize(table).map_err(|error| {
        // "…\nin `train.batch`\n" becomes one line, and Rust's names of types plain words.
        let mut message = error.to_string().trim().replace('\n', " ");
        for (rust, plain) in [
            ("expected usize", "expected a whole number, 0 or more"),
            ("expected u32", "expected a whole number, 0 or more"),
            ("expected u64", "expected a whole number, 0 or more"),
            ("expected f64", "expected a number"),
            ("expected a boolean", "expected true or false"),
            ("expected a sequence", "expected a list"),
        ] {
            message = message.replace(rust, plain);
        }
        Error::input(message)
    })
}

/// The opposite of [`resolve`].
pub(super) fn table_of(preset: &Preset) -> Result<Table> {
    Table::try_from(preset)
        .map_err(|error| Error::input(format!("the preset cannot be written as TOML: {error}")))
}

/// Puts `value` at the dotted `key`; a table that a preset may leave out is made.
pub(super) fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut node = ROOT;
    let mut path = key.split('.');
    // The innermost table so far, and the name in it that comes next.
    let mut inner = table;
    let mut name = path.next().unwrap_or_default();
    loop {
        let (Section(children) | Array(children)) = node else { return Err(unknown(key)) };
        node = child(children, name).ok_or_else(|| unknown(key))?;
        let Some(next) = path.next() else {
            merge(inner, Table::from_iter([(name.to_string(), value)]));
            return Ok(());
        };
        inner = match node {
            Leaf => return Err(unknown(key)),
            Section(_) => {
                let nested = inner.entry(name).or_insert_with(|| Value::Table(Table::new()));
                name = next;
                nested.as_table_mut().ok_or_else(|| unknown(key))?
            }
            Array(_) => {
                let length = inner.get(name).and_then(Value::as_array).map_or(0, Vec::len);
                let entry = next
                    .parse::<usize>()
                    .ok()
                    .and_then(|place| inner.get_mut(name)?.get_mut(place)?.as_table_mut())
                    .ok_or_else(|| no_such_entry(key, name, length))?;
                name = path.next().ok_or_else(|| unknown(key))?;
                entry
            }
        };
    }
}

/// `name` is an array of `length` tables, and `key` names none of them.
fn no_such_entry(key: &str, name: &str, length: usize) -> Error {
    let array = key.find(name).map_or(name, |start| &key[..start + name.len()]);
    Error::input(match length {
        0 => format!("`{key}`: the preset has no {array}"),
        1 => format!("`{key}`: the preset has only {array}.0"),
        _ => format!("`{key}`: the preset has {array}.0 to {array}.{}", length - 1),
    })
}

fn child(children: &[(&str, Node)], name: &str) -> Option<Node> {
    children.iter().find(|(known, _)| *known == name).map(|(_, node)| *node)
}

/// Refuses the first key under `value` that the tree does not know, and what is no table where
/// one belongs.
/// The types of leaves are checked later, by `serde`.
fn check(value: &Value, node: Node, path: &str) -> Result<()> {
    match (value, node) {
        (_, Leaf) => Ok(()),
        (Value::Table(table), Section(children)) => check_table(table, children, path),
        (_, Section(_)) => Err(Error::input(format!(
            "`{path}` is a table of keys, not of type {}",
            value.type_str()
        ))),
        (Value::Array(entries), Array(children)) => {
            entries.iter().enumerate().try_for_each(|(place, entry)| {
                check(entry, Section(children), &format!("{path}.{place}"))
            })
        }
        (_, Array(_)) => Err(Error::input(format!(
            "`{path}` is a list of tables, [[{path}]], not of type {}",
            value.type_str()
        ))),
    }
}

fn check_table(table: &Table, children: &[(&str, Node)], path: &str) -> Result<()> {
    for (name, value) in table {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let node = child(children, name).ok_or_else(|| unknown(&key))?;
        check(value, node, &key)?;
    }
    Ok(())
}

fn unknown(key: &str) -> Error {
    // A key is often right but for its section, so its last part counts first.
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let mut all = Vec::new();
    list(ROOT, "", place_in(key), &mut all);
    let nearest = all
        .iter()
        .min_by_key(|known| (distance(&last(known), &last(key)), distance(known, key)))
        .expect("the tree of keys is not empty");
    Error::input(format!("unknown key `{key}`; the nearest is `{nearest}`"))
}

/// The number in `model.branch.1.lstmm`, so that the suggestion names the same branch.
fn place_in(key: &str) -> usize {
    key.split('.').find_map(|part| part.parse().ok()).unwrap_or(0)
}

/// Every dotted key under `node`.
fn list(node: Node, path: &str, place: usize, keys: &mut Vec<String>) {
    let (children, path) = match node {
        Leaf => return,
        Section(children) => (children, path.to_string()),
        Array(children) => (children, format!("{path}.{place}")),
    };
    for (name, node) in children {
        let key = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        keys.push(key.clone());
        list(*node, &key, place, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset::{Handcrafted, Rnn, Summary};

    fn keys_of(value: &Value, path: &str, keys: &mut Vec<String>) {
        let (table, path) = match value {
            Value::Table(table) => (table, path.to_string()),
            Value::Array(entries) if entries[0].is_table() => {
                (entries[0].as_table().unwrap(), format!("{path}.0"))
            }
            _ => return,
        };
        for (name, value) in table {
            let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            keys.push(key.clone());
            keys_of(value, &key, keys);
        }
    }

    #[test]
    fn the_tree_names_every_field_and_nothing_else() {
        let mut preset = Preset::named("paper").unwrap();
        preset.model.branch[0].summary = Some(Summary::MeanMax);
        preset.model.rnn = Some(Rnn { lstm: vec![1] });
        preset.model.handcrafted = Some(Handcrafted { hidden: vec![1], rolloff: 0.5 });
        preset.train.decay_updates = Some(1);
        let mut fields = Vec::new();
        keys_of(&Value::Table(table_of(&preset).unwrap()), "", &mut fields);
        let mut known = Vec::new();
        list(ROOT, "", 0, &mut known);
        fields.sort();
        known.sort();
        assert_eq!(fields, known);
    }

    #[test]
    fn help_names_every_preset_and_every_key() {
        let help = include_str!("../../../assets/preset-keys.txt");
        let mut known = Vec::new();
        list(ROOT, "", 0, &mut known);
        let sections = |key: &String| known.iter().any(|k| k.starts_with(&format!("{key}.")));
        for key in known.iter().filter(|key| !sections(key)) {
            let key = key.replace(".0.", ".N.");
            let (section, last) = key.rsplit_once('.').unwrap_or(("", &key));
            let named = help.lines().any(|line| {
                let mut words = line.split_whitespace().map(|word| word.trim_end_matches(','));
                words.next().is_some_and(|first| {
                    first == key || (first.starts_with(section) && words.next() == Some(last))
                })
            });
            assert!(named, "{key} is not in the help");
        }
        for name in Preset::names() {
            assert!(help.split([' ', ',', '\n']).any(|word| word == name), "{name}");
        }
    }
}

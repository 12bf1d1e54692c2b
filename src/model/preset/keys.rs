//! The keys of a preset: declaring them, and reading, merging, setting and showing values by name.

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    Branch, ClassWeights, Front, Loss, Output, Preset, Scale, Schedule, Summary, Trainable,
};
use crate::error::{Error, Result};
use crate::spelling::{distance, short_numbers};

/// What stands under a key.
#[derive(Clone, Copy)]
pub enum Node {
    Leaf,
    Table(&'static [Key]),
    /// An array of tables: `model.branch.0.name` is a key of its first entry.
    Array(&'static [Key]),
}
use Node::{Array, Leaf, Table as Section};

/// A key of a table.
#[derive(Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// A sentence for people, with Markdown's backticks.
    pub meaning: &'static str,
    pub node: Node,
}

/// What can be a key's value.
pub trait Keyed {
    const NODE: Node = Leaf;

    /// Refuses the first value at or under the key `path` that is beyond its limit.
    fn check(&self, _path: &str) -> Result<()> {
        Ok(())
    }
}

/// Declares a table of a preset: the struct that mirrors it, its keys with what they mean (their doc
/// comments), and their limits: `where` a value is good, and what is said of one that is not. A limit
/// may look at other keys of the table.
macro_rules! keys {
    ($(#[doc = $about:literal])+ $section:ident {
        $(
            $(#[doc = $meaning:literal])+
            $(#[serde($($serde:tt)*)])?
            $key:ident: $type:ty $(where $holds:expr => $reason:expr)?,
        )+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $section {
            $($(#[doc = $meaning])+ $(#[serde($($serde)*)])? pub $key: $type,)+
        }

        impl Keyed for $section {
            const NODE: Node = Node::Table(&[$(Key {
                name: stringify!($key),
                meaning: concat!($($meaning),+),
                node: <$type>::NODE,
            }),+]);

            fn check(&self, path: &str) -> Result<()> {
                let Self { $($key),+ } = self;
                $(
                    let key = dotted(path, stringify!($key));
                    $key.check(&key)?;
                    $(require($holds, &key, $key, $reason)?;)?
                )+
                Ok(())
            }
        }
    };
}

macro_rules! leaves {
    ($($type:ty),+) => { $(impl Keyed for $type {})+ };
}
leaves!(bool, u32, u64, usize, f64, String, [f64; 2], [usize; 2], Vec<String>, Vec<usize>);
leaves!(Output, Summary, Loss, ClassWeights, Scale, Schedule, Trainable);

impl<T: Keyed> Keyed for Option<T> {
    const NODE: Node = T::NODE;

    fn check(&self, path: &str) -> Result<()> {
        self.iter().try_for_each(|value| value.check(path))
    }
}

macro_rules! arrays {
    ($($type:ty),+) => {
        $(impl Keyed for Vec<$type> {
            const NODE: Node = match <$type>::NODE {
                Section(keys) => Array(keys),
                other => other,
            };

            fn check(&self, path: &str) -> Result<()> {
                let mut entries = self.iter().enumerate();
                entries.try_for_each(|(at, entry)| entry.check(&dotted(path, &at.to_string())))
            }
        })+
    };
}
arrays!(Branch, Front);

const ROOT: Node = Preset::NODE;

/// `name` within the table at `path`; the root's path is empty.
pub(super) fn dotted(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

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
        Error::input(short_numbers(&message))
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

fn child(children: &[Key], name: &str) -> Option<Node> {
    children.iter().find(|known| known.name == name).map(|known| known.node)
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

fn check_table(table: &Table, children: &[Key], path: &str) -> Result<()> {
    for (name, value) in table {
        let key = dotted(path, name);
        let node = child(children, name).ok_or_else(|| unknown(&key))?;
        check(value, node, &key)?;
    }
    Ok(())
}

fn unknown(key: &str) -> Error {
    // A key is often right but for its section, so its last part counts first.
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let mut all = Vec::new();
    list(ROOT, "", &place_in(key), &mut all);
    let nearest = all
        .iter()
        .map(|(known, _)| known)
        .min_by_key(|known| (distance(&last(known), &last(key)), distance(known, key)))
        .expect("the tree of keys is not empty");
    Error::input(format!("unknown key `{key}`; the nearest is `{nearest}`"))
}

/// The number in `model.branch.1.lstmm`, so that the suggestion names the same branch.
fn place_in(key: &str) -> String {
    let place = key.split('.').find(|part| part.parse::<usize>().is_ok());
    place.unwrap_or("0").to_owned()
}

/// Every dotted key under `node`; `place` stands for that of an entry in its array.
fn list(node: Node, path: &str, place: &str, keys: &mut Vec<(String, Key)>) {
    let (children, path) = match node {
        Leaf => return,
        Section(children) => (children, path.to_owned()),
        Array(children) => (children, dotted(path, place)),
    };
    for key in children {
        let dotted = dotted(&path, key.name);
        keys.push((dotted.clone(), *key));
        list(key.node, &dotted, place, keys);
    }
}

/// Each key that holds a value, what it means, and `paper`'s value.
fn table() -> Vec<[String; 3]> {
    let paper = Preset::named("paper").and_then(|preset| table_of(&preset));
    let paper = Value::Table(paper.expect("paper is a preset"));
    let mut keys = Vec::new();
    list(ROOT, "", ENTRY, &mut keys);
    keys.retain(|(_, key)| matches!(key.node, Leaf));
    let row = |(dotted, key): (String, Key)| {
        let values = values_at(&paper, &dotted);
        let value = if values.is_empty() { "not set".to_owned() } else { values.join(", ") };
        [dotted, key.meaning.trim().trim_end_matches('.').to_owned(), value]
    };
    keys.into_iter().map(row).collect()
}

/// Stands for an entry's place where all entries are meant.
const ENTRY: &str = "N";

/// The distinct values at the dotted `key`, of all entries where an array is in between.
fn values_at(value: &Value, key: &str) -> Vec<String> {
    let Some((name, rest)) = key.split_once('.') else {
        return value.get(key).map(Value::to_string).into_iter().collect();
    };
    let mut values: Vec<String> = match (name, value) {
        (ENTRY, Value::Array(entries)) => {
            entries.iter().flat_map(|entry| values_at(entry, rest)).collect()
        }
        _ => value.get(name).map_or(Vec::new(), |inner| values_at(inner, rest)),
    };
    values.dedup();
    values
}

/// Columns of a line of help.
const WIDTH: usize = 100;

/// A line for each key, or several.
pub(super) fn help() -> String {
    let table = table();
    let width = table.iter().map(|[key, ..]| key.len()).max().unwrap_or(0);
    let mut text = String::new();
    for [key, meaning, value] in table {
        let mut line = format!("  {key:<width$} ");
        for word in format!("{} [{value}]", meaning.replace('`', "")).split(' ') {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                text.push_str(&format!("{line}\n"));
                line = " ".repeat(width + 3);
            }
            line.push_str(&format!(" {word}"));
        }
        text.push_str(&format!("{line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_presets_has_every_key() {
        let page = include_str!("../../../docs/presets.md");
        let rows = table().into_iter();
        let rows = rows.map(|[key, meaning, value]| format!("| `{key}` | {value} | {meaning} |\n"));
        let table =
            "| key | `paper` | meaning |\n|---|---|---|\n".to_owned() + &rows.collect::<String>();
        assert!(page.contains(&table), "docs/presets.md lacks this table:\n{table}");
    }
}

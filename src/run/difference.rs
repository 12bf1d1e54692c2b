//! Which keys of two configurations differ.

use serde::Serialize;
use toml::{Table, Value};

use crate::spelling::short_numbers;
use crate::{Error, Result};

/// `KEY: THEN then, NOW now` for each key that differs, `prefix` in front of the key.
///
/// # Errors
/// An integer beyond TOML's 63 bits.
pub fn differences<T: Serialize>(then: &T, now: &T, prefix: &str) -> Result<Vec<String>> {
    let keys = |value: &T| -> Result<Vec<(String, String)>> {
        let table = Table::try_from(value).map_err(|error| Error::input(error.to_string()))?;
        let mut keys = Vec::new();
        flatten(&Value::Table(table), prefix, &mut keys);
        Ok(keys)
    };
    let (then, now) = (keys(then)?, keys(now)?);
    let value_in = |keys: &[(String, String)], key: &str| {
        keys.iter().find(|(name, _)| name == key).map_or("not set".into(), |(_, v)| v.clone())
    };
    let mut differing = Vec::new();
    let added = now.iter().filter(|(key, _)| then.iter().all(|(name, _)| name != key));
    for (key, _) in then.iter().chain(added) {
        let (then, now) = (value_in(&then, key), value_in(&now, key));
        if then != now {
            differing.push(short_numbers(&format!("{key}: {then} then, {now} now")));
        }
    }
    Ok(differing)
}

/// Dotted keys and their values as TOML writes them; tables in an array have their place as a key.
fn flatten(value: &Value, key: &str, into: &mut Vec<(String, String)>) {
    let inner = |name: &str| match key {
        "" => name.to_owned(),
        _ => format!("{key}.{name}"),
    };
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                flatten(value, &inner(name), into);
            }
        }
        Value::Array(values) if values.first().is_some_and(Value::is_table) => {
            for (place, value) in values.iter().enumerate() {
                flatten(value, &inner(&place.to_string()), into);
            }
        }
        _ => into.push((key.to_owned(), value.to_string())),
    }
}

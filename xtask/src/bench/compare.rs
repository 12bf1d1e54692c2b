//! This result beside an earlier one.

use std::fs;
use std::path::Path;

use moodshader::{Error, Result};

use super::Document;

pub(super) fn load(path: &Path) -> Result<Document> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::input(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::input(format!(
            "{}: {error}; --compare takes what `cargo xtask bench --format json` printed",
            path.display()
        ))
    })
}

/// Ratios of speed, above 1 where the new result is faster; on standard error, beside any JSON.
pub(super) fn print(earlier: &Document, now: &Document) {
    if earlier.adapter.name != now.adapter.name || earlier.adapter.driver != now.adapter.driver {
        eprintln!(
            "note: the earlier result is of {} {}",
            earlier.adapter.name, earlier.adapter.driver
        );
    }
    eprintln!("\nspeed against the earlier result (above 1 is faster):");
    let line = |name: &str, before: f64, after: f64| {
        eprintln!(
            "{:>7.2}×  {:>10.3} → {:>10.3} ms  {name}",
            before / after,
            1e3 * before,
            1e3 * after
        );
    };
    for row in &now.kernels {
        match earlier.kernels.iter().find(|old| old.matches(row)) {
            Some(old) => line(&format!("{} ({})", row.kernel, row.shape), old.seconds, row.seconds),
            None => eprintln!(
                "{:>8}  {:>26.3} ms  {} ({})",
                "new",
                1e3 * row.seconds,
                row.kernel,
                row.shape
            ),
        }
    }
    for old in &earlier.kernels {
        // What --filter leaves out is not gone.
        if now.update.is_some() && !now.kernels.iter().any(|row| row.matches(old)) {
            eprintln!(
                "{:>8}  {:>10.3} {:>15}  {} ({})",
                "gone",
                1e3 * old.seconds,
                "ms",
                old.kernel,
                old.shape
            );
        }
    }
    if let (Some(before), Some(after)) = (&earlier.update, &now.update) {
        if (&before.preset, before.batch) == (&after.preset, after.batch) {
            line("the whole update", before.seconds, after.seconds);
        } else {
            eprintln!("note: the earlier update is {} at batch {}", before.preset, before.batch);
        }
    }
}

//! The folder of a comparison.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Comparison, Table};
use crate::files::write_atomically;
use crate::run::{Pace, RunFolder, differences, seed_folder};
use crate::{Error, Result};

/// A comparison's folder, which holds it and no other.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// What opening it made: the folder itself and its parents, the innermost first.
    made: Option<Vec<PathBuf>>,
}

/// How fast a run was trained, by all processes that stopped in order or ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Clips trained on, each as often as it was.
    pub clips: usize,
    /// What that took, with reading the features, without preparation and validation.
    pub seconds: f64,
    /// The adapters, in the order in which they came.
    pub devices: Vec<String>,
}

impl Folder {
    /// Opens the folder of this comparison, or makes it.
    ///
    /// # Errors
    /// It holds another comparison, a run, or something where a run has to go; it cannot be written.
    pub fn open(path: &Path, comparison: &Comparison) -> Result<Self> {
        let existing = Self { path: path.to_owned(), made: None };
        if existing.spec().exists() {
            existing.check_same(comparison)?;
            return Ok(existing);
        }
        RunFolder::check_free(path)?;
        let runs = comparison.candidates.iter().map(|candidate| path.join(&candidate.name));
        if let Some(taken) = runs.chain(existing.tables()).find(|path| path.exists()) {
            return Err(Error::input(format!(
                "{} is in the way and does not belong to a comparison; choose another --out",
                taken.display()
            )));
        }
        let cannot = |error: std::io::Error| {
            Error::io("write the folder", path, &error).followed_by("choose another --out")
        };
        let absolute = std::path::absolute(path).map_err(cannot)?;
        let missing = |folder: &&Path| !folder.exists();
        let made = absolute.ancestors().take_while(missing).map(Path::to_owned).collect();
        fs::create_dir_all(&absolute).map_err(cannot)?;
        let text = toml::to_string(comparison).map_err(|error| {
            Error::input(format!("the comparison cannot be written as TOML: {error}"))
        })?;
        let folder = Self { path: path.to_owned(), made: Some(made) };
        write_atomically(&folder.spec(), text.as_bytes())?;
        Ok(folder)
    }

    /// Takes back what opening made if nothing has come of it, so that a command with a slip can be
    /// mended and repeated.
    pub fn undo_if_empty(&self, comparison: &Comparison) {
        let Some(made) = &self.made else { return };
        let begun = |name: &str| {
            (0..comparison.seeds).any(|seed| RunFolder::at(&self.run(name, seed)).is_begun())
        };
        if comparison.candidates.iter().any(|candidate| begun(&candidate.name)) {
            return;
        }
        let _ = fs::remove_file(self.spec());
        for folder in made {
            // Fails, as it should, where something else lies in it.
            let _ = fs::remove_dir(folder);
        }
    }

    fn check_same(&self, now: &Comparison) -> Result<()> {
        let path = self.spec();
        let damaged = |error: &dyn std::fmt::Display| {
            Error::input(format!("{} is damaged: {error}; restore it", path.display()))
        };
        let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
        let then: Comparison = toml::from_str(&text).map_err(|error| damaged(&error.message()))?;
        let mut differing = Vec::new();
        let names = |comparison: &Comparison| {
            comparison.candidates.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(",")
        };
        let (names_then, names_now) = (names(&then), names(now));
        if names_then != names_now {
            differing.push(format!("presets: {names_then} then, {names_now} now"));
        }
        if then.seeds != now.seeds {
            differing.push(format!("seeds: {} then, {} now", then.seeds, now.seeds));
        }
        differing.extend(differences(&then.data, &now.data, "data")?);
        for candidate in &then.candidates {
            let same = |other: &&super::Candidate| other.name == candidate.name;
            if let Some(other) = now.candidates.iter().find(same) {
                differing.extend(differences(&candidate.preset, &other.preset, &candidate.name)?);
            }
        }
        match differing.is_empty() {
            true => Ok(()),
            false => Err(Error::input(format!(
                "{} holds another comparison: {}; choose another --out, or go on with what is there",
                self.path.display(),
                differing.join("; ")
            ))),
        }
    }

    fn spec(&self) -> PathBuf {
        self.path.join("comparison.toml")
    }

    fn tables(&self) -> [PathBuf; 4] {
        ["md", "csv", "json", "html"].map(|kind| self.path.join(format!("comparison.{kind}")))
    }

    /// The run folder of a preset and a seed.
    pub fn run(&self, name: &str, seed: u64) -> PathBuf {
        self.path.join(name).join(seed_folder(seed))
    }

    /// Writes the table in every form.
    pub fn write_table(&self, table: &Table) -> Result<()> {
        let [markdown, csv, json, html] = self.tables();
        write_atomically(&markdown, table.markdown().as_bytes())?;
        write_atomically(&csv, &table.csv()?)?;
        write_atomically(&json, table.json()?.as_bytes())?;
        write_atomically(&html, table.html().as_bytes())
    }

    fn throughput_file(&self) -> PathBuf {
        self.path.join("throughput.json")
    }

    /// The throughput of every run, by `PRESET/seed-N`.
    pub fn throughput(&self) -> Result<BTreeMap<String, Throughput>> {
        let path = self.throughput_file();
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(Error::io("read", &path, &error)),
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                Error::input(format!(
                    "{} is damaged: {error}; restore it, or delete it and do without the numbers",
                    path.display()
                ))
            }),
        }
    }

    /// Adds what this process measured of a run.
    pub fn add_pace(&self, name: &str, seed: u64, pace: &[Pace], device: &str) -> Result<()> {
        if pace.is_empty() {
            return Ok(());
        }
        let mut all = self.throughput()?;
        let run = all.entry(key(name, seed)).or_default();
        for epoch in pace {
            run.clips += epoch.clips;
            run.seconds += epoch.seconds;
        }
        if run.devices.last().is_none_or(|last| last != device) {
            run.devices.push(device.to_owned());
        }
        let text = serde_json::to_string_pretty(&all)
            .map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.throughput_file(), format!("{text}\n").as_bytes())
    }
}

/// A run's name in `throughput.json`.
pub fn key(name: &str, seed: u64) -> String {
    format!("{name}/{}", seed_folder(seed))
}

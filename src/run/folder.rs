//! The run folder: which files a run writes, and what they say about how far it came.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::EpochMetrics;
use crate::error::Kind;
use crate::files::write_atomically;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::{Error, Result};

/// TensorBoard takes any file for events whose name contains `tfevents`.
const EVENTS_FILE: &str = "events.out.tfevents.0.moodshader";

/// A folder that holds a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// A folder that a start has made and that no training has begun in. Unless it is kept, it goes
/// again when this is dropped, so that a start that fails can be repeated.
#[derive(Debug)]
pub struct Fresh {
    folder: RunFolder,
    /// The folders that were not there before, the innermost first.
    made: Vec<PathBuf>,
    claimed: bool,
    kept: bool,
}

impl Fresh {
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Takes the folder before a training that was started at the same time does.
    ///
    /// # Errors
    /// That one was faster.
    pub fn claim(&mut self) -> Result<()> {
        let config = self.folder.config();
        if let Err(error) = OpenOptions::new().write(true).create_new(true).open(&config) {
            RunFolder::check_free(self.folder.path())?;
            return Err(Error::io("write", &config, &error));
        }
        self.claimed = true;
        Ok(())
    }

    /// From now on the folder holds a run.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if self.claimed {
            for file in [self.folder.config(), self.folder.tracks()] {
                let _ = std::fs::remove_file(file);
            }
        }
        for folder in &self.made {
            // Fails, as it should, where something else lies in it.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// The folder of one of several runs that differ in the seed.
pub fn seed_folder(seed: u64) -> String {
    format!("seed-{seed}")
}

impl RunFolder {
    /// A folder in which a run may lie or not.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Whether a training has begun there.
    pub fn is_begun(&self) -> bool {
        self.config().exists()
    }

    /// Whether an epoch of it has ended.
    pub fn has_results(&self) -> bool {
        self.best().exists() || self.metrics().exists()
    }

    /// Refuses a folder that holds a run, or a file that a run would overwrite.
    pub fn check_free(path: &Path) -> Result<()> {
        let folder = Self::at(path);
        let shown = path.display();
        if folder.is_begun() {
            return Err(Error::input(format!(
                "{shown} already holds a run; choose another --out, or go on with it: moodshader \
                 train --resume {shown}"
            )));
        }
        let files = [
            folder.best(),
            folder.last(),
            folder.metrics(),
            folder.tracks(),
            folder.predictions(),
            folder.test_predictions(),
            folder.events(),
            folder.report(),
        ];
        if let Some(file) = files.iter().find(|file| file.exists()) {
            return Err(Error::input(format!(
                "{} is in the way and would be overwritten; choose another --out",
                file.display()
            )));
        }
        let entries = std::fs::read_dir(path);
        match entries.is_ok_and(|mut entries| entries.next().is_some()) {
            true => Err(Error::input(format!(
                "{shown} holds other files, and is no run; choose a new folder as --out"
            ))),
            false => Ok(()),
        }
    }

    /// Makes a new folder with its parents, and makes sure that it can be written.
    pub fn create(path: &Path) -> Result<Fresh> {
        Self::check_free(path)?;
        let cannot = |error: std::io::Error| {
            let error = Error::io("write the run folder", path, &error);
            match error.kind {
                Kind::Input => Error::input(format!("{error}; choose another --out")),
                _ => error,
            }
        };
        let absolute = std::path::absolute(path).map_err(cannot)?;
        let made: Vec<PathBuf> = absolute
            .ancestors()
            .take_while(|folder| !folder.exists())
            .map(Path::to_owned)
            .collect();
        let mut fresh =
            Fresh { folder: Self { path: absolute }, made, claimed: false, kept: false };
        std::fs::create_dir_all(fresh.folder.path()).map_err(cannot)?;
        // Another start may be looking as well.
        let trial = fresh.folder.path().join(format!("config.toml.{}", std::process::id()));
        std::fs::write(&trial, b"").map_err(cannot)?;
        std::fs::remove_file(&trial).map_err(cannot)?;
        fresh.folder.path = path.canonicalize().map_err(cannot)?;
        Ok(fresh)
    }

    /// An existing run.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self::at(path);
        let several = folder.path.join(seed_folder(0)).is_dir();
        if !folder.config().is_file() && several {
            return Err(Error::input(format!(
                "{} holds runs with several seeds; go on with the command that began them, or with one \
                 of them, such as {}",
                path.display(),
                folder.path.join(seed_folder(0)).display()
            )));
        }
        if !folder.config().is_file() {
            return Err(Error::input(format!(
                "{} holds no run: there is no config.toml in it; --resume takes the folder that a \
                 training wrote, the one given as --out",
                path.display()
            )));
        }
        let path = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
        Ok(Self { path })
    }

    /// Keeps other trainings out for as long as the handle lives; a kill ends that too. Where a folder cannot be
    /// locked, as on Windows and some network disks, nothing is kept out.
    ///
    /// # Errors
    /// A training is under way there.
    pub fn lock(&self) -> Result<Option<File>> {
        let Ok(folder) = File::open(&self.path) else { return Ok(None) };
        match folder.try_lock() {
            Ok(()) => Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => Err(Error::input(format!(
                "{}: a training is under way there; let it end, or stop it with Ctrl-C",
                self.path.display()
            ))),
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the run was started with.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The model to use.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The state to go on from.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// What the run is trained and judged on.
    pub fn tracks(&self) -> PathBuf {
        self.path.join("tracks.csv")
    }

    fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The best model's scores on the validation clips.
    pub fn predictions(&self) -> PathBuf {
        self.path.join("predictions.csv")
    }

    /// The best model's scores on the test clips.
    pub fn test_predictions(&self) -> PathBuf {
        self.path.join("predictions-test.csv")
    }

    /// TensorBoard's.
    pub fn events(&self) -> PathBuf {
        self.path.join(EVENTS_FILE)
    }

    /// The run to look at. From the end of the last epoch on it is there only when nothing is left
    /// to do.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Takes the report away.
    ///
    /// # Errors
    /// It is there and cannot be deleted.
    pub fn remove_report(&self) -> Result<()> {
        match std::fs::remove_file(self.report()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("delete", &self.report(), &error))
            }
            _ => Ok(()),
        }
    }

    /// The state that training goes on from.
    pub fn read_last(&self) -> Result<Checkpoint> {
        Checkpoint::read(&self.last()).map_err(damaged)
    }

    /// What `last.safetensors` says of itself.
    pub fn description(&self) -> Result<Description> {
        self.read_last()?.description()
    }

    /// The lines of `metrics.jsonl`; none where the file is not there yet. A last line that a kill
    /// cut off is left out: its epoch runs again.
    pub fn read_metrics(&self) -> Result<Vec<EpochMetrics>> {
        let path = self.metrics();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(|error| Error::io("read", &path, &error))?,
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|error| {
                    Error::input(format!("{} line {}: {error}", path.display(), index + 1))
                })
            })
            .collect()
    }

    /// Writes `metrics.jsonl`, at once for whoever looks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_metrics(&self, lines: &[EpochMetrics]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            let line =
                serde_json::to_string(line).map_err(|error| Error::failure(error.to_string()))?;
            text.push_str(&line);
            text.push('\n');
        }
        write_atomically(&self.metrics(), text.as_bytes())
    }
}

/// Says what is left to do where `last.safetensors` cannot be used.
pub fn damaged(error: Error) -> Error {
    error.followed_by(
        "without it the run cannot go on; start a new one, with --init FILE to begin from saved \
         weights",
    )
}

#[cfg(test)]
mod tests {
    use super::RunFolder;

    #[test]
    fn of_two_starts_one_has_the_folder_and_the_other_leaves_it_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("runs/new");
        let mut one = RunFolder::create(&path).unwrap();
        let mut other = RunFolder::create(&path).unwrap();
        one.claim().unwrap();
        std::fs::write(one.folder().config(), "epochs").unwrap();
        let refused = other.claim().unwrap_err().to_string();
        assert!(refused.contains("already holds a run"), "{refused}");
        drop(other);
        assert_eq!(std::fs::read_to_string(one.folder().config()).unwrap(), "epochs");
        drop(one);
        assert!(!path.exists());
    }
}

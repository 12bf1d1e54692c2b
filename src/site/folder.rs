//! The folder of a site: whole at every moment, and nobody's but the site's.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::json;
use crate::files::write_atomically;
use crate::{Error, Result};

/// What is to be replayed, and which files there are; a folder that has it holds a site.
const PLAN: &str = "plan.json";

/// What the plan says of itself.
pub const FORMAT: &str = "moodshader site";

/// Letters of a hash in a file's name.
const DIGITS: usize = 12;

/// A folder in which a site is written, beside the one that was there.
///
/// Files whose content may change have its hash in their names, and the plan, which names them, comes last:
/// a page that is opened meanwhile, or after a stop, finds what belongs together. Then the files of the
/// site before go.
pub struct Folder {
    path: PathBuf,
    /// Files of the site that was there, as its plan lists them.
    before: Vec<String>,
    /// Files of the new one.
    written: Vec<String>,
}

impl Folder {
    /// A folder that is not there yet, is empty or holds a site.
    ///
    /// # Errors
    /// It is a file, or has something in it and is no site, in which files would be scattered.
    pub fn open(path: &Path) -> Result<Self> {
        let new = |before| Self { path: path.to_owned(), before, written: Vec::new() };
        let plan = fs::read(path.join(PLAN)).ok();
        let plan: Option<Value> = plan.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(plan) = plan.filter(|plan| plan["format"] == FORMAT) {
            let files = plan["files"].as_array().into_iter().flatten();
            return Ok(new(files.filter_map(Value::as_str).map(str::to_owned).collect()));
        }
        let other = "name a folder that is not there yet, or an empty one";
        match fs::read_dir(path) {
            Ok(mut entries) => match entries.next() {
                None => Ok(new(Vec::new())),
                Some(_) => Err(Error::input(format!(
                    "{} is not empty and no site of moodshader; {other}",
                    path.display()
                ))),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(new(Vec::new())),
            Err(error) => Err(Error::io("look into", path, &error).followed_by(other)),
        }
    }

    /// Makes it, with a plan that says that the site is not finished, where there is none.
    pub fn begin(&self) -> Result<()> {
        make(&self.path)?;
        let plan = self.path.join(PLAN);
        if plan.exists() {
            return Ok(());
        }
        let unfinished = serde_json::json!({"format": FORMAT, "version": 1, "unfinished": true});
        write_atomically(&plan, unfinished.to_string().as_bytes())
    }

    /// Writes a file of the site.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        make(path.parent().unwrap_or(&self.path))?;
        write_atomically(&path, bytes)?;
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Files so far.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// Writes the plan, and removes what the site before had and this one has not.
    pub fn finish(self, plan: &Value) -> Result<()> {
        write_atomically(&self.path.join(PLAN), json::lines(plan, json::DEPTH).as_bytes())?;
        for old in self.before.iter().filter(|old| !self.written.contains(old)) {
            let name = Path::new(old);
            // A list that someone has changed leads nowhere else.
            if !name.components().all(|part| matches!(part, Component::Normal(_))) {
                continue;
            }
            let file = self.path.join(name);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("remove", &file, &error));
                }
                _ => {}
            }
            // Folders that are empty now; the others refuse.
            for folder in name.ancestors().skip(1).filter(|name| !name.as_os_str().is_empty()) {
                let _ = fs::remove_dir(self.path.join(folder));
            }
        }
        Ok(())
    }
}

/// The beginning of a content's hash, for its file's name.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGITS].to_owned()
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, &error))
}

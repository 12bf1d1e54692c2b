//! What AMD's compiler made of the shaders, as far as a prediction needs it: a committed copy, for
//! those who have no such compiler.

use std::collections::BTreeMap;
use std::path::Path;

use moodshader::kernels::{Facts, Launch};
use moodshader::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::inspect::{Document, Row};

const COMMITTED: &str = include_str!("facts.json");
const FILE: &str = "xtask/src/bench/facts.json";

/// How the copy is made.
const REMEDY: &str =
    "`cargo xtask inspect --update`, with Mesa 25 (.ci/mesa25 unpacks it), makes it anew";

/// By the families' names, as `cargo xtask inspect --family` takes them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Known {
    /// `Mesa 25.0.7-2`
    pub driver: String,
    families: BTreeMap<String, Chips>,
}

/// What is known of a family.
#[derive(Debug, Serialize, Deserialize)]
pub struct Chips {
    pub adapter: Adapter,
    pipelines: Vec<Fact>,
}

/// What schedules are chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// The fewest and the most threads of a wave.
    subgroup: [u32; 2],
    workgroup_threads: u32,
    workgroup_bytes: u32,
}

impl Adapter {
    pub fn of(facts: &Facts) -> Self {
        Self {
            subgroup: facts.subgroup.unwrap_or_default(),
            workgroup_threads: facts.workgroup_threads,
            workgroup_bytes: facts.workgroup_bytes,
        }
    }

    pub fn facts(&self) -> Facts {
        Facts {
            software: false,
            subgroup: Some(self.subgroup),
            workgroup_threads: self.workgroup_threads,
            workgroup_bytes: self.workgroup_bytes,
        }
    }
}

/// What became of one pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    kernel: String,
    constants: BTreeMap<String, f64>,
    /// Of a workgroup.
    pub threads: u32,
    /// Threads of a wave.
    pub subgroup: u32,
    /// How many fit a SIMD, as RADV counts them: by the fewest threads of a wave.
    waves: u64,
    /// Of the innermost loop, or of the whole where no loop has multiply-adds; so all that follow.
    pub instructions: u32,
    /// A multiply-add is two.
    pub operations: u32,
    /// Of memory.
    pub loads: u32,
    pub workgroup_loads: u32,
}

impl Fact {
    fn of(row: &Row) -> Self {
        let counts = row.inner_loop.unwrap_or(row.whole);
        Self {
            kernel: row.kernel.clone(),
            constants: row.constants.clone(),
            threads: row.threads,
            subgroup: row.subgroup,
            waves: row.waves,
            instructions: counts.instructions,
            operations: counts.operations,
            loads: counts.loads,
            workgroup_loads: counts.workgroup_loads,
        }
    }
}

impl Known {
    pub fn of(document: &Document) -> Self {
        let families = document.families.iter().map(|family| {
            let pipelines = family.pipelines.iter().map(Fact::of).collect();
            (family.family.clone(), Chips { adapter: family.adapter, pipelines })
        });
        Self { driver: document.driver.clone(), families: families.collect() }
    }

    /// The committed copy.
    pub fn committed() -> Result<Self> {
        serde_json::from_str(COMMITTED)
            .map_err(|error| Error::failure(format!("{FILE} cannot be read ({error}); {REMEDY}")))
    }

    /// Replaces the committed copy.
    pub fn write(&self) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/facts.json");
        std::fs::write(&path, self.text()?).map_err(|error| Error::io("write", &path, &error))
    }

    /// A line for each pipeline, so that changes can be read.
    fn text(&self) -> Result<String> {
        let mut families = Vec::new();
        for (family, Chips { adapter, pipelines }) in &self.families {
            let lines = pipelines.iter().map(line).collect::<Result<Vec<_>>>()?;
            families.push(format!(
                "{}:{{\"adapter\":{},\"pipelines\":[\n{}\n]}}",
                line(family)?,
                line(adapter)?,
                lines.join(",\n")
            ));
        }
        let driver = line(&self.driver)?;
        Ok(format!("{{\"driver\":{driver},\"families\":{{\n{}\n}}}}\n", families.join(",\n")))
    }

    /// How this differs from what the compiler says now, a line each.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut differs = |family: &str, what: &str| {
            differences.push(format!("{what} on {family}: {FILE} has it otherwise; {REMEDY}"));
        };
        for (family, now) in &now.families {
            let Some(kept) = self.families.get(family) else {
                differs(family, "every kernel");
                continue;
            };
            if kept.adapter != now.adapter {
                differs(family, "the adapter");
            }
            let changed = now.pipelines.iter().filter(|fact| !kept.pipelines.contains(fact));
            let gone = kept.pipelines.iter().filter(|fact| {
                !now.pipelines.iter().any(|new| new.is_of(&fact.kernel, &fact.constants))
            });
            changed.chain(gone).for_each(|fact| differs(family, &fact.kernel));
        }
        differences
    }

    pub fn family(&self, id: &str) -> Result<&Chips> {
        let chips = self.families.get(id);
        chips.ok_or_else(|| Error::failure(format!("{FILE} does not know {id}; {REMEDY}")))
    }
}

impl Chips {
    /// Threads that a SIMD has room for.
    pub fn resident_threads(&self, fact: &Fact) -> f64 {
        fact.waves as f64 * f64::from(self.adapter.subgroup[0])
    }

    /// What became of a launch's pipeline; where no preset uses it with these constants, of one with
    /// others.
    pub fn fact(&self, launch: &Launch) -> Result<&Fact> {
        let constants = launch.grid.constants.iter().map(|&(name, value)| (name.to_owned(), value));
        let (kernel, constants) = (launch.shader.name, constants.collect());
        let exact = self.pipelines.iter().find(|fact| fact.is_of(kernel, &constants));
        let near = || self.pipelines.iter().find(|fact| fact.kernel == kernel);
        let found = exact.or_else(near);
        found.ok_or_else(|| Error::failure(format!("{FILE} does not know {kernel}; {REMEDY}")))
    }
}

impl Fact {
    fn is_of(&self, kernel: &str, constants: &BTreeMap<String, f64>) -> bool {
        self.kernel == kernel && self.constants == *constants
    }
}

fn line(value: &(impl Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::failure(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::Known;

    /// A family of two kernels.
    const KEPT: &str = r#"{"driver":"Mesa 25","families":{"rdna2":{
        "adapter":{"subgroup":[32,64],"workgroup_threads":1024,"workgroup_bytes":65536},"pipelines":[
        {"kernel":"a","constants":{"N":3.0},"threads":64,"subgroup":64,"waves":8,"instructions":100,
         "operations":160,"loads":3,"workgroup_loads":0},
        {"kernel":"b","constants":{},"threads":64,"subgroup":64,"waves":8,"instructions":100,
         "operations":160,"loads":3,"workgroup_loads":0}]}}}"#;

    fn known(text: &str) -> Known {
        serde_json::from_str(text).expect("facts")
    }

    #[test]
    fn facts_of_other_shaders_are_found() {
        let kept = known(KEPT);
        let whose = |now: &str| -> Vec<String> {
            let said = kept.differences(&known(now)).into_iter();
            said.map(|line| line.split(": ").next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(whose(KEPT), [""; 0]);
        // Another release that makes the same of all shaders is as good.
        assert_eq!(whose(&KEPT.replace("Mesa 25", "Mesa 26")), [""; 0]);
        assert_eq!(whose(&KEPT.replacen("\"waves\":8", "\"waves\":4", 1)), ["a on rdna2"]);
        // A kernel that is new, and one that is gone.
        assert_eq!(whose(&KEPT.replace("\"b\"", "\"c\"")), ["c on rdna2", "b on rdna2"]);
        assert_eq!(whose(&KEPT.replace("\"N\":3.0", "\"N\":4.0")), ["a on rdna2"; 2]);
        assert_eq!(whose(&KEPT.replace("[32,64]", "[64,64]")), ["the adapter on rdna2"]);
        assert_eq!(whose(&KEPT.replace("rdna2", "rdna3")), ["every kernel on rdna3"]);
    }

    #[test]
    fn the_committed_copy_is_as_it_is_written() {
        let known = Known::committed().expect("the copy can be read");
        assert_eq!(known.text().expect("text"), super::COMMITTED);
    }
}

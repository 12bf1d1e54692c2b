//! The cases of `moodshader verify` for a page that replays them: inputs, and what the references make of
//! them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::folder::{Folder, digest};
use super::{json as text, value};
use crate::Result;
use crate::exec::verification::{Expected, cases, reference, shape};
use crate::kernels::Facts;
use crate::kernels::verify::{AnyCase, Values};
use crate::plan::script::{ScriptLaunch, access_name, element_name};

/// What inputs are drawn from.
const SEED: u64 = 1;

/// A case without its numbers.
#[derive(Serialize)]
struct Case {
    case: &'static str,
    shape: String,
    tolerance: f64,
    #[serde(flatten)]
    launch: ScriptLaunch,
    /// Elements into a tensor that is bound as a uniform window.
    uniform_start: usize,
    file: String,
    tensors: Vec<Tensor>,
}

/// A tensor of a case.
#[derive(Serialize)]
struct Tensor {
    name: &'static str,
    access: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    length: usize,
    shares: usize,
    #[serde(flatten)]
    before: Before,
    /// The first byte of what the reference makes of it, in the case's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<usize>,
}

/// What a tensor holds before the launch.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Before {
    /// The same word everywhere.
    Fill(u32),
    /// From this byte of the case's file on.
    At(usize),
}

/// Writes the page and the cases of every schedule that a browser's adapter may be given. `done` is told how
/// many of how many cases are written.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &mut Folder, mut done: impl FnMut(usize, usize)) -> Result<()> {
    let all = cases("", &Facts::PORTABLE)?;
    let mut listed = Vec::with_capacity(all.len());
    let mut shaders = BTreeMap::new();
    for (index, case) in all.iter().enumerate() {
        let (tensors, bytes) = tensors(case, SEED);
        let file = format!("{index:03}-{}.bin", digest(&bytes));
        folder.put(&format!("verification/{file}"), &bytes)?;
        let shader = case.launch.shader;
        shaders.insert(shader.name, shader.source);
        listed.push(Case {
            case: case.name,
            shape: shape(&case.launch),
            tolerance: case.tolerance,
            launch: ScriptLaunch::of(&case.launch),
            uniform_start: case.launch.kernel.uniform_start(),
            file,
            tensors,
        });
        done(index + 1, all.len());
    }
    let document = json!({"seed": SEED, "cases": value(&listed)?, "shaders": shaders});
    folder.put("verification/cases.json", text::lines(&document, 2).as_bytes())?;
    let page = include_str!("../../assets/web/verification.html");
    folder.put("verification.html", page.as_bytes())
}

/// The tensors of a case, and the file with their numbers.
fn tensors(case: &AnyCase, seed: u64) -> (Vec<Tensor>, Vec<u8>) {
    let launch = &case.launch;
    let inputs = case.inputs(seed);
    let results = reference(launch, &inputs);
    let mut bytes: Vec<u8> = Vec::new();
    let mut put = |words: &[u8]| {
        let at = bytes.len();
        bytes.extend_from_slice(words);
        at
    };
    let bound = launch.kernel.bindings().iter().zip(&inputs).zip(&results);
    let tensors = bound.map(|((binding, input), result)| {
        let words: &[u32] = bytemuck::cast_slice(input.bytes());
        let same = words.iter().all(|word| *word == words[0]);
        let before = match words.first() {
            Some(&word) if same => Before::Fill(word),
            _ => Before::At(put(input.bytes())),
        };
        let expected = (!binding.access.reads()).then(|| match result {
            Expected::Numbers(numbers) => {
                let rounded: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
                put(bytemuck::cast_slice(&rounded))
            }
            Expected::Words(words) => put(bytemuck::cast_slice(words)),
        });
        Tensor {
            name: binding.name,
            access: access_name(binding.access),
            kind: element_name(binding.element),
            length: match input {
                Values::F32(values) => values.len(),
                Values::U32(words) => words.len(),
            },
            shares: launch.shares_in(binding.access),
            before,
            expected,
        }
    });
    let tensors = tensors.collect();
    (tensors, bytes)
}

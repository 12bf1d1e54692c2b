//! Reads the assembly that Mesa's compiler shows of a shader, and counts what is in it.
//!
//! ```text
//! BB3:
//!         s_buffer_load_dwordx4 s[4:7], s[0:3], s10       ; f4280100 14000000
//!         v_fmac_f32_e32 v1, s4, v2                       ; 56020404
//!         s_cbranch_scc1 BB3                              ; bf85fffc
//! ```

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What is in a stretch of instructions. Both halves of one that issues two operations at once count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub instructions: u32,
    /// Fused multiply-adds of f32, over all lanes; a packed one is two.
    pub multiply_adds: u32,
    /// Operations of f32 in each lane: two of a multiply-add, one of most others.
    pub operations: u32,
    /// Reads of memory.
    pub loads: u32,
    /// Reads of workgroup memory.
    pub workgroup_loads: u32,
}

impl Counts {
    /// Part of the instructions that are multiply-adds.
    pub fn multiply_add_share(&self) -> f64 {
        f64::from(self.multiply_adds) / f64::from(self.instructions)
    }

    fn add(&mut self, mnemonic: &str) {
        // The encoding is part of the name: v_fmac_f32_e32, v_dual_fmac_f32.
        let name = mnemonic.strip_prefix("v_dual_").or_else(|| mnemonic.strip_prefix("v_"));
        self.instructions += 1;
        let Some(name) = name else {
            let begins = |prefixes: &[&str]| prefixes.iter().any(|p| mnemonic.starts_with(p));
            let memory = ["s_load", "s_buffer_load", "global_load", "buffer_load", "flat_load"];
            self.loads += u32::from(begins(&memory) || begins(&["scratch_load"]));
            self.workgroup_loads += u32::from(begins(&["ds_load", "ds_read"]));
            return;
        };
        let packed = name.starts_with("pk_");
        let name = name.strip_prefix("pk_").unwrap_or(name);
        let width = if packed { 2 } else { 1 };
        // v_mad and v_mac are what chips before RDNA have beside v_fma, as fast.
        let fused = ["fma", "fmac", "fmaak", "fmamk", "mad", "mac", "madak", "madmk"];
        let ordinary = ["add", "sub", "subrev", "mul", "max", "min", "mul_legacy", "max3", "min3"];
        let is = |operations: &[&str]| {
            operations.iter().any(|operation| {
                let rest = name.strip_prefix(operation).and_then(|r| r.strip_prefix("_f32"));
                rest.is_some_and(|encoding| encoding.is_empty() || encoding.starts_with("_e"))
            })
        };
        if is(&fused) {
            self.multiply_adds += width;
            self.operations += 2 * width;
        } else if is(&ordinary) {
            self.operations += width;
        }
    }
}

/// What was counted in one shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub whole: Counts,
    /// Of the loops without a loop inside, that with the most multiply-adds; none where no loop has
    /// any.
    pub inner_loop: Option<Counts>,
}

/// Counts what is in a shader's assembly.
pub fn read(text: &str) -> Reading {
    let mut labels: HashMap<&str, usize> = HashMap::new();
    // Mnemonics, and where a branch goes.
    let mut code: Vec<(Vec<&str>, Option<&str>)> = Vec::new();
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(label) = line.strip_suffix(':') {
            labels.insert(label, code.len());
            continue;
        }
        if let Some(times) = line.strip_prefix("(then repeated ") {
            let times = times.split(' ').next().and_then(|times| times.parse().ok()).unwrap_or(0);
            code.extend(code.last().cloned().into_iter().flat_map(|last| vec![last; times]));
            continue;
        }
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        // What follows keeps the hardware from reading beyond the end.
        if first == "s_code_end" {
            break;
        }
        // What the disassembler does not know.
        if first.starts_with('(') {
            continue;
        }
        let target = first.contains("branch").then(|| words.next()).flatten();
        let second = line.split_once("::").and_then(|(_, rest)| rest.split_whitespace().next());
        code.push(([first].into_iter().chain(second).collect(), target));
    }

    let count = |range: &[(Vec<&str>, Option<&str>)]| {
        let mut counts = Counts::default();
        for mnemonic in range.iter().flat_map(|(mnemonics, _)| mnemonics) {
            counts.add(mnemonic);
        }
        counts
    };
    // A loop goes from a label to the last branch back to it.
    let mut loops: HashMap<usize, usize> = HashMap::new();
    for (end, (_, target)) in code.iter().enumerate() {
        if let Some(&start) = target.and_then(|label| labels.get(label)).filter(|s| **s <= end) {
            loops.insert(start, end);
        }
    }
    let innermost = loops.iter().filter(|&(start, end)| {
        !loops.iter().any(|(s, e)| (s, e) != (start, end) && start <= s && e <= end)
    });
    let inner_loop = innermost
        .map(|(&start, &end)| count(&code[start..=end]))
        .filter(|counts| counts.multiply_adds > 0)
        // The shorter one of two, so that the order of a map decides nothing.
        .max_by_key(|counts| (counts.multiply_adds, std::cmp::Reverse(counts.instructions)));
    Reading { whole: count(&code), inner_loop }
}

#[cfg(test)]
mod tests {
    use super::{Counts, read};

    /// In the form that RADV shows for RDNA 3, with instructions of other families among them: a loop
    /// around two others.
    const FIXTURE: &str = include_str!("fixture.s");

    #[test]
    fn the_innermost_loop_with_the_most_multiply_adds_is_counted() {
        let reading = read(FIXTURE);
        // From BB2 to the branch back: 14 lines with two halves more.
        let inner = Counts {
            instructions: 16,
            multiply_adds: 7,
            operations: 16,
            loads: 1,
            workgroup_loads: 1,
        };
        assert_eq!(reading.inner_loop, Some(inner));
        assert!((inner.multiply_add_share() - 7.0 / 16.0).abs() < 1e-12);
        let whole = Counts {
            instructions: 27,
            multiply_adds: 9,
            operations: 20,
            loads: 3,
            workgroup_loads: 1,
        };
        assert_eq!(reading.whole, whole);
    }

    #[test]
    fn without_a_loop_that_multiplies_and_adds_there_is_none() {
        // Without its second half, the inner loop has no branch back.
        let straight: String =
            FIXTURE.split_inclusive('\n').take_while(|line| !line.contains("s_branch")).collect();
        let reading = read(&straight);
        assert_eq!(reading.inner_loop, None);
        assert_eq!(reading.whole.multiply_adds, 7);
        let adding = "BB0:\n\tv_add_f32_e32 v1, v2, v1 ; 0\n\ts_cbranch_scc1 BB0 ; 0\n";
        assert_eq!(read(adding).inner_loop, None);
        assert_eq!(read("").whole, Counts::default());
    }
}

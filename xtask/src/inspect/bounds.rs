//! What the compiled shaders must keep to, so that a change that hurts AMD's cards fails without one.
//!
//! A bound that is broken on purpose is changed here, with what was measured.

use moodshader::{Error, Result};

use super::report::{Document, Row};

/// The families that are held to bounds, and whose facts are kept: those of the cards that `bench
/// --predict` knows. The Steam Deck's shaders are RDNA 2's.
pub const FAMILIES: [&str; 2] = ["rdna3", "rdna2"];

/// The release of Mesa that the bounds are for, and the oldest that they hold on: others allot
/// registers in other ways.
const RELEASE: u32 = 25;

/// Waves a SIMD of every kernel without bounds of its own; most have 32.
const WAVES: u64 = 16;

/// One kernel's bounds, whatever its constants. Numbers in pairs are for RDNA 3, then RDNA 2.
#[derive(Clone, Copy)]
struct Bound {
    kernel: &'static str,
    /// At most so many.
    vgprs: [u64; 2],
    /// At least so many, as RADV counts them: a wave of 64 threads is two.
    waves: [u64; 2],
    /// At least so many per cent of the innermost loop; 0 where that says nothing.
    multiply_adds: [u64; 2],
    /// At most so many. They are kept in lanes of vector registers, not in memory.
    spilled_sgprs: u64,
}

const fn bound(
    kernel: &'static str,
    vgprs: [u64; 2],
    waves: [u64; 2],
    multiply_adds: [u64; 2],
    spilled_sgprs: u64,
) -> Bound {
    Bound { kernel, vgprs, waves, multiply_adds, spilled_sgprs }
}

/// Measured with Mesa 25.0.7, the worst of each kernel's constants: registers, waves, multiply-adds,
/// spilled scalar registers.
const BOUNDS: &[Bound] = &[
    // 96 64, 16 16, 14.6 % 16.5 %, 0: a transform's multiply-adds are few
    bound("features/stft_power", [96, 72], [16, 16], [13, 15], 0),
    // 252 168, 6 6, 33.2 % 36.2 %, 5
    bound("layers/conv/entry_backward", [256, 168], [6, 6], [31, 34], 8),
    // 120 128, 12 8, 34.5 % 35.3 %, 23
    bound("layers/conv/entry_forward", [128, 128], [12, 8], [32, 33], 24),
    // 180 184, 8 4, 84.3 % 87.5 %, 0
    bound("layers/conv/forward", [192, 192], [8, 4], [82, 85], 0),
    bound("layers/conv/wide_forward", [192, 192], [8, 4], [82, 85], 0),
    // 180 184, 8 4, 85.6 % 89.3 %, 0
    bound("layers/conv/input_gradient", [192, 192], [8, 4], [83, 87], 0),
    // 108 112, 6 6, 79.0 % 80.7 %, 0
    bound("layers/conv/weight_gradient@staged", [112, 112], [6, 6], [77, 79], 0),
    // 144 168, 10 6, 73.1 % 76.2 %, 37
    bound("layers/front/backward", [144, 168], [10, 6], [71, 74], 40),
    // 252 256, 6 4, 73.5 % 76.4 %, 35
    bound("layers/front/forward", [256, 256], [6, 4], [71, 74], 40),
    // 120 120, 8 8, 61.5 % 63.4 %, 0
    bound("layers/front/weight_gradient", [128, 128], [8, 8], [59, 61], 0),
    // 120 128, 12 8, 52 % 54 %, 0
    bound("layers/lstm/input_gradient@wide", [128, 128], [12, 8], [49, 53], 0),
    // 108 104, 14 8, 61.0 % 61.5 %, 0
    bound("layers/lstm/input_product", [108, 128], [14, 8], [59, 59], 0),
    // 60 48, 24 20, 24 % 25 %, 0
    bound("layers/lstm/recurrence_backward@wide", [64, 64], [20, 16], [22, 23], 0),
    // 60 48, 24 20, 42 % 43 %, 0
    bound("layers/lstm/recurrence_forward@wide", [64, 64], [20, 16], [40, 41], 0),
    // 108 104, 14 8, 52.5 % 56.1 %, 0
    bound("layers/lstm/recurrent_gradient", [108, 128], [14, 8], [50, 54], 0),
    // 108 112, 14 8, 53.3 % 55.2 %, 0
    bound("layers/lstm/weight_gradient", [108, 128], [14, 8], [51, 53], 0),
];

/// Refuses a release that the bounds are not for.
pub fn require_release(driver: &str) -> Result<()> {
    let number = driver.strip_prefix("Mesa ").and_then(|rest| rest.split('.').next());
    match number.and_then(|number| number.parse::<u32>().ok()) {
        Some(number) if number >= RELEASE => Ok(()),
        _ => Err(Error::failure(format!(
            "the bounds and the facts of bench --predict are for Mesa {RELEASE} or later, and the \
             driver is of {driver}; on Debian 12 .ci/mesa25 unpacks it, elsewhere name it with --driver"
        ))),
    }
}

/// Which bounds are broken, a line each.
pub fn broken(document: &Document) -> Vec<String> {
    broken_of(BOUNDS, document)
}

fn broken_of(bounds: &[Bound], document: &Document) -> Vec<String> {
    let mut broken = Vec::new();
    for (index, id) in FAMILIES.into_iter().enumerate() {
        let Some(family) = document.families.iter().find(|family| family.family == id) else {
            broken.push(format!("{id} was not compiled for"));
            continue;
        };
        for row in &family.pipelines {
            let bound = bounds.iter().find(|bound| bound.kernel == row.kernel);
            let label = row.label(true);
            broken.extend(
                broken_by(row, bound, index).map(|what| format!("{label} on {id}: {what}")),
            );
        }
        let gone = bounds
            .iter()
            .filter(|bound| !family.pipelines.iter().any(|row| row.kernel == bound.kernel));
        broken.extend(gone.map(|bound| {
            format!("{} on {id}: no preset uses this kernel, and it has bounds", bound.kernel)
        }));
    }
    broken
}

fn broken_by(row: &Row, bound: Option<&Bound>, family: usize) -> impl Iterator<Item = String> {
    let at_most = |what: &str, is: u64, most: u64| {
        (is > most).then(|| format!("{what}: {is}, bound to at most {most}"))
    };
    let at_least = |what: &str, is: u64, least: u64| {
        (is < least).then(|| format!("{what}: {is}, bound to at least {least}"))
    };
    let share = row.inner_loop.map_or(0.0, |counts| 100.0 * counts.multiply_add_share());
    [
        at_most("spilled vector registers", row.spilled_vgprs, 0),
        at_most("bytes of scratch memory", row.scratch_bytes, 0),
        at_most(
            "spilled scalar registers",
            row.spilled_sgprs,
            bound.map_or(0, |b| b.spilled_sgprs),
        ),
        bound.and_then(|b| at_most("vector registers", row.vgprs, b.vgprs[family])),
        at_least("waves a SIMD", row.waves, bound.map_or(WAVES, |b| b.waves[family])),
        bound.and_then(|b| {
            let what = "per cent of multiply-adds in the innermost loop";
            at_least(what, share as u64, b.multiply_adds[family])
        }),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Bound, FAMILIES, bound, broken_of, require_release};
    use crate::bench::facts::Adapter;
    use crate::inspect::assembly::Counts;
    use crate::inspect::report::{Document, FamilyReport, Row};
    use moodshader::kernels::Facts;

    const BOUNDS: [Bound; 1] = [bound("hot", [100, 90], [8, 4], [80, 70], 2)];

    /// A kernel that just keeps the bounds on both families.
    fn hot() -> Row {
        let counts =
            Counts { instructions: 100, multiply_adds: 80, operations: 160, ..Default::default() };
        Row {
            kernel: "hot".to_owned(),
            constants: BTreeMap::from([("N".to_owned(), 3.0)]),
            preset: "paper".to_owned(),
            threads: 64,
            subgroup: 64,
            vgprs: 90,
            sgprs: 128,
            spilled_vgprs: 0,
            spilled_sgprs: 2,
            lds_bytes: 0,
            scratch_bytes: 0,
            waves: 8,
            instructions: 200,
            inner_loop: Some(counts),
            whole: counts,
        }
    }

    fn document(rdna3: Vec<Row>, rdna2: Vec<Row>) -> Document {
        let report = |family: &str, pipelines| FamilyReport {
            family: family.to_owned(),
            name: String::new(),
            adapter: Adapter::of(&Facts::PORTABLE),
            pipelines,
        };
        let families = vec![report(FAMILIES[0], rdna3), report(FAMILIES[1], rdna2)];
        Document { driver: String::new(), families }
    }

    #[test]
    fn what_breaks_a_bound_is_told_with_the_number_and_the_bound() {
        let kept = document(vec![hot()], vec![Row { vgprs: 90, waves: 4, ..hot() }]);
        assert_eq!(broken_of(&BOUNDS, &kept), [""; 0]);

        let lean = Counts { multiply_adds: 69, ..hot().whole };
        for (row, said) in [
            (Row { vgprs: 91, ..hot() }, "vector registers: 91, bound to at most 90"),
            (Row { waves: 3, ..hot() }, "waves a SIMD: 3, bound to at least 4"),
            (
                Row { inner_loop: Some(lean), ..hot() },
                "per cent of multiply-adds in the innermost loop: 69, bound to at least 70",
            ),
            (
                Row { inner_loop: None, ..hot() },
                "per cent of multiply-adds in the innermost loop: 0, bound to at least 70",
            ),
            (Row { spilled_vgprs: 1, ..hot() }, "spilled vector registers: 1, bound to at most 0"),
            (Row { spilled_sgprs: 3, ..hot() }, "spilled scalar registers: 3, bound to at most 2"),
            (Row { scratch_bytes: 4, ..hot() }, "bytes of scratch memory: 4, bound to at most 0"),
        ] {
            let broken = broken_of(&BOUNDS, &document(vec![hot()], vec![row]));
            assert_eq!(broken, [format!("hot (N=3) on rdna2: {said}")]);
        }
        // RDNA 3's own numbers are its own.
        let broken = broken_of(&BOUNDS, &document(vec![Row { waves: 7, ..hot() }], vec![hot()]));
        assert_eq!(broken, ["hot (N=3) on rdna3: waves a SIMD: 7, bound to at least 8"]);
    }

    #[test]
    fn kernels_without_bounds_must_leave_room_and_bounds_must_have_a_kernel() {
        let cold = |waves, spilled_sgprs| Row {
            kernel: "cold".to_owned(),
            constants: BTreeMap::new(),
            vgprs: 500,
            waves,
            spilled_sgprs,
            inner_loop: None,
            ..hot()
        };
        let broken = |row| broken_of(&[], &document(vec![row], vec![]));
        assert_eq!(broken(cold(16, 0)), [""; 0]);
        assert_eq!(broken(cold(15, 0)), ["cold on rdna3: waves a SIMD: 15, bound to at least 16"]);
        assert_eq!(
            broken(cold(16, 1)),
            ["cold on rdna3: spilled scalar registers: 1, bound to at most 0"]
        );
        assert_eq!(
            broken_of(&BOUNDS, &document(vec![hot()], vec![])),
            ["hot on rdna2: no preset uses this kernel, and it has bounds"]
        );
        let mut lone = document(vec![hot()], vec![]);
        lone.families.truncate(1);
        assert_eq!(broken_of(&BOUNDS, &lone), ["rdna2 was not compiled for"]);
    }

    #[test]
    fn the_bounds_are_for_one_release_and_later_ones() {
        for driver in ["Mesa 25.0.7-2~bpo12+1", "Mesa 26.1.0-devel", "Mesa 25"] {
            require_release(driver).unwrap();
        }
        for driver in ["Mesa 22.3.6", "Mesa 24.3.4", "", "535.1", "Mesa unknown"] {
            let error = require_release(driver).unwrap_err().to_string();
            assert!(error.contains(&format!("the driver is of {driver};")), "{error}");
        }
    }
}

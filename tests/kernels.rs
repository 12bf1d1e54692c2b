//! Every kernel against its CPU reference, on the adapter that `auto` takes, with the driver's
//! checks of every index; `cargo xtask verify-kernels` does it without, on any adapter.

mod support;

use moodshader::exec::verification::{Report, cases, verify};

#[test]
fn kernels_agree_with_their_references() {
    let cases = cases("").expect("there are kernels");
    let gpu = support::gpu();
    gpu.compile_all(cases.iter().map(|case| &*case.launch));
    let reports = cases.iter().map(|case| verify(gpu, case, 1));
    let failures: Vec<_> = reports
        .filter(|report| !report.passed())
        .map(|report: Report| report.to_string())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

//! Every kernel against its CPU reference, on the adapter that `auto` takes.

mod support;

use moodshader::exec::verification::verify;
use moodshader::kernels::REGISTRY;

#[test]
fn kernels_agree_with_their_references() {
    let filter = std::env::var("KERNEL").unwrap_or_default();
    let mut failures = Vec::new();
    for case in REGISTRY.iter().filter(|e| e.id.contains(&filter)).flat_map(|e| (e.cases)()) {
        let report = verify(support::gpu(), &case, 1).expect("the kernel runs");
        println!("{} {} {:.1e} {:.2}s", report.kernel, report.case, report.error, report.seconds);
        if !report.passed() {
            failures.push(format!(
                "{} {} ({}): error {:.2e} > {:.0e}, worst {}",
                report.kernel,
                report.case,
                report.shape,
                report.error,
                report.tolerance,
                report.worst
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

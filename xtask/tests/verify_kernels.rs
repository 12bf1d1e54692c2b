//! `cargo xtask verify-kernels` as scripts use it: documents on standard output, exit statuses.

mod support;

use std::process::Output;

use serde_json::Value;
use support::xtask;

fn verify_kernels(flags: &[&str]) -> Output {
    xtask("verify-kernels", flags)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("standard output is one JSON document")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn json_is_the_documented_one() {
    let flags = ["--filter", "layers/dense", "--format", "json"];
    let output = verify_kernels(&flags);
    assert_eq!(output.status.code(), Some(0));
    let document = json(&output);
    assert_eq!(keys(&document), ["adapter", "kernels", "passed"]);
    assert_eq!(document["passed"], true);
    let kernels = document["kernels"].as_array().expect("a list");
    assert!(kernels.len() >= 9, "three kernels at three shapes");
    for kernel in kernels {
        let names = ["kernel", "shape", "error", "tolerance", "passed", "seconds"];
        assert_eq!(keys(kernel), names);
    }

    let all = json(&verify_kernels(&[&flags[..], &["--all-devices"]].concat()));
    assert_eq!(keys(&all), ["adapters", "passed"]);
    assert_eq!(keys(&all["adapters"][0]), keys(&document));
}

#[test]
fn a_seed_repeats_the_errors() {
    let errors = |seed| {
        let flags = ["--filter", "dense/forward", "--format", "json", "--seed", seed];
        let document = json(&verify_kernels(&flags));
        let kernels = document["kernels"].as_array().expect("a list").clone();
        kernels.iter().map(|kernel| kernel["error"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(errors("5"), errors("5"));
    assert_ne!(errors("5"), errors("6"));
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_there_is() {
    for (flags, hint) in [
        (["--filter", "layers/lsmt"], "layers/lstm/input_product"),
        (["--device", "no such adapter"], "no adapter matches"),
        (["--device", "cpu"], "CPU reference with itself"),
        (["--format", "xml"], "json"),
    ] {
        let output = verify_kernels(&flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(hint), "{flags:?}: {said}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}

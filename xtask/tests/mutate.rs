//! `cargo xtask mutate` as scripts use it, and the process that verifies each mutant.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use moodshader::kernels::REGISTRY;

fn xtask(arguments: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("xtask starts");
    // A process that refuses its arguments reads nothing.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("xtask ends")
}

#[test]
fn a_seed_draws_the_same_mutants_again() {
    let list = |seed: u32| {
        let output = xtask(&format!("mutate --filter dense/forward --count 4 --seed {seed}"), "");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains(" of 4 mutants caught"), "{text}");
        let lines = text.lines().filter(|line| line.contains("shaders/") || line.starts_with(' '));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let first = list(1);
    assert_eq!(first.len(), 12, "a verdict and the line before and after, for each: {first:?}");
    assert_eq!(first, list(1));
    assert_ne!(first, list(2));
}

#[test]
fn a_right_shader_passes_and_a_wrong_one_is_told_from_one_that_does_not_compile() {
    let kernel = REGISTRY.iter().find(|kernel| kernel.id == "loss/accumulate");
    let source = (kernel.expect("the kernel exists").shaders)()[0].source;
    for (source, status) in [
        (source.to_owned(), 0),
        (source.replace("sum += loss[n]", "sum -= loss[n]"), 10),
        // Past the end: the guard spoils the sum.
        (source.replace("n < params.batch", "n <= params.batch"), 10),
        (source.replace("sum += loss[n]", "sum += lost[n]"), 11),
    ] {
        let output = xtask("verify-source loss/accumulate --device auto --seed 1", &source);
        assert_eq!(output.status.code(), Some(status), "{source}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in
        ["mutate --filter lsmt", "mutate --count 0", "mutate --device cpu", "mutate --device none"]
    {
        let output = xtask(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}

//! `cargo xtask inspect` with the driver that is installed, of whatever release: on Debian it comes
//! with the package that the other tests' adapter is in.
#![cfg(target_os = "linux")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::xtask;

fn inspect(flags: &[&str]) -> Output {
    xtask("inspect", flags)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_kernel_is_compiled_for_a_card_that_is_not_there() {
    // One name of the chip for every release, and one that changed.
    for (family, threads_of_a_wave) in [("rdna2", 64), ("rdna3", 64)] {
        let flags = ["--family", family, "--filter", "conv/weight_gradient", "--format", "json"];
        let output = inspect(&flags);
        assert!(output.status.success(), "{}", stderr(&output));
        let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert!(document["driver"].as_str().expect("text").starts_with("Mesa "), "{document}");
        let families = document["families"].as_array().expect("a list");
        assert_eq!(families.len(), 1);
        assert_eq!(families[0]["family"], family);
        let pipelines = families[0]["pipelines"].as_array().expect("a list");
        let named = |kernel: &str| -> Vec<&Value> {
            pipelines.iter().filter(|row| row["kernel"] == kernel).collect()
        };
        let rows = named("layers/conv/weight_gradient@staged");
        let groups: Vec<_> =
            rows.iter().map(|row| row["constants"]["GROUPS"].as_f64().expect("a number")).collect();
        assert_eq!(groups, [1.0, 3.0], "kernels of 3 and of 9 taps");
        for row in rows {
            let number = |name: &str| row[name].as_u64().expect("a number");
            let groups = row["constants"]["GROUPS"].as_f64().expect("a number") as u64;
            let threads = [number("threads"), number("subgroup")];
            assert_eq!(threads, [64 * groups, threads_of_a_wave], "{row}");
            // What the shader declares: the driver was given all of it.
            assert_eq!(number("lds_bytes"), 16 * 672, "{row}");
            // So many accumulate in each thread, at the least.
            assert!((48..=256).contains(&number("vgprs")) && number("waves") > 0, "{row}");
            let inner = &row["inner_loop"];
            // It reads what the workgroup has staged, and nothing else.
            assert_eq!([&inner["loads"], &inner["workgroup_loads"]], [0, 8], "{row}");
            let count = |name: &str| inner[name].as_f64().expect("a number");
            let share = count("multiply_adds") / count("instructions");
            assert!((0.3..1.0).contains(&share), "{row}");
            assert!(number("instructions") > count("instructions") as u64, "{row}");
        }
        assert_eq!(named("layers/conv/weight_gradient_reduce").len(), 1);
        assert_eq!(pipelines.len(), 3, "the filter leaves the others out");
    }
}

#[test]
fn the_table_has_a_line_for_every_pipeline_and_dashes_where_no_loop_counts() {
    let output = inspect(&["--family", "polaris", "--filter", "layers/relu"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("POLARIS10") && lines[0].contains("Mesa "), "{text}");
    let line = lines.iter().find(|line| line.starts_with("layers/relu/forward")).expect("a line");
    assert!(line.ends_with("-     -     -"), "{line}");
    assert!(text.contains("2 pipelines: 0 spill"), "{text}");
}

#[test]
fn what_cannot_be_inspected_is_said() {
    let output = inspect(&["--family", "rdna2", "--filter", "conv/backwards"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("matches --filter conv/backwards"), "{}", stderr(&output));
    let output = inspect(&["--family", "rdna2", "--driver", "no/such.json"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("no/such.json"), "{}", stderr(&output));
}

//! A plan that an adapter of lesser limits cannot run is refused.

mod support;

use moodshader::error::Kind;
use moodshader::exec::{Limits, fits};
use moodshader::kernels::Facts;
use moodshader::model::checkpoint::Normalization;
use moodshader::model::{Network, Purpose};
use moodshader::plan::Plan;

/// The longest tensor that a step binds, in bytes, and the most workgroups along a dimension.
fn needs(plan: &Plan) -> (u64, u32) {
    let bytes = plan.steps().iter().flat_map(|step| &step.tensors);
    let bytes = bytes.map(|&id| 4 * plan.tensor(id).length as u64).max();
    let workgroups = plan.steps().iter().flat_map(|step| step.launch.grid.workgroups).max();
    (bytes.expect("the plan binds a tensor"), workgroups.expect("the plan has a step"))
}

#[test]
fn a_plan_runs_at_its_limits_and_not_below() {
    let preset = support::small_preset("");
    let network = Network::new(&preset, Normalization { mean: 0.0, std: 1.0, handcrafted: None });
    let plan = network.program(2, Purpose::Training, &Facts::PORTABLE).plan;
    let (bytes, workgroups) = needs(&plan);
    let exact = Limits {
        max_storage_buffer_binding_size: bytes,
        max_compute_workgroups_per_dimension: workgroups,
        ..support::gpu().limits()
    };
    fits(&plan, &exact, "the adapter").expect("the plan needs no more");
    let less_binding = Limits { max_storage_buffer_binding_size: bytes - 4, ..exact.clone() };
    let fewer_workgroups =
        Limits { max_compute_workgroups_per_dimension: workgroups - 1, ..exact.clone() };
    for (limits, told) in [
        (less_binding, "in one binding and the adapter allows"),
        (fewer_workgroups, "workgroups in one dimension and the adapter allows"),
    ] {
        let error = fits(&plan, &limits, "the adapter").unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge);
        let text = error.to_string();
        assert!(text.contains(told), "{text}");
    }
}

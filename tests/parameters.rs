//! A model's tensors: names that PyTorch would give, and first values with the promised spread.

use moodshader::model::parameters::{
    Init, buffer_shapes, initialise, initialise_buffers, parameter_shapes, parameters,
};
use moodshader::model::preset::{Handcrafted, Preset, Rnn};

fn paper() -> Preset {
    Preset::named("paper").unwrap()
}

fn values<'a>(all: &'a [(String, Vec<f32>)], name: &str) -> &'a [f32] {
    &all.iter().find(|(other, _)| other == name).unwrap().1
}

fn mean_and_deviation(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[test]
fn names_and_order_are_the_documented_ones() {
    let shapes = parameter_shapes(&paper());
    let names: Vec<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names[..5],
        [
            "horizontal.blocks.0.conv.weight",
            "horizontal.blocks.0.conv.bias",
            "horizontal.blocks.0.bn.weight",
            "horizontal.blocks.0.bn.bias",
            "horizontal.blocks.1.conv.weight",
        ]
    );
    assert_eq!(
        names[28..34],
        [
            "horizontal.lstm0.weight_ih_l0",
            "horizontal.lstm0.weight_ih_l0_reverse",
            "horizontal.lstm0.weight_hh_l0",
            "horizontal.lstm0.weight_hh_l0_reverse",
            "horizontal.lstm0.bias_ih_l0",
            "horizontal.lstm0.bias_ih_l0_reverse",
        ]
    );
    assert_eq!(names[names.len() - 2..], ["dense.weight", "dense.bias"]);
    assert_eq!(shapes[4].1, [16, 16, 1, 9]);
    assert_eq!(shapes[28].1, [512, 128]);
    assert_eq!(shapes[34].1, [128, 256]);
    let buffers = buffer_shapes(&paper());
    assert_eq!(buffers.len(), 2 * (7 + 4));
    assert_eq!(buffers[1], ("horizontal.blocks.0.bn.running_var".to_string(), vec![16]));
    // Weights of the convolutions, batch norms, LSTMs and head, added up by hand.
    let count: usize = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let horizontal = 144 + 9 * (16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 2 * 64 * 64) + 3 * 288;
    let vertical = 144 + 9 * (16 * 32 + 32 * 64 + 64 * 64) + 3 * 176;
    let lstms = 2 * (512 * (128 + 128 + 1) + 128 * (256 + 32 + 1));
    assert_eq!(count, horizontal + vertical + 2 * lstms + 128 * 10 + 10);
}

#[test]
fn every_front_of_a_preset_has_its_tensors() {
    let mut preset = paper();
    preset.model.branch.clear();
    preset.model.rnn = Some(Rnn { lstm: vec![128, 64] });
    preset.model.handcrafted = Some(Handcrafted { hidden: vec![32, 16], rolloff: 0.85 });
    let shapes = parameter_shapes(&preset);
    let shape = |name: &str| &shapes.iter().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(*shape("rnn.lstm0.weight_ih_l0"), [512, 128]);
    assert_eq!(*shape("rnn.lstm1.weight_ih_l0_reverse"), [256, 256]);
    assert_eq!(*shape("handcrafted.fc0.weight"), [32, 6]);
    assert_eq!(*shape("handcrafted.fc1.weight"), [16, 32]);
    assert_eq!(*shape("dense.weight"), [10, 128 + 16]);
}

#[test]
fn first_values_have_the_promised_spread() {
    let preset = paper();
    let all = initialise(&preset, 7);
    let order: Vec<_> = parameter_shapes(&preset).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        all.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        order.iter().collect::<Vec<_>>()
    );

    let (mean, deviation) = mean_and_deviation(values(&all, "horizontal.blocks.6.conv.weight"));
    let expected = (2.0f64 / (64.0 * 9.0)).sqrt();
    assert!(mean.abs() < 0.03 * expected && (deviation / expected - 1.0).abs() < 0.03);

    for (name, fans) in
        [("horizontal.lstm0.weight_ih_l0", 128.0 + 512.0), ("dense.weight", 128.0 + 10.0)]
    {
        let limit = (6.0f64 / fans).sqrt() as f32;
        let drawn = values(&all, name);
        let largest = drawn.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
        assert!(largest <= limit && largest > 0.98 * limit, "{name}");
    }

    let bias = values(&all, "vertical.lstm1.bias_ih_l0_reverse");
    assert!(bias.iter().enumerate().all(|(gate, v)| *v == f32::from((32..64).contains(&gate))));
    assert!(values(&all, "horizontal.blocks.0.bn.weight").iter().all(|v| *v == 1.0));
    assert!(values(&all, "dense.bias").iter().all(|v| *v == 0.0));
    let buffers = initialise_buffers(&preset);
    assert!(values(&buffers, "vertical.blocks.3.bn.running_var").iter().all(|v| *v == 1.0));
    assert!(values(&buffers, "vertical.blocks.3.bn.running_mean").iter().all(|v| *v == 0.0));
}

#[test]
fn recurrent_weights_have_orthonormal_columns() {
    let all = initialise(&paper(), 7);
    let weights = values(&all, "horizontal.lstm0.weight_hh_l0");
    let units = 128;
    for a in 0..units {
        for b in a..units {
            let product: f64 =
                weights.chunks(units).map(|row| f64::from(row[a]) * f64::from(row[b])).sum();
            let expected = if a == b { 1.0 } else { 0.0 };
            assert!((product - expected).abs() < 1e-6, "columns {a} and {b}: {product}");
        }
    }
    let (mean, deviation) = mean_and_deviation(weights);
    assert!(mean.abs() < 1e-3 && (deviation * 512f64.sqrt() - 1.0).abs() < 1e-2);
}

#[test]
fn a_tensor_depends_on_the_seed_and_its_name_alone() {
    let preset = paper();
    let all = initialise(&preset, 7);
    assert_eq!(all, initialise(&preset, 7));
    let mut wider = preset.clone();
    wider.model.branch[0].channels.pop();
    wider.model.branch[0].lstm = vec![64];
    let changed = initialise(&wider, 7);
    for name in ["vertical.lstm1.weight_hh_l0", "horizontal.blocks.0.conv.weight"] {
        assert_eq!(values(&all, name), values(&changed, name));
    }
    let other = initialise(&preset, 8);
    assert_ne!(values(&all, "dense.weight"), values(&other, "dense.weight"));
    let (one, two) = ("horizontal.lstm0.weight_hh_l0", "horizontal.lstm0.weight_hh_l0_reverse");
    assert_ne!(values(&all, one), values(&all, two));
}

/// As Keras counts: the input kernel is one matrix (inputs, 4 · units).
#[test]
fn an_lstms_input_weights_count_the_four_gates_as_one_matrix() {
    let parameters = parameters(&paper());
    let init = |name: &str| parameters.iter().find(|p| p.name == name).unwrap().init;
    let glorot = Init::GlorotUniform { fan_in: 256, fan_out: 128 };
    assert_eq!(init("vertical.lstm1.weight_ih_l0"), glorot);
    assert_eq!(init("vertical.blocks.1.conv.weight"), Init::HeNormal { fan_in: 16 * 9 });
}

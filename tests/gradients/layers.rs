//! Layers between the blocks and the loss.

use moodshader::kernels::Kernel;
use moodshader::kernels::layers::{dense, dropout, relu, sequence};

use crate::differences::{check, dot, normal};

#[test]
fn dense_layer() {
    let (batch, inputs, outputs) = (3, 5, 4);
    let (x, weight, bias) = (normal(15, 1), normal(20, 2), normal(4, 3));
    let d_output = normal(12, 4);
    let loss = |input: &[f64], weight: &[f64], bias: &[f64]| {
        let mut output = vec![f64::NAN; 12];
        let slices = dense::forward::Slices { input, weight, bias, output: &mut output };
        dense::forward::Params { batch, inputs, outputs }.reference(slices);
        dot(&output, &d_output)
    };
    let mut d_x = vec![f64::NAN; 15];
    dense::input_gradient::Params { batch, inputs, outputs }.reference(
        dense::input_gradient::Slices { d_output: &d_output, weight: &weight, d_input: &mut d_x },
    );
    let (mut d_weight, mut d_bias) = (vec![f64::NAN; 20], vec![f64::NAN; 4]);
    dense::weight_gradient::Params { batch, inputs, outputs }.reference(
        dense::weight_gradient::Slices {
            d_output: &d_output,
            input: &x,
            d_weight: &mut d_weight,
            d_bias: &mut d_bias,
        },
    );
    check("input", &d_x, &x, |x| loss(x, &weight, &bias));
    check("weight", &d_weight, &weight, |weight| loss(&x, weight, &bias));
    check("bias", &d_bias, &bias, |bias| loss(&x, &weight, bias));
}

#[test]
fn dropout_layer() {
    let control = [4, 9, 0, 0];
    let (x, d_output) = (normal(100, 1), normal(100, 2));
    let mut d_x = vec![f64::NAN; 100];
    let slices = dropout::forward::Slices { control: &control, input: &d_output, output: &mut d_x };
    dropout::forward::Params::new(100, 0.7).reference(slices);
    assert!(d_x.contains(&0.0), "some elements are dropped");
    check("input", &d_x, &x, |input| {
        let mut output = vec![f64::NAN; 100];
        let slices = dropout::forward::Slices { control: &control, input, output: &mut output };
        dropout::forward::Params::new(100, 0.7).reference(slices);
        dot(&output, &d_output)
    });
}

#[test]
fn sequence_of_a_map() {
    let (batch, channels, bands, steps) = (2, 6, 3, 4);
    let params = sequence::forward::Params { batch, channels, bands, steps };
    let lengths = params.lengths();
    let (x, affine) = (normal(lengths.input, 1), normal(lengths.affine, 2));
    let d_output = normal(lengths.output, 3);
    let mut d_x = vec![f64::NAN; lengths.input];
    let slices = sequence::backward::Slices { d_output: &d_output, d_input: &mut d_x };
    sequence::backward::Params { batch, channels, bands, steps }.reference(slices);
    // It is the gradient to the scaled map.
    for (at, d) in d_x.iter_mut().enumerate() {
        *d *= affine[4 * (at / (4 * 12) % 2) + at % 4];
    }
    check("input", &d_x, &x, |input| {
        let mut output = vec![f64::NAN; lengths.output];
        params.reference(sequence::forward::Slices { input, affine: &affine, output: &mut output });
        dot(&output, &d_output)
    });
}

#[test]
fn mean_and_maximum_over_time() {
    let (batch, steps, columns, width, offset) = (2, 5, 3, 11, 4);
    let params = sequence::mean_max::Params { batch, steps, columns, width, offset };
    let x = normal(30, 1);
    let d_features = normal(22, 2);
    let run = |x: &[f64], place: &mut [u32]| {
        let mut features = vec![0.0; 22];
        params.reference(sequence::mean_max::Slices { x, features: &mut features, place });
        features
    };
    let gradient = |place: &[u32]| {
        let mut d_x = vec![f64::NAN; 30];
        sequence::mean_max_gradient::Params { batch, steps, columns, width, offset }.reference(
            sequence::mean_max_gradient::Slices { d_features: &d_features, place, d_x: &mut d_x },
        );
        d_x
    };
    let mut place = vec![9; 6];
    run(&x, &mut place);
    check("input", &gradient(&place), &x, |x| dot(&run(x, &mut [0; 6]), &d_features));

    // A maximum that several steps share belongs to the first of them.
    let mut tied = x;
    for t in 0..5 {
        tied[3 * t] = if t == 0 { -1.0 } else { 0.5 };
    }
    run(&tied, &mut place);
    assert_eq!(place[0], 1);
    let d_x = gradient(&place);
    let mean = d_features[4] / 5.0;
    assert_eq!([d_x[0], d_x[3], d_x[6]], [mean, mean + d_features[7], mean]);
}

#[test]
fn relu_into_columns() {
    let (batch, columns, width, offset) = (3, 4, 9, 2);
    let (x, d_output) = (normal(12, 1), normal(27, 2));
    let mut d_x = vec![f64::NAN; 12];
    relu::backward::Params { batch, columns, width, offset }.reference(relu::backward::Slices {
        input: &x,
        d_output: &d_output,
        d_input: &mut d_x,
    });
    assert!(d_x.contains(&0.0), "some elements are negative");
    check("input", &d_x, &x, |input| {
        let mut output = vec![0.0; 27];
        let slices = relu::forward::Slices { input, output: &mut output };
        relu::forward::Params { batch, columns, width, offset }.reference(slices);
        dot(&output, &d_output)
    });
}

//! What Adam makes of gradients.

use moodshader::kernels::Kernel;
use moodshader::kernels::optim::adam;

use crate::differences::{error, normal};

/// Adam as PyTorch's documentation writes it.
#[test]
fn adam_follows_its_formula() {
    let (rate, [beta1, beta2], epsilon) = (1e-3, [0.9_f64, 0.999_f64], 1e-8);
    let params = adam::Params::new(2, [beta1, beta2], epsilon, 0.0);
    let start = normal(8, 1);
    let (mut w, mut m, mut v) = (start.clone(), vec![0.0; 8], vec![0.0; 8]);
    let (mut parameter, mut exp_avg, mut exp_avg_sq) = (start.clone(), vec![0.0; 8], vec![0.0; 8]);
    for update in 0..20 {
        let gradient = normal(8, 100 + update);
        let t = update as i32 + 1;
        for i in 0..8 {
            m[i] = beta1 * m[i] + (1.0 - beta1) * gradient[i];
            v[i] = beta2 * v[i] + (1.0 - beta2) * gradient[i] * gradient[i];
            let (m_hat, v_hat) = (m[i] / (1.0 - beta1.powi(t)), v[i] / (1.0 - beta2.powi(t)));
            w[i] -= rate * m_hat / (v_hat.sqrt() + epsilon);
        }
        params.reference(adam::Slices {
            control: &adam::control(update, 3, rate, [beta1, beta2], 1.0),
            gradient: &gradient,
            exp_avg: &mut exp_avg,
            exp_avg_sq: &mut exp_avg_sq,
            parameter: &mut parameter,
            status: &mut [u32::MAX],
        });
    }
    let way = |to: &[f64]| -> Vec<f64> { to.iter().zip(&start).map(|(a, b)| a - b).collect() };
    // The kernel's constants are f32.
    assert!(error(&exp_avg, &m) < 1e-6);
    assert!(error(&exp_avg_sq, &v) < 1e-6);
    assert!(error(&way(&parameter), &way(&w)) < 1e-6);
}

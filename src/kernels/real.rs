//! The number a CPU reference computes in.

use std::fmt::{Debug, Display};
use std::iter::Sum;

/// `f32`, to stand in for the GPU, or `f64`, to judge it.
pub trait Real:
    num_traits::Float + num_traits::NumAssign + Sum + Default + Debug + Display + Send + Sync + 'static
{
    /// The nearest value to `x`.
    fn of(x: f64) -> Self;
    /// The same number in f64.
    fn double(self) -> f64;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
    fn double(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn double(self) -> f64 {
        self
    }
}

/// 1 / (1 + e^−x).
pub fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exp())
}

/// Element `at` of the sum over shares that have `length` elements each.
pub fn over_shares<T: Real>(shares: &[T], length: usize, at: usize) -> T {
    T::of(shares[at..].iter().step_by(length).map(|x| x.double()).sum())
}

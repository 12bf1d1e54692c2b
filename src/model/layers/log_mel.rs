//! The input of log-mel spectrograms; the kernels that read them standardise them as they
//! load.

use super::{Layer, Pullback, Shape};
use crate::model::onnx::Export;
use crate::model::planning::{Builder, Value};

/// Spectrograms before standardisation.
#[derive(Debug)]
pub struct LogMel {
    /// Bands.
    pub mels: usize,
    /// Steps.
    pub frames: usize,
}

impl Layer for LogMel {
    fn name(&self) -> &str {
        "log_mel"
    }

    fn output(&self) -> Shape {
        Shape::Plane { bands: self.mels, steps: self.frames }
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, _: &[Value]) -> (Value, Pullback<'a>) {
        (Value::Plane(b.heard([self.mels, self.frames])), Box::new(|_, _| Vec::new()))
    }

    fn export(&self, onnx: &mut Export<'_>, _: &[String]) -> String {
        let log_mel = onnx.log_mel();
        let normalization = onnx.normalization;
        onnx.standardised("", &log_mel, &[], &[normalization.mean], &[normalization.std])
    }
}

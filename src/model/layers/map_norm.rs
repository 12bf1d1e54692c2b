//! Batch norm of a feature map: its statistics become the scale and the shift that whoever reads the map
//! applies.

use crate::kernels::layers::batch_norm;
use crate::model::planning::Builder;
use crate::plan::TensorId;

/// Batch norm of what a convolution makes, pooled or not.
pub struct MapNorm<'a> {
    /// The layer whose tensors `bn.…` it has.
    pub owner: &'a str,
    pub channels: u32,
    /// Elements of a channel of a clip before pooling: the statistics are over all of them.
    pub elements: f64,
    /// Places of a channel of a clip after pooling.
    pub pooled: u32,
}

/// What batch norm does to an activation.
#[derive(Clone, Copy)]
pub struct Norm {
    /// Scale and shift.
    pub affine: TensorId,
    /// Mean, inverse deviation and scale of the batch; none outside training.
    moments: Option<TensorId>,
}

impl Norm {
    pub fn moments(self) -> TensorId {
        self.moments.unwrap_or_else(|| unreachable!("training keeps the moments"))
    }
}

impl MapNorm<'_> {
    fn quads(&self) -> u32 {
        self.channels.div_ceil(4)
    }

    /// Appends what turns the convolution's sums, or the running statistics, into scale and shift.
    pub fn plan(&self, b: &mut Builder<'_>, partial: TensorId, shares: u32) -> Norm {
        let &Self { owner, channels, .. } = self;
        let gamma = b.parameter(owner, "bn.weight");
        let beta = b.parameter(owner, "bn.bias");
        let running_mean = b.buffer(owner, "bn.running_mean");
        let running_var = b.buffer(owner, "bn.running_var");
        let affine = b.scratch(owner, "affine", 8 * self.quads());
        if !b.trains() {
            b.step(
                batch_norm::inference::Params::new(channels),
                batch_norm::inference::Tensors { gamma, beta, running_mean, running_var, affine },
            );
            return Norm { affine, moments: None };
        }
        let moments = b.scratch(owner, "moments", 12 * self.quads());
        b.step(
            batch_norm::statistics::Params::new(
                channels,
                shares,
                f64::from(b.batch) * self.elements,
            ),
            batch_norm::statistics::Tensors {
                partial,
                gamma,
                beta,
                running_mean,
                running_var,
                moments,
                affine,
            },
        );
        Norm { affine, moments: Some(moments) }
    }

    /// Appends the gradients to γ and β, and returns the means that the gradient to the activation
    /// takes away.
    pub fn plan_backward(
        &self,
        b: &mut Builder<'_>,
        d_output: TensorId,
        pooled: TensorId,
        norm: Norm,
    ) -> TensorId {
        let (&Self { owner, .. }, quads) = (self, self.quads());
        let sums = |clips| batch_norm::gradient_sums::Params { clips, quads, plane: self.pooled };
        let shares = b.plan.shares(sums(b.batch));
        let partial = b.scratch(owner, "d_sums", 8 * shares * quads);
        for clips in b.clips([d_output, pooled, partial]) {
            let tensors = batch_norm::gradient_sums::Tensors {
                d_output: b.part(d_output, clips),
                pooled: b.part(pooled, clips),
                moments: norm.moments(),
                partial: b.part(partial, clips),
            };
            b.step(sums(clips[1]), tensors);
        }
        let terms = b.scratch(owner, "terms", 8 * quads);
        let [d_gamma, d_beta] = gradients(b, owner, ["bn.weight", "bn.bias"]);
        b.step(
            batch_norm::gradient_reduce::Params {
                channels: self.channels,
                shares,
                elements: (f64::from(b.batch) * self.elements) as f32,
            },
            batch_norm::gradient_reduce::Tensors { partial, d_gamma, d_beta, terms },
        );
        terms
    }
}

/// The places of gradients to a layer's parameters.
pub fn gradients<const N: usize>(
    b: &mut Builder<'_>,
    owner: &str,
    what: [&str; N],
) -> [TensorId; N] {
    what.map(|what| b.gradient(owner, what))
}

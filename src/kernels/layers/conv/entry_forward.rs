//! The first block of a branch up to its batch norm: convolution, ReLU and pooling in one pass.

use rayon::prelude::*;

use super::entry::{self, exact};
use super::{Entry, of_quad, sums_around};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/entry_forward",
    pieces ["entry", "quads", "activation_sums"],
    params {
        /// The block.
        entry: Entry,
    },
    tensors {
        /// [batch, bands, steps], in dB
        input: read f32,
        /// [out_channels, taps]
        weight: read f32,
        /// \[out_channels\]
        bias: read f32,
        /// \[out_channels\], of the batch norm that follows
        gamma: read f32,
        /// \[out_channels\], near the mean of the activation: the running mean
        pivot: read f32,
        /// [batch, out_quads, pooled bands, pooled steps, 4]
        pooled: write f32,
        /// [batch, out_quads, pooled bands, pooled steps]: the kept place, a byte a channel
        code: write u32,
        /// [out_quads, 2, 4]: Σ (activation − pivot), Σ (activation − pivot)²
        partial: shares f32,
    },
}

impl Params {
    /// Workgroups of `lanes` threads, each of which computes whole windows of at most `tile`
    /// positions of a line, in `rows` rows of windows. Every workgroup leaves a share.
    fn grid(&self, tile: u32, rows: u32, lanes: u32) -> Grid {
        let Entry { batch, lines, taps, pooling, .. } = self.entry;
        let tiles = lines.length.div_ceil(tile / pooling.window * pooling.window);
        let rows_of_windows = lines.lines.div_ceil(pooling.window_lines);
        let groups = cover(tiles * rows_of_windows.div_ceil(rows), lanes);
        Grid {
            workgroups: [groups, self.entry.out_quads(), batch],
            constants: vec![
                ("POOL", f64::from(pooling.window)),
                ("GROUPS", f64::from(taps.div_ceil(3))),
            ],
            shares: batch * groups,
        }
    }

    /// Pools a quad's activation; of each window, the kept value and its place.
    fn pool<T: Real>(&self, activation: &[T], gamma: [T; 4], pooled: &mut [T], code: &mut [u32]) {
        let (lines, windows) = (self.entry.lines, self.entry.pooling);
        let direction =
            gamma.map(|gamma| if gamma == T::zero() { T::zero() } else { gamma.signum() });
        let mut places = vec![[u32::MAX; 4]; code.len()];
        for (line, position) in (0..lines.lines)
            .flat_map(|line| (0..lines.length).map(move |position| (line, position)))
        {
            let Some((window, here)) = windows.locate(line, position) else { continue };
            let at = (line * lines.across + position * lines.along) as usize;
            let value = &activation[4 * at..4 * at + 4];
            for c in 0..4 {
                let held = &mut pooled[4 * window + c];
                let place = &mut places[window][c];
                let (key, best) = (value[c] * direction[c], *held * direction[c]);
                if *place == u32::MAX || key > best || (key == best && here < *place) {
                    (*held, *place) = (value[c], here);
                }
            }
        }
        for (code, place) in code.iter_mut().zip(&places) {
            *code = u32::from_le_bytes(place.map(|place| place as u8));
        }
    }
}

impl Kernel for Params {
    // Four rows a thread: loading its weights is then a small part of its work.
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| params.grid(8, 4, 64))];

    fn lengths(&self) -> Tensors<usize> {
        let (channels, pooled) = (self.entry.out_channels as usize, self.entry.pooled());
        Tensors {
            input: self.entry.inputs(),
            weight: channels * self.entry.taps as usize,
            pooled: 4 * pooled,
            code: pooled,
            partial: 8 * self.entry.out_quads() as usize,
            ..Tensors::each(channels)
        }
    }

    fn cost(&self) -> Cost {
        self.entry.cost(1.0)
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { weight, bias, gamma, pivot, pooled, code, partial, .. } = tensors;
        let (outs, pooled_plane) = (self.entry.out_quads() as usize, self.entry.pooled_plane());
        // By clip and quad.
        let sums: Vec<Vec<[f64; 8]>> = pooled
            .par_chunks_mut(4 * outs * pooled_plane)
            .zip(code.par_chunks_mut(outs * pooled_plane))
            .zip(self.entry.clips(tensors.input))
            .map(|((pooled, code), input)| {
                let planes = pooled.chunks_mut(4 * pooled_plane).zip(code.chunks_mut(pooled_plane));
                let quads = planes.enumerate().map(|(quad, (pooled, code))| {
                    let activation = self.entry.activation(quad, &input, weight, bias);
                    self.pool(&activation, of_quad(gamma, quad), pooled, code);
                    sums_around(of_quad(pivot, quad), [&activation[..]].into_iter())
                });
                quads.collect()
            })
            .collect();
        for (at, sum) in partial.iter_mut().enumerate() {
            *sum = T::of(sums.iter().map(|clip| clip[at / 8][at % 8]).sum());
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // γ of both signs and zero, by fives, so that each lane of a quad meets them all; the others
        // at random.
        let ranges = [(0.5, 2.0), (-2.0, -0.5), (0.1, 1.0), (0.0, 0.0), (-1.0, -0.1)];
        let gamma = ranges.into_iter().cycle().take(self.entry.out_channels as usize);
        Tensors {
            input: exact(),
            weight: exact(),
            bias: exact(),
            gamma: Draw::Ranges(gamma.collect()),
            pivot: Draw::Uniform(0.0, 1.0),
            partial: Draw::Poison,
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let own = [
            ("odd, over time", 3, 7, [1, 5], [11, 37], [2, 3]),
            ("odd, over frequency", 2, 6, [7, 1], [19, 79], [3, 2]),
            ("one short of whole tiles", 2, 4, [1, 3], [4, 31], [2, 2]),
            ("windows of one position", 1, 5, [1, 3], [3, 29], [2, 1]),
        ];
        entry::cases(&own, |entry| Self { entry })
    }
}

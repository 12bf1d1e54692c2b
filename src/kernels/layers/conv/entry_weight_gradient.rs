//! Shares of the weight and bias gradient of a branch's first convolution.

use super::{Lines, MOST_TAPS, Taps, Walk};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, kernel};

kernel! {
    "layers/conv/entry_weight_gradient",
    params {
        batch: u32,
        first_clip: u32,
        clips: u32,
        out_quads: u32,
        length: u32,
        lines: u32,
        along: u32,
        across: u32,
        before: u32,
        segment: u32,
        segments: u32,
        splits: u32,
        first_split: u32,
    },
    tensors {
        /// [clips, out_quads, bands, steps, 4]
        d_output: read f32,
        /// [batch, bands, steps]
        input: read f32,
        /// [splits, out_quads, 10, 4]: nine taps, then the bias; the slice's splits are written
        partial: update f32,
    },
}

/// Nine taps and the bias.
pub const COLUMNS: usize = MOST_TAPS as usize + 1;

impl Params {
    /// For every slice of a batch of `batch` clips, in order.
    pub fn slices(batch: u32, clips: u32, out_channels: u32, lines: Lines, taps: u32) -> Vec<Self> {
        let mut result = Vec::new();
        let mut splits = 0;
        for first_clip in (0..batch).step_by(clips as usize) {
            let clips = clips.min(batch - first_clip);
            let walk = Walk::new(lines, clips);
            result.push(Self {
                batch,
                first_clip,
                clips,
                out_quads: out_channels.div_ceil(4),
                length: lines.length,
                lines: lines.lines,
                along: lines.along,
                across: lines.across,
                before: taps / 2,
                segment: walk.segment,
                segments: walk.segments,
                splits: 0,
                first_split: splits,
            });
            splits += walk.splits;
        }
        for params in &mut result {
            params.splits = splits;
        }
        result
    }

    fn geometry(&self) -> Lines {
        let Self { length, lines, along, across, .. } = *self;
        Lines { length, lines, along, across }
    }

    fn walk(&self) -> Walk {
        Walk::new(self.geometry(), self.clips)
    }
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let plane = self.geometry().plane();
        let [batch, clips, outs, splits] =
            [self.batch, self.clips, self.out_quads, self.splits].map(|n| n as usize);
        Tensors {
            d_output: clips * outs * plane * 4,
            input: batch * plane,
            partial: splits * outs * COLUMNS * 4,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [self.walk().splits, self.out_quads, 1]
    }

    fn cost(&self) -> Cost {
        let used = 2 * self.before + 1;
        let taps = Taps { stored: used, first: 0, used, before: self.before };
        let filters = 4.0 * f64::from(self.clips) * f64::from(self.out_quads);
        let input = self.clips as usize * self.geometry().plane();
        Cost {
            flops: 2.0 * filters * self.geometry().meetings(taps),
            bytes: 4.0 * (self.lengths().d_output + input) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let lines = self.geometry();
        let walk = self.walk();
        let plane = lines.plane();
        let outs = self.out_quads as usize;
        let one = outs * COLUMNS * 4;
        let start = self.first_split as usize * one;
        let partial = &mut tensors.partial[start..start + walk.splits as usize * one];
        partial.fill(T::zero());
        for (at, d) in tensors.d_output.chunks(4 * plane).enumerate() {
            let (clip, o) = (at / outs, at % outs);
            let input = &tensors.input[(self.first_clip as usize + clip) * plane..][..plane];
            for line in 0..lines.lines {
                for position in 0..lines.length {
                    let split = walk.split(lines, clip as u32, line, position);
                    let place = line * lines.across + position * lines.along;
                    let d = &d[4 * place as usize..][..4];
                    let sums = &mut partial[(split * outs + o) * COLUMNS * 4..][..COLUMNS * 4];
                    for tap in 0..MOST_TAPS {
                        let from = i64::from(position) + i64::from(tap) - i64::from(self.before);
                        if from < 0 || from >= i64::from(lines.length) {
                            continue;
                        }
                        let x = input[(line * lines.across + from as u32 * lines.along) as usize];
                        for (sum, &d) in sums[4 * tap as usize..][..4].iter_mut().zip(d) {
                            *sum += d * x;
                        }
                    }
                    for (sum, &d) in sums[4 * MOST_TAPS as usize..].iter_mut().zip(d) {
                        *sum += d;
                    }
                }
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { d_output: Draw::NORMAL, input: Draw::NORMAL, partial: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |batch, clips, slice: usize, channels, kernel: [u32; 2], bands, steps| {
            let lines = Lines::new(kernel, bands, steps);
            Self::slices(batch, clips, channels, lines, kernel[0].max(kernel[1]))[slice]
        };
        vec![
            Case::new("minimal", case(1, 1, 0, 1, [1, 1], 1, 1)),
            Case::new("odd, over time", case(5, 2, 1, 7, [1, 5], 3, 37)),
            Case::new("odd, over frequency", case(3, 2, 1, 6, [7, 1], 19, 67)),
            Case::new("typical, over time", case(1, 1, 0, 16, [1, 9], 32, 1292)),
            Case::new("typical, over frequency", case(1, 1, 0, 16, [9, 1], 128, 323)),
        ]
    }
}

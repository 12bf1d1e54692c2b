//! The order in which convolutions read their weights: 4 × 4 matrices, for the forward pass and,
//! reversed and transposed, for the input gradient.

use super::{Footprint, quad_matrices};
use crate::kernels::layers::pack::ABSENT;

/// For each element of the packed weights of the forward pass and of the input gradient, its place
/// in weight [out_channels, in_channels, taps].
///
/// Forward: of each output quad, [in_quads, rows, padded] of 4 × 4, column-major, column i%4 for
/// input channel i. Input gradient: of each input quad, [out_quads, rows, padded] with rows and taps
/// reversed, column o%4 for output channel o. Both are filled up to [`quad_matrices`]. Channels past
/// the last and taps past the used ones are absent; taps that only ever meet padding are left out.
pub fn packing([ins, outs]: [u32; 2], footprint: Footprint) -> [Vec<u32>; 2] {
    let Footprint { along, across, along_stride, across_stride } = footprint;
    let (rows, padded) = (across.used, 3 * along.groups());
    let [in_quads, out_quads] = [ins, outs].map(|channels| channels.div_ceil(4));
    let of_output = quad_matrices(in_quads, rows, along.groups());
    let of_input = quad_matrices(out_quads, rows, along.groups());
    let absent = |matrices: u32| vec![ABSENT; 16 * matrices as usize];
    let [mut forward, mut backward] = [absent(out_quads * of_output), absent(in_quads * of_input)];
    let at = |matrix: u32, column: u32, row: u32| (16 * matrix + 4 * column + row) as usize;
    for (o, i) in (0..outs).flat_map(|o| (0..ins).map(move |i| (o, i))) {
        for (r, t) in (0..rows).flat_map(|r| (0..along.used).map(move |t| (r, t))) {
            let tap = footprint.first() + r * across_stride + t * along_stride;
            let place = (o * ins + i) * footprint.stored() + tap;
            let matrix = o / 4 * of_output + (i / 4 * rows + r) * padded + t;
            forward[at(matrix, i % 4, o % 4)] = place;
            let [r, t] = [rows - 1 - r, along.used - 1 - t];
            let matrix = i / 4 * of_input + (o / 4 * rows + r) * padded + t;
            backward[at(matrix, o % 4, i % 4)] = place;
        }
    }
    [forward, backward]
}

#[cfg(test)]
mod tests {
    use super::packing;
    use crate::kernels::layers::conv::{Footprint, Lines};
    use crate::kernels::layers::pack::ABSENT;

    fn of(kernel: [u32; 2], channels: [u32; 2], plane: [u32; 2]) -> [Vec<u32>; 2] {
        packing(channels, Footprint::new(kernel, Lines::new(kernel, plane[0], plane[1])))
    }

    #[test]
    fn channels_meet_in_matrices_and_taps_are_reversed() {
        // weight [6, 5, 1, 5], padded to 6 taps; 2 quads on either side, 12 matrices for each.
        let [forward, backward] = of([1, 5], [5, 6], [3, 9]);
        assert_eq!([forward.len(), backward.len()], [16 * 24; 2]);
        // Output channel 5, input channel 2, tap 3.
        let place = (5 * 5 + 2) * 5 + 3;
        assert_eq!(forward[16 * (12 + 3) + 4 * 2 + 1], place);
        assert_eq!(backward[16 * (6 + 1) + 4 + 2], place);
        let used = |table: &[u32]| table.iter().filter(|&&at| at != ABSENT).count();
        assert_eq!([used(&forward), used(&backward)], [6 * 5 * 5; 2]);
    }

    #[test]
    fn taps_that_only_meet_padding_are_left_out() {
        // On two bands, taps 3, 4 and 5 of nine can meet one.
        let [forward, backward] = of([9, 1], [1, 1], [2, 7]);
        let taps = |table: &[u32]| table.chunks(16).map(|matrix| matrix[0]).collect::<Vec<_>>();
        assert_eq!(taps(&forward), [3, 4, 5, ABSENT]);
        assert_eq!(taps(&backward), [5, 4, 3, ABSENT]);
    }

    #[test]
    fn lines_are_reversed_too() {
        // weight [1, 1, 3, 3] over time.
        let [forward, backward] = of([3, 3], [1, 1], [4, 4]);
        let taps = |table: &[u32]| table.chunks(16).map(|matrix| matrix[0]).collect::<Vec<_>>();
        assert_eq!(taps(&forward)[..9], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(taps(&backward)[..9], [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }
}

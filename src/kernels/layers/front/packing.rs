//! The order in which the kernels of a bank read its weights.

use super::{GROUP, packed_weights};
use crate::kernels::layers::pack::ABSENT;

/// For each element of the packed weights its place in weight [channels, 1, bands, steps]: of each quad
/// the lines of the kernel, of each line its taps filled up to whole groups, of each tap the
/// quad's four channels.
pub fn packing(channels: u32, [rows, columns]: [u32; 2]) -> Vec<u32> {
    let vertical = rows > columns;
    let [lines, taps] = if vertical { [columns, rows] } else { [rows, columns] };
    let of_quad = packed_weights([lines, taps]);
    let mut places = vec![ABSENT; (channels.div_ceil(4) * of_quad) as usize];
    for (o, r, t) in
        (0..channels).flat_map(|o| (0..lines).flat_map(move |r| (0..taps).map(move |t| (o, r, t))))
    {
        let at = o / 4 * of_quad + 4 * (r * taps.next_multiple_of(GROUP) + t) + o % 4;
        let tap = if vertical { t * columns + r } else { r * columns + t };
        places[at as usize] = o * rows * columns + tap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_lie_along_the_longer_axis() {
        // Channel 1, band 2 of 3, step 1 of 2.
        let vertical = packing(2, [3, 2]);
        assert_eq!(vertical.len(), 64);
        assert_eq!(vertical[4 * (8 + 2) + 1], 6 + 2 * 2 + 1);
        // Channel 5, band 1 of 2, step 4 of 5.
        let horizontal = packing(6, [2, 5]);
        assert_eq!(horizontal.len(), 2 * 64);
        assert_eq!(horizontal[64 + 4 * (8 + 4) + 1], 5 * 10 + 5 + 4);
        let used = |places: &[u32]| places.iter().filter(|&&place| place != ABSENT).count();
        assert_eq!([used(&vertical), used(&horizontal)], [12, 60]);
    }
}

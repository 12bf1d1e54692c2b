//! Inverted dropout whose mask is a hash of (element, update, seed): nothing is stored, and the
//! CPU and every GPU drop the same elements.

pub mod forward;

/// Words of the control tensor: update, seed, then what the optimiser and the average of the weights read.
pub const CONTROL_WORDS: usize = 6;

/// `keep_below` of a keep probability.
pub fn keep_below(keep: f64) -> u32 {
    (keep * f64::from(1 << 24)).round() as u32
}

/// 24 bits for an element of an update.
fn hash(element: u32, control: &[u32]) -> u32 {
    pcg3d([element, control[0], control[1]])[0] >> 8
}

/// The hash of Jarzynski and Olano, "Hash Functions for GPU Rendering" (2020).
fn pcg3d(key: [u32; 3]) -> [u32; 3] {
    let [mut x, mut y, mut z] =
        key.map(|word| word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mut mix = |shift: bool| {
        x = x.wrapping_add(y.wrapping_mul(z));
        y = y.wrapping_add(z.wrapping_mul(x));
        z = z.wrapping_add(x.wrapping_mul(y));
        if shift {
            x ^= x >> 16;
            y ^= y >> 16;
            z ^= z >> 16;
        }
    };
    mix(true);
    mix(false);
    [x, y, z]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_many_elements_are_kept_and_updates_differ() {
        let below = keep_below(0.5);
        let kept = |update| -> Vec<bool> {
            (0..100_000).map(|e| pcg3d([e, update, 7])[0] >> 8 < below).collect()
        };
        let (a, b) = (kept(0), kept(1));
        let share = |mask: &[bool]| mask.iter().filter(|&&k| k).count() as f64 / 1e5;
        assert!((share(&a) - 0.5).abs() < 0.006);
        let same = a.iter().zip(&b).filter(|(a, b)| a == b).count() as f64 / 1e5;
        assert!((same - 0.5).abs() < 0.006, "masks of two updates are related: {same}");
    }
}

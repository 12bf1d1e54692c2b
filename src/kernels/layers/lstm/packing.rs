//! The order in which the forward pass reads an LSTM's weights: the four gates of a unit together.

/// For each element of packed [inputs, 2, units, 4], its place in weight [2, 4, units, inputs];
/// serves weight_ih (inputs = features) and weight_hh (inputs = units).
pub fn packing(units: u32, inputs: u32) -> Vec<u32> {
    let (columns, gate) = (2 * units, units * inputs);
    (0..inputs * columns)
        .flat_map(|at| {
            let (k, d, u) = (at / columns, at % columns / units, at % units);
            (0..4).map(move |g| (4 * d + g) * gate + u * inputs + k)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::packing;

    #[test]
    fn gates_of_a_unit_lie_together() {
        let (units, inputs) = (3, 5);
        let packed = packing(units, inputs);
        let mut seen = vec![false; 8 * 3 * 5];
        for (d, g) in (0..2).flat_map(|d| (0..4).map(move |g| (d, g))) {
            for (u, k) in (0..units).flat_map(|u| (0..inputs).map(move |k| (u, k))) {
                let at = ((k * 2 + d) * units + u) * 4 + g;
                let place = ((d * 4 + g) * units + u) * inputs + k;
                assert_eq!(
                    packed[at as usize], place,
                    "direction {d}, gate {g}, unit {u}, input {k}"
                );
                seen[at as usize] = true;
            }
        }
        assert!(seen.into_iter().all(|seen| seen));
    }
}

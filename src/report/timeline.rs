//! A mood over time as a line of blocks.

/// Blocks of a line; a longer recording has several clips a block.
const WIDTH: usize = 60;

/// From nothing to the full height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `values` from left to right, at most [`WIDTH`] blocks, each the average of as many values as the
/// others to within one. A block of full height is `full` or more.
pub fn sparkline(values: &[f32], full: f32) -> String {
    let width = values.len().min(WIDTH);
    (0..width)
        .map(|place| {
            let part = &values[place * values.len() / width..(place + 1) * values.len() / width];
            let mean = part.iter().sum::<f32>() / part.len() as f32;
            let height = (mean / full.max(f32::MIN_POSITIVE) * BLOCKS.len() as f32) as usize;
            BLOCKS[height.min(BLOCKS.len() - 1)]
        })
        .collect()
}

/// `3:07`, or `1:02:03` from an hour on.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, clock, sparkline};

    #[test]
    fn lines_rise_with_the_values_and_stay_narrow() {
        assert_eq!(sparkline(&[0.0, 0.25, 0.5, 1.0, 2.0], 1.0), "▁▃▅██");
        assert_eq!(sparkline(&[0.0; 3], 0.0), "▁▁▁");
        assert_eq!(sparkline(&[], 1.0), "");
        let rising: Vec<f32> = (0..1000).map(|n| n as f32).collect();
        let line: Vec<char> = sparkline(&rising, 999.0).chars().collect();
        assert!(
            line.len() == WIDTH && line.is_sorted() && line[0] == '▁' && line[WIDTH - 1] == '█'
        );
    }

    #[test]
    fn clocks_have_hours_where_there_are_some() {
        assert_eq!([7.4, 187.0, 3723.0].map(clock), ["0:07", "3:07", "1:02:03"]);
    }
}

//! Songs on a plane: the two principal components of their embeddings.
//!
//! Embeddings are compared by direction, as `moodshader similar` compares them, so each is first
//! made one long. All sums run in a fixed order in f64: the same songs give the same map.

use super::Song;

/// The farthest coordinate from the middle.
const EXTENT: f64 = 5000.0;
/// Fewer dots are no map.
const FEWEST: usize = 3;
/// Variance of vectors of length one below which they are the same but for rounding.
const SAME: f64 = 1e-9;
/// Multiplications of a vector by the covariance, should it not settle before. Two directions that
/// it cannot tell apart by then hold equally much, and either serves.
const TURNS: usize = 2000;
/// Squared change of a vector of length one that has settled.
const SETTLED: f64 = 1e-22;

/// Where songs lie.
pub struct Map {
    /// Of each song, across and up from the middle; none where it has no embedding that others can
    /// be compared with.
    pub places: Vec<Option<[i16; 2]>>,
    /// How much of the embeddings' variance the plane shows, from 0 to 1.
    pub share: f64,
}

impl Map {
    /// None where too few songs have an embedding, or all have the same.
    pub fn of(songs: &[Song]) -> Option<Self> {
        let size = songs.iter().map(|song| song.embedding.len()).find(|&size| size > 0)?;
        let mut rows: Vec<Option<Vec<f64>>> =
            songs.iter().map(|song| direction(&song.embedding, size)).collect();
        let count = rows.iter().flatten().count();
        if count < FEWEST {
            return None;
        }
        center(&mut rows, count, size);
        let mut covariance = covariance(&rows, count, size);
        let variance: f64 = covariance.iter().step_by(size + 1).sum();
        if variance < SAME {
            return None;
        }
        let axes = [(); 2].map(|()| {
            let axis = strongest(&covariance, size);
            take_away(&mut covariance, &axis);
            axis
        });
        let share = axes.iter().map(|axis| axis.variance).sum::<f64>() / variance;
        let place = |row: &Vec<f64>| [0, 1].map(|axis: usize| dot(row, &axes[axis].direction));
        let places: Vec<Option<[f64; 2]>> =
            rows.iter().map(|row| row.as_ref().map(place)).collect();
        let farthest = places.iter().flatten().flatten().fold(0.0_f64, |far, x| far.max(x.abs()));
        let scaled = |place: [f64; 2]| place.map(|x| (x / farthest * EXTENT).round() as i16);
        Some(Self { places: places.into_iter().map(|place| place.map(scaled)).collect(), share })
    }
}

/// The embedding at length one; none where it has no direction.
fn direction(embedding: &[f32], size: usize) -> Option<Vec<f64>> {
    let row: Vec<f64> = embedding.iter().map(|&x| f64::from(x)).collect();
    let length = dot(&row, &row).sqrt();
    let usable = row.len() == size && length.is_finite() && length > 0.0;
    usable.then(|| row.into_iter().map(|x| x / length).collect())
}

/// Takes their mean from all rows.
fn center(rows: &mut [Option<Vec<f64>>], count: usize, size: usize) {
    let mut mean = vec![0.0; size];
    for row in rows.iter().flatten() {
        add(&mut mean, 1.0 / count as f64, row);
    }
    for row in rows.iter_mut().flatten() {
        add(row, -1.0, &mean);
    }
}

/// \[size, size\]
fn covariance(rows: &[Option<Vec<f64>>], count: usize, size: usize) -> Vec<f64> {
    let mut sums = vec![0.0; size * size];
    for row in rows.iter().flatten() {
        for (at, &x) in row.iter().enumerate() {
            add(&mut sums[at * size + at..][..size - at], x / count as f64, &row[at..]);
        }
    }
    for at in 0..size {
        for other in 0..at {
            sums[at * size + other] = sums[other * size + at];
        }
    }
    sums
}

/// An eigenvector of a covariance.
struct Axis {
    variance: f64,
    /// Of length one, or zero where there is no variance.
    direction: Vec<f64>,
}

/// The direction with the most variance, by power iteration. Of the two that differ in sign, it is
/// the one whose largest component is positive.
fn strongest(covariance: &[f64], size: usize) -> Axis {
    // A column is a sum of eigenvectors in which the strong ones weigh the most.
    let columns = covariance.chunks(size);
    let longest = columns.fold(&covariance[..size], |longest, column| {
        if dot(column, column) > dot(longest, longest) { column } else { longest }
    });
    let mut axis = unit(longest.to_vec());
    for _ in 0..TURNS {
        let turned = covariance.chunks(size).map(|row| dot(row, &axis.direction)).collect();
        let next = unit(turned);
        let changes = next.direction.iter().zip(&axis.direction).map(|(a, b)| (a - b) * (a - b));
        let change: f64 = changes.sum();
        axis = next;
        if change < SETTLED {
            break;
        }
    }
    let largest =
        axis.direction.iter().fold(0.0_f64, |a, &b| if b.abs() > a.abs() { b } else { a });
    if largest < 0.0 {
        axis.direction.iter_mut().for_each(|x| *x = -*x);
    }
    axis
}

/// A vector as its length and its direction.
fn unit(mut vector: Vec<f64>) -> Axis {
    let length = dot(&vector, &vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    Axis { variance: length, direction: vector }
}

/// Leaves the variance that is at right angles to an axis.
fn take_away(covariance: &mut [f64], axis: &Axis) {
    for (row, &x) in covariance.chunks_mut(axis.direction.len()).zip(&axis.direction) {
        add(row, -axis.variance * x, &axis.direction);
    }
}

/// sums += factor · vector
fn add(sums: &mut [f64], factor: f64, vector: &[f64]) {
    for (sum, &x) in sums.iter_mut().zip(vector) {
        *sum += factor * x;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn song(embedding: &[f32]) -> Song {
        Song {
            path: String::new(),
            address: String::new(),
            title: None,
            artist: None,
            seconds: 0.0,
            probabilities: Vec::new(),
            tags: Vec::new(),
            embedding: embedding.to_vec(),
        }
    }

    fn songs(embeddings: &[&[f32]]) -> Vec<Song> {
        embeddings.iter().map(|embedding| song(embedding)).collect()
    }

    /// λ and v of 4, 2 and 1 along axes that are turned.
    #[test]
    fn the_axes_are_the_eigenvectors_with_the_largest_eigenvalues() {
        let half = 0.5_f64.sqrt();
        let known = [(4.0, [half, half, 0.0]), (2.0, [-half, half, 0.0]), (1.0, [0.0, 0.0, 1.0])];
        let mut matrix = vec![0.0; 9];
        for (value, vector) in known {
            for row in 0..3 {
                add(&mut matrix[row * 3..][..3], value * vector[row], &vector);
            }
        }
        for (value, vector) in known {
            let axis = strongest(&matrix, 3);
            assert!((axis.variance - value).abs() < 1e-9, "{} {value}", axis.variance);
            assert!((dot(&axis.direction, &vector).abs() - 1.0).abs() < 1e-9, "{value}");
            let peak = axis.direction.iter().fold(0.0_f64, |a, &b| a.max(b));
            assert!(axis.direction.iter().all(|x| x.abs() <= peak + 1e-9), "{value}");
            take_away(&mut matrix, &axis);
        }
    }

    #[test]
    fn near_songs_lie_near() {
        // Two kinds, with some spread at right angles to what tells them apart.
        let songs = songs(&[
            &[1.0, 0.0, 0.1, 0.0],
            &[2.0, 0.0, -0.2, 0.0],
            &[0.0, 1.0, 0.1, 0.0],
            &[0.0, 3.0, -0.3, 0.0],
        ]);
        let map = Map::of(&songs).unwrap();
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| map.places[at].unwrap());
        let across = |one: [i16; 2], other: [i16; 2]| (one[0] - other[0]).abs();
        assert!(
            across(a, b) < 100 && across(c, d) < 100 && across(a, c) > 8000,
            "{:?}",
            map.places
        );
        assert!((a[1] > 0) == (c[1] > 0) && (a[1] > 0) != (b[1] > 0), "{:?}", map.places);
        assert!((map.share - 1.0).abs() < 1e-9, "{}", map.share);
        let again = Map::of(&songs).unwrap();
        assert_eq!(map.places, again.places);
    }

    #[test]
    fn songs_without_a_direction_have_no_place() {
        let mut songs =
            songs(&[&[1.0, 0.0], &[0.0; 2], &[0.0, 1.0], &[], &[f32::NAN, 1.0], &[1.0]]);
        assert!(Map::of(&songs).is_none(), "two dots are no map");
        songs.push(song(&[1.0, 1.0]));
        let places = Map::of(&songs).unwrap().places;
        let placed: Vec<bool> = places.iter().map(Option::is_some).collect();
        assert_eq!(placed, [true, false, true, false, false, false, true]);
    }

    #[test]
    fn songs_that_are_all_the_same_give_no_map() {
        assert!(Map::of(&songs(&[&[0.3, 0.1], &[0.6, 0.2], &[0.9, 0.3]])).is_none());
        assert!(Map::of(&songs(&[&[], &[], &[]])).is_none());
    }
}

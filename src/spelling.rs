//! How messages write names and numbers.

/// `names`, those most like `word` first: what to suggest for a name that does not exist.
pub fn nearest_first<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_cached_key(|name| distance(name, word));
    names
}

/// Levenshtein's edit distance: the fewest letters to put in, take out or change.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // row[j]: from the part of `a` read so far to the first j letters of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Digits of a number that a message writes out; no size of a model or of a file has more.
const DIGITS: usize = 24;

/// The text with very long numbers in it, as Rust writes 1e300, by their powers of ten.
pub(crate) fn short_numbers(text: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_number) {
        let length = rest[start..].find(|c| !is_number(c)).unwrap_or(rest.len() - start);
        let (before, number) = rest[..start + length].split_at(start);
        short.push_str(before);
        match number.parse::<f64>() {
            Ok(value) if length > DIGITS => short.push_str(&format!("{value:e}")),
            _ => short.push_str(number),
        }
        rest = &rest[start + length..];
    }
    short + rest
}

#[cfg(test)]
mod tests {
    use super::{distance, short_numbers};

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "lstm"), 4);
        assert_eq!(distance("paper", "paper"), 0);
    }

    #[test]
    fn long_numbers_are_powers_of_ten_and_the_rest_is_as_it_was() {
        let text =
            format!("a = {}: at most {}, not -{} or 18446744073709551615", 1e300, 0.5, 1e-99);
        assert_eq!(
            short_numbers(&text),
            "a = 1e300: at most 0.5, not -1e-99 or 18446744073709551615"
        );
        let hash = "split 3f2a…; 10.5 s";
        assert_eq!(short_numbers(hash), hash);
    }
}

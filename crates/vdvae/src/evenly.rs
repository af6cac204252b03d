//! Some of many, evenly spaced.

/// `count` numbers below `len`, evenly spaced from 0: neighbours in a data set are often alike.
pub fn evenly(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|index| index * len / count).collect()
}

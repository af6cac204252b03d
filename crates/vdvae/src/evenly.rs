//! Some of many, evenly spaced.

/// `count` numbers below `len`, evenly spaced from 0: neighbours in a data set are often alike.
pub fn evenly(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|index| index * len / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spaced() {
        assert_eq!(evenly(10, 4), [0, 2, 5, 7]);
        assert_eq!(evenly(3, 8), [0, 1, 2]);
        assert!(evenly(0, 4).is_empty());
    }
}

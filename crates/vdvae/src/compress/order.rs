//! Which image comes next where the order does not matter.
//!
//! n images have n! orders. Whoever needs none of them can choose one by bits that are on the stack, and so store
//! log2(n!) bits in the choice: before each image, its place among those that are left is popped. The image tells,
//! with those that were decoded before, which place that was, and the bits go back. (Severo et al. 2021, Compressing
//! Multisets with Large Alphabets.)

use sha2::{Digest, Sha256};
use vdvae_coding::{Coder, CodingError, Interval, PRECISION};

/// By which images are sorted: the first half of the SHA-256 of their pixels. Equal images are equal.
type Key = [u8; 16];

/// Images that are not coded yet, or that are decoded, sorted, each with its number.
#[derive(Debug, Default)]
pub struct Unordered(Vec<(Key, u32)>);

impl Unordered {
    /// Adds an image, [height, width, channels]; returns its place and the one after the last equal to it.
    pub fn insert(&mut self, pixels: &[u8], number: u32) -> [usize; 2] {
        let key = key(pixels);
        let equal = self.equal_to(key);
        self.0.insert(equal[0], (key, number));
        [equal[0], equal[1] + 1]
    }

    /// Takes the image out whose place is popped; none if none is left.
    ///
    /// # Errors
    /// If there are more images than places.
    pub fn pop(&mut self, coder: &mut Coder) -> Result<Option<u32>, CodingError> {
        let count = self.0.len();
        if count == 0 {
            return Ok(None);
        }
        check_count(count)?;
        let place = coder.pop::<PRECISION, _>(|quantile| {
            // The last place that begins at or before the quantile.
            let place = ((u64::from(quantile) + 1) * count as u64 - 1) >> PRECISION;
            let equal = self.equal_to(self.0[place as usize].0);
            (equal[0], interval(equal, count))
        })?;
        Ok(Some(self.0.remove(place).1))
    }

    /// Adds a decoded image and pushes its place.
    ///
    /// # Errors
    /// If there are more images than places.
    pub fn push(&mut self, coder: &mut Coder, pixels: &[u8]) -> Result<(), CodingError> {
        let equal = self.insert(pixels, 0);
        check_count(self.0.len())?;
        coder.push::<PRECISION>(interval(equal, self.0.len()))
    }

    /// The first place of this key, and the one after the last.
    fn equal_to(&self, key: Key) -> [usize; 2] {
        let start = self.0.partition_point(|(other, _)| *other < key);
        let end = self.0.partition_point(|(other, _)| *other <= key);
        [start, end]
    }
}

fn key(pixels: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&Sha256::digest(pixels)[..16]);
    key
}

/// Each place needs an interval of its own.
fn check_count(count: usize) -> Result<(), CodingError> {
    if count < 1 << PRECISION {
        return Ok(());
    }
    Err(CodingError::Setting {
        what: "number of images of a stream",
        expected: "less than 2^28",
        found: count as u64,
    })
}

/// The share of the places `start..end` of `count`.
fn interval([start, end]: [usize; 2], count: usize) -> Interval {
    let border = |place: usize| (((place as u64) << PRECISION) / count as u64) as u32;
    Interval {
        start: border(start),
        end: border(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 to 39, of which some are equal.
    fn image(number: u32) -> [u8; 1] {
        [(number % 31) as u8]
    }

    #[test]
    fn an_order_is_popped_and_comes_back() {
        let mut coder = Coder::seeded();
        for bits in 0..40 {
            coder.push_bits(bits * 1601 % 65536, 16).unwrap();
        }
        let before = coder.net_bits();
        let stream = coder.clone().into_stream();
        let mut images = Unordered::default();
        for number in 0..40 {
            images.insert(&image(number), number);
        }
        let mut order = Vec::new();
        while let Some(number) = images.pop(&mut coder).unwrap() {
            order.push(number);
        }
        // log2(40! / 2!^9).
        let saved = before - coder.net_bits();
        assert!((saved - (159.159 - 9.0)).abs() < 0.1, "{saved}");
        assert!(!order.is_sorted());
        let mut decoded = Unordered::default();
        for &number in order.iter().rev() {
            decoded.push(&mut coder, &image(number)).unwrap();
        }
        assert_eq!(coder.into_stream(), stream);
        order.sort_unstable();
        assert!(order.into_iter().eq(0..40));
    }
}

//! Sizes of buffers.

/// What a length may be at most: so much that the few multiples of it that kernels compute (both
/// borders, copies of the channels, bytes) fit a pointer's range too.
const LIMIT: usize = isize::MAX as usize / 1024;

/// The product of sizes.
///
/// # Panics
/// If no buffer could be that long.
pub(crate) fn product(factors: &[usize]) -> usize {
    let product = factors.iter().try_fold(1_usize, |product, &factor| {
        product.checked_mul(factor).filter(|&p| p <= LIMIT)
    });
    let Some(product) = product else {
        panic!("sizes {factors:?} are more than memory could hold")
    };
    product
}

/// # Panics
/// If images of so many pixels and channels, each inside a border, are more than memory could
/// hold.
pub(crate) fn check_images(batch: usize, height: usize, width: usize, channels: usize) {
    product(&[
        batch,
        height.saturating_add(2),
        width.saturating_add(2),
        channels,
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_exact() {
        assert_eq!(product(&[3, 4, 5]), 60);
        assert_eq!(product(&[0, 4]), 0);
    }

    #[test]
    #[should_panic(expected = "more than memory could hold")]
    fn an_overflow_is_refused() {
        product(&[1 << 40, 1 << 40, 3]);
    }
}

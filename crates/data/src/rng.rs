//! Randomness as a function of (seed, purpose, index), never of timing or of the number of threads.
//!
//! The generator is ChaCha with 8 rounds. Its 32-byte key holds the seed (8 bytes, little endian)
//! and the name of the purpose (padded with zeros), its stream number is the index: an item's
//! position, an epoch. The bits are pinned by tests; changing them would change every training
//! run that is resumed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Random numbers for one item of training: where to crop, whether to flip.
///
/// It depends on the run's seed and the item's position since the start of training alone.
#[derive(Clone, Debug)]
pub struct ItemRng(ChaCha8Rng);

impl ItemRng {
    /// The generator of the item at `position`, counted from the start of training.
    pub fn for_item(seed: u64, position: u64) -> Self {
        Self::for_purpose(seed, b"item", position)
    }

    /// The generator of stream `index` for `purpose` (at most 24 bytes).
    fn for_purpose(seed: u64, purpose: &[u8], index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..8 + purpose.len()].copy_from_slice(purpose);
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// A number in `0..bound`, each equally likely (Lemire's multiplication with rejection).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // 2^64 mod bound: products whose low half lies under it would make small numbers likelier.
        let excess = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= excess {
                return (product >> 64) as u64;
            }
        }
    }

    /// True or false, each equally likely.
    pub fn coin(&mut self) -> bool {
        self.0.next_u64() >> 63 == 1
    }

    /// `0..count` in random order (Fisher-Yates from the last index down).
    fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
        order
    }
}

/// The order in which epoch `epoch` visits `count` items.
pub(crate) fn epoch_order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
    ItemRng::for_purpose(seed, b"order", epoch).permutation(count)
}

/// A random order from which held-out items are taken.
pub(crate) fn hold_out_order(seed: u64, count: usize) -> Vec<usize> {
    ItemRng::for_purpose(seed, b"hold out", 0).permutation(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected numbers were computed with another implementation of ChaCha.
    #[test]
    fn the_streams_are_pinned() {
        let mut rng = ItemRng::for_item(7, 3);
        let drawn: Vec<u64> = (0..6).map(|_| rng.below(1000)).collect();
        assert_eq!(drawn, [79, 380, 757, 659, 86, 15]);
        let coins: Vec<bool> = (0..4).map(|_| rng.coin()).collect();
        assert_eq!(coins, [true, true, false, false]);
        assert_eq!(epoch_order(7, 2, 8), [2, 5, 6, 7, 0, 3, 4, 1]);
        assert_eq!(hold_out_order(7, 8), [0, 2, 1, 7, 3, 4, 5, 6]);
    }

    #[test]
    fn seeds_positions_and_purposes_give_unrelated_streams() {
        let first = |mut rng: ItemRng| rng.below(u64::MAX);
        let streams = [
            first(ItemRng::for_item(0, 0)),
            first(ItemRng::for_item(0, 1)),
            first(ItemRng::for_item(1, 0)),
            first(ItemRng::for_purpose(0, b"order", 0)),
        ];
        let distinct: std::collections::HashSet<_> = streams.iter().collect();
        assert_eq!(distinct.len(), streams.len());
    }

    #[test]
    fn every_number_below_the_bound_is_equally_likely() {
        let mut counts = [0u32; 6];
        let mut rng = ItemRng::for_item(1, 0);
        for _ in 0..60_000 {
            counts[rng.below(6) as usize] += 1;
        }
        // Six standard deviations of a binomial(60000, 1/6) are 548.
        assert!(
            counts.iter().all(|&count| count.abs_diff(10_000) < 548),
            "{counts:?}"
        );
    }
}

//! Which items are for training, validation and test.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use rand_mt::Mt;

use crate::error::DataError;
use crate::named_splits::split_of;
use crate::rng::hold_out_order;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What is trained on.
    Train,
    /// What is looked at during training.
    Valid,
    /// What is reported.
    Test,
    /// Everything there is.
    All,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::All => "all",
        })
    }
}

impl FromStr for Split {
    type Err = DataError;

    fn from_str(given: &str) -> Result<Self, DataError> {
        match given {
            "train" => Ok(Self::Train),
            "valid" => Ok(Self::Valid),
            "test" => Ok(Self::Test),
            "all" => Ok(Self::All),
            _ => Err(DataError::UnknownSplit {
                given: given.to_owned(),
                hint: split_of(given)
                    .map_or_else(String::new, |split| format!(". Did you mean `{split}`?")),
            }),
        }
    }
}

/// `RandomState(seed).permutation(count)` of NumPy's legacy generator, which defines the published
/// splits of CIFAR-10, ImageNet and FFHQ: MT19937, Fisher-Yates from the last index down, masked
/// rejection sampling of 32-bit words.
pub fn legacy_permutation(seed: u32, count: u32) -> Vec<u32> {
    let mut generator = Mt::new(seed);
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..count).rev() {
        let mask = u32::MAX >> last.leading_zeros();
        let chosen = loop {
            let word = generator.next_u32() & mask;
            if word <= last {
                break word;
            }
        };
        order.swap(last as usize, chosen as usize);
    }
    order
}

/// The items that are held out where a source has no splits of its own: for each of `parts` a seeded 5 % (at least
/// one item) of `count`. Each part in ascending order.
///
/// # Errors
/// [`DataError::TooFew`] if there is nothing left for training.
pub(crate) fn held_out(
    seed: u64,
    count: usize,
    parts: usize,
    place: &str,
    items: &'static str,
) -> Result<Vec<Vec<usize>>, DataError> {
    if count <= parts {
        return Err(DataError::TooFew {
            place: place.to_owned(),
            items,
            needed: parts + 1,
            found: count,
        });
    }
    let order = hold_out_order(seed, count);
    let share = ((count + 10) / 20).max(1); // 5 %, rounded
    let parts = order.chunks(share).take(parts).map(|part| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part
    });
    Ok(parts.collect())
}

/// The items of `split` of an array without splits of its own, in ascending order.
///
/// # Errors
/// As [`held_out`].
pub(crate) fn part_of(
    split: Split,
    count: usize,
    seed: u64,
    place: &str,
) -> Result<Vec<usize>, DataError> {
    if split == Split::All {
        return Ok((0..count).collect());
    }
    let held = held_out(seed, count, 2, place, "images")?;
    Ok(match split {
        Split::Valid => held[0].clone(),
        Split::Test => held[1].clone(),
        Split::Train | Split::All => {
            let held: HashSet<usize> = held.concat().into_iter().collect();
            (0..count).filter(|index| !held.contains(index)).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn check(seed: u32, count: u32, first: [u32; 8], sha256: &str) {
        let order = legacy_permutation(seed, count);
        assert_eq!(order[..8], first);
        let bytes: Vec<u8> = order.iter().flat_map(|index| index.to_le_bytes()).collect();
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, sha256);
    }

    #[test]
    fn imagenet_permutation() {
        check(
            42,
            1_281_149,
            [
                94414, 1002573, 36741, 283290, 1207368, 787623, 167233, 96632,
            ],
            "c6e235f89c97548cacd8c67c789b070af53ad2baf07a7967d354b316b19efc9a",
        );
    }

    #[test]
    fn ffhq256_permutation() {
        check(
            5,
            70_000,
            [6628, 2777, 7414, 63950, 44249, 21506, 62844, 12260],
            "33be8e3c398c303f5407f07229f4be8f1303aa65efeeff828044e9b545c9c11d",
        );
    }

    #[test]
    fn cifar10_permutation() {
        check(
            11_172_018,
            50_000,
            [38899, 48321, 12222, 16844, 47067, 26668, 26014, 11553],
            "47ec7ca96b5828eef00252238d599fd5c613d8585c286e84179d869502ae6dd7",
        );
    }

    #[test]
    fn permutations_of_nothing_and_of_one() {
        assert!(legacy_permutation(1, 0).is_empty());
        assert_eq!(legacy_permutation(1, 1), [0]);
    }

    #[test]
    fn held_out_parts_cover_everything_once() {
        for (count, share) in [(3, 1), (19, 1), (29, 1), (30, 2), (100, 5), (1009, 50)] {
            let part = |split| part_of(split, count, 5, "here").unwrap();
            let (train, valid, test) = (part(Split::Train), part(Split::Valid), part(Split::Test));
            assert_eq!((valid.len(), test.len()), (share, share), "of {count}");
            let mut all = [train, valid, test].concat();
            all.sort_unstable();
            assert_eq!(all, part(Split::All));
        }
    }

    #[test]
    fn the_seed_decides_what_is_held_out() {
        let valid = |seed| part_of(Split::Valid, 1000, seed, "here").unwrap();
        assert_eq!(valid(1), valid(1));
        assert_ne!(valid(1), valid(2));
    }

    #[test]
    fn two_images_cannot_be_split_but_taken_whole() {
        let error = part_of(Split::Train, 2, 0, "a.npy")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a.npy: expected at least 3 images"),
            "{error}"
        );
        assert!(
            error.contains("found 2") && error.contains("--split all"),
            "{error}"
        );
        assert_eq!(part_of(Split::All, 2, 0, "a.npy").unwrap(), [0, 1]);
    }

    #[test]
    fn splits_are_written_as_they_are_read() {
        for split in [Split::Train, Split::Valid, Split::Test, Split::All] {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        }
        let error = "validation".parse::<Split>().unwrap_err().to_string();
        assert!(
            error.contains("`validation`") && error.contains("Did you mean `valid`?"),
            "{error}"
        );
    }
}

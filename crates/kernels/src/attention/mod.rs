//! Attention of queries that each see a prefix of the keys, never storing the matrix of all pairs
//! (Dao et al. 2022, arXiv:2205.14135): blocks of products live in the first caches, and the backward
//! pass computes them again.
//!
//! The result is that of PixelSNAIL (Chen et al. 2017, arXiv:1712.09763): query `i` sees keys
//! `0..seen[i]` with weights `w_ij = exp((q_i k_j - m_i) scale)`, `m_i` the largest product that it
//! sees, and gets `sum_j w_ij v_j / (sum_j w_ij + epsilon)`. With `epsilon` 0 that is a softmax. A query
//! that sees nothing gets 0.

mod backward;
mod blocks;
mod forward;
mod tile;

use crate::detect::dispatch;
use crate::parallel::{Shared, for_ranges};
use crate::sizes;
use forward::Queries;

pub use backward::backward_new;

/// Queries that are worked on together. Both numbers are multiples of the rows and of the vectors that
/// the widest tiles have.
const QUERIES: usize = 48;
/// Keys that are worked on together.
const KEYS: usize = 96;

/// What attention is computed of: queries `[batch, queries, heads * key_size]`, keys
/// `[batch, keys, heads * key_size]`, values `[batch, keys, heads * value_size]`; the result is
/// `[batch, queries, heads * value_size]`.
#[derive(Clone, Debug)]
pub struct Attention<'a> {
    /// Images.
    pub batch: usize,
    /// Keys, and values, of each image.
    pub keys: usize,
    /// Heads, each with channels of its own.
    pub heads: usize,
    /// Channels of a head's query or key.
    pub key_size: usize,
    /// Channels of a head's value.
    pub value_size: usize,
    /// For each query of an image how many keys it sees, from the first on.
    pub seen: &'a [usize],
    /// Products are multiplied by it; above 0.
    pub scale: f32,
    /// Added to the sum of weights.
    pub epsilon: f32,
}

/// What a forward pass leaves for the backward pass, `[batch, heads, queries]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The largest product that a query sees, of scale 1.
    pub largest: Vec<f32>,
    /// The sum of its weights, plus epsilon.
    pub total: Vec<f32>,
}

impl Attention<'_> {
    /// Queries of each image.
    pub fn queries(&self) -> usize {
        self.seen.len()
    }

    /// Multiplications and additions of a forward pass: those of pairs that see each other.
    pub fn operations(&self) -> usize {
        let pairs: usize = self.seen.iter().sum();
        2 * self.batch * self.heads * pairs * (self.key_size + self.value_size)
    }

    /// Channels of a pixel's queries or keys.
    fn key_row(&self) -> usize {
        self.heads * self.key_size
    }

    /// Channels of a pixel's values.
    fn value_row(&self) -> usize {
        self.heads * self.value_size
    }

    /// # Panics
    /// If a length does not agree, or a query sees more keys than there are.
    fn check(&self, q: &[f32], k: &[f32], v: &[f32]) {
        let lengths = [
            ("queries", q.len(), self.queries(), self.key_row()),
            ("keys", k.len(), self.keys, self.key_row()),
            ("values", v.len(), self.keys, self.value_row()),
        ];
        for (name, found, pixels, channels) in lengths {
            let batch = self.batch;
            assert!(
                found == sizes::product(&[batch, pixels, channels]),
                "{name}: expected {batch} x {pixels} x {channels} numbers, found {found}"
            );
        }
        let most = self.seen.iter().max().copied().unwrap_or(0);
        assert!(
            most <= self.keys,
            "a query sees {most} keys, there are {}",
            self.keys
        );
        assert!(self.scale > 0.0, "scale {} is not above 0", self.scale);
    }
}

/// The result, and what a backward pass needs. A query's result depends on itself and on the keys and
/// values that it sees, to the bit.
///
/// # Panics
/// If a length does not agree, a query sees more keys than there are, or the scale is not above 0.
pub fn forward_new(
    attention: &Attention,
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> (Vec<f32>, Statistics) {
    attention.check(q, k, v);
    let (heads, queries) = (attention.heads, attention.queries());
    let (key_row, value_row) = (attention.key_row(), attention.value_row());
    let pairs = attention.batch * heads;
    let mut out = vec![0.0; attention.batch * queries * value_row];
    let [mut largest, mut total] = [(); 2].map(|()| vec![0.0; pairs * queries]);
    let [to, to_largest, to_total] =
        [&mut out, &mut largest, &mut total].map(|buffer| Shared(buffer.as_mut_ptr()));
    let blocks = queries.div_ceil(QUERIES);
    for_ranges(pairs * blocks, 1, attention.operations(), |jobs| {
        for job in jobs {
            let (pair, first) = (job / blocks, job % blocks * QUERIES);
            let (image, head) = (pair / heads, pair % heads);
            let rows = first..queries.min(first + QUERIES);
            let (query, key) = (image * queries + first, image * attention.keys);
            // SAFETY: places within the buffers, and no other job's.
            unsafe {
                let statistics = pair * queries + first;
                dispatch(Queries {
                    attention,
                    seen: &attention.seen[rows],
                    q: &q[query * key_row + head * attention.key_size..],
                    k: from(k, key * key_row + head * attention.key_size),
                    v: from(v, key * value_row + head * attention.value_size),
                    rows: [key_row, key_row, value_row],
                    out: Shared(to.after(query * value_row + head * attention.value_size)),
                    largest: Shared(to_largest.after(statistics)),
                    total: Shared(to_total.after(statistics)),
                });
            }
        }
    });
    (out, Statistics { largest, total })
}

/// One query an image, `q` `[batch, heads * key_size]`, that sees all of that image's `cache`: for each
/// pixel before it, the keys of all heads and then their values, `[.., heads * (key_size + value_size)]`.
/// The result, `[batch, heads * value_size]`, is the same bits as those of [`forward_new`] for a query
/// that sees as many. Of `attention`, `batch`, `keys` and `seen` do not count.
///
/// # Panics
/// If a length does not agree, or the scale is not above 0.
pub fn step(attention: &Attention, q: &[f32], caches: &[&[f32]], out: &mut [f32]) {
    let (heads, key_row, value_row) = (attention.heads, attention.key_row(), attention.value_row());
    let row = key_row + value_row;
    let batch = caches.len();
    for (name, found, channels) in [
        ("queries", q.len(), key_row),
        ("result", out.len(), value_row),
    ] {
        assert!(
            found == batch * channels,
            "{name}: expected {batch} x {channels} numbers, found {found}"
        );
    }
    for cache in caches {
        assert!(
            cache.len().is_multiple_of(row),
            "a cache: expected rows of {row} numbers, found {}",
            cache.len()
        );
    }
    assert!(
        attention.scale > 0.0,
        "scale {} is not above 0",
        attention.scale
    );
    let numbers: usize = caches.iter().map(|cache| cache.len()).sum();
    let to = Shared(out.as_mut_ptr());
    for_ranges(batch * heads, 1, 2 * numbers, |jobs| {
        for job in jobs {
            let (image, head) = (job / heads, job % heads);
            let cache = caches[image];
            let (mut largest, mut total) = (0.0, 0.0);
            // SAFETY: places within the result, and no other job's.
            unsafe {
                dispatch(Queries {
                    attention,
                    seen: &[cache.len() / row],
                    q: &q[image * key_row + head * attention.key_size..],
                    k: from(cache, head * attention.key_size),
                    v: from(cache, key_row + head * attention.value_size),
                    rows: [key_row, row, row],
                    out: Shared(to.after(image * value_row + head * attention.value_size)),
                    largest: Shared(&raw mut largest),
                    total: Shared(&raw mut total),
                });
            }
        }
    });
}

/// The numbers from a place on; none where there is nothing at all.
fn from(numbers: &[f32], start: usize) -> &[f32] {
    numbers.get(start..).unwrap_or_default()
}

/// Whole vectors of any instruction set that hold so many numbers.
fn padded(numbers: usize) -> usize {
    /// The most lanes that a vector has.
    const WIDEST: usize = 16;
    numbers.next_multiple_of(WIDEST)
}

//! A block of queries and all the keys that they see.

use super::blocks::{first, pad, scale_row, transpose};
use super::tile::{Product, multiply};
use super::{Attention, KEYS, QUERIES, padded};
use crate::detect::Kernel;
use crate::math::exp;
use crate::parallel::Shared;
use crate::scratch::Scratch;
use crate::simd::Simd;

/// Queries of one image and head, at most [`QUERIES`]. The numbers of each pixel follow those of the one
/// before at the distance in `rows`.
pub(super) struct Queries<'a> {
    pub attention: &'a Attention<'a>,
    /// Of each query.
    pub seen: &'a [usize],
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    /// Of queries, keys and values; results lie `heads * value_size` apart.
    pub rows: [usize; 3],
    pub out: Shared,
    pub largest: Shared,
    pub total: Shared,
}

impl Kernel for Queries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &Attention {
            key_size,
            value_size,
            scale,
            epsilon,
            ..
        } = self.attention;
        let [q_row, k_row, v_row] = self.rows;
        let count = self.seen.len();
        let wide = padded(value_size);
        let mut keys = Scratch::take(key_size * KEYS);
        let mut values = Scratch::take(KEYS * wide);
        let mut weights = Scratch::take(QUERIES * KEYS);
        let mut sums = Scratch::take(QUERIES * wide);
        sums[..count * wide].fill(0.0);
        let mut state = [Running::default(); QUERIES];
        let mut most = 0;
        for &seen in self.seen {
            most = most.max(seen);
        }
        for start in (0..most).step_by(KEYS) {
            let here = KEYS.min(most - start);
            let k = &self.k[start * k_row..];
            transpose(s, k, k_row, here, key_size, &mut keys, KEYS);
            let products = Product {
                a: self.q.as_ptr(),
                a_row: q_row,
                a_step: 1,
                b: keys.as_ptr(),
                b_row: KEYS,
                c: weights.as_mut_ptr(),
                c_row: KEYS,
                columns: here.next_multiple_of(S::LANES),
                fresh: true,
            };
            // SAFETY: every query has `key_size` numbers, and the scratch has room for all.
            unsafe { multiply(s, &products, &[key_size; QUERIES][..count]) };
            let mut depths = [0; QUERIES];
            for i in 0..count {
                depths[i] = self.seen[i].saturating_sub(start).min(here);
                if depths[i] > 0 {
                    let weights = &mut weights[i * KEYS..][..KEYS];
                    let sums = &mut sums[i * wide..][..wide];
                    state[i].take(s, weights, depths[i], scale, sums);
                }
            }
            let v = &self.v[start * v_row..];
            let v = pad(s, v, v_row, here, value_size, &mut values, wide);
            let weighted = Product {
                a: weights.as_ptr(),
                a_row: KEYS,
                a_step: 1,
                b: v.at,
                b_row: v.row,
                c: sums.as_mut_ptr(),
                c_row: wide,
                columns: value_size.next_multiple_of(S::LANES),
                fresh: false,
            };
            // SAFETY: `depths` keep within the keys of this block, and the scratch has room for all.
            unsafe { multiply(s, &weighted, &depths[..count]) };
        }
        let out_row = self.attention.value_row();
        for i in 0..count {
            let (factor, total) = if self.seen[i] == 0 {
                (0.0, 0.0)
            } else {
                let total = state[i].sum + epsilon;
                (1.0 / total, total)
            };
            // SAFETY: places for all queries, promised by whoever made this.
            unsafe {
                let from = sums.as_ptr().add(i * wide);
                scale_row(s, from, factor, self.out.after(i * out_row), value_size);
                *self.largest.after(i) = state[i].largest;
                *self.total.after(i) = total;
            }
        }
    }
}

/// What is known of a query after some of its keys.
#[derive(Clone, Copy)]
struct Running {
    /// The largest product so far.
    largest: f32,
    /// The sum of weights relative to that.
    sum: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl Running {
    /// Turns the first `count` products of a block into weights, and what was summed before into sums
    /// relative to the same largest product.
    #[inline(always)]
    fn take<S: Simd>(
        &mut self,
        s: S,
        products: &mut [f32],
        count: usize,
        scale: f32,
        sums: &mut [f32],
    ) {
        let lowest = s.splat(f32::NEG_INFINITY);
        let mut best = lowest;
        for j in (0..count).step_by(S::LANES) {
            let inside = first(s, count - j);
            best = s.max(s.select(inside, s.load(&products[j..]), lowest), best);
        }
        let mut lanes = [f32::NEG_INFINITY; 16];
        s.store(&mut lanes, best);
        let mut largest = self.largest;
        for lane in lanes {
            largest = largest.max(lane);
        }
        let scale = s.splat(scale);
        if largest > self.largest {
            let lower = s.splat(self.largest - largest);
            s.store(&mut lanes, exp(s, s.mul(lower, scale)));
            let factor = lanes[0];
            self.sum *= factor;
            self.largest = largest;
            // SAFETY: the same numbers, read and written.
            unsafe { scale_row(s, sums.as_ptr(), factor, sums.as_mut_ptr(), sums.len()) };
        }
        let (zero, largest) = (s.splat(0.0), s.splat(largest));
        let mut sum = zero;
        for j in (0..count).step_by(S::LANES) {
            let product = s.load(&products[j..]);
            let weight = exp(s, s.mul(s.sub(product, largest), scale));
            let weight = s.select(first(s, count - j), weight, zero);
            s.store(&mut products[j..], weight);
            sum = s.add(sum, weight);
        }
        self.sum += s.sum(sum);
    }
}

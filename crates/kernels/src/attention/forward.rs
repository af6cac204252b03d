//! A block of queries and all the keys that they see.

use super::blocks::{first, largest_lane, pad, scale_row, transpose};
use super::tile::{Product, multiply};
use super::{Attention, KEYS, QUERIES, padded};
use crate::detect::Kernel;
use crate::math::{exp, exp_share};
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
            let v = pad(s, v, v_row, here, value_size, &mut values, wide, count == 1);
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
                let total = s.sum(s.load(&state[i].sums)) + epsilon;
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
    /// The sum of weights relative to that, lane by lane.
    sums: [f32; 16],
}

impl Default for Running {
    fn default() -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            sums: [0.0; 16],
        }
    }
}

impl Running {
    /// Turns the first `count` products of a block into weights, and what was `weighted` before into sums
    /// relative to the same largest product.
    #[inline(always)]
    fn take<S: Simd>(
        &mut self,
        s: S,
        products: &mut [f32],
        count: usize,
        scale: f32,
        weighted: &mut [f32],
    ) {
        let whole = count / S::LANES * S::LANES;
        let lowest = s.splat(f32::NEG_INFINITY);
        let mut best = lowest;
        for j in (0..whole).step_by(S::LANES) {
            best = s.max(s.load(&products[j..]), best);
        }
        let inside = first(s, count - whole);
        if whole < count {
            let rest = s.select(inside, s.load(&products[whole..]), lowest);
            best = s.max(rest, best);
        }
        let scale = s.splat(scale);
        let before = s.splat(self.largest);
        let largest = s.max(largest_lane(s, best), before);
        let mut lanes = [0.0; 16];
        s.store(&mut lanes, largest);
        let mut sum = s.load(&self.sums);
        if lanes[0] > self.largest {
            self.largest = lanes[0];
            let factor = exp(s, s.mul(s.sub(before, largest), scale));
            sum = s.mul(sum, factor);
            for c in (0..weighted.len()).step_by(S::LANES) {
                let scaled = s.mul(s.load(&weighted[c..]), factor);
                s.store(&mut weighted[c..], scaled);
            }
        }
        for j in (0..whole).step_by(S::LANES) {
            let lower = s.sub(s.load(&products[j..]), largest);
            let weight = exp_share(s, s.mul(lower, scale));
            s.store(&mut products[j..], weight);
            sum = s.add(sum, weight);
        }
        if whole < count {
            let lower = s.sub(s.load(&products[whole..]), largest);
            let weight = exp_share(s, s.mul(lower, scale));
            let weight = s.select(inside, weight, s.splat(0.0));
            s.store(&mut products[whole..], weight);
            sum = s.add(sum, weight);
        }
        s.store(&mut self.sums, sum);
    }
}

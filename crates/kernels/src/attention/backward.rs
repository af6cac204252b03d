//! Gradients: weights are computed again from what the forward pass left, a block at a time.
//!
//! A task has some keys of one image and head. It adds up their gradients and those of their values over
//! all queries in order, and what they contribute to the gradients of the queries; these contributions
//! are added up afterwards, in the order of the keys. The cut is the same for any number of threads.

use super::blocks::{Padded, dot, first, pad, transpose};
use super::tile::{Product, multiply};
use super::{Attention, KEYS, QUERIES, Statistics, from, padded};
use crate::blank::Blank;
use crate::detect::{Kernel, dispatch};
use crate::math::exp_share;
use crate::parallel::{Shared, for_ranges, threads};
use crate::rows::{load, store};
use crate::scratch::Scratch;
use crate::simd::Simd;
use std::ops::Range;

/// Keys of a task.
const SLICE: usize = 3 * KEYS;

/// Gradients of queries, keys and values, given that of the result. The largest products count as
/// constants: with an epsilon above 0 they have a gradient, which is less than epsilon times the others.
///
/// # Panics
/// If a length does not agree, or a query sees more keys than there are.
pub fn backward_new(
    attention: &Attention,
    [q, k, v]: [&[f32]; 3],
    (out, statistics): (&[f32], &Statistics),
    dout: &[f32],
) -> [Vec<f32>; 3] {
    attention.check(q, k, v);
    let (heads, queries) = (attention.heads, attention.queries());
    let (key_row, value_row) = (attention.key_row(), attention.value_row());
    let pairs = attention.batch * heads;
    for (name, found, expected) in [
        ("result", out.len(), attention.batch * queries * value_row),
        ("gradient", dout.len(), out.len()),
        (
            "largest products",
            statistics.largest.len(),
            pairs * queries,
        ),
        ("sums of weights", statistics.total.len(), pairs * queries),
    ] {
        assert!(
            found == expected,
            "{name}: expected {expected} numbers, found {found}"
        );
    }
    let along = along_result(attention, out, dout);
    let [mut dq, mut dk, mut dv] = [q, k, v].map(|numbers| Blank::new(numbers.len()));
    let [to_q, to_k, to_v] = [&mut dq, &mut dk, &mut dv].map(Blank::at);
    let slices = attention.keys.div_ceil(SLICE).max(1);
    let wide = padded(attention.key_size);
    // As many pairs at a time as keep all threads busy: each slice has a gradient of its queries.
    let at_once = (4 * threads()).div_ceil(slices).min(pairs.max(1));
    let mut parts = Scratch::take(at_once * slices * queries * wide);
    let part = Shared(parts.as_mut_ptr());
    let operations = 5 * attention.operations() / 2 / pairs.max(1);
    for start in (0..pairs).step_by(at_once) {
        let count = at_once.min(pairs - start);
        for_ranges(count * slices, 1, count * operations, |jobs| {
            for job in jobs {
                let (pair, slice) = (start + job / slices, job % slices);
                let (image, head) = (pair / heads, pair % heads);
                let (query, key) = (image * queries, image * attention.keys);
                let (of_key, of_value) = (head * attention.key_size, head * attention.value_size);
                let own = pair * queries..(pair + 1) * queries;
                let end = attention.keys.min((slice + 1) * SLICE);
                let [to_k, to_v] = [to_k, to_v]; // not their pointers, which threads may not share
                // SAFETY: places within the buffers; each part, and each key's gradients, are one
                // job's.
                unsafe {
                    dispatch(Slice {
                        attention,
                        keys: slice * SLICE..end,
                        q: from(q, query * key_row + of_key),
                        k: from(k, key * key_row + of_key),
                        v: from(v, key * value_row + of_value),
                        dout: from(dout, query * value_row + of_value),
                        largest: &statistics.largest[own.clone()],
                        total: &statistics.total[own.clone()],
                        along: &along[own],
                        dq: Shared(part.after(job * queries * wide)),
                        dk: Shared(to_k.0.wrapping_add(key * key_row + of_key)),
                        dv: Shared(to_v.0.wrapping_add(key * value_row + of_value)),
                    });
                }
            }
        });
        let numbers = count * slices * queries * wide;
        for_ranges(count * queries, QUERIES, 4 * numbers, |rows| {
            dispatch(AddParts {
                attention,
                start,
                slices,
                rows,
                parts: &parts,
                to: to_q,
            });
        });
    }
    // SAFETY: each query, key and value was in a job, and its gradient written.
    unsafe { [dq.written(), dk.written(), dv.written()] }
}

/// The product of each query's result and its gradient, `[batch, heads, queries]`.
fn along_result(attention: &Attention, out: &[f32], dout: &[f32]) -> Vec<f32> {
    let (heads, queries) = (attention.heads, attention.queries());
    let count = attention.batch * heads * queries;
    let mut along = vec![0.0; count];
    let to = Shared(along.as_mut_ptr());
    for_ranges(count, QUERIES, 4 * out.len(), |rows| {
        dispatch(AlongResult {
            attention,
            rows,
            out,
            dout,
            to,
        });
    });
    along
}

struct AlongResult<'a> {
    attention: &'a Attention<'a>,
    /// Counted over images, heads and queries.
    rows: Range<usize>,
    out: &'a [f32],
    dout: &'a [f32],
    to: Shared,
}

impl Kernel for AlongResult<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let attention = self.attention;
        let (heads, queries, size) = (attention.heads, attention.queries(), attention.value_size);
        for row in self.rows {
            let (pair, query) = (row / queries, row % queries);
            let pixel = pair / heads * queries + query;
            let at = (pixel * heads + pair % heads) * size;
            let product = dot(s, &self.out[at..][..size], &self.dout[at..][..size]);
            // SAFETY: a place within the buffer, and no other task's.
            unsafe { *self.to.after(row) = product };
        }
    }
}

/// Adds up what the slices of keys contributed to the gradients of queries.
struct AddParts<'a> {
    attention: &'a Attention<'a>,
    /// The first pair of image and head that there are parts of.
    start: usize,
    slices: usize,
    /// Counted over pairs and queries.
    rows: Range<usize>,
    /// `[pairs, slices, queries, padded key_size]`
    parts: &'a [f32],
    to: Shared,
}

impl Kernel for AddParts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let attention = self.attention;
        let (heads, queries, size) = (attention.heads, attention.queries(), attention.key_size);
        let wide = padded(size);
        for row in self.rows {
            let (own, query) = (row / queries, row % queries);
            let pair = self.start + own;
            let pixel = pair / heads * queries + query;
            let at = (pixel * heads + pair % heads) * size;
            let from = &self.parts[(own * self.slices * queries + query) * wide..];
            for c in (0..size).step_by(S::LANES) {
                let mut sum = s.load(&from[c..]);
                for slice in 1..self.slices {
                    sum = s.add(sum, s.load(&from[slice * queries * wide + c..]));
                }
                // SAFETY: a place within the buffer, and no other task's.
                unsafe { store(s, self.to.after(at + c), sum, S::LANES.min(size - c)) };
            }
        }
    }
}

/// Some keys of one image and head. Slices and pointers start with the numbers of that image and head,
/// and pixels follow each other at the distance of the whole tensors.
struct Slice<'a> {
    attention: &'a Attention<'a>,
    keys: Range<usize>,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    dout: &'a [f32],
    /// `[queries]`, as the next two.
    largest: &'a [f32],
    total: &'a [f32],
    /// The product of each result and its gradient.
    along: &'a [f32],
    /// `[queries, padded key_size]`, for this slice alone.
    dq: Shared,
    dk: Shared,
    dv: Shared,
}

impl Kernel for Slice<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let attention = self.attention;
        let (key_size, value_size) = (attention.key_size, attention.value_size);
        let (key_row, value_row) = (attention.key_row(), attention.value_row());
        let queries = attention.queries();
        let (key_wide, value_wide) = (padded(key_size), padded(value_size));
        let mut keys_across = Scratch::take(key_size * KEYS);
        let mut values_across = Scratch::take(value_size * KEYS);
        let mut keys = Scratch::take(KEYS * key_wide);
        let mut room = [
            Scratch::take(QUERIES * key_wide),
            Scratch::take(QUERIES * value_wide),
        ];
        let mut weights = Scratch::take(QUERIES * KEYS);
        let mut slopes = Scratch::take(QUERIES * KEYS);
        let mut dk = Scratch::take(KEYS * key_wide);
        let mut dv = Scratch::take(KEYS * value_wide);
        // SAFETY: this slice's own.
        unsafe { self.dq.0.write_bytes(0, queries * key_wide) };
        for start in self.keys.clone().step_by(KEYS) {
            let here = KEYS.min(self.keys.end - start);
            let (k, v) = (
                from(self.k, start * key_row),
                from(self.v, start * value_row),
            );
            transpose(s, k, key_row, here, key_size, &mut keys_across, KEYS);
            transpose(s, v, value_row, here, value_size, &mut values_across, KEYS);
            let k = pad(s, k, key_row, here, key_size, &mut keys, key_wide, false);
            dk.fill(0.0);
            dv.fill(0.0);
            for first in (0..queries).step_by(QUERIES) {
                let count = QUERIES.min(queries - first);
                let (mut depths, mut most) = ([0; QUERIES], 0);
                for i in 0..count {
                    depths[i] = attention.seen[first + i].saturating_sub(start).min(here);
                    most = most.max(depths[i]);
                }
                if most == 0 {
                    continue;
                }
                let columns = most.next_multiple_of(S::LANES);
                let (q, dout) = (&self.q[first * key_row..], &self.dout[first * value_row..]);
                let products = |a: &[f32], a_row, b: &[f32], c: &mut [f32]| Product {
                    a: a.as_ptr(),
                    a_row,
                    a_step: 1,
                    b: b.as_ptr(),
                    b_row: KEYS,
                    c: c.as_mut_ptr(),
                    c_row: KEYS,
                    columns,
                    fresh: true,
                };
                let of_keys = products(q, key_row, &keys_across, &mut weights);
                let of_values = products(dout, value_row, &values_across, &mut slopes);
                // SAFETY: each query has so many numbers, and the scratch has room for all.
                unsafe {
                    multiply(s, &of_keys, &[key_size; QUERIES][..count]);
                    multiply(s, &of_values, &[value_size; QUERIES][..count]);
                }
                for i in 0..count {
                    let weights = &mut weights[i * KEYS..][..columns];
                    self.turn(s, first + i, depths[i], weights, &mut slopes[i * KEYS..]);
                }
                // SAFETY: rows of this slice's own part, as wide as its rows are.
                let to_queries = unsafe { self.dq.after(first * key_wide) };
                let of_queries = Product {
                    a: slopes.as_ptr(),
                    a_row: KEYS,
                    a_step: 1,
                    b: k.at,
                    b_row: k.row,
                    c: to_queries,
                    c_row: key_wide,
                    columns: key_size.next_multiple_of(S::LANES),
                    fresh: false,
                };
                let [q_room, dout_room] = &mut room;
                let q = pad(s, q, key_row, count, key_size, q_room, key_wide, false);
                let dout = pad(
                    s, dout, value_row, count, value_size, dout_room, value_wide, false,
                );
                let sums = |a: &[f32], b: Padded, c: &mut [f32], size: usize| Product {
                    a: a.as_ptr(),
                    a_row: 1,
                    a_step: KEYS,
                    b: b.at,
                    b_row: b.row,
                    c: c.as_mut_ptr(),
                    c_row: padded(size),
                    columns: size.next_multiple_of(S::LANES),
                    fresh: false,
                };
                let of_keys = sums(&slopes, q, &mut dk, key_size);
                let of_values = sums(&weights, dout, &mut dv, value_size);
                // SAFETY: within blocks of so many queries and keys.
                unsafe {
                    multiply(s, &of_queries, &depths[..count]);
                    multiply(s, &of_keys, &[count; KEYS][..most]);
                    multiply(s, &of_values, &[count; KEYS][..most]);
                }
            }
            for j in 0..here {
                // SAFETY: the gradients of this slice's keys and values.
                unsafe {
                    let to = self.dk.0.wrapping_add((start + j) * key_row);
                    copy(s, &dk[j * key_wide..], to, key_size);
                    let to = self.dv.0.wrapping_add((start + j) * value_row);
                    copy(s, &dv[j * value_wide..], to, value_size);
                }
            }
        }
    }
}

impl Slice<'_> {
    /// Turns a query's products with keys into its weights, and those of its gradient with values into
    /// the gradients of the former; 0 from `depth` on.
    #[inline(always)]
    fn turn<S: Simd>(
        &self,
        s: S,
        query: usize,
        depth: usize,
        weights: &mut [f32],
        slopes: &mut [f32],
    ) {
        let scale = s.splat(self.attention.scale);
        let largest = s.splat(self.largest[query]);
        let share = s.splat(1.0 / self.total[query]);
        let along = s.splat(self.along[query]);
        for j in (0..weights.len()).step_by(S::LANES) {
            let lower = s.sub(s.load(&weights[j..]), largest);
            let mut weight = s.mul(exp_share(s, s.mul(lower, scale)), share);
            let away = s.sub(s.load(&slopes[j..]), along);
            let mut slope = s.mul(s.mul(weight, scale), away);
            if j + S::LANES > depth {
                let (inside, zero) = (first(s, depth.saturating_sub(j)), s.splat(0.0));
                weight = s.select(inside, weight, zero);
                slope = s.select(inside, slope, zero);
            }
            s.store(&mut weights[j..], weight);
            s.store(&mut slopes[j..], slope);
        }
    }
}

/// Copies `n` numbers.
///
/// # Safety
/// `to` must be writable for them.
#[inline(always)]
unsafe fn copy<S: Simd>(s: S, from: &[f32], to: *mut f32, n: usize) {
    for i in (0..n).step_by(S::LANES) {
        let lanes = S::LANES.min(n - i);
        // SAFETY: no more numbers from `i` on than there are.
        unsafe { store(s, to.add(i), load(s, from[i..].as_ptr(), lanes), lanes) };
    }
}

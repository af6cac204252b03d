//! Rows of a pixel's channels: what is done to them between convolutions.

use crate::gelu::{gelu, gelu_and_slope, slope};
use crate::precision::Precision;
use crate::simd::Simd;

/// `to = gelu(from)`, and `save = from` if asked, for `count` numbers; `to` and `save` hold
/// elements of `precision`.
///
/// # Safety
/// All pointers must be valid for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn gelu_row<S: Simd>(
    s: S,
    precision: Precision,
    from: *const f32,
    save: Option<*mut f32>,
    to: *mut f32,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        // SAFETY: no more numbers from `i` on than there are.
        unsafe {
            match precision {
                Precision::Fp32 => {
                    let n = S::LANES.min(count - i);
                    let h = load(s, from.add(i), n);
                    if let Some(save) = save {
                        store(s, save.add(i), h, n);
                    }
                    store(s, to.add(i), gelu(s, h), n);
                    i += n;
                }
                Precision::Bf16 => {
                    let n = (2 * S::LANES).min(count - i);
                    let [a, b] = load_two(s, from.add(i), n);
                    if let Some(save) = save {
                        store_pairs(s, save.add(i / 2), a, b, n);
                    }
                    store_pairs(s, to.add(i / 2), gelu(s, a), gelu(s, b), n);
                    i += n;
                }
            }
        }
    }
}

/// What [`slope_row`] may do beside its work.
#[derive(Clone, Copy, Default)]
pub(crate) struct More {
    /// Receives gelu(of).
    pub gelu: Option<*mut f32>,
    /// Added to the result; not to pairs.
    pub add: Option<*const f32>,
}

/// `to = gradient * gelu'(of)` for `count` numbers, and more if asked; `of`, `to` and the gelu hold
/// elements of `precision`.
///
/// # Safety
/// All pointers must be valid for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn slope_row<S: Simd>(
    s: S,
    precision: Precision,
    gradient: *const f32,
    of: *const f32,
    more: More,
    to: *mut f32,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        // SAFETY: no more numbers from `i` on than there are.
        unsafe {
            match precision {
                Precision::Fp32 => {
                    let n = S::LANES.min(count - i);
                    let of = load(s, of.add(i), n);
                    let factor = match more.gelu {
                        Some(to) => {
                            let (value, factor) = gelu_and_slope(s, of);
                            store(s, to.add(i), value, n);
                            factor
                        }
                        None => slope(s, of),
                    };
                    let gradient = load(s, gradient.add(i), n);
                    let value = match more.add {
                        Some(add) => s.fma(gradient, factor, load(s, add.add(i), n)),
                        None => s.mul(gradient, factor),
                    };
                    store(s, to.add(i), value, n);
                    i += n;
                }
                Precision::Bf16 => {
                    let n = (2 * S::LANES).min(count - i);
                    let [of_a, of_b] = s.widen_pairs(load(s, of.add(i / 2), n.div_ceil(2)));
                    let [a, b] = load_two(s, gradient.add(i), n);
                    let (factor_a, factor_b) = match more.gelu {
                        Some(to) => {
                            let (gelu_a, factor_a) = gelu_and_slope(s, of_a);
                            let (gelu_b, factor_b) = gelu_and_slope(s, of_b);
                            store_pairs(s, to.add(i / 2), gelu_a, gelu_b, n);
                            (factor_a, factor_b)
                        }
                        None => (slope(s, of_a), slope(s, of_b)),
                    };
                    let (a, b) = (s.mul(a, factor_a), s.mul(b, factor_b));
                    store_pairs(s, to.add(i / 2), a, b, n);
                    i += n;
                }
            }
        }
    }
}

/// `to = from[0] + from[1] + from[2]` for `count` numbers.
///
/// # Safety
/// All pointers must be valid for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn add_rows<S: Simd>(s: S, from: [*const f32; 3], to: *mut f32, count: usize) {
    let mut i = 0;
    while i < count {
        let n = S::LANES.min(count - i);
        // SAFETY: no more numbers from `i` on than there are.
        unsafe {
            let [a, b, c] = from.map(|from| load(s, from.add(i), n));
            store(s, to.add(i), s.add(s.add(a, b), c), n);
        }
        i += n;
    }
}

/// `to = from` in pairs, for `count` numbers.
///
/// # Safety
/// Both pointers must be valid for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn round_row<S: Simd>(s: S, from: *const f32, to: *mut f32, count: usize) {
    let mut i = 0;
    while i < count {
        let n = (2 * S::LANES).min(count - i);
        // SAFETY: `n` numbers from `i` on are within `count`.
        unsafe {
            let [a, b] = load_two(s, from.add(i), n);
            store_pairs(s, to.add(i / 2), a, b, n);
        }
        i += n;
    }
}

/// The first `n` numbers, at most two vectors; the other lanes are 0.
///
/// # Safety
/// `from` must be readable for `n` numbers.
#[inline(always)]
unsafe fn load_two<S: Simd>(s: S, from: *const f32, n: usize) -> [S::F; 2] {
    // SAFETY: promised by the caller.
    unsafe {
        if n > S::LANES {
            let second = load(s, from.add(S::LANES), n - S::LANES);
            [s.load_ptr(from), second]
        } else {
            [load(s, from, n), s.splat(0.0)]
        }
    }
}

/// Stores the first `n` numbers of two vectors in pairs.
///
/// # Safety
/// `to` must be writable for `n` numbers in pairs.
#[inline(always)]
unsafe fn store_pairs<S: Simd>(s: S, to: *mut f32, a: S::F, b: S::F, n: usize) {
    // SAFETY: promised by the caller.
    unsafe { store(s, to, s.round_pairs(a, b), n.div_ceil(2)) };
}

/// The first `n` numbers, at most a vector.
///
/// # Safety
/// `from` must be readable for `n` numbers.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(s: S, from: *const f32, n: usize) -> S::F {
    // SAFETY: promised by the caller.
    unsafe {
        if n == S::LANES {
            s.load_ptr(from)
        } else {
            s.load_ptr_partial(from, n)
        }
    }
}

/// Stores the first `n` lanes.
///
/// # Safety
/// `to` must be writable for `n` numbers.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(s: S, to: *mut f32, a: S::F, n: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        if n == S::LANES {
            s.store_ptr(to, a)
        } else {
            s.store_ptr_partial(to, a, n)
        }
    }
}

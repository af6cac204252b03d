//! Rows of a pixel's channels: what is done to them between convolutions.

use crate::gelu::{gelu, gelu_and_slope, slope};
use crate::precision::Precision;
use crate::simd::Simd;

/// The numbers of a pixel as elements of a precision.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub at: *mut f32,
    pub precision: Precision,
}

impl Row {
    /// Up to two vectors of numbers, the first of them number `i`, which is even.
    ///
    /// # Safety
    /// `n` numbers must be readable from there on.
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, i: usize, n: usize) -> [S::F; 2] {
        // SAFETY: promised by the caller.
        unsafe {
            match self.precision {
                Precision::Fp32 => load_two(s, self.at.add(i), n),
                Precision::Bf16 => s.widen_pairs(load(s, self.at.add(i / 2), n.div_ceil(2))),
            }
        }
    }

    /// Stores the first `n` numbers of two vectors.
    ///
    /// # Safety
    /// They must be writable from number `i` on.
    #[inline(always)]
    unsafe fn store<S: Simd>(self, s: S, i: usize, [a, b]: [S::F; 2], n: usize) {
        // SAFETY: promised by the caller.
        unsafe {
            match self.precision {
                Precision::Fp32 => {
                    store(s, self.at.add(i), a, n.min(S::LANES));
                    if n > S::LANES {
                        store(s, self.at.add(i + S::LANES), b, n - S::LANES);
                    }
                }
                Precision::Bf16 => store_pairs(s, self.at.add(i / 2), a, b, n),
            }
        }
    }
}

/// `to = gelu(from)`, and `save = from` if asked, for `count` numbers.
///
/// # Safety
/// All pointers must be valid for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn gelu_row<S: Simd>(
    s: S,
    from: *const f32,
    save: Option<Row>,
    to: Row,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        let n = (2 * S::LANES).min(count - i);
        // SAFETY: no more numbers from `i` on than there are.
        unsafe {
            let h = load_two(s, from.add(i), n);
            if let Some(save) = save {
                save.store(s, i, h, n);
            }
            let mut g = [gelu(s, h[0]), s.splat(0.0)];
            if n > S::LANES {
                g[1] = gelu(s, h[1]);
            }
            to.store(s, i, g, n);
        }
        i += n;
    }
}

/// What [`slope_row`] may do beside its work.
#[derive(Clone, Copy, Default)]
pub(crate) struct More {
    /// Receives gelu(of).
    pub gelu: Option<Row>,
    /// Added to the result.
    pub add: [Option<*const f32>; 2],
}

/// `to = gradient * gelu'(of)` for `count` numbers, and more if asked.
///
/// # Safety
/// All pointers must be valid for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn slope_row<S: Simd>(
    s: S,
    gradient: *const f32,
    of: Row,
    more: More,
    to: Row,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        let n = (2 * S::LANES).min(count - i);
        // SAFETY: no more numbers from `i` on than there are.
        unsafe {
            let of = of.load(s, i, n);
            let gradient = load_two(s, gradient.add(i), n);
            let mut add = [None; 2];
            for j in 0..2 {
                if let Some(from) = more.add[j] {
                    add[j] = Some(load_two(s, from.add(i), n));
                }
            }
            let (mut values, mut gelus) = ([s.splat(0.0); 2], [s.splat(0.0); 2]);
            for v in 0..n.div_ceil(S::LANES) {
                let factor = if more.gelu.is_some() {
                    let (gelu, slope) = gelu_and_slope(s, of[v]);
                    gelus[v] = gelu;
                    slope
                } else {
                    slope(s, of[v])
                };
                values[v] = match add[0] {
                    Some(add) => s.fma(gradient[v], factor, add[v]),
                    None => s.mul(gradient[v], factor),
                };
                if let Some(add) = add[1] {
                    values[v] = s.add(values[v], add[v]);
                }
            }
            if let Some(gelu) = more.gelu {
                gelu.store(s, i, gelus, n);
            }
            to.store(s, i, values, n);
        }
        i += n;
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

/// `to = from`, plus `add` if given, for `count` numbers.
///
/// # Safety
/// All pointers must be valid for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn store_row<S: Simd>(
    s: S,
    from: *const f32,
    add: Option<*const f32>,
    to: *mut f32,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        let n = S::LANES.min(count - i);
        // SAFETY: no more numbers from `i` on than there are.
        unsafe {
            let mut a = load(s, from.add(i), n);
            if let Some(add) = add {
                a = s.add(a, load(s, add.add(i), n));
            }
            store(s, to.add(i), a, n);
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

//! Products of small matrices in the first caches.

use crate::pack::vectors;
use crate::simd::Simd;
use crate::tile::{load, store};

/// `c[r][j] (+)= sum over t of a[r][t] * b[t][j]`. Every sum is one chain of multiply-adds in the order
/// of `t`, which goes on from what `c` holds: cutting it into tiles or blocks changes no bit.
pub(super) struct Product {
    pub a: *const f32,
    /// From a row of `a` to the next.
    pub a_row: usize,
    /// From a factor in a row to the next.
    pub a_step: usize,
    pub b: *const f32,
    /// From a row of `b` to the next.
    pub b_row: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// A multiple of the lanes.
    pub columns: usize,
    /// Whether to start from 0.
    pub fresh: bool,
}

/// Computes as many rows as there are `depths`, each a sum of so many terms.
///
/// # Safety
/// All numbers that are read and written must be in valid memory, and `c` used by nobody else.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd>(s: S, product: &Product, depths: &[usize]) {
    let mut column = 0;
    while column < product.columns {
        let v = vectors::<S>((product.columns - column) / S::LANES);
        // SAFETY: promised by the caller.
        unsafe {
            match (S::REGISTERS, v) {
                (32, 1) => panel::<S, 8, 1>(s, product, column, depths),
                (32, 2) => panel::<S, 8, 2>(s, product, column, depths),
                (32, 3) => panel::<S, 8, 3>(s, product, column, depths),
                (32, _) => panel::<S, 6, 4>(s, product, column, depths),
                (16, 1) => panel::<S, 8, 1>(s, product, column, depths),
                (16, 2) => panel::<S, 6, 2>(s, product, column, depths),
                (16, _) => panel::<S, 4, 3>(s, product, column, depths),
                (_, 1) => panel::<S, 4, 1>(s, product, column, depths),
                (_, _) => panel::<S, 2, 2>(s, product, column, depths),
            }
        }
        column += v * S::LANES;
    }
}

/// All rows of `V` vectors of columns, by tiles of up to `R` rows.
#[inline(always)]
unsafe fn panel<S: Simd, const R: usize, const V: usize>(
    s: S,
    product: &Product,
    column: usize,
    depths: &[usize],
) {
    let mut row = 0;
    while row < depths.len() {
        let left = &depths[row..];
        // SAFETY: promised by the caller.
        unsafe {
            row += match left.len() {
                n if n >= R => rows::<S, R, V>(s, product, column, row, left),
                n if n >= 4 => rows::<S, 4, V>(s, product, column, row, left),
                n if n >= 2 => rows::<S, 2, V>(s, product, column, row, left),
                _ => rows::<S, 1, V>(s, product, column, row, left),
            };
        }
    }
}

/// `R` rows: together as far as all of them go, then each as far as it goes.
#[inline(always)]
unsafe fn rows<S: Simd, const R: usize, const V: usize>(
    s: S,
    product: &Product,
    column: usize,
    row: usize,
    depths: &[usize],
) -> usize {
    let mut together = depths[0];
    for &depth in &depths[..R] {
        together = together.min(depth);
    }
    // SAFETY: promised by the caller.
    unsafe {
        tile::<S, R, V>(s, product, column, row, 0, together);
        for r in 0..R {
            if depths[r] > together {
                tile::<S, 1, V>(s, product, column, row + r, together, depths[r]);
            }
        }
    }
    R
}

/// `R` rows over the terms `from..to`.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const V: usize>(
    s: S,
    product: &Product,
    column: usize,
    row: usize,
    from: usize,
    to: usize,
) {
    // SAFETY: promised by the caller.
    unsafe {
        let c = product.c.add(row * product.c_row + column);
        let mut sum = [[s.splat(0.0); V]; R];
        if from > 0 || !product.fresh {
            for r in 0..R {
                sum[r] = load::<S, V>(s, c.add(r * product.c_row), S::LANES, true);
            }
        }
        let mut a = product
            .a
            .add(row * product.a_row)
            .wrapping_add(from * product.a_step);
        let mut b = product.b.wrapping_add(from * product.b_row + column);
        for _ in from..to {
            let mut terms = [s.splat(0.0); V];
            for v in 0..V {
                terms[v] = s.load_ptr(b.add(v * S::LANES));
            }
            for r in 0..R {
                let factor = s.splat(*a.add(r * product.a_row));
                for v in 0..V {
                    sum[r][v] = s.fma(factor, terms[v], sum[r][v]);
                }
            }
            a = a.wrapping_add(product.a_step);
            b = b.wrapping_add(product.b_row);
        }
        for r in 0..R {
            store::<S, V>(s, c.add(r * product.c_row), sum[r], S::LANES, true);
        }
    }
}

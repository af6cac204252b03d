//! Rows of inputs times panels of weights: what all convolutions come down to.

use crate::pack::{Weights, vectors};
use crate::precision::Arithmetic;
use crate::simd::Simd;
use crate::tile::{Panel, Segment, Start, rows_times_panel};

/// Rows worked on at a time: a multiple of every tile's rows.
pub(crate) const CHUNK: usize = 24;
/// Rows that may make a task of their own.
pub(crate) const GRANULE: usize = 8;

/// The right-hand side of a product.
pub(crate) struct Product<'a> {
    pub segments: &'a [Segment],
    pub weights: &'a Weights<'a>,
    /// One number per output, if any.
    pub bias: Option<&'a [f32]>,
    pub outputs: usize,
    /// Added to the rows' output pointers, in numbers.
    pub offset: usize,
}

/// Input and output rows of a chunk.
pub(crate) struct Rows {
    /// Beyond `count`, the last row again.
    pub input: [*const f32; CHUNK],
    /// Beyond `count`, the last row again.
    pub output: [*mut f32; CHUNK],
    /// Added to the outputs, if anything.
    pub add: Option<[*const f32; CHUNK]>,
    pub count: usize,
}

impl Rows {
    /// Rows at regular distances.
    #[inline(always)]
    pub fn regular(
        input: *const f32,
        input_stride: usize,
        output: *mut f32,
        output_stride: usize,
        count: usize,
    ) -> Self {
        let at = |i: usize| i.min(count - 1);
        Self {
            input: std::array::from_fn(|i| input.wrapping_add(at(i) * input_stride)),
            output: std::array::from_fn(|i| output.wrapping_add(at(i) * output_stride)),
            add: None,
            count,
        }
    }

    /// Repeats the last row where there are no more.
    #[inline(always)]
    pub fn repeat_last(&mut self) {
        for i in self.count..CHUNK {
            self.input[i] = self.input[self.count - 1];
            self.output[i] = self.output[self.count - 1];
            if let Some(add) = &mut self.add {
                add[i] = add[self.count - 1];
            }
        }
    }
}

/// Rows times weights, one panel after the other.
///
/// # Safety
/// The rows must be valid: inputs at all segments, outputs and additions for all outputs.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd, A: Arithmetic>(s: S, product: &Product, rows: &Rows) {
    product.weights.check_lanes::<S>();
    let mut start = 0;
    while start < product.outputs {
        let v = vectors::<S>((product.outputs - start).div_ceil(S::LANES));
        // SAFETY: promised by the caller.
        unsafe {
            match (S::REGISTERS, v) {
                (32, 1) => panel::<S, A, 8, 1>(s, product, rows, start),
                (32, 2) => panel::<S, A, 8, 2>(s, product, rows, start),
                (32, 3) => panel::<S, A, 8, 3>(s, product, rows, start),
                (32, _) => panel::<S, A, 6, 4>(s, product, rows, start),
                (16, 1) => panel::<S, A, 8, 1>(s, product, rows, start),
                (16, 2) => panel::<S, A, 6, 2>(s, product, rows, start),
                (16, _) => panel::<S, A, 4, 3>(s, product, rows, start),
                (_, 1) => panel::<S, A, 4, 1>(s, product, rows, start),
                (_, _) => panel::<S, A, 2, 2>(s, product, rows, start),
            }
        }
        start += v * S::LANES;
    }
}

/// All rows times one panel of `V` vectors, by tiles of `R` rows.
#[inline(always)]
unsafe fn panel<S: Simd, A: Arithmetic, const R: usize, const V: usize>(
    s: S,
    product: &Product,
    rows: &Rows,
    start: usize,
) {
    let weights = product.weights.panel(start, V * S::LANES);
    let last = S::LANES.min(product.outputs - start - (V - 1) * S::LANES);
    let mut row = 0;
    while row < rows.count {
        // SAFETY: promised by the caller.
        unsafe {
            if R <= 4 || rows.count - row > R - 4 {
                tile::<S, A, R, V>(s, product, rows, weights, row, start, last);
                row += R;
            } else {
                tile::<S, A, 4, V>(s, product, rows, weights, row, start, last);
                row += 4;
            }
        }
    }
}

/// `R` rows times `V` vectors.
#[inline(always)]
unsafe fn tile<S: Simd, A: Arithmetic, const R: usize, const V: usize>(
    s: S,
    product: &Product,
    rows: &Rows,
    weights: Panel,
    row: usize,
    start: usize,
    last: usize,
) {
    let to = product.offset + start;
    let bias = match product.bias {
        Some(bias) => Start::Bias(bias[start..].as_ptr()),
        None => Start::Zero,
    };
    // SAFETY: promised by the caller.
    unsafe {
        rows_times_panel::<S, A, R, V>(
            s,
            std::array::from_fn(|i| rows.input[row + i]),
            product.segments,
            weights,
            bias,
            std::array::from_fn(|i| rows.output[row + i].add(to)),
            rows.add
                .as_ref()
                .map(|add| std::array::from_fn(|i| add[row + i].add(to))),
            last,
        );
    }
}

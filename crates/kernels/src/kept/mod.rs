//! Products of few rows with weights that stay: what a layer of an autoregressive model computes for
//! the next pixel of a batch of images, or for a row of them (Ramachandran et al. 2017,
//! arXiv:1704.06001).
//!
//! For one pixel every weight is read once and used once: memory sets the pace. So weights are laid
//! out once, in panels that each thread reads from end to end, and with [`Precision::Bf16`] in half
//! the bytes.

mod tile;

use crate::detect::{Kernel, dispatch};
use crate::parallel::{Shared, for_ranges};
use crate::precision::Precision;
use crate::simd::Simd;
use crate::sizes;
use std::ops::Range;
use tile::{Block, Element, Layout, rows_times_panel};

/// A weight matrix `[k, n]`, laid out for [`product`].
pub struct Weights {
    panels: Panels,
    k: usize,
    n: usize,
    layout: Layout,
}

/// One panel of `k` rows after the other, each as wide as its vectors.
enum Panels {
    Fp32(Aligned<f32>),
    /// The upper halves of numbers whose lower halves are 0.
    Bf16(Aligned<u16>),
}

impl Weights {
    /// Lays out `weights` `[k, n]`. With [`Precision::Bf16`] they are rounded to bfloat16 (to nearest,
    /// ties to even) and kept in 16 bits; they are multiplied and added up in single precision all the
    /// same, by inputs that are not rounded.
    ///
    /// # Panics
    /// If there are not `k * n` weights.
    pub fn new(weights: &[f32], k: usize, n: usize, precision: Precision) -> Self {
        let expected = sizes::product(&[k, n]);
        let found = weights.len();
        assert!(
            found == expected,
            "weights: expected {k} x {n} numbers, found {found}"
        );
        let layout = dispatch(LayoutInUse);
        let widths = Widths::new(n, layout);
        let panels = match precision {
            Precision::Fp32 => Panels::Fp32(packed(weights, k, n, widths, |weight| weight)),
            Precision::Bf16 => Panels::Bf16(packed(weights, k, n, widths, round_to_bf16)),
        };
        Self {
            panels,
            k,
            n,
            layout,
        }
    }

    /// Inputs, the rows of the matrix.
    pub fn inputs(&self) -> usize {
        self.k
    }

    /// Outputs, the columns of the matrix.
    pub fn outputs(&self) -> usize {
        self.n
    }

    /// Bytes that one pass over the weights reads.
    pub fn bytes(&self) -> usize {
        match &self.panels {
            Panels::Fp32(numbers) => size_of_val(numbers.numbers()),
            Panels::Bf16(halves) => size_of_val(halves.numbers()),
        }
    }
}

/// `y = x w + bias` for rows `x` `[m, k]` and weights `w` `[k, n]`; `bias` `[n]`, 0 if there is none;
/// `y` `[m, n]`.
///
/// An output starts from its bias and takes the inputs in their order, one multiply-add each: it is the
/// same bits in whichever row it stands, with however many others, on any number of threads.
///
/// # Panics
/// If the lengths do not agree, or the instruction set was changed (see [`crate::detect::force`]) since
/// the weights were laid out.
pub fn product(weights: &Weights, x: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let rows: Vec<&[f32]> = match weights.k {
        0 => vec![x; y.len() / weights.n.max(1)],
        k => x.chunks(k).collect(),
    };
    product_of_segments(weights, &rows, 1, bias, y);
}

/// [`product`] of rows that lie in pieces: `per_row` segments each, one row's after the other's, which
/// together are its `k` inputs. A segment is as long as its counterpart in the other rows.
///
/// What a convolution sees of an image around a pixel is one segment for each row of its kernel.
///
/// # Panics
/// As [`product`].
pub fn product_of_segments(
    weights: &Weights,
    segments: &[&[f32]],
    per_row: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let (k, n) = (weights.k, weights.n);
    assert!(per_row > 0, "a row has at least one segment");
    let m = segments.len() / per_row;
    assert!(
        m * per_row == segments.len() && m * n == y.len(),
        "expected {per_row} segments for each of {} numbers / {n} outputs, found {}",
        y.len(),
        segments.len()
    );
    if let Some(bias) = bias {
        assert!(
            bias.len() == n,
            "bias: expected {n} numbers, found {}",
            bias.len()
        );
    }
    let Some(first) = segments.get(..per_row) else {
        return;
    };
    for row in segments.chunks(per_row) {
        let alike = row.iter().zip(first).all(|(a, b)| a.len() == b.len());
        let found: usize = row.iter().map(|segment| segment.len()).sum();
        assert!(
            alike && found == k,
            "a row: expected {k} inputs in pieces as those of the first row, found {found}"
        );
    }
    let blocks = m.div_ceil(ROWS);
    let panels = Widths::new(n, weights.layout).panels;
    let operations = 2 * k * n * m.max(WORTH_A_WEIGHT);
    let to = Shared(y.as_mut_ptr());
    for_ranges(panels * blocks, 1, operations, |range| {
        dispatch(Part {
            weights,
            block: Block {
                segments,
                per_row,
                bias,
                to,
                n,
            },
            m,
            range,
        });
    });
}

/// Rows that one task takes through a panel.
const ROWS: usize = 48;
/// Reading a weight from memory takes about as long as multiplying so many rows by it.
const WORTH_A_WEIGHT: usize = 8;
/// Inputs after which the next rows come, so that the weights are still in the first cache.
const DEPTH: usize = 128;

/// Some blocks of rows of some panels, counted over panels and then rows.
struct Part<'a> {
    weights: &'a Weights,
    block: Block<'a>,
    m: usize,
    range: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(
            self.weights.layout == Layout::of::<S>(),
            "weights laid out for another instruction set"
        );
        match &self.weights.panels {
            Panels::Fp32(numbers) => self.compute(s, numbers.numbers()),
            Panels::Bf16(halves) => self.compute(s, halves.numbers()),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn compute<S: Simd, T: Element>(&self, s: S, numbers: &[T]) {
        let (k, n) = (self.weights.k, self.weights.n);
        let blocks = self.m.div_ceil(ROWS);
        for (panel, (start, vectors)) in Widths::new(n, self.weights.layout).enumerate() {
            for block in 0..blocks {
                if !self.range.contains(&(panel * blocks + block)) {
                    continue;
                }
                let rows = block * ROWS..self.m.min((block + 1) * ROWS);
                let panel = &numbers[k * start..][..k * vectors * S::LANES];
                // SAFETY: the lengths were checked, and each part of the output is one task's.
                unsafe {
                    match (S::REGISTERS, vectors) {
                        (32, 1) => self.panel::<S, T, 8, 1>(s, panel, start, rows),
                        (32, 2) => self.panel::<S, T, 8, 2>(s, panel, start, rows),
                        (32, 3) => self.panel::<S, T, 8, 3>(s, panel, start, rows),
                        (32, _) => self.panel::<S, T, 6, 4>(s, panel, start, rows),
                        (16, 1) => self.panel::<S, T, 8, 1>(s, panel, start, rows),
                        (16, 2) => self.panel::<S, T, 6, 2>(s, panel, start, rows),
                        (16, _) => self.panel::<S, T, 4, 3>(s, panel, start, rows),
                        (_, 1) => self.panel::<S, T, 4, 1>(s, panel, start, rows),
                        (_, _) => self.panel::<S, T, 2, 2>(s, panel, start, rows),
                    }
                }
            }
        }
    }

    /// A block of rows times a panel, by tiles of up to `R` rows and `V` vectors.
    ///
    /// # Safety
    /// Rows and outputs must be in range, and the outputs nobody else's.
    #[inline(always)]
    unsafe fn panel<S: Simd, T: Element, const R: usize, const V: usize>(
        &self,
        s: S,
        panel: &[T],
        start: usize,
        rows: Range<usize>,
    ) {
        let k = self.weights.k;
        // A single tile need not come back to any weight.
        let depth = if rows.len() <= R { k } else { DEPTH };
        let mut from = 0;
        loop {
            let depths = from..k.min(from + depth);
            let mut row = rows.start;
            while row < rows.end {
                let left = rows.end - row;
                let (block, depths) = (&self.block, depths.clone());
                // SAFETY: promised by the caller.
                unsafe {
                    row += match left {
                        1 => rows_times_panel::<S, T, 1, V>(s, block, panel, start, row, 1, depths),
                        2 => rows_times_panel::<S, T, 2, V>(s, block, panel, start, row, 2, depths),
                        3 | 4 if R > 4 => rows_times_panel::<S, T, 4, V>(
                            s, block, panel, start, row, left, depths,
                        ),
                        _ => {
                            let count = left.min(R);
                            rows_times_panel::<S, T, R, V>(
                                s, block, panel, start, row, count, depths,
                            )
                        }
                    };
                }
            }
            from += depth;
            if from >= k {
                break;
            }
        }
    }
}

/// The panels that `n` outputs are cut into: where each starts, and its width in vectors. An even
/// number of them, as equal as can be, so that two threads have as much to read.
#[derive(Clone, Copy)]
struct Widths {
    vectors: usize,
    lanes: usize,
    panels: usize,
    next: usize,
}

impl Widths {
    #[inline(always)]
    fn new(n: usize, layout: Layout) -> Self {
        let vectors = n.div_ceil(layout.lanes);
        let panels = vectors.div_ceil(layout.widest).next_multiple_of(2);
        Self {
            vectors,
            lanes: layout.lanes,
            panels: panels.min(vectors),
            next: 0,
        }
    }
}

impl Iterator for Widths {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.next == self.panels {
            return None;
        }
        let start = self.vectors * self.next / self.panels;
        self.next += 1;
        let end = self.vectors * self.next / self.panels;
        Some((start * self.lanes, end - start))
    }
}

/// Lays out weights `[k, n]` in panels of these widths.
fn packed<T: Copy + Default>(
    weights: &[f32],
    k: usize,
    n: usize,
    widths: Widths,
    element: impl Fn(f32) -> T,
) -> Aligned<T> {
    let mut packed = Aligned::new(k * n.next_multiple_of(widths.lanes));
    let numbers = packed.numbers_mut();
    for (start, vectors) in widths {
        let width = vectors * widths.lanes;
        let end = n.min(start + width);
        for row in 0..k {
            let from = &weights[row * n..][start..end];
            let to = &mut numbers[k * start + row * width..];
            for (to, &from) in to.iter_mut().zip(from) {
                *to = element(from);
            }
        }
    }
    packed
}

/// The upper half of the nearest number whose lower half is 0, ties to even; NaN stays NaN.
fn round_to_bf16(number: f32) -> u16 {
    let bits = number.to_bits();
    let rounded = if number.is_nan() {
        bits | 0x0040_0000
    } else {
        bits + 0x7fff + (bits >> 16 & 1)
    };
    (rounded >> 16) as u16
}

/// Numbers that start with a cache line.
struct Aligned<T> {
    buffer: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Zeros.
    fn new(len: usize) -> Self {
        const LINE: usize = 64;
        let buffer = vec![T::default(); len + LINE / size_of::<T>()];
        let start = buffer.as_ptr().align_offset(LINE);
        Self { buffer, start, len }
    }
}

impl<T> Aligned<T> {
    fn numbers(&self) -> &[T] {
        &self.buffer[self.start..][..self.len]
    }

    fn numbers_mut(&mut self) -> &mut [T] {
        &mut self.buffer[self.start..][..self.len]
    }
}

/// [`Layout`] for the instruction set in use.
struct LayoutInUse;

impl Kernel for LayoutInUse {
    type Output = Layout;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Layout {
        Layout::of::<S>()
    }
}

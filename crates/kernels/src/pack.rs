//! Weights laid out for the innermost loops: panels of a few vectors of outputs, contiguous.

use crate::detect::{Kernel, dispatch};
use crate::parallel::{Shared, for_ranges};
use crate::precision::Precision;
use crate::rows::round_row;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::tile::Panel;
use std::ops::Range;

/// How many vectors of outputs the next tile takes when `left` are left.
#[inline(always)]
pub(crate) fn vectors<S: Simd>(left: usize) -> usize {
    match S::REGISTERS {
        32 => match left {
            0..=4 => left,
            7 | 8 => 4,
            _ => 3,
        },
        16 => match left {
            0..=2 => left,
            4 => 2,
            _ => 3,
        },
        _ => left.min(2),
    }
}

/// A weight matrix of `rows` inputs (taps times channels) by `columns` outputs.
pub(crate) enum Weights<'a> {
    /// As stored; `columns` is a multiple of the lanes.
    Stored { weights: &'a [f32], columns: usize },
    /// One panel of `rows` rows after the other, each as wide as its tile.
    Packed {
        panels: Scratch,
        rows: usize,
        /// Lanes of the instruction set that they are laid out for.
        lanes: usize,
    },
}

impl<'a> Weights<'a> {
    /// Weights `[groups, columns]` in pairs of rows, for a forward pass. Each group of rows (a tap,
    /// or the channels of one of two inputs) starts with a pair of its own.
    pub fn paired(weights: &[f32], groups: &[usize], columns: usize) -> Self {
        /// Rounding a number takes about as long as this many multiplications and additions.
        const OPERATIONS: usize = 15;
        let mut pairs = Vec::new();
        let mut row = 0;
        for &length in groups {
            let inside = |i: usize| (row + i, i + 1 < length);
            pairs.extend((0..length).step_by(2).map(inside));
            row += length;
        }
        let rows = pairs.len();
        let (mut panels, lanes) = room(rows, columns);
        let to = Shared(panels.as_mut_ptr());
        for_ranges(rows, 8, OPERATIONS * row * columns, |range| {
            dispatch(JoinRows {
                weights,
                pairs: &pairs,
                columns,
                panels: to,
                lanes,
                range,
            });
        });
        Weights::Packed {
            panels,
            rows,
            lanes,
        }
    }

    /// [`Weights::transposed`] with pairs of output channels.
    pub fn transposed_pairs(
        weights: &[f32],
        taps: usize,
        c_in: usize,
        c_out: usize,
        columns: usize,
    ) -> Self {
        /// Rounding a number takes about as long as this many multiplications and additions.
        const OPERATIONS: usize = 10;
        let (rows, pairs) = (taps * c_in, Precision::Bf16.elements(c_out));
        let mut rounded = Scratch::take(rows * pairs);
        let to = Shared(rounded.as_mut_ptr());
        for_ranges(rows, 8, OPERATIONS * rows * c_out, |range| {
            dispatch(RoundRows {
                weights,
                c_out,
                to,
                range,
            });
        });
        Self::transposed(&rounded, taps, c_in, pairs, columns)
    }

    /// Weights for a forward pass over `pixels` pixels: packed where that pays or must be.
    pub fn forward(weights: &'a [f32], rows: usize, columns: usize, pixels: usize) -> Self {
        let (lanes, one_tile) = dispatch(Widths { columns });
        if columns.is_multiple_of(lanes) && (one_tile || pixels < WORTH_PACKING) {
            return Weights::Stored { weights, columns };
        }
        Self::packed(weights, rows, columns)
    }

    /// Weights for a forward pass.
    pub fn packed(weights: &[f32], rows: usize, columns: usize) -> Weights<'static> {
        /// Moving a number takes about as long as this many multiplications and additions.
        const OPERATIONS: usize = 10;
        let (mut panels, lanes) = room(rows, columns);
        let to = Shared(panels.as_mut_ptr());
        for_ranges(rows, 16, OPERATIONS * rows * columns, |range| {
            dispatch(CopyRows {
                weights,
                rows,
                columns,
                panels: to,
                lanes,
                range,
            });
        });
        Weights::Packed {
            panels,
            rows,
            lanes,
        }
    }

    /// The same in memory of their own, which may be kept.
    pub fn to_own(&self) -> Weights<'static> {
        match self {
            Weights::Stored { .. } => unreachable!("only what is packed is worth keeping"),
            Weights::Packed {
                panels,
                rows,
                lanes,
            } => Weights::Packed {
                panels: panels.to_own(),
                rows: *rows,
                lanes: *lanes,
            },
        }
    }

    /// Weights `[taps, c_in, c_out]` for a data gradient: `[taps reversed, c_out, c_in]`, of
    /// which only the first `columns` of `c_in`.
    pub fn transposed(
        weights: &[f32],
        taps: usize,
        c_in: usize,
        c_out: usize,
        columns: usize,
    ) -> Self {
        /// Moving a number takes about as long as this many multiplications and additions.
        const OPERATIONS: usize = 15;
        let rows = taps * c_out;
        let (mut panels, lanes) = room(rows, columns);
        let to = Shared(panels.as_mut_ptr());
        let blocks = taps * c_out.div_ceil(BLOCK);
        for_ranges(blocks, 1, OPERATIONS * rows * columns, |blocks| {
            dispatch(Transpose {
                weights,
                taps,
                c_in,
                c_out,
                columns,
                panels: to,
                lanes,
                blocks,
            });
        });
        Weights::Packed {
            panels,
            rows,
            lanes,
        }
    }

    /// # Panics
    /// If the instruction set was changed (see [`crate::detect::force`]) since these were laid
    /// out.
    #[inline(always)]
    pub fn check_lanes<S: Simd>(&self) {
        match self {
            Weights::Stored { columns, .. } => assert!(columns.is_multiple_of(S::LANES)),
            Weights::Packed { lanes, .. } => assert!(*lanes == S::LANES),
        }
    }

    /// The panel of outputs `start .. start + width`.
    #[inline(always)]
    pub fn panel(&self, start: usize, width: usize) -> Panel {
        match self {
            Weights::Stored { weights, columns } => Panel {
                at: weights[start..].as_ptr(),
                stride: *columns,
            },
            Weights::Packed { panels, rows, .. } => Panel {
                at: panels[rows * start..].as_ptr(),
                stride: width,
            },
        }
    }
}

/// Pixels from which on panels make up for copying.
const WORTH_PACKING: usize = 192;

/// The lanes, and whether one tile is as wide as all columns.
struct Widths {
    columns: usize,
}

impl Kernel for Widths {
    type Output = (usize, bool);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, bool) {
        let vector_count = self.columns.div_ceil(S::LANES);
        (S::LANES, vectors::<S>(vector_count) == vector_count)
    }
}

/// Some rows of weights.
struct CopyRows<'a> {
    weights: &'a [f32],
    rows: usize,
    columns: usize,
    panels: Shared,
    /// Lanes that the panels are for.
    lanes: usize,
    range: Range<usize>,
}

impl Kernel for CopyRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.lanes == S::LANES);
        let (rows, columns) = (self.rows, self.columns);
        for row in self.range {
            let from = &self.weights[row * columns..][..columns];
            let mut start = 0;
            while start < columns {
                let width = vectors::<S>((columns - start).div_ceil(S::LANES)) * S::LANES;
                for column in (start..start + width).step_by(S::LANES) {
                    let at = rows * start + row * width + column - start;
                    let numbers = s.load_partial(&from[column..]);
                    // SAFETY: a row of a panel in the room made for it, which no other range writes.
                    unsafe { s.store_ptr(self.panels.0.add(at), numbers) };
                }
                start += width;
            }
        }
    }
}

/// Some pairs of rows of weights.
struct JoinRows<'a> {
    weights: &'a [f32],
    /// The first row of each pair, and whether the next one is the second.
    pairs: &'a [(usize, bool)],
    columns: usize,
    panels: Shared,
    /// Lanes that the panels are for.
    lanes: usize,
    range: Range<usize>,
}

impl Kernel for JoinRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.lanes == S::LANES);
        let (columns, rows) = (self.columns, self.pairs.len());
        for pair in self.range {
            let (first, has_second) = self.pairs[pair];
            let (first, second) = self.weights[first * columns..].split_at(columns);
            let mut start = 0;
            while start < columns {
                let width = vectors::<S>((columns - start).div_ceil(S::LANES)) * S::LANES;
                for column in (start..start + width).step_by(S::LANES) {
                    let at = rows * start + pair * width + column - start;
                    let from = column.min(columns);
                    let a = s.load_partial(&first[from..]);
                    let b = if has_second {
                        s.load_partial(&second[from..])
                    } else {
                        s.splat(0.0)
                    };
                    // SAFETY: a row of a panel in the room made for it, which no other range
                    // writes.
                    unsafe { s.store_ptr(self.panels.0.add(at), s.join_pairs(a, b)) };
                }
                start += width;
            }
        }
    }
}

/// Some rows of weights `[c_in, c_out]`, to be rounded.
struct RoundRows<'a> {
    weights: &'a [f32],
    c_out: usize,
    to: Shared,
    range: Range<usize>,
}

impl Kernel for RoundRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pairs = Precision::Bf16.elements(self.c_out);
        for row in self.range {
            let from = &self.weights[row * self.c_out..][..self.c_out];
            // SAFETY: rows of the room made for them, which no other range writes.
            unsafe { round_row(s, from.as_ptr(), self.to.0.add(row * pairs), self.c_out) };
        }
    }
}

/// Lanes of the instruction set in use.
struct Lanes;

impl Kernel for Lanes {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

/// Room for panels of `rows` rows, and the lanes that it is for.
pub(crate) fn room(rows: usize, columns: usize) -> (Scratch, usize) {
    let lanes = dispatch(Lanes);
    let room = Scratch::take(rows * columns.div_ceil(lanes) * lanes);
    (room, lanes)
}

/// Output channels that are a unit of work: a multiple of the lanes.
const BLOCK: usize = 32;

/// Some blocks of a transposition, counted over taps and then output channels.
struct Transpose<'a> {
    weights: &'a [f32],
    taps: usize,
    c_in: usize,
    c_out: usize,
    columns: usize,
    panels: Shared,
    /// Lanes that the panels are for.
    lanes: usize,
    blocks: Range<usize>,
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.lanes == S::LANES);
        let rows = self.taps * self.c_out;
        let per_tap = self.c_out.div_ceil(BLOCK);
        for block in self.blocks.clone() {
            let (tap, first) = (block / per_tap, block % per_tap * BLOCK);
            let last = self.c_out.min(first + BLOCK);
            let from = &self.weights[(self.taps - 1 - tap) * self.c_in * self.c_out..];
            let mut start = 0;
            while start < self.columns {
                let width = vectors::<S>((self.columns - start).div_ceil(S::LANES)) * S::LANES;
                let at = rows * start + (tap * self.c_out + first) * width;
                // SAFETY: rows of a panel in the room made for it, which no other block writes.
                let to = unsafe {
                    std::slice::from_raw_parts_mut(self.panels.0.add(at), (last - first) * width)
                };
                self.transpose_block(s, from, first..last, to, start, width);
                start += width;
            }
        }
    }
}

impl Transpose<'_> {
    /// `to[co][j] = from[start + j][co]` for a range of `co`, zero beyond the last column.
    #[inline(always)]
    fn transpose_block<S: Simd>(
        &self,
        s: S,
        from: &[f32],
        range: Range<usize>,
        to: &mut [f32],
        start: usize,
        width: usize,
    ) {
        let c_out = self.c_out;
        for j in (0..width).step_by(S::LANES) {
            let mut co = range.start;
            if start + j + S::LANES <= self.columns {
                while co + S::LANES <= range.end {
                    let from = &from[(start + j) * c_out + co..];
                    let to = &mut to[(co - range.start) * width + j..];
                    transpose_square(s, from, c_out, to, width);
                    co += S::LANES;
                }
            }
            for co in co..range.end {
                for i in j..j + S::LANES {
                    let inside = start + i < self.columns;
                    to[(co - range.start) * width + i] = if inside {
                        from[(start + i) * c_out + co]
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

/// Transposes a square of as many rows as there are lanes.
///
/// Interleaving row `i` with row `i + LANES / 2` moves the top bit of the row number to the
/// bottom of the column number, and the column's top bit to the bottom of the row number; after
/// as many rounds as a number has bits, they have changed places.
#[inline(always)]
pub(crate) fn transpose_square<S: Simd>(
    s: S,
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    let mut rows = [s.splat(0.0); 16];
    for i in 0..S::LANES {
        rows[i] = s.load(&from[i * from_stride..]);
    }
    let mut size = S::LANES;
    while size > 1 {
        let before = rows;
        for i in 0..S::LANES / 2 {
            let [low, high] = s.interleave(before[i], before[i + S::LANES / 2]);
            rows[2 * i] = low;
            rows[2 * i + 1] = high;
        }
        size /= 2;
    }
    for i in 0..S::LANES {
        s.store(&mut to[i * to_stride..], rows[i]);
    }
}

//! One convolution with what comes before and after it, over a range of pixels.
//!
//! Forward passes and data gradients are the same loop: rows of inputs times panels of weights,
//! a chunk of pixels at a time, so that what follows finds its numbers in the cache.

use crate::detect::{Kernel, dispatch};
use crate::gelu::{gelu, slope};
use crate::grid::Map;
use crate::multiply::{CHUNK, GRANULE, Product, Rows, multiply};
use crate::pack::Weights;
use crate::parallel::for_ranges;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::tile::Segment;
use std::ops::Range;

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// A buffer as it is.
    Map(Map),
    /// The gelu of one buffer's channels and then another's, both without border.
    Gelu(Map, Option<Map>),
}

impl Source {
    /// Input channels.
    pub fn channels(&self) -> usize {
        match self {
            Source::Map(map) => map.channels,
            Source::Gelu(x, act) => x.channels + act.map_or(0, |a| a.channels),
        }
    }
}

/// What becomes of the outputs `h`.
#[derive(Clone, Copy)]
pub(crate) enum Finish {
    /// Stores `h`, plus another buffer if given.
    Store { to: Map, add: Option<Map> },
    /// Stores gelu(h), and `h` itself if asked.
    Gelu { to: Map, save: Option<Map> },
    /// Stores `h * gelu'(of)`.
    TimesSlope { to: Map, of: Map },
    /// Splits `h` by channels into those of two inputs: stores `h * gelu'(of)`, plus another
    /// buffer for the first if given.
    InputGradient {
        to: Map,
        of: Map,
        add: Option<Map>,
        rest: Option<(Map, Map)>,
    },
}

/// A convolution with what comes before and after it.
pub(crate) struct Layer<'a> {
    pub source: Source,
    /// The taps, see [`crate::grid::Grid::segments`].
    pub segments: Vec<Segment>,
    pub weights: Weights<'a>,
    /// One number per output, if any.
    pub bias: Option<&'a [f32]>,
    /// Output channels.
    pub outputs: usize,
    pub finish: Finish,
}

impl Layer<'_> {
    /// Computes all pixels.
    ///
    /// # Safety
    /// All buffers must be alive and of the same pixels; those written must be used by nobody
    /// else, borders of those read must be clear where segments reach them.
    pub unsafe fn run(&self, pixels: usize) {
        let rows: usize = self.segments.iter().map(|s| s.rows).sum();
        if let Some(bias) = self.bias {
            assert!(bias.len() >= self.outputs);
        }
        let operations = 2 * pixels * rows * self.outputs;
        for_ranges(pixels, GRANULE, operations, |range| {
            dispatch(Part { layer: self, range });
        });
    }
}

/// A layer over some of its pixels.
struct Part<'a> {
    layer: &'a Layer<'a>,
    range: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let layer = self.layer;
        let input_size = match layer.source {
            Source::Map(_) => 0,
            Source::Gelu(..) => CHUNK * layer.source.channels(),
        };
        let output_size = match layer.finish {
            Finish::Store { .. } => 0,
            _ => CHUNK * layer.outputs,
        };
        let mut input = Scratch::take(input_size);
        let mut output = Scratch::take(output_size);
        let mut first = self.range.start;
        while first < self.range.end {
            let count = CHUNK.min(self.range.end - first);
            // SAFETY: `Layer::run` requires valid buffers, and its ranges are disjoint.
            unsafe {
                let rows = layer.rows(s, first, count, &mut input, &mut output);
                multiply(s, &layer.product(), &rows);
                layer.finish(s, first, count, &output);
            }
            first += count;
        }
    }
}

impl Layer<'_> {
    fn product(&self) -> Product<'_> {
        Product {
            segments: &self.segments,
            weights: &self.weights,
            bias: self.bias,
            outputs: self.outputs,
            offset: 0,
        }
    }

    /// Finds, or makes, the rows of a chunk.
    #[inline(always)]
    unsafe fn rows<S: Simd>(
        &self,
        s: S,
        first: usize,
        count: usize,
        input: &mut [f32],
        output: &mut [f32],
    ) -> Rows {
        let mut rows = Rows {
            input: [std::ptr::null(); CHUNK],
            output: [std::ptr::null_mut(); CHUNK],
            add: None,
            count,
        };
        // SAFETY: pixels within their buffers, scratch rows within the scratch.
        unsafe {
            match self.source {
                Source::Map(map) => {
                    let mut places = map.grid.places_from(first);
                    for i in 0..count {
                        rows.input[i] = map.at_place(places.next());
                    }
                }
                Source::Gelu(x, act) => {
                    let channels = self.source.channels();
                    for i in 0..count {
                        let row = input.as_mut_ptr().add(i * channels);
                        gelu_row(s, x.pixel(first + i), None, row, x.channels);
                        if let Some(act) = act {
                            let row = row.add(x.channels);
                            gelu_row(s, act.pixel(first + i), None, row, act.channels);
                        }
                        rows.input[i] = row;
                    }
                }
            }
            if let Finish::Store { to, add } = self.finish {
                let mut more = [std::ptr::null(); CHUNK];
                for i in 0..count {
                    rows.output[i] = to.pixel(first + i);
                    if let Some(add) = add {
                        more[i] = add.pixel(first + i);
                    }
                }
                rows.add = add.map(|_| more);
            } else {
                for i in 0..count {
                    rows.output[i] = output.as_mut_ptr().add(i * self.outputs);
                }
            }
        }
        rows.repeat_last();
        rows
    }

    /// What follows the multiplication.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, first: usize, count: usize, output: &[f32]) {
        let grid = match self.finish {
            Finish::Store { .. } => return,
            Finish::Gelu { to, .. }
            | Finish::TimesSlope { to, .. }
            | Finish::InputGradient { to, .. } => to.grid,
        };
        let mut places = grid.places_from(first);
        for i in 0..count {
            // SAFETY: pixels within their buffers, scratch rows within the scratch.
            unsafe {
                let h = output.as_ptr().add(i * self.outputs);
                finish_row(s, &self.finish, h, self.outputs, first + i, places.next());
            }
        }
    }
}

/// What becomes of the `n` outputs `h` of a pixel, whose place in `to` is given.
///
/// # Safety
/// The pixel must be one of the buffers', and `h` readable for `n` numbers.
#[inline(always)]
pub(crate) unsafe fn finish_row<S: Simd>(
    s: S,
    finish: &Finish,
    h: *const f32,
    n: usize,
    pixel: usize,
    place: usize,
) {
    // SAFETY: promised by the caller.
    unsafe {
        match *finish {
            Finish::Store { .. } => {}
            Finish::Gelu { to, save } => {
                let save = save.map(|map| map.pixel(pixel));
                gelu_row(s, h, save, to.at_place(place), n);
            }
            Finish::TimesSlope { to, of } => {
                slope_row(s, h, of.pixel(pixel), None, to.at_place(place), n);
            }
            Finish::InputGradient { to, of, add, rest } => {
                let add = add.map(|map| map.pixel(pixel).cast_const());
                slope_row(s, h, of.pixel(pixel), add, to.at_place(place), to.channels);
                if let Some((to, of)) = rest {
                    let h = h.add(n - to.channels);
                    slope_row(s, h, of.pixel(pixel), None, to.pixel(pixel), to.channels);
                }
            }
        }
    }
}

/// `to = gelu(from)` for all pixels, and a clear border around.
///
/// # Safety
/// Both buffers must be alive and of the same pixels and channels; `to` must be used by nobody
/// else.
pub(crate) unsafe fn activate(from: Map, to: Map) {
    /// A gelu is about as long as this many multiplications and additions.
    const OPERATIONS: usize = 60;
    let pixels = to.grid.pixels();
    // SAFETY: promised by the caller; the ranges are disjoint.
    unsafe { to.clear_border() };
    for_ranges(
        pixels,
        GRANULE,
        pixels * to.channels * OPERATIONS,
        |range| {
            dispatch(Activate { from, to, range });
        },
    );
}

struct Activate {
    from: Map,
    to: Map,
    range: Range<usize>,
}

impl Kernel for Activate {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut places = self.to.grid.places_from(self.range.start);
        for pixel in self.range {
            // SAFETY: `activate` requires valid buffers, its ranges are disjoint.
            unsafe {
                let (from, to) = (self.from.pixel(pixel), self.to.at_place(places.next()));
                gelu_row(s, from, None, to, self.to.channels);
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
    save: Option<*mut f32>,
    to: *mut f32,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        let n = S::LANES.min(count - i);
        // SAFETY: `n` numbers from `i` on are within `count`.
        unsafe {
            let h = load(s, from.add(i), n);
            if let Some(save) = save {
                store(s, save.add(i), h, n);
            }
            store(s, to.add(i), gelu(s, h), n);
        }
        i += n;
    }
}

/// `to = gradient * gelu'(of) (+ add)` for `count` numbers.
///
/// # Safety
/// All pointers must be valid for `count` numbers.
#[inline(always)]
unsafe fn slope_row<S: Simd>(
    s: S,
    gradient: *const f32,
    of: *const f32,
    add: Option<*const f32>,
    to: *mut f32,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        let n = S::LANES.min(count - i);
        // SAFETY: `n` numbers from `i` on are within `count`.
        unsafe {
            let factor = slope(s, load(s, of.add(i), n));
            let gradient = load(s, gradient.add(i), n);
            let value = match add {
                Some(add) => s.fma(gradient, factor, load(s, add.add(i), n)),
                None => s.mul(gradient, factor),
            };
            store(s, to.add(i), value, n);
        }
        i += n;
    }
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

//! One convolution with what comes before and after it, over a range of pixels.
//!
//! Forward passes and data gradients are the same loop: rows of inputs times panels of weights,
//! a chunk of pixels at a time, so that what follows finds its numbers in the cache.

use crate::activation::ActivationGradient;
use crate::detect::{Kernel, dispatch};
use crate::grid::{Grid, Map};
use crate::multiply::{CHUNK, GRANULE, Product, Rows, multiply};
use crate::pack::Weights;
use crate::parallel::for_ranges;
use crate::precision::{Pairs, Precision, Single};
use crate::rows::{More, Row, add_rows, gelu_row, round_row, slope_row, store_row};
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::tile::Segment;
use std::ops::Range;

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// A buffer as it is, rounded if it is not of the layer's precision.
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

    /// Elements of a row of inputs in a precision; each buffer's start with one of their own.
    pub fn elements(&self, precision: Precision) -> usize {
        match self {
            Source::Map(map) => precision.elements(map.channels),
            Source::Gelu(x, act) => {
                let act = act.map_or(0, |act| precision.elements(act.channels));
                precision.elements(x.channels) + act
            }
        }
    }
}

/// What becomes of the outputs `h`.
// Made once a layer, and copied never where it matters.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy)]
pub(crate) enum Finish {
    /// Stores `h`, plus another buffer if given.
    Store { to: Map, add: Option<Map> },
    /// Stores `h` plus two other buffers, of the second its last channels.
    StoreOnto { to: Map, x: Map, p: Map },
    /// Stores gelu(h), and `h` itself if asked.
    Gelu { to: Map, save: Option<Map> },
    /// Stores `h * gelu'(of)`, and gelu(of) if asked.
    TimesSlope { to: Map, of: Map, gelu: Option<Map> },
    /// Stores the gradient with respect to what was activated before a convolution read it.
    Activated(ActivationGradient),
    /// Splits `h` by channels into the gradients of two inputs.
    InputGradient {
        first: InputGradient,
        rest: Option<InputGradient>,
    },
}

/// The gradient of what was read through a gelu: `h * gelu'(of)`, plus other buffers.
#[derive(Clone, Copy)]
pub(crate) struct InputGradient {
    pub to: Map,
    pub of: Map,
    pub add: [Option<Map>; 2],
}

impl InputGradient {
    /// Stores a pixel.
    ///
    /// # Safety
    /// The pixel must be one of the buffers', and `h` readable for their channels.
    #[inline(always)]
    unsafe fn store<S: Simd>(self, s: S, h: *const f32, pixel: usize) {
        // SAFETY: promised by the caller.
        unsafe {
            let mut more = More::default();
            for i in 0..2 {
                more.add[i] = self.add[i].map(|map| map.pixel(pixel).cast_const());
            }
            let of = self.of.row(self.of.pixel(pixel));
            let to = self.to.row(self.to.pixel(pixel));
            slope_row(s, h, of, more, to, self.to.channels);
        }
    }
}

impl Finish {
    /// How the pixels lie in those buffers that have a border, if there are any.
    #[inline(always)]
    fn grid(&self) -> Grid {
        match *self {
            Finish::Gelu { to, .. } => to.grid,
            Finish::TimesSlope { to, gelu, .. } => match gelu {
                Some(gelu) if to.grid.is_plain() => gelu.grid,
                _ => to.grid,
            },
            Finish::Store { to, .. } | Finish::StoreOnto { to, .. } => to.grid,
            Finish::InputGradient { first, .. } => first.to.grid,
            Finish::Activated(gradient) => gradient.to.grid,
        }
    }
}

/// A convolution with what comes before and after it.
pub(crate) struct Layer<'a> {
    pub source: Source,
    /// The taps, see [`crate::grid::Grid::segments`].
    pub segments: Vec<Segment>,
    /// What inputs and weights are multiplied as.
    pub precision: Precision,
    pub weights: &'a Weights<'a>,
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
    /// else, but that what is stored may take the place of what is added to it; borders of those read must be clear where segments reach them.
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
            Source::Map(map) if map.precision == layer.precision => 0,
            _ => CHUNK * layer.source.elements(layer.precision),
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
                match layer.precision {
                    Precision::Fp32 => multiply::<S, Single>(s, &layer.product(), &rows),
                    Precision::Bf16 => multiply::<S, Pairs>(s, &layer.product(), &rows),
                }
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
            weights: self.weights,
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
                Source::Map(map) if map.precision == self.precision => {
                    let mut places = map.grid.places_from(first);
                    for i in 0..count {
                        rows.input[i] = map.at_place(places.next());
                    }
                }
                Source::Map(map) => {
                    for i in 0..count {
                        let row = input
                            .as_mut_ptr()
                            .add(i * self.precision.elements(map.channels));
                        round_row(s, map.pixel(first + i), row, map.channels);
                        rows.input[i] = row;
                    }
                }
                Source::Gelu(x, act) => {
                    let precision = self.precision;
                    let elements = self.source.elements(precision);
                    let row = |at| Row { at, precision };
                    for i in 0..count {
                        let to = input.as_mut_ptr().add(i * elements);
                        gelu_row(s, x.pixel(first + i), None, row(to), x.channels);
                        if let Some(act) = act {
                            let to = row(to.add(precision.elements(x.channels)));
                            gelu_row(s, act.pixel(first + i), None, to, act.channels);
                        }
                        rows.input[i] = to;
                    }
                }
            }
            if let Finish::Store { to, add } = self.finish {
                let mut more = [std::ptr::null(); CHUNK];
                let mut places = to.grid.places_from(first);
                for i in 0..count {
                    rows.output[i] = to.at_place(places.next());
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
        if let Finish::Store { .. } = self.finish {
            return;
        }
        let mut places = self.finish.grid().places_from(first);
        for i in 0..count {
            // SAFETY: pixels within their buffers, scratch rows within the scratch.
            unsafe {
                let h = output.as_ptr().add(i * self.outputs);
                finish_row(s, &self.finish, h, self.outputs, first + i, places.next());
            }
        }
    }
}

/// What becomes of the `n` outputs `h` of a pixel, whose place inside a border is given.
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
            Finish::Store { to, add } => {
                let add = add.map(|add| add.pixel(pixel).cast_const());
                store_row(s, h, add, to.spot(pixel, place), n);
            }
            Finish::StoreOnto { to, x, p } => {
                let p = p.pixel(pixel).add(p.channels - n);
                add_rows(s, [h, x.pixel(pixel), p], to.spot(pixel, place), n);
            }
            Finish::Gelu { to, save } => {
                let save = save.map(|map| map.row(map.pixel(pixel)));
                gelu_row(s, h, save, to.row(to.spot(pixel, place)), n);
            }
            Finish::TimesSlope { to, of, gelu } => {
                let of = of.row(of.pixel(pixel));
                let gelu = gelu.map(|map| map.row(map.spot(pixel, place)));
                let more = More {
                    gelu,
                    add: [None; 2],
                };
                slope_row(s, h, of, more, to.row(to.spot(pixel, place)), n);
            }
            Finish::Activated(gradient) => gradient.store(s, h, place),
            Finish::InputGradient { first, rest } => {
                first.store(s, h, pixel);
                if let Some(rest) = rest {
                    rest.store(s, h.add(first.to.channels), pixel);
                }
            }
        }
    }
}

//! Panels of the expanded channels on the way back: from the gradient with respect to the projection to
//! the one with respect to the expansion, and the gradients of all parameters in between.

use super::panels::{Filter, PanelScaling, multiply_rows};
use super::{Inverted, Saved, Weights};
use crate::batch_norm::moments::{Kept, PART, row_products};
use crate::batch_norm::{Channels, Slopes, Statistics};
use crate::depthwise::taps::{PANEL, Plane, add_tap_gradients, correlate, panel_weights};
use crate::detect::Kernel;
use crate::pack::Weights as Packed;
use crate::parallel::Shared;
use crate::precision::Single;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::weight_gradient::{Block, Run};
use std::ops::Range;

/// Where the gradients of the parameters go.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub expand: Shared,
    pub depthwise: Shared,
    pub project: Shared,
    /// Gamma and beta of the two normalisations inside.
    pub norms: [[Shared; 2]; 2],
}

/// Some panels.
pub(super) struct PanelsBackward<'a> {
    pub shape: &'a Inverted,
    /// The normalised input.
    pub input: &'a [f32],
    pub weights: &'a Weights<'a>,
    pub saved: &'a Saved,
    /// The gradient with respect to the outputs of the projection.
    pub slope: &'a [f32],
    pub places: Places,
    /// Receives the gradient with respect to the outputs of the expansion, `[panels, pixels, PANEL]`.
    pub to: Shared,
    pub range: Range<usize>,
}

/// Room for what a panel needs; of all images but where one is said.
struct Rooms {
    /// Activations as the depthwise convolution reads them.
    bordered: Scratch,
    /// Outputs of the depthwise convolution, and their activations.
    filtered: Scratch,
    activated: Scratch,
    /// The gradient with respect to the latter and the former.
    slopes: Scratch,
    /// The same of one image inside a border.
    bordered_slopes: Scratch,
    /// The gradient with respect to `bordered`, of one image.
    unfiltered: Scratch,
    /// Weights of the depthwise convolution, and in reverse order.
    depthwise: [Scratch; 2],
    /// Gradients of weights.
    taps: Scratch,
    expand: Scratch,
}

impl Rooms {
    fn new(shape: &Inverted) -> Self {
        let [_, image_out, bordered] = Filter::lengths(shape);
        let taps = shape.kernel * shape.kernel * PANEL;
        let all = |length: usize| Scratch::take(shape.batch * length);
        let mut rooms = Self {
            bordered: all(bordered),
            filtered: all(image_out),
            activated: all(image_out),
            slopes: all(image_out),
            bordered_slopes: Scratch::take(bordered),
            unfiltered: Scratch::take(image_out),
            depthwise: [(); 2].map(|()| Scratch::take(taps)),
            taps: Scratch::take(taps),
            expand: Scratch::take(shape.c_in * PANEL),
        };
        rooms.bordered.fill(0.0);
        rooms.bordered_slopes.fill(0.0);
        rooms
    }
}

impl Kernel for PanelsBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut rooms = Rooms::new(self.shape);
        for panel in self.range.clone() {
            // SAFETY: whoever makes `PanelsBackward` promises room for all panels, each written by one
            // thread.
            unsafe { self.panel(s, panel, &mut rooms) };
        }
    }
}

/// Sums over all rows, see [`row_products`].
#[inline(always)]
unsafe fn products<S: Simd>(
    s: S,
    (d, h): (*mut f32, *const f32),
    rows: usize,
    n: usize,
    channels: Channels,
    activation: Option<*mut f32>,
) -> [Vec<f64>; 2] {
    let mut totals = [(); 2].map(|()| vec![0.0_f64; n]);
    let mut sums = [[0.0_f32; PANEL]; 2];
    let mut row = 0;
    while row < rows {
        let count = PART.min(rows - row);
        let at = row * PANEL;
        let kept = Kept {
            slope: Some(d.wrapping_add(at)),
            activation: activation.map(|to| to.wrapping_add(at)),
        };
        let [first, second] = &mut sums;
        let to = [first.as_mut_ptr(), second.as_mut_ptr()];
        // SAFETY: promised by the caller: rows of panels.
        unsafe {
            let from = (d.add(at).cast_const(), h.add(at), PANEL);
            row_products(s, from, (count, n), channels, true, kept, to);
        }
        for (total, sums) in totals.iter_mut().zip(&sums) {
            for (total, &sum) in total.iter_mut().zip(sums) {
                *total += f64::from(sum);
            }
        }
        row += count;
    }
    totals
}

/// A backward pass of a normalisation, for a panel.
struct PanelSlopes {
    factor: [f32; PANEL],
    constant: [f32; PANEL],
    centred: [f32; PANEL],
}

impl PanelSlopes {
    fn new(slopes: &Slopes) -> Self {
        let padded = |of: &[f32]| {
            let mut values = [0.0; PANEL];
            values[..of.len()].copy_from_slice(of);
            values
        };
        Self {
            factor: padded(&slopes.factor),
            constant: padded(&slopes.constant),
            centred: padded(&slopes.centred),
        }
    }

    /// The gradient with respect to a vector of inputs.
    #[inline(always)]
    fn input<S: Simd>(&self, s: S, u: S::F, centred: S::F, c: usize) -> S::F {
        let sum = s.fma(
            s.load(&self.centred[c..]),
            centred,
            s.load(&self.constant[c..]),
        );
        s.fma(s.load(&self.factor[c..]), u, sum)
    }

    /// Computes the gradient in the place of `u`, rows of a panel.
    #[inline(always)]
    unsafe fn rows_in_place<S: Simd>(
        &self,
        s: S,
        u: *mut f32,
        h: *const f32,
        (rows, n): (usize, usize),
        channels: Channels,
    ) {
        for c in (0..n).step_by(S::LANES) {
            for row in 0..rows {
                let at = row * PANEL + c;
                // SAFETY: promised by the caller: rows of panels.
                unsafe {
                    let (_, centred) = channels.normalise(s, s.load_ptr(h.add(at)), c, S::LANES);
                    let slope = self.input(s, s.load_ptr(u.add(at)), centred, c);
                    s.store_ptr(u.add(at), slope);
                }
            }
        }
    }

    /// Computes the gradient of an image inside a border.
    #[inline(always)]
    unsafe fn bordered<S: Simd>(
        &self,
        s: S,
        (u, h): (*const f32, *const f32),
        ((height, width), n): ((usize, usize), usize),
        channels: Channels,
        (to, border): (*mut f32, usize),
    ) {
        let plane = Plane::bordered(width, border);
        for y in 0..height {
            for x in 0..width {
                for c in (0..n).step_by(S::LANES) {
                    let at = (y * width + x) * PANEL + c;
                    let place = (y + border) * plane.line + (x + border) * PANEL + c;
                    // SAFETY: promised by the caller: an image of a panel.
                    unsafe {
                        let h = s.load_ptr(h.add(at));
                        let (_, centred) = channels.normalise(s, h, c, S::LANES);
                        let slope = self.input(s, s.load_ptr(u.add(at)), centred, c);
                        s.store_ptr(to.add(place), slope);
                    }
                }
            }
        }
    }
}

/// `to[y][x] = sum of the repeated pixels of from`, rows of a panel.
#[inline(always)]
unsafe fn sum_repeated<S: Simd>(
    s: S,
    from: *const f32,
    (height, width): (usize, usize),
    repeat: usize,
    n: usize,
    to: *mut f32,
) {
    for y in 0..height {
        for x in 0..width {
            for c in (0..n).step_by(S::LANES) {
                // SAFETY: promised by the caller: images of a panel.
                unsafe {
                    let mut sum = s.splat(0.0);
                    for i in 0..repeat * repeat {
                        let line = (repeat * y + i / repeat) * repeat * width;
                        let pixel = line + repeat * x + i % repeat;
                        sum = s.add(sum, s.load_ptr(from.add(pixel * PANEL + c)));
                    }
                    s.store_ptr(to.add((y * width + x) * PANEL + c), sum);
                }
            }
        }
    }
}

/// `to = input' slope` over all pixels: `rows` rows, channels of the input.
#[inline(always)]
unsafe fn outer<S: Simd>(
    s: S,
    (input, stride, rows): (*const f32, usize, usize),
    (slope, slope_stride, outputs): (*const f32, usize, usize),
    pixels: usize,
    (to, to_stride): (*mut f32, usize),
) {
    /// Pixels summed before their sum is added to the gradient.
    const CHUNK: usize = 128;
    let mut pixel = 0;
    while pixel < pixels {
        let count = CHUNK.min(pixels - pixel);
        let run = Run {
            input: input.wrapping_add(pixel * stride),
            slope: slope.wrapping_add(pixel * slope_stride),
            count,
        };
        let block = Block {
            runs: &[run],
            offset: 0,
            stride,
            rows,
            outputs,
            slope_stride,
            to,
            to_stride,
            first: pixel == 0,
        };
        // SAFETY: promised by the caller.
        unsafe { block.add::<S, Single>(s) };
        pixel += count;
    }
}

impl PanelsBackward<'_> {
    /// Statistics of some channels of the first or second normalisation inside.
    fn scaling(&self, which: usize, channels: &Range<usize>) -> PanelScaling {
        let all = &self.saved.statistics[1 + which];
        let statistics = Statistics {
            mean: all.mean[channels.clone()].to_vec(),
            variance: all.variance[channels.clone()].to_vec(),
        };
        let norm = &self.weights.norms[1 + which];
        PanelScaling::new(norm, channels.start, &statistics, self.shape.epsilon)
    }

    /// Stores the gradients of a normalisation and returns what the rest of it needs.
    unsafe fn slopes(
        &self,
        which: usize,
        scaling: &PanelScaling,
        sums: [Vec<f64>; 2],
        pixels: usize,
        start: usize,
    ) -> PanelSlopes {
        let n = sums[0].len();
        let slopes = Slopes::new(&scaling.scaling.cut(n), sums, pixels);
        let gradient = slopes.gradient();
        let values = [&gradient.gamma, &gradient.beta];
        for (values, to) in values.into_iter().zip(self.places.norms[which]) {
            // SAFETY: promised by the caller.
            unsafe {
                let to = std::slice::from_raw_parts_mut(to.after(start), n);
                to.copy_from_slice(values);
            }
        }
        PanelSlopes::new(&slopes)
    }

    #[inline(always)]
    unsafe fn panel<S: Simd>(&self, s: S, panel: usize, rooms: &mut Rooms) {
        let (shape, weights) = (self.shape, self.weights);
        let channels = shape.panel(panel);
        let (start, n) = (channels.start, channels.len());
        let (pixels, pixels_out) = (shape.pixels_in(), shape.pixels_out());
        let (repeat, border) = (shape.repeat(), shape.border());
        let size = (shape.height, shape.width);
        let size_out = (repeat * shape.height, repeat * shape.width);
        let [image, image_out, bordered] = Filter::lengths(shape);
        let expanded = &self.saved.expanded[panel * pixels * PANEL..][..pixels * PANEL];
        let scalings = [0, 1].map(|which| self.scaling(which, &channels));
        let [first, second] = scalings.each_ref().map(|s| s.scaling.channels());
        let (filtered, slopes) = (rooms.filtered.as_mut_ptr(), rooms.slopes.as_mut_ptr());
        let activated = rooms.activated.as_mut_ptr();
        let activations = rooms.bordered.as_mut_ptr();
        // SAFETY: rooms are as large as the shape says, and so are the places.
        unsafe {
            for (reversed, room) in [false, true].into_iter().zip(&mut rooms.depthwise) {
                let from = (weights.depthwise, shape.expanded);
                panel_weights(s, from, start, reversed, room.as_mut_ptr());
            }
            // The outputs of the depthwise convolution once more.
            let filter = Filter {
                shape,
                weights: &rooms.depthwise[0],
                channels: first,
                n,
            };
            for i in 0..shape.batch {
                let from = expanded.as_ptr().add(i * image);
                let room = activations.add(i * bordered);
                filter.run(s, from, room, filtered.add(i * image_out));
            }
            // Through the projection.
            let rows = &weights.project[start * shape.c_out..(start + n) * shape.c_out];
            let turned = Packed::transposed(rows, 1, n, shape.c_out, n);
            let from = (self.slope.as_ptr(), shape.c_out);
            multiply_rows(s, from, pixels_out, (&turned, n), (slopes, PANEL));
            // Through the activation and the normalisation before it.
            let from = (slopes, filtered.cast_const());
            let sums = products(s, from, pixels_out, n, second, Some(activated));
            let back = self.slopes(1, &scalings[1], sums, pixels_out, start);
            let to = (self.places.project.after(start * shape.c_out), shape.c_out);
            let input = (activated.cast_const(), PANEL, n);
            let slope = (self.slope.as_ptr(), shape.c_out, shape.c_out);
            outer(s, input, slope, pixels_out, to);
            // Through the depthwise convolution.
            let d = self.to.after(panel * pixels * PANEL);
            let room = rooms.bordered_slopes.as_mut_ptr();
            let unfiltered = rooms.unfiltered.as_mut_ptr();
            let plane = Plane::bordered(size_out.1, border);
            let reversed = rooms.depthwise[1].as_ptr();
            rooms.taps.fill(0.0);
            let taps = rooms.taps.as_mut_ptr();
            for i in 0..shape.batch {
                let at = i * image_out;
                let from = (slopes.add(at).cast_const(), filtered.add(at).cast_const());
                back.bordered(s, from, (size_out, n), second, (room, border));
                let input = (activations.add(i * bordered).cast_const(), plane);
                let slope = (room.add(border * (plane.line + PANEL)).cast_const(), plane);
                let from = (room.cast_const(), plane);
                let to = (unfiltered, Plane::bordered(size_out.1, 0));
                let whole = n.next_multiple_of(S::LANES);
                if shape.kernel == 3 {
                    add_tap_gradients::<S, 3>(s, input, slope, size_out, n, taps);
                    correlate::<S, 3>(s, from, reversed, size_out, to, whole);
                } else {
                    add_tap_gradients::<S, 5>(s, input, slope, size_out, n, taps);
                    correlate::<S, 5>(s, from, reversed, size_out, to, whole);
                }
                sum_repeated(s, unfiltered, size, repeat, n, d.add(i * image));
            }
            self.store_taps(&rooms.taps, start, n);
            // Through the other activation and normalisation.
            let sums = products(s, (d, expanded.as_ptr()), pixels, n, first, None);
            let back = self.slopes(0, &scalings[0], sums, pixels, start);
            back.rows_in_place(s, d, expanded.as_ptr(), (pixels, n), first);
            // The expansion.
            let input = (self.input.as_ptr(), shape.c_in, shape.c_in);
            let to = (rooms.expand.as_mut_ptr(), PANEL);
            outer(s, input, (d.cast_const(), PANEL, n), pixels, to);
            for (row, from) in rooms.expand.chunks_exact(PANEL).enumerate() {
                let to = self.places.expand.after(row * shape.expanded + start);
                to.copy_from_nonoverlapping(from.as_ptr(), n);
            }
        }
    }

    /// Stores the gradient of the depthwise weights of a panel.
    unsafe fn store_taps(&self, taps: &[f32], start: usize, n: usize) {
        for (tap, from) in taps.chunks_exact(PANEL).enumerate() {
            // SAFETY: promised by the caller.
            unsafe {
                let to = self
                    .places
                    .depthwise
                    .after(tap * self.shape.expanded + start);
                to.copy_from_nonoverlapping(from.as_ptr(), n);
            }
        }
    }
}

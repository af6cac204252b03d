//! Panels of the expanded channels: from the normalised input to the activations that are projected.

use super::{Inverted, Weights};
use crate::batch_norm::moments::{PART, row_moments};
use crate::batch_norm::{Channels, Moments, Norm, Scaling, Statistics};
use crate::depthwise::taps::{
    PANEL, Plane, Transform, bordered_length, correlate, fill_bordered, panel_weights,
};
use crate::detect::Kernel;
use crate::math::swish;
use crate::multiply::{CHUNK, Product, Rows, multiply};
use crate::pack::Weights as Packed;
use crate::parallel::Shared;
use crate::precision::Single;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::tile::Segment;
use std::ops::Range;

/// How the two normalisations inside find their statistics.
#[derive(Clone, Copy)]
pub(super) enum Mode<'a> {
    /// From the batch: they are written to these places, means and variances of both; the outputs of the
    /// expansion are kept.
    Train {
        expanded: Shared,
        statistics: [[Shared; 2]; 2],
    },
    /// They are given, padded to whole panels.
    Evaluate([&'a Scaling; 2]),
}

/// Some panels of some images.
pub(super) struct Panels<'a> {
    /// Of these images.
    pub shape: &'a Inverted,
    /// The normalised input.
    pub input: &'a [f32],
    pub weights: &'a Weights<'a>,
    pub mode: Mode<'a>,
    /// Receives the activations, `[panels, pixels, PANEL]`.
    pub to: Shared,
    pub range: Range<usize>,
}

/// A normalisation of a panel.
pub(super) struct PanelScaling {
    pub scaling: Scaling,
}

impl PanelScaling {
    /// Of the channels from `start` on.
    pub fn new(norm: &Norm, start: usize, statistics: &Statistics, epsilon: f32) -> Self {
        let n = statistics.mean.len();
        let norm = Norm {
            gamma: &norm.gamma[start..start + n],
            beta: &norm.beta[start..start + n],
        };
        Self {
            scaling: Scaling::new(&norm, statistics, epsilon).padded(PANEL),
        }
    }
}

/// Rows of `inputs` numbers times a matrix.
///
/// # Safety
/// Rows must be readable and writable; the matrix of `inputs` rows.
#[inline(always)]
pub(super) unsafe fn multiply_rows<S: Simd>(
    s: S,
    (from, inputs): (*const f32, usize),
    rows: usize,
    (weights, outputs): (&Packed, usize),
    (to, to_stride): (*mut f32, usize),
) {
    let segments = [Segment {
        input: 0,
        row: 0,
        rows: inputs,
    }];
    let product = Product {
        segments: &segments,
        weights,
        bias: None,
        outputs,
        offset: 0,
    };
    let mut row = 0;
    while row < rows {
        let count = CHUNK.min(rows - row);
        // SAFETY: promised by the caller.
        unsafe {
            let from = from.add(row * inputs);
            let to = to.add(row * to_stride);
            let rows = Rows::regular(from, inputs, to, to_stride, count);
            multiply::<S, Single>(s, &product, &rows);
        }
        row += count;
    }
}

/// The statistics of a panel of `n` channels.
///
/// # Safety
/// `from` must be readable for so many rows of a panel.
#[inline(always)]
unsafe fn panel_statistics<S: Simd>(s: S, from: *const f32, rows: usize, n: usize) -> Statistics {
    let mut moments = Moments::new(n);
    let (mut mean, mut squares) = ([0.0; PANEL], [0.0; PANEL]);
    let mut row = 0;
    while row < rows {
        let count = PART.min(rows - row);
        // SAFETY: promised by the caller.
        unsafe {
            let from = from.add(row * PANEL);
            let (mean, squares) = (mean.as_mut_ptr(), squares.as_mut_ptr());
            row_moments(s, from, PANEL, count, n, mean, squares);
        }
        moments.add(count, &mean[..n], &squares[..n]);
        row += count;
    }
    moments.finish()
}

/// Stores statistics at the place of a panel's channels.
unsafe fn store_statistics(statistics: &Statistics, start: usize, to: [Shared; 2]) {
    for (values, to) in [&statistics.mean, &statistics.variance].into_iter().zip(to) {
        // SAFETY: promised by the caller.
        unsafe {
            let to = std::slice::from_raw_parts_mut(to.after(start), values.len());
            to.copy_from_slice(values);
        }
    }
}

/// `to = swish(normalised from)`, rows of a panel.
#[inline(always)]
unsafe fn activate<S: Simd>(
    s: S,
    from: *const f32,
    rows: usize,
    n: usize,
    channels: Channels,
    to: *mut f32,
) {
    for c in (0..n).step_by(S::LANES) {
        for row in 0..rows {
            // SAFETY: promised by the caller: rows and channels of whole panels.
            unsafe {
                let h = s.load_ptr(from.add(row * PANEL + c));
                let value = channels.normalise(s, h, c, S::LANES).0;
                s.store_ptr(to.add(row * PANEL + c), swish(s, value));
            }
        }
    }
}

/// The depthwise convolution of the activated outputs of the expansion, of one panel and image.
pub(super) struct Filter<'a> {
    pub shape: &'a Inverted,
    /// Of a panel.
    pub weights: &'a [f32],
    pub channels: Channels,
    pub n: usize,
}

impl Filter<'_> {
    /// Numbers of an image of a panel before and after pixels are repeated, and inside a border.
    pub fn lengths(shape: &Inverted) -> [usize; 3] {
        let (repeat, border) = (shape.repeat(), shape.border());
        let image = shape.height * shape.width * PANEL;
        let bordered = bordered_length(repeat * shape.height, repeat * shape.width, border);
        [image, repeat * repeat * image, bordered]
    }

    /// Fills `room`, whose border must be clear, and computes `to`.
    ///
    /// # Safety
    /// `from` must be an image of a panel, the others have room for what [`Filter::lengths`] says.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, s: S, from: *const f32, room: *mut f32, to: *mut f32) {
        let shape = self.shape;
        let (repeat, border) = (shape.repeat(), shape.border());
        let size = (shape.height, shape.width);
        let transform = Transform {
            channels: Some(self.channels),
            repeat,
        };
        let (plane, n) = (Plane::bordered(shape.width, 0), self.n);
        let size_out = (repeat * shape.height, repeat * shape.width);
        let plane_out = Plane::bordered(size_out.1, 0);
        let bordered = Plane::bordered(size_out.1, border);
        let weights = self.weights.as_ptr();
        // SAFETY: promised by the caller.
        unsafe {
            fill_bordered(s, (from, plane), size, n, transform, (room, border));
            let from = (room.cast_const(), bordered);
            let to = (to, plane_out);
            // Whole vectors: a panel has room for them.
            let n = n.next_multiple_of(S::LANES);
            match shape.kernel {
                3 => correlate::<S, 3>(s, from, weights, size_out, to, n),
                _ => correlate::<S, 5>(s, from, weights, size_out, to, n),
            }
        }
    }
}

impl Kernel for Panels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shape = self.shape;
        let [image, image_out, bordered] = Filter::lengths(shape);
        let own = match self.mode {
            Mode::Train { .. } => 0,
            Mode::Evaluate(_) => shape.batch * image,
        };
        let mut rooms = Rooms {
            expanded: Scratch::take(own),
            bordered: Scratch::take(bordered),
            filtered: Scratch::take(shape.batch * image_out),
            expand: Scratch::take(shape.c_in * PANEL),
            depthwise: Scratch::take(shape.kernel * shape.kernel * PANEL),
        };
        rooms.bordered.fill(0.0);
        for panel in self.range.clone() {
            // SAFETY: whoever makes `Panels` promises room for all panels, each written by one thread.
            unsafe { self.panel(s, panel, &mut rooms) };
        }
    }
}

/// Room for what a panel needs.
struct Rooms {
    expanded: Scratch,
    bordered: Scratch,
    filtered: Scratch,
    expand: Scratch,
    depthwise: Scratch,
}

impl Panels<'_> {
    #[inline(always)]
    unsafe fn panel<S: Simd>(&self, s: S, panel: usize, rooms: &mut Rooms) {
        let (shape, weights) = (self.shape, self.weights);
        let channels = shape.panel(panel);
        let (start, n) = (channels.start, channels.len());
        let (pixels, pixels_out) = (shape.pixels_in(), shape.pixels_out());
        let [image, image_out, _] = Filter::lengths(shape);
        let filtered = rooms.filtered.as_mut_ptr();
        // SAFETY: rooms are as large as the shape says.
        unsafe {
            let expanded = match self.mode {
                Mode::Train { expanded, .. } => expanded.after(panel * pixels * PANEL),
                Mode::Evaluate(_) => rooms.expanded.as_mut_ptr(),
            };
            let from = (weights.expand, shape.expanded);
            panel_weights(s, from, start, false, rooms.expand.as_mut_ptr());
            let from = (weights.depthwise, shape.expanded);
            panel_weights(s, from, start, false, rooms.depthwise.as_mut_ptr());
            let matrix = Packed::Stored {
                weights: &rooms.expand,
                columns: PANEL,
            };
            let from = (self.input.as_ptr(), shape.c_in);
            multiply_rows(s, from, pixels, (&matrix, n), (expanded, PANEL));

            let mut found = None;
            let first = self.scaling(s, 0, (expanded, pixels), &channels, &mut found);
            let filter = Filter {
                shape,
                weights: &rooms.depthwise,
                channels: first,
                n,
            };
            for i in 0..shape.batch {
                let from = expanded.add(i * image);
                filter.run(
                    s,
                    from,
                    rooms.bordered.as_mut_ptr(),
                    filtered.add(i * image_out),
                );
            }
            let second = self.scaling(s, 1, (filtered, pixels_out), &channels, &mut found);
            let to = self.to.after(panel * pixels_out * PANEL);
            activate(s, filtered, pixels_out, n, second, to);
        }
    }

    /// The first or second normalisation of a panel; `found` holds its numbers if they are new.
    #[inline(always)]
    unsafe fn scaling<S: Simd>(
        &self,
        s: S,
        which: usize,
        (from, rows): (*mut f32, usize),
        channels: &Range<usize>,
        found: &mut Option<PanelScaling>,
    ) -> Channels {
        match self.mode {
            Mode::Evaluate(scalings) => scalings[which].channels_from(channels.start),
            Mode::Train { statistics: to, .. } => {
                // SAFETY: promised by the caller.
                let statistics = unsafe {
                    let statistics = panel_statistics(s, from, rows, channels.len());
                    store_statistics(&statistics, channels.start, to[which]);
                    statistics
                };
                let norm = &self.weights.norms[1 + which];
                let epsilon = self.shape.epsilon;
                let new = PanelScaling::new(norm, channels.start, &statistics, epsilon);
                found.insert(new).scaling.channels()
            }
        }
    }
}

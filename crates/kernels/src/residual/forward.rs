//! The forward passes.

use super::{Residual, Saved, Weights};
use crate::batch_norm::{Combination, Images, Parts, Scaling, Statistics, combine, normalise};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::conv3;
use crate::grid::{Grid, Map};
use crate::parallel::{Shared, enter};
use crate::precision::Precision;
use crate::scratch::Scratch;
use crate::squeeze::Gates;
use crate::winograd::Filters;
use std::ops::Range;

/// Computes the output, `[batch, height, width, c_out]`, with the statistics of the batch; `skip` is what
/// the rest is added to, of the output's size. Returns what [`super::backward_new`] needs too.
///
/// # Panics
/// If a slice does not have the length that the shape says, or there are no pixels.
pub fn forward_new(
    shape: &Residual,
    x: &[f32],
    skip: &[f32],
    weights: &Weights,
) -> (Vec<f32>, Saved) {
    shape.check(x, weights);
    let outputs = shape.outputs();
    check_length("skip", skip.len(), outputs.length());
    let mut y = Blank::new(outputs.length());
    let mut blanks = [(); 2].map(|()| Blank::new(outputs.length()));
    let to = y.at();
    let places = blanks.each_mut().map(Blank::at);
    let (statistics, gates) = enter(shape.operations(), || {
        let mut statistics: [Statistics; 2] = Default::default();
        let mut read = (x, shape.inputs());
        for i in 0..2 {
            statistics[i] = Parts::moments(read.1, read.0).total_moments().finish();
            let scaling = Scaling::new(&weights.norms[i], &statistics[i], shape.epsilon);
            // SAFETY: lengths were checked.
            unsafe { shape.step(weights, i, &scaling, read.0, places[i]) };
            // SAFETY: all of it has been written.
            let written = unsafe { std::slice::from_raw_parts(places[i].0, outputs.length()) };
            read = (written, outputs);
        }
        let means = Parts::moments(outputs, read.0).image_means();
        let gates = weights.squeeze.gates(narrow(&means));
        // SAFETY: lengths were checked.
        unsafe { end(shape, read.0, skip, &gates, to) };
        (statistics, gates)
    });
    // SAFETY: all was written.
    unsafe {
        let saved = Saved {
            outputs: blanks.map(|blank| blank.written()),
            statistics,
            gates,
        };
        (y.written(), saved)
    }
}

/// Computes the output, `[batch, height, width, c_out]`, with given statistics of the two normalisations;
/// `skip` is what the rest is added to, of the output's size.
///
/// # Panics
/// If a slice does not have the length that the shape says, or there are no pixels.
pub fn evaluate(
    shape: &Residual,
    x: &[f32],
    skip: &[f32],
    weights: &Weights,
    statistics: &[Statistics; 2],
) -> Vec<f32> {
    shape.check(x, weights);
    let (inputs, outputs) = (shape.inputs(), shape.outputs());
    check_length("skip", skip.len(), outputs.length());
    statistics[0].check(shape.c_in);
    statistics[1].check(shape.c_out);
    let mut y = Blank::new(outputs.length());
    let to = y.at();
    enter(shape.operations(), || {
        let scalings =
            [0, 1].map(|i| Scaling::new(&weights.norms[i], &statistics[i], shape.epsilon));
        // As many images as make up for transforming weights, and as caches bear.
        let together = TOGETHER.div_ceil(outputs.pixels);
        for start in (0..shape.batch).step_by(together) {
            let images = start..shape.batch.min(start + together);
            let shape = &shape.images(images.len());
            let own = shape.outputs();
            let mut rooms = [(); 2].map(|()| Scratch::take(own.length()));
            let mut read = part(x, inputs, &images);
            for (i, room) in rooms.iter_mut().enumerate() {
                let to = Shared(room.as_mut_ptr());
                // SAFETY: lengths were checked, the room is that of the images.
                unsafe { shape.step(weights, i, &scalings[i], read, to) };
                read = room;
            }
            let means = Parts::moments(own, read).image_means();
            let gates = weights.squeeze.gates(narrow(&means));
            let skip = part(skip, outputs, &images);
            // SAFETY: lengths were checked; ranges of images are disjoint.
            unsafe { end(shape, read, skip, &gates, to.part(outputs, &images)) };
        }
    });
    // SAFETY: all images were written.
    unsafe { y.written() }
}

/// The numbers of some images.
pub(super) fn part<'a>(all: &'a [f32], of: Images, images: &Range<usize>) -> &'a [f32] {
    let image = of.pixels * of.channels;
    &all[images.start * image..images.end * image]
}

impl Shared {
    /// The numbers of some images, from the first on.
    pub(super) unsafe fn part(self, of: Images, images: &Range<usize>) -> Self {
        // SAFETY: promised by the caller.
        unsafe { Shared(self.after(images.start * of.pixels * of.channels)) }
    }
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Pixels of the images that are taken through all steps together.
const TOGETHER: usize = 2048;

impl Residual {
    /// One of the convolutions.
    pub(super) fn filters<'a>(&self, weights: &Weights<'a>, i: usize, turned: bool) -> Filters<'a> {
        Filters {
            weights: weights.convolutions[i],
            c_in: [self.c_in, self.c_out][i],
            c_out: self.c_out,
            turned,
        }
    }

    /// The first or second normalisation, swish and convolution.
    ///
    /// # Safety
    /// `to` must have room for the outputs and be used by nobody else.
    unsafe fn step(
        &self,
        weights: &Weights,
        which: usize,
        scaling: &Scaling,
        x: &[f32],
        to: Shared,
    ) {
        let grid = self.grids()[which];
        let images = [self.inputs(), self.outputs()][which];
        let mut room = Scratch::take(grid.places() * images.channels);
        let filters = self.filters(weights, which, false);
        let bias = Some(weights.biases[which]);
        // SAFETY: promised by the caller; rooms are as large as the grids say.
        unsafe {
            let read = activated(grid, images, x, scaling, &mut room);
            if which == 0 && self.stride == 2 {
                let full = Images {
                    channels: self.c_out,
                    ..images
                };
                let mut room = Scratch::take(full.length());
                let all = full.map(Shared(room.as_mut_ptr()));
                conv3::run(read, filters, bias, all);
                gather(self, &room, to);
            } else {
                conv3::run(read, filters, bias, self.outputs().map(to));
            }
        }
    }
}

/// The activations that a convolution reads, in `room`, inside a clear border.
///
/// # Safety
/// The room must be that of the grid, which must be of the images' pixels.
pub(super) unsafe fn activated(
    grid: Grid,
    images: Images,
    x: &[f32],
    scaling: &Scaling,
    room: &mut [f32],
) -> Map {
    let map = Map::new(room, grid, images.channels, Precision::Fp32);
    // SAFETY: promised by the caller.
    unsafe {
        map.clear_border();
        normalise(images, x, scaling, true, map);
    }
    map
}

/// The places in the input of the pixels that the first convolution computes, line by line.
pub(super) fn strided(shape: &Residual) -> impl Iterator<Item = usize> {
    let (height, width) = (shape.height, shape.width);
    let rows = (0..shape.batch).flat_map(move |image| {
        (0..height)
            .step_by(2)
            .map(move |y| (image * height + y) * width)
    });
    rows.flat_map(move |row| (0..width).step_by(2).map(move |x| row + x))
}

/// Copies every second pixel of every second line.
///
/// # Safety
/// `to` must have room for the outputs.
unsafe fn gather(shape: &Residual, from: &[f32], to: Shared) {
    let n = shape.c_out;
    for (pixel, place) in strided(shape).enumerate() {
        // SAFETY: promised by the caller.
        unsafe {
            let to = to.after(pixel * n);
            to.copy_from_nonoverlapping(from[place * n..][..n].as_ptr(), n);
        }
    }
}

/// `to = skip + scale * gate * outputs`.
///
/// # Safety
/// `to` must have room for the images and be used by nobody else.
unsafe fn end(shape: &Residual, outputs: &[f32], skip: &[f32], gates: &Gates, to: Shared) {
    let factor: Vec<f32> = gates.gate.iter().map(|g| shape.scale * g).collect();
    let combination = Combination {
        u: outputs,
        factor: &factor,
        constant: None,
        centred: None,
        swish: false,
        add: [Some(skip), None],
    };
    let images = shape.outputs();
    // SAFETY: promised by the caller.
    unsafe { combine(images, &combination, images.map(to)) };
}

//! The next pixel, from what was kept of earlier ones (Ramachandran et al. 2017, "Fast Generation for Convolutional
//! Autoregressive Generative Models"): each output of each layer is computed once an image.
//!
//! What is kept of a convolution is its input after the activation, as many rows as its kernel has, with zeros on the
//! sides; of a transposed one its output until it is read.

use std::sync::Arc;

use vdvae_kernels::activation::activate_new;
use vdvae_kernels::elementwise::gate::{Gate, add_gate};

use super::Pass;
use super::kept::{KeptLayer, KeptLayers};
use super::looks::Looks;
use super::whole::{background, one_hot};
use crate::family::ImageShape;
use crate::ops::Activation;
use crate::ops::product_of_few_rows;
use crate::ordered::Canvas;
use crate::ordered::layers::{Attention, Conv, Deconv, GatedBlock, Kinds, Shift};
use crate::store::Store;

/// A pass over the next pixel of a batch of images, or over the next row before any of its pixels is known. Of layers
/// that are active: all rows or pixels must be passed in their order.
pub struct Step<'a> {
    store: &'a Store,
    layers: &'a KeptLayers,
    batch: usize,
    side: usize,
    row: usize,
    /// None: all columns of a row.
    column: Option<usize>,
    image: Border,
    /// Inputs of convolutions and outputs of transposed ones, by the layers' numbers.
    rows: Vec<Option<Rows>>,
    /// Of attention, by its numbers.
    looks: Vec<Option<Looks>>,
    classes: Vec<usize>,
}

/// Features of some columns of a row of every image, [B, n, C].
#[derive(Clone, Debug)]
pub struct Line {
    values: Arc<Vec<f32>>,
    channels: usize,
}

impl Line {
    fn new(values: Vec<f32>, channels: usize) -> Self {
        let values = Arc::new(values);
        Self { values, channels }
    }

    /// [B, n, C].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    fn pixels(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.channels)
    }
}

/// Some rows of every image, [B, rows, columns, C].
struct Rows {
    rows: usize,
    columns: usize,
    channels: usize,
    values: Vec<f32>,
}

impl Rows {
    fn new(batch: usize, [rows, columns, channels]: [usize; 3]) -> Self {
        Self {
            rows,
            columns,
            channels,
            values: vec![0.0; batch * rows * columns * channels],
        }
    }

    fn place(&self, image: usize, row: usize, column: usize) -> usize {
        ((image * self.rows + row) * self.columns + column) * self.channels
    }

    /// So many pixels of a row.
    fn pixels(&self, image: usize, row: usize, column: usize, count: usize) -> &[f32] {
        &self.values[self.place(image, row, column)..][..count * self.channels]
    }

    fn pixel_mut(&mut self, image: usize, row: usize, column: usize) -> &mut [f32] {
        let place = self.place(image, row, column);
        &mut self.values[place..][..self.channels]
    }
}

/// The images with a channel of ones, and zeros around: as many as the start of a network may look at.
struct Border(Rows);

impl Border {
    /// Rows above and columns on either side.
    const WIDTH: usize = 1;

    fn new(batch: usize, ImageShape { size, channels }: ImageShape) -> Self {
        let shape = [size + Self::WIDTH, size + 2 * Self::WIDTH, channels + 1];
        Self(Rows::new(batch, shape))
    }

    fn take(&mut self, canvas: &Canvas, place @ [row, column]: [usize; 2]) {
        for image in 0..canvas.batch() {
            let pixel = canvas.pixel(image, place);
            let (row, column) = (row + Self::WIDTH, column + Self::WIDTH);
            let to = self.0.pixel_mut(image, row, column);
            to[..pixel.len()].copy_from_slice(pixel);
            to[pixel.len()] = 1.0;
        }
    }
}

impl<'a> Step<'a> {
    /// Of so many images, of these kinds (none where there are no kinds).
    pub fn new(
        store: &'a Store,
        layers: &'a KeptLayers,
        count: usize,
        (batch, image): (usize, ImageShape),
        classes: &[usize],
    ) -> Self {
        Self {
            store,
            layers,
            batch,
            side: image.size,
            row: 0,
            column: None,
            image: Border::new(batch, image),
            rows: (0..count).map(|_| None).collect(),
            looks: Vec::new(),
            classes: classes.to_vec(),
        }
    }

    /// Comes to the row, before any of its pixels is known. The canvas holds what comes before.
    pub fn enter_row(&mut self, row: usize, canvas: &Canvas) {
        (self.row, self.column) = (row, None);
        if row > 0 {
            self.image.take(canvas, [row - 1, self.side - 1]);
        }
    }

    /// Comes to the pixel. The canvas holds what comes before.
    pub fn enter_pixel(&mut self, [row, column]: [usize; 2], canvas: &Canvas) {
        (self.row, self.column) = (row, Some(column));
        if column > 0 {
            self.image.take(canvas, [row, column - 1]);
        } else if row > 0 {
            self.image.take(canvas, [row - 1, self.side - 1]);
        }
    }

    /// A known pixel of every image, without the channel of ones.
    fn image_at(&self, [row, column]: [usize; 2]) -> Line {
        let (row, column) = (row + Border::WIDTH, column + Border::WIDTH);
        let channels = self.image.0.channels - 1;
        let pixel = |image| &self.image.0.pixels(image, row, column, 1)[..channels];
        let values = (0..self.batch).flat_map(pixel).copied().collect();
        Line::new(values, channels)
    }

    /// Where a pixel is, for every image.
    fn background_of(&self, place: [usize; 2]) -> Line {
        let channels = self.image.0.channels - 1;
        let of = |_| background(place, self.side, channels);
        Line::new((0..self.batch).flat_map(of).collect(), 2 * channels)
    }

    /// First column at a level, and how many.
    fn columns(&self, level: usize) -> (usize, usize) {
        match self.column {
            Some(column) => (column >> level, 1),
            None => (0, self.side >> level),
        }
    }

    /// Keeps what is activated as the newest input of a convolution.
    fn keep(&mut self, conv: &Conv, before: Activation, x: &Line, level: usize) {
        let (first, count) = self.columns(level);
        let (window, row) = (&conv.window, self.row >> level);
        let channels = before.channels(x.channels);
        let width = (self.side >> level) + window.padding.left + window.padding.right;
        let shape = [window.kernel[0], width, channels];
        let rows = self.rows[conv.number].get_or_insert_with(|| Rows::new(self.batch, shape));
        let slot = row % rows.rows;
        let activated = activate_new(x.channels, &x.values, before.into());
        for (i, pixel) in activated.chunks_exact(channels).enumerate() {
            let (image, column) = (i / count, first + i % count + window.padding.left);
            rows.pixel_mut(image, slot, column).copy_from_slice(pixel);
        }
    }

    /// The outputs of a convolution for the columns of the pass, every `stride`-th of them.
    fn output(&self, conv: &Conv, level: usize) -> Line {
        let rows = self.rows[conv.number].as_ref().expect("was kept");
        let (first, count) = self.columns(level);
        let [height, width] = conv.window.kernel;
        let oldest = (self.row >> level) + 1;
        let mut segments = Vec::with_capacity(self.batch * count * height);
        for image in 0..self.batch {
            for column in (first..first + count).step_by(conv.window.stride) {
                let seen = (0..height)
                    .map(|row| rows.pixels(image, (oldest + row) % height, column, width));
                segments.extend(seen);
            }
        }
        multiplied(self.layers.conv(conv, self.store), &segments, height)
    }
}

/// `per_row` segments make the inputs of an output.
fn multiplied(layer: &KeptLayer, segments: &[&[f32]], per_row: usize) -> Line {
    let outputs = layer.weights.outputs();
    let rows = segments.len() / per_row;
    let mut y = vec![0.0; rows * outputs];
    let bias = (layer.bias.len() == outputs).then_some(&*layer.bias);
    product_of_few_rows(&layer.weights, segments, per_row, bias, &mut y);
    Line::new(y, outputs)
}

impl Pass for Step<'_> {
    type Features = Line;

    fn active(&self, level: usize) -> bool {
        let whole = |place: usize| place.is_multiple_of(1 << level);
        whole(self.row) && self.column.is_none_or(whole)
    }

    fn start(&mut self, conv: &Conv) -> Line {
        let (first, count) = self.columns(0);
        let (row, column) = match conv.shift {
            Some(Shift::Down) => (self.row.checked_sub(1), Some(first)),
            Some(Shift::Right) => (Some(self.row), first.checked_sub(1)),
            None => (Some(self.row), Some(first)),
        };
        let (Some(row), Some(column)) = (row, column) else {
            return Line::new(vec![0.0; self.batch * count * conv.channels], conv.channels);
        };
        let (padding, [height, width]) = (conv.window.padding, conv.window.kernel);
        let (row, column) = (
            row + Border::WIDTH - padding.top,
            column + Border::WIDTH - padding.left,
        );
        let mut segments = Vec::with_capacity(self.batch * count * height);
        for image in 0..self.batch {
            for column in column..column + count {
                let seen =
                    (row..row + height).map(|row| self.image.0.pixels(image, row, column, width));
                segments.extend(seen);
            }
        }
        multiplied(self.layers.conv(conv, self.store), &segments, height)
    }

    fn convolve(&mut self, conv: &Conv, before: Activation, x: &Line, level: usize) -> Line {
        if !conv.is_point() {
            self.keep(conv, before, x, level);
            return self.output(conv, level);
        }
        let channels = before.channels(x.channels);
        let activated = activate_new(x.channels, &x.values, before.into());
        let segments: Vec<&[f32]> = activated.chunks_exact(channels).collect();
        multiplied(self.layers.conv(conv, self.store), &segments, 1)
    }

    fn convolve_dropped(&mut self, block: &GatedBlock, x: Line, level: usize) -> Line {
        self.convolve(&block.conv_out, block.activation, &x, level)
    }

    fn halve(&mut self, conv: &Conv, x: &Line, level: usize) -> Option<Line> {
        self.keep(conv, Activation::None, x, level);
        self.active(level + 1).then(|| self.output(conv, level))
    }

    fn double(&mut self, deconv: &Deconv, x: &Line, level: usize) -> Line {
        let channels = deconv.channels;
        if self.active(level + 1) {
            let (first, count) = self.columns(level + 1);
            let shape = [2, self.side >> level, channels];
            let mut rows = self.rows[deconv.number]
                .take()
                .unwrap_or_else(|| Rows::new(self.batch, shape));
            let layer = self.layers.deconv(deconv, self.store);
            let segments: Vec<&[f32]> = x.pixels().collect();
            let given = multiplied(layer, &segments, 1);
            scatter(deconv, &layer.bias, &given, (first, count), &mut rows);
            self.rows[deconv.number] = Some(rows);
        }
        let rows = self.rows[deconv.number].as_ref().expect("was computed");
        let (first, count) = self.columns(level);
        let row = (self.row >> level) % 2;
        let mut values = Vec::with_capacity(self.batch * count * channels);
        for image in 0..self.batch {
            values.extend_from_slice(rows.pixels(image, row, first, count));
        }
        Line::new(values, channels)
    }

    fn add(&mut self, mut a: Line, b: Line) -> Line {
        let sums = Arc::make_mut(&mut a.values);
        for (sum, more) in sums.iter_mut().zip(&*b.values) {
            *sum += more;
        }
        a
    }

    fn concat(&mut self, a: &Line, b: &Line) -> Line {
        let mut values = Vec::with_capacity(a.values.len() + b.values.len());
        for (a, b) in a.pixels().zip(b.pixels()) {
            values.extend_from_slice(a);
            values.extend_from_slice(b);
        }
        Line::new(values, a.channels + b.channels)
    }

    fn add_gated(&mut self, x: &Line, y: Line) -> Line {
        let mut values = x.values.to_vec();
        add_gate(Gate::Linear, x.channels, &y.values, &mut values);
        Line::new(values, x.channels)
    }

    fn add_kind(&mut self, kinds: &Kinds, mut y: Line) -> Line {
        let layer = self.layers.kinds(kinds, self.store);
        let count = layer.weights.inputs();
        let chosen = one_hot(&self.classes, count);
        let segments: Vec<&[f32]> = chosen.chunks_exact(count).collect();
        let terms = multiplied(layer, &segments, 1);
        let each = y.values.len() / self.batch;
        let values = Arc::make_mut(&mut y.values);
        for (image, term) in values.chunks_exact_mut(each).zip(terms.pixels()) {
            for pixel in image.chunks_exact_mut(term.len()) {
                for (y, term) in pixel.iter_mut().zip(term) {
                    *y += term;
                }
            }
        }
        y
    }

    fn background(&self) -> Line {
        self.background_of([self.row, self.column.unwrap_or(0)])
    }

    fn attend(
        &mut self,
        attention: &Attention,
        features: &Line,
        query: Line,
        keys_and_values: impl FnOnce(&mut Self, &Line, &Line, &Line) -> Line,
    ) -> Line {
        let column = self.column.expect("pixels alone attend to others");
        let pixel = self.row * self.side + column;
        if self.looks.len() <= attention.number {
            self.looks.resize_with(attention.number + 1, || None);
        }
        let looks = self.looks[attention.number].take();
        let mut looks = looks.unwrap_or_else(|| Looks::new(attention, self.batch, self.side));
        if let Some((before, earlier)) = pixel.checked_sub(1).zip(looks.features.take()) {
            let place = [before / self.side, before % self.side];
            let (image, background) = (self.image_at(place), self.background_of(place));
            let both = keys_and_values(self, &image, &earlier, &background);
            looks.append(place, both.values());
        }
        looks.features = Some(features.clone());
        let seen = looks.see(attention, attention.seen[pixel], query.values());
        self.looks[attention.number] = Some(looks);
        Line::new(seen, attention.value)
    }

    fn at(&self, x: &Line, level: usize) -> Line {
        let Some(column) = self.column else {
            return x.clone();
        };
        let columns = self.side >> level;
        let mut own = Vec::with_capacity(self.batch * x.channels);
        for pixel in x.pixels().skip(column >> level).step_by(columns) {
            own.extend_from_slice(pixel);
        }
        Line::new(own, x.channels)
    }
}

/// Adds what coarse pixels give to fine ones, [B, n, kh, kw, C], up to the biases.
fn scatter(
    deconv: &Deconv,
    bias: &[f32],
    given: &Line,
    (first, count): (usize, usize),
    fine: &mut Rows,
) {
    let ([height, width], channels) = (deconv.kernel, deconv.channels);
    let images = given.values.len() / (count * given.channels);
    // What the first pixel gives to a column on its left is for the pass over its neighbour on that side, which
    // there is in passes over whole rows alone.
    let columns = 2 * first..2 * (first + count);
    for image in 0..images {
        for row in 0..height {
            for column in columns.clone() {
                fine.pixel_mut(image, row, column).copy_from_slice(bias);
            }
        }
    }
    for (i, pixel) in given.pixels().enumerate() {
        let (image, coarse) = (i / count, first + i % count);
        for (tap, given) in pixel.chunks_exact(channels).enumerate() {
            let (row, column) = (tap / width, 2 * coarse + tap % width);
            let column = column.checked_sub(deconv.left);
            if let Some(column) = column.filter(|column| columns.contains(column)) {
                let to = fine.pixel_mut(image, row, column);
                for (sum, given) in to.iter_mut().zip(given) {
                    *sum += given;
                }
            }
        }
    }
}

//! Images pixel by pixel, and a pixel colour by colour, where every output of every layer is computed once an image
//! (Ramachandran et al. 2017, "Fast Generation for Convolutional Autoregressive Generative Models").
//!
//! The vertical stack sees rows above alone: it is computed once a row, all columns at once. The horizontal stack
//! is computed once a pixel: for each colour the maps of that colour, which see those of earlier ones. What is not
//! known yet is never read.

use vdvae_kernels::elementwise::gate::{self, Gate};

use super::colours::Maps;
use super::network::Network;
use super::packed::{Packed, PackedLayer, Product};
use crate::ordered::{Canvas, Next, Turn};

/// Images that have begun.
pub struct Cached<'a> {
    packed: &'a Packed,
    maps: Maps,
    /// Between the two layers of the head.
    hidden_maps: Maps,
    side: usize,
    /// The kind of each image; empty: the model tells none apart.
    classes: Vec<usize>,
    /// What the vertical stack's layers read: as many rows as their kernels have, row r at r modulo their number.
    above: Vec<Vec<Strip>>,
    /// What the vertical stack tells the horizontal one in this row, layer by layer, [B, S, 2p].
    links: Vec<Vec<f32>>,
    /// What the horizontal stack's layers read of this row.
    left: Vec<Strip>,
    /// Of this pixel, as far as its colours are known: the gates of each layer, and what each layer of the head
    /// reads.
    gates: Vec<Strip>,
    head: [Strip; 2],
    /// What a product found, and the gates that were made of it.
    y: Vec<f32>,
    gated: Vec<f32>,
}

/// Some pixels of each image, between columns of zeros.
struct Strip {
    left: usize,
    channels: usize,
    /// Numbers of an image.
    each: usize,
    numbers: Vec<f32>,
}

impl Strip {
    fn new(batch: usize, columns: usize, [left, right]: [usize; 2], channels: usize) -> Self {
        let each = (left + columns + right) * channels;
        Self {
            left,
            channels,
            each,
            numbers: vec![0.0; batch * each],
        }
    }

    /// One pixel of each image.
    fn pixel(batch: usize, channels: usize) -> Self {
        Self::new(batch, 1, [0, 0], channels)
    }

    /// `count` numbers of an image, from as many columns before `column` on as there are zeros to the left.
    fn window(&self, image: usize, column: usize, count: usize) -> &[f32] {
        &self.numbers[image * self.each + column * self.channels..][..count]
    }

    /// The same of every image, as much as a product reads.
    fn windows(&self, column: usize, product: &Product) -> Vec<&[f32]> {
        let images = self.numbers.chunks_exact(self.each);
        let start = column * self.channels;
        images
            .map(|image| &image[start..start + product.inputs()])
            .collect()
    }

    /// Of an image, from a column on.
    fn at(&mut self, image: usize, column: usize) -> &mut [f32] {
        let start = image * self.each + (self.left + column) * self.channels;
        &mut self.numbers[start..]
    }
}

impl<'a> Cached<'a> {
    /// Begins so many images of side `side`, of which nothing is known.
    pub fn new(
        packed: &'a Packed,
        network: &Network,
        [batch, side]: [usize; 2],
        classes: &[usize],
    ) -> Self {
        let (mut above, mut left) = (Vec::new(), Vec::new());
        for layer in &network.layers {
            let channels = layer.v.inputs.count();
            let window = &layer.v.window;
            let sides = [window.padding.left, window.padding.right];
            let rows = (0..window.kernel[0]).map(|_| Strip::new(batch, side, sides, channels));
            above.push(rows.collect());
            let sides = [layer.h.window.padding.left, 0];
            left.push(Strip::new(batch, side, sides, channels));
        }
        let maps = network.maps;
        let gates = network.layers.iter();
        let [first, second] = &network.head;
        Self {
            packed,
            maps,
            hidden_maps: first.outputs,
            side,
            classes: classes.to_vec(),
            above,
            links: vec![Vec::new(); network.layers.len()],
            left,
            gates: gates.map(|_| Strip::pixel(batch, maps.count())).collect(),
            head: [first, second].map(|layer| Strip::pixel(batch, layer.inputs.count())),
            y: Vec::new(),
            gated: Vec::new(),
        }
    }

    /// The vertical stack of a row.
    fn begin_row(&mut self, row: usize, canvas: &Canvas) {
        let (side, maps) = (self.side, self.maps.count());
        if row > 0 {
            let rows = &mut self.above[0];
            let at = row % rows.len();
            for image in 0..canvas.batch() {
                let seen = canvas.row(image, row - 1);
                rows[at].at(image, 0)[..seen.len()].copy_from_slice(seen);
            }
        }
        for (number, layer) in self.packed.layers.iter().enumerate() {
            let rows = &self.above[number];
            let each = layer.v.inputs() / rows.len();
            let pixels = (0..canvas.batch() * side).map(|pixel| (pixel / side, pixel % side));
            let segments: Vec<&[f32]> = pixels
                .flat_map(|(image, column)| {
                    // The oldest row comes first, this one last.
                    let order = (1..=rows.len()).map(|after| &rows[(row + after) % rows.len()]);
                    order.map(move |strip| strip.window(image, column, each))
                })
                .collect();
            layer.v.rows(&segments, rows.len(), &mut self.y);
            let pixels: Vec<&[f32]> = self.y.chunks_exact(2 * maps).collect();
            layer.link.rows(&pixels, 1, &mut self.links[number]);
            let Some(rows) = self.above.get_mut(number + 1) else {
                return;
            };
            for (image, y) in self.y.chunks_exact_mut(side * 2 * maps).enumerate() {
                if let Some(added) = layer.cond_v(self.classes.get(image)) {
                    y.chunks_exact_mut(2 * maps).for_each(|y| add(y, added));
                }
            }
            gate(maps, &self.y, &mut self.gated);
            let at = row % rows.len();
            for (image, gated) in self.gated.chunks_exact(side * maps).enumerate() {
                rows[at].at(image, 0)[..side * maps].copy_from_slice(gated);
            }
        }
    }

    /// The horizontal stack's maps of a colour in one layer.
    fn layer(&mut self, number: usize, column: usize, colour: usize) {
        let layer = &self.packed.layers[number];
        let PackedLayer { h, out, .. } = layer;
        let (own, maps) = (self.maps.of(colour), self.maps.count());
        let windows = self.left[number].windows(column, &h[colour]);
        h[colour].rows(&windows, 1, &mut self.y);
        for (image, y) in self.y.chunks_exact_mut(2 * own.len()).enumerate() {
            let pixel = image * self.side + column;
            let link = &self.links[number][pixel * 2 * maps..][..2 * maps];
            let (a, b) = y.split_at_mut(own.len());
            let kind = layer.cond_h(self.classes.get(image));
            for added in [Some(link), kind].into_iter().flatten() {
                let (first, second) = added.split_at(maps);
                add(a, &first[own.clone()]);
                add(b, &second[own.clone()]);
            }
        }
        gate(own.len(), &self.y, &mut self.gated);
        for (image, gated) in self.gated.chunks_exact(own.len()).enumerate() {
            self.gates[number].at(image, 0)[own.clone()].copy_from_slice(gated);
        }
        let windows = self.gates[number].windows(0, &out[colour]);
        out[colour].rows(&windows, 1, &mut self.y);
        for (image, y) in self.y.chunks_exact_mut(own.len()).enumerate() {
            if number > 0 {
                add(y, &self.left[number].at(image, column)[own.clone()]);
            }
            match self.left.get_mut(number + 1) {
                Some(next) => next.at(image, column)[own.clone()].copy_from_slice(y),
                None => relu(y, &mut self.head[0].at(image, 0)[own.clone()]),
            }
        }
    }
}

impl Next for Cached<'_> {
    fn parameters(&mut self, turn: Turn, canvas: &Canvas) -> &[f32] {
        let Turn {
            row,
            column,
            part: colour,
        } = turn;
        if column == 0 && colour == 0 {
            self.begin_row(row, canvas);
        }
        for image in 0..canvas.batch() {
            if column > 0 && colour == 0 {
                // It was last seen without its last colour.
                let complete = canvas.pixel(image, [row, column - 1]);
                self.left[0].at(image, column - 1)[..complete.len()].copy_from_slice(complete);
            }
            let known = &canvas.pixel(image, [row, column])[..colour];
            self.left[0].at(image, column)[..colour].copy_from_slice(known);
        }
        for number in 0..self.packed.layers.len() {
            self.layer(number, column, colour);
        }
        let [first, second] = self.packed.head.each_ref().map(|layer| &layer[colour]);
        first.rows(&self.head[0].windows(0, first), 1, &mut self.y);
        for (image, y) in self.y.chunks_exact(first.outputs()).enumerate() {
            let own = self.hidden_maps.of(colour);
            relu(y, &mut self.head[1].at(image, 0)[own]);
        }
        second.rows(&self.head[1].windows(0, second), 1, &mut self.y);
        &self.y
    }
}

fn add(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

fn relu(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = x.max(0.0);
    }
}

/// Of `y` [pixels, 2 `channels`] tanh of the first half times sigmoid of the second, [pixels, `channels`].
fn gate(channels: usize, y: &[f32], gated: &mut Vec<f32>) {
    gated.resize(y.len() / 2, 0.0);
    gate::gate(Gate::Tanh, channels, y, None, gated);
}

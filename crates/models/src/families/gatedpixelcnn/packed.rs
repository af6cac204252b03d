//! The weights of a model as the cached sampler reads them: laid out once.

use std::fmt;

use vdvae_kernels::Precision;
use vdvae_kernels::kept::Weights;

use crate::ops::product_of_few_rows;

use super::network::{Convolution, Layer, Network};
use crate::likelihood::values;
use crate::parameters::Ranked;
use crate::store::{Id, Store};

/// All weights.
pub struct Packed {
    pub layers: Vec<PackedLayer>,
    /// Colour by colour.
    pub head: [Vec<Product>; 2],
}

/// Those of a layer.
pub struct PackedLayer {
    pub v: Product,
    pub link: Product,
    /// Colour by colour.
    pub h: Vec<Product>,
    /// Colour by colour.
    pub out: Vec<Product>,
    /// [classes, 2p]; empty: nothing.
    cond_h: Vec<f32>,
    /// The same.
    cond_v: Vec<f32>,
}

/// A matrix with what is added.
pub struct Product {
    weights: Weights,
    bias: Vec<f32>,
}

impl Packed {
    pub fn new(network: &Network, store: &Store) -> Self {
        let layer = |layer: &Layer| PackedLayer {
            v: Product::whole(&layer.v, store),
            link: Product::whole(&layer.link, store),
            h: Product::by_colour(&layer.h, store),
            out: Product::by_colour(&layer.out, store),
            cond_h: table(layer.cond_h, store),
            cond_v: table(layer.cond_v, store),
        };
        Self {
            layers: network.layers.iter().map(layer).collect(),
            head: network
                .head
                .each_ref()
                .map(|layer| Product::by_colour(layer, store)),
        }
    }
}

impl PackedLayer {
    /// What this kind of image adds before the gate of the horizontal stack, `[2p]`.
    pub fn cond_h(&self, kind: Option<&usize>) -> Option<&[f32]> {
        self.of_kind(&self.cond_h, kind)
    }

    /// The same of the vertical stack.
    pub fn cond_v(&self, kind: Option<&usize>) -> Option<&[f32]> {
        self.of_kind(&self.cond_v, kind)
    }

    fn of_kind<'t>(&self, table: &'t [f32], kind: Option<&usize>) -> Option<&'t [f32]> {
        let outputs = self.link.outputs();
        kind.and_then(|kind| table.chunks_exact(outputs).nth(*kind))
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} layers)", self.layers.len())
    }
}

impl Product {
    /// Every output of every input.
    fn whole(layer: &Convolution, store: &Store) -> Self {
        let weight = host(store, layer.weight);
        let outputs = layer.outputs.count();
        Self {
            weights: Weights::new(&weight, weight.len() / outputs, outputs, Precision::Fp32),
            bias: host(store, layer.bias),
        }
    }

    /// For each colour its outputs, of the inputs that they see: all of the taps to the left, and of the last one
    /// those that come first.
    fn by_colour(layer: &Convolution, store: &Store) -> Vec<Self> {
        let weight = host(store, layer.weight);
        let bias = host(store, layer.bias);
        let colour = |colour| {
            let columns: Vec<usize> = layer.outputs.columns(colour).collect();
            let of = |row: &[f32]| columns.iter().map(|&at| row[at]).collect::<Vec<_>>();
            let inputs = layer.seen(colour);
            let rows = weight.chunks_exact(layer.outputs.count()).take(inputs);
            let own: Vec<f32> = rows.flat_map(of).collect();
            Self {
                weights: Weights::new(&own, inputs, columns.len(), Precision::Fp32),
                bias: of(&bias),
            }
        };
        (0..layer.outputs.colours).map(colour).collect()
    }

    /// Inputs of a row.
    pub fn inputs(&self) -> usize {
        self.weights.inputs()
    }

    /// Outputs of a row.
    pub fn outputs(&self) -> usize {
        self.weights.outputs()
    }

    /// The product of rows that lie in `per_row` segments each, into `y`, which becomes [rows, outputs].
    pub fn rows(&self, segments: &[&[f32]], per_row: usize, y: &mut Vec<f32>) {
        y.resize(segments.len() / per_row * self.outputs(), 0.0);
        product_of_few_rows(&self.weights, segments, per_row, Some(&self.bias), y);
    }
}

impl Convolution {
    /// Inputs of its window, tap after tap, that outputs of a colour see.
    fn seen(&self, colour: usize) -> usize {
        let [kh, kw] = self.window.kernel;
        let here = match &self.masked {
            Some(masked) => masked.sees.of(self.inputs, colour),
            None => self.inputs.count(),
        };
        (kh * kw - 1) * self.inputs.count() + here
    }
}

fn table(place: Option<Id<2>>, store: &Store) -> Vec<f32> {
    place.map(|place| host(store, place)).unwrap_or_default()
}

fn host<const D: usize>(store: &Store, place: Id<D>) -> Vec<f32> {
    values(Ranked::of(store.get(place)).flat())
}

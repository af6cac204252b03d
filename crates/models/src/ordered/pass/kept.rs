//! Layers in the layout of the kernels, for steps.

use std::fmt;
use std::sync::OnceLock;

use vdvae_kernels::Precision;
use vdvae_kernels::kept;

use crate::likelihood::values;
use crate::ordered::layers::{Conv, Deconv, Kinds};
use crate::store::Store;

/// The layers of a network as steps use them: each is laid out when it is first used, and stays so. They are those of
/// the weights at that time: whoever changes weights begins with new ones.
pub struct KeptLayers {
    layers: Vec<OnceLock<KeptLayer>>,
    precision: Precision,
}

/// A matrix that rows are multiplied by, and what is added.
pub(super) struct KeptLayer {
    pub weights: kept::Weights,
    /// Empty: nothing.
    pub bias: Vec<f32>,
}

impl KeptLayers {
    /// For a network of so many layers.
    pub fn new(layers: usize, precision: Precision) -> Self {
        let layers = (0..layers).map(|_| OnceLock::new()).collect();
        Self { layers, precision }
    }

    /// Rows are what a pixel sees, row by row of the kernel.
    pub(super) fn conv(&self, conv: &Conv, store: &Store) -> &KeptLayer {
        self.layers[conv.number].get_or_init(|| {
            let weights = values(conv.weight.acting(store));
            let bias = values(conv.weight.bias(store));
            self.layer(&weights, bias, conv.channels)
        })
    }

    /// Rows are single pixels, which give [kh, kw, C_out] without biases.
    pub(super) fn deconv(&self, deconv: &Deconv, store: &Store) -> &KeptLayer {
        self.layers[deconv.number].get_or_init(|| {
            let [rows, columns] = deconv.kernel;
            let weights = deconv.weight.acting(store).permute([2, 0, 1, 3]);
            let bias = values(deconv.weight.bias(store));
            self.layer(&values(weights), bias, rows * columns * deconv.channels)
        })
    }

    /// Rows are 1 for the kind of the image, else 0.
    pub(super) fn kinds(&self, kinds: &Kinds, store: &Store) -> &KeptLayer {
        self.layers[kinds.number].get_or_init(|| {
            let table = store.get(kinds.table);
            let channels = table.dims()[1];
            self.layer(&values(table), Vec::new(), channels)
        })
    }

    fn layer(&self, weights: &[f32], bias: Vec<f32>, outputs: usize) -> KeptLayer {
        let inputs = weights.len() / outputs;
        KeptLayer {
            weights: kept::Weights::new(weights, inputs, outputs, self.precision),
            bias,
        }
    }
}

impl fmt::Debug for KeptLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let laid_out = self.layers.iter().filter(|layer| layer.get().is_some());
        let (laid_out, all) = (laid_out.count(), self.layers.len());
        write!(f, "KeptLayers({laid_out} of {all}, {:?})", self.precision)
    }
}

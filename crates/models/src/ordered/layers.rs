//! The layers that models of pixels in order share: convolutions with weight normalisation, and gated blocks of them
//! (Salimans et al. 2017, "PixelCNN++"). A layer is a place in the [`Store`]; a [`Pass`] computes with it.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::pass::Pass;
use crate::ops::{Activation, Gain, Window, weight_norm};
use crate::parameters::TensorSpec;
use crate::store::{Id, Store};

/// Standard deviation of fresh weights, whose norm is not theirs.
const DEVIATION: f32 = 0.05;
/// What the second convolution of a gated block starts at: blocks begin as little more than nothing.
const BLOCK_SCALE: f32 = 0.1;

/// Which weights share a learned norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Those of an output channel.
    #[default]
    Output,
    /// Those of an input channel.
    Input,
}

/// The weights and biases of a layer, w = g v / |v|.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// [kh, kw, C_in, C_out].
    v: Id<4>,
    /// `[C_out]`, or `[C_in]`.
    g: Id<1>,
    /// `[C_out]`.
    bias: Id<1>,
    norm: Norm,
}

impl Weight {
    /// The weights as they act, [kh, kw, C_in, C_out]; kept in the store, unless gradients may be wanted: they belong
    /// to one graph then.
    pub fn acting(&self, store: &Store) -> Tensor<4> {
        let (v, g) = (store.get(self.v), store.get(self.g));
        if v.device().is_autodiff() {
            return self.normed(v, g);
        }
        store.derived(self.v, || self.normed(v, g))
    }

    /// The biases, `[C_out]`.
    pub fn bias(&self, store: &Store) -> Tensor<1> {
        store.get(self.bias)
    }

    /// Which weights share a norm.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// The weights with norms of 1, not tracked.
    pub fn directions(&self, store: &Store) -> Tensor<4> {
        let g = store.get(self.g).detach();
        self.normed(store.get(self.v).detach(), Tensor::ones_like(&g))
    }

    /// Sets the norms and biases, which are of the output channels.
    pub fn set(&self, store: &mut Store, norms: &[f32], biases: &[f32]) {
        for (place, numbers) in [(self.g, norms), (self.bias, biases)] {
            let device = store.get(place).device();
            let tensor = Tensor::<1>::from_floats(numbers, &device);
            let tracked = device.is_autodiff();
            store.set(
                place,
                if tracked {
                    tensor.require_grad()
                } else {
                    tensor
                },
            );
        }
        // What was derived is kept at the place of the directions.
        store.set(self.v, store.get(self.v));
    }

    fn normed(&self, v: Tensor<4>, g: Tensor<1>) -> Tensor<4> {
        match self.norm {
            Norm::Output => weight_norm(v, g, Gain::Norm, None),
            Norm::Input => weight_norm(v.swap_dims(2, 3), g, Gain::Norm, None).swap_dims(2, 3),
        }
    }
}

/// Where the output of a convolution is moved, zeros coming in (not biases).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// By a row.
    Down,
    /// By a column.
    Right,
}

/// A convolution. 1x1 ones are such, too.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Among the layers of the network, from 0.
    pub number: usize,
    /// Its numbers.
    pub weight: Weight,
    /// How it lies over its input.
    pub window: Window,
    /// Where its output goes.
    pub shift: Option<Shift>,
    /// Standard deviation of its output at the start of training.
    pub init_scale: f32,
    /// Of the output.
    pub channels: usize,
}

impl Conv {
    /// Whether a pixel sees itself alone.
    pub fn is_point(&self) -> bool {
        self.window == Window::point()
    }
}

/// A transposed convolution with stride 2: twice as many rows and columns.
#[derive(Clone, Copy, Debug)]
pub struct Deconv {
    /// Among the layers of the network, from 0.
    pub number: usize,
    /// Its numbers.
    pub weight: Weight,
    /// Rows and columns.
    pub kernel: [usize; 2],
    /// Columns that are cut off on the left: 1 for a kernel of three columns, which reaches to either side.
    pub left: usize,
    /// Of the output.
    pub channels: usize,
}

/// What is added to all pixels of an image of some kind.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    /// Among the layers of the network, from 0.
    pub number: usize,
    /// [kinds, C].
    pub table: Id<2>,
}

/// A gated residual block: x + a sigmoid(b), where (a, b) are the channels of
/// conv_out(dropout(f(conv_input(f(x)) + nin_skip(f(skip))))) (+ a term of the image's kind).
#[derive(Clone, Copy, Debug)]
pub struct GatedBlock {
    /// The first convolution.
    pub conv_input: Conv,
    /// Takes in what lies beside the path.
    pub nin_skip: Option<Conv>,
    /// To twice as many channels.
    pub conv_out: Conv,
    /// The term of the kind.
    pub kinds: Option<Kinds>,
    /// f.
    pub activation: Activation,
    /// Share of the numbers that training drops.
    pub dropout: f32,
    /// Among the blocks of the network, from 0.
    pub number: usize,
}

impl GatedBlock {
    /// At a level, halvings from the image; `skip` is what `nin_skip` takes in.
    pub fn forward<P: Pass>(
        &self,
        pass: &mut P,
        x: &P::Features,
        skip: Option<&P::Features>,
        level: usize,
    ) -> P::Features {
        let mut c = pass.convolve(&self.conv_input, self.activation, x, level);
        if let (Some(conv), Some(skip)) = (&self.nin_skip, skip) {
            let more = pass.convolve(conv, self.activation, skip, level);
            c = pass.add(c, more);
        }
        let mut y = pass.convolve_dropped(self, c, level);
        if let Some(kinds) = &self.kinds {
            y = pass.add_kind(kinds, y);
        }
        pass.add_gated(x, y)
    }
}

/// A look of every pixel at cells of earlier ones (PixelSNAIL, section 2.2): with weights exp(q k / sqrt(d)), over
/// their sum.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Among those of the network, from 0.
    pub number: usize,
    /// Channels d of queries and keys.
    pub key: usize,
    /// Channels of values.
    pub value: usize,
    /// Side of a cell in pixels; its key and value are the largest of its pixels'.
    pub cell: usize,
    /// Cells, in raster order, that each pixel sees the first of.
    pub seen: Arc<[usize]>,
    /// Added to the sum of the weights.
    pub epsilon: f32,
}

impl Attention {
    /// What products of queries and keys are multiplied by.
    pub fn scale(&self) -> f32 {
        (self.key as f32).sqrt().recip()
    }
}

/// What a convolution is made with.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Of input and output.
    pub channels: [usize; 2],
    /// How it lies over its input.
    pub window: Window,
    /// Where its output goes.
    pub shift: Option<Shift>,
    /// Standard deviation of its output at the start of training.
    pub init_scale: f32,
    /// Whether files hold the weights as a matrix [C_out, C_in], as they do those of some 1x1 convolutions.
    pub matrix: bool,
}

impl ConvShape {
    /// Of unit scale, not shifted.
    pub fn new(channels: [usize; 2], window: Window) -> Self {
        Self {
            channels,
            window,
            shift: None,
            init_scale: 1.0,
            matrix: false,
        }
    }

    /// A 1x1 convolution that files hold as a matrix.
    pub fn matrix(channels: [usize; 2]) -> Self {
        Self {
            matrix: true,
            ..Self::new(channels, Window::point())
        }
    }

    /// The same, its output moved.
    pub fn shifted(self, shift: Shift) -> Self {
        Self {
            shift: Some(shift),
            ..self
        }
    }
}

/// What the gated blocks of a network are made with.
#[derive(Clone, Copy, Debug)]
pub struct GatedShape {
    /// Of the path.
    pub channels: usize,
    /// Of what lies beside it; 0: nothing does.
    pub skip: usize,
    /// Of both convolutions.
    pub window: Window,
    /// Before every convolution.
    pub activation: Activation,
    /// Share of the numbers that training drops.
    pub dropout: f32,
    /// Kinds of images that are told apart; 0: none.
    pub kinds: usize,
}

/// Builds the layers of a network, and counts.
#[derive(Debug)]
pub struct Builder {
    /// What they are built into.
    pub store: Store,
    /// Operations of all products for one image so far, by the side of the output that is given to each layer.
    pub operations: f64,
    /// Numbers kept for the backward pass of one image so far.
    pub kept: u64,
    /// Layers so far.
    pub layers: usize,
    /// Names of the gated blocks so far.
    pub blocks: Vec<String>,
    looks: usize,
}

impl Builder {
    /// Nothing is built yet.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            operations: 0.0,
            kept: 0,
            layers: 0,
            blocks: Vec::new(),
            looks: 0,
        }
    }

    /// A convolution whose output is `side` x `side` pixels: `NAME.weight_v`, `NAME.weight_g`, `NAME.bias`.
    pub fn conv(&mut self, name: &str, shape: ConvShape, side: usize) -> Conv {
        let ([c_in, c_out], [rows, columns]) = (shape.channels, shape.window.kernel);
        let (file, one): (&[usize], &[usize]) = if shape.matrix {
            (&[c_out, c_in], &[c_out, 1])
        } else {
            (&[c_out, c_in, rows, columns], &[c_out, 1, 1, 1])
        };
        let memory = [rows, columns, c_in, c_out];
        let v = format!("{name}.weight_v");
        let v = TensorSpec::new(v, file, &memory, vec![3, 2, 0, 1]);
        let g = TensorSpec::new(format!("{name}.weight_g"), one, &[c_out], vec![0]);
        self.count(rows * columns * c_in * c_out, side, c_out, side);
        Conv {
            number: self.number(),
            weight: self.weight(name, v, g, c_out, Norm::Output),
            window: shape.window,
            shift: shape.shift,
            init_scale: shape.init_scale,
            channels: c_out,
        }
    }

    /// A transposed convolution of `channels` whose output is `side` x `side` pixels; names as those of a
    /// convolution.
    pub fn deconv(
        &mut self,
        name: &str,
        channels: usize,
        kernel @ [rows, columns]: [usize; 2],
        norm: Norm,
        side: usize,
    ) -> Deconv {
        let (c, v) = (channels, format!("{name}.weight_v"));
        let memory = [rows, columns, c, c];
        let v = TensorSpec::new(v, &[c, c, rows, columns], &memory, vec![2, 3, 0, 1]);
        let one = match norm {
            Norm::Output => [1, c, 1, 1],
            Norm::Input => [c, 1, 1, 1],
        };
        let g = TensorSpec::new(format!("{name}.weight_g"), &one, &[c], vec![0]);
        self.count(rows * columns * c * c, side / 2, c, side);
        Deconv {
            number: self.number(),
            weight: self.weight(name, v, g, c, norm),
            kernel,
            left: (columns - 1) / 2,
            channels: c,
        }
    }

    /// A gated block of `side` x `side` pixels: `NAME.conv_input.conv`, `NAME.nin_skip.lin_a`,
    /// `NAME.conv_out.conv`, and `NAME.hw` for the kinds.
    pub fn gated(&mut self, name: &str, shape: &GatedShape, side: usize) -> GatedBlock {
        let &GatedShape {
            channels: c,
            skip,
            window,
            activation,
            dropout,
            kinds,
        } = shape;
        let number = self.blocks.len();
        self.blocks.push(name.to_owned());
        let first = ConvShape::new([activation.channels(c), c], window);
        let conv_input = self.conv(&format!("{name}.conv_input.conv"), first, side);
        let beside = ConvShape::matrix([activation.channels(skip), c]);
        let nin_skip =
            (skip > 0).then(|| self.conv(&format!("{name}.nin_skip.lin_a"), beside, side));
        let second = ConvShape {
            channels: [activation.channels(c), 2 * c],
            init_scale: BLOCK_SCALE,
            ..first
        };
        let conv_out = self.conv(&format!("{name}.conv_out.conv"), second, side);
        let kinds = (kinds > 0).then(|| {
            let spec = TensorSpec::plain(format!("{name}.hw"), &[kinds, 2 * c]);
            Kinds {
                number: self.number(),
                table: self.store.normal(spec, DEVIATION),
            }
        });
        // The sum, and of what is dropped a bit each.
        let dropped = if dropout > 0.0 {
            activation.channels(c) / 32
        } else {
            0
        };
        self.kept += ((c + dropped) * side * side) as u64;
        GatedBlock {
            conv_input,
            nin_skip,
            conv_out,
            kinds,
            activation,
            dropout,
            number,
        }
    }

    /// Attention between `side` x `side` pixels; the arguments are the fields of the result.
    pub fn attention(
        &mut self,
        [key, value]: [usize; 2],
        cell: usize,
        seen: Vec<usize>,
        epsilon: f32,
    ) -> Attention {
        let pairs: usize = seen.iter().sum();
        self.operations += 2.0 * (key + value) as f64 * pairs as f64;
        self.kept += (seen.len() * value) as u64;
        self.looks += 1;
        Attention {
            number: self.looks - 1,
            key,
            value,
            cell,
            seen: seen.into(),
            epsilon,
        }
    }

    fn weight(
        &mut self,
        name: &str,
        v: TensorSpec,
        g: TensorSpec,
        c_out: usize,
        norm: Norm,
    ) -> Weight {
        let bias = TensorSpec::plain(format!("{name}.bias"), &[c_out]);
        Weight {
            v: self.store.normal(v, DEVIATION),
            g: self.store.constant(g, 1.0),
            bias: self.store.constant(bias, 0.0),
            norm,
        }
    }

    fn number(&mut self) -> usize {
        self.layers += 1;
        self.layers - 1
    }

    /// Counts a product of so many weights at the pixels of one side, whose output has those of another.
    fn count(&mut self, weights: usize, products: usize, channels: usize, side: usize) {
        self.operations += 2.0 * weights as f64 * (products * products) as f64;
        self.kept += (channels * side * side) as u64;
    }
}

//! The layers: convolutions with weight normalisation, batch norm, cells, combiners (appendix A of the paper).

use burn::tensor::Tensor;

use crate::ops::{
    self, BatchNorm, BatchStatistics, Gain, InvertedCell, Mask, ResidualCell, SqueezeExcite,
    weight_norm,
};
use crate::parameters::TensorSpec;
use crate::store::{Id, Store, uniform};

/// Share of a batch in the running statistics after it.
const MOMENTUM: f64 = 0.05;
/// Added to the norm that a weight's learned norm starts at.
const START_EPSILON: f32 = 1e-2;

/// A convolution that the spectral regulariser looks at: where its weights are, its mask, and the matrix
/// that they make.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The name of the convolution.
    pub name: String,
    pub weight: Weight,
    /// Rows and columns of the published matrix: output channels, and weights of each.
    pub matrix: [usize; 2],
    /// Places in the image that an output sees.
    pub taps: usize,
}

/// Of a full or of a depthwise convolution.
#[derive(Clone, Debug)]
pub enum Weight {
    /// [k, k, C_in, C_out].
    Full(Acting<4>),
    /// [k, k, C].
    Depthwise(Acting<3>),
}

/// The weights of a convolution.
#[derive(Clone, Debug)]
pub struct Acting<const D: usize> {
    weight: Id<D>,
    /// `[C_out]`; `None`: they act as they are.
    log_norm: Option<Id<1>>,
    mask: Option<Mask>,
}

impl<const D: usize> Acting<D> {
    /// The weights as they act: masked, and with their learned norm.
    pub fn get(&self, store: &Store) -> Tensor<D> {
        let weight = || store.get(self.weight);
        match self.log_norm {
            Some(log_norm) => store.derived(self.weight, || {
                let g = store.get(log_norm);
                weight_norm(weight(), g, Gain::LogNorm, self.mask.as_ref())
            }),
            None => weight(),
        }
    }
}

/// What a convolution is made with.
#[derive(Clone, Debug)]
pub struct ConvShape {
    pub c_in: usize,
    pub c_out: usize,
    pub kernel: usize,
    pub bias: bool,
    /// Added to the learned log norm at the start.
    pub log_scale: f32,
    pub mask: Option<Mask>,
}

impl ConvShape {
    pub fn new(c_in: usize, c_out: usize, kernel: usize) -> Self {
        Self {
            c_in,
            c_out,
            kernel,
            bias: true,
            log_scale: 0.0,
            mask: None,
        }
    }

    pub fn without_bias(self) -> Self {
        Self {
            bias: false,
            ..self
        }
    }
}

/// A convolution, "same" padding, whose weights have a learned norm.
#[derive(Clone, Debug)]
pub struct Conv {
    weight: Acting<4>,
    bias: Option<Id<1>>,
    shape: [usize; 4],
}

/// Builds the parts of a network, and remembers what there is of some kinds.
#[derive(Debug)]
pub struct Builder {
    pub store: Store,
    /// Every convolution, in module order.
    pub kernels: Vec<Kernel>,
    /// The scale of every batch norm, in module order.
    pub gammas: Vec<Id<1>>,
    /// Operations of all products for one image so far, by the resolution that is given to each part.
    pub operations: f64,
    /// Numbers kept for the backward pass of one image so far.
    pub kept: u64,
    use_se: bool,
}

impl Builder {
    pub fn new(store: Store, use_se: bool) -> Self {
        Self {
            store,
            kernels: Vec::new(),
            gammas: Vec::new(),
            operations: 0.0,
            kept: 0,
            use_se,
        }
    }

    /// A convolution whose output is `side` x `side` pixels.
    pub fn conv(&mut self, name: &str, shape: ConvShape, side: usize) -> Conv {
        let ConvShape {
            c_in,
            c_out,
            kernel,
            bias,
            log_scale,
            mask,
        } = shape;
        let fan_in = kernel * kernel * c_in;
        let bound = 1.0 / (fan_in as f32).sqrt();
        let mut norms = Vec::new();
        let spec = TensorSpec::conv(format!("{name}.weight"), [c_out, c_in, kernel]);
        let weight = self.store.add(spec, |generator, count| {
            let weights = uniform(generator, count, bound);
            norms = log_norms(&weights, mask.as_deref(), c_out, log_scale);
            weights
        });
        let bias = bias.then(|| {
            let spec = TensorSpec::plain(format!("{name}.bias"), &[c_out]);
            self.store.uniform(spec, bound)
        });
        let name_of_norm = format!("{name}.log_weight_norm");
        let spec = TensorSpec::new(name_of_norm, &[c_out, 1, 1, 1], &[c_out], vec![0]);
        let log_norm = self.store.add(spec, |_, _| norms);
        let weight = Acting {
            weight,
            log_norm: Some(log_norm),
            mask,
        };
        self.kernels.push(Kernel {
            name: name.to_owned(),
            weight: Weight::Full(weight.clone()),
            matrix: [c_out, fan_in],
            taps: kernel * kernel,
        });
        self.count(fan_in * c_out, c_out, side);
        Conv {
            weight,
            bias,
            shape: [kernel, kernel, c_in, c_out],
        }
    }

    /// A depthwise convolution with a learned norm; of the weights that are not masked.
    pub fn depthwise(
        &mut self,
        name: &str,
        channels: usize,
        kernel: usize,
        mask: Mask,
        side: usize,
    ) -> Acting<3> {
        let bound = 1.0 / kernel as f32;
        let mut norms = Vec::new();
        let spec = TensorSpec::depthwise(format!("{name}.weight"), channels, kernel);
        let weight = self.store.add(spec, |generator, count| {
            let weights = uniform(generator, count, bound);
            norms = log_norms(&weights, Some(&mask), channels, 0.0);
            weights
        });
        let shape = [channels, 1, 1, 1];
        let spec = TensorSpec::new(
            format!("{name}.log_weight_norm"),
            &shape,
            &[channels],
            vec![0],
        );
        let log_norm = self.store.add(spec, |_, _| norms);
        let weight = Acting {
            weight,
            log_norm: Some(log_norm),
            mask: Some(mask),
        };
        self.kernels.push(Kernel {
            name: name.to_owned(),
            weight: Weight::Depthwise(weight.clone()),
            matrix: [channels, kernel * kernel],
            taps: kernel * kernel,
        });
        self.count(kernel * kernel * channels, channels, side);
        weight
    }

    /// A convolution without norm or bias.
    fn plain(&mut self, name: &str, [c_in, c_out]: [usize; 2], side: usize) -> Acting<4> {
        let bound = 1.0 / (c_in as f32).sqrt();
        let spec = TensorSpec::conv(format!("{name}.weight"), [c_out, c_in, 1]);
        let weight = Acting {
            weight: self.store.uniform(spec, bound),
            log_norm: None,
            mask: None,
        };
        self.kernels.push(Kernel {
            name: name.to_owned(),
            weight: Weight::Full(weight.clone()),
            matrix: [c_out, c_in],
            taps: 1,
        });
        self.count(c_in * c_out, c_out, side);
        weight
    }

    fn plain_depthwise(
        &mut self,
        name: &str,
        channels: usize,
        kernel: usize,
        side: usize,
    ) -> Acting<3> {
        let bound = 1.0 / kernel as f32;
        let spec = TensorSpec::depthwise(format!("{name}.weight"), channels, kernel);
        let weight = Acting {
            weight: self.store.uniform(spec, bound),
            log_norm: None,
            mask: None,
        };
        self.kernels.push(Kernel {
            name: name.to_owned(),
            weight: Weight::Depthwise(weight.clone()),
            matrix: [channels, kernel * kernel],
            taps: kernel * kernel,
        });
        self.count(kernel * kernel * channels, channels, side);
        weight
    }

    fn norm(&mut self, name: &str, channels: usize) -> Norm {
        let spec = |what: &str| TensorSpec::plain(format!("{name}.{what}"), &[channels]);
        let gamma = self.store.constant(spec("weight"), 1.0);
        let norm = Norm {
            gamma,
            beta: self.store.constant(spec("bias"), 0.0),
            mean: self.store.constant(spec("running_mean").buffer(), 0.0),
            variance: self.store.constant(spec("running_var").buffer(), 1.0),
        };
        self.gammas.push(gamma);
        norm
    }

    fn squeeze(&mut self, name: &str, channels: usize) -> Option<Squeeze> {
        if !self.use_se {
            return None;
        }
        let hidden = (channels / 16).max(4);
        let mut linear = |layer: usize, [c_in, c_out]: [usize; 2]| {
            let bound = 1.0 / (c_in as f32).sqrt();
            let spec = TensorSpec::linear(format!("{name}.se.{layer}.weight"), [c_out, c_in]);
            let weight = self.store.uniform(spec, bound);
            let spec = TensorSpec::plain(format!("{name}.se.{layer}.bias"), &[c_out]);
            (weight, self.store.uniform(spec, bound))
        };
        Some(Squeeze {
            first: linear(0, [channels, hidden]),
            second: linear(2, [hidden, channels]),
        })
    }

    /// Counts a product of so many weights, whose output has so many channels.
    fn count(&mut self, weights: usize, c_out: usize, side: usize) {
        let pixels = side * side;
        self.operations += 2.0 * weights as f64 * pixels as f64;
        self.kept += (c_out * pixels) as u64;
    }
}

/// ln(|v| + 0.01) of each output channel, the last axis, of what is not masked.
fn log_norms(weights: &[f32], mask: Option<&[f32]>, c_out: usize, log_scale: f32) -> Vec<f32> {
    let mut squares = vec![0.0_f32; c_out];
    for (i, weight) in weights.iter().enumerate() {
        let weight = weight * mask.map_or(1.0, |mask| mask[i]);
        squares[i % c_out] += weight * weight;
    }
    let log_norm = |square: f32| (square.sqrt() + START_EPSILON).ln() + log_scale;
    squares.into_iter().map(log_norm).collect()
}

impl Conv {
    /// The weights as they act, and the biases.
    fn weights(&self, store: &Store) -> (Tensor<4>, Tensor<1>) {
        let weight = self.weight.get(store);
        let bias = match self.bias {
            Some(bias) => store.get(bias),
            None => Tensor::zeros([self.channels()], &weight.device()),
        };
        (weight, bias)
    }

    /// [B, H, W, C_in] to [B, H, W, C_out].
    pub fn forward(&self, store: &Store, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.weights(store);
        ops::conv(x, weight, bias)
    }

    /// [`Self::forward`] of the elu of `x`.
    pub fn forward_of_elu(&self, store: &Store, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.weights(store);
        ops::conv_of_elu(x, weight, bias)
    }

    /// Channels of the output.
    pub fn channels(&self) -> usize {
        self.shape[3]
    }
}

/// A batch normalisation.
#[derive(Clone, Copy, Debug)]
struct Norm {
    gamma: Id<1>,
    beta: Id<1>,
    mean: Id<1>,
    variance: Id<1>,
}

/// How batch norms are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the statistics of the batch, which move the running ones.
    Batch,
    /// By the running statistics.
    Running,
}

/// What passes of the network in [`Mode::Batch`] found, to be [kept](Seen::keep) afterwards.
#[derive(Debug, Default)]
pub struct Seen(Vec<(Norm, BatchStatistics)>);

impl Seen {
    fn add<const N: usize>(&mut self, norms: [Norm; N], statistics: Vec<BatchStatistics>) {
        self.0.extend(norms.into_iter().zip(statistics));
    }

    /// Moves the running statistics by a twentieth of the way towards those seen.
    pub fn keep(self, store: &mut Store) {
        for (norm, BatchStatistics { mean, variance }) in self.0 {
            for (place, seen) in [(norm.mean, mean), (norm.variance, variance)] {
                let old = store.get(place);
                let seen = if old.device().is_autodiff() && !seen.device().is_autodiff() {
                    Tensor::from_inner(seen)
                } else {
                    seen
                };
                store.set(place, old * (1.0 - MOMENTUM) + seen * MOMENTUM);
            }
        }
    }
}

impl Norm {
    fn weights(self, store: &Store, mode: Mode) -> BatchNorm {
        BatchNorm {
            gamma: store.get(self.gamma),
            beta: store.get(self.beta),
            running: (mode == Mode::Running)
                .then(|| [store.get(self.mean), store.get(self.variance)]),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Squeeze {
    first: (Id<2>, Id<1>),
    second: (Id<2>, Id<1>),
}

impl Squeeze {
    fn weights(self, store: &Store) -> SqueezeExcite {
        SqueezeExcite {
            squeeze: store.get(self.first.0),
            squeeze_bias: store.get(self.first.1),
            excite: store.get(self.second.0),
            excite_bias: store.get(self.second.1),
        }
    }
}

/// What a cell does to the resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Same,
    Down,
    Up,
}

/// What a cell's output is added to.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are as many as cells")]
enum Skip {
    Identity,
    /// swish, then a quarter of the channels from each of four pixels.
    Down([Conv; 4]),
    /// Bilinear, then 1x1.
    Up(Conv),
}

impl Skip {
    /// `None`: what it was given.
    fn forward(&self, store: &Store, x: &Tensor<4>) -> Option<Tensor<4>> {
        Some(match self {
            Self::Identity => return None,
            Self::Down(parts) => {
                let weights = parts.each_ref().map(|conv| conv.weights(store));
                ops::quarters(x.clone(), weights)
            }
            Self::Up(conv) => conv.forward(store, ops::upsample_bilinear(x.clone())),
        })
    }
}

/// A residual cell, of one kind or the other.
#[derive(Clone, Debug)]
pub struct Cell {
    skip: Skip,
    kind: Kind,
    squeeze: Option<Squeeze>,
}

#[derive(Clone, Debug)]
enum Kind {
    Residual {
        norms: [Norm; 2],
        convs: [Conv; 2],
        stride: usize,
    },
    Inverted {
        norms: [Norm; 4],
        expand: Acting<4>,
        depthwise: Acting<3>,
        project: Acting<4>,
        upsample: bool,
    },
}

impl Builder {
    fn skip(&mut self, name: &str, [c_in, c_out]: [usize; 2], way: Way, side: usize) -> Skip {
        match way {
            Way::Same => Skip::Identity,
            Way::Down => {
                let mut part = |number: usize| {
                    let shape = ConvShape::new(c_in, c_out / 4, 1);
                    self.conv(&format!("{name}.skip.conv_{number}"), shape, side)
                };
                Skip::Down([part(1), part(2), part(3), part(4)])
            }
            Way::Up => {
                let shape = ConvShape::new(c_in, c_out, 1).without_bias();
                Skip::Up(self.conv(&format!("{name}.skip.1"), shape, side))
            }
        }
    }

    /// Encoder and preprocessing: two of batch norm, swish, 3x3. The output is `side` x `side` pixels.
    pub fn residual(
        &mut self,
        name: &str,
        [c_in, c_out]: [usize; 2],
        way: Way,
        side: usize,
    ) -> Cell {
        let skip = self.skip(name, [c_in, c_out], way, side);
        let mut part = |number: usize, c_in: usize| {
            let name = format!("{name}._ops.{number}");
            let norm = self.norm(&format!("{name}.bn_act"), c_in);
            let shape = ConvShape::new(c_in, c_out, 3);
            (norm, self.conv(&format!("{name}.conv_0"), shape, side))
        };
        let (first_norm, first) = part(0, c_in);
        let (second_norm, second) = part(1, c_out);
        Cell {
            skip,
            kind: Kind::Residual {
                norms: [first_norm, second_norm],
                convs: [first, second],
                stride: if way == Way::Down { 2 } else { 1 },
            },
            squeeze: self.squeeze(&format!("{name}.se"), c_out),
        }
    }

    /// Decoder and postprocessing: an inverted bottleneck with `expansion` times the channels inside. The
    /// output is `side` x `side` pixels.
    pub fn inverted(
        &mut self,
        name: &str,
        [c_in, c_out]: [usize; 2],
        expansion: usize,
        way: Way,
        side: usize,
    ) -> Cell {
        let skip = self.skip(name, [c_in, c_out], way, side);
        let inside = expansion * c_in;
        // Upsampling stands first in the published list, and has no weights.
        let first = usize::from(way == Way::Up);
        let at = |number: usize| format!("{name}._ops.0.conv.{}", first + number);
        let of_input = self.norm(&format!("{}.bn", at(0)), c_in);
        let expand = self.plain(&format!("{}.conv.0", at(1)), [c_in, inside], side);
        let expanded = self.norm(&format!("{}.conv.1", at(1)), inside);
        let depthwise = self.plain_depthwise(&format!("{}.conv.0", at(2)), inside, 5, side);
        let filtered = self.norm(&format!("{}.conv.1", at(2)), inside);
        let project = self.plain(&at(3), [inside, c_out], side);
        let projected = self.norm(&format!("{}.bn", at(4)), c_out);
        Cell {
            skip,
            kind: Kind::Inverted {
                norms: [of_input, expanded, filtered, projected],
                expand,
                depthwise,
                project,
                upsample: way == Way::Up,
            },
            squeeze: self.squeeze(&format!("{name}.se"), c_out),
        }
    }
}

impl Cell {
    /// [B, H, W, C_in] to [B, H', W', C_out].
    pub fn forward(&self, store: &Store, x: Tensor<4>, mode: Mode, seen: &mut Seen) -> Tensor<4> {
        let skip = self.skip.forward(store, &x);
        let squeeze_excite = self.squeeze.map(|squeeze| squeeze.weights(store));
        match &self.kind {
            Kind::Residual {
                norms,
                convs,
                stride,
            } => {
                let cell = ResidualCell {
                    norms: norms.map(|norm| norm.weights(store, mode)),
                    convolutions: convs.each_ref().map(|conv| conv.weights(store)),
                    squeeze_excite,
                    stride: *stride,
                };
                let (output, statistics) = ops::residual_cell(x, skip, &cell);
                seen.add(*norms, statistics);
                output
            }
            Kind::Inverted {
                norms,
                expand,
                depthwise,
                project,
                upsample,
            } => {
                let cell = InvertedCell {
                    norms: norms.map(|norm| norm.weights(store, mode)),
                    expand: expand.get(store),
                    depthwise: depthwise.get(store),
                    project: project.get(store),
                    squeeze_excite,
                    upsample: *upsample,
                };
                let (output, statistics) = ops::inverted_cell(x, skip, &cell);
                seen.add(*norms, statistics);
                output
            }
        }
    }
}

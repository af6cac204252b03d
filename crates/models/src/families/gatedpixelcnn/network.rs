//! The whole network: which parts there are, and how images pass them (figure 2 of the paper).

use burn::tensor::{Int, Tensor, TensorData};

use super::colours::{Maps, Sees};
use super::config::GatedPixelCnnConfig;
use crate::ops::{Activation, Gate, Mask, Window, convolve, gate, shift};
use crate::parameters::TensorSpec;
use crate::store::{Id, Store};

/// The parts, without their numbers.
#[derive(Clone, Debug)]
pub struct Network {
    pub layers: Vec<Layer>,
    /// Two 1x1 convolutions, each after a ReLU (PixelRNN, van den Oord et al., ICML 2016, table 1).
    pub head: [Convolution; 2],
    /// Feature maps of each stack.
    pub maps: Maps,
}

/// A layer of the two stacks.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Of the vertical stack, which sees whole rows above, in all colours.
    pub v: Convolution,
    /// From there to the horizontal stack, from before the gate and what the kind of image adds.
    pub link: Convolution,
    /// Of the horizontal stack, which sees what lies to the left, and of the pixel itself earlier colours.
    pub h: Convolution,
    /// After the gate of the horizontal stack.
    pub out: Convolution,
    /// What each kind of image adds before the gate of the horizontal stack, [classes, 2p].
    pub cond_h: Option<Id<2>>,
    /// The same of the vertical stack; the last gate there feeds nothing.
    pub cond_v: Option<Id<2>>,
}

/// A convolution with bias.
#[derive(Clone, Debug)]
pub struct Convolution {
    pub window: Window,
    pub inputs: Maps,
    pub outputs: Maps,
    /// [kh, kw, C_in, C_out]; what the mask blanks holds numbers that nothing depends on.
    pub weight: Id<4>,
    pub bias: Id<1>,
    pub masked: Option<Masked>,
}

/// Where colours are told apart.
#[derive(Clone, Debug)]
pub struct Masked {
    pub sees: Sees,
    mask: Mask,
}

/// A network, its tensors, and what was counted while it was built.
#[derive(Debug)]
pub struct Built {
    pub network: Network,
    pub store: Store,
    /// Multiplications and additions for a pixel.
    pub operations: u64,
    /// Numbers kept of a pixel for the backward pass.
    pub kept: u64,
    /// Weights that masks blank.
    pub blank: u64,
}

impl Network {
    /// Builds a network into `store`. `config` was checked.
    pub fn build(config: &GatedPixelCnnConfig, store: Store) -> Built {
        let colours = config.image_channels;
        let image = Maps::new(colours, colours);
        let (maps, gated) = (
            Maps::new(config.nr_filters, colours),
            Maps::gated(config.nr_filters, colours),
        );
        let mut b = Builder {
            store,
            operations: 0,
            kept: 0,
            blank: 0,
        };
        let mut layers = Vec::new();
        for number in 0..config.nr_layers {
            let name = |part: &str| format!("layers.{number}.{part}");
            let first = number == 0;
            let (input, kernel, sees) = if first {
                (image, config.first_kernel, Sees::Earlier)
            } else {
                (maps, config.kernel, Sees::Own)
            };
            let reach = kernel / 2 + 1;
            let above = Window::down([reach, kernel]);
            let left = Window::right([1, reach]);
            let v = b.convolution(&name("v"), above, [input, gated], None);
            let link = b.convolution(&name("link"), Window::point(), [gated, gated], None);
            let h = b.convolution(&name("h"), left, [input, gated], Some(sees));
            let out = b.convolution(&name("out"), Window::point(), [maps, maps], Some(Sees::Own));
            // After the gates.
            b.kept += 2 * maps.count() as u64;
            let last = number + 1 == config.nr_layers;
            let conditional = config.classes > 0;
            layers.push(Layer {
                v,
                link,
                h,
                out,
                cond_h: conditional.then(|| b.kinds(&name("cond_h"), config.classes, gated)),
                cond_v: (conditional && !last)
                    .then(|| b.kinds(&name("cond_v"), config.classes, gated)),
            });
        }
        let hidden = Maps::new(config.nr_head, colours);
        let logits = Maps::new(colours * config.levels, colours);
        let head = [[maps, hidden], [hidden, logits]];
        let mut number = 0;
        let head = head.map(|ends| {
            number += 1;
            let name = format!("head.{}", number - 1);
            b.convolution(&name, Window::point(), ends, Some(Sees::Own))
        });
        Built {
            network: Self { layers, head, maps },
            store: b.store,
            operations: b.operations,
            kept: b.kept,
            blank: b.blank,
        }
    }

    /// Logits [B, S, S, C levels] of `images` [B, S, S, C] in [-1, 1]; `classes`: the kind of each, none where the
    /// model tells none apart.
    pub fn logits(&self, store: &Store, images: Tensor<4>, classes: &[usize]) -> Tensor<4> {
        let kinds = (!classes.is_empty()).then(|| {
            let numbers: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
            let data = TensorData::new(numbers, [classes.len()]);
            Tensor::<1, Int>::from_data(data, &images.device())
        });
        let conditioned = |x: Tensor<4>, table: Option<Id<2>>| match (table, &kinds) {
            (Some(table), Some(kinds)) => {
                let rows = store.get(table).select(0, kinds.clone());
                let [batch, maps] = rows.dims();
                x + rows.reshape([batch, 1, 1, maps])
            }
            _ => x,
        };
        // Whole rows above: the vertical stack sees the image one row lower.
        let mut v = shift(images.clone(), 1, 0);
        let mut h = images;
        for (number, layer) in self.layers.iter().enumerate() {
            let above = layer.v.forward(store, v.clone(), Activation::None);
            let left = layer.h.forward(store, h.clone(), Activation::None);
            let left = left + layer.link.forward(store, above.clone(), Activation::None);
            let gated = gate(Gate::Tanh, conditioned(left, layer.cond_h));
            let o = layer.out.forward(store, gated, Activation::None);
            // A residual would show the pixel to itself in the first layer.
            h = if number == 0 { o } else { h + o };
            if number + 1 < self.layers.len() {
                v = gate(Gate::Tanh, conditioned(above, layer.cond_v));
            }
        }
        self.head
            .iter()
            .fold(h, |x, layer| layer.forward(store, x, Activation::Relu))
    }
}

impl Convolution {
    fn forward(&self, store: &Store, x: Tensor<4>, before: Activation) -> Tensor<4> {
        let bias = Some(store.get(self.bias));
        convolve(x, before, &self.window, self.acting(store), bias)
    }

    /// The weights as they act, [kh, kw, C_in, C_out].
    fn acting(&self, store: &Store) -> Tensor<4> {
        let weight = store.get(self.weight);
        let Some(Masked { mask, .. }) = &self.masked else {
            return weight;
        };
        let (dims, device) = (weight.dims(), weight.device());
        let masked = || {
            let mask = TensorData::new(mask.to_vec(), dims);
            weight * Tensor::from_data(mask, &device)
        };
        if device.is_autodiff() {
            // Of a graph that gradients are wanted of once.
            masked()
        } else {
            store.derived(self.weight, masked)
        }
    }
}

struct Builder {
    store: Store,
    operations: u64,
    kept: u64,
    blank: u64,
}

impl Builder {
    /// Weights uniform in +-1 / sqrt(C_in kh kw), biases 0: how the paper began is not known.
    fn convolution(
        &mut self,
        name: &str,
        window: Window,
        [inputs, outputs]: [Maps; 2],
        sees: Option<Sees>,
    ) -> Convolution {
        let [kh, kw] = window.kernel;
        let (c_in, c_out) = (inputs.count(), outputs.count());
        let count = kh * kw * c_in * c_out;
        self.operations += 2 * count as u64;
        self.kept += c_out as u64;
        let spec = TensorSpec::new(
            format!("{name}.weight"),
            &[c_out, c_in, kh, kw],
            &[kh, kw, c_in, c_out],
            vec![3, 2, 0, 1],
        );
        let bound = 1.0 / ((c_in * kh * kw) as f32).sqrt();
        let masked = sees.map(|sees| Masked {
            sees,
            mask: sees.mask(kw, inputs, outputs),
        });
        if let Some(Masked { mask, .. }) = &masked {
            self.blank += mask.iter().filter(|&&weight| weight == 0.0).count() as u64;
        }
        Convolution {
            window,
            inputs,
            outputs,
            weight: self.store.uniform(spec, bound),
            bias: self
                .store
                .constant(TensorSpec::plain(format!("{name}.bias"), &[c_out]), 0.0),
            masked,
        }
    }

    /// What each kind of image adds: a 1x1 convolution of a one-hot vector, without bias.
    fn kinds(&mut self, name: &str, classes: usize, outputs: Maps) -> Id<2> {
        let c_out = outputs.count();
        let spec = TensorSpec::new(
            format!("{name}.weight"),
            &[c_out, classes, 1, 1],
            &[classes, c_out],
            vec![1, 0],
        );
        self.store.uniform(spec, 1.0 / (classes as f32).sqrt())
    }
}

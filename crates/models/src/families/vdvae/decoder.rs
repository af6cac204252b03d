//! The top-down path, shared by generation and inference (figure 3; the posterior reads what the prior
//! reads, plus the encoder's activation).

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::block::{Bottleneck, Conv, Initializer};
use crate::families::vdvae::architecture::{Architecture, DecBlock};
use crate::hierarchy::{Activations, LatentSource, StochasticLayer};
use crate::ops;

/// The top-down network.
///
/// A layer reads the state x of its resolution and writes it again, with px the prior's features:
///
/// - as published: `h = x + px + z_proj(z)`, then `x = h + resnet(h)`;
/// - without `topdown_residual`: `h = px + z_proj(z)`, then `x = resnet(h)`. The state is replaced, not
///   added to: what a layer knew reaches later ones only through the networks of every layer between.
///   Everything else, the initialisation too, is the same.
///
/// A layer that mixes in a lower resolution first adds that state to x, repeated pixel by pixel; with
/// `upsample = "conv"` after a learned 1x1 convolution of it.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Per channel of the output, [1, 1, 1, C].
    gain: Param<Tensor<4>>,
    bias: Param<Tensor<4>>,
    dec_blocks: Vec<TopDownBlock>,
    /// Where the state of each resolution starts, [1, R, R, C_R], smallest resolution first.
    bias_xs: Vec<Param<Tensor<4>>>,
    out_net: OutNet,
    #[module(skip)]
    image_size: usize,
}

/// From the last features to the parameters of the likelihood.
#[derive(Module, Debug)]
struct OutNet {
    out_conv: Conv,
}

/// One stochastic layer.
#[derive(Module, Debug)]
struct TopDownBlock {
    /// The posterior's network.
    enc: Bottleneck,
    prior: Bottleneck,
    z_proj: Conv,
    resnet: Bottleneck,
    /// Where upsampling is learned: what the mixed-in state passes through first.
    upsample: Option<Conv>,
    #[module(skip)]
    shape: BlockShape,
}

#[derive(Clone, Copy, Debug)]
struct BlockShape {
    resolution: usize,
    mixin: Option<usize>,
    channels: usize,
    zdim: usize,
    /// Whether the layer adds to the state.
    residual: bool,
}

/// What the top-down pass returns.
#[derive(Debug)]
pub struct DecoderOutput {
    /// The features that the likelihood's parameters are read from, [B, S, S, C].
    pub px_z: Tensor<4>,
    /// KL divergence of each layer, nats per image `[B]`; `None` where the latents are not from the
    /// posterior.
    pub kl: Vec<Option<Tensor<1>>>,
}

impl Decoder {
    /// The prior's last convolutions start at zero; those that write into the state at sqrt(1/n) of
    /// their usual size, n being the number of layers.
    pub fn new(init: &mut Initializer, architecture: &Architecture) -> Self {
        let width = architecture.width;
        let dec_blocks: Vec<_> = architecture
            .dec_blocks
            .iter()
            .map(|block| TopDownBlock::new(init, architecture, block))
            .collect();
        let bias_xs = architecture
            .bias_resolutions()
            .into_iter()
            .map(|side| init.constant(0.0, [1, side, side, architecture.width_at(side)]))
            .collect();
        let out_conv = Conv::new(init, architecture.out_conv(), 1.0);
        Self {
            gain: init.constant(1.0, [1, 1, 1, width]),
            bias: init.constant(0.0, [1, 1, 1, width]),
            dec_blocks,
            bias_xs,
            out_net: OutNet { out_conv },
            image_size: architecture.image_size,
        }
    }

    /// Computes like this from now on.
    pub fn set_compute(&mut self, compute: ops::Compute) {
        for block in &mut self.dec_blocks {
            for bottleneck in [&mut block.enc, &mut block.prior, &mut block.resnet] {
                bottleneck.set_compute(compute);
            }
        }
    }

    /// The top-down loop. `activations` are the encoder's, needed where latents are from the posterior.
    /// `latents` is usually a `&`[`Latents`](crate::hierarchy::Latents).
    pub fn forward(
        &self,
        batch: usize,
        activations: Option<&Activations>,
        latents: impl LatentSource,
    ) -> DecoderOutput {
        let device = self.gain.val().device();
        ops::awake(&device, || self.top_down(batch, activations, latents))
    }

    fn top_down(
        &self,
        batch: usize,
        activations: Option<&Activations>,
        mut latents: impl LatentSource,
    ) -> DecoderOutput {
        let mut states: BTreeMap<usize, Tensor<4>> = self
            .bias_xs
            .iter()
            .map(|bias| (bias.dims()[1], bias.val()))
            .collect();
        let mut kl = Vec::with_capacity(self.dec_blocks.len());
        for (layer, block) in self.dec_blocks.iter().enumerate() {
            let BlockShape {
                resolution,
                channels,
                mixin,
                ..
            } = block.shape;
            let x = states.remove(&resolution).unwrap_or_else(|| {
                Tensor::zeros(
                    [1, resolution, resolution, channels],
                    &self.gain.val().device(),
                )
            });
            let x = match mixin {
                Some(lower) => block.mix_in(x, states[&lower].clone()),
                None => x,
            };
            let x = if x.dims()[0] == batch {
                x
            } else {
                x.repeat_dim(0, batch)
            };
            let activation = activations.map(|activations| &activations[&resolution]);
            let (x, layer_kl) = block.forward(layer, x, activation, &mut latents);
            states.insert(resolution, x);
            kl.push(layer_kl);
        }
        let px_z = states[&self.image_size].clone() * self.gain.val() + self.bias.val();
        DecoderOutput { px_z, kl }
    }

    /// The posterior of layer `layer`, [B, R, R, 2Z], given the state that the layer begins with and what
    /// the encoder makes of an image: what the top-down loop computes at that point.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn posterior(
        &self,
        layer: usize,
        state: Tensor<4>,
        activations: &Activations,
    ) -> Tensor<4> {
        let block = &self.dec_blocks[layer];
        let activation = activations[&block.shape.resolution].clone();
        block.enc.forward_with(state, activation)
    }

    /// The likelihood's parameters, [B, S, S, P].
    pub fn likelihood_parameters(&self, px_z: Tensor<4>) -> Tensor<4> {
        self.out_net.out_conv.forward(px_z)
    }

    /// Number of stochastic layers.
    pub fn depth(&self) -> usize {
        self.dec_blocks.len()
    }
}

impl TopDownBlock {
    fn new(init: &mut Initializer, architecture: &Architecture, block: &DecBlock) -> Self {
        let last_scale = (1.0 / architecture.dec_blocks.len() as f32).sqrt();
        let residual = architecture.topdown_residual;
        Self {
            enc: Bottleneck::new(init, architecture.posterior(block), false, 1.0),
            prior: Bottleneck::new(init, architecture.prior(block), false, 0.0),
            z_proj: Conv::new(init, architecture.z_proj(block), last_scale),
            resnet: Bottleneck::new(init, architecture.resnet(block), residual, last_scale),
            upsample: architecture
                .upsample(block)
                .map(|shape| Conv::new(init, shape, 1.0)),
            shape: BlockShape {
                resolution: block.resolution,
                mixin: block.mixin,
                channels: architecture.width_at(block.resolution),
                zdim: architecture.zdim,
                residual,
            },
        }
    }

    /// x [B or 1, R, R, C] plus the state of the lower resolution [B, M, M, C_M], enlarged.
    fn mix_in(&self, x: Tensor<4>, lower: Tensor<4>) -> Tensor<4> {
        let lower = match &self.upsample {
            Some(conv) => conv.forward(lower),
            None => lower,
        };
        ops::upsample_add(x, lower)
    }

    /// x: [B, R, R, C] to the state after this layer, and the layer's KL in nats per image.
    fn forward(
        &self,
        layer: usize,
        x: Tensor<4>,
        activation: Option<&Tensor<4>>,
        latents: &mut impl LatentSource,
    ) -> (Tensor<4>, Option<Tensor<1>>) {
        let posterior = activation
            .filter(|_| latents.needs_posterior(layer))
            .map(|activation| self.enc.forward_with(x.clone(), activation.clone())); // [B, R, R, 2Z]
        let noise = self.noise(layer, &x, posterior.is_some(), latents);
        let (x, kl) = match noise {
            Some(noise)
                if self.shape.residual && ops::draws_in_one(&x, posterior.as_ref(), &noise) =>
            {
                self.prior.add_drawn(x, posterior, noise, &self.z_proj)
            }
            noise => self.add_latents(layer, x, posterior, noise, latents),
        };
        let x = self.resnet.forward(x);
        latents.see_state(layer, &x);
        (x, kl)
    }

    /// What the latents are drawn with, where that is all that the source has to say.
    fn noise(
        &self,
        layer: usize,
        x: &Tensor<4>,
        from_posterior: bool,
        latents: &mut impl LatentSource,
    ) -> Option<Tensor<4>> {
        if latents.needs_posterior(layer) != from_posterior {
            // No image was encoded: the source has to say what that means.
            return None;
        }
        let [batch, height, width, _] = x.dims();
        let shape = [batch, height, width, self.shape.zdim];
        latents.noise(layer, shape, &x.device())
    }

    /// The state x plus the prior's features and the projected latents, and the layer's KL.
    fn add_latents(
        &self,
        layer: usize,
        x: Tensor<4>,
        posterior: Option<Tensor<4>>,
        noise: Option<Tensor<4>>,
        latents: &mut impl LatentSource,
    ) -> (Tensor<4>, Option<Tensor<1>>) {
        let prior = self.prior.forward(x.clone()); // [B, R, R, 2Z + C]
        let (z, kl) = match (noise, posterior) {
            (Some(noise), Some(posterior)) => {
                let (z, kl) = ops::draw_with_kl(posterior, prior.clone(), noise);
                (z, Some(kl))
            }
            (Some(noise), None) => (ops::draw(prior.clone(), noise), None),
            (None, posterior) => {
                let z = latents.latent(StochasticLayer {
                    layer,
                    zdim: self.shape.zdim,
                    state: &x,
                    prior: &prior,
                    posterior: posterior.as_ref(),
                });
                let kl = posterior.map(|posterior| ops::gaussian_kl(posterior, prior.clone()));
                (z, kl)
            }
        };
        let state = if self.shape.residual {
            x
        } else {
            x.zeros_like()
        };
        let x = ops::add_latents(state, prior, z, self.z_proj.parameters());
        (x, kl)
    }
}

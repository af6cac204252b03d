//! The network, described once; a [`Pass`] computes it.

use super::config::{Nonlinearity, PixelSnailConfig};

use crate::ops::{Activation, Dmol, Window};
use crate::ordered::layers::{Attention, Builder, Conv, ConvShape, GatedBlock, GatedShape, Shift};
use crate::ordered::model;
use crate::ordered::pass::Pass;
use crate::store::Store;

/// Added to the sums of attention's weights, as published.
const EPSILON: f32 = 1e-6;

/// The layers.
#[derive(Clone, Debug)]
pub struct Network {
    /// Of the row above and of the pixel to the left.
    stem: [Conv; 2],
    blocks: Vec<Block>,
    /// To the likelihood's parameters.
    output: Conv,
}

/// Residual blocks, a look at all earlier pixels, and a residual block that takes in what was seen (figure 2 of the
/// paper).
#[derive(Clone, Debug)]
struct Block {
    res: Vec<GatedBlock>,
    /// To keys and values.
    kv_res: GatedBlock,
    kv: Conv,
    /// To queries.
    q_res: GatedBlock,
    q: Conv,
    attention: Attention,
    out: GatedBlock,
}

/// A network in the store that it was built into, and what was counted.
pub struct Built {
    /// The layers.
    pub network: Network,
    /// Their numbers, or their names alone.
    pub store: Store,
    /// Operations of an evaluation of one image.
    pub operations: f64,
    /// Numbers kept for the backward pass of one image.
    pub kept: u64,
    /// Layers whose weights steps lay out.
    pub layers: usize,
    /// Names of the gated blocks.
    pub blocks: Vec<String>,
}

impl Network {
    /// Builds the layers that the configuration, which was checked, describes.
    pub fn build(config: &PixelSnailConfig, mixture: Dmol, store: Store) -> Built {
        let &PixelSnailConfig {
            image_size: side,
            image_channels: colours,
            nr_filters: filters,
            key_size: key,
            ..
        } = config;
        let mut builder = Builder::new(store);
        let activation = match config.nonlinearity {
            Nonlinearity::Elu => Activation::Elu,
            Nonlinearity::Relu => Activation::Relu,
            Nonlinearity::ConcatElu => Activation::ConcatElu,
        };
        let gated = |channels, skip, window| GatedShape {
            channels,
            skip,
            window,
            activation,
            dropout: config.dropout as f32,
            kinds: 0,
        };
        let point = Window::point();
        let seen = [colours + 1, filters];
        let above = ConvShape::new(seen, Window::down([1, 3])).shifted(Shift::Down);
        let left = ConvShape::new(seen, Window::right([2, 1])).shifted(Shift::Right);
        let stem = [
            builder.conv("ul_init.0.conv", above, side),
            builder.conv("ul_init.1.conv", left, side),
        ];
        let value = config.value_size();
        let mut block = |block: usize| {
            let name = |part: &str| format!("blocks.{block}.{part}");
            let shape = gated(filters, 0, Window::right([2, 2]));
            let res = (0..config.nr_resnet)
                .map(|r| builder.gated(&name(&format!("res.{r}")), &shape, side));
            let res = res.collect();
            // [image, features, background] and [features, background]; a background has 2 C channels.
            let [about_keys, about_queries] = [3 * colours + filters, 2 * colours + filters];
            let kv_res = builder.gated(&name("kv_res"), &gated(about_keys, 0, point), side);
            let kv = ConvShape::new([about_keys, key + value], point);
            let kv = builder.conv(&name("kv.conv"), kv, side);
            let q_res = builder.gated(&name("q_res"), &gated(about_queries, 0, point), side);
            let q = ConvShape::new([about_queries, key], point);
            let q = builder.conv(&name("q.conv"), q, side);
            let seen = config.seen();
            let attention = builder.attention([key, value], config.att_downsample, seen, EPSILON);
            let out = builder.gated(&name("out"), &gated(filters, value, point), side);
            Block {
                res,
                kv_res,
                kv,
                q_res,
                q,
                attention,
                out,
            }
        };
        let blocks = (0..config.nr_blocks).map(&mut block).collect();
        let outputs = mixture.parameters();
        let output = ConvShape::new([filters, outputs], point);
        let output = builder.conv("nin_out.conv", output, side);
        Built {
            network: Self {
                stem,
                blocks,
                output,
            },
            operations: builder.operations,
            kept: builder.kept,
            layers: builder.layers,
            blocks: builder.blocks,
            store: builder.store,
        }
    }
}

impl model::Network for Network {
    type Found<F: Clone + Send> = ();

    fn row<P: Pass>(&self, _: &mut P, (): &mut ()) {
        // Even the row above is looked at pixel by pixel: keys and values need whole pixels.
    }

    fn pixel<P: Pass>(&self, pass: &mut P, (): &mut ()) -> P::Features {
        let [above, left] = &self.stem;
        let (above, left) = (pass.start(above), pass.start(left));
        let mut ul = pass.add(above, left);
        for block in &self.blocks {
            ul = block.forward(pass, ul);
        }
        pass.convolve(&self.output, Activation::Elu, &ul, 0)
    }
}

impl Block {
    fn forward<P: Pass>(&self, pass: &mut P, mut ul: P::Features) -> P::Features {
        for block in &self.res {
            ul = block.forward(pass, &ul, None, 0);
        }
        let background = pass.background();
        let about = pass.concat(&ul, &background);
        let query = self.q_res.forward(pass, &about, None, 0);
        let query = pass.convolve(&self.q, Activation::None, &query, 0);
        let seen = pass.attend(
            &self.attention,
            &ul,
            query,
            |pass, image, ul, background| {
                let about = pass.concat(image, ul);
                let about = pass.concat(&about, background);
                let keys = self.kv_res.forward(pass, &about, None, 0);
                pass.convolve(&self.kv, Activation::None, &keys, 0)
            },
        );
        self.out.forward(pass, &ul, Some(&seen), 0)
    }
}

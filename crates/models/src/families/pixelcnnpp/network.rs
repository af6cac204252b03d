//! The whole network: which parts there are, and how an image passes them (figure 2 of the paper).
//!
//! Two streams: `u` sees the rows above, all of them; `ul` the rows above and the pixels to the left. On the way up
//! through three resolutions every output is kept, on the way down each block takes in its twin's, last made first
//! used; `ul` also takes in what `u` found in the same place.

use super::config::{HALVINGS, PixelCnnConfig};
use crate::ops::{Activation, Window};
use crate::ordered::layers::{Builder, Conv, ConvShape, Deconv, GatedBlock, GatedShape, Shift};
use crate::ordered::pass::Pass;
use crate::store::Store;

/// Resolutions.
const LEVELS: usize = HALVINGS + 1;

/// The parts, without their numbers.
#[derive(Clone, Debug)]
pub struct Network {
    u_init: Conv,
    /// One sees the row above, the other the pixel to the left.
    ul_init: [Conv; 2],
    u: Stream,
    ul: Stream,
    nin_out: Conv,
}

/// One stream. Levels count from the image's own resolution.
#[derive(Clone, Debug, Default)]
struct Stream {
    up: [Vec<GatedBlock>; LEVELS],
    down: [Vec<GatedBlock>; LEVELS],
    /// From a level to the next.
    halve: Vec<Conv>,
    /// From the next level to one.
    double: Vec<Deconv>,
}

/// What one stream found.
#[derive(Clone, Debug)]
pub struct Found<F> {
    /// At each level what its blocks on the way up begin with, then the output of each.
    up: [Vec<F>; LEVELS],
    /// The output of each block on the way down.
    down: [Vec<F>; LEVELS],
}

impl<F> Default for Found<F> {
    fn default() -> Self {
        Self {
            up: Default::default(),
            down: Default::default(),
        }
    }
}

/// What is known of a row before any of its pixels.
#[derive(Clone, Debug)]
pub struct Above<F> {
    u: Found<F>,
    /// What the other stream begins with, but for the pixel to the left.
    start: F,
}

/// A network, its tensors, and what was counted while it was built.
#[derive(Debug)]
pub struct Built {
    pub network: Network,
    pub store: Store,
    /// Operations of one evaluation.
    pub operations: f64,
    /// Numbers kept for the backward pass of one image.
    pub kept: u64,
    /// Layers of the network.
    pub layers: usize,
}

impl Network {
    /// Builds a network into `store`, in the published order of creation. `config` was checked.
    pub fn build(config: &PixelCnnConfig, store: Store) -> Built {
        let mut builder = Builder::new(store);
        let b = &mut builder;
        let (n, f, side) = (config.nr_resnet, config.nr_filters, config.image_size);
        let seen = config.image_channels + 1;
        let start = |window, shift| ConvShape::new([seen, f], window).shifted(shift);
        let u_init = start(Window::down([2, 3]), Shift::Down);
        let u_init = b.conv("u_init.conv", u_init, side);
        let above = start(Window::down([1, 3]), Shift::Down);
        let left = start(Window::right([2, 1]), Shift::Right);
        let ul_init = [
            b.conv("ul_init.0.conv", above, side),
            b.conv("ul_init.1.conv", left, side),
        ];
        let windows = [Window::down([2, 3]), Window::right([2, 2])];
        let gated = |stream: usize, skip| GatedShape {
            channels: f,
            skip: skip * f,
            window: windows[stream],
            activation: Activation::ConcatElu,
            dropout: config.dropout as f32,
            kinds: config.classes,
        };
        let names = ["u", "ul"];
        let mut streams = [Stream::default(), Stream::default()];
        for level in 0..LEVELS {
            let side = side >> level;
            for block in 0..n {
                for (stream, name) in names.into_iter().enumerate() {
                    let name = format!("up_layers.{level}.{name}_stream.{block}");
                    let block = b.gated(&name, &gated(stream, stream), side);
                    streams[stream].up[level].push(block);
                }
            }
            if level < HALVINGS {
                for (stream, name) in names.into_iter().enumerate() {
                    let name = format!("downsize_{name}_stream.{level}.conv");
                    let shape = ConvShape::new([f, f], windows[stream].with_stride(2));
                    streams[stream].halve.push(b.conv(&name, shape, side / 2));
                }
            }
        }
        for level in (0..LEVELS).rev() {
            let (side, from_below) = (side >> level, HALVINGS - level);
            if level < HALVINGS {
                for (stream, name) in names.into_iter().enumerate() {
                    let name = format!("upsize_{name}_stream.{}.deconv", from_below - 1);
                    let (kernel, norm) = (windows[stream].kernel, config.deconv_norm);
                    let deconv = b.deconv(&name, f, kernel, norm, side);
                    streams[stream].double.insert(0, deconv);
                }
            }
            for block in 0..n + usize::from(level < HALVINGS) {
                for (stream, name) in names.into_iter().enumerate() {
                    let name = format!("down_layers.{from_below}.{name}_stream.{block}");
                    let block = b.gated(&name, &gated(stream, stream + 1), side);
                    streams[stream].down[level].push(block);
                }
            }
        }
        let per_component = if config.image_channels == 3 { 10 } else { 3 };
        let outputs = ConvShape::matrix([f, per_component * config.nr_logistic_mix]);
        let nin_out = b.conv("nin_out.lin_a", outputs, side);
        let [u, ul] = streams;
        Built {
            network: Self {
                u_init,
                ul_init,
                u,
                ul,
                nin_out,
            },
            operations: builder.operations,
            kept: builder.kept,
            layers: builder.layers,
            store: builder.store,
        }
    }

    /// The parameters of all pixels of the pass, from nothing.
    pub fn whole<P: Pass>(&self, pass: &mut P) -> P::Features {
        let mut above = None;
        self.above(pass, &mut above);
        let above = above.expect("was found");
        self.left(pass, &above, &mut Found::default())
    }

    /// What is known of a row before any of its pixels; `above`: what the row before found.
    pub fn above<P: Pass>(&self, pass: &mut P, above: &mut Option<Above<P::Features>>) {
        let mut u = above.take().map_or_else(Found::default, |above| above.u);
        let start = pass.start(&self.u_init);
        self.u.run(pass, start, None, &mut u);
        let start = pass.start(&self.ul_init[0]);
        *above = Some(Above { u, start });
    }

    /// The parameters of the pixels; `found`: what the pixel before found.
    pub fn left<P: Pass>(
        &self,
        pass: &mut P,
        above: &Above<P::Features>,
        found: &mut Found<P::Features>,
    ) -> P::Features {
        let left = pass.start(&self.ul_init[1]);
        let from_above = pass.at(&above.start, 0);
        let start = pass.add(from_above, left);
        let end = self.ul.run(pass, start, Some(&above.u), found);
        pass.convolve(&self.nin_out, Activation::Elu, &end, 0)
    }
}

impl Stream {
    /// The last output, at the image's resolution. `above`: what the stream of rows found, for the other one. Levels
    /// where the pass has nothing new keep what was found there before.
    fn run<P: Pass>(
        &self,
        pass: &mut P,
        start: P::Features,
        above: Option<&Found<P::Features>>,
        found: &mut Found<P::Features>,
    ) -> P::Features {
        let mut next = Some(start);
        for level in 0..LEVELS {
            let Some(mut x) = next.take() else { break };
            let outputs = &mut found.up[level];
            outputs.clear();
            outputs.push(x.clone());
            for (i, block) in self.up[level].iter().enumerate() {
                let beside = above.map(|above| pass.at(&above.up[level][i + 1], level));
                x = block.forward(pass, &x, beside.as_ref(), level);
                outputs.push(x.clone());
            }
            next = self
                .halve
                .get(level)
                .and_then(|conv| pass.halve(conv, &x, level));
        }
        let mut last = None;
        for level in (0..LEVELS).rev() {
            if !pass.active(level) {
                last = found.down[level].last().cloned();
                continue;
            }
            let mut twins = found.up[level].iter().rev();
            let mut x = match self.double.get(level) {
                Some(deconv) => {
                    let below: P::Features = last.take().expect("the level below was passed");
                    pass.double(deconv, &below, level)
                }
                None => twins.next().expect("the level was passed").clone(),
            };
            let outputs = &mut found.down[level];
            outputs.clear();
            for (i, (block, twin)) in self.down[level].iter().zip(twins).enumerate() {
                let beside = match above {
                    Some(above) => {
                        let beside = pass.at(&above.down[level][i], level);
                        pass.concat(&beside, twin)
                    }
                    None => twin.clone(),
                };
                x = block.forward(pass, &x, Some(&beside), level);
                outputs.push(x.clone());
            }
            last = Some(x);
        }
        last.expect("the image's own level is always passed")
    }
}

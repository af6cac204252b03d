//! The forward pass.

use super::{Bottleneck, Hidden, Inner, Weights, check_length};
use crate::blank::Blank;
use crate::grid::Map;
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter, for_items};
use crate::precision::Precision;
use crate::scratch::Scratch;
use std::ops::Range;

/// Computes the block's output `y` `[batch, height, width, c_out]`; keeps in `hidden` what
/// [`super::backward()`] needs, if asked.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn forward(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    y: &mut [f32],
    hidden: Option<&mut Hidden>,
) {
    shape.check(x, act, weights);
    check_length("y", y.len(), shape.pixels() * shape.c_out);
    if let Some(hidden) = &hidden {
        shape.check_hidden(hidden);
    }
    let save = hidden.map(|h| h.maps.each_mut().map(|map| Shared(map.as_mut_ptr())));
    let inputs = shape.inputs(x, act);
    // SAFETY: all lengths were checked, and nobody else uses what is borrowed mutably.
    unsafe { store(shape, inputs, weights, Shared(y.as_mut_ptr()), save) };
}

/// [`forward()`] of a residual block in the place of its input `x`.
///
/// # Panics
/// If a slice does not have the length that the shape says, or the block is not residual.
pub fn forward_in_place(shape: &Bottleneck, x: &mut [f32], act: Option<&[f32]>, weights: &Weights) {
    assert!(
        shape.residual,
        "only a residual block's output may replace its input"
    );
    shape.check(x, act, weights);
    let y = Shared(x.as_mut_ptr());
    let (x, act) = shape.inputs(x, act);
    // SAFETY: all lengths were checked. The first layer has read an image before the last one writes
    // it, and that one reads of `x` only the numbers in whose place it writes.
    unsafe { store(shape, (Map { at: y, ..x }, act), weights, y, None) };
}

/// [`forward()`] into new memory, which need not be cleared: the output, and what
/// [`super::backward()`] needs if `keep` asks for it.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn forward_new(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    keep: bool,
) -> (Vec<f32>, Option<Hidden>) {
    shape.check(x, act, weights);
    let mut y = Blank::new(shape.pixels() * shape.c_out);
    let mut maps = keep.then(|| [(); 3].map(|()| Blank::new(shape.hidden_length())));
    let save = maps.as_mut().map(|maps| maps.each_mut().map(Blank::at));
    let inputs = shape.inputs(x, act);
    // SAFETY: there is room for what the shape says, all of which is written.
    unsafe {
        store(shape, inputs, weights, y.at(), save);
        let hidden = maps.map(|maps| Hidden {
            maps: maps.map(|map| map.written()),
        });
        (y.written(), hidden)
    }
}

/// Writes all of `y` and, if given, of the hidden activations.
///
/// # Safety
/// What is read must have been checked; what is written must have room for what the shape says
/// and be used by nobody else. Nothing is read from it, but that `y` may be the `x` of a residual block.
unsafe fn store(
    shape: &Bottleneck,
    (x, act): (Map, Option<Map>),
    weights: &Weights,
    y: Shared,
    save: Option<[Shared; 3]>,
) {
    let y = Map {
        at: y,
        channels: shape.c_out,
        ..x
    };
    let last = |last: Last| {
        let to = y.images(&last.images);
        let add = shape.residual.then_some(x.images(&last.images));
        // SAFETY: promised by the caller; ranges of images are disjoint.
        unsafe { last.run(0..last.pixels(), Finish::Store { to, add }) };
    };
    // SAFETY: promised by the caller.
    unsafe { run(shape, (x, act), weights, save, last) };
}

/// The first three layers, of some images on each thread; `last` does the rest for them.
///
/// # Safety
/// What is read must have been checked; where hidden activations are kept there must be room for what the
/// shape says, used by nobody else.
pub(super) unsafe fn run(
    shape: &Bottleneck,
    (x, act): (Map, Option<Map>),
    weights: &Weights,
    save: Option<[Shared; 3]>,
    last: impl Fn(Last) + Sync,
) {
    let pixels = shape.pixels();
    if pixels == 0 {
        return;
    }
    let save = save.map(|save| {
        save.map(|at| Map {
            at,
            grid: shape.plain(),
            channels: shape.mid,
            precision: shape.precision,
        })
    });
    let body = || {
        let for_this_pass;
        let laid_out = if let Some(laid_out) = weights.laid_out {
            &laid_out.weights
        } else {
            let plain = |weights, rows, columns| Packed::forward(weights, rows, columns, pixels);
            for_this_pass = shape.laid_out(weights, plain);
            &for_this_pass
        };
        let forward = Forward {
            shape,
            x,
            act,
            weights: laid_out,
            biases: [weights.b1, weights.b2, weights.b3, weights.b4],
            save,
        };
        let (together, operations) = (shape.images_together(), shape.operations());
        for_items(shape.batch, together, operations, |images| {
            // SAFETY: promised by the caller; ranges of images are disjoint.
            unsafe { forward.layers(images, &last) };
        });
    };
    enter(shape.operations(), body);
}

/// A forward pass.
struct Forward<'a> {
    shape: &'a Bottleneck,
    x: Map,
    act: Option<Map>,
    weights: &'a [Packed<'a>; 4],
    biases: [&'a [f32]; 4],
    save: Option<[Map; 3]>,
}

/// The last layer of some images, whose inputs have been computed.
pub(super) struct Last<'a> {
    pub images: Range<usize>,
    /// The gelu of the third layer.
    from: Map,
    weights: &'a Packed<'a>,
    bias: &'a [f32],
    outputs: usize,
    precision: Precision,
}

impl Last<'_> {
    /// Pixels of the images.
    pub fn pixels(&self) -> usize {
        self.from.grid.pixels()
    }

    /// Computes some of the pixels, which are all that the buffers of `finish` hold.
    ///
    /// # Safety
    /// See [`Layer::run`].
    pub unsafe fn run(&self, pixels: Range<usize>, finish: Finish) {
        let from = self.from.pixels(&pixels);
        let layer = Layer {
            source: Source::Map(from),
            segments: from.grid.segments(1, from.elements()),
            precision: self.precision,
            weights: self.weights,
            bias: Some(self.bias),
            outputs: self.outputs,
            finish,
        };
        // SAFETY: promised by the caller.
        unsafe { layer.run(pixels.len()) };
    }
}

impl Forward<'_> {
    /// The layers of some images, one after the other.
    ///
    /// # Safety
    /// As for [`run`]; nobody else may use the same images of what is written.
    unsafe fn layers(&self, images: Range<usize>, last: impl Fn(Last)) {
        let shape = Bottleneck {
            batch: images.len(),
            ..*self.shape
        };
        let (plain, bordered, mid) = (shape.plain(), shape.bordered(), shape.mid);
        let [precision, inner_precision, ..] = shape.precisions();
        let size = bordered.places() * inner_precision.elements(mid);
        let (mut g1, mut g2) = (Scratch::take(size), Scratch::take(size));
        let [g1, g2] = [&mut g1, &mut g2].map(|g| Map::new(g, bordered, mid, inner_precision));
        let g3 = Map {
            grid: plain,
            precision,
            ..g1
        };
        let save = |layer: usize| self.save.map(|save| save[layer].images(&images));
        let [w1, w2, w3, w4] = self.weights;
        let [b1, b2, b3, b4] = self.biases;
        let act = self.act.map(|act| act.images(&images));
        let source = Source::Gelu(self.x.images(&images), act);
        let first = Layer {
            source,
            segments: plain.segments(1, source.elements(precision)),
            precision,
            weights: w1,
            bias: Some(b1),
            outputs: mid,
            finish: Finish::Gelu {
                to: g1,
                save: save(0),
            },
        };
        let inner = |from, weights, bias, to, save| Inner {
            from,
            kernel: shape.kernel,
            weights,
            bias: Some(bias),
            finish: Finish::Gelu { to, save },
        };
        // SAFETY: all buffers live until the end of this function and are distinct; borders are cleared
        // before they are read.
        unsafe {
            g1.clear_border();
            first.run(shape.pixels());
            g2.clear_border();
            inner(g1, w2, b2, g2, save(1)).run();
            inner(g2, w3, b3, g3, save(2)).run();
        }
        last(Last {
            from: g3,
            weights: w4,
            bias: b4,
            outputs: shape.c_out,
            precision,
            images,
        });
    }
}

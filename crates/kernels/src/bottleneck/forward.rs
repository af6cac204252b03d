//! The forward pass.

use super::{Bottleneck, Hidden, Inner, Weights, check_length};
use crate::blank::Blank;
use crate::grid::Map;
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter, for_items};
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
    unsafe { run(shape, inputs, weights, Shared(y.as_mut_ptr()), save) };
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
    unsafe { run(shape, (Map { at: y, ..x }, act), weights, y, None) };
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
        run(shape, inputs, weights, y.at(), save);
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
unsafe fn run(
    shape: &Bottleneck,
    (x, act): (Map, Option<Map>),
    weights: &Weights,
    y: Shared,
    save: Option<[Shared; 3]>,
) {
    let pixels = shape.pixels();
    if pixels == 0 {
        return;
    }
    let hidden = Map {
        at: y,
        grid: shape.plain(),
        channels: shape.mid,
        precision: shape.precision,
    };
    enter(shape.operations(), || {
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
            y: Map {
                at: y,
                channels: shape.c_out,
                ..x
            },
            save: save
                .map(|save| save.map(|at| Some(Map { at, ..hidden })))
                .unwrap_or_default(),
        };
        for_items(
            shape.batch,
            shape.images_together(),
            shape.operations(),
            // SAFETY: promised by the caller; ranges of images are disjoint.
            |images| unsafe { forward.layers(&images) },
        );
    });
}

/// A forward pass.
struct Forward<'a> {
    shape: &'a Bottleneck,
    x: Map,
    act: Option<Map>,
    weights: &'a [Packed<'a>; 4],
    biases: [&'a [f32]; 4],
    y: Map,
    save: [Option<Map>; 3],
}

impl Forward<'_> {
    /// The four layers of some images, one after the other.
    ///
    /// # Safety
    /// As for [`run`]; nobody else may use the same images of what is written.
    unsafe fn layers(&self, images: &Range<usize>) {
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
        let save = self.save.map(|save| save.map(|map| map.images(images)));
        let [w1, w2, w3, w4] = self.weights;
        let [b1, b2, b3, b4] = self.biases;
        let x = self.x.images(images);
        let source = Source::Gelu(x, self.act.map(|act| act.images(images)));
        let inner = |from, weights, bias, to, save| Inner {
            from,
            kernel: shape.kernel,
            weights,
            bias: Some(bias),
            finish: Finish::Gelu { to, save },
        };
        let outer = |source: Source, weights, bias, outputs, finish| Layer {
            source,
            segments: plain.segments(1, source.elements(precision)),
            precision,
            weights,
            bias: Some(bias),
            outputs,
            finish,
        };
        let first = Finish::Gelu {
            to: g1,
            save: save[0],
        };
        let last = Finish::Store {
            to: self.y.images(images),
            add: shape.residual.then_some(x),
        };
        // SAFETY: all buffers live until the end of this function and are distinct, but that `y` may be
        // the `x` that is added to it; borders are cleared before they are read.
        unsafe {
            g1.clear_border();
            outer(source, w1, b1, mid, first).run(shape.pixels());
            g2.clear_border();
            inner(g1, w2, b2, g2, save[1]).run();
            inner(g2, w3, b3, g3, save[2]).run();
            outer(Source::Map(g3), w4, b4, shape.c_out, last).run(shape.pixels());
        }
    }
}

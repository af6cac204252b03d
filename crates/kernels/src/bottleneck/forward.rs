//! The forward pass.

use super::{Bottleneck, Hidden, Inner, Weights, check_length};
use crate::blank::Blank;
use crate::grid::Map;
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter};
use crate::precision::Precision;
use crate::scratch::Scratch;

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
    // SAFETY: all lengths were checked, and nobody else uses what is borrowed mutably.
    unsafe { run(shape, x, act, weights, Shared(y.as_mut_ptr()), save) };
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
    // SAFETY: there is room for what the shape says, all of which is written.
    unsafe {
        run(shape, x, act, weights, y.at(), save);
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
/// and be used by nobody else. Nothing is read from it.
unsafe fn run(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    y: Shared,
    save: Option<[Shared; 3]>,
) {
    if shape.pixels() > 0 {
        // SAFETY: promised by the caller.
        enter(shape.operations(), || unsafe {
            layers(shape, x, act, weights, y, save);
        });
    }
}

/// The four layers, one after the other.
///
/// # Safety
/// As for [`run`].
unsafe fn layers(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    y: Shared,
    save: Option<[Shared; 3]>,
) {
    let (plain, bordered, mid) = (shape.plain(), shape.bordered(), shape.mid);
    let precision = shape.precision;
    let size = bordered.places() * precision.elements(mid);
    let (mut g1, mut g2) = (Scratch::take(size), Scratch::take(size));
    let [g1, g2] = [&mut g1, &mut g2].map(|g| Map::new(g, bordered, mid, precision));
    let g3 = Map { grid: plain, ..g1 };
    let save = save
        .map(|save| save.map(|at| Some(Map { at, ..g3 })))
        .unwrap_or_default();
    let (x, act) = shape.inputs(x, act);
    let y = Map {
        at: y,
        channels: shape.c_out,
        ..x
    };
    let inner = |from: Map, w, b, to: Map, save| Inner {
        from,
        kernel: shape.kernel,
        weights: forward_weights(shape, w, &vec![mid; shape.kernel * shape.kernel], mid),
        bias: Some(b),
        finish: Finish::Gelu { to, save },
    };
    let source = Source::Gelu(x, act);
    let pixels = shape.pixels();
    // SAFETY: all buffers are distinct and live until the end of this function; borders are
    // cleared before they are read.
    unsafe {
        g1.clear_border();
        Layer {
            source,
            segments: plain.segments(1, source.elements(precision)),
            precision,
            weights: forward_weights(shape, weights.w1, &[shape.c_x, shape.c_act], mid),
            bias: Some(weights.b1),
            outputs: mid,
            finish: Finish::Gelu {
                to: g1,
                save: save[0],
            },
        }
        .run(pixels);
        g2.clear_border();
        inner(g1, weights.w2, weights.b2, g2, save[1]).run();
        inner(g2, weights.w3, weights.b3, g3, save[2]).run();
        Layer {
            source: Source::Map(g3),
            segments: plain.segments(1, g3.elements()),
            precision,
            weights: forward_weights(shape, weights.w4, &[mid], shape.c_out),
            bias: Some(weights.b4),
            outputs: shape.c_out,
            finish: Finish::Store {
                to: y,
                add: shape.residual.then_some(x),
            },
        }
        .run(pixels);
    }
}

/// Weights of `groups` of inputs (see [`Packed::paired`]) in the block's precision.
fn forward_weights<'a>(
    shape: &Bottleneck,
    weights: &'a [f32],
    groups: &[usize],
    c_out: usize,
) -> Packed<'a> {
    match shape.precision {
        Precision::Fp32 => Packed::forward(weights, groups.iter().sum(), c_out, shape.pixels()),
        Precision::Bf16 => Packed::paired(weights, groups, c_out),
    }
}

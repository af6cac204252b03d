//! The forward pass.

use super::{Bottleneck, Hidden, Inner, Weights, check_length};
use crate::grid::Map;
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights as Packed;
use crate::parallel::enter;
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
    if shape.pixels() > 0 {
        enter(shape.operations(), || {
            forward_checked(shape, x, act, weights, y, hidden)
        });
    }
}

fn forward_checked(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    y: &mut [f32],
    hidden: Option<&mut Hidden>,
) {
    let (plain, bordered, mid) = (shape.plain(), shape.bordered(), shape.mid);
    let mut g1 = Scratch::take(bordered.places() * mid);
    let mut g2 = Scratch::take(bordered.places() * mid);
    let [g1, g2] = [&mut g1, &mut g2].map(|g| Map::new(g, bordered, mid));
    let g3 = Map { grid: plain, ..g1 };
    let y = Map::new(y, plain, shape.c_out);
    let save = hidden
        .map(|h| [&mut h.h1, &mut h.h2, &mut h.h3].map(|h| Some(Map::new(h, plain, mid))))
        .unwrap_or_default();
    let (x, act) = shape.inputs(x, act);
    let inner = |from: Map, w, b, to: Map, save| Inner {
        from,
        kernel: shape.kernel,
        weights: forward_weights(shape, shape.kernel, w, mid, mid),
        bias: Some(b),
        finish: Finish::Gelu { to, save },
    };
    let c_in = shape.c_x + shape.c_act;
    let pixels = shape.pixels();
    // SAFETY: all buffers were checked, are distinct and live until the end of this function;
    // borders are cleared before they are read.
    unsafe {
        g1.clear_border();
        Layer {
            source: Source::Gelu(x, act),
            segments: plain.segments(1, c_in),
            weights: forward_weights(shape, 1, weights.w1, c_in, mid),
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
            segments: plain.segments(1, mid),
            weights: forward_weights(shape, 1, weights.w4, mid, shape.c_out),
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

fn forward_weights<'a>(
    shape: &Bottleneck,
    kernel: usize,
    weights: &'a [f32],
    c_in: usize,
    c_out: usize,
) -> Packed<'a> {
    Packed::forward(weights, kernel * kernel * c_in, c_out, shape.pixels())
}

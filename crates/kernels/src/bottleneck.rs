//! The bottleneck block, the unit that VDVAE is made of.
//!
//! `y = c4(gelu(c3(gelu(c2(gelu(c1(gelu(concat(x, act)))))))))`, plus `x` if residual. The outer
//! convolutions are 1x1, the inner ones 1x1 or 3x3 with zero padding. All activations are
//! `[batch, height, width, channels]`.

use crate::grid::{Grid, Map};
use crate::layer::{Finish, Layer, Source, activate};
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter};
use crate::scratch::Scratch;
use crate::weight_gradient::WeightGradient;
use crate::winograd::{self, Winograd, WinogradGradient};

/// The shape of a bottleneck block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    /// Channels of the first input.
    pub c_x: usize,
    /// Channels of the second input, 0 where there is none.
    pub c_act: usize,
    /// Channels between the convolutions.
    pub mid: usize,
    /// Channels of the output.
    pub c_out: usize,
    /// Size of the inner convolutions: 1 or 3.
    pub kernel: usize,
    /// Whether `x` is added to the output; then `c_out == c_x`.
    pub residual: bool,
}

/// Weights `[kernel, kernel, c_in, c_out]` and biases `[c_out]` of the four convolutions.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Weights<'a> {
    pub w1: &'a [f32],
    pub b1: &'a [f32],
    pub w2: &'a [f32],
    pub b2: &'a [f32],
    pub w3: &'a [f32],
    pub b3: &'a [f32],
    pub w4: &'a [f32],
    pub b4: &'a [f32],
}

/// Outputs of the first three convolutions before gelu, `[batch, height, width, mid]` each:
/// what [`backward`] needs from [`forward`].
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Hidden {
    pub h1: Vec<f32>,
    pub h2: Vec<f32>,
    pub h3: Vec<f32>,
}

/// Gradients of the weights and biases, in their layout.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Gradients {
    pub w1: Vec<f32>,
    pub b1: Vec<f32>,
    pub w2: Vec<f32>,
    pub b2: Vec<f32>,
    pub w3: Vec<f32>,
    pub b3: Vec<f32>,
    pub w4: Vec<f32>,
    pub b4: Vec<f32>,
}

impl Hidden {
    /// Room for the hidden activations of a block.
    pub fn new(shape: &Bottleneck) -> Self {
        let room = || vec![0.0; shape.pixels() * shape.mid];
        Self {
            h1: room(),
            h2: room(),
            h3: room(),
        }
    }
}

impl Gradients {
    /// Room for the gradients of a block.
    pub fn new(shape: &Bottleneck) -> Self {
        let [w1, w2, w3, w4] = shape.weight_lengths().map(|n| vec![0.0; n]);
        let [b1, b2, b3] = [(); 3].map(|()| vec![0.0; shape.mid]);
        let b4 = vec![0.0; shape.c_out];
        Self {
            w1,
            b1,
            w2,
            b2,
            w3,
            b3,
            w4,
            b4,
        }
    }
}

impl Bottleneck {
    /// Pixels of the batch.
    pub fn pixels(&self) -> usize {
        self.batch * self.height * self.width
    }

    /// Multiplications and additions of a forward pass (direct convolutions, borders included);
    /// a backward pass takes twice as many.
    pub fn operations(&self) -> usize {
        2 * self.pixels() * self.weight_lengths().iter().sum::<usize>()
    }

    /// Lengths of the four weights.
    pub fn weight_lengths(&self) -> [usize; 4] {
        let inner = self.kernel * self.kernel * self.mid * self.mid;
        [
            (self.c_x + self.c_act) * self.mid,
            inner,
            inner,
            self.mid * self.c_out,
        ]
    }

    /// The pixels as they lie in inputs and outputs.
    fn plain(&self) -> Grid {
        Grid {
            batch: self.batch,
            height: self.height,
            width: self.width,
            border: 0,
        }
    }

    /// The pixels as they lie in what the inner convolutions read.
    fn bordered(&self) -> Grid {
        Grid {
            border: Grid::border_for(self.kernel, self.height, self.width),
            ..self.plain()
        }
    }

    fn check(&self, x: &[f32], act: Option<&[f32]>, weights: &Weights) {
        assert!(
            self.kernel == 1 || self.kernel == 3,
            "kernel is 1 or 3, not {}",
            self.kernel
        );
        assert!(
            !self.residual || self.c_out == self.c_x,
            "a residual block has as many outputs ({}) as inputs ({})",
            self.c_out,
            self.c_x
        );
        check_length("x", x.len(), self.pixels() * self.c_x);
        let act = act.map_or(0, <[f32]>::len);
        check_length("act", act, self.pixels() * self.c_act);
        let [w1, w2, w3, w4] = self.weight_lengths();
        check_length("w1", weights.w1.len(), w1);
        check_length("w2", weights.w2.len(), w2);
        check_length("w3", weights.w3.len(), w3);
        check_length("w4", weights.w4.len(), w4);
        check_length("b1", weights.b1.len(), self.mid);
        check_length("b2", weights.b2.len(), self.mid);
        check_length("b3", weights.b3.len(), self.mid);
        check_length("b4", weights.b4.len(), self.c_out);
    }

    fn check_hidden(&self, hidden: &Hidden) {
        for (name, h) in [("h1", &hidden.h1), ("h2", &hidden.h2), ("h3", &hidden.h3)] {
            check_length(name, h.len(), self.pixels() * self.mid);
        }
    }

    /// The two inputs as buffers.
    fn inputs(&self, x: &[f32], act: Option<&[f32]>) -> (Map, Option<Map>) {
        let act = act.filter(|_| self.c_act > 0);
        (
            Map::of(x, self.plain(), self.c_x),
            act.map(|act| Map::of(act, self.plain(), self.c_act)),
        )
    }
}

/// # Panics
/// If a length is not what the shape says.
pub(crate) fn check_length(name: &str, found: usize, expected: usize) {
    assert!(
        found == expected,
        "{name} has {found} numbers, the shape needs {expected}"
    );
}

/// Computes the block's output `y` `[batch, height, width, c_out]`; keeps in `hidden` what
/// [`backward`] needs, if asked.
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

/// An inner convolution: as many outputs as inputs.
struct Inner<'a> {
    from: Map,
    kernel: usize,
    weights: Packed<'a>,
    bias: Option<&'a [f32]>,
    finish: Finish,
}

impl Inner<'_> {
    /// Computes all pixels, the fastest way that these images allow.
    ///
    /// # Safety
    /// See [`Layer::run`].
    unsafe fn run(self) {
        let Self {
            from,
            kernel,
            weights,
            bias,
            finish,
        } = self;
        let Map { grid, channels, .. } = from;
        // SAFETY: promised by the caller.
        unsafe {
            if winograd::suits(grid) {
                Winograd {
                    from,
                    weights: weights.winograd(channels, channels),
                    bias,
                    outputs: channels,
                    finish,
                }
                .run();
            } else {
                Layer {
                    source: Source::Map(from),
                    segments: grid.segments(kernel, channels),
                    weights,
                    bias,
                    outputs: channels,
                    finish,
                }
                .run(grid.pixels());
            }
        }
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

/// Computes the gradients with respect to `x`, `act` (if asked), and all weights and biases,
/// from the gradient `dy` with respect to the output and what [`forward`] kept. All results are
/// overwritten, not added to.
///
/// # Panics
/// If a slice does not have the length that the shape says.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    hidden: &Hidden,
    dy: &[f32],
    dx: &mut [f32],
    dact: Option<&mut [f32]>,
    gradients: &mut Gradients,
) {
    shape.check(x, act, weights);
    shape.check_hidden(hidden);
    check_length("dy", dy.len(), shape.pixels() * shape.c_out);
    check_length("dx", dx.len(), shape.pixels() * shape.c_x);
    if let Some(dact) = &dact {
        check_length("dact", dact.len(), shape.pixels() * shape.c_act);
    }
    *gradients = std::mem::take(gradients).fitted(shape);
    let backward = Backward {
        shape,
        weights,
        x: shape.inputs(x, act),
        hidden: [&hidden.h1, &hidden.h2, &hidden.h3].map(|h| Map::of(h, shape.plain(), shape.mid)),
        dy: Map::of(dy, shape.plain(), shape.c_out),
        dx: Map::new(dx, shape.plain(), shape.c_x),
        dact: dact
            .filter(|_| shape.c_act > 0)
            .map(|dact| Map::new(dact, shape.plain(), shape.c_act)),
    };
    if shape.pixels() > 0 {
        enter(2 * shape.operations(), || backward.run(gradients));
    }
}

impl Gradients {
    /// The same room if it is right for the shape, new room otherwise; zero where [`backward`]
    /// does not write.
    fn fitted(self, shape: &Bottleneck) -> Self {
        let [w1, w2, w3, w4] = shape.weight_lengths();
        let lengths = [&self.w1, &self.w2, &self.w3, &self.w4].map(Vec::len);
        let biases = [&self.b1, &self.b2, &self.b3, &self.b4].map(Vec::len);
        let fits =
            lengths == [w1, w2, w3, w4] && biases == [shape.mid, shape.mid, shape.mid, shape.c_out];
        let only_centres = shape.kernel == 3 && shape.bordered().border == 0;
        if fits && !only_centres && shape.pixels() > 0 {
            self
        } else {
            Self::new(shape)
        }
    }
}

/// The buffers of a backward pass.
struct Backward<'a> {
    shape: &'a Bottleneck,
    weights: &'a Weights<'a>,
    x: (Map, Option<Map>),
    hidden: [Map; 3],
    dy: Map,
    dx: Map,
    dact: Option<Map>,
}

impl Backward<'_> {
    fn run(&self, gradients: &mut Gradients) {
        let (plain, bordered) = (self.shape.plain(), self.shape.bordered());
        let (mid, c_out) = (self.shape.mid, self.shape.c_out);
        let [h1, h2, h3] = self.hidden;
        let size = bordered.places() * mid;
        let (mut d3, mut d2) = (Scratch::take(size), Scratch::take(size));
        let [d3, d2] = [&mut d3, &mut d2].map(|d| Map::new(d, bordered, mid));
        let d1 = Map { grid: plain, ..d3 };
        let Gradients {
            w1,
            b1,
            w2,
            b2,
            w3,
            b3,
            w4,
            b4,
        } = gradients;
        // SAFETY: all buffers were checked, are distinct and live until the end of this
        // function; `d1` takes the place of `d3` when that is no longer needed.
        unsafe {
            d3.clear_border();
            Layer {
                source: Source::Map(self.dy),
                segments: plain.segments(1, c_out),
                weights: Packed::transposed(self.weights.w4, 1, mid, c_out, mid),
                bias: None,
                outputs: mid,
                finish: Finish::TimesSlope { to: d3, of: h3 },
            }
            .run(plain.pixels());
            self.outer_gradient(Source::Gelu(h3, None), self.dy, w4, b4);
            self.inner_gradient(h2, d3, w3, b3);
            d2.clear_border();
            self.inner(self.weights.w3, d3, h2, d2);
            self.inner_gradient(h1, d2, w2, b2);
            self.inner(self.weights.w2, d2, h1, d1);
            self.outer_gradient(Source::Gelu(self.x.0, self.x.1), d1, w1, b1);
            self.input(d1);
        }
    }

    /// The data gradient through an inner convolution and the gelu before it.
    unsafe fn inner(&self, weights: &[f32], from: Map, of: Map, to: Map) {
        let (mid, kernel) = (self.shape.mid, self.shape.kernel);
        let layer = Inner {
            from,
            kernel,
            weights: Packed::transposed(weights, kernel * kernel, mid, mid, mid),
            bias: None,
            finish: Finish::TimesSlope { to, of },
        };
        // SAFETY: promised by the caller.
        unsafe { layer.run() };
    }

    /// The data gradient through the first convolution and gelu, and around the block.
    unsafe fn input(&self, from: Map) {
        let shape = self.shape;
        let (x, act) = self.x;
        let rest = self.dact.zip(act);
        let outputs = shape.c_x + rest.map_or(0, |_| shape.c_act);
        let c_in = shape.c_x + shape.c_act;
        let layer = Layer {
            source: Source::Map(from),
            segments: from.grid.segments(1, shape.mid),
            weights: Packed::transposed(self.weights.w1, 1, c_in, shape.mid, outputs),
            bias: None,
            outputs,
            finish: Finish::InputGradient {
                to: self.dx,
                of: x,
                add: shape.residual.then_some(self.dy),
                rest,
            },
        };
        // SAFETY: promised by the caller.
        unsafe { layer.run(shape.pixels()) };
    }

    /// Gradients of a 1x1 convolution.
    unsafe fn outer_gradient(&self, source: Source, slope: Map, w: &mut [f32], b: &mut [f32]) {
        let gradient = WeightGradient {
            source,
            segments: self.shape.plain().segments(1, source.channels()),
            slope,
            weights: Shared(w.as_mut_ptr()),
            bias: Shared(b.as_mut_ptr()),
        };
        // SAFETY: promised by the caller.
        unsafe { gradient.run(slope.grid) };
    }

    /// Gradients of an inner convolution that read `gelu(h)`.
    unsafe fn inner_gradient(&self, h: Map, slope: Map, w: &mut [f32], b: &mut [f32]) {
        let grid = self.shape.bordered();
        let mut room = Scratch::take(grid.places() * self.shape.mid);
        let source = Map::new(&mut room, grid, self.shape.mid);
        // SAFETY: promised by the caller.
        unsafe {
            activate(h, source);
            let (weights, bias) = (Shared(w.as_mut_ptr()), Shared(b.as_mut_ptr()));
            if winograd::suits(grid) {
                WinogradGradient {
                    source,
                    slope,
                    weights,
                    bias,
                }
                .run();
            } else {
                WeightGradient {
                    source: Source::Map(source),
                    segments: grid.segments(self.shape.kernel, self.shape.mid),
                    slope,
                    weights,
                    bias,
                }
                .run(grid);
            }
        }
    }
}

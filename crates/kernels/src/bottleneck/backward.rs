//! The backward pass.

use super::{Bottleneck, Gradients, Hidden, Inner, Weights, check_length};
use crate::blank::Blank;
use crate::grid::Map;
use crate::layer::{Finish, Layer, Source, activate};
use crate::pack::Weights as Packed;
use crate::paired::{PairedGradient, Pixels};
use crate::parallel::{Shared, enter};
use crate::precision::Precision;
use crate::scratch::Scratch;
use crate::weight_gradient::WeightGradient;
use crate::winograd::{self, WinogradGradient};

/// Computes the gradients with respect to `x`, `act` (if asked), and all weights and biases,
/// from the gradient `dy` with respect to the output and what [`super::forward()`] kept. All
/// results are overwritten, not added to.
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
    let dx = Shared(dx.as_mut_ptr());
    let dact = dact.map(|dact| Shared(dact.as_mut_ptr()));
    let results = Results::new(dx, dact, gradients);
    // SAFETY: all lengths were checked, and nobody else uses what is borrowed mutably.
    unsafe { run(shape, x, act, weights, hidden, dy, results) };
}

/// [`backward()`] into new memory, which need not be cleared: the gradients with respect to `x`,
/// to `act` if asked, and to the parameters.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn backward_new(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    hidden: &Hidden,
    dy: &[f32],
    want_dact: bool,
) -> (Vec<f32>, Option<Vec<f32>>, Gradients) {
    shape.check(x, act, weights);
    shape.check_hidden(hidden);
    check_length("dy", dy.len(), shape.pixels() * shape.c_out);
    let mut dx = Blank::new(shape.pixels() * shape.c_x);
    let mut dact = want_dact.then(|| Blank::new(shape.pixels() * shape.c_act));
    if shape.leaves_gradients() {
        let mut gradients = Gradients::new(shape);
        let results = Results::new(dx.at(), dact.as_mut().map(Blank::at), &mut gradients);
        // SAFETY: there is room for what the shape says; data gradients are all written.
        return unsafe {
            run(shape, x, act, weights, hidden, dy, results);
            (dx.written(), dact.map(|dact| dact.written()), gradients)
        };
    }
    let mut blanks = shape.gradient_lengths().map(Blank::new);
    let results = Results {
        dx: dx.at(),
        dact: dact.as_mut().map(Blank::at),
        parameters: blanks.each_mut().map(Blank::at),
    };
    // SAFETY: there is room for what the shape says, all of which is written.
    unsafe {
        run(shape, x, act, weights, hidden, dy, results);
        let gradients = Gradients::from_all(blanks.map(|blank| blank.written()));
        (dx.written(), dact.map(|dact| dact.written()), gradients)
    }
}

/// Where results are written.
struct Results {
    dx: Shared,
    dact: Option<Shared>,
    /// `w1`, `b1`, `w2` and so on.
    parameters: [Shared; 8],
}

impl Results {
    fn new(dx: Shared, dact: Option<Shared>, gradients: &mut Gradients) -> Self {
        Self {
            dx,
            dact,
            parameters: gradients.all_mut().map(|g| Shared(g.as_mut_ptr())),
        }
    }
}

/// Writes all results, of the gradients of parameters what pixels contribute to.
///
/// # Safety
/// What is read must have been checked; what is written must have room for what the shape says
/// and be used by nobody else. Nothing is read from it before it is written.
unsafe fn run(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    hidden: &Hidden,
    dy: &[f32],
    results: Results,
) {
    let inputs = shape.inputs(x, act);
    let map = |at, channels| Map {
        at,
        channels,
        ..inputs.0
    };
    let dact = results.dact.filter(|_| shape.c_act > 0);
    let backward = Backward {
        shape,
        weights,
        x: inputs,
        hidden: hidden
            .maps
            .each_ref()
            .map(|h| Map::of(h, shape.plain(), shape.mid, shape.precision)),
        dy: Map::of(dy, shape.plain(), shape.c_out, Precision::Fp32),
        dx: map(results.dx, shape.c_x),
        dact: dact.map(|at| map(at, shape.c_act)),
    };
    if shape.pixels() > 0 {
        // SAFETY: promised by the caller.
        enter(2 * shape.operations(), || unsafe {
            backward.run(results.parameters);
        });
    }
}

impl Gradients {
    /// The same room if it is right for the shape, new room otherwise; zero where [`backward`]
    /// does not write.
    fn fitted(mut self, shape: &Bottleneck) -> Self {
        let fits = self.all_mut().map(|g| g.len()) == shape.gradient_lengths();
        if fits && !shape.leaves_gradients() {
            self
        } else {
            Self::new(shape)
        }
    }
}

impl Bottleneck {
    /// Whether no pixel contributes to some gradients of weights: where there are no pixels, or
    /// where 3x3 convolutions see one pixel alone.
    fn leaves_gradients(&self) -> bool {
        self.pixels() == 0 || (self.kernel == 3 && self.bordered().border == 0)
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
    /// # Safety
    /// As for [`run`].
    unsafe fn run(&self, [w1, b1, w2, b2, w3, b3, w4, b4]: [Shared; 8]) {
        let (plain, bordered) = (self.shape.plain(), self.shape.bordered());
        let (mid, c_out) = (self.shape.mid, self.shape.c_out);
        let [h1, h2, h3] = self.hidden;
        let precision = self.shape.precision;
        let size = bordered.places() * precision.elements(mid);
        let (mut d3, mut d2) = (Scratch::take(size), Scratch::take(size));
        let [d3, d2] = [&mut d3, &mut d2].map(|d| Map::new(d, bordered, mid, precision));
        let d1 = Map { grid: plain, ..d3 };
        // SAFETY: all buffers are distinct and live until the end of this function; `d1` takes the place of `d3` when that is no longer needed.
        unsafe {
            d3.clear_border();
            Layer {
                source: Source::Map(self.dy),
                segments: plain.segments(1, precision.elements(c_out)),
                precision,
                weights: self.transposed(self.weights.w4, 1, mid, c_out, mid),
                bias: None,
                outputs: mid,
                finish: Finish::TimesSlope { to: d3, of: h3 },
            }
            .run(plain.pixels());
            self.outer_gradient((h3, None), self.dy, w4, b4);
            self.inner_gradient(h2, d3, w3, b3);
            d2.clear_border();
            self.inner(self.weights.w3, d3, h2, d2);
            self.inner_gradient(h1, d2, w2, b2);
            self.inner(self.weights.w2, d2, h1, d1);
            self.outer_gradient(self.x, d1, w1, b1);
            self.input(d1);
        }
    }

    /// Weights for a data gradient, see [`Packed::transposed`].
    fn transposed(
        &self,
        weights: &[f32],
        taps: usize,
        c_in: usize,
        c_out: usize,
        columns: usize,
    ) -> Packed<'static> {
        match self.shape.precision {
            Precision::Fp32 => Packed::transposed(weights, taps, c_in, c_out, columns),
            Precision::Bf16 => Packed::transposed_pairs(weights, taps, c_in, c_out, columns),
        }
    }

    /// The data gradient through an inner convolution and the gelu before it.
    unsafe fn inner(&self, weights: &[f32], from: Map, of: Map, to: Map) {
        let (mid, kernel) = (self.shape.mid, self.shape.kernel);
        let layer = Inner {
            from,
            kernel,
            weights: self.transposed(weights, kernel * kernel, mid, mid, mid),
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
            segments: from.grid.segments(1, from.elements()),
            precision: shape.precision,
            weights: self.transposed(self.weights.w1, 1, c_in, shape.mid, outputs),
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

    /// Gradients of a 1x1 convolution that read `gelu(inputs)`.
    unsafe fn outer_gradient(
        &self,
        inputs: (Map, Option<Map>),
        slope: Map,
        weights: Shared,
        bias: Shared,
    ) {
        let source = Source::Gelu(inputs.0, inputs.1);
        // SAFETY: promised by the caller.
        unsafe {
            match self.shape.precision {
                Precision::Bf16 => self.paired_gradient(inputs, 1, slope, weights, bias),
                Precision::Fp32 => WeightGradient {
                    source,
                    segments: self.shape.plain().segments(1, source.channels()),
                    slope,
                    weights,
                    bias,
                }
                .run(slope.grid),
            }
        }
    }

    /// Gradients of a convolution that read `gelu(inputs)`, of operands rounded to bfloat16.
    unsafe fn paired_gradient(
        &self,
        inputs: (Map, Option<Map>),
        kernel: usize,
        slope: Map,
        weights: Shared,
        bias: Shared,
    ) {
        let gradient = PairedGradient {
            source: Pixels {
                first: inputs.0,
                second: inputs.1,
                gelu: true,
            },
            slope,
            grid: match kernel {
                1 => self.shape.plain(),
                _ => self.shape.bordered(),
            },
            kernel,
            weights,
            bias,
        };
        // SAFETY: promised by the caller.
        unsafe { gradient.run() };
    }

    /// Gradients of an inner convolution that read `gelu(h)`.
    unsafe fn inner_gradient(&self, h: Map, slope: Map, weights: Shared, bias: Shared) {
        if self.shape.precision == Precision::Bf16 {
            // SAFETY: promised by the caller.
            return unsafe {
                self.paired_gradient((h, None), self.shape.kernel, slope, weights, bias)
            };
        }
        let grid = self.shape.bordered();
        let mut room = Scratch::take(grid.places() * self.shape.mid);
        let source = Map::new(&mut room, grid, self.shape.mid, Precision::Fp32);
        // SAFETY: promised by the caller.
        unsafe {
            activate(h, source);
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

//! The backward pass.

use super::parameters::{Gradient, run_all};
use super::{Bottleneck, Gradients, Hidden, Inner, Weights, check_length};
use crate::blank::Blank;
use crate::grid::Map;
use crate::layer::{Finish, InputGradient, Layer, Source};
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter, for_items};
use crate::precision::Precision;
use crate::scratch::Scratch;
use std::ops::Range;

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
    unsafe { run(shape, x, act, weights, hidden, dy, [None; 2], results) };
}

/// [`backward()`] into new memory, which need not be cleared: the gradients with respect to `x`,
/// to `act` if there is one, and to the parameters. What others found for the gradients of `x` and `act`
/// is added to them.
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
    others: [Option<&[f32]>; 2],
) -> (Vec<f32>, Option<Vec<f32>>, Gradients) {
    shape.check(x, act, weights);
    shape.check_hidden(hidden);
    check_length("dy", dy.len(), shape.pixels() * shape.c_out);
    let want_dact = act.is_some();
    assert!(want_dact || others[1].is_none(), "there is no act");
    for (name, other, channels) in [
        ("gradient of x", others[0], shape.c_x),
        ("gradient of act", others[1], shape.c_act),
    ] {
        if let Some(other) = other {
            check_length(name, other.len(), shape.pixels() * channels);
        }
    }
    let mut dx = Blank::new(shape.pixels() * shape.c_x);
    let mut dact = want_dact.then(|| Blank::new(shape.pixels() * shape.c_act));
    if shape.leaves_gradients() {
        let mut gradients = Gradients::new(shape);
        let results = Results::new(dx.at(), dact.as_mut().map(Blank::at), &mut gradients);
        // SAFETY: there is room for what the shape says; data gradients are all written.
        return unsafe {
            run(shape, x, act, weights, hidden, dy, others, results);
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
        run(shape, x, act, weights, hidden, dy, others, results);
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
#[allow(clippy::too_many_arguments)]
unsafe fn run(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    hidden: &Hidden,
    dy: &[f32],
    others: [Option<&[f32]>; 2],
    results: Results,
) {
    let pixels = shape.pixels();
    if pixels == 0 {
        return;
    }
    let inputs = shape.inputs(x, act);
    let map = |at, channels| Map {
        at,
        channels,
        ..inputs.0
    };
    let dact = results.dact.filter(|_| shape.c_act > 0);
    let backward = Backward {
        shape,
        x: inputs,
        hidden: hidden
            .maps
            .each_ref()
            .map(|h| Map::of(h, shape.plain(), shape.mid, shape.precision)),
        dy: Map::of(dy, shape.plain(), shape.c_out, Precision::Fp32),
        dx: map(results.dx, shape.c_x),
        dact: dact.map(|at| map(at, shape.c_act)),
        others: [
            others[0].map(|dx| Map::of(dx, shape.plain(), shape.c_x, Precision::Fp32)),
            others[1].map(|dact| Map::of(dact, shape.plain(), shape.c_act, Precision::Fp32)),
        ],
    };
    enter(2 * shape.operations(), || {
        let weights = transposed_weights(shape, weights, backward.dact.is_some());
        // SAFETY: promised by the caller; groups have images and sums of their own.
        unsafe {
            shape.groups().sum(
                shape.gradient_lengths(),
                results.parameters,
                2 * shape.operations(),
                |images, sums| backward.group(&weights, &images, sums),
            );
        }
    });
}

/// What lies between the gradients of data and those of parameters.
#[derive(Clone, Copy)]
struct Between {
    /// Gradients with respect to the outputs of the first three convolutions before gelu, as the data
    /// gradients read them; the latter two with the border that convolutions need.
    slopes: [Map; 3],
    /// Their gelu as the gradients of the weights after them read it, where those are in single
    /// precision; the first two with border.
    gelu: [Option<Map>; 3],
}

/// Room for what lies between.
struct Rooms {
    slopes: [Scratch; 3],
    gelu: [Option<Scratch>; 3],
}

impl Rooms {
    fn new(shape: &Bottleneck) -> Self {
        let [first, second, third, last] = shape.precisions();
        let places = shape.bordered().places();
        let room = |precision: Precision| Scratch::take(places * precision.elements(shape.mid));
        let single = |precision| (precision == Precision::Fp32).then(|| room(precision));
        Self {
            slopes: [first, second, third].map(room),
            gelu: [second, third, last].map(single),
        }
    }

    fn maps(&mut self, shape: &Bottleneck) -> Between {
        let (plain, bordered) = (shape.plain(), shape.bordered());
        let [first, second, third, last] = shape.precisions();
        let map = |room, grid, precision| Map::new(room, grid, shape.mid, precision);
        let [d1, d2, d3] = &mut self.slopes;
        let [g1, g2, g3] = self.gelu.each_mut().map(Option::as_mut);
        Between {
            slopes: [
                map(d1, plain, first),
                map(d2, bordered, second),
                map(d3, bordered, third),
            ],
            gelu: [
                g1.map(|room| map(room, bordered, second)),
                g2.map(|room| map(room, bordered, third)),
                g3.map(|room| map(room, plain, last)),
            ],
        }
    }
}

impl Between {
    fn images(&self, range: &Range<usize>) -> Self {
        Self {
            slopes: self.slopes.map(|map| map.images(range)),
            gelu: self.gelu.map(|map| map.map(|map| map.images(range))),
        }
    }
}

/// The weights as the data gradients want them, of the first layer those of `x` alone unless
/// `want_dact`.
fn transposed_weights(
    shape: &Bottleneck,
    weights: &Weights,
    want_dact: bool,
) -> [Packed<'static>; 4] {
    let transposed = |precision, weights, kernel: usize, c_in, c_out, columns| match precision {
        Precision::Fp32 => Packed::transposed(weights, kernel * kernel, c_in, c_out, columns),
        Precision::Bf16 => Packed::transposed_pairs(weights, kernel * kernel, c_in, c_out, columns),
    };
    let (mid, kernel, c_in) = (shape.mid, shape.kernel, shape.c_x + shape.c_act);
    let columns = if want_dact { c_in } else { shape.c_x };
    let [p1, p2, p3, p4] = shape.precisions();
    [
        transposed(p1, weights.w1, 1, c_in, mid, columns),
        shape.inner_weights(transposed(p2, weights.w2, kernel, mid, mid, mid)),
        shape.inner_weights(transposed(p3, weights.w3, kernel, mid, mid, mid)),
        transposed(p4, weights.w4, 1, mid, shape.c_out, mid),
    ]
}

/// The buffers of a backward pass.
struct Backward<'a> {
    shape: &'a Bottleneck,
    x: (Map, Option<Map>),
    hidden: [Map; 3],
    dy: Map,
    dx: Map,
    dact: Option<Map>,
    /// What is added to `dx` and `dact`.
    others: [Option<Map>; 2],
}

impl Backward<'_> {
    /// All gradients of a group of images.
    ///
    /// # Safety
    /// As for [`run`]; nobody else may use the same images or sums.
    unsafe fn group(&self, weights: &[Packed; 4], images: &Range<usize>, sums: [Shared; 8]) {
        let shape = Bottleneck {
            batch: images.len(),
            ..*self.shape
        };
        let part = |map: Map| map.images(images);
        let group = Backward {
            shape: &shape,
            x: (part(self.x.0), self.x.1.map(part)),
            hidden: self.hidden.map(part),
            dy: part(self.dy),
            dx: part(self.dx),
            dact: self.dact.map(part),
            others: self.others.map(|other| other.map(part)),
        };
        let mut rooms = Rooms::new(&shape);
        let between = rooms.maps(&shape);
        let (together, operations) = (shape.images_together(), shape.operations());
        for_items(shape.batch, together, operations, |images| {
            // SAFETY: promised by the caller; ranges of images are disjoint.
            unsafe { group.data(weights, &between, &images) };
        });
        // SAFETY: promised by the caller.
        unsafe { group.parameters(&between, sums) };
    }

    /// The gradients with respect to the data of some images, layer after layer.
    ///
    /// # Safety
    /// As for [`run`]; nobody else may use the same images of what is written.
    unsafe fn data(&self, weights: &[Packed; 4], between: &Between, images: &Range<usize>) {
        let (shape, kernel) = (self.shape, self.shape.kernel);
        let part = |map: Map| map.images(images);
        let [h1, h2, h3] = self.hidden.map(part);
        let (x, act) = (part(self.x.0), self.x.1.map(part));
        let (dy, dx) = (part(self.dy), part(self.dx));
        let Between { slopes, gelu } = between.images(images);
        let ([d1, d2, d3], [g1, g2, g3]) = (slopes, gelu);
        let outer = |from: Map, weights, outputs, finish| Layer {
            source: Source::Map(from),
            segments: dy.grid.segments(1, shape.precision.elements(from.channels)),
            precision: shape.precision,
            weights,
            bias: None,
            outputs,
            finish,
        };
        let inner = |from, weights, finish| Inner {
            from,
            kernel,
            weights,
            bias: None,
            finish,
        };
        let slope = |to, of, gelu| Finish::TimesSlope { to, of, gelu };
        let others = self.others.map(|other| other.map(part));
        let rest = self.dact.map(part).zip(act);
        let input = Finish::InputGradient {
            first: InputGradient {
                to: dx,
                of: x,
                add: [shape.residual.then_some(dy), others[0]],
            },
            rest: rest.map(|(to, of)| InputGradient {
                to,
                of,
                add: [others[1], None],
            }),
        };
        let [w1, w2, w3, w4] = weights;
        let inputs = shape.c_x + rest.map_or(0, |_| shape.c_act);
        // SAFETY: promised by the caller; all buffers are distinct, borders are cleared before they
        // are read.
        unsafe {
            for map in [Some(d2), Some(d3), g1, g2].into_iter().flatten() {
                map.clear_border();
            }
            outer(dy, w4, shape.mid, slope(d3, h3, g3)).run(dy.grid.pixels());
            inner(d3, w3, slope(d2, h2, g2)).run();
            inner(d2, w2, slope(d1, h1, g1)).run();
            outer(d1, w1, inputs, input).run(dy.grid.pixels());
        }
    }

    /// The gradients with respect to the parameters, `w1`, `b1`, `w2` and so on.
    ///
    /// # Safety
    /// As for [`run`]; [`Backward::data`] must have been called for all images.
    unsafe fn parameters(&self, between: &Between, to: [Shared; 8]) {
        let [w1, b1, w2, b2, w3, b3, w4, b4] = to;
        let ([h1, h2, h3], [d1, d2, d3]) = (self.hidden, between.slopes);
        let ([g1, g2, g3], kernel) = (between.gelu, self.shape.kernel);
        let source = |h: Map, gelu: Option<Map>| gelu.map_or(Source::Gelu(h, None), Source::Map);
        let (x, act) = self.x;
        let layers = [
            (1, Source::Gelu(x, act), d1, [w1, b1]),
            (kernel, source(h1, g1), d2, [w2, b2]),
            (kernel, source(h2, g2), d3, [w3, b3]),
            (1, source(h3, g3), self.dy, [w4, b4]),
        ];
        let mut layers = layers.into_iter().zip(self.shape.precisions());
        let gradients: [Gradient; 4] = std::array::from_fn(|_| {
            let ((kernel, source, slope, to), precision) = layers.next().expect("four layers");
            let grid = match kernel {
                1 => self.shape.plain(),
                _ => self.shape.bordered(),
            };
            Gradient::new((kernel, grid), precision, source, slope, to)
        });
        // SAFETY: promised by the caller.
        unsafe { run_all(gradients) };
    }
}

//! Convolutions on their own: the first and last of the model, and the projections of latents.

use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::grid::{Grid, Map};
use crate::groups::Groups;
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights;
use crate::parallel::{Shared, enter, for_jobs};
use crate::precision::Precision;
use crate::scratch::Scratch;
use crate::sizes::{check_images, product};
use crate::weight_gradient::WeightGradient;
use std::ops::Range;

/// The shape of a convolution with zero padding and stride 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    /// 1 or 3.
    pub kernel: usize,
}

impl Conv {
    /// Pixels of the batch.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn pixels(&self) -> usize {
        product(&[self.batch, self.height, self.width])
    }

    /// Length of the weights.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn weight_length(&self) -> usize {
        product(&[self.kernel, self.kernel, self.c_in, self.c_out])
    }

    /// Multiplications and additions of a forward pass; each gradient takes as many.
    pub fn operations(&self) -> usize {
        (2 * self.pixels()).saturating_mul(self.weight_length())
    }

    fn plain(&self) -> Grid {
        Grid::plain(self.batch, self.height, self.width)
    }

    /// The state and the prior's features, see [`forward_onto`].
    fn state_and_features(&self, x: &[f32], p: &[f32]) -> (Map, Map) {
        check_length("x", x.len(), self.pixels() * self.c_out);
        let channels = p.len().checked_div(self.pixels()).unwrap_or(self.c_out);
        check_length("p", p.len(), self.pixels() * channels.max(self.c_out));
        let map = |buffer, channels| Map::of(buffer, self.plain(), channels, Precision::Fp32);
        (map(x, self.c_out), map(p, channels))
    }

    fn check(&self, x: usize, weights: usize) {
        let kernel = self.kernel;
        assert!(kernel == 1 || kernel == 3, "kernel is 1 or 3, not {kernel}");
        let most = self.c_in.max(self.c_out);
        check_images(self.batch, self.height, self.width, most);
        check_length("x", x, self.pixels() * self.c_in);
        check_length("weights", weights, self.weight_length());
    }

    /// A buffer as the convolution reads it: itself, or a copy in `room` with a clear border.
    fn bordered(&self, buffer: &[f32], channels: usize, room: &mut Option<Scratch>) -> Map {
        let plain = self.plain();
        let grid = Grid::bordered(self.kernel, self.batch, self.height, self.width);
        if grid.is_plain() {
            return Map::of(buffer, plain, channels, Precision::Fp32);
        }
        let room = room.insert(Scratch::take(grid.places() * channels));
        let map = Map::new(room, grid, channels, Precision::Fp32);
        let line = self.width * channels;
        // SAFETY: nobody else uses the new buffer, and rows lie within it.
        unsafe {
            map.clear_border();
            for (row, from) in buffer.chunks_exact(line).enumerate() {
                let to = map.pixel(row * self.width);
                to.copy_from_nonoverlapping(from.as_ptr(), line);
            }
        }
        map
    }
}

/// Computes `y` `[batch, height, width, c_out]` from `x` `[batch, height, width, c_in]`,
/// `weights` `[kernel, kernel, c_in, c_out]` and `bias` `[c_out]`.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn forward(shape: &Conv, x: &[f32], weights: &[f32], bias: &[f32], y: &mut [f32]) {
    shape.check(x.len(), weights.len());
    check_length("bias", bias.len(), shape.c_out);
    check_length("y", y.len(), shape.pixels() * shape.c_out);
    if shape.pixels() == 0 {
        return;
    }
    let to = Map::new(y, shape.plain(), shape.c_out, Precision::Fp32);
    // SAFETY: all lengths were checked, and nobody else uses what is borrowed mutably.
    unsafe { run(shape, x, weights, bias, Finish::Store { to, add: None }) };
}

/// What a stochastic layer does to the state, into new memory, which need not be cleared: the
/// convolution of the latents `z`, plus `x` `[batch, height, width, c_out]`, plus the last
/// `c_out` channels of `p` `[batch, height, width, .. + c_out]`, the prior's features.
///
/// # Panics
/// If a slice does not have the length that the shape says, or `p` has too few channels.
pub fn forward_onto(
    shape: &Conv,
    z: &[f32],
    weights: &[f32],
    bias: &[f32],
    (x, p): (&[f32], &[f32]),
) -> Vec<f32> {
    let mut y = Blank::new(x.len());
    let (x, p) = shape.state_and_features(x, p);
    // SAFETY: every pixel of `y` is written.
    unsafe {
        run_onto(shape, z, weights, bias, Map { at: y.at(), ..x }, (x, p));
        y.written()
    }
}

/// [`forward_onto`] in the place of `x`.
///
/// # Panics
/// If a slice does not have the length that the shape says, or `p` has too few channels.
pub fn forward_onto_in_place(
    shape: &Conv,
    z: &[f32],
    weights: &[f32],
    bias: &[f32],
    (x, p): (&mut [f32], &[f32]),
) {
    let at = Shared(x.as_mut_ptr());
    let (x, p) = shape.state_and_features(x, p);
    let x = Map { at, ..x };
    // SAFETY: nobody else uses `x`, of which only the numbers are read in whose place is written.
    unsafe { run_onto(shape, z, weights, bias, x, (x, p)) };
}

/// Checks the other inputs and computes all pixels.
///
/// # Safety
/// The buffers must be alive, `to` used by nobody else, but that it may be `x`.
unsafe fn run_onto(
    shape: &Conv,
    z: &[f32],
    weights: &[f32],
    bias: &[f32],
    to: Map,
    (x, p): (Map, Map),
) {
    shape.check(z.len(), weights.len());
    check_length("bias", bias.len(), shape.c_out);
    if shape.pixels() > 0 {
        // SAFETY: promised by the caller, the rest was checked.
        unsafe { run(shape, z, weights, bias, Finish::StoreOnto { to, x, p }) };
    }
}

/// The convolution of all pixels, of which there are some.
///
/// # Safety
/// Lengths must have been checked; the buffers of `finish` must be alive and of the same pixels,
/// the one that is written used by nobody else, but that it may be what is added to it.
unsafe fn run(shape: &Conv, x: &[f32], weights: &[f32], bias: &[f32], finish: Finish) {
    enter(shape.operations(), || {
        let mut room = None;
        let from = shape.bordered(x, shape.c_in, &mut room);
        let rows = shape.kernel * shape.kernel * shape.c_in;
        let weights = Weights::forward(weights, rows, shape.c_out, shape.pixels());
        let layer = Layer {
            source: Source::Map(from),
            segments: from.grid.segments(shape.kernel, shape.c_in),
            precision: Precision::Fp32,
            weights: &weights,
            bias: Some(bias),
            outputs: shape.c_out,
            finish,
        };
        // SAFETY: promised by the caller, the border is clear.
        unsafe { layer.run(shape.pixels()) };
    });
}

/// Computes the gradients with respect to `x` (if asked), `weights` and `bias` from the
/// gradient `dy` with respect to the output. Results are overwritten, not added to.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn backward(
    shape: &Conv,
    x: &[f32],
    weights: &[f32],
    dy: &[f32],
    dx: Option<&mut [f32]>,
    dweights: &mut [f32],
    dbias: &mut [f32],
) {
    shape.check(x.len(), weights.len());
    check_length("dy", dy.len(), shape.pixels() * shape.c_out);
    check_length("dweights", dweights.len(), shape.weight_length());
    check_length("dbias", dbias.len(), shape.c_out);
    if shape.leaves_gradients() {
        dweights.fill(0.0);
        dbias.fill(0.0);
    }
    if let Some(dx) = &dx {
        check_length("dx", dx.len(), shape.pixels() * shape.c_in);
    }
    if shape.pixels() == 0 {
        return;
    }
    let dx = dx.map(|dx| Shared(dx.as_mut_ptr()));
    let to = [dweights, dbias].map(|to| Shared(to.as_mut_ptr()));
    enter(2 * shape.operations(), || {
        let taps = shape.kernel * shape.kernel;
        let turned = Weights::transposed(weights, taps, shape.c_in, shape.c_out, shape.c_in);
        let lengths = [shape.weight_length(), shape.c_out];
        // SAFETY: all buffers were checked and are distinct; groups have images and sums of their own.
        unsafe {
            shape
                .groups()
                .sum(lengths, to, 2 * shape.operations(), |images, to| {
                    let part = Conv {
                        batch: images.len(),
                        ..*shape
                    };
                    let area = shape.height * shape.width;
                    let pixels = images.start * area..images.end * area;
                    part.weight_gradient(
                        rows(x, &pixels, shape.c_in),
                        rows(dy, &pixels, shape.c_out),
                        to,
                    );
                    if let Some(dx) = dx {
                        part.data_gradient(
                            &turned,
                            rows(dy, &pixels, shape.c_out),
                            Shared(dx.after(pixels.start * shape.c_in)),
                        );
                    }
                });
        }
    });
}

/// The numbers of some pixels.
fn rows<'a>(buffer: &'a [f32], pixels: &Range<usize>, channels: usize) -> &'a [f32] {
    &buffer[pixels.start * channels..pixels.end * channels]
}

impl Conv {
    /// Whether nothing contributes to some gradients.
    fn leaves_gradients(&self) -> bool {
        let border = Grid::border_for(self.kernel, self.height, self.width);
        self.c_in == 0 || self.pixels() == 0 || (self.kernel == 3 && border == 0)
    }

    /// Groups of images for the gradients of weights and bias.
    fn groups(&self) -> Groups {
        if self.leaves_gradients() {
            return Groups::one(self.batch);
        }
        let numbers = 2 * self.c_in + self.c_out;
        Groups::new(self.batch, 4 * numbers * self.height * self.width)
    }

    /// The gradients with respect to weights and bias.
    ///
    /// # Safety
    /// There must be room for both, used by nobody else.
    unsafe fn weight_gradient(&self, x: &[f32], dy: &[f32], [weights, bias]: [Shared; 2]) {
        let mut room = None;
        let from = self.bordered(x, self.c_in, &mut room);
        let gradient = WeightGradient {
            source: Source::Map(from),
            segments: from.grid.segments(self.kernel, self.c_in),
            slope: Map::of(dy, self.plain(), self.c_out, Precision::Fp32),
            weights,
            bias: Some(bias),
        };
        // SAFETY: promised by the caller, the border is clear.
        unsafe { for_jobs(&[gradient.job()]) };
    }

    /// The gradient with respect to `x`; `weights` as [`Weights::transposed`] makes them.
    ///
    /// # Safety
    /// There must be room for it, used by nobody else.
    unsafe fn data_gradient(&self, weights: &Weights, dy: &[f32], dx: Shared) {
        let mut room = None;
        let from = self.bordered(dy, self.c_out, &mut room);
        let layer = Layer {
            source: Source::Map(from),
            segments: from.grid.segments(self.kernel, self.c_out),
            precision: Precision::Fp32,
            weights,
            bias: None,
            outputs: self.c_in,
            finish: Finish::Store {
                to: Map {
                    at: dx,
                    grid: self.plain(),
                    channels: self.c_in,
                    precision: Precision::Fp32,
                },
                add: None,
            },
        };
        // SAFETY: promised by the caller, the border is clear.
        unsafe { layer.run(self.pixels()) };
    }
}

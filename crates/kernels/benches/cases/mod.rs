//! Cells with batch normalisation at the shapes of a decoder and an encoder for 32x32 images: what the
//! benchmark and the example `cells` measure.

use vdvae_kernels::batch_norm::{Norm, Statistics};
use vdvae_kernels::inverted::{self, Inverted};
use vdvae_kernels::residual::{self, Residual};
use vdvae_kernels::squeeze::Squeeze;

/// Batch, side of the input, channels of the input, between the 1x1 convolutions and of the output, and
/// whether sides are doubled.
const INVERTED: [(usize, usize, [usize; 3], bool); 5] = [
    (2, 16, [256, 1536, 256], false),
    (8, 16, [256, 1536, 256], false),
    (2, 16, [256, 768, 128], true),
    (8, 16, [256, 768, 128], true),
    (8, 32, [128, 384, 128], false),
];

/// Batch, side and channels of the input, channels of the output, stride.
const RESIDUAL: [(usize, usize, usize, usize, usize); 4] = [
    (2, 16, 256, 256, 1),
    (8, 16, 256, 256, 1),
    (8, 32, 128, 128, 1),
    (8, 32, 128, 256, 2),
];

/// Pseudo-random numbers in -scale..scale.
fn numbers(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..count).map(|_| next()).collect()
}

/// A cell with numbers for everything.
pub struct Case {
    pub name: String,
    cell: Cell,
    x: Vec<f32>,
    skip: Vec<f32>,
    ones: Vec<f32>,
    small: Vec<f32>,
    weights: Vec<Vec<f32>>,
}

enum Cell {
    Inverted(Inverted),
    Residual(Residual),
}

/// What a forward pass of training leaves.
pub enum Saved {
    Inverted(inverted::Saved),
    Residual(residual::Saved),
}

pub fn all() -> Vec<Case> {
    let inverted = INVERTED
        .into_iter()
        .map(|(batch, side, [c_in, mid, c_out], upsample)| {
            let shape = Inverted {
                batch,
                height: side,
                width: side,
                c_in,
                expanded: mid,
                c_out,
                squeezed: c_out / 16,
                kernel: 5,
                upsample,
                epsilon: 1e-5,
                scale: 0.1,
            };
            let out = side * if upsample { 2 } else { 1 };
            let name =
                format!("inverted B{batch} {side}x{side} {c_in}-{mid}-{c_out} to {out}x{out}");
            let weights = [c_in * mid, 25 * mid, mid * c_out];
            Case::new(
                name,
                Cell::Inverted(shape),
                [batch, side, c_in, out, c_out],
                &weights,
            )
        });
    let residual = RESIDUAL
        .into_iter()
        .map(|(batch, side, c_in, c_out, stride)| {
            let shape = Residual {
                batch,
                height: side,
                width: side,
                c_in,
                c_out,
                squeezed: c_out / 16,
                stride,
                epsilon: 1e-5,
                scale: 0.1,
            };
            let out = side / stride;
            let name = format!("residual B{batch} {side}x{side} {c_in}-{c_out} to {out}x{out}");
            let weights = [9 * c_in * c_out, 9 * c_out * c_out];
            Case::new(
                name,
                Cell::Residual(shape),
                [batch, side, c_in, out, c_out],
                &weights,
            )
        });
    inverted.chain(residual).collect()
}

impl Case {
    fn new(
        name: String,
        cell: Cell,
        [batch, side, c_in, side_out, c_out]: [usize; 5],
        weights: &[usize],
    ) -> Self {
        let widest = 1536;
        let squeeze = c_out * (c_out / 16);
        let lengths = weights.iter().copied().chain([squeeze, squeeze]);
        Self {
            name,
            cell,
            x: numbers(batch * side * side * c_in, 1.0),
            skip: numbers(batch * side_out * side_out * c_out, 1.0),
            ones: vec![1.0; widest],
            small: numbers(widest, 0.1),
            weights: lengths.map(|n| numbers(n, 0.1)).collect(),
        }
    }

    fn norm(&self, channels: usize) -> Norm<'_> {
        Norm {
            gamma: &self.ones[..channels],
            beta: &self.small[..channels],
        }
    }

    fn squeeze(&self, channels: usize) -> Squeeze<'_> {
        let [.., w1, w2] = &self.weights[..] else {
            unreachable!("every cell has them")
        };
        Squeeze {
            w1,
            b1: &self.small[..channels / 16],
            w2,
            b2: &self.small[..channels],
        }
    }

    fn inverted(&self, shape: &Inverted) -> inverted::Weights<'_> {
        let channels = [shape.c_in, shape.expanded, shape.expanded, shape.c_out];
        inverted::Weights {
            norms: channels.map(|n| self.norm(n)),
            expand: &self.weights[0],
            depthwise: &self.weights[1],
            project: &self.weights[2],
            squeeze: self.squeeze(shape.c_out),
        }
    }

    fn residual(&self, shape: &Residual) -> residual::Weights<'_> {
        residual::Weights {
            norms: [shape.c_in, shape.c_out].map(|n| self.norm(n)),
            convolutions: [&self.weights[0], &self.weights[1]],
            biases: [&self.small[..shape.c_out]; 2],
            squeeze: self.squeeze(shape.c_out),
        }
    }

    pub fn forward(&self) -> (Vec<f32>, Saved) {
        let (x, skip) = (&self.x, &self.skip);
        match &self.cell {
            Cell::Inverted(shape) => {
                let (y, saved) = inverted::forward_new(shape, x, skip, &self.inverted(shape));
                (y, Saved::Inverted(saved))
            }
            Cell::Residual(shape) => {
                let (y, saved) = residual::forward_new(shape, x, skip, &self.residual(shape));
                (y, Saved::Residual(saved))
            }
        }
    }

    pub fn backward(&self, saved: &Saved, dy: &[f32]) {
        let (x, others) = (&self.x, [None; 2]);
        match (&self.cell, saved) {
            (Cell::Inverted(shape), Saved::Inverted(saved)) => {
                inverted::backward_new(shape, x, &self.inverted(shape), saved, dy, others);
            }
            (Cell::Residual(shape), Saved::Residual(saved)) => {
                residual::backward_new(shape, x, &self.residual(shape), saved, dy, others);
            }
            _ => unreachable!("saved by another cell"),
        }
    }

    pub fn evaluation(&self, saved: &Saved) -> Vec<f32> {
        let (x, skip) = (&self.x, &self.skip);
        match (&self.cell, saved) {
            (Cell::Inverted(shape), Saved::Inverted(saved)) => {
                let statistics: &[Statistics; 4] = saved.statistics();
                inverted::evaluate(shape, x, skip, &self.inverted(shape), statistics)
            }
            (Cell::Residual(shape), Saved::Residual(saved)) => {
                let statistics: &[Statistics; 2] = saved.statistics();
                residual::evaluate(shape, x, skip, &self.residual(shape), statistics)
            }
            _ => unreachable!("saved by another cell"),
        }
    }

    /// Operations of a forward pass that cannot be done without: minimal filtering takes a quarter of those
    /// of direct 3x3 convolutions.
    pub fn operations(&self) -> usize {
        match &self.cell {
            Cell::Inverted(shape) => shape.operations(),
            Cell::Residual(shape) => shape.operations() / 4,
        }
    }

    /// Bytes that a forward pass of training must move: inputs, outputs, what is kept, and weights.
    pub fn bytes(&self) -> usize {
        let weights: usize = self.weights.iter().map(Vec::len).sum();
        let kept = match &self.cell {
            Cell::Inverted(s) => s.batch * s.height * s.width * s.expanded + self.skip.len(),
            Cell::Residual(_) => 2 * self.skip.len(),
        };
        size_of::<f32>() * (self.x.len() + 2 * self.skip.len() + kept + weights)
    }
}

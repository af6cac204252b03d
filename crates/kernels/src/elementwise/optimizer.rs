//! The update of the weights, and the norm that decides about it.

use super::{CHUNK, WORTH_A_THREAD, expect_len};
use crate::detect::{Kernel, dispatch};
use crate::simd::Simd;
use rayon::prelude::*;

/// What one step of AdamW or Adam with decoupled weight decay, and of the moving average, needs to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the mean square; [`adam`] adds it before the root.
    pub epsilon: f64,
    /// Share of the weights, per unit of learning rate, that decays.
    pub weight_decay: f64,
    /// Updates taken, this one included: 1 at the first.
    pub step: u32,
    /// Factor on the gradient: below 1 where its norm is clipped.
    pub grad_scale: f64,
    /// Share of the moving average that stays.
    pub ema_rate: f64,
}

/// The slices of one parameter tensor, all of its length.
#[derive(Debug)]
pub struct AdamWTensor<'a> {
    /// Weights.
    pub param: &'a mut [f32],
    /// Their gradient.
    pub grad: &'a [f32],
    /// Mean of the gradients.
    pub m: &'a mut [f32],
    /// Mean of their squares.
    pub v: &'a mut [f32],
    /// Moving average of the weights.
    pub ema: &'a mut [f32],
}

/// One step, in one pass over memory:
/// `m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// param = param (1 - rate decay) - rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon);
/// ema = ema_rate ema + (1 - ema_rate) param`.
///
/// # Panics
/// If the lengths do not agree.
pub fn adamw(tensor: AdamWTensor, rule: &AdamW) {
    step::<false>(tensor, rule);
}

/// [`adamw`] with epsilon inside of the root, as Salimans et al. (ICLR 2017) published it with PixelCNN++:
/// `param = param (1 - rate decay) - rate / (1 - beta1^t) m / sqrt(v / (1 - beta2^t) + epsilon)`.
///
/// # Panics
/// If the lengths do not agree.
pub fn adam(tensor: AdamWTensor, rule: &AdamW) {
    step::<true>(tensor, rule);
}

/// `INSIDE`: epsilon is added before the root.
fn step<const INSIDE: bool>(tensor: AdamWTensor, rule: &AdamW) {
    let AdamWTensor {
        param,
        grad,
        m,
        v,
        ema,
    } = tensor;
    expect_len("gradient", grad.len(), param.len());
    expect_len("mean of the gradients", m.len(), param.len());
    expect_len("mean of the squares", v.len(), param.len());
    expect_len("moving average", ema.len(), param.len());
    let factors = Factors::new(rule);
    let update = |param, grad, m, v, ema| {
        let tensor = AdamWTensor {
            param,
            grad,
            m,
            v,
            ema,
        };
        dispatch(Update::<INSIDE> { tensor, factors });
    };
    if param.len() < WORTH_A_THREAD {
        update(param, grad, m, v, ema);
    } else {
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        let weights = param.par_chunks_mut(CHUNK).zip(ema.par_chunks_mut(CHUNK));
        let all = weights.zip(moments).zip(grad.par_chunks(CHUNK));
        all.for_each(|(((param, ema), (m, v)), grad)| update(param, grad, m, v, ema));
    }
}

/// The numbers of a rule as the kernel multiplies with them, rounded once from f64.
#[derive(Clone, Copy)]
struct Factors {
    grad_scale: f32,
    keep_weight: f32,
    add_mean: f32,
    keep_square: f32,
    add_square: f32,
    square_correction: f32,
    root_correction: f32,
    epsilon: f32,
    step_size: f32,
    keep_ema: f32,
    add_ema: f32,
}

impl Factors {
    fn new(rule: &AdamW) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(rule.step));
        Self {
            grad_scale: rule.grad_scale as f32,
            keep_weight: (1.0 - rule.learning_rate * rule.weight_decay) as f32,
            add_mean: (1.0 - rule.beta1) as f32,
            keep_square: rule.beta2 as f32,
            add_square: (1.0 - rule.beta2) as f32,
            square_correction: correction(rule.beta2) as f32,
            root_correction: correction(rule.beta2).sqrt() as f32,
            epsilon: rule.epsilon as f32,
            step_size: (rule.learning_rate / correction(rule.beta1)) as f32,
            keep_ema: rule.ema_rate as f32,
            add_ema: (1.0 - rule.ema_rate) as f32,
        }
    }
}

struct Update<'a, const INSIDE: bool> {
    tensor: AdamWTensor<'a>,
    factors: Factors,
}

impl<const INSIDE: bool> Kernel for Update<'_, INSIDE> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AdamWTensor {
            param,
            grad,
            m,
            v,
            ema,
        } = self.tensor;
        let f = self.factors;
        for i in (0..param.len()).step_by(S::LANES) {
            let g = s.mul(s.load_partial(&grad[i..]), s.splat(f.grad_scale));
            let mean = s.load_partial(&m[i..]);
            let mean = s.fma(s.sub(g, mean), s.splat(f.add_mean), mean);
            let square = s.mul(s.load_partial(&v[i..]), s.splat(f.keep_square));
            let square = s.fma(s.mul(g, g), s.splat(f.add_square), square);
            let epsilon = s.splat(f.epsilon);
            let root = if INSIDE {
                s.sqrt(s.add(s.div(square, s.splat(f.square_correction)), epsilon))
            } else {
                s.add(s.div(s.sqrt(square), s.splat(f.root_correction)), epsilon)
            };
            let quotient = s.div(mean, root);
            let weight = s.mul(s.load_partial(&param[i..]), s.splat(f.keep_weight));
            let weight = s.fnma(s.splat(f.step_size), quotient, weight);
            let average = s.mul(s.load_partial(&ema[i..]), s.splat(f.keep_ema));
            let average = s.fma(weight, s.splat(f.add_ema), average);
            s.store_partial(&mut m[i..], mean);
            s.store_partial(&mut v[i..], square);
            s.store_partial(&mut param[i..], weight);
            s.store_partial(&mut ema[i..], average);
        }
    }
}

/// Sum of the squares, in double precision, over chunks of fixed size: the same for any number
/// of threads and any instruction set.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    if x.len() < WORTH_A_THREAD {
        x.chunks(CHUNK).map(|x| dispatch(SumOfSquares(x))).sum()
    } else {
        let chunks = x.par_chunks(CHUNK);
        let sums: Vec<f64> = chunks.map(|x| dispatch(SumOfSquares(x))).collect();
        sums.iter().sum()
    }
}

struct SumOfSquares<'a>(&'a [f32]);

impl Kernel for SumOfSquares<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        // Sixteen sums, whatever the instruction set; the compiler vectorises the inner loop.
        let mut sums = super::LaneSums::default();
        let (blocks, rest) = self.0.as_chunks::<16>();
        for block in blocks {
            for (sum, &x) in sums.0.iter_mut().zip(block) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        for (sum, &x) in sums.0.iter_mut().zip(rest) {
            *sum += f64::from(x) * f64::from(x);
        }
        sums.total()
    }
}

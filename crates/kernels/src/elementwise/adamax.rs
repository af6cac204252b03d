//! The update of the weights by Adamax.

use super::expect_len;
use crate::detect::{Kernel, dispatch};
use crate::parallel::{Shared, enter, for_ranges};
use crate::simd::Simd;

/// What one step of Adamax with L2 decay needs to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamax {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of their largest value.
    pub beta2: f64,
    /// Added to the absolute value of a gradient.
    pub epsilon: f64,
    /// Share of the weights that is added to the gradient.
    pub weight_decay: f64,
    /// Updates taken, this one included: 1 at the first.
    pub step: u32,
    /// Factor on the gradient, before the decay is added.
    pub grad_scale: f64,
    /// Share of the moving average that stays.
    pub ema_rate: f64,
}

/// The slices of one parameter tensor, all of its length.
#[derive(Debug)]
pub struct AdamaxTensor<'a> {
    /// Weights.
    pub param: &'a mut [f32],
    /// Their gradient.
    pub grad: &'a [f32],
    /// Mean of the gradients.
    pub m: &'a mut [f32],
    /// Their largest absolute value, which decays.
    pub u: &'a mut [f32],
    /// Moving average of the weights, if there is one.
    pub ema: Option<&'a mut [f32]>,
}

/// One step, in one pass over memory:
/// `g = grad_scale g + decay param; m = beta1 m + (1 - beta1) g; u = max(beta2 u, |g| + epsilon);
/// param = param - rate / (1 - beta1^t) m / u; ema = ema_rate ema + (1 - ema_rate) param`.
///
/// # Panics
/// If the lengths do not agree.
pub fn adamax(tensor: AdamaxTensor, rule: &Adamax) {
    /// Operations that moving a number takes as long as.
    const OPERATIONS: usize = 8;
    let AdamaxTensor {
        param,
        grad,
        m,
        u,
        ema,
    } = tensor;
    expect_len("gradient", grad.len(), param.len());
    expect_len("mean of the gradients", m.len(), param.len());
    expect_len("largest gradients", u.len(), param.len());
    if let Some(ema) = &ema {
        expect_len("moving average", ema.len(), param.len());
    }
    let correction = 1.0 - rule.beta1.powf(f64::from(rule.step));
    let factors = Factors {
        grad_scale: rule.grad_scale as f32,
        decay: rule.weight_decay as f32,
        add_mean: (1.0 - rule.beta1) as f32,
        keep_largest: rule.beta2 as f32,
        epsilon: rule.epsilon as f32,
        step_size: (rule.learning_rate / correction) as f32,
        keep_ema: rule.ema_rate as f32,
        add_ema: (1.0 - rule.ema_rate) as f32,
    };
    let length = param.len();
    let [param, m, u] = [param, m, u].map(|values| Shared(values.as_mut_ptr()));
    let ema = ema.map(|values| Shared(values.as_mut_ptr()));
    enter(OPERATIONS * length, || {
        for_ranges(length, super::CHUNK, OPERATIONS * length, |range| {
            // SAFETY: lengths were checked; ranges are disjoint.
            let part = |of: Shared| unsafe {
                std::slice::from_raw_parts_mut(of.after(range.start), range.len())
            };
            let tensor = AdamaxTensor {
                param: part(param),
                grad: &grad[range.clone()],
                m: part(m),
                u: part(u),
                ema: ema.map(part),
            };
            dispatch(Update { tensor, factors });
        });
    });
}

/// The numbers of a rule as the kernel multiplies with them, rounded once from f64.
#[derive(Clone, Copy)]
struct Factors {
    grad_scale: f32,
    decay: f32,
    add_mean: f32,
    keep_largest: f32,
    epsilon: f32,
    step_size: f32,
    keep_ema: f32,
    add_ema: f32,
}

struct Update<'a> {
    tensor: AdamaxTensor<'a>,
    factors: Factors,
}

impl Kernel for Update<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AdamaxTensor {
            param,
            grad,
            m,
            u,
            mut ema,
        } = self.tensor;
        let f = self.factors;
        for i in (0..param.len()).step_by(S::LANES) {
            let weight = s.load_partial(&param[i..]);
            let g = s.mul(s.load_partial(&grad[i..]), s.splat(f.grad_scale));
            let g = s.fma(weight, s.splat(f.decay), g);
            let mean = s.load_partial(&m[i..]);
            let mean = s.fma(s.sub(g, mean), s.splat(f.add_mean), mean);
            let kept = s.mul(s.load_partial(&u[i..]), s.splat(f.keep_largest));
            let largest = s.max(kept, s.add(s.abs(g), s.splat(f.epsilon)));
            let weight = s.fnma(s.splat(f.step_size), s.div(mean, largest), weight);
            s.store_partial(&mut m[i..], mean);
            s.store_partial(&mut u[i..], largest);
            s.store_partial(&mut param[i..], weight);
            if let Some(ema) = &mut ema {
                let average = s.mul(s.load_partial(&ema[i..]), s.splat(f.keep_ema));
                let average = s.fma(weight, s.splat(f.add_ema), average);
                s.store_partial(&mut ema[i..], average);
            }
        }
    }
}

//! The optimizer's arithmetic: one pass over a parameter tensor, its moments and its average.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::elementwise::optimizer::{AdamWTensor, adamw as fused_adamw};

pub use vdvae_kernels::elementwise::optimizer::AdamW;

use super::fused::{host_slice, is_cpu};
use super::profile::{Work, timed};

/// What the optimizer keeps for a parameter tensor, flattened in the order of memory, `[n]` each.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Moving average of the gradients.
    pub first: Tensor<1>,
    /// Moving average of their squares.
    pub second: Tensor<1>,
    /// Exponential moving average of the weights.
    pub average: Tensor<1>,
}

impl Moments {
    /// The start: no moments yet, the average equal to the `weights`, `[n]`.
    pub fn new(weights: Tensor<1>) -> Self {
        let zeros = Tensor::zeros_like(&weights);
        Self {
            first: zeros.clone(),
            second: zeros,
            // A buffer of its own: the update works in place.
            average: weights + 0.0,
        }
    }
}

/// AdamW with decoupled decay (Loshchilov and Hutter, ICLR 2019), then the moving average of the
/// weights: returns the new weights, `[n]`. None of the tensors is tracked.
pub fn adamw(
    rule: &AdamW,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut Moments,
) -> Tensor<1> {
    if !is_cpu(&parameter.device()) {
        return composed::adamw(rule, parameter, gradient, moments);
    }
    // Taking the only handle lets the update happen in place.
    let nothing = || Tensor::<1>::empty([0], &burn::tensor::Device::flex());
    let take = |tensor: &mut Tensor<1>| primitive(std::mem::replace(tensor, nothing()));
    let mut first = take(&mut moments.first);
    let mut second = take(&mut moments.second);
    let mut average = take(&mut moments.average);
    let mut parameter = primitive(parameter);
    let gradient = primitive(gradient);
    let tensor = AdamWTensor {
        param: parameter.storage_mut(),
        grad: host_slice(&gradient),
        m: first.storage_mut(),
        v: second.storage_mut(),
        ema: average.storage_mut(),
    };
    // Five tensors are read, four of them written.
    let numbers = 9 * tensor.grad.len();
    timed(
        |_| Work::moving("adamw", numbers),
        || fused_adamw(tensor, rule),
    );
    let wrap = Tensor::from_primitive::<Flex>;
    *moments = Moments {
        first: wrap(first),
        second: wrap(second),
        average: wrap(average),
    };
    wrap(parameter)
}

/// Sum of squares of all elements, the same for any number of threads.
pub fn sum_of_squares(tensor: Tensor<1>) -> f64 {
    if is_cpu(&tensor.device()) {
        let tensor = primitive(tensor);
        let values = host_slice(&tensor);
        let sum = || vdvae_kernels::elementwise::optimizer::sum_of_squares(values);
        timed(|_| Work::moving("sum of squares", values.len()), sum)
    } else {
        f64::from((tensor.clone() * tensor).sum().into_scalar::<f32>())
    }
}

fn primitive(tensor: Tensor<1>) -> FlexTensor {
    let tensor = tensor.try_into_primitive::<Flex>();
    let tensor = tensor.expect("a tensor of the CPU that is not tracked");
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

pub(super) mod composed {
    use super::*;

    /// [`super::adamw`] of Burn's operations.
    pub fn adamw(
        rule: &AdamW,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut Moments,
    ) -> Tensor<1> {
        let gradient = gradient * rule.grad_scale;
        let blend = |old: Tensor<1>, new: Tensor<1>, rate: f64| old * rate + new * (1.0 - rate);
        let first = blend(moments.first.clone(), gradient.clone(), rule.beta1);
        let second = blend(
            moments.second.clone(),
            gradient.clone() * gradient,
            rule.beta2,
        );
        let step = rule.step as i32;
        let root = second.clone().sqrt() / (1.0 - rule.beta2.powi(step)).sqrt() + rule.epsilon;
        let rate = rule.learning_rate / (1.0 - rule.beta1.powi(step));
        let decayed = parameter * (1.0 - rule.learning_rate * rule.weight_decay);
        let parameter = decayed - first.clone() / root * rate;
        let average = blend(moments.average.clone(), parameter.clone(), rule.ema_rate);
        *moments = Moments {
            first,
            second,
            average,
        };
        parameter
    }
}

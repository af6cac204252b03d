//! The optimizer's arithmetic: one pass over a parameter tensor, its moments and its average.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use vdvae_kernels::elementwise::adamax::{Adamax, AdamaxTensor, adamax as fused_adamax};
use vdvae_kernels::elementwise::optimizer::{
    AdamWTensor, adam as fused_adam, adamw as fused_adamw,
};

pub use vdvae_kernels::elementwise::optimizer::AdamW;

use super::fused::{host_slice, is_cpu};
use super::profile::{Work, timed};
use super::total::sum_per_image;

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

/// A rule by which weights follow their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Decoupled weight decay, epsilon added to the root of the second moment (Loshchilov and Hutter, ICLR
    /// 2019).
    #[default]
    AdamW,
    /// The second moment is the largest gradient of late; weight decay is added to the gradient, epsilon to
    /// its absolute value (Kingma and Ba, ICLR 2015, section 7.1, as PyTorch has it).
    Adamax,
    /// Epsilon is inside of the root of the second moment (as published with PixelCNN++, Salimans et al., ICLR
    /// 2017, where nothing decays); weight decay is decoupled.
    Adam,
}

/// One update by an [`Optimizer`]; the fields are those of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "see there")]
pub struct Rule {
    pub optimizer: Optimizer,
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    pub step: u32,
    pub grad_scale: f64,
    pub ema_rate: f64,
}

/// An update of a tensor of weights, then the moving average: returns the new weights, `[n]`. None of the
/// tensors is tracked.
pub fn update(
    rule: &Rule,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut Moments,
) -> Tensor<1> {
    match rule.optimizer {
        Optimizer::AdamW => adamw(&rule.as_adamw(), parameter, gradient, moments),
        Optimizer::Adam => adam(&rule.as_adamw(), parameter, gradient, moments),
        Optimizer::Adamax => adamax(rule, parameter, gradient, moments),
    }
}

impl Rule {
    /// Without the optimizer's name.
    pub fn as_adamw(&self) -> AdamW {
        AdamW {
            learning_rate: self.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            step: self.step,
            grad_scale: self.grad_scale,
            ema_rate: self.ema_rate,
        }
    }
}

/// [`Optimizer::Adamax`], then the moving average of the weights: returns the new weights, `[n]`. None of the
/// tensors is tracked.
fn adamax(
    rule: &Rule,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut Moments,
) -> Tensor<1> {
    if !is_cpu(&parameter.device()) {
        return composed::adamax(rule, parameter, gradient, moments);
    }
    let rule = Adamax {
        learning_rate: rule.learning_rate,
        beta1: rule.beta1,
        beta2: rule.beta2,
        epsilon: rule.epsilon,
        weight_decay: rule.weight_decay,
        step: rule.step,
        grad_scale: rule.grad_scale,
        ema_rate: rule.ema_rate,
    };
    in_place(parameter, gradient, moments, "adamax", |places| {
        let Places {
            param,
            grad,
            first,
            second,
            average,
        } = places;
        let tensor = AdamaxTensor {
            param,
            grad,
            m: first,
            u: second,
            ema: Some(average),
        };
        fused_adamax(tensor, &rule);
    })
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
    in_place(parameter, gradient, moments, "adamw", |places| {
        fused_adamw(places.of_adamw(), rule);
    })
}

/// [`Optimizer::Adam`], then the moving average of the weights: returns the new weights, `[n]`. None of the
/// tensors is tracked.
fn adam(
    rule: &AdamW,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut Moments,
) -> Tensor<1> {
    if !is_cpu(&parameter.device()) {
        return composed::adam(rule, parameter, gradient, moments);
    }
    in_place(parameter, gradient, moments, "adam", |places| {
        fused_adam(places.of_adamw(), rule);
    })
}

/// What an update reads and writes, all of one length.
struct Places<'a> {
    param: &'a mut [f32],
    grad: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    average: &'a mut [f32],
}

impl<'a> Places<'a> {
    fn of_adamw(self) -> AdamWTensor<'a> {
        AdamWTensor {
            param: self.param,
            grad: self.grad,
            m: self.first,
            v: self.second,
            ema: self.average,
        }
    }
}

/// Runs an update in the memory of tensors on the CPU.
fn in_place(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut Moments,
    name: &'static str,
    update: impl FnOnce(Places),
) -> Tensor<1> {
    // Taking the only handle lets the update happen in place.
    let nothing = || Tensor::<1>::empty([0], &burn::tensor::Device::flex());
    let take = |tensor: &mut Tensor<1>| primitive(std::mem::replace(tensor, nothing()));
    let mut first = take(&mut moments.first);
    let mut second = take(&mut moments.second);
    let mut average = take(&mut moments.average);
    let mut parameter = primitive(parameter);
    let gradient = primitive(gradient);
    let places = Places {
        param: parameter.storage_mut(),
        grad: host_slice(&gradient),
        first: first.storage_mut(),
        second: second.storage_mut(),
        average: average.storage_mut(),
    };
    // Five tensors are read, four of them written.
    let numbers = 9 * places.grad.len();
    timed(|_| Work::moving(name, numbers), || update(places));
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
        let squares = (tensor.clone() * tensor).unsqueeze::<2>();
        f64::from(sum_per_image(squares).into_scalar::<f32>())
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

    /// [`super::Optimizer::Adamax`] of Burn's operations.
    pub fn adamax(
        rule: &Rule,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut Moments,
    ) -> Tensor<1> {
        let blend = |old: Tensor<1>, new: Tensor<1>, rate: f64| old * rate + new * (1.0 - rate);
        let gradient = gradient * rule.grad_scale + parameter.clone() * rule.weight_decay;
        let first = blend(moments.first.clone(), gradient.clone(), rule.beta1);
        let decayed = moments.second.clone() * rule.beta2;
        let second = decayed.max_pair(gradient.abs() + rule.epsilon);
        let rate = rule.learning_rate / (1.0 - rule.beta1.powi(rule.step as i32));
        let parameter = parameter - first.clone() / second.clone() * rate;
        let average = blend(moments.average.clone(), parameter.clone(), rule.ema_rate);
        *moments = Moments {
            first,
            second,
            average,
        };
        parameter
    }

    /// [`super::adamw`] of Burn's operations.
    pub fn adamw(
        rule: &AdamW,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut Moments,
    ) -> Tensor<1> {
        let correction = (1.0 - rule.beta2.powi(rule.step as i32)).sqrt();
        let root = |second: Tensor<1>| second.sqrt() / correction + rule.epsilon;
        step(rule, parameter, gradient, moments, root)
    }

    /// [`super::Optimizer::Adam`] of Burn's operations.
    pub fn adam(
        rule: &AdamW,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut Moments,
    ) -> Tensor<1> {
        let correction = 1.0 - rule.beta2.powi(rule.step as i32);
        let root = |second: Tensor<1>| (second / correction + rule.epsilon).sqrt();
        step(rule, parameter, gradient, moments, root)
    }

    /// `root` is what the mean of the gradients is divided by, of that of their squares.
    fn step(
        rule: &AdamW,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut Moments,
        root: impl Fn(Tensor<1>) -> Tensor<1>,
    ) -> Tensor<1> {
        let gradient = gradient * rule.grad_scale;
        let blend = |old: Tensor<1>, new: Tensor<1>, rate: f64| old * rate + new * (1.0 - rate);
        let first = blend(moments.first.clone(), gradient.clone(), rule.beta1);
        let second = blend(
            moments.second.clone(),
            gradient.clone() * gradient,
            rule.beta2,
        );
        let rate = rule.learning_rate / (1.0 - rule.beta1.powi(rule.step as i32));
        let decayed = parameter * (1.0 - rule.learning_rate * rule.weight_decay);
        let parameter = decayed - first.clone() / root(second.clone()) * rate;
        let average = blend(moments.average.clone(), parameter.clone(), rule.ema_rate);
        *moments = Moments {
            first,
            second,
            average,
        };
        parameter
    }
}

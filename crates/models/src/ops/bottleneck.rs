//! The bottleneck block: gelu, 1x1, gelu, 3x3, gelu, 3x3, gelu, 1x1 as one operation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchTensor, Flex};
use burn::tensor::Tensor;
use vdvae_kernels::bottleneck::{
    Bottleneck, Draw, Gradients, Hidden, LaidOut, Weights, backward_new, forward_in_place,
    forward_new,
};

use super::fused::{
    CpuOperation, apply, bytes, contiguous, host, host_slice, is_autodiff, is_cpu, is_plain, plain,
    tensor,
};
use super::precision::Dtype;
use super::profile::{Work, timed};
use super::sum::whole;

/// The four convolutions of a bottleneck, (weight [k, k, in, out], bias `[out]`) each.
pub type BottleneckWeights = [(Tensor<4>, Tensor<1>); 4];

/// How a bottleneck is computed; no choice changes what it computes but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compute {
    /// What the factors of its products are rounded to; on the CPU those of 3x3 convolutions only where
    /// that is faster (see [`Bottleneck::precisions`]).
    pub dtype: Dtype,
    /// Keep only the inputs for the backward pass, and compute what lies between once more.
    pub checkpoint_activations: bool,
    /// Keep weights in the layout that the kernels want, from call to call: for weights that do not
    /// change, where no gradients are wanted. Takes up to four times the memory of the weights.
    pub keep_laid_out: bool,
}

/// Where a bottleneck keeps its weights in the kernels' layout, see [`Compute::keep_laid_out`].
#[derive(Clone, Debug, Default)]
pub struct KeptWeights(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    /// What was laid out. Holding these tensors keeps others from changing or freeing their numbers, so
    /// that a weight at the same place is the same weight.
    weights: [FlexTensor; 8],
    laid_out: Arc<LaidOut>,
}

impl Kept {
    fn is_of(&self, shape: &Bottleneck, weights: &[FlexTensor; 8]) -> bool {
        let places = |weights: &[FlexTensor; 8]| weights.each_ref().map(|w| host_slice(w).as_ptr());
        places(&self.weights) == places(weights) && self.laid_out.suits(shape)
    }
}

impl KeptWeights {
    /// The weights of a block, laid out now or before; `None` where that does not pay.
    fn laid_out(&self, shape: &Bottleneck, weights: &[FlexTensor; 8]) -> Option<Arc<LaidOut>> {
        /// Pixels from which on laying out weights takes about a hundredth of the time, or less.
        const MANY_PIXELS: usize = 1 << 14;
        if shape.pixels() >= MANY_PIXELS {
            return None;
        }
        if let Some(kept) = &*self.lock()
            && kept.is_of(shape, weights)
        {
            return Some(Arc::clone(&kept.laid_out));
        }
        // Without the lock: a thread that waits for others may take up work that wants it.
        let slices = weights.each_ref().map(host_slice);
        let laid_out = Arc::new(LaidOut::new(shape, &parameters(slices, None)));
        *self.lock() = Some(Kept {
            weights: weights.clone(),
            laid_out: Arc::clone(&laid_out),
        });
        Some(laid_out)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `c4(gelu(c3(gelu(c2(gelu(c1(gelu(x))))))))`, plus x if `residual`.
///
/// x is [B, H, W, C], with the channels of `activation`, if given, appended to its own; returns
/// [B, H, W, C_out]. The gelu is the exact one.
pub fn bottleneck(
    x: Tensor<4>,
    activation: Option<Tensor<4>>,
    weights: BottleneckWeights,
    residual: bool,
    compute: Compute,
    kept: &KeptWeights,
) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::bottleneck(x, activation, weights, residual, compute.dtype);
    }
    let c_act = activation.as_ref().map_or(0, |a| a.dims()[3]);
    let shape = block_shape(x.dims(), c_act, &weights, residual, compute);
    let weights = in_order(weights);
    let laid_out = laid_out(&shape, &weights, compute, kept);
    let [w1, b1, w2, b2, w3, b3, w4, b4] = weights;
    let x = x.into_dispatch();
    let operation = Block {
        shape,
        checkpoint_activations: compute.checkpoint_activations,
        laid_out,
    };
    match activation {
        None => apply(operation, [x, w1, b1, w2, b2, w3, b3, w4, b4]),
        Some(a) => apply(
            operation,
            [x, w1, b1, w2, b2, w3, b3, w4, b4, a.into_dispatch()],
        ),
    }
}

/// The shape of a block that reads `[B, H, W, C]` and so many channels of an activation.
fn block_shape(
    [batch, height, width, c_x]: [usize; 4],
    c_act: usize,
    weights: &BottleneckWeights,
    residual: bool,
    compute: Compute,
) -> Bottleneck {
    let [kernel, _, _, mid] = weights[1].0.dims();
    Bottleneck {
        batch,
        height,
        width,
        c_x,
        c_act,
        mid,
        c_out: weights[3].1.dims()[0],
        kernel,
        residual,
        precision: compute.dtype.into(),
    }
}

/// Weight, bias, weight and so on.
fn in_order(weights: BottleneckWeights) -> [DispatchTensor; 8] {
    let [(w1, b1), (w2, b2), (w3, b3), (w4, b4)] = weights;
    let [w1, w2, w3, w4] = [w1, w2, w3, w4].map(Tensor::into_dispatch);
    let [b1, b2, b3, b4] = [b1, b2, b3, b4].map(Tensor::into_dispatch);
    [w1, b1, w2, b2, w3, b3, w4, b4]
}

/// The weights in the kernels' layout, where they are to be kept so and no gradients are wanted.
fn laid_out(
    shape: &Bottleneck,
    weights: &[DispatchTensor; 8],
    compute: Compute,
    kept: &KeptWeights,
) -> Option<Arc<LaidOut>> {
    if !compute.keep_laid_out || weights.iter().any(is_autodiff) {
        return None;
    }
    let weights = weights.clone().map(|weight| contiguous(plain(weight)));
    kept.laid_out(shape, &weights)
}

/// Whether [`add_drawn`] can be computed of these: on the CPU, where no gradients are wanted.
pub fn draws_in_one(x: &Tensor<4>, posterior: Option<&Tensor<4>>, noise: &Tensor<4>) -> bool {
    is_plain(x) && posterior.is_none_or(is_plain) && is_plain(noise)
}

/// What a stochastic layer does to the state `x` [B, H, W, C] where its latents are drawn, as one
/// operation: `weights` are those of the prior's bottleneck, from C to 2Z + C channels; the latents are
/// mean + exp(log sigma) * noise, with `noise` [B, H, W, Z] and the Gaussian of the `posterior`
/// [B, H, W, 2Z], or of the prior where there is none; `projection` their 1x1 convolution to the state.
///
/// Returns what [`add_latents`](super::add_latents) would, and the KL divergence of the posterior from the
/// prior in nats per image, `[B]`: the same bits as from the operations one by one.
///
/// # Panics
/// If [`draws_in_one`] is false, or gradients of the weights are wanted.
pub fn add_drawn(
    x: Tensor<4>,
    posterior: Option<Tensor<4>>,
    noise: Tensor<4>,
    weights: BottleneckWeights,
    projection: (Tensor<4>, Tensor<1>),
    compute: Compute,
    kept: &KeptWeights,
) -> (Tensor<4>, Option<Tensor<1>>) {
    let shape = block_shape(x.dims(), 0, &weights, false, compute);
    let [batch, _, _, channels] = noise.dims();
    let weights = in_order(weights);
    let laid_out = laid_out(&shape, &weights, compute, kept);
    let weights = weights.map(|weight| contiguous(plain(weight)));
    let (projection, bias) = projection;
    let (noise, projection, bias) = (host(noise), host(projection), host(bias));
    let posterior = posterior.map(host);
    let draw = Draw {
        channels,
        posterior: posterior.as_ref().map(host_slice),
        noise: host_slice(&noise),
        weights: host_slice(&projection),
        bias: host_slice(&bias),
    };
    let weights = parameters(weights.each_ref().map(host_slice), laid_out.as_deref());
    // Of the state's memory, which is more likely in a cache than new memory; a copy where others hold it.
    let mut x = whole(plain(x.into_dispatch()));
    let read = [&x, &x, &noise, &projection].into_iter().chain(&posterior);
    let read = read.map(host_slice);
    let work = Work {
        name: format!("prior and draw {}x{}", shape.height, shape.width),
        operations: shape.operations_with_draw(channels) as f64,
        bytes: bytes(read) + bytes([weights.w1, weights.w2, weights.w3, weights.w4]),
    };
    let kl = timed(
        |_| work,
        || vdvae_kernels::bottleneck::add_drawn(&shape, x.storage_mut(), &weights, &draw),
    );
    let kl = kl.map(|kl| Tensor::from_primitive::<Flex>(tensor(kl, vec![batch])));
    (Tensor::from_primitive::<Flex>(x), kl)
}

#[derive(Clone, Debug)]
struct Block {
    shape: Bottleneck,
    checkpoint_activations: bool,
    laid_out: Option<Arc<LaidOut>>,
}

/// Places of the inputs other than weights.
const X: usize = 0;
const ACTIVATION: usize = 9;

/// N = 9: x and the weights; N = 10: the encoder's activation too.
impl<const N: usize> CpuOperation<N> for Block {
    /// Nothing with `checkpoint_activations`.
    type Saved = Option<Hidden>;

    fn name(&self) -> String {
        format!("bottleneck {}x{}", self.shape.height, self.shape.width)
    }

    fn operations(&self) -> usize {
        self.shape.operations()
    }

    fn output_shape(&self) -> Vec<usize> {
        let shape = &self.shape;
        vec![shape.batch, shape.height, shape.width, shape.c_out]
    }

    fn forward(&self, inputs: [&[f32]; N], saved: Option<&mut Option<Option<Hidden>>>) -> Vec<f32> {
        let keep = saved.is_some() && !self.checkpoint_activations;
        let (x, activation, weights) = split(&inputs, self.laid_out.as_deref());
        let (y, hidden) = forward_new(&self.shape, x, activation, &weights, keep);
        saved.map(|saved| saved.insert(hidden));
        y
    }

    fn works_in_place(&self) -> bool {
        self.shape.residual
    }

    fn forward_in_place(&self, x: &mut [f32], inputs: [&[f32]; N]) {
        let (_, activation, weights) = split(&inputs, self.laid_out.as_deref());
        forward_in_place(&self.shape, x, activation, &weights);
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        hidden: &Option<Hidden>,
        gradient: &[f32],
        _: [bool; N],
        earlier: &mut [Option<FlexTensor>; N],
    ) -> [Option<Vec<f32>>; N] {
        let (x, activation, weights) = split(&inputs, None);
        let again = hidden
            .is_none()
            .then(|| forward_new(&self.shape, x, activation, &weights, true).1)
            .flatten();
        let hidden = hidden.as_ref().or(again.as_ref());
        let others = [
            earlier[X].take(),
            earlier.get_mut(ACTIVATION).and_then(Option::take),
        ];
        let (dx, dactivation, gradients) = backward_new(
            &self.shape,
            x,
            activation,
            &weights,
            hidden.expect("kept, or computed again"),
            gradient,
            [others[0].as_ref(), others[1].as_ref()].map(|other| other.map(host_slice)),
        );
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
        let mut results = [
            Some(dx),
            Some(w1),
            Some(b1),
            Some(w2),
            Some(b2),
            Some(w3),
            Some(b3),
            Some(w4),
            Some(b4),
            dactivation,
        ]
        .into_iter();
        std::array::from_fn(|_| results.next().flatten())
    }
}

fn split<'a>(
    inputs: &[&'a [f32]],
    laid_out: Option<&'a LaidOut>,
) -> (&'a [f32], Option<&'a [f32]>, Weights<'a>) {
    let &[x, w1, b1, w2, b2, w3, b3, w4, b4, ..] = inputs else {
        unreachable!("a bottleneck has nine or ten inputs")
    };
    (
        x,
        inputs.get(ACTIVATION).copied(),
        parameters([w1, b1, w2, b2, w3, b3, w4, b4], laid_out),
    )
}

fn parameters<'a>(
    [w1, b1, w2, b2, w3, b3, w4, b4]: [&'a [f32]; 8],
    laid_out: Option<&'a LaidOut>,
) -> Weights<'a> {
    Weights {
        w1,
        b1,
        w2,
        b2,
        w3,
        b3,
        w4,
        b4,
        laid_out,
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::FloatDType;
    use burn::tensor::activation::gelu;

    use crate::ops::composed::conv;

    /// [`super::bottleneck`] of Burn's operations; all factors are rounded to `dtype`.
    pub fn bottleneck(
        x: Tensor<4>,
        activation: Option<Tensor<4>>,
        weights: BottleneckWeights,
        residual: bool,
        dtype: Dtype,
    ) -> Tensor<4> {
        let h = match activation {
            Some(activation) => Tensor::cat(vec![x.clone(), activation], 3),
            None => x.clone(),
        };
        let h = weights.into_iter().fold(h, |h, (weight, bias)| {
            conv(round(gelu(h), dtype), round(weight, dtype), bias)
        });
        if residual { x + h } else { h }
    }

    /// To the nearest number of the type, held in fp32.
    fn round(factor: Tensor<4>, dtype: Dtype) -> Tensor<4> {
        match dtype {
            Dtype::Fp32 => factor,
            Dtype::Bf16 => factor.cast(FloatDType::BF16).cast(FloatDType::F32),
        }
    }
}

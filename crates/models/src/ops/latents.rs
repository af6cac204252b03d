//! Diagonal Gaussians: drawing latents, and what they cost.

use std::sync::{Arc, OnceLock};

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::activation::Activation;
use vdvae_kernels::conv::{self, Conv};
use vdvae_kernels::elementwise::{clamp, features, latents};
use vdvae_kernels::window::backward_new;

pub use vdvae_kernels::elementwise::clamp::SoftClamp;

use super::fused::{CpuOperation, apply, host, host_slice, is_cpu, is_plain, tensor};
use super::profile::{Work, timed};
use super::sum::whole;
use super::total::sum_per_image;

/// z = mean + exp(log sigma) * eps, where the first Z channels of `gaussian` [B, H, W, >= 2Z] are the
/// mean, the next Z log sigma; `eps` [B, H, W, Z] is a constant.
pub fn draw(gaussian: Tensor<4>, eps: Tensor<4>) -> Tensor<4> {
    if !is_plain(&gaussian) || !is_plain(&eps) {
        return composed::draw(gaussian, eps);
    }
    let shape = eps.dims();
    let (gaussian, eps) = (host(gaussian), host(eps));
    let mut z = vec![0.0; host_slice(&eps).len()];
    timed(
        |()| Work::moving("draw", 4 * host_slice(&eps).len()),
        || latents::draw(shape[3], host_slice(&gaussian), host_slice(&eps), &mut z),
    );
    Tensor::from_primitive::<Flex>(tensor(z, shape.to_vec()))
}

/// Means and log sigmas of a Gaussian from `raw` [B, H, W, 2Z], both softly clamped, and sigma above a least one
/// (NVAE, section 3.2 and the published code).
pub fn soft_clamp(raw: Tensor<4>, clamp: SoftClamp) -> Tensor<4> {
    if !is_cpu(&raw.device()) {
        return composed::soft_clamp(raw, clamp);
    }
    let shape = raw.dims();
    apply(Clamped { shape, clamp }, [raw.into_dispatch()])
}

/// KL divergence from the prior to the posterior in nats per image, `[B]`: the sum over pixels and
/// channels. `posterior` is [B, H, W, 2Z]; `prior` [B, H, W, >= 2Z], the rest being ignored.
pub fn gaussian_kl(posterior: Tensor<4>, prior: Tensor<4>) -> Tensor<1> {
    if !is_plain(&prior) || !is_plain(&posterior) {
        return composed::gaussian_kl(posterior, prior);
    }
    let [batch, _, _, channels] = posterior.dims();
    let (q, p) = (host(posterior), host(prior));
    let (q, p) = (host_slice(&q), host_slice(&p));
    let mut kl = vec![0.0; batch];
    timed(
        |()| Work::moving("kl", 2 * q.len()),
        || latents::kl(channels / 2, q, p, &mut kl),
    );
    Tensor::from_primitive::<Flex>(tensor(kl, vec![batch]))
}

/// A draw from the posterior and its KL divergence from the prior in one pass, forward and backward:
/// [`draw`], [B, H, W, Z], and [`gaussian_kl`], `[B]`. `eps` is a constant: it gets no gradient.
pub fn draw_with_kl(
    posterior: Tensor<4>,
    prior: Tensor<4>,
    eps: Tensor<4>,
) -> (Tensor<4>, Tensor<1>) {
    if !is_cpu(&prior.device()) {
        let z = composed::draw(posterior.clone(), eps);
        return (z, composed::gaussian_kl(posterior, prior));
    }
    let divergence = Divergence::default();
    let draw = DrawWithKl {
        shape: eps.dims(),
        divergence: divergence.clone(),
    };
    let z = apply(
        draw,
        [posterior, prior, eps].map(Tensor::<4>::into_dispatch),
    );
    let kl = apply(divergence, [z.clone().into_dispatch()]);
    (z, kl)
}

/// [`gaussian_kl`] of each latent variable, in nats, [B, H, W, Z]. Not made for training.
pub fn gaussian_kl_per_element(posterior: Tensor<4>, prior: Tensor<4>) -> Tensor<4> {
    if !is_plain(&prior) || !is_plain(&posterior) {
        return composed::gaussian_kl_per_element(posterior, prior);
    }
    let [batch, height, width, channels] = posterior.dims();
    let shape = [batch, height, width, channels / 2];
    let (q, p) = (host(posterior), host(prior));
    let (q, p) = (host_slice(&q), host_slice(&p));
    let mut kl = vec![0.0; q.len() / 2];
    latents::kl_per_element(shape[3], q, p, &mut kl);
    Tensor::from_primitive::<Flex>(tensor(kl, shape.to_vec()))
}

/// Logarithm of the density of `gaussian` [B, R, R, 2Z...] at `z`, for each latent variable, [B, R, R, Z].
pub fn gaussian_log_density(gaussian: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
    let zdim = z.dims()[3];
    let mean = gaussian.clone().narrow(3, 0, zdim);
    let log_sigma = gaussian.narrow(3, zdim, zdim);
    let standardised = (z - mean) * log_sigma.clone().neg().exp();
    let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
    standardised.clone() * standardised * -0.5 - log_sigma - half_log_tau
}

/// ln q(z) - ln p(z) in nats per image, `[B]`, at the latents `z` [B, H, W, Z]: what
/// [`gaussian_kl`] is the expectation of. Tensors as there.
pub fn gaussian_log_ratio(posterior: Tensor<4>, prior: Tensor<4>, z: Tensor<4>) -> Tensor<1> {
    let zdim = z.dims()[3];
    let (qm, qv) = (
        posterior.clone().narrow(3, 0, zdim),
        posterior.narrow(3, zdim, zdim),
    );
    let (pm, pv) = (
        prior.clone().narrow(3, 0, zdim),
        prior.narrow(3, zdim, zdim),
    );
    let from_posterior = (z.clone() - qm) * qv.clone().neg().exp();
    let from_prior = (z - pm) * pv.clone().neg().exp();
    sum_per_image(pv - qv + (from_prior.square() - from_posterior.square()) * 0.5)
}

/// What a stochastic layer does to the state: `x` [B, H, W, C] plus the last C channels of `prior`
/// [B, H, W, 2Z + C], the features that the prior passes on, plus the convolution of the latents `z`
/// [B, H, W, Z] with `weight` [k, k, Z, C] and `bias` `[C]`.
pub fn add_latents(
    x: Tensor<4>,
    prior: Tensor<4>,
    z: Tensor<4>,
    (weight, bias): (Tensor<4>, Tensor<1>),
) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::add_latents(x, prior, z, (weight, bias));
    }
    let [batch, height, width, c_in] = z.dims();
    let [kernel, _, _, c_out] = weight.dims();
    let projection = Conv {
        batch,
        height,
        width,
        c_in,
        c_out,
        kernel,
    };
    let [x, prior, z] = [x, prior, z].map(Tensor::into_dispatch);
    apply(
        AddLatents { projection },
        [x, prior, z, weight.into_dispatch(), bias.into_dispatch()],
    )
}

#[derive(Clone, Debug)]
struct Clamped {
    shape: [usize; 4],
    clamp: SoftClamp,
}

impl CpuOperation<1> for Clamped {
    type Saved = ();

    fn name(&self) -> String {
        "soft clamp".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn forward(&self, [raw]: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        let mut out = vec![0.0; raw.len()];
        clamp::soft_clamp(&self.clamp, self.shape[3] / 2, raw, &mut out);
        saved.map(|saved| saved.insert(()));
        out
    }

    fn backward(
        &self,
        [raw]: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let mut draw = vec![0.0; raw.len()];
        clamp::soft_clamp_backward(&self.clamp, self.shape[3] / 2, raw, gradient, &mut draw);
        [Some(draw)]
    }
}

/// Inputs: posterior, prior, noise. The output is z; the divergence is its child in Burn's graph, where a
/// node has one output, and by that its gradient is known before that of z is asked for.
#[derive(Clone, Debug)]
struct DrawWithKl {
    /// [B, H, W, Z].
    shape: [usize; 4],
    divergence: Divergence,
}

/// The KL divergence that was computed with a draw; its input is the draw.
#[derive(Clone, Debug, Default)]
struct Divergence {
    /// Nats per image, `[B]`.
    kl: Arc<OnceLock<Vec<f32>>>,
    /// With respect to them, once known.
    gradient: Arc<OnceLock<Vec<f32>>>,
}

impl CpuOperation<3> for DrawWithKl {
    type Saved = ();

    fn name(&self) -> String {
        "draw with kl".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn forward(&self, [q, p, eps]: [&[f32]; 3], saved: Option<&mut Option<()>>) -> Vec<f32> {
        let [batch, .., zdim] = self.shape;
        let (mut z, mut kl) = (vec![0.0; eps.len()], vec![0.0; batch]);
        latents::draw_with_kl(zdim, (q, p), eps, &mut z, &mut kl);
        self.divergence.kl.get_or_init(|| kl);
        saved.map(|saved| saved.insert(()));
        z
    }

    fn backward(
        &self,
        [q, p, eps]: [&[f32]; 3],
        _: &(),
        gradient: &[f32],
        _: [bool; 3],
        [_, earlier, _]: &mut [Option<FlexTensor>; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let [batch, .., zdim] = self.shape;
        let dkl = self.divergence.gradient.get_or_init(|| vec![0.0; batch]);
        let outputs = (gradient, &dkl[..]);
        let mut dq = vec![0.0; q.len()];
        if let Some(sum) = earlier.take() {
            // The prior's features, most of its channels, need not be touched.
            let dp = earlier.insert(whole(sum)).storage_mut();
            latents::draw_with_kl_backward(zdim, (q, p), eps, outputs, true, (&mut dq, dp));
            return [Some(dq), None, None];
        }
        let mut dp = vec![0.0; p.len()];
        latents::draw_with_kl_backward(zdim, (q, p), eps, outputs, false, (&mut dq, &mut dp));
        [Some(dq), Some(dp), None]
    }
}

impl CpuOperation<1> for Divergence {
    type Saved = ();

    const KEEPS_INPUTS: bool = false;
    const WORKS: bool = false;

    fn name(&self) -> String {
        "kl of a draw".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.kl.get().map_or(0, Vec::len)]
    }

    fn forward(&self, _: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        self.kl.get().cloned().unwrap_or_default()
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        self.gradient.get_or_init(|| gradient.to_vec());
        [None]
    }
}

#[derive(Clone, Debug)]
struct AddLatents {
    projection: Conv,
}

impl CpuOperation<5> for AddLatents {
    type Saved = ();

    fn name(&self) -> String {
        "add latents".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        let shape = &self.projection;
        vec![shape.batch, shape.height, shape.width, shape.c_out]
    }

    fn passes_on(&self) -> [bool; 5] {
        [true, false, false, false, false]
    }

    fn forward(
        &self,
        [x, prior, z, weight, bias]: [&[f32]; 5],
        saved: Option<&mut Option<()>>,
    ) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        conv::forward_onto(&self.projection, z, weight, bias, (x, prior))
    }

    fn works_in_place(&self) -> bool {
        true
    }

    fn forward_in_place(&self, x: &mut [f32], [_, prior, z, weight, bias]: [&[f32]; 5]) {
        conv::forward_onto_in_place(&self.projection, z, weight, bias, (x, prior));
    }

    fn backward(
        &self,
        [_, prior, z, weight, _]: [&[f32]; 5],
        _: &(),
        gradient: &[f32],
        wanted: [bool; 5],
        _: &mut [Option<FlexTensor>; 5],
    ) -> [Option<Vec<f32>>; 5] {
        let Conv { c_out, .. } = self.projection;
        let pixels = self.projection.pixels();
        let offset = (prior.len() - gradient.len()) / pixels.max(1);
        let dprior = features::add_features_backward(c_out, offset, gradient);
        let window = self.projection.window(Activation::None);
        let z = (z, Activation::None.into());
        let found = backward_new(&window, z, weight, gradient, true, wanted[2], None);
        [
            None,
            Some(dprior),
            found.x,
            Some(found.weights),
            Some(found.bias),
        ]
    }
}

pub(super) mod composed {
    use super::*;
    use crate::ops::composed::conv;

    /// [`super::soft_clamp`] of Burn's operations.
    pub fn soft_clamp(raw: Tensor<4>, clamp: SoftClamp) -> Tensor<4> {
        let zdim = raw.dims()[3] / 2;
        let clamped = (raw / clamp.limit).tanh() * clamp.limit;
        let sigma = clamped.clone().narrow(3, zdim, zdim).exp() + clamp.least_sigma;
        Tensor::cat(vec![clamped.narrow(3, 0, zdim), sigma.log()], 3)
    }

    /// [`super::draw`] of Burn's operations.
    pub fn draw(gaussian: Tensor<4>, eps: Tensor<4>) -> Tensor<4> {
        let zdim = eps.dims()[3];
        let mean = gaussian.clone().narrow(3, 0, zdim);
        let log_sigma = gaussian.narrow(3, zdim, zdim);
        mean + log_sigma.exp() * eps
    }

    /// [`super::gaussian_kl`] of Burn's operations.
    pub fn gaussian_kl(posterior: Tensor<4>, prior: Tensor<4>) -> Tensor<1> {
        sum_per_image(gaussian_kl_per_element(posterior, prior))
    }

    /// [`super::gaussian_kl_per_element`] of Burn's operations.
    pub fn gaussian_kl_per_element(posterior: Tensor<4>, prior: Tensor<4>) -> Tensor<4> {
        let zdim = posterior.dims()[3] / 2;
        let (qm, qv) = (
            posterior.clone().narrow(3, 0, zdim),
            posterior.narrow(3, zdim, zdim),
        );
        let (pm, pv) = (
            prior.clone().narrow(3, 0, zdim),
            prior.narrow(3, zdim, zdim),
        );
        let difference = qm - pm;
        let spread = (qv.clone() * 2.0).exp() + difference.clone() * difference;
        (pv.clone() - qv).add_scalar(-0.5) + spread * (pv * -2.0).exp() * 0.5
    }

    /// [`super::add_latents`] of Burn's operations.
    pub fn add_latents(
        x: Tensor<4>,
        prior: Tensor<4>,
        z: Tensor<4>,
        (weight, bias): (Tensor<4>, Tensor<1>),
    ) -> Tensor<4> {
        let channels = x.dims()[3];
        let first = prior.dims()[3] - channels;
        x + prior.narrow(3, first, channels) + conv(z, weight, bias)
    }
}

//! The model: the network with its tensors, and what is measured with it.

use burn::tensor::{Device, Tensor};

use super::config::NvaeConfig;
use super::layers::{Mode, Seen};
use super::loss::{Schedule, balance};
use super::network::{Built, Group, Network};
use crate::family::{Cannot, Cost, ImageShape, Loss, Model, PosteriorLatents, Step};
use crate::hierarchy::{Activations, Hierarchy, LatentSource, Latents, StochasticLayer, TopDown};
use crate::likelihood::{Likelihood, values};
use crate::ops::{self, Compute, SoftClamp, gaussian_log_density, soft_clamp, sum_per_image};
use crate::parameters::{self, Parameters, Ranked, Specs, TensorSpec};
use crate::preprocess::Prepared;
use crate::random::{Keys, Noise, Purpose, generator};
use crate::store::Store;

/// What means and log sigmas are held to.
const CLAMP: SoftClamp = SoftClamp {
    limit: 5.0,
    least_sigma: 0.01,
};

/// A network with weights.
#[derive(Clone, Debug)]
pub struct Nvae {
    store: Store,
    network: Network,
    likelihood: Likelihood,
    image: ImageShape,
    loss_size: usize,
    schedule: Schedule,
}

/// What a pass of an image returns.
pub struct Pass {
    /// The likelihood's parameters, [B, S, S, P].
    pub logits: Tensor<4>,
    /// KL of each group, nats per image `[B]`, as [`TopDown::kl`].
    pub kl: Vec<Option<Tensor<1>>>,
    /// Sums over the groups of ln q at what was drawn and of ln p at the latents, nats per image `[B]`; only
    /// where they were asked for.
    pub log_densities: Option<[Tensor<1>; 2]>,
}

impl Nvae {
    /// A model with fresh weights, a function of `seed`. `config` was checked.
    pub fn new(config: &NvaeConfig, likelihood: Likelihood, seed: u64, device: &Device) -> Self {
        let store = Store::new(generator(seed, Purpose::Weights, 0, 0), device);
        let Built { network, store, .. } = Network::build(config, store);
        Self {
            store,
            network,
            likelihood,
            image: ImageShape {
                size: config.image_size,
                channels: config.image_channels,
            },
            loss_size: config.loss_size,
            schedule: Schedule::new(config),
        }
    }

    /// The groups, top-down.
    pub fn groups(&self) -> &[Group] {
        &self.network.groups
    }

    /// The same model with other numbers, as [`parameters::import`] has it.
    ///
    /// # Errors
    /// The first that `get` returns.
    pub fn importing<E>(
        self,
        specs: &Specs,
        get: impl FnMut(&TensorSpec) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let Self { store, .. } = self;
        let store = parameters::importing(specs, get, |each| store.map(each))?;
        Ok(Self { store, ..self })
    }

    /// The same model with the tensors of `other`, which is one of the same plan.
    pub fn with_tensors_of(self, other: &dyn Model) -> Self {
        let mut tensors = Vec::new();
        other.visit(&mut |_, tensor| tensors.push(tensor));
        let mut tensors = tensors.into_iter();
        let Self { store, .. } = self;
        let store = store.map(&mut |_, own| tensors.next().unwrap_or(own));
        Self { store, ..self }
    }

    /// Its parts.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Values of an image that count, and 1 over them: from nats per image to nats per dimension.
    fn per_dimension(&self) -> f32 {
        1.0 / (self.loss_size * self.loss_size * self.image.channels) as f32
    }

    /// Negative log-likelihood, nats per image `[B]`, of the middle of `target` [B, S, S, C].
    pub fn distortion(&self, logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let middle = |tensor: Tensor<4>| {
            let margin = (self.image.size - self.loss_size) / 2;
            if margin == 0 {
                return tensor;
            }
            let rows = tensor.narrow(1, margin, self.loss_size);
            rows.narrow(2, margin, self.loss_size)
        };
        self.likelihood
            .negative_log_likelihood(middle(logits), middle(target))
    }

    /// What the encoder tells each group.
    pub fn bottom_up(&self, input: Tensor<4>, mode: Mode, seen: &mut Seen) -> Vec<Tensor<4>> {
        let device = input.device();
        ops::awake(&device, || {
            self.network.encode(&self.store, input, mode, seen)
        })
    }

    /// The top-down pass. `weigh`: also returns the log densities.
    pub fn pass(
        &self,
        batch: usize,
        encoded: Option<&[Tensor<4>]>,
        latents: &mut dyn LatentSource,
        (mode, seen): (Mode, &mut Seen),
        weigh: bool,
    ) -> Pass {
        let mut s = self.network.start(&self.store, batch);
        let device = s.device();
        ops::awake(&device, || {
            let mut kl = Vec::with_capacity(self.network.groups.len());
            let mut log_densities: Option<[Tensor<1>; 2]> = None;
            for (layer, group) in self.network.groups.iter().enumerate() {
                for cell in &group.cells {
                    s = cell.forward(&self.store, s, mode, seen);
                }
                let encoded = encoded.map(|encoded| &encoded[layer]);
                let drawn = self.group(layer, group, &s, encoded, latents, weigh);
                s = group
                    .dec_combiner
                    .forward(&self.store, Tensor::cat(vec![s, drawn.z], 3));
                latents.see_state(layer, &s);
                if let Some(densities) = drawn.log_densities {
                    log_densities = Some(match log_densities.take() {
                        None => densities,
                        Some([q, p]) => {
                            let [more_q, more_p] = densities;
                            [q + more_q, p + more_p]
                        }
                    });
                }
                kl.push(drawn.kl);
            }
            Pass {
                logits: self.network.output(&self.store, s, mode, seen),
                kl,
                log_densities,
            }
        })
    }

    /// The latents of a group whose state is `s`.
    fn group(
        &self,
        layer: usize,
        group: &Group,
        s: &Tensor<4>,
        encoded: Option<&Tensor<4>>,
        latents: &mut dyn LatentSource,
        weigh: bool,
    ) -> DrawnGroup {
        let prior_raw = self.prior_raw(group, s);
        let posterior = encoded
            .filter(|_| latents.needs_posterior(layer))
            .map(|encoded| soft_clamp(self.posterior_raw(group, s, encoded, &prior_raw), CLAMP));
        let prior = soft_clamp(prior_raw, CLAMP);
        let [batch, height, width, _] = s.dims();
        let zdim = self.network.latent_channels;
        let from_posterior = posterior.is_some() && latents.is_from_posterior(layer);
        let shape = [batch, height, width, zdim];
        let drawn = match latents.noise(layer, shape, &s.device()) {
            Some(noise) => ops::draw(posterior.as_ref().unwrap_or(&prior).clone(), noise),
            None => latents.latent(StochasticLayer {
                layer,
                zdim,
                state: s,
                prior: &prior,
                posterior: posterior.as_ref(),
            }),
        };
        let flows = from_posterior && !group.flows.is_empty();
        let z = if flows {
            let flowed = group
                .flows
                .iter()
                .fold(drawn.clone(), |z, flow| flow.forward(&self.store, z));
            latents.see_flowed(layer, &flowed);
            flowed
        } else {
            drawn.clone()
        };
        let Some(posterior) = posterior else {
            return DrawnGroup {
                z,
                kl: None,
                log_densities: None,
            };
        };
        let densities = || {
            let q = gaussian_log_density(posterior.clone(), drawn.clone());
            [q, gaussian_log_density(prior.clone(), z.clone())]
        };
        let densities = (weigh || flows).then(densities);
        let kl = match &densities {
            // Latent by latent: the sums are much larger than their difference.
            Some([q, p]) if flows => sum_per_image(q.clone() - p.clone()),
            _ => ops::gaussian_kl(posterior, prior),
        };
        let log_densities = densities
            .filter(|_| weigh)
            .map(|both| both.map(sum_per_image));
        DrawnGroup {
            z,
            kl: Some(kl),
            log_densities,
        }
    }

    /// Parameters of the prior before they are clamped, [B, R, R, 2Z].
    fn prior_raw(&self, group: &Group, s: &Tensor<4>) -> Tensor<4> {
        match &group.dec_sampler {
            Some(conv) => conv.forward_of_elu(&self.store, s.clone()),
            None => {
                let [batch, height, width, _] = s.dims();
                let shape = [batch, height, width, 2 * self.network.latent_channels];
                Tensor::zeros(shape, &s.device())
            }
        }
    }

    /// The same of the posterior.
    fn posterior_raw(
        &self,
        group: &Group,
        s: &Tensor<4>,
        encoded: &Tensor<4>,
        prior_raw: &Tensor<4>,
    ) -> Tensor<4> {
        let h = match &group.enc_combiner {
            Some(conv) => encoded.clone() + conv.forward(&self.store, s.clone()),
            None => encoded.clone(),
        };
        let own = group.enc_sampler.forward(&self.store, h);
        if self.network.res_dist {
            own + prior_raw.clone()
        } else {
            own
        }
    }

    /// Samples are then normalised by what samples are like, not reconstructions (`--readjust_bn` of the
    /// published code): each pass is normalised by its own batch and moves the running statistics of the
    /// generative network as a step of training does.
    fn readjusted(&mut self, passes: u64, batch: usize, temperatures: &[f32], seed: u64) {
        for pass in 0..passes {
            let keys = Keys {
                seed,
                purpose: Purpose::Sample,
                // Not the noise of any sample.
                step: pass + 1,
                items: (0..batch as u64).collect(),
            };
            let latents = Latents::prior(temperatures, Noise::Keyed(keys));
            let mut seen = Seen::default();
            self.pass(batch, None, &mut &latents, (Mode::Batch, &mut seen), false);
            seen.keep(&mut self.store);
        }
    }

    /// A training pass: everything that the loss is made of.
    pub fn training(
        &mut self,
        batch: Prepared,
        latents: &mut dyn LatentSource,
        weigh: bool,
    ) -> Training {
        let images = batch.input.dims()[0];
        self.store.forget();
        let mut seen = Seen::default();
        let encoded = self.bottom_up(batch.input, Mode::Batch, &mut seen);
        let mode = (Mode::Batch, &mut seen);
        let pass = self.pass(images, Some(&encoded), latents, mode, weigh);
        let distortion = self.distortion(pass.logits.clone(), batch.target);
        let network = self.network.clone();
        let spectral = network.spectral.penalty(&mut self.store);
        let largest = network
            .gammas
            .iter()
            .map(|&gamma| self.store.get(gamma).abs().max());
        let scales = Tensor::cat(largest.collect(), 0).sum();
        seen.keep(&mut self.store);
        self.store.forget();
        Training {
            pass,
            distortion,
            spectral,
            scales,
        }
    }

    /// The loss of a training pass, where the rate has the weight `beta` and the penalties `lambda`:
    /// itself, the balanced rate of each image, and the weights of the groups.
    pub fn total(
        &self,
        training: &Training,
        beta: f64,
        lambda: f64,
    ) -> (Tensor<1>, Tensor<1>, Vec<f64>) {
        let kl: Vec<Tensor<1>> = training.pass.kl.iter().flatten().cloned().collect();
        let alphas: Vec<f64> = self
            .network
            .groups
            .iter()
            .map(|group| group.alpha)
            .collect();
        let (balanced, gammas) = balance(&kl, beta, &alphas);
        let penalties = training.spectral.clone() + training.scales.clone();
        let total = (training.distortion.clone() + balanced.clone()).mean() + penalties * lambda;
        (total, balanced, gammas)
    }
}

/// What a training pass found.
pub struct Training {
    pub pass: Pass,
    /// Nats per image, `[B]`.
    pub distortion: Tensor<1>,
    /// The sum of spectral norms, `[1]`.
    pub spectral: Tensor<1>,
    /// The sum of the largest scales of the batch norms, `[1]`.
    pub scales: Tensor<1>,
}

struct DrawnGroup {
    z: Tensor<4>,
    kl: Option<Tensor<1>>,
    log_densities: Option<[Tensor<1>; 2]>,
}

fn mean(per_image: Tensor<1>) -> f64 {
    let values = values(per_image);
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

impl Parameters for Nvae {
    fn visit(&self, each: &mut dyn FnMut(&str, Ranked)) {
        self.store.visit(each);
    }

    fn map(self: Box<Self>, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model> {
        let store = self.store.map(each);
        Box::new(Self { store, ..*self })
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

impl Model for Nvae {
    fn set_compute(&mut self, _: Compute) {
        // There is one way: the plan refuses others.
    }

    fn cost(&self, batch: Prepared, latents: PosteriorLatents) -> Cost {
        let (latents, weigh) = match latents {
            PosteriorLatents::Drawn(noise) => (Latents::posterior(noise), false),
            PosteriorLatents::Weighed(noise) => (Latents::posterior(noise), true),
            PosteriorLatents::Mean => (Latents::posterior_mean(), false),
        };
        let images = batch.input.dims()[0];
        let mut seen = Seen::default();
        let encoded = self.bottom_up(batch.input, Mode::Running, &mut seen);
        let mode = (Mode::Running, &mut seen);
        let pass = self.pass(images, Some(&encoded), &mut &latents, mode, weigh);
        let per_dimension = self.per_dimension();
        let kl = pass.kl.into_iter();
        Cost {
            distortion: self.distortion(pass.logits, batch.target) * per_dimension,
            rate_per_layer: kl.map(|kl| kl.map(|kl| kl * per_dimension)).collect(),
            log_ratio: pass.log_densities.map(|[q, p]| (q - p) * per_dimension),
        }
    }

    fn loss(&mut self, batch: Prepared, step: &Step) -> Loss {
        let latents = Latents::posterior(step.noise.clone());
        let training = self.training(batch, &mut &latents, false);
        let beta = self.schedule.beta(step.number, step.of);
        let lambda = self.schedule.lambda(beta);
        let (total, balanced, _) = self.total(&training, beta, lambda);
        let per_dimension = self.per_dimension();
        let Training {
            pass,
            distortion,
            spectral,
            scales,
        } = training;
        let kl = pass.kl.into_iter();
        Loss {
            total,
            terms: vec![
                ("beta", beta),
                ("balanced rate", mean(balanced) * f64::from(per_dimension)),
                ("spectral norms", mean(spectral)),
                ("batch-norm scales", mean(scales)),
            ],
            cost: Cost {
                distortion: distortion * per_dimension,
                rate_per_layer: kl.map(|kl| kl.map(|kl| kl * per_dimension)).collect(),
                log_ratio: None,
            },
        }
    }

    fn sample(&self, seed: u64, items: &[u64], temperatures: &[f32]) -> Vec<u8> {
        let hierarchy: &dyn Hierarchy = self;
        hierarchy.sample(seed, items, temperatures)
    }

    fn readjust(
        &mut self,
        passes: u64,
        batch: usize,
        temperatures: &[f32],
        seed: u64,
    ) -> Result<(), Cannot> {
        self.readjusted(passes, batch, temperatures, seed);
        Ok(())
    }

    fn hierarchy(&self) -> Result<&dyn Hierarchy, Cannot> {
        Ok(self)
    }
}

impl Hierarchy for Nvae {
    fn depth(&self) -> usize {
        self.network.groups.len()
    }

    fn encode(&self, input: Tensor<4>) -> Activations {
        let encoded = self.bottom_up(input, Mode::Running, &mut Seen::default());
        encoded.into_iter().enumerate().collect()
    }

    fn activation_name(&self, group: usize) -> String {
        format!("encoder_group_{group:03}")
    }

    fn top_down(
        &self,
        batch: usize,
        activations: Option<&Activations>,
        latents: &mut dyn LatentSource,
    ) -> TopDown {
        let encoded: Option<Vec<_>> = activations.map(|all| all.values().cloned().collect());
        let mut seen = Seen::default();
        let mode = (Mode::Running, &mut seen);
        let pass = self.pass(batch, encoded.as_deref(), latents, mode, false);
        TopDown {
            parameters: pass.logits,
            kl: pass.kl,
        }
    }

    fn posterior(&self, layer: usize, state: Tensor<4>, activations: &Activations) -> Tensor<4> {
        let group = &self.network.groups[layer];
        let prior = self.prior_raw(group, &state);
        soft_clamp(
            self.posterior_raw(group, &state, &activations[&layer], &prior),
            CLAMP,
        )
    }

    fn likelihood(&self) -> &Likelihood {
        &self.likelihood
    }
}

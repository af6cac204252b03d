//! The two ablations of the top-down path, against the same path composed of Burn's operations: values
//! and the gradient of every weight, and what each of them means.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor};

use super::{by_name, host, keys};
use crate::families::vdvae::config::{Upsample, VdvaeConfig};
use crate::families::vdvae::{Vdvae, VdvaePlan};
use crate::family::Plan;
use crate::hierarchy::{Activations, Hierarchy, Latents, Noise};
use crate::ops::composed;
use crate::parameters::{self, Ranked, Specs};
use crate::random::Purpose;

const BATCH: usize = 3;
const ZDIM: usize = 2;
/// Resolution, and what is mixed in, of the blocks `1x1,4m1,8m4`.
const BLOCKS: [(usize, Option<usize>); 3] = [(1, None), (4, Some(1)), (8, Some(4))];

fn config(topdown_residual: bool, upsample: Upsample) -> VdvaeConfig {
    let table = toml::toml! {
        image_size = 8
        width = 16
        zdim = 2
        enc_blocks = "8x1,8d2,4d4,1x1"
        dec_blocks = "1x1,4m1,8m4"
        num_mixtures = 2
        custom_width_str = "4:20,1:24"
    };
    VdvaeConfig {
        topdown_residual,
        upsample,
        ..table.try_into().expect("valid")
    }
}

fn plan(config: &VdvaeConfig) -> VdvaePlan {
    VdvaePlan::new(config.clone()).expect("possible")
}

fn specs(config: &VdvaeConfig) -> Specs {
    Specs::new(plan(config).tensors())
}

fn fresh(config: &VdvaeConfig, device: &Device) -> Vdvae {
    plan(config).model(5, device)
}

/// With no weight at zero: a bias or a prior at zero would hide what it multiplies.
fn stirred(config: &VdvaeConfig, device: &Device) -> Vdvae {
    let mut state = 1_u32;
    let model = fresh(config, device);
    let stirred = parameters::import_module::<_, ()>(model, &specs(config), |spec| {
        let value = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            0.6 * (state as f32 / u32::MAX as f32 - 0.5)
        };
        let count = spec.shape.iter().product::<usize>();
        Ok((0..count).map(value).collect())
    });
    stirred.expect("every weight has a value")
}

/// The decoder's weights by name, as they are in memory.
#[derive(Default)]
struct Weights {
    four: BTreeMap<String, Tensor<4>>,
    one: BTreeMap<String, Tensor<1>>,
}

impl Weights {
    /// Leaves of a graph of their own.
    fn of(model: &Vdvae) -> Self {
        let mut weights = Self::default();
        for (name, tensor) in by_name(model) {
            match tensor {
                Ranked::Four(tensor) => {
                    let leaf = tensor.detach().require_grad();
                    weights.four.insert(name, leaf);
                }
                Ranked::One(tensor) => {
                    let leaf = tensor.detach().require_grad();
                    weights.one.insert(name, leaf);
                }
                other => panic!("{name} of the shape {:?}", other.dims()),
            }
        }
        weights
    }

    /// The gradient of every weight that has one, by name.
    fn gradients(&self, of: &Gradients) -> BTreeMap<String, Vec<f32>> {
        let four = self.four.iter();
        let four = four.filter_map(|(name, t)| Some((name.clone(), host(t.grad(of)?))));
        let one = self.one.iter();
        let one = one.filter_map(|(name, t)| Some((name.clone(), host(t.grad(of)?))));
        four.chain(one).collect()
    }

    fn conv(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let weight = self.four[&format!("{name}.weight")].clone();
        composed::conv(x, weight, self.one[&format!("{name}.bias")].clone())
    }

    fn bottleneck(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        (1..=4).fold(x, |x, i| {
            let x = burn::tensor::activation::gelu(x);
            self.conv(&format!("{name}.c{i}"), x)
        })
    }

    /// The formulas of the decoder's documentation: px_z and the sum of all KL divergences.
    fn top_down(
        &self,
        config: &VdvaeConfig,
        activations: &Activations,
        noise: &[Tensor<4>],
    ) -> (Tensor<4>, Tensor<1>) {
        let mut states: BTreeMap<usize, Tensor<4>> = BTreeMap::new();
        let mut kl = Tensor::zeros([1], &activations[&8].device());
        for (i, (side, mixin)) in BLOCKS.into_iter().enumerate() {
            let name = format!("decoder.dec_blocks.{i}");
            let mut x = self.four[&format!("decoder.bias_xs.{i}")].clone();
            x = x.repeat_dim(0, BATCH);
            if let Some(lower) = mixin {
                let mut lower = states[&lower].clone();
                if config.upsample == Upsample::Conv {
                    lower = self.conv(&format!("{name}.upsample"), lower);
                }
                x = composed::upsample_add(x, lower);
            }
            let width = x.dims()[3];
            let prior = self.bottleneck(&format!("{name}.prior"), x.clone());
            let both = Tensor::cat(vec![x.clone(), activations[&side].clone()], 3);
            let posterior = self.bottleneck(&format!("{name}.enc"), both);
            kl = kl + composed::gaussian_kl(posterior.clone(), prior.clone()).sum();
            let mean = posterior.clone().narrow(3, 0, ZDIM);
            let z = mean + posterior.narrow(3, ZDIM, ZDIM).exp() * noise[i].clone();
            let features = prior.narrow(3, 2 * ZDIM, width);
            let told = features + self.conv(&format!("{name}.z_proj"), z);
            let resnet = format!("{name}.resnet");
            let state = if config.topdown_residual {
                let h = x + told;
                h.clone() + self.bottleneck(&resnet, h)
            } else {
                self.bottleneck(&resnet, told)
            };
            states.insert(side, state);
        }
        let (gain, bias) = (&self.four["decoder.gain"], &self.four["decoder.bias"]);
        (states[&8].clone() * gain.clone() + bias.clone(), kl)
    }
}

/// The gradient of every weight of a model that has one, by name.
fn gradients(model: &Vdvae, of: &Gradients) -> BTreeMap<String, Vec<f32>> {
    let one = |(name, tensor)| {
        let gradient = match tensor {
            Ranked::Four(tensor) => host(tensor.grad(of)?),
            Ranked::One(tensor) => host(tensor.grad(of)?),
            other => panic!("{name} of the shape {:?}", other.dims()),
        };
        Some((name, gradient))
    };
    by_name(model).into_iter().filter_map(one).collect()
}

/// Within 1e-4 of the norm.
#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let difference = square(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let scale = square(&mut expected.iter().copied());
    assert!(scale > 0.0, "{what}: nothing to compare");
    assert!(
        difference <= 1e-4 * scale,
        "{what}: {difference:.2e} of {scale:.2e}"
    );
}

#[test]
fn both_ablations_equal_their_formulas_and_so_do_all_gradients() {
    let device = Device::flex().autodiff();
    for (residual, upsample) in [
        (true, Upsample::Nearest),
        (false, Upsample::Nearest),
        (true, Upsample::Conv),
        (false, Upsample::Conv),
    ] {
        let config = config(residual, upsample);
        let what = |name: &str| format!("{residual} {upsample:?} {name}");
        let model = stirred(&config, &device);
        let image = keys(Purpose::Sample, BATCH).normal(0, 8, 3, &device.clone().inner());
        let image = Tensor::from_data(image.into_data(), &device);
        let activations: Activations = model.encoder().forward(image);
        let activations = activations
            .into_iter()
            .map(|(side, activation)| (side, activation.detach()))
            .collect();
        let noise: Vec<Tensor<4>> = BLOCKS
            .into_iter()
            .enumerate()
            .map(|(i, (side, _))| keys(Purpose::Training, BATCH).normal(i, side, ZDIM, &device))
            .collect();
        let latents = Latents::posterior(Noise::Given(noise.clone()));
        let output = model.decoder().forward(BATCH, Some(&activations), &latents);
        let kl = output.kl.into_iter().flatten().map(Tensor::sum);
        let kl = kl.reduce(|a, b| a + b).expect("layers");

        let weights = Weights::of(&model);
        let (px_z, expected_kl) = weights.top_down(&config, &activations, &noise);
        assert_close(
            &what("px_z"),
            &host(output.px_z.clone()),
            &host(px_z.clone()),
        );
        assert_close(&what("KL"), &host(kl.clone()), &host(expected_kl.clone()));

        let expected = (px_z.powi_scalar(2).sum() + expected_kl).backward();
        let expected = weights.gradients(&expected);
        let found = (output.px_z.powi_scalar(2).sum() + kl).backward();
        let found = gradients(&model, &found);
        let has = |part: &str| expected.keys().any(|name| name.contains(part));
        assert_eq!(has(".upsample."), upsample == Upsample::Conv);
        assert!(has("bias_xs") && has("resnet.c4"));
        assert!(expected.keys().eq(found.keys()), "{}", what("names"));
        for (name, expected) in &expected {
            assert_close(&what(name), &found[name], expected);
        }
    }
}

/// With fresh weights the prior's features are zero. A state that is added to still knows the first
/// layer's latents after the second at its resolution; one that is replaced has forgotten them.
#[test]
fn a_replaced_state_forgets_what_no_network_passes_on() {
    let device = Device::flex();
    for (residual, remembers) in [(true, true), (false, false)] {
        let mut config = config(residual, Upsample::Nearest);
        config.dec_blocks = "1x2,4m1,8m4,8x1".to_owned();
        let model = fresh(&config, &device);
        let pictures = [0.0, 1.0].map(|first| {
            let z = |(side, value)| Tensor::full([1, side, side, ZDIM], value, &device);
            let noise = [(1, first), (1, 0.3), (4, 0.3), (8, 0.3), (8, 0.3)].map(z);
            let latents = Latents::prior(&[1.0], Noise::Given(noise.to_vec()));
            host(model.decoder().forward(1, None, &latents).px_z)
        });
        assert_eq!(pictures[0] != pictures[1], remembers, "residual {residual}");
    }
}

/// The convolution that takes the first channels is what is published.
#[test]
fn learned_upsampling_can_be_the_nearest_neighbour() {
    let device = Device::flex();
    let config = config(true, Upsample::Conv);
    let learned = stirred(&config, &device);
    let specs = specs(&config);
    let exported = parameters::export(&learned, &specs);
    let learned = parameters::import_module::<_, ()>(learned, &specs, |spec| {
        let own = exported.iter().find(|tensor| tensor.name == spec.name);
        let own = own.expect("a weight of this name").values.clone();
        Ok(match (spec.name.contains(".upsample."), &*spec.shape) {
            (true, &[c_out, c_in, 1, 1]) => (0..c_out * c_in)
                .map(|at| f32::from(at / c_in == at % c_in))
                .collect(),
            (true, _) => vec![0.0; own.len()],
            (false, _) => own,
        })
    })
    .expect("every weight");
    let mut weights: BTreeMap<String, Vec<f32>> = parameters::export(&learned, &specs)
        .into_iter()
        .map(|tensor| (tensor.name, tensor.values))
        .collect();
    let config = self::config(true, Upsample::Nearest);
    let nearest = fresh(&config, &device);
    let nearest = parameters::import_module(nearest, &self::specs(&config), |spec| {
        weights.remove(&spec.name).ok_or_else(|| spec.name.clone())
    })
    .expect("the learned one has all weights and more");
    let pictures = [learned, nearest].map(|model| {
        let latents = Latents::prior(&[1.0], Noise::Keyed(keys(Purpose::Sample, BATCH)));
        let model: &dyn Hierarchy = &model;
        host(model.decode(BATCH, None, &mut &latents))
    });
    assert_close("picture", &pictures[0], &pictures[1]);
}

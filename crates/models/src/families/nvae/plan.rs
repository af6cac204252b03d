//! What follows from a configuration, without weights.

use burn::tensor::Device;

use super::Nvae;
use super::config::NvaeConfig;
use super::network::{Built, Network};
use crate::family::{
    Cannot, Coding, Exactness, ImageShape, LatentLayer, Model, ModelError, Operations, Plan,
};
use crate::likelihood::{Likelihood, LikelihoodKind};
use crate::ops::{Compute, Dmol, Dtype};
use crate::parameters::TensorSpec;
use crate::preprocess::{Normalisation, Preprocess};
use crate::store::Store;
use crate::verify::{Compared, Recording, Setting, VerifyError};

/// Values of which 254 counts as white, as the published code has it.
const UPPER_EDGE: f32 = 0.99;

/// A configuration that was found to describe a network, and what was counted of it.
#[derive(Debug)]
pub struct NvaePlan {
    config: NvaeConfig,
    tensors: Vec<TensorSpec>,
    layers: Vec<LatentLayer>,
    inference: f64,
    generation: f64,
    kept: u64,
}

impl NvaePlan {
    /// Checks a configuration.
    ///
    /// # Errors
    /// The first thing that is wrong with it: a value, what was expected and found.
    pub fn new(config: NvaeConfig) -> Result<Self, ModelError> {
        config.check()?;
        let built = Network::build(&config, Store::telling());
        let Built {
            network,
            store,
            inference,
            generation,
            kept,
        } = built;
        Ok(Self {
            config,
            tensors: store.into_specs(),
            layers: network.groups.iter().map(|group| group.shape).collect(),
            inference,
            generation,
            kept,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &NvaeConfig {
        &self.config
    }

    /// The model itself, with fresh weights.
    pub fn model(&self, seed: u64, device: &Device) -> Nvae {
        Nvae::new(&self.config, self.likelihood(), seed, device)
    }
}

impl Plan for NvaePlan {
    fn image(&self) -> ImageShape {
        ImageShape {
            size: self.config.image_size,
            channels: self.config.image_channels,
        }
    }

    fn dimensions(&self) -> usize {
        self.config.loss_size * self.config.loss_size * self.config.image_channels
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        self.tensors.clone()
    }

    fn operations(&self) -> Operations {
        let evaluation = self.inference + self.generation;
        Operations {
            sample: self.generation,
            evaluation,
            training: 3.0 * evaluation,
        }
    }

    fn activations(&self, _: bool) -> u64 {
        // Of each product its output, and what normalisation and swish make of it.
        2 * self.kept
    }

    fn exactness(&self) -> Exactness {
        Exactness::Bound
    }

    fn passes_per_sample(&self) -> u64 {
        1
    }

    fn latents(&self) -> Result<Vec<LatentLayer>, Cannot> {
        Ok(self.layers.clone())
    }

    fn coding(&self) -> Result<Coding, Cannot> {
        let flows = self.config.num_nf;
        if flows == 0 {
            return Ok(Coding::BitsBack);
        }
        Err(Cannot {
            what: "compress",
            why: format!(
                "its posteriors pass flows (model.num_nf = {flows}), whose latents cannot be popped in cells that the prior fixes"
            ),
            instead: "A model trained with model.num_nf = 0 compresses; eval tells what an archive of this one would take"
                .to_owned(),
        })
    }

    fn computes(&self, compute: &Compute) -> Result<(), Cannot> {
        if compute.checkpoint_activations {
            return Err(Cannot {
                what: "--checkpoint-activations",
                why: "statistics of batches would be counted twice where activations are computed again"
                    .to_owned(),
                instead: "Fewer images at once take less memory: --batch".to_owned(),
            });
        }
        if compute.dtype != Dtype::Fp32 {
            return Err(Cannot {
                what: "--dtype bf16",
                why: "normalised weights and batch norms of this family are computed in fp32"
                    .to_owned(),
                instead: "Leave --dtype out, or set train.dtype = \"fp32\"".to_owned(),
            });
        }
        Ok(())
    }

    fn likelihood(&self) -> Likelihood {
        match self.config.likelihood {
            LikelihoodKind::Dmol => Likelihood::Dmol(Dmol {
                mixtures: self.config.num_mixtures,
                channels: self.config.image_channels,
                bits: self.config.bits,
                upper_edge: UPPER_EDGE,
            }),
            LikelihoodKind::Bernoulli => Likelihood::Bernoulli,
        }
    }

    fn is_normalised(&self) -> bool {
        false
    }

    fn preprocess(&self, _: Option<Normalisation>) -> Preprocess {
        let low_bits = 8 - self.config.bits;
        let most = ((1_u32 << self.config.bits) - 1) as f32;
        // From 0 to 1.
        let x = move |value: u8| f32::from(value >> low_bits) / most;
        let input = move |value: u8| 2.0 * x(value) - 1.0;
        match self.config.likelihood {
            LikelihoodKind::Bernoulli => Preprocess::new(self.image(), input, x).binarized(),
            LikelihoodKind::Dmol => Preprocess::new(self.image(), input, input),
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let groups: Vec<String> = self
            .layers
            .chunk_by(|a, b| a.resolution == b.resolution)
            .map(|layers| format!("{} at {1}x{1}", layers.len(), layers[0].resolution))
            .collect();
        let mut details = vec![
            ("groups", groups.join(", ")),
            ("flows", format!("{} a group, in pairs", config.num_nf)),
        ];
        if config.loss_size != config.image_size {
            let text = format!("the middle {0}x{0} pixels", config.loss_size);
            details.push(("measured", text));
        }
        details
    }

    fn variant(&self) -> String {
        match self.config.num_nf {
            0 => String::new(),
            flows => format!("{flows} flows"),
        }
    }

    fn identity(&self) -> Vec<u8> {
        format!("\nnvae {:?}\n", self.config).into_bytes()
    }

    fn verify(
        &self,
        recording: &Recording,
        setting: &Setting,
    ) -> Result<Vec<Compared>, VerifyError> {
        super::verify::verify(self, recording, setting)
    }

    fn build(&self, seed: u64, device: &Device) -> Box<dyn Model> {
        Box::new(self.model(seed, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::nvae::config::NvaeConfig;

    fn tiny() -> NvaeConfig {
        NvaeConfig {
            image_size: 16,
            loss_size: 16,
            image_channels: 3,
            likelihood: LikelihoodKind::Dmol,
            bits: 8,
            num_mixtures: 2,
            num_channels_enc: 4,
            num_channels_dec: 4,
            num_latent_scales: 2,
            num_groups_per_scale: 2,
            num_latent_per_group: 2,
            ada_groups: true,
            min_groups_per_scale: 1,
            num_preprocess_blocks: 1,
            num_preprocess_cells: 2,
            num_postprocess_blocks: 1,
            num_postprocess_cells: 2,
            num_cell_per_cond_enc: 1,
            num_cell_per_cond_dec: 1,
            num_nf: 0,
            res_dist: true,
            use_se: true,
            weight_decay_norm: 1e-2,
            weight_decay_norm_init: 0.0,
            kl_anneal_portion: 0.3,
            kl_const_portion: 1e-4,
            kl_const_coeff: 1e-4,
        }
    }

    /// The published numbers, to the digit.
    #[test]
    fn parameters_of_the_presets() {
        let expected = [
            ("mnist", 33_363_134),
            ("cifar10", 130_852_480),
            ("celeba64", 153_281_364),
            ("imagenet32", 268_509_444),
            ("celebahq256", 330_798_664),
            ("ffhq256", 330_798_664),
        ];
        for (name, parameters) in expected {
            let presets = crate::registry::presets();
            let preset = presets
                .into_iter()
                .find(|preset| preset.path() == format!("nvae/{name}"));
            let text = preset.expect("a preset").text;
            let table: toml::Table = text.parse().expect("TOML");
            let mut model = table["model"].as_table().expect("a table").clone();
            model.remove(crate::registry::KEY);
            let plan = NvaePlan::new(crate::family::read(&model).unwrap()).unwrap();
            assert_eq!(plan.parameters(), parameters, "{name}");
        }
    }

    /// One per kind of wrong value: the message names the key.
    #[test]
    fn impossible_models_are_refused() {
        type Change = fn(&mut NvaeConfig);
        let faults: [(&str, Change); 10] = [
            ("model.image_size", |c| c.image_size = 18),
            ("model.loss_size", |c| c.loss_size = 15),
            ("model.image_channels", |c| c.image_channels = 2),
            ("model.bits", |c| c.bits = 6),
            ("model.num_groups_per_scale", |c| c.num_groups_per_scale = 0),
            ("model.num_postprocess_blocks", |c| {
                c.num_postprocess_blocks = 2
            }),
            ("model.num_channels_enc", |c| c.num_channels_enc = 5),
            ("model.num_latent_scales", |c| c.num_latent_scales = 20),
            ("model.weight_decay_norm", |c| {
                c.weight_decay_norm = f64::NAN
            }),
            ("model.kl_anneal_portion", |c| c.kl_anneal_portion = 1.5),
        ];
        assert!(NvaePlan::new(tiny()).is_ok());
        for (key, change) in faults {
            let mut config = tiny();
            change(&mut config);
            let error = NvaePlan::new(config).expect_err(key).to_string();
            assert!(error.starts_with(key) && error.contains("found"), "{error}");
        }
    }

    /// What cannot be done says why, and what works instead.
    #[test]
    fn flows_do_not_compress_and_batch_norms_are_not_computed_twice() {
        let plan = NvaePlan::new(tiny()).unwrap();
        assert_eq!(plan.coding(), Ok(Coding::BitsBack));
        let flows = NvaePlan::new(NvaeConfig {
            num_nf: 1,
            ..tiny()
        });
        let refused = flows.unwrap().coding().expect_err("flows").to_string();
        assert!(refused.contains("model.num_nf = 1") && refused.contains("model.num_nf = 0"));
        let computes = |compute| plan.computes(&compute);
        assert!(computes(Compute::default()).is_ok());
        let checkpointed = Compute {
            checkpoint_activations: true,
            ..Compute::default()
        };
        let bf16 = Compute {
            dtype: Dtype::Bf16,
            ..Compute::default()
        };
        assert!(computes(checkpointed).is_err() && computes(bf16).is_err());
    }

    /// The plan tells what the model has.
    #[test]
    fn a_plan_tells_the_tensors_of_its_model() {
        let plan = NvaePlan::new(NvaeConfig {
            num_nf: 1,
            ..tiny()
        })
        .unwrap();
        let model = plan.build(3, &Device::flex());
        let mut tensors = plan.tensors().into_iter();
        model.visit(&mut |name, tensor| {
            let spec = tensors.next().expect("as many");
            assert_eq!(
                (name, &tensor.dims()[..]),
                (&*spec.name, spec.memory_shape())
            );
        });
        assert!(tensors.next().is_none());
    }
}

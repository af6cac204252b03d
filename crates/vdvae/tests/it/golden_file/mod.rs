//! Reads the golden vectors.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use vdvae::architecture::Architecture;
use vdvae::config::{
    Config, DataConfig, Likelihood as LikelihoodKind, ModelConfig, TrainConfig, Upsample,
};
use vdvae::likelihood::Likelihood;
use vdvae::models::vdvae::Vdvae;
use vdvae::ops::DmolShape;
use vdvae::parameters;
use vdvae::preprocess::{Prepared, Preprocess};
use vdvae::random::{Keys, Purpose};

pub struct Golden {
    bytes: Vec<u8>,
    pub json: serde_json::Value,
}

/// Where the vectors are, and the published checkpoints of their models.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

impl Golden {
    pub fn open(name: &str) -> Self {
        let bytes = std::fs::read(folder().join(format!("{name}.safetensors"))).unwrap();
        let json = std::fs::read(folder().join(format!("{name}.json"))).unwrap();
        Self {
            bytes,
            json: serde_json::from_slice(&json).unwrap(),
        }
    }

    pub fn tensor(&self, key: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file
            .tensor(key)
            .unwrap_or_else(|_| panic!("no {key} among the vectors"));
        let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        (
            view.shape().to_vec(),
            view.data().chunks_exact(4).map(float).collect(),
        )
    }

    pub fn get(&self, key: &str) -> Vec<f32> {
        self.tensor(key).1
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.names()
            .into_iter()
            .filter(|name| name.starts_with(prefix))
            .map(str::to_owned)
            .collect()
    }

    pub fn number(&self, key: &str) -> f64 {
        self.json[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key} is a number"))
    }

    fn text(&self, key: &str) -> String {
        self.json[key].as_str().unwrap().to_owned()
    }

    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            image_size: self.number("image_size") as usize,
            image_channels: 3,
            width: self.number("width") as usize,
            zdim: self.number("zdim") as usize,
            bottleneck_multiple: self.number("bottleneck_multiple"),
            enc_blocks: self.text("enc_blocks"),
            dec_blocks: self.text("dec_blocks"),
            custom_width_str: self.text("custom_width_str"),
            no_bias_above: self.number("no_bias_above") as usize,
            num_mixtures: self.number("num_mixtures") as usize,
            bits: if self.json["low_bit"].as_bool().unwrap() {
                5
            } else {
                8
            },
            likelihood: LikelihoodKind::Dmol,
            topdown_residual: true,
            upsample: Upsample::Nearest,
        }
    }

    /// How the recorded steps were taken.
    pub fn train_config(&self) -> TrainConfig {
        TrainConfig {
            lr: self.number("lr"),
            wd: self.number("wd"),
            adam_beta1: self.number("adam_beta1"),
            adam_beta2: self.number("adam_beta2"),
            ema_rate: self.number("ema_rate"),
            warmup_iters: self.number("warmup_iters") as u64,
            grad_clip: self.number("train_grad_clip"),
            skip_threshold: self.number("skip_threshold"),
            ..TrainConfig::default()
        }
    }

    /// A run's configuration, with `images.npy` for data.
    pub fn run_config(&self) -> Config {
        Config {
            model: self.config(),
            data: DataConfig {
                source: "npy:images.npy".to_owned(),
                shift: Some(self.number("input_shift")),
                scale: Some(self.number("input_scale")),
                flip: false,
            },
            train: self.train_config(),
        }
    }

    /// The images and their shape, [B, S, S, 3].
    pub fn images(&self) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let images = file.tensor("images_u8").unwrap();
        (images.shape().to_vec(), images.data().to_vec())
    }

    pub fn architecture(&self) -> Architecture {
        Architecture::try_from(&self.config()).unwrap()
    }

    pub fn dmol(&self) -> DmolShape {
        match Likelihood::new(&self.config()) {
            Likelihood::Dmol(shape) => shape,
            Likelihood::Bernoulli => unreachable!("the golden models are of RGB images"),
        }
    }

    /// A model with the golden weights.
    pub fn model(&self, device: &Device) -> Vdvae {
        let likelihood = Likelihood::new(&self.config());
        let model = Vdvae::new(&self.architecture(), likelihood, 0, device);
        parameters::import(model, |name, shape| {
            let (found, values) = self.tensor(&format!("param/{name}"));
            if found == shape {
                Ok(values)
            } else {
                Err(format!("{name}: {found:?}, not {shape:?}"))
            }
        })
        .unwrap()
    }

    /// (input, target) as the vectors hold them.
    pub fn batch(&self, device: &Device) -> (Tensor<4>, Tensor<4>) {
        let tensor = |key| {
            let (shape, values) = self.tensor(key);
            let shape = <[usize; 4]>::try_from(shape).unwrap();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        (tensor("input"), tensor("target"))
    }

    /// The images through this project's preprocessing.
    pub fn prepare(&self, device: &Device) -> Prepared {
        let (_, images) = self.images();
        let config = self.config();
        let preprocess = Preprocess {
            shift: self.number("input_shift"),
            scale: self.number("input_scale"),
            bits: config.bits,
            likelihood: config.likelihood,
            image_size: config.image_size,
            image_channels: config.image_channels,
        };
        preprocess.apply(&images, &self.keys(), device)
    }

    /// Keys for what takes its noise from elsewhere.
    pub fn keys(&self) -> Keys {
        Keys {
            seed: 0,
            purpose: Purpose::Binarization,
            step: 0,
            items: Vec::new(),
        }
    }

    /// The noise of every layer, channels last.
    pub fn noise(&self, prefix: &str, device: &Device) -> Vec<Tensor<4>> {
        let layers = self.names(&format!("{prefix}/")).len();
        let noise = |layer| {
            let (shape, values) = self.tensor(&format!("{prefix}/{layer}"));
            let shape = <[usize; 4]>::try_from(shape).unwrap(); // [B, Z, R, R]
            let noise = Tensor::<4>::from_data(TensorData::new(values, shape), device);
            noise.permute([0, 2, 3, 1])
        };
        (0..layers).map(noise).collect()
    }
}

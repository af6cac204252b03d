//! Every family against numbers recorded with the published implementation: outputs, every gradient, steps
//! of training. `golden/FAMILY/NAME.safetensors` holds the numbers, `NAME.toml` the model; what is compared
//! with what, and how closely, stands in `families/FAMILY/verify.rs`, which `vdvae verify` uses too.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Deserialize;
use vdvae_models::Plan;
use vdvae_models::ops::Optimizer;
use vdvae_models::preprocess::Normalisation;
use vdvae_models::registry::{FAMILIES, ModelConfig};
use vdvae_models::step::Recipe;
use vdvae_models::verify::{Compared, Recording, Setting};

/// The part of a configuration that recordings depend on.
#[derive(Deserialize)]
struct Described {
    model: ModelConfig,
    #[serde(default)]
    data: Data,
    train: Train,
}

#[derive(Default, Deserialize)]
struct Data {
    shift: Option<f64>,
    scale: Option<f64>,
}

#[derive(Deserialize)]
struct Train {
    #[serde(default)]
    optimizer: Optimizer,
    lr: f64,
    /// What each step multiplies it by, the first one too.
    #[serde(default = "one")]
    lr_rate: f64,
    wd: f64,
    adam_beta1: f64,
    adam_beta2: f64,
    #[serde(default = "adam_eps")]
    adam_eps: f64,
    ema_rate: f64,
    warmup_iters: u64,
    grad_clip: f64,
    skip_threshold: f64,
}

fn one() -> f64 {
    1.0
}

fn adam_eps() -> f64 {
    1e-8
}

fn folder(family: &str) -> PathBuf {
    // Others may be named, such as recordings that are too large to come with the sources.
    let others = std::env::var_os("GOLDEN_FOLDER").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    others.unwrap_or_else(own).join(family)
}

fn described(path: &Path) -> (Described, Box<dyn Plan>) {
    let text = std::fs::read_to_string(path).unwrap();
    let described: Described =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let plan = described.model.plan().unwrap();
    (described, plan)
}

impl Train {
    fn recipe(&self, step: u64) -> Recipe {
        let warm = (step as f64 / self.warmup_iters.max(1) as f64).min(1.0);
        Recipe {
            optimizer: self.optimizer,
            steps: 1000,
            learning_rate: if self.warmup_iters > 0 {
                self.lr * warm
            } else {
                self.lr * self.lr_rate.powf((step + 1) as f64)
            },
            weight_decay: self.wd,
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            epsilon: self.adam_eps,
            ema_rate: self.ema_rate,
            grad_clip: self.grad_clip,
            skip_threshold: self.skip_threshold,
        }
    }
}

fn compare(recording: &Path) -> Vec<Compared> {
    let bytes = std::fs::read(recording).unwrap();
    let (Described { data, train, .. }, plan) = described(&recording.with_extension("toml"));
    let setting = Setting {
        normalisation: data
            .shift
            .zip(data.scale)
            .map(|(shift, scale)| Normalisation { shift, scale }),
        recipe: &|step| train.recipe(step),
        device: Device::flex(),
    };
    let recording = Recording::new(&bytes).unwrap();
    let compared = plan.verify(&recording, &setting).unwrap();
    // What is recorded is compared: a name that is misspelt would be left out without a word.
    let gradients = compared
        .iter()
        .filter(|c| c.quantity.starts_with("gradient of"));
    let gradients: usize = gradients.map(|c| c.tensors).sum();
    assert_eq!(gradients, recording.names("grad/").len());
    compared
}

#[test]
fn every_family_agrees_with_its_recordings() {
    for family in FAMILIES {
        let mut names: Vec<PathBuf> = std::fs::read_dir(folder(family.name()))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "safetensors")
            })
            .collect();
        names.sort();
        assert!(!names.is_empty(), "{}", family.name());
        for recording in names {
            println!("{}", recording.display());
            let compared = compare(&recording);
            for c in &compared {
                println!(
                    "  {:<28} {:>4}  {:.1e} of {:.0e}  {}",
                    c.quantity, c.tensors, c.error, c.tolerance, c.worst
                );
            }
            let wrong: Vec<_> = compared
                .iter()
                .filter(|compared| !compared.is_met())
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:#?}", recording.display());
        }
    }
}

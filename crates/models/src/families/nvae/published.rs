//! The published `checkpoint.pt`: {epoch, state_dict, optimizer, global_step, args, arch_instance, scheduler,
//! grad_scalar}.
//!
//! The state dictionary has the names of the plan. Beside them it counts the batches of every batch norm, and
//! holds the weights inside the decoder's cells under a second name, `weight_normalized`; the vectors of the
//! power iteration are not in it, as the published code draws them anew; an exported file has them beside it,
//! as `power_iteration`.

use std::collections::HashSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use toml::Table;
use vdvae_formats::torch::{Object, entries, entry};

use super::config::NvaeConfig;
use super::spectral;
use crate::family::{self, ModelError};
use crate::likelihood::LikelihoodKind;
use crate::ops::Optimizer;
use crate::parameters::{Role, TensorSpec};
use crate::published::{Argument, Entries, Expected, Parts, Published, Saved, count, integer};
use crate::store::uniform;

const WEIGHT: &str = ".weight";
const LOG_NORM: &str = ".log_weight_norm";
/// The second name of a weight that has no norm of its own.
const TWIN: &str = ".weight_normalized";
const VARIANCE: &str = ".running_var";
/// What each batch norm has beside its statistics.
const BATCHES: &str = ".num_batches_tracked";
/// The state of Adamax.
const MOMENTS: [&str; 2] = ["exp_avg", "exp_inf"];
/// The cells that models of this family have.
const CELLS: &str = "res_mbconv";

/// The vectors of the power iteration, in files that are exported: training goes on with them.
const KEPT: &str = "power_iteration";

/// The family's file.
#[derive(Debug)]
pub struct Checkpoint;

impl Published for Checkpoint {
    fn ending(&self) -> &'static str {
        "-checkpoint.pt"
    }

    fn parts<'p>(&self, root: &Entries<'p>) -> Option<Parts<'p>> {
        let part = |key| entry(root, key).filter(|value| !value.is_none());
        let weights = part("state_dict")?;
        entries(weights)?;
        let passed_over = ["scheduler", "grad_scalar"].into_iter();
        Some(Parts {
            weights,
            kept: part(KEPT),
            optimizer: part("optimizer"),
            arguments: part("args"),
            epoch: part("epoch").and_then(count),
            step: part("global_step").and_then(count),
            passed_over: passed_over.filter(|key| part(key).is_some()).collect(),
        })
    }

    fn is_beside(&self, name: &str, has: &dyn Fn(&str) -> bool) -> bool {
        let sibling = |own: &str, other: &str| {
            let stem = name.strip_suffix(own);
            stem.is_some_and(|stem| has(&format!("{stem}{other}")))
        };
        sibling(BATCHES, VARIANCE) || sibling(TWIN, WEIGHT)
    }

    fn start(&self, tensor: &TensorSpec) -> Option<Vec<f32>> {
        let elements = tensor.shape.iter().product();
        if spectral::is_first(&tensor.name) {
            let seed = Sha256::digest(tensor.name.as_bytes()).into();
            let mut generator = ChaCha8Rng::from_seed(seed);
            return Some(uniform(&mut generator, elements, 1.0));
        }
        spectral::is_second(&tensor.name).then(|| vec![0.0; elements])
    }

    fn optimizer(&self) -> (Optimizer, [&'static str; 2]) {
        (Optimizer::Adamax, MOMENTS)
    }

    fn arguments(&self, values: &Table) -> Result<Vec<Argument>, ModelError> {
        Ok(arguments(&family::read(values)?))
    }

    fn dictionary(&self, saved: &Saved<'_>) -> Object {
        let epoch = saved.steps_per_epoch.map_or(0, |steps| saved.step / steps);
        let mut arguments: Vec<(Object, Object)> = saved
            .arguments
            .iter()
            .map(|argument| (argument.name.into(), argument.object()))
            .collect();
        arguments.push(("num_total_iter".into(), integer(saved.recipe.steps)));
        if let Some(steps) = saved.steps_per_epoch {
            arguments.push(("epochs".into(), integer(saved.recipe.steps / steps)));
        }
        Object::Dict(vec![
            ("epoch".into(), integer(epoch)),
            ("state_dict".into(), state_dictionary(saved)),
            ("optimizer".into(), optimizer(saved)),
            ("global_step".into(), integer(saved.step)),
            ("args".into(), Object::Dict(arguments)),
            ("arch_instance".into(), CELLS.into()),
            ("scheduler".into(), Object::None),
            ("grad_scalar".into(), Object::None),
            (KEPT.into(), vectors(saved)),
        ])
    }
}

/// Every tensor of the module, in its order.
fn state_dictionary(saved: &Saved<'_>) -> Object {
    let names = saved.tensors.iter().map(|tensor| tensor.name.as_str());
    let names: HashSet<&str> = names.collect();
    let mut entries: Vec<(Object, Object)> = Vec::new();
    for (index, tensor) in saved.tensors.iter().enumerate() {
        let name = tensor.name.as_str();
        if is_vector(name) {
            continue;
        }
        entries.push((name.into(), Object::Tensor(index)));
        if let Some(stem) = name.strip_suffix(VARIANCE) {
            let batches = i64::try_from(saved.updates).unwrap_or(i64::MAX);
            let name = format!("{stem}{BATCHES}");
            entries.push((Object::Text(name), Object::Count(batches)));
        }
        let convolves = tensor.shape.len() == 4;
        if let Some(stem) = name.strip_suffix(WEIGHT).filter(|_| convolves)
            && !names.contains(format!("{stem}{LOG_NORM}").as_str())
        {
            // The same tensor once more.
            entries.push((Object::Text(format!("{stem}{TWIN}")), Object::Tensor(index)));
        }
    }
    Object::Dict(entries)
}

/// What the state dictionary lacks.
fn vectors(saved: &Saved<'_>) -> Object {
    let tensors = saved.tensors.iter().enumerate();
    let vectors = tensors.filter(|(_, tensor)| is_vector(&tensor.name));
    let entry = |(index, tensor): (usize, &TensorSpec)| {
        (tensor.name.as_str().into(), Object::Tensor(index))
    };
    Object::Dict(vectors.map(entry).collect())
}

fn is_vector(name: &str) -> bool {
    spectral::is_first(name) || spectral::is_second(name)
}

/// What `torch.optim.Adamax` loads, of all learned tensors in one group.
fn optimizer(saved: &Saved<'_>) -> Object {
    let Some(moments) = &saved.moments else {
        return Object::None;
    };
    let state = |(index, [first, second]): (usize, &[usize; 2])| {
        let of_parameter = vec![
            ("step".into(), integer(saved.updates)),
            (MOMENTS[0].into(), Object::Tensor(*first)),
            (MOMENTS[1].into(), Object::Tensor(*second)),
        ];
        (integer(index as u64), Object::Dict(of_parameter))
    };
    let learned = saved.tensors.iter();
    let learned = learned.filter(|tensor| tensor.role == Role::Weight).count();
    let recipe = saved.recipe;
    let betas = (Object::Float(recipe.beta1), Object::Float(recipe.beta2));
    let parameters = (0..learned as u64).map(integer).collect();
    let group = Object::Dict(vec![
        ("lr".into(), Object::Float(recipe.learning_rate)),
        ("betas".into(), Object::Pair(Box::new(betas))),
        ("eps".into(), Object::Float(recipe.epsilon)),
        ("weight_decay".into(), Object::Float(recipe.weight_decay)),
        ("foreach".into(), Object::None),
        ("maximize".into(), Object::Bool(false)),
        ("differentiable".into(), Object::Bool(false)),
        ("capturable".into(), Object::Bool(false)),
        ("params".into(), Object::List(parameters)),
    ]);
    Object::Dict(vec![
        (
            "state".into(),
            Object::Dict(moments.iter().enumerate().map(state).collect()),
        ),
        ("param_groups".into(), Object::List(vec![group])),
    ])
}

/// All arguments that the model depends on.
fn arguments(config: &NvaeConfig) -> Vec<Argument> {
    let numbers = [
        ("num_latent_scales", config.num_latent_scales),
        ("num_groups_per_scale", config.num_groups_per_scale),
        ("num_latent_per_group", config.num_latent_per_group),
        ("num_channels_enc", config.num_channels_enc),
        ("num_channels_dec", config.num_channels_dec),
        ("num_preprocess_blocks", config.num_preprocess_blocks),
        ("num_preprocess_cells", config.num_preprocess_cells),
        ("num_postprocess_blocks", config.num_postprocess_blocks),
        ("num_postprocess_cells", config.num_postprocess_cells),
        ("num_cell_per_cond_enc", config.num_cell_per_cond_enc),
        ("num_cell_per_cond_dec", config.num_cell_per_cond_dec),
        ("num_nf", config.num_nf),
    ];
    let number = |(name, number)| Argument::new(name, Expected::Number(number));
    let mut arguments: Vec<Argument> = numbers.into_iter().map(number).collect();
    arguments.push(Argument::optional(
        "ada_groups",
        Expected::Truth(config.ada_groups),
    ));
    if config.ada_groups {
        let least = Expected::Number(config.min_groups_per_scale);
        arguments.push(Argument::optional("min_groups_per_scale", least));
    }
    let truths = [("res_dist", config.res_dist), ("use_se", config.use_se)];
    let truth = |(name, truth)| Argument::new(name, Expected::Truth(truth));
    arguments.extend(truths.map(truth));
    let words = |words: Vec<String>| Expected::Word(words);
    arguments.push(Argument::new(
        "arch_instance",
        words(vec![CELLS.to_owned()]),
    ));
    arguments.push(Argument::new("dataset", words(datasets(config))));
    if config.likelihood == LikelihoodKind::Dmol {
        let bits = Expected::Number(config.bits as usize);
        arguments.push(Argument::optional("num_x_bits", bits));
        // Two names, of a newer and an older version.
        for name in ["num_mixture_dec", "num_mixture"] {
            let mixtures = Expected::Number(config.num_mixtures);
            arguments.push(Argument::optional(name, mixtures));
        }
    }
    arguments
}

/// The published code's names of data sets whose images such a model is of.
fn datasets(config: &NvaeConfig) -> Vec<String> {
    let side = config.image_size;
    let names: &[&str] = match (config.likelihood, side) {
        (LikelihoodKind::Bernoulli, _) => &["mnist", "omniglot"],
        (LikelihoodKind::Dmol, 32) => &["cifar10"],
        (LikelihoodKind::Dmol, 256) => &["ffhq"],
        (LikelihoodKind::Dmol, _) => &[],
    };
    let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    if config.likelihood == LikelihoodKind::Dmol {
        for set in ["celeba", "imagenet", "lsun_bedroom", "lsun_church"] {
            names.push(format!("{set}_{side}"));
        }
    }
    names
}

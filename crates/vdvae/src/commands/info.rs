//! `vdvae info`.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::print_json;
use crate::cli::InfoArgs;
use crate::compress::coding;
use crate::config::{Config, preset};
use crate::console::results;
use crate::error::usage;
use crate::memory::training_memory;
use crate::models::registry::{self, FAMILIES, UNNAMED};
use crate::models::{Cannot, Coding, Exactness, Family, LatentShare, Operations, Plan, Preset};
use crate::ops::Compute;
use crate::run_dir::RunDir;

/// What a model can do, told by its plan.
#[derive(Serialize)]
struct Abilities {
    /// What its bits per dimension are.
    eval: Exactness,
    /// Passes of the network for a sample, of the plain sampler.
    network_evaluations_per_sample: u64,
    /// Where pixels come one after the other: the arithmetic of a sample in evaluations, with what is kept of earlier
    /// pixels.
    network_evaluations_per_sample_cached: Option<f64>,
    /// Layers of latents: what encode, decode, interpolate, features and reconstruct work with.
    layers: Option<usize>,
    /// How it compresses.
    compress: Option<Coding>,
    /// Why it cannot do the rest.
    cannot: Vec<String>,
}

impl Abilities {
    fn of(plan: &dyn Plan) -> Self {
        let mut cannot = Vec::new();
        let layers = known(plan.latents(), &mut cannot).map(|layers| layers.len());
        let compress = known(coding(plan), &mut cannot);
        let operations = plan.operations();
        Self {
            eval: plan.exactness(),
            network_evaluations_per_sample: plan.passes_per_sample(),
            network_evaluations_per_sample_cached: plan
                .ordered()
                .is_ok()
                .then_some(operations.sample / operations.evaluation),
            layers,
            compress,
            cannot,
        }
    }
}

impl Abilities {
    /// Plain, and with what is kept.
    fn passes(&self) -> String {
        let plain = self.network_evaluations_per_sample;
        match self.network_evaluations_per_sample_cached {
            Some(cached) => format!("{plain}/{}", rounded(cached)),
            None => plain.to_string(),
        }
    }
}

/// With decimals only where there are any.
fn rounded(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn known<T>(answer: Result<T, Cannot>, cannot: &mut Vec<String>) -> Option<T> {
    answer
        .map_err(|reason| cannot.push(reason.to_string()))
        .ok()
}

#[derive(Serialize)]
struct Report {
    family: &'static str,
    #[serde(flatten)]
    abilities: Abilities,
    /// Exact number of weights and biases.
    parameters: u64,
    /// Number of stochastic layers.
    depth: usize,
    image_size: usize,
    image_channels: usize,
    /// What an image's bits are divided by.
    dimensions: usize,
    /// What else there is to know.
    details: Vec<(&'static str, String)>,
    /// Latent variables at each resolution.
    latents: Vec<LatentShare>,
    /// Floating-point operations per image.
    operations_per_image: Operations,
    /// Estimated peak memory of training with `n_batch` images at once.
    training_memory_bytes: u64,
    /// The same with `--checkpoint-activations`, where the model can do that.
    checkpointed_training_memory_bytes: Option<u64>,
    n_batch: usize,
}

pub fn run(arguments: &InfoArgs) -> Result<()> {
    let Some(subject) = &arguments.subject else {
        return list(arguments.json);
    };
    let mut config = find(subject)?;
    config.apply_overrides(&arguments.set)?;
    let plan = config.plan()?;
    if arguments.toml {
        return Ok(write!(results(), "{}", config.to_toml())?);
    }
    let image = plan.image();
    let latents = plan.latents().unwrap_or_default();
    let memory = |checkpointed| training_memory(&*plan, config.train.n_batch, checkpointed);
    let checkpointed = Compute {
        checkpoint_activations: true,
        ..Compute::default()
    };
    let report = Report {
        family: config.model.family().name(),
        abilities: Abilities::of(&*plan),
        parameters: plan.parameters(),
        depth: latents.len(),
        image_size: image.size,
        image_channels: image.channels,
        dimensions: plan.dimensions(),
        details: plan.details(),
        latents: LatentShare::all(&latents),
        operations_per_image: plan.operations(),
        training_memory_bytes: memory(false),
        checkpointed_training_memory_bytes: plan
            .computes(&checkpointed)
            .is_ok()
            .then(|| memory(true)),
        n_batch: config.train.n_batch,
    };
    if arguments.json {
        return print_json(&report);
    }
    print_report(config.model.family(), &report)
}

/// A preset, in a list to choose from.
#[derive(Serialize)]
struct Choice {
    preset: String,
    family: &'static str,
    #[serde(flatten)]
    abilities: Abilities,
    parameters: u64,
    depth: usize,
    description: &'static str,
}

impl Choice {
    fn new(preset: &'static Preset) -> Result<Self> {
        let plan = preset::config(preset).plan()?;
        let abilities = Abilities::of(&*plan);
        Ok(Self {
            preset: preset.path(),
            family: preset.family,
            parameters: plan.parameters(),
            depth: abilities.layers.unwrap_or(0),
            abilities,
            description: preset.description(),
        })
    }
}

fn list(json: bool) -> Result<()> {
    let choices = |family: &&'static dyn Family| -> Result<(_, Vec<Choice>)> {
        let presets = family.presets().iter().map(Choice::new);
        Ok((*family, presets.collect::<Result<_>>()?))
    };
    let families: Vec<_> = FAMILIES.iter().map(choices).collect::<Result<_>>()?;
    if json {
        let all = families.into_iter().flat_map(|(_, choices)| choices);
        return print_json(&all.collect::<Vec<_>>());
    }
    let mut out = results();
    for (family, choices) in &families {
        writeln!(out, "{}: {}", family.name(), family.title())?;
        writeln!(
            out,
            "  {:<28} {:>12} {:>6}  {:<6} {:>7}  {:<9}  description",
            "preset", "parameters", "layers", "eval", "passes", "compress"
        )?;
        for choice in choices {
            let abilities = &choice.abilities;
            writeln!(
                out,
                "  {:<28} {:>12} {:>6}  {:<6} {:>7}  {:<9}  {}",
                choice.preset,
                choice.parameters,
                abilities.layers.map_or("-".to_owned(), |n| n.to_string()),
                word(&abilities.eval)?,
                abilities.passes(),
                match &abilities.compress {
                    Some(coding) => word(coding)?,
                    None => "-".to_owned(),
                },
                choice.description
            )?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "All of them train, eval, sample, sweep, report and bench. Those with layers also encode, decode, interpolate,\n\
         reconstruct and tell features. eval: whether bits/dim are exact or a bound; passes: of the network, for a sample,\n\
         and where pixels come one after the other, behind a slash, their arithmetic with what is kept of earlier ones.\n\
         The {}/ in front of a name may be left out.\n\
         vdvae info NAME tells more; vdvae info NAME --toml prints the configuration.",
        UNNAMED.name()
    )?;
    Ok(())
}

/// As it is written in JSON.
fn word(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(value)?.trim_matches('"').to_owned())
}

/// A run's folder, a configuration file, or a preset.
fn find(subject: &str) -> Result<Config> {
    let path = Path::new(subject);
    if path.is_dir() {
        RunDir::new(path).load_config()
    } else if path.is_file() {
        Ok(Config::from_file(path)?)
    } else {
        let looks_like_a_path = subject.contains('\\')
            || subject.ends_with(".toml")
            || subject.split('/').count() > 2
            || subject.starts_with(['.', '/']);
        if looks_like_a_path {
            return Err(usage(format!(
                "{subject}: expected a preset, a configuration file or a run's folder; nothing is there"
            )));
        }
        let found = Config::preset(subject);
        match subject.split_once('/') {
            // Neither a family's preset nor a folder.
            Some((family, _)) if registry::find(family).is_none() => Err(usage(format!(
                "{subject}: expected a preset, a configuration file or a run's folder; nothing is there"
            ))),
            _ => Ok(found?),
        }
    }
}

fn print_report(family: &dyn Family, report: &Report) -> Result<()> {
    let mut out = results();
    let Report {
        abilities,
        image_size: side,
        image_channels: channels,
        ..
    } = report;
    writeln!(
        out,
        "family            {}: {}",
        family.name(),
        family.title()
    )?;
    writeln!(out, "images            {side}x{side}, {channels} channels")?;
    writeln!(out, "parameters        {}", report.parameters)?;
    writeln!(out, "stochastic depth  {} layers", report.depth)?;
    let eval = word(&abilities.eval)?;
    writeln!(
        out,
        "bits per dim      {eval}, of {} dimensions",
        report.dimensions
    )?;
    let passes = abilities.network_evaluations_per_sample;
    let kept = match abilities.network_evaluations_per_sample_cached {
        Some(cached) => format!(
            "; keeping what is known of earlier pixels, the arithmetic of {}",
            rounded(cached)
        ),
        None => String::new(),
    };
    writeln!(
        out,
        "a sample takes    {passes} pass{} of the network{kept}",
        if passes == 1 { "" } else { "es" }
    )?;
    if let Some(coding) = &abilities.compress {
        writeln!(out, "compresses        {}", word(coding)?)?;
    }
    match family.published() {
        Some(file) => writeln!(
            out,
            "published file    NAME{}: import, export",
            file.ending()
        )?,
        None => writeln!(out, "published files   NAME-model.th, ...: import, export")?,
    }
    for reason in &abilities.cannot {
        writeln!(out, "cannot            {reason}")?;
    }
    for (name, value) in &report.details {
        writeln!(out, "{name:<16}  {value}")?;
    }
    if !report.latents.is_empty() {
        print_latents(report)?;
    }
    let giga = |operations: f64| operations / 1e9;
    let operations = &report.operations_per_image;
    writeln!(out, "\noperations per image, GFLOP")?;
    writeln!(out, "  training step   {:.2}", giga(operations.training))?;
    writeln!(out, "  evaluation      {:.2}", giga(operations.evaluation))?;
    writeln!(out, "  sample          {:.2}", giga(operations.sample))?;
    let gibibytes = |bytes: u64| bytes as f64 / 2.0_f64.powi(30);
    let checkpointed = report.checkpointed_training_memory_bytes.map(gibibytes);
    writeln!(
        out,
        "\nmemory of training, batch {}: about {:.2} GiB{}",
        report.n_batch,
        gibibytes(report.training_memory_bytes),
        checkpointed.map_or(String::new(), |memory| format!(
            "; {memory:.2} with --checkpoint-activations"
        )),
    )?;
    Ok(())
}

fn print_latents(report: &Report) -> Result<()> {
    let mut out = results();
    writeln!(
        out,
        "\nlatent variables  layers      number  share up to here"
    )?;
    for share in &report.latents {
        let side = format!("{0}x{0}", share.resolution);
        let (layers, latents) = (share.layers, share.latents);
        let percent = 100.0 * share.cumulative_share;
        writeln!(
            out,
            "{side:>16}  {layers:>6}  {latents:>10}  {percent:>6.2} %"
        )?;
    }
    Ok(())
}

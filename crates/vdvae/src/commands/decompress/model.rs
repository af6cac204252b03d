//! The model that an archive was made with, wherever it is.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use burn::tensor::Device;
use vdvae_kernels::detect;

use crate::checkpoint::CheckpointFile;
use crate::cli::compress::{DecompressArgs, KernelPath};
use crate::compress::{Archive, kept};
use crate::error::usage;
use crate::run_dir::RunDir;
use crate::trained::TrainedModel;

/// Where runs are looked for.
const RUNS: &str = "runs";
/// Folders of runs in it: presets of families have one each.
const LEVELS: usize = 2;

/// The kernel path that is asked for, else the one on which the archive was made.
pub fn kernel_path(arguments: &DecompressArgs, archive: &Archive) -> Result<detect::Path> {
    if let Some(given) = arguments.kernel_path.map(KernelPath::path) {
        return Ok(given);
    }
    let (name, _) = archive.model.arithmetic();
    let mut paths = detect::Path::ALL.into_iter();
    let path = paths.find(|path| path.name() == name && path.is_available());
    path.ok_or_else(|| {
        anyhow!(
            "{}: made on the kernel path {name:?}, whose instructions this processor does not have. \
             Decompress it on one that has them; archives that `vdvae compress --kernel-path portable` \
             makes are read everywhere",
            arguments.archive.display()
        )
    })
}

/// The model of --run or --checkpoint, the one that the archive carries, or the one among the runs nearby
/// that has the archive's weights.
pub fn find_model(
    arguments: &DecompressArgs,
    archive: &Archive,
    device: Device,
) -> Result<TrainedModel> {
    let id = &archive.model;
    let run = arguments.run.as_ref().map(RunDir::new);
    match (run, &arguments.checkpoint) {
        (Some(run), Some(checkpoint)) => TrainedModel::load(&run, Some(checkpoint), device),
        (None, Some(checkpoint)) => {
            TrainedModel::of_checkpoint(&CheckpointFile::open(checkpoint)?, device)
        }
        (None, None) if archive.weights.is_some() => carried(arguments, archive, device),
        // Where none of the run's is it, that of another says so.
        (Some(run), None) => kept::find(&run, id, &device)
            .map_or_else(|| TrainedModel::load(&run, None, device), Ok),
        (None, None) => nearby(archive, &device).map_err(|runs| {
            usage(format!(
                "{archive}: made with the weights {weights}..., of {side} x {side} pixels, which none of the {runs} \
                 runs in {RUNS}/ holds. Give the run that compressed it: --run RUN, or the file that \
                 `vdvae compress` said must be kept: --checkpoint kept-{weights}.safetensors",
                archive = arguments.archive.display(),
                weights = id.weights(),
                side = id.side,
            ))
        }),
    }
}

/// The model that the archive carries.
fn carried(arguments: &DecompressArgs, archive: &Archive, device: Device) -> Result<TrainedModel> {
    let weights = archive.weights.clone().unwrap_or_default();
    let checkpoint = CheckpointFile::parse(&arguments.archive, weights)?;
    TrainedModel::of_checkpoint(&checkpoint, device)
}

/// The model among the runs nearby, or the number of these.
fn nearby(archive: &Archive, device: &Device) -> Result<TrainedModel, usize> {
    let mut runs = Vec::new();
    collect_runs(Path::new(RUNS), LEVELS, &mut runs);
    runs.sort();
    let fits = |run: &&RunDir| {
        let plan = run.load_config().ok().and_then(|config| config.plan().ok());
        plan.is_some_and(|plan| {
            let (image, sought) = (plan.image(), &archive.model);
            image.size == sought.side as usize && image.channels == usize::from(sought.colours)
        })
    };
    let all: Vec<RunDir> = runs.into_iter().map(RunDir::new).collect();
    let mut fitting = all.iter().filter(fits);
    fitting
        .find_map(|run| kept::find(run, &archive.model, device))
        .ok_or(all.len())
}

fn collect_runs(folder: &Path, levels: usize, runs: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if RunDir::new(&path).config().is_file() {
            runs.push(path);
        } else if levels > 1 {
            collect_runs(&path, levels - 1, runs);
        }
    }
}

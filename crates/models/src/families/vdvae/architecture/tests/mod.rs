//! The models that the tests share.

mod faults;
mod numbers;
mod properties;
mod structure;

use super::*;
use crate::families::vdvae::{VDVAE, VdvaePlan};
use crate::family::{Family, LatentShare, Plan, Preset};

/// The model of the golden vectors called `plain32`.
fn plain32() -> VdvaeConfig {
    VdvaeConfig {
        image_size: 32,
        image_channels: 3,
        width: 32,
        zdim: 8,
        bottleneck_multiple: 0.25,
        enc_blocks: "32x2,32d2,16x2,16d2,8x1,8d2,4x1,4d4,1x2".into(),
        dec_blocks: "1x1,4m1,4x2,8m4,8x1,16m8,16x2,32m16,32x2".into(),
        custom_width_str: String::new(),
        no_bias_above: 64,
        num_mixtures: 5,
        bits: 8,
        likelihood: LikelihoodKind::Dmol,
        topdown_residual: true,
        upsample: Upsample::Nearest,
    }
}

fn widths32() -> VdvaeConfig {
    VdvaeConfig {
        width: 16,
        zdim: 4,
        enc_blocks: "32x1,32d2,16x1,16d2,8d2,4x1,4d4,1x1".into(),
        dec_blocks: "1x2,4m1,4x1,8m4,16m8,16x1,32m16".into(),
        custom_width_str: "16:24,8:32,4:48,1:48".into(),
        no_bias_above: 8,
        num_mixtures: 2,
        ..plain32()
    }
}

fn lowbit16() -> VdvaeConfig {
    VdvaeConfig {
        image_size: 16,
        width: 24,
        zdim: 16,
        enc_blocks: "16x2,16d2,8x1,8d2,4x1,4d2,2x1,2d2,1x1".into(),
        dec_blocks: "1x1,2m1,4m2,4x1,8m4,8x1,16m8,16x1".into(),
        no_bias_above: 4,
        num_mixtures: 10,
        bits: 5,
        ..plain32()
    }
}

fn build(model: &VdvaeConfig) -> Architecture {
    Architecture::try_from(model).unwrap_or_else(|error| panic!("{error}"))
}

/// What a preset says of the model.
fn config(preset: &Preset) -> VdvaeConfig {
    let table: toml::Table = preset.text.parse().expect("TOML");
    table["model"].clone().try_into().expect(preset.name)
}

fn preset_plan(name: &str) -> VdvaePlan {
    let mut presets = VDVAE.presets().iter();
    let preset = presets.find(|preset| preset.name == name);
    let config = config(preset.expect("a preset"));
    VdvaePlan::new(config).unwrap_or_else(|error| panic!("{error}"))
}

fn preset(name: &str) -> Architecture {
    preset_plan(name).architecture().clone()
}

/// The latent variables of each resolution.
fn shares(plan: &VdvaePlan) -> Vec<LatentShare> {
    LatentShare::all(&plan.latents().expect("layers of latents"))
}

//! Whether the blocks fit together.

use std::collections::BTreeSet;

use super::blocks::{BlockPart, DecBlock, EncBlock, Parts};
use super::error::ArchitectureError;
use super::part::list;
use super::widths::Widths;
use crate::families::vdvae::config::VdvaeConfig;

/// The encoder's blocks, which start at `image_size` and chain.
pub fn encoder(parts: &Parts, image_size: usize) -> Result<Vec<EncBlock>, ArchitectureError> {
    let mut blocks = Vec::new();
    let mut current = image_size;
    for part in &parts.0 {
        if part.resolution != current {
            return Err(part.part.error(if blocks.is_empty() {
                format!("the encoder starts at image_size; expected resolution {current}")
            } else {
                format!("the blocks before leave resolution {current}; expected that here")
            }));
        }
        if let Some(rate) = part.argument {
            check_pooling(part, rate)?;
        }
        let block = EncBlock {
            resolution: current,
            down_rate: part.argument,
        };
        blocks.extend(vec![block; part.count]);
        current = block.resolution_after();
    }
    Ok(blocks)
}

/// A pooling rate divides the resolution and leaves a smaller one.
fn check_pooling(part: &BlockPart, rate: usize) -> Result<(), ArchitectureError> {
    let resolution = part.resolution;
    let divides = |rate: usize| rate >= 2 && resolution.is_multiple_of(rate);
    if divides(rate) {
        return Ok(());
    }
    let possible = list((2..=resolution).filter(|&rate| divides(rate)));
    Err(part.part.error(if possible.is_empty() {
        "resolution 1 cannot be pooled; expected 1xN".to_owned()
    } else {
        format!("resolution {resolution} cannot be pooled by {rate}; expected one of {possible}")
    }))
}

/// The resolutions at which the encoder leaves an activation.
pub fn produced(image_size: usize, blocks: &[EncBlock]) -> BTreeSet<usize> {
    let after = blocks.iter().map(EncBlock::resolution_after);
    after.chain([image_size]).collect()
}

/// Zero channels are added where the width grows; where it would shrink there is no rule. So what is
/// deeper is at least as wide, and a mixin always has the channels that are taken of it.
pub fn encoder_widths(parts: &Parts, widths: &Widths) -> Result<(), ArchitectureError> {
    for part in &parts.0 {
        let (from, to) = (
            part.resolution,
            part.resolution / part.argument.unwrap_or(1),
        );
        let (before, after) = (widths.at(from), widths.at(to));
        if after < before {
            return Err(part.part.error(format!(
                "pools {before} channels into {after}, and channels can only be added; \
                 expected a width of at least {before} at resolution {to}"
            )));
        }
    }
    Ok(())
}

/// The decoder's blocks, each with all that it needs.
pub fn decoder(
    parts: &Parts,
    model: &VdvaeConfig,
    produced: &BTreeSet<usize>,
) -> Result<Vec<DecBlock>, ArchitectureError> {
    let mut blocks = Vec::new();
    let mut earlier = BTreeSet::new();
    for part in &parts.0 {
        let resolution = part.resolution;
        if !produced.contains(&resolution) {
            return Err(part.part.error(format!(
                "the encoder never produces resolution {resolution}; expected one of {}",
                list(produced.iter().copied())
            )));
        }
        if earlier.is_empty() && resolution > model.no_bias_above {
            return Err(part.part.error(format!(
                "the first block needs a learned bias to start from, and no_bias_above is {}; \
                 expected a resolution up to that, or no_bias_above of at least {resolution}",
                model.no_bias_above
            )));
        }
        if let Some(mixin) = part.argument {
            check_mixin(part, mixin, &earlier)?;
        }
        let block = DecBlock {
            resolution,
            mixin: part.argument,
        };
        blocks.extend(vec![block; part.count]);
        earlier.insert(resolution);
    }
    match parts.0.last() {
        Some(last) if last.resolution != model.image_size => Err(last.part.error(format!(
            "the decoder must end at image_size; expected resolution {}",
            model.image_size
        ))),
        _ => Ok(blocks),
    }
}

/// A mixin is an earlier resolution, smaller, and a divisor.
fn check_mixin(
    part: &BlockPart,
    mixin: usize,
    earlier: &BTreeSet<usize>,
) -> Result<(), ArchitectureError> {
    let resolution = part.resolution;
    let divides = |m: usize| m < resolution && resolution.is_multiple_of(m);
    let problem = if !earlier.contains(&mixin) {
        format!("mixes in resolution {mixin}, at which no block before works")
    } else if !divides(mixin) {
        format!("resolution {mixin} cannot be enlarged to {resolution}")
    } else {
        return Ok(());
    };
    let possible = list(earlier.iter().copied().filter(|&m| divides(m)));
    Err(part.part.error(if possible.is_empty() {
        format!("{problem}; expected {resolution}xN, as there is nothing it could mix in")
    } else {
        format!("{problem}; expected one of {possible}")
    }))
}

//! `custom_width_str`: widths at single resolutions.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ArchitectureError;
use super::part::{Part, is_number, list};
use super::{MAX_CHANNELS, MAX_RESOLUTION, mid};
use crate::families::vdvae::config::VdvaeConfig;

const FIELD: &str = "custom_width_str";
const FORM: &str = "expected RESOLUTION:WIDTH, such as 512:32";

/// The width at every resolution: the given one, or `width`.
#[derive(Clone, Debug, PartialEq)]
pub struct Widths {
    width: usize,
    custom: BTreeMap<usize, usize>,
}

impl Widths {
    /// Parses `text`, whose resolutions must be among those the encoder has `produced`.
    /// No middle width may come out as 0, and the width at `image_size` stays `width`.
    pub fn parse(
        text: &str,
        model: &VdvaeConfig,
        produced: &BTreeSet<usize>,
    ) -> Result<Self, ArchitectureError> {
        let mut widths = Self {
            width: model.width,
            custom: BTreeMap::new(),
        };
        if !text.trim().is_empty() {
            for part in Part::split(FIELD, text) {
                widths.add(&part, model, produced)?;
            }
        }
        widths.check_middles(model, produced)?;
        Ok(widths)
    }

    /// Channels at `resolution`.
    pub fn at(&self, resolution: usize) -> usize {
        self.custom.get(&resolution).copied().unwrap_or(self.width)
    }

    fn add(
        &mut self,
        part: &Part,
        model: &VdvaeConfig,
        produced: &BTreeSet<usize>,
    ) -> Result<(), ArchitectureError> {
        let (resolution, width) = part
            .text()
            .split_once(':')
            .ok_or_else(|| part.error(FORM))?;
        let (resolution, width) = (resolution.trim(), width.trim());
        if !is_number(resolution) || !is_number(width) {
            return Err(part.error(FORM));
        }
        let resolution = part.number("a resolution", resolution, MAX_RESOLUTION)?;
        let width = part.number("a width", width, MAX_CHANNELS)?;
        if !produced.contains(&resolution) {
            let all = list(produced.iter().copied());
            return Err(part.error(format!(
                "the model has no resolution {resolution}; expected one of {all}"
            )));
        }
        if resolution == model.image_size && width != model.width {
            return Err(part.error(format!(
                "the output is made with `width` = {} channels; \
                 expected {resolution}:{} here, or another `width`",
                model.width, model.width
            )));
        }
        match self.custom.insert(resolution, width) {
            None => Ok(()),
            Some(first) => Err(part.error(format!(
                "resolution {resolution} was given the width {first} before; \
                 expected one width each"
            ))),
        }
    }

    fn check_middles(
        &self,
        model: &VdvaeConfig,
        produced: &BTreeSet<usize>,
    ) -> Result<(), ArchitectureError> {
        let multiple = model.bottleneck_multiple;
        let narrow = |&&r: &&usize| mid(self.at(r), multiple) == 0;
        match produced.iter().find(narrow) {
            None => Ok(()),
            Some(&resolution) => {
                let width = self.at(resolution);
                Err(ArchitectureError::Value {
                    field: "bottleneck_multiple",
                    expected: format!(
                        "at least 1/{width}, so that blocks at resolution {resolution} \
                         (width {width}) have a middle channel"
                    ),
                    found: multiple.to_string(),
                })
            }
        }
    }
}

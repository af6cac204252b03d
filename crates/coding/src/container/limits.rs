//! What the fields of an archive may be, of whatever version.

use super::name::check_name;
use super::{ContainerError, ImageEntry, ModelId};
use crate::coder::PRECISION;

/// Most pixels of an image.
const MOST_PIXELS: u64 = 1 << 28;
/// Largest side of a model.
const MOST_SIDE: u32 = 1 << 14;

/// Checks the values of a model's fields.
pub fn check_model(model: &ModelId) -> Result<(), ContainerError> {
    let (side, colours, bits) = (model.side, model.colours, model.bits);
    let side_is_good = (1..=MOST_SIDE).contains(&side);
    require("side of the model", "1 to 16384", side.into(), side_is_good)?;
    let colours_are_good = matches!(colours, 1 | 3);
    require(
        "colours of the model",
        "1 or 3",
        colours.into(),
        colours_are_good,
    )?;
    require(
        "bits of the model",
        "1 to 8",
        bits.into(),
        (1..=8).contains(&bits),
    )?;
    let cells = model.latent_bits;
    require(
        "bits per latent",
        "4 to 24, or 0 where there are no latents",
        cells.into(),
        matches!(cells, 0 | 4..=24),
    )?;
    let path = model.kernel_path.len() as u64;
    require(
        "length of the kernel path",
        "1 to 255",
        path,
        (1..=255).contains(&path),
    )
}

/// Checks that frequencies are those of this program.
pub fn check_precision(found: u8) -> Result<(), ContainerError> {
    require(
        "precision of the frequencies",
        &PRECISION.to_string(),
        found.into(),
        usize::from(found) == PRECISION,
    )
}

/// Checks the values of an image's fields.
pub fn check_image(image: &ImageEntry) -> Result<(), ContainerError> {
    check_name(&image.name)?;
    let pixels = u64::from(image.width) * u64::from(image.height);
    let pixels_are_good = (1..=MOST_PIXELS).contains(&pixels);
    require("number of pixels", "1 to 2^28", pixels, pixels_are_good)?;
    let channels = image.channels;
    require(
        "channels of an image",
        "1 or 3",
        channels.into(),
        matches!(channels, 1 | 3),
    )
}

/// An error unless `good`.
pub fn require(
    what: &'static str,
    expected: &str,
    found: u64,
    good: bool,
) -> Result<(), ContainerError> {
    if good {
        return Ok(());
    }
    Err(ContainerError::Field {
        what,
        expected: expected.into(),
        found: found.to_string(),
    })
}

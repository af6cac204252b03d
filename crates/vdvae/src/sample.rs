//! Images from the prior: no data set, no encoder, one pass of the network.

use crate::models::vdvae::{Latents, Noise};
use crate::random::{Keys, Purpose};
use crate::run_dir::TrainedModel;

/// Draws the images `first .. first + count`, [count, S, S, C] as bytes. An image is a function of the
/// seed, its number and the temperatures (one per layer, the last one for those after it), not of how
/// many are drawn at once.
pub fn sample(
    model: &TrainedModel,
    seed: u64,
    first: u64,
    count: usize,
    temperatures: &[f32],
) -> Vec<u8> {
    let keys = |purpose| Keys {
        seed,
        purpose,
        step: 0,
        items: (first..first + count as u64).collect(),
    };
    let latents = Latents::prior(temperatures, Noise::Keyed(keys(Purpose::Sample)));
    let parameters = model.model.decode(count, None, &latents);
    model
        .model
        .likelihood()
        .sample(parameters, keys(Purpose::Pixels).generators(0))
}

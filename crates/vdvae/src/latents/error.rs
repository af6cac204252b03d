//! What can be wrong with latents that somebody gives.

use vdvae_models::Cannot;

/// Why latents cannot be decoded by a model.
#[derive(Debug, thiserror::Error)]
pub enum LatentsError {
    /// A model without latents.
    #[error(transparent)]
    Cannot(#[from] Cannot),
    /// A layer that is to be decoded is not there.
    #[error("{name}: expected this array, found {found}. {remedy}")]
    MissingLayer {
        /// Such as `layer_003/z`.
        name: String,
        /// The layers there are.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// Latents of another model, or of other images than those of the first layer.
    #[error("{name}: expected the shape {expected:?}, found {found:?}. {remedy}")]
    Shape {
        /// Such as `layer_003/z`.
        name: String,
        /// [N, R, R, Z].
        expected: Vec<usize>,
        /// What the array has.
        found: Vec<usize>,
        /// What to do.
        remedy: &'static str,
    },
    /// A number that no latent variable can have.
    #[error(
        "{name}: expected finite numbers, found {value} in image {image}. Encode the image again, or repair what computed this"
    )]
    NotFinite {
        /// Such as `layer_003/z`.
        name: String,
        /// NaN or an infinity.
        value: f32,
        /// The image's number.
        image: usize,
    },
    /// More layers than the model has.
    #[error("layers: expected at most {depth}, the model's number of layers, found {found}")]
    TooManyLayers {
        /// The model's layers.
        depth: usize,
        /// What was asked for.
        found: usize,
    },
}

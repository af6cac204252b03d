//! Likelihood models of images: what they are and what they compute, family by family.
//!
//! A [`Family`] has presets and reads configurations; a checked configuration is a [`Plan`], which tells
//! everything that follows without weights; a plan builds a [`Model`]. Programs talk to these three
//! traits, to [`Hierarchy`] where a model has latents, to [`Ordered`] where it makes pixel after pixel; what a model cannot do is an error that says
//! why ([`Cannot`]).
//!
//! Tensors are channels-last, [B, H, W, C]; losses are in nats until [`likelihood::units`] turns them
//! into bits. Nothing here knows of runs, logs or a command line; of files
//! only what a family's published code calls its parts ([`published`]).

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod families;
pub mod family;
pub mod hierarchy;
pub mod likelihood;
pub mod ops;
pub mod ordered;
pub mod parameters;
pub mod preprocess;
pub mod published;
pub mod random;
pub mod registry;
pub mod state;
pub mod step;
pub mod store;
pub mod verify;

pub use family::{
    Cannot, Coding, Cost, Exactness, Family, ImageShape, LatentLayer, LatentShare, Loss, Model,
    ModelError, Operations, Plan, PosteriorLatents, Preset, Step,
};
pub use hierarchy::Hierarchy;
pub use ordered::Ordered;
pub use parameters::Parameters;

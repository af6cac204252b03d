//! The evidence lower bound over a whole data set, for any family of models.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use burn::tensor::Device;
use serde::Serialize;
use vdvae_data::{Batch, Batches, Dataset};

use crate::likelihood::{units::bits, values};
use crate::models::{Cost, Model, PosteriorLatents};
use crate::preprocess::Preprocess;
use crate::random::{Keys, Noise, Purpose};

/// How to evaluate.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions {
    /// Images at once; changes no result.
    pub batch: usize,
    /// Of the latents' noise.
    pub seed: u64,
    /// The posterior's means instead of draws.
    pub mean_latents: bool,
    /// Draws per image; more than one also gives the importance-weighted bound.
    pub samples: u64,
    /// Threads that read ahead.
    pub threads: usize,
    /// At most this many images, the first ones.
    pub limit: usize,
}

/// The bound of one image. Nats per dimension, averaged over the draws.
#[derive(Clone, Debug, Default, PartialEq)]
struct ImageElbo {
    distortion: f64,
    rate_per_layer: Vec<f64>,
    /// distortion + rate of each draw.
    totals: Vec<f64>,
    /// -ln of each draw's importance weight p(x, z) / q(z | x); only of several draws.
    log_weights: Vec<f64>,
}

/// Means over a data set. What is not said to be bits is nats per dimension.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of images.
    pub images: usize,
    /// (distortion + rate) / ln 2: the number that papers report.
    pub bits_per_dim: f64,
    /// Standard error of the mean over images of `bits_per_dim`; one image has none.
    pub stderr_bits_per_dim: Option<f64>,
    /// Importance-weighted bound (Burda et al., ICLR 2016), where several latents were drawn.
    pub iw_bits_per_dim: Option<f64>,
    /// distortion + rate.
    pub nats_per_dim: f64,
    /// Negative log-likelihood given the latents.
    pub distortion_nats_per_dim: f64,
    /// KL divergence of the posterior from the prior.
    pub rate_nats_per_dim: f64,
    /// The rate's share of each stochastic layer, top to bottom.
    pub rate_nats_per_dim_per_layer: Vec<f64>,
}

/// Evaluates every image of `dataset`, the last incomplete batch too; images have so many `dimensions`. Calls `progress` with the number
/// of images done.
///
/// # Errors
/// If an image cannot be read.
pub fn evaluate(
    model: &dyn Model,
    preprocess: &Preprocess,
    dimensions: usize,
    dataset: Arc<dyn Dataset>,
    options: &EvaluateOptions,
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation> {
    let whole = evaluate_until(
        model,
        preprocess,
        dimensions,
        dataset,
        options,
        device,
        |done| {
            progress(done);
            ControlFlow::Continue(())
        },
    );
    Ok(whole?.expect("nobody stops it"))
}

/// As [`evaluate`], but given up, with no result, when `progress` breaks.
///
/// # Errors
/// If an image cannot be read.
pub fn evaluate_until(
    model: &dyn Model,
    preprocess: &Preprocess,
    dimensions: usize,
    dataset: Arc<dyn Dataset>,
    options: &EvaluateOptions,
    device: &Device,
    mut progress: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<Evaluation>> {
    let mut images: Vec<ImageElbo> = Vec::with_capacity(dataset.len());
    for batch in Batches::sequential(dataset, options.batch, options.threads)? {
        images.extend(evaluate_batch(model, preprocess, &batch?, options, device));
        images.truncate(options.limit);
        let go_on = progress(images.len());
        if images.len() == options.limit {
            break;
        }
        if go_on.is_break() {
            return Ok(None);
        }
    }
    Ok(Some(summary(&images, dimensions)))
}

/// For [`evaluate_until`]: until it is set from outside.
pub fn go_on_unless(stop: &AtomicBool) -> ControlFlow<()> {
    if stop.load(Ordering::Relaxed) {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn evaluate_batch(
    model: &dyn Model,
    preprocess: &Preprocess,
    batch: &Batch,
    options: &EvaluateOptions,
    device: &Device,
) -> Vec<ImageElbo> {
    let mut images = vec![ImageElbo::default(); batch.len()];
    let samples = options.samples.max(1);
    for sample in 0..samples {
        let keys = |purpose| Keys {
            seed: options.seed,
            purpose,
            step: sample,
            items: batch.indices.clone(),
        };
        // Every draw sees the same binarized image.
        let binarization = Keys {
            step: 0,
            ..keys(Purpose::Binarization)
        };
        let prepared = preprocess.apply(&batch.images, &binarization, device);
        let prepared = prepared.of_classes(batch.classes.clone());
        let latents = if options.mean_latents {
            PosteriorLatents::Mean
        } else {
            let noise = Noise::Keyed(keys(Purpose::Evaluation));
            if samples > 1 {
                PosteriorLatents::Weighed(noise)
            } else {
                PosteriorLatents::Drawn(noise)
            }
        };
        let cost = model.cost(prepared, latents);
        add_draw(&mut images, cost, 1.0 / samples as f64);
    }
    images
}

fn add_draw(images: &mut [ImageElbo], cost: Cost, share: f64) {
    let layers: Vec<Vec<f32>> = cost
        .rate_per_layer
        .into_iter()
        .flatten()
        .map(values)
        .collect();
    let ratios = cost.log_ratio.map(values);
    for (index, (image, distortion)) in images.iter_mut().zip(values(cost.distortion)).enumerate() {
        let rates: Vec<f64> = layers.iter().map(|layer| f64::from(layer[index])).collect();
        image
            .totals
            .push(f64::from(distortion) + rates.iter().sum::<f64>());
        let ratio = ratios.as_ref().map(|ratios| f64::from(ratios[index]));
        image
            .log_weights
            .extend(ratio.map(|ratio| f64::from(distortion) + ratio));
        image.distortion += share * f64::from(distortion);
        image.rate_per_layer.resize(rates.len(), 0.0);
        for (sum, rate) in image.rate_per_layer.iter_mut().zip(rates) {
            *sum += share * rate;
        }
    }
}

fn summary(images: &[ImageElbo], dimensions: usize) -> Evaluation {
    let count = images.len() as f64;
    let mean = |of: &dyn Fn(&ImageElbo) -> f64| images.iter().map(of).sum::<f64>() / count;
    let total = |image: &ImageElbo| image.totals.iter().sum::<f64>() / image.totals.len() as f64;
    let nats = mean(&total);
    let variance = mean(&|image| (total(image) - nats).powi(2)) * count / (count - 1.0);
    let depth = images.first().map_or(0, |image| image.rate_per_layer.len());
    let several = images
        .first()
        .is_some_and(|image| image.log_weights.len() > 1);
    let weighted = || {
        bits(mean(&|image| {
            importance_weighted(&image.log_weights, dimensions)
        }))
    };
    Evaluation {
        images: images.len(),
        bits_per_dim: bits(nats),
        stderr_bits_per_dim: (images.len() > 1).then(|| bits((variance / count).sqrt())),
        iw_bits_per_dim: several.then(weighted),
        nats_per_dim: nats,
        distortion_nats_per_dim: mean(&|image| image.distortion),
        // From 0, as the sum of nothing would be -0.
        rate_nats_per_dim: mean(&|image| {
            image
                .rate_per_layer
                .iter()
                .fold(0.0, |sum, rate| sum + rate)
        }),
        rate_nats_per_dim_per_layer: (0..depth)
            .map(|layer| mean(&|image| image.rate_per_layer[layer]))
            .collect(),
    }
}

/// A mean for people, with its standard error where it has one.
pub fn with_error(mean: f64, stderr: Option<f64>, decimals: usize) -> String {
    let error = stderr.map_or(String::new(), |stderr| format!(" +- {stderr:.decimals$}"));
    format!("{mean:.decimals$}{error}")
}

/// -ln of the mean of the draws' importance weights, per dimension; given are -ln of each.
fn importance_weighted(nats_per_dim: &[f64], dimensions: usize) -> f64 {
    let dimensions = dimensions as f64;
    let lowest = nats_per_dim.iter().copied().fold(f64::INFINITY, f64::min);
    let weights = nats_per_dim
        .iter()
        .map(|nats| ((lowest - nats) * dimensions).exp());
    lowest - (weights.sum::<f64>() / nats_per_dim.len() as f64).ln() / dimensions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(distortion: f64, rates: &[f64], totals: &[f64]) -> ImageElbo {
        ImageElbo {
            distortion,
            rate_per_layer: rates.to_vec(),
            totals: totals.to_vec(),
            log_weights: Vec::new(),
        }
    }

    #[test]
    fn means_and_standard_error() {
        let images = [
            image(1.0, &[0.5, 0.25], &[1.75]),
            image(2.0, &[0.5, 0.75], &[3.25]),
        ];
        let result = summary(&images, 12);
        assert_eq!(result.images, 2);
        assert!((result.nats_per_dim - 2.5).abs() < 1e-12);
        assert!((result.bits_per_dim - 2.5 / std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!(result.rate_nats_per_dim_per_layer, [0.5, 0.5]);
        assert!((result.rate_nats_per_dim - 1.0).abs() < 1e-12);
        // standard deviation sqrt(2 * 0.75^2), over sqrt 2
        let stderr = result.stderr_bits_per_dim.expect("of two images");
        assert!((stderr - 0.75 / std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!(result.iw_bits_per_dim, None);
    }

    #[test]
    fn one_image_has_no_standard_error() {
        let result = summary(&[image(1.0, &[0.5], &[1.5])], 12);
        assert_eq!(result.stderr_bits_per_dim, None);
        let json = serde_json::to_value(&result).expect("JSON");
        assert!(json["stderr_bits_per_dim"].is_null());
        assert_eq!(with_error(1.0, result.stderr_bits_per_dim, 2), "1.00");
        assert_eq!(with_error(1.0, Some(0.5), 2), "1.00 +- 0.50");
    }

    #[test]
    fn the_importance_weighted_bound_is_between_the_best_draw_and_the_mean() {
        let totals = [1.0, 1.1, 1.3];
        let bound = importance_weighted(&totals, 100);
        assert!(bound < totals.iter().sum::<f64>() / 3.0);
        assert!(bound > 1.0);
        let exact =
            -(totals.iter().map(|t| (-t * 100.0_f64).exp()).sum::<f64>() / 3.0).ln() / 100.0;
        assert!((bound - exact).abs() < 1e-12);
    }

    #[test]
    fn equal_draws_gain_nothing() {
        assert!((importance_weighted(&[2.0, 2.0], 3072) - 2.0).abs() < 1e-12);
    }
}

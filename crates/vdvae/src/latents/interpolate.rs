//! From one image to another through the latents.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use vdvae_models::Cannot;

use super::{EncodeOptions, EncodedLayer, encode};
use crate::models::hierarchy::{Latents, Noise};
use crate::trained::TrainedModel;

/// How to go from one image to another.
#[derive(Clone, Debug)]
pub struct InterpolateOptions {
    /// Images to make, both ends among them.
    pub steps: usize,
    /// The layers that change, counted from 0 at the top; the others stay those of the first image.
    /// Layers beyond the last are none.
    pub layers: Range<usize>,
    /// The posterior's means instead of draws.
    pub mean: bool,
    /// Of the latents' noise.
    pub seed: u64,
    /// Images at once; changes no result.
    pub batch: usize,
}

/// Images on the way from the first to the second of `images` [2, S, S, C], as bytes [steps, S, S, C].
///
/// Every layer is in the coordinates in which its prior is a standard normal distribution, eps =
/// (z - prior mean) / prior sigma, because the prior of a layer moves with the layers above. In them the
/// way is [`slerp`]: all points between two draws of a normal distribution are as typical as these. The
/// pixels are the most likely ones: their noise would hide the way.
///
/// ```
/// # use vdvae::{config::Config, device, trained::TrainedModel};
/// use vdvae::latents::{InterpolateOptions, interpolate};
/// # let mut config = Config::preset("photos32")?;
/// # config.apply_overrides(&["model.width=16", "data.shift=-127.5", "data.scale=0.0157"])?;
/// # let model = TrainedModel::untrained(config, device::parse("cpu")?)?;
///
/// let (black, white) = (vec![0; 32 * 32 * 3], vec![255; 32 * 32 * 3]);
/// let options = InterpolateOptions { steps: 5, layers: 0..8, mean: false, seed: 0, batch: 8 };
/// let way = interpolate(&model, &[black, white].concat(), &options)?;
/// assert_eq!(way.len(), 5 * 32 * 32 * 3);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the model has no latents.
pub fn interpolate(
    model: &TrainedModel,
    images: &[u8],
    options: &InterpolateOptions,
) -> Result<Vec<u8>, Cannot> {
    let hierarchy = model.model.hierarchy()?;
    let all = EncodeOptions {
        mean: options.mean,
        seed: options.seed,
        ..EncodeOptions::default()
    };
    let ends: Vec<Ends> = encode(model, images, 0..2, &all)?
        .into_iter()
        .map(|(layer, seen)| Ends::of(&seen, options.layers.contains(&layer)))
        .collect();
    let steps: Vec<usize> = (0..options.steps).collect();
    let batches = steps.chunks(options.batch.max(1));
    let frames = batches.map(|steps| {
        let noise = ends.iter().map(|ends| ends.at(steps, options.steps, model));
        let latents = Latents::prior(&[1.0], Noise::Given(noise.collect()));
        let parameters = hierarchy.decode(steps.len(), None, &mut &latents);
        hierarchy.likelihood().mode(parameters)
    });
    Ok(frames.flatten().collect())
}

/// Both images at one layer, in standardised coordinates.
struct Ends {
    /// [R, R, Z].
    shape: [usize; 3],
    first: Vec<f32>,
    /// Equal to the first where the layer stays.
    second: Vec<f32>,
}

impl Ends {
    fn of(seen: &EncodedLayer, moves: bool) -> Self {
        let numbers = seen.z.values.iter().zip(&seen.prior_mean.values);
        let eps: Vec<f32> = numbers
            .zip(&seen.prior_log_sigma.values)
            .map(|((z, mean), log_sigma)| (z - mean) * (-log_sigma).exp())
            .collect();
        let (first, second) = eps.split_at(eps.len() / 2);
        let second = if moves { second } else { first };
        Self {
            shape: [seen.z.shape[1], seen.z.shape[2], seen.z.shape[3]],
            first: first.to_vec(),
            second: second.to_vec(),
        }
    }

    /// The coordinates at `steps` of `count`, [steps, R, R, Z].
    fn at(&self, steps: &[usize], count: usize, model: &TrainedModel) -> Tensor<4> {
        let last = count.saturating_sub(1).max(1) as f64;
        let way = |&step: &usize| slerp(&self.first, &self.second, step as f64 / last);
        let values: Vec<f32> = steps.iter().flat_map(way).collect();
        let [height, width, channels] = self.shape;
        let shape = [steps.len(), height, width, channels];
        Tensor::from_data(TensorData::new(values, shape), &model.device)
    }
}

/// Spherical interpolation: the direction turns evenly from that of `a` (t = 0) to that of `b` (t = 1),
/// the length changes evenly.
///
/// At both ends exactly `a` and `b`. Opposite vectors have no single way between them: the one taken
/// passes the axis that is most nearly at right angles to both, always the same. Where there is no
/// direction (a vector of zeros, or opposite numbers), the way is straight.
///
/// ```
/// let half = vdvae::latents::slerp(&[1.0, 0.0], &[0.0, 3.0], 0.5);
/// let length = half[0].hypot(half[1]);
/// assert!((length - 2.0).abs() < 1e-6 && (half[0] - half[1]).abs() < 1e-6);
/// ```
///
/// # Panics
/// If the vectors differ in length.
pub fn slerp(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "numbers of two vectors");
    if t <= 0.0 || a == b {
        return a.to_vec();
    }
    if t >= 1.0 {
        return b.to_vec();
    }
    let (Some((a_length, from)), Some((b_length, to))) = (direction(a), direction(b)) else {
        return straight(a, b, t);
    };
    let cosine = dot(&from, &to);
    let mut across: Vec<f64> = from.iter().zip(&to).map(|(f, t)| t - cosine * f).collect();
    let mut sine = dot(&across, &across).sqrt();
    if sine < 1e-7 {
        if cosine > 0.0 {
            return straight(a, b, t);
        }
        across = at_right_angles(&from);
        let length = dot(&across, &across).sqrt();
        if length == 0.0 {
            return straight(a, b, t);
        }
        across.iter_mut().for_each(|x| *x /= length);
        sine = 0.0;
    } else {
        across.iter_mut().for_each(|x| *x /= sine);
    }
    let (turn_sine, turn_cosine) = (t * sine.atan2(cosine)).sin_cos();
    let length = a_length + t * (b_length - a_length);
    let parts = from.iter().zip(&across);
    parts
        .map(|(f, x)| (length * (turn_cosine * f + turn_sine * x)) as f32)
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Length and unit vector; `None` if the length is 0 (or not finite).
fn direction(vector: &[f32]) -> Option<(f64, Vec<f64>)> {
    let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    let length = length.sqrt();
    let unit = vector.iter().map(|&x| f64::from(x) / length).collect();
    (length > 0.0 && length.is_finite()).then_some((length, unit))
}

fn straight(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    let between = |(&a, &b): (&f32, &f32)| f64::from(a) + t * (f64::from(b) - f64::from(a));
    a.iter().zip(b).map(|pair| between(pair) as f32).collect()
}

/// The axis along which the unit vector is shortest, less its part along the vector.
fn at_right_angles(unit: &[f64]) -> Vec<f64> {
    let shortest = (0..unit.len()).min_by(|&a, &b| unit[a].abs().total_cmp(&unit[b].abs()));
    let Some(axis) = shortest.filter(|_| unit.len() > 1) else {
        return vec![0.0; unit.len()];
    };
    let mut across: Vec<f64> = unit.iter().map(|x| -unit[axis] * x).collect();
    across[axis] += 1.0;
    across
}

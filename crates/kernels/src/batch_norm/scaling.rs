//! The few numbers per channel that normalisations and their gradients come down to.

use super::moments::Channels;
use super::passes::Combination;
use super::{Norm, NormGradient, Statistics};

/// A normalisation: `(h - mean) * scale + shift`.
#[derive(Clone, Debug)]
pub(crate) struct Scaling {
    pub mean: Vec<f32>,
    /// `gamma * inverse`.
    pub scale: Vec<f32>,
    /// `beta`.
    pub shift: Vec<f32>,
    /// `1 / std`.
    pub inverse: Vec<f32>,
}

impl Scaling {
    /// Of checked lengths.
    pub fn new(norm: &Norm, statistics: &Statistics, epsilon: f32) -> Self {
        let inverse = |&v: &f32| (1.0 / (f64::from(v) + f64::from(epsilon)).sqrt()) as f32;
        let inverse: Vec<f32> = statistics.variance.iter().map(inverse).collect();
        Self {
            mean: statistics.mean.clone(),
            scale: inverse.iter().zip(norm.gamma).map(|(i, g)| i * g).collect(),
            shift: norm.beta.to_vec(),
            inverse,
        }
    }

    /// That changes nothing.
    pub fn identity(channels: usize) -> Self {
        let all = |value: f32| vec![value; channels];
        Self {
            mean: all(0.0),
            scale: all(1.0),
            shift: all(0.0),
            inverse: all(1.0),
        }
    }

    /// With zeros behind the last channel, up to a multiple of `size`.
    pub fn padded(mut self, size: usize) -> Self {
        let length = self.mean.len().next_multiple_of(size);
        let all = [&mut self.mean, &mut self.scale, &mut self.shift];
        all.into_iter()
            .for_each(|values| values.resize(length, 0.0));
        self
    }

    /// The first channels alone.
    pub fn cut(&self, channels: usize) -> Self {
        let first = |values: &[f32]| values[..channels].to_vec();
        Self {
            mean: first(&self.mean),
            scale: first(&self.scale),
            shift: first(&self.shift),
            inverse: first(&self.inverse),
        }
    }

    pub fn channels(&self) -> Channels {
        self.channels_from(0)
    }

    /// From a channel on.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn channels_from(&self, start: usize) -> Channels {
        Channels {
            mean: self.mean[start..].as_ptr(),
            scale: self.scale[start..].as_ptr(),
            shift: self.shift[start..].as_ptr(),
        }
    }
}

/// The backward pass of a normalisation: the gradient with respect to its input is
/// `scale * (u - a - (h - mean) * k)`, where `u` is the one with respect to its output.
#[derive(Clone, Debug)]
pub(crate) struct Slopes {
    /// `scale`.
    pub factor: Vec<f32>,
    /// `-scale * a`, with `a` the mean of `u`.
    pub constant: Vec<f32>,
    /// `-scale * k`, with `k` the mean of `u * (h - mean)` over the variance.
    pub centred: Vec<f32>,
    gradient: NormGradient,
}

impl Slopes {
    /// From the sums of `u` and `u * (h - mean)` over so many pixels.
    pub fn new(scaling: &Scaling, [sums, products]: [Vec<f64>; 2], pixels: usize) -> Self {
        let count = pixels.max(1) as f64;
        let channels = scaling.mean.len();
        let wide = |i: usize| f64::from(scaling.inverse[i]);
        let factor = |i: usize| f64::from(scaling.scale[i]);
        let over = |f: &dyn Fn(usize) -> f64| (0..channels).map(|i| f(i) as f32).collect();
        Self {
            factor: scaling.scale.clone(),
            constant: over(&|i| -factor(i) * sums[i] / count),
            centred: over(&|i| -factor(i) * wide(i) * wide(i) * products[i] / count),
            gradient: NormGradient {
                gamma: over(&|i| products[i] * wide(i)),
                beta: over(&|i| sums[i]),
            },
        }
    }

    pub fn gradient(&self) -> NormGradient {
        self.gradient.clone()
    }

    /// The gradient with respect to the input `h`, plus others.
    pub fn combination<'a>(
        &'a self,
        scaling: &'a Scaling,
        u: &'a [f32],
        h: &'a [f32],
        swish: bool,
        add: [Option<&'a [f32]>; 2],
    ) -> Combination<'a> {
        Combination {
            u,
            factor: &self.factor,
            constant: Some(&self.constant),
            centred: Some((h, &self.centred, scaling)),
            swish,
            add,
        }
    }
}

/// Sums over all images.
pub(crate) fn total(sums: &[Vec<f64>; 2], channels: usize) -> [Vec<f64>; 2] {
    sums.each_ref().map(|sums| {
        let mut total = vec![0.0; channels];
        for image in sums.chunks_exact(channels) {
            total.iter_mut().zip(image).for_each(|(t, s)| *t += s);
        }
        total
    })
}

//! Pixels: the discretized mixture of logistics, colour by colour.

use crate::coder::{Coder, Interval, PRECISION};
use crate::error::{CodingError, expect_len};
use crate::gaussian::finite;
use crate::math::{exp, one_minus_exp_neg, sigmoid, tanh};
use crate::search::search;
use std::ops::Range;

/// Lower bound of the log scales, as in the likelihood.
const LEAST_LOG_SCALE: f64 = -7.0;
/// Upper bound, beyond which a distribution over [-1, 1] is flat anyway.
const MOST_LOG_SCALE: f64 = 30.0;

/// Which likelihood the parameters are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelShape {
    /// Mixture components `K`.
    pub mixtures: usize,
    /// 3 for RGB, 1 for grayscale.
    pub colours: usize,
    /// 8 or 5: 256 or 32 levels.
    pub bits: u32,
}

impl PixelShape {
    /// Parameters of a pixel: `10 K` in RGB, `3 K` in grayscale.
    pub fn parameters(&self) -> usize {
        self.mixtures * if self.colours == 1 { 3 } else { 10 }
    }

    /// Number of values of a colour.
    pub fn levels(&self) -> u32 {
        1 << self.bits
    }

    fn check(&self) -> Result<(), CodingError> {
        let fail = |what, expected, found| {
            Err(CodingError::Setting {
                what,
                expected,
                found,
            })
        };
        if self.mixtures == 0 {
            return fail("number of mixture components", "at least 1", 0);
        }
        match (self.colours, self.bits) {
            (1 | 3, 5 | 8) => Ok(()),
            (1 | 3, bits) => fail("bits of a colour", "5 or 8", bits.into()),
            (colours, _) => fail("number of colours", "1 or 3", colours as u64),
        }
    }

    /// The value in [-1, 1] that the network knows a level as.
    fn value(&self, level: u32) -> f64 {
        (f64::from(level << (8 - self.bits)) - 127.5) / 127.5
    }

    /// The level next to a value. Conversion to integers saturates.
    fn nearest(&self, value: f64) -> u32 {
        let level = (value * 127.5 + 127.5) / f64::from(1 << (8 - self.bits)) + 0.5;
        (level as u32).min(self.levels() - 1)
    }

    /// The border between a level and the one below: half way between their values.
    fn edge(&self, level: u32) -> f64 {
        self.value(level) - f64::from(1 << (8 - self.bits)) / 255.0
    }
}

/// Codes pixels given the parameters that the network predicts for them.
///
/// The layout of a pixel's parameters is that of the likelihood: `K` logits, then for each colour
/// `K` means, `K` log scales and, in RGB, `K` coefficients whose tanh shifts the means of green
/// by red, of blue by red and by green.
///
/// One component is meant for all colours of a pixel. Coded one after the other, red has the
/// mixture's weights; green those weights times how likely each component makes the red that is
/// known by then, normalised; and blue the same with red and green. The product of the three
/// conditionals is the joint likelihood, so no choice of a component is ever paid for.
///
/// Numbers that make no distribution become ones that do, as for
/// [latents](crate::Normals).
#[derive(Clone, Debug)]
pub struct PixelCodec {
    shape: PixelShape,
    /// How many colours of a pixel are coded, from the first.
    coded: usize,
    mixture: Mixture,
}

impl PixelCodec {
    /// A codec for the given likelihood.
    ///
    /// # Errors
    /// If there is no mixture, or colours and bits are none that exist.
    pub fn new(shape: PixelShape) -> Result<Self, CodingError> {
        shape.check()?;
        Ok(Self {
            shape,
            coded: shape.colours,
            mixture: Mixture::default(),
        })
    }

    /// A codec for the first colour alone, at the cost of its marginal likelihood: for gray
    /// images under a model of RGB, whose other colours the reader knows to be the same. Levels
    /// are `[pixels, 1]` then.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn first_colour(shape: PixelShape) -> Result<Self, CodingError> {
        let codec = Self::new(shape)?;
        Ok(Self { coded: 1, ..codec })
    }

    /// Pushes the pixels of an image or tile, the last one first.
    ///
    /// `parameters` is `[pixels, P]`, `levels` `[pixels, colours]` (8 bits: the values; 5 bits:
    /// the values / 8); pixels that are not `valid`, if given, are left out.
    ///
    /// # Errors
    /// If lengths differ or a level does not exist.
    pub fn push(
        &mut self,
        coder: &mut Coder,
        parameters: &[f32],
        levels: &[u8],
        valid: Option<&[bool]>,
    ) -> Result<(), CodingError> {
        self.check(parameters, levels, valid)?;
        let (p, colours) = (self.shape.parameters(), self.coded);
        let pixels = parameters.chunks_exact(p).zip(levels.chunks_exact(colours));
        for (i, (parameters, levels)) in pixels.enumerate().rev() {
            if valid.is_none_or(|valid| valid[i]) {
                let intervals = self.intervals(parameters, levels)?;
                for interval in intervals[..colours].iter().rev() {
                    coder.push::<PRECISION>(*interval)?;
                }
            }
        }
        Ok(())
    }

    /// Pops the pixels that [`push`](Self::push) pushed, the first one first. Levels of pixels
    /// that are not valid stay as they are.
    ///
    /// # Errors
    /// If lengths differ, or the coder has nothing left.
    pub fn pop(
        &mut self,
        coder: &mut Coder,
        parameters: &[f32],
        levels: &mut [u8],
        valid: Option<&[bool]>,
    ) -> Result<(), CodingError> {
        self.check(parameters, levels, valid)?;
        let (p, colours) = (self.shape.parameters(), self.coded);
        let pixels = parameters.chunks_exact(p);
        for (i, (parameters, levels)) in pixels.zip(levels.chunks_exact_mut(colours)).enumerate() {
            if valid.is_none_or(|valid| valid[i]) {
                self.pop_pixel(coder, parameters, levels)?;
            }
        }
        Ok(())
    }

    fn check(
        &self,
        parameters: &[f32],
        levels: &[u8],
        valid: Option<&[bool]>,
    ) -> Result<(), CodingError> {
        let pixels = levels.len() / self.coded;
        expect_len("levels", levels.len(), pixels * self.coded)?;
        let parameters_expected = pixels * self.shape.parameters();
        expect_len("parameters", parameters.len(), parameters_expected)?;
        expect_len("valid", valid.map_or(pixels, <[bool]>::len), pixels)
    }

    /// The intervals of a pixel's colours, each given those before.
    fn intervals(
        &mut self,
        parameters: &[f32],
        levels: &[u8],
    ) -> Result<[Interval; 3], CodingError> {
        let mut intervals = [Interval { start: 0, end: 0 }; 3];
        let mut known = [0.0; 3];
        self.mixture.begin(&parameters[..self.shape.mixtures]);
        for (colour, &level) in levels.iter().enumerate() {
            let level = u32::from(level);
            if level >= self.shape.levels() {
                return Err(CodingError::Symbol {
                    what: "level",
                    found: level,
                    limit: self.shape.levels(),
                });
            }
            self.mixture.load(&self.shape, parameters, &known[..colour]);
            intervals[colour] = Interval {
                start: self.mixture.start(&self.shape, level),
                end: self.mixture.start(&self.shape, level + 1),
            };
            known[colour] = self.shape.value(level);
            if colour + 1 < levels.len() {
                self.mixture.learn(&self.shape, level);
            }
        }
        Ok(intervals)
    }

    fn pop_pixel(
        &mut self,
        coder: &mut Coder,
        parameters: &[f32],
        levels: &mut [u8],
    ) -> Result<(), CodingError> {
        let mut known = [0.0; 3];
        let colours = levels.len();
        self.mixture.begin(&parameters[..self.shape.mixtures]);
        for (colour, place) in levels.iter_mut().enumerate() {
            self.mixture.load(&self.shape, parameters, &known[..colour]);
            let (shape, mixture) = (&self.shape, &self.mixture);
            let level = coder.pop::<PRECISION, _>(|quantile| mixture.find(shape, quantile))?;
            // Levels are below 256.
            *place = level as u8;
            known[colour] = shape.value(level);
            if colour + 1 < colours {
                self.mixture.learn(&self.shape, level);
            }
        }
        Ok(())
    }
}

/// The mixture of logistics of one colour.
#[derive(Clone, Debug, Default)]
struct Mixture {
    /// Sum to 1.
    weights: Vec<f64>,
    means: Vec<f64>,
    /// One over the scales.
    inverse: Vec<f64>,
}

impl Mixture {
    /// Takes the weights from a pixel's logits.
    fn begin(&mut self, logits: &[f32]) {
        let largest = logits.iter().map(|&logit| finite(logit));
        let largest = largest.fold(f64::NEG_INFINITY, f64::max);
        self.weights.clear();
        let weights = logits.iter().map(|&x| exp(finite(x) - largest));
        self.weights.extend(weights);
        self.normalise();
    }

    /// Takes the components of the next colour, given the values of those `known`.
    fn load(&mut self, shape: &PixelShape, parameters: &[f32], known: &[f64]) {
        let k = shape.mixtures;
        let kinds = if shape.colours == 1 { 2 } else { 3 };
        // Block 0 is that of the logits.
        let block = |i: usize| &parameters[i * k..(i + 1) * k];
        let first = 1 + kinds * known.len();
        let scale = |&x: &f32| exp(-finite(x).clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE));
        self.means.clear();
        self.means.extend(block(first).iter().map(|&x| finite(x)));
        self.inverse.clear();
        self.inverse.extend(block(first + 1).iter().map(scale));
        for (before, value) in known.iter().enumerate() {
            // Green: the coefficient stored with red. Blue: those with green and with blue.
            let coefficients = block(3 * (known.len() + before));
            for (mean, &coefficient) in self.means.iter_mut().zip(coefficients) {
                *mean += tanh(finite(coefficient)) * value;
            }
        }
    }

    /// Where the interval of `level` starts.
    ///
    /// Every level has 2 to itself, the rest is shared by mass. Rounding may make the computed
    /// distribution function decrease from one edge to the next, but by far less than 1, hence
    /// the product rounded down by at most 1: every interval is at least 1 wide.
    fn start(&self, shape: &PixelShape, level: u32) -> u32 {
        if level == 0 {
            return 0;
        }
        if level == shape.levels() {
            return 1 << PRECISION;
        }
        let edge = shape.edge(level);
        let components = self.weights.iter().zip(&self.means).zip(&self.inverse);
        let below: f64 = components
            .map(|((weight, mean), inverse)| weight * sigmoid((edge - mean) * inverse))
            .sum();
        let shared = f64::from((1 << PRECISION) - 2 * shape.levels());
        (below.min(1.0) * shared) as u32 + 2 * level
    }

    /// The level whose interval holds `quantile`, and that interval.
    fn find(&self, shape: &PixelShape, quantile: u32) -> (u32, Interval) {
        let interval = |level| Interval {
            start: self.start(shape, level),
            end: self.start(shape, level + 1),
        };
        let guess = self.guess(shape, quantile);
        if guess.len() == 1 {
            let interval = interval(guess.start);
            if interval.contains(quantile) {
                return (guess.start, interval);
            }
        }
        let level = search(guess, shape.levels(), |level| {
            self.start(shape, level) <= quantile
        });
        (level, interval(level))
    }

    /// Where to look for a quantile of the mixture: between the least and the greatest of the
    /// components' quantiles.
    fn guess(&self, shape: &PixelShape, quantile: u32) -> Range<u32> {
        // Only a guess: `ln` may differ between machines, what is found does not.
        let below = f64::from(quantile) + 0.5;
        let logit = (below / (f64::from(1 << PRECISION) - below)).ln();
        let quantiles = self.means.iter().zip(&self.inverse);
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in quantiles.map(|(mean, inverse)| mean + logit / inverse) {
            least = least.min(value);
            greatest = greatest.max(value);
        }
        let level = |value| shape.nearest(value);
        level(least)..level(greatest) + 1
    }

    /// Weights the components by how likely they make `level`.
    fn learn(&mut self, shape: &PixelShape, level: u32) {
        let (first, last) = (level == 0, level + 1 == shape.levels());
        let (lower, upper) = (shape.edge(level), shape.edge(level + 1));
        let mut sum = 0.0;
        // Reuses the scales' places: the next colour brings its own.
        let components = self.weights.iter().zip(&self.means).zip(&mut self.inverse);
        for ((weight, mean), inverse) in components {
            let a = (upper - mean) * *inverse;
            let b = (lower - mean) * *inverse;
            // sigmoid(a) - sigmoid(b), without cancellation.
            let mass = match (first, last) {
                (true, _) => sigmoid(a),
                (_, true) => sigmoid(-b),
                _ => sigmoid(a) * sigmoid(-b) * one_minus_exp_neg(a - b),
            };
            *inverse = weight * mass;
            sum += *inverse;
        }
        // A level that no component makes possible says nothing about the component.
        if sum > f64::MIN_POSITIVE {
            std::mem::swap(&mut self.weights, &mut self.inverse);
            self.normalise();
        }
    }

    fn normalise(&mut self) {
        let scale = 1.0 / self.weights.iter().sum::<f64>();
        for weight in &mut self.weights {
            *weight *= scale;
        }
    }
}

//! The pixels of a tile under the model's likelihood.

use vdvae_coding::{
    Coder, CodingError, PixelCodec, PixelShape, pop_bernoulli, pop_softmax, push_bernoulli,
    push_softmax,
};

use crate::likelihood::Likelihood;

/// Pushes and pops the pixels of tiles given the likelihood's parameters. Pixels that are not `valid`,
/// if given, are padding and left out.
///
/// Values are `[S, S, channels]`, with the channels of the image: of a gray image under an RGB model
/// only the first colour is coded. Bits of a value below those that the likelihood knows are coded as they
/// are.
#[derive(Clone, Debug)]
pub struct Pixels {
    kind: Kind,
    /// Of the image.
    channels: usize,
    /// Of the model.
    colours: usize,
    low_bits: u32,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Mixtures of logistics.
    Dmol(PixelCodec),
    /// A softmax over so many levels.
    Softmax(usize),
    /// 0 and 255.
    Bernoulli,
}

impl Pixels {
    /// For images of so many channels under a likelihood of so many colours.
    ///
    /// # Errors
    /// If the likelihood is one that cannot be coded.
    pub fn new(
        likelihood: &Likelihood,
        channels: usize,
        colours: usize,
    ) -> Result<Self, CodingError> {
        let kind = match likelihood {
            Likelihood::Bernoulli => Kind::Bernoulli,
            Likelihood::Categorical(shape) => Kind::Softmax(shape.levels),
            Likelihood::Dmol(shape) => {
                let shape = PixelShape {
                    mixtures: shape.mixtures,
                    colours,
                    bits: shape.bits,
                };
                Kind::Dmol(if channels == colours {
                    PixelCodec::new(shape)?
                } else {
                    PixelCodec::first_colour(shape)?
                })
            }
        };
        Ok(Self {
            kind,
            channels,
            colours,
            low_bits: 8 - likelihood.bits(),
        })
    }

    /// Pushes values under `parameters` `[S, S, P]`.
    ///
    /// # Errors
    /// If lengths differ.
    pub fn push(
        &mut self,
        coder: &mut Coder,
        parameters: &[f32],
        values: &[u8],
        valid: Option<&[bool]>,
    ) -> Result<(), CodingError> {
        let low_bits = self.low_bits;
        let kept: Vec<u8> = kept(values, self.channels, valid)
            .flatten()
            .copied()
            .collect();
        if low_bits > 0 {
            for &value in kept.iter().rev() {
                coder.push_bits(u32::from(value) % (1 << low_bits), low_bits)?;
            }
        }
        match &mut self.kind {
            Kind::Dmol(codec) => {
                let levels: Vec<u8> = values.iter().map(|value| value >> low_bits).collect();
                codec.push(coder, parameters, &levels, valid)
            }
            Kind::Softmax(count) => {
                let count = *count;
                let logits = self.first(parameters, count, valid);
                let levels: Vec<u8> = kept.iter().map(|value| value >> low_bits).collect();
                push_softmax(coder, count, &logits, &levels)
            }
            Kind::Bernoulli => {
                let logits = self.first(parameters, 1, valid);
                let white: Vec<bool> = kept.iter().map(|&value| value > 127).collect();
                push_bernoulli(coder, &logits, &white)
            }
        }
    }

    /// Pops what [`push`](Self::push) pushed into `values`, whose padding stays as it is.
    ///
    /// # Errors
    /// If lengths differ or the stream ends early.
    pub fn pop(
        &mut self,
        coder: &mut Coder,
        parameters: &[f32],
        values: &mut [u8],
        valid: Option<&[bool]>,
    ) -> Result<(), CodingError> {
        let (channels, low_bits) = (self.channels, self.low_bits);
        match &mut self.kind {
            Kind::Dmol(codec) => codec.pop(coder, parameters, values, valid)?,
            Kind::Softmax(count) => {
                let count = *count;
                let logits = self.first(parameters, count, valid);
                let mut levels = vec![0; logits.len() / count];
                pop_softmax(coder, count, &logits, &mut levels)?;
                let values = kept_mut(values, channels, valid).flatten();
                values.zip(levels).for_each(|(value, level)| *value = level);
            }
            Kind::Bernoulli => {
                let logits = self.first(parameters, 1, valid);
                let mut white = vec![false; logits.len()];
                pop_bernoulli(coder, &logits, &mut white)?;
                let values = kept_mut(values, channels, valid).flatten();
                for (value, white) in values.zip(white) {
                    *value = if white { 255 } else { 0 };
                }
            }
        }
        if low_bits > 0 {
            for value in kept_mut(values, channels, valid).flatten() {
                // As many bits as are free below the level.
                *value = *value << low_bits | coder.pop_bits(low_bits)? as u8;
            }
        }
        Ok(())
    }

    /// The parameters of the image's channels of each valid pixel, `each` a colour.
    fn first(&self, parameters: &[f32], each: usize, valid: Option<&[bool]>) -> Vec<f32> {
        let pixels = kept(parameters, self.colours * each, valid);
        let first = pixels.flat_map(|pixel| &pixel[..self.channels * each]);
        first.copied().collect()
    }
}

/// The valid pixels of `channels` elements each.
fn kept<'a, T>(
    elements: &'a [T],
    channels: usize,
    valid: Option<&'a [bool]>,
) -> impl Iterator<Item = &'a [T]> {
    let pixels = elements.chunks_exact(channels).enumerate();
    let is_valid = move |i: usize| valid.is_none_or(|valid| valid[i]);
    pixels.filter_map(move |(i, pixel)| is_valid(i).then_some(pixel))
}

fn kept_mut<'a, T>(
    elements: &'a mut [T],
    channels: usize,
    valid: Option<&'a [bool]>,
) -> impl Iterator<Item = &'a mut [T]> {
    let pixels = elements.chunks_exact_mut(channels).enumerate();
    let is_valid = move |i: usize| valid.is_none_or(|valid| valid[i]);
    pixels.filter_map(move |(i, pixel)| is_valid(i).then_some(pixel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likelihood::Categorical;
    use crate::ops::Dmol;

    fn dmol(channels: usize, bits: u32) -> Likelihood {
        Likelihood::Dmol(Dmol {
            mixtures: 2,
            channels,
            bits,
            upper_edge: crate::ops::UPPER_EDGE,
        })
    }

    fn softmax(channels: usize, levels: usize) -> Likelihood {
        Likelihood::Categorical(Categorical { levels, channels })
    }

    /// Every likelihood, with and without padding, gray images under RGB models too.
    #[test]
    fn what_was_pushed_is_popped_and_the_coder_is_as_before() {
        for (likelihood, colours) in [
            (dmol(3, 8), 3),
            (dmol(1, 8), 1),
            (dmol(3, 5), 3),
            (dmol(1, 5), 1),
            (Likelihood::Bernoulli, 1),
            (Likelihood::Bernoulli, 3),
            (softmax(3, 256), 3),
            (softmax(1, 16), 1),
            (softmax(3, 2), 3),
        ] {
            for channels in [1, colours] {
                for padded in [false, true] {
                    round_trip(&likelihood, channels, colours, padded);
                }
            }
        }
    }

    fn round_trip(likelihood: &Likelihood, channels: usize, colours: usize, padded: bool) {
        const PIXELS: usize = 16;
        let per_pixel = match likelihood {
            Likelihood::Dmol(shape) => shape.parameters(),
            Likelihood::Bernoulli => colours,
            Likelihood::Categorical(shape) => colours * shape.levels,
        };
        let parameters = (0..PIXELS * per_pixel).map(|i| (i as f32 * 0.7).sin());
        let parameters: Vec<f32> = parameters.collect();
        let valid: Vec<bool> = (0..PIXELS).map(|i| i % 4 < 3 && i < 12).collect();
        let valid = padded.then_some(valid.as_slice());
        let value = |i: usize| match likelihood {
            Likelihood::Dmol(_) | Likelihood::Categorical(_) => (i * 89 % 256) as u8,
            Likelihood::Bernoulli => 255 * (i % 3 / 2) as u8,
        };
        let mut values: Vec<u8> = (0..PIXELS * channels).map(value).collect();
        let mut coder = Coder::seeded();
        let mut pixels = Pixels::new(likelihood, channels, colours).unwrap();
        pixels
            .push(&mut coder, &parameters, &values, valid)
            .unwrap();
        let bits = coder.net_bits();
        assert!(bits > 5.0, "{likelihood:?} {bits}");
        let mut found = vec![0; values.len()];
        let mut coder = Coder::from_stream(coder.into_stream()).unwrap();
        pixels
            .pop(&mut coder, &parameters, &mut found, valid)
            .unwrap();
        coder.verify_drained().unwrap();
        for (i, pixel) in values.chunks_exact_mut(channels).enumerate() {
            if valid.is_some_and(|valid| !valid[i]) {
                pixel.fill(0);
            }
        }
        assert_eq!(found, values, "{likelihood:?} {channels} {padded}");
    }
}

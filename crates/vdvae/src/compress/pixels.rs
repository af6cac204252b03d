//! The pixels of a tile under the model's likelihood.

use vdvae_coding::{Coder, CodingError, PixelCodec, PixelShape, pop_bernoulli, push_bernoulli};

use crate::likelihood::Likelihood;

/// Bits of a value below those that a 5-bit model knows: coded as they are.
const LOW_BITS: u32 = 3;

/// Pushes and pops the pixels of tiles given the likelihood's parameters. Pixels that are not `valid`,
/// if given, are padding and left out.
///
/// Values are `[S, S, channels]`, with the channels of the image: of a gray image under an RGB model
/// only the first colour is coded.
#[derive(Clone, Debug)]
pub struct Pixels {
    kind: Kind,
    /// Of the image.
    channels: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Mixtures of logistics, 8 bits.
    Dmol(PixelCodec),
    /// The same for the upper 5 bits.
    Dmol5(PixelCodec),
    /// 0 and 255; the colours of the model.
    Bernoulli(usize),
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
            Likelihood::Bernoulli => Kind::Bernoulli(colours),
            Likelihood::Dmol(shape) => {
                let shape = PixelShape {
                    mixtures: shape.mixtures,
                    colours,
                    bits: shape.bits,
                };
                let codec = if channels == colours {
                    PixelCodec::new(shape)?
                } else {
                    PixelCodec::first_colour(shape)?
                };
                if shape.bits == 5 {
                    Kind::Dmol5(codec)
                } else {
                    Kind::Dmol(codec)
                }
            }
        };
        Ok(Self { kind, channels })
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
        let channels = self.channels;
        match &mut self.kind {
            Kind::Dmol(codec) => codec.push(coder, parameters, values, valid),
            Kind::Dmol5(codec) => {
                let kept: Vec<&u8> = kept(values, channels, valid).flatten().collect();
                for value in kept.into_iter().rev() {
                    coder.push_bits(u32::from(value % (1 << LOW_BITS)), LOW_BITS)?;
                }
                let levels: Vec<u8> = values.iter().map(|value| value >> LOW_BITS).collect();
                codec.push(coder, parameters, &levels, valid)
            }
            Kind::Bernoulli(colours) => {
                let logits = first_logits(parameters, *colours, channels, valid);
                let values = kept(values, channels, valid).flatten();
                let white: Vec<bool> = values.map(|&value| value > 127).collect();
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
        let channels = self.channels;
        match &mut self.kind {
            Kind::Dmol(codec) => codec.pop(coder, parameters, values, valid),
            Kind::Dmol5(codec) => {
                codec.pop(coder, parameters, values, valid)?;
                for value in kept_mut(values, channels, valid).flatten() {
                    // Three bits below a level of five.
                    *value = *value << LOW_BITS | coder.pop_bits(LOW_BITS)? as u8;
                }
                Ok(())
            }
            Kind::Bernoulli(colours) => {
                let logits = first_logits(parameters, *colours, channels, valid);
                let mut white = vec![false; logits.len()];
                pop_bernoulli(coder, &logits, &mut white)?;
                let values = kept_mut(values, channels, valid).flatten();
                for (value, white) in values.zip(white) {
                    *value = if white { 255 } else { 0 };
                }
                Ok(())
            }
        }
    }
}

/// The logits of the first `channels` colours of each valid pixel.
fn first_logits(
    logits: &[f32],
    colours: usize,
    channels: usize,
    valid: Option<&[bool]>,
) -> Vec<f32> {
    let pixels = kept(logits, colours, valid);
    let first = pixels.flat_map(|pixel| &pixel[..channels]);
    first.copied().collect()
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
    use crate::ops::Dmol;

    fn dmol(channels: usize, bits: u32) -> Likelihood {
        Likelihood::Dmol(Dmol {
            mixtures: 2,
            channels,
            bits,
            upper_edge: crate::ops::UPPER_EDGE,
        })
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
        };
        let parameters = (0..PIXELS * per_pixel).map(|i| (i as f32 * 0.7).sin());
        let parameters: Vec<f32> = parameters.collect();
        let valid: Vec<bool> = (0..PIXELS).map(|i| i % 4 < 3 && i < 12).collect();
        let valid = padded.then_some(valid.as_slice());
        let value = |i: usize| match likelihood {
            Likelihood::Dmol(_) => (i * 89 % 256) as u8,
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

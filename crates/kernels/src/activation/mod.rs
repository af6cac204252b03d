//! The functions that stand before convolutions, and dropout after them.

mod curves;
mod gradient;

pub(crate) use gradient::ActivationGradient;
pub use gradient::activate_backward_new;

use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::detect::{Kernel, dispatch};
use crate::grid::{Grid, Map};
use crate::parallel::{Shared, for_ranges};
use crate::precision::Precision;
use crate::rows::{load, store};
use crate::simd::Simd;
use crate::sizes::product;
use curves::values;
use std::ops::Range;

/// What is done to each number before it is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x` above 0, else `e^x - 1`.
    Elu,
    /// The elu of `x`, then that of `-x`: twice as many channels (Shang et al. 2016, with PixelCNN++'s elu).
    ConcatElu,
    /// `x` above 0, else 0.
    Relu,
    /// `x Phi(x)`, Phi the normal distribution function.
    Gelu,
    /// `x / (1 + e^-x)`.
    Swish,
}

impl Activation {
    /// Channels of the result, of so many.
    pub fn channels(self, channels: usize) -> usize {
        match self {
            Self::ConcatElu => 2 * channels,
            _ => channels,
        }
    }
}

/// What becomes of an input before it is multiplied.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    pub activation: Activation,
    /// What stays of the result, if not all.
    pub kept: Option<Kept<'a>>,
}

impl From<Activation> for Before<'_> {
    fn from(activation: Activation) -> Self {
        Self {
            activation,
            kept: None,
        }
    }
}

/// What stays of an activation, and what that is multiplied by.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// A bit for each channel that stays, 32 to a word; each pixel begins a word.
    pub words: &'a [u32],
    pub factor: f32,
}

impl Kept<'_> {
    /// Words of a pixel of so many channels.
    pub fn words_of(channels: usize) -> usize {
        channels.div_ceil(32)
    }
}

/// The input of a convolution, `[pixels, channels]`, and what is done to it.
#[derive(Clone, Copy)]
pub(crate) struct Input {
    pub x: Map,
    pub activation: Activation,
    /// Words in the place of numbers, and the factor.
    kept: Option<(Map, f32)>,
}

impl Input {
    /// # Panics
    /// If there are not as many numbers, or words, as pixels and channels need.
    pub fn new(x: &[f32], grid: Grid, channels: usize, before: Before) -> Self {
        check_length("x", x.len(), product(&[grid.pixels(), channels]));
        let activation = before.activation;
        let kept = before.kept.map(|Kept { words, factor }| {
            let each = Kept::words_of(activation.channels(channels));
            check_length("kept", words.len(), product(&[grid.pixels(), each]));
            let at = Shared(words.as_ptr().cast_mut().cast());
            let words = Map {
                at,
                grid,
                channels: each,
                precision: Precision::Fp32,
            };
            (words, factor)
        });
        Self {
            x: Map::of(x, grid, channels, Precision::Fp32),
            activation,
            kept,
        }
    }

    /// Channels of what is read.
    #[inline(always)]
    pub fn channels(self) -> usize {
        self.activation.channels(self.x.channels)
    }

    /// Whether what is read is `x` itself.
    pub fn is_x(self) -> bool {
        self.activation == Activation::None && self.kept.is_none()
    }

    /// Some of the images.
    pub fn images(self, range: &Range<usize>) -> Self {
        Self {
            x: self.x.images(range),
            kept: self
                .kept
                .map(|(words, factor)| (words.images(range), factor)),
            ..self
        }
    }

    /// The same buffers, other pixels.
    pub fn view(self, grid: Grid) -> Self {
        Self {
            x: self.x.view(grid),
            kept: self.kept.map(|(words, factor)| (words.view(grid), factor)),
            ..self
        }
    }

    /// Writes what is read to a map of the same pixels, and clears what is around them.
    ///
    /// # Safety
    /// All buffers must be alive, the one that is written used by nobody else.
    pub unsafe fn fill(self, to: Map) {
        let (height, width) = (to.grid.height, to.grid.width);
        let each = if self.is_x() { 1 } else { 20 };
        let operations = each * to.grid.pixels() * to.channels;
        // SAFETY: promised by the caller; ranges are of different rows.
        unsafe { to.clear_border() };
        for_ranges(to.grid.batch * height, 1, operations, |rows| {
            dispatch(Fill {
                input: self,
                to,
                pixels: rows.start * width..rows.end * width,
            });
        });
    }

    /// The factors of dropout for the channels from `at` on.
    #[inline(always)]
    unsafe fn factors<S: Simd>(
        self,
        s: S,
        (words, factor): (Map, f32),
        place: usize,
        at: usize,
    ) -> S::F {
        // SAFETY: promised by the caller.
        unsafe {
            let words = words.at_place(place).cast::<u32>().cast_const();
            let mut bits = *words.add(at / 32) >> (at % 32);
            if at % 32 > 32 - S::LANES && at / 32 + 1 < Kept::words_of(self.channels()) {
                bits |= *words.add(at / 32 + 1) << (32 - at % 32);
            }
            let own = s.and_i(s.splat_i(bits as i32), s.to_bits(s.load(&LANE_BITS)));
            let zero = s.splat(0.0);
            s.select(s.eq(s.to_float(own), zero), zero, s.splat(factor))
        }
    }
}

/// Read as it is.
impl From<Map> for Input {
    fn from(x: Map) -> Self {
        Self {
            x,
            activation: Activation::None,
            kept: None,
        }
    }
}

/// A bit for each lane.
const LANE_BITS: [f32; 16] = {
    let mut bits = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        bits[i] = f32::from_bits(1 << i);
        i += 1;
    }
    bits
};

/// Some rows of pixels.
struct Fill {
    input: Input,
    to: Map,
    pixels: Range<usize>,
}

impl Kernel for Fill {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { input, to, pixels } = self;
        let width = to.grid.width;
        // SAFETY: whoever makes a `Fill` promises that the buffers are valid.
        unsafe {
            if input.is_x() {
                for pixel in pixels.step_by(width) {
                    let from = input.x.pixel(pixel);
                    to.pixel(pixel)
                        .copy_from_nonoverlapping(from, width * to.channels);
                }
                return;
            }
            let mut places = to.grid.places_from(pixels.start);
            let mut own = input.x.grid.places_from(pixels.start);
            for _ in pixels {
                activate(s, input, own.next(), to.at_place(places.next()));
            }
        }
    }
}

/// `to` becomes what is read of a pixel.
///
/// # Safety
/// The place must be one of the input's, `to` writable for all channels of the result.
#[inline(always)]
unsafe fn activate<S: Simd>(s: S, input: Input, place: usize, to: *mut f32) {
    let channels = input.x.channels;
    let mut i = 0;
    while i < channels {
        let n = S::LANES.min(channels - i);
        // SAFETY: promised by the caller.
        unsafe {
            let x = load(s, input.x.at_place(place).add(i), n);
            let mut values = values(s, input.activation, x);
            let parts = input.activation.channels(1);
            for j in 0..parts {
                if let Some(kept) = input.kept {
                    let factors = input.factors(s, kept, place, j * channels + i);
                    values[j] = s.mul(values[j], factors);
                }
                store(s, to.add(j * channels + i), values[j], n);
            }
        }
        i += n;
    }
}

/// What would be read of `x` `[pixels, channels]`: `[pixels, channels or twice as many]`.
///
/// # Panics
/// If a length does not agree with the channels.
pub fn activate_new(channels: usize, x: &[f32], before: Before) -> Vec<f32> {
    let grid = Grid::line_of(x.len().checked_div(channels).unwrap_or(0));
    let input = Input::new(x, grid, channels, before);
    let mut y = Blank::new(product(&[grid.pixels(), input.channels()]));
    let to = Map {
        at: y.at(),
        grid: Grid::plain(grid.width, 1, 1),
        channels: input.channels(),
        precision: Precision::Fp32,
    };
    // SAFETY: all lengths were checked, all pixels are written.
    unsafe {
        input.fill(to);
        y.written()
    }
}

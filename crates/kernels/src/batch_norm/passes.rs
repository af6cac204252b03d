//! Passes over all pixels: what is written once from what is read once.

use super::{Images, Scaling};
use crate::detect::{Kernel, dispatch};
use crate::grid::Map;
use crate::math::{swish, swish_and_slope};
use crate::parallel::for_ranges;
use crate::rows::{load, store};
use crate::simd::Simd;
use std::ops::Range;

/// Pixels that are a task of their own.
const GRANULE: usize = 16;

/// `to = swish(normalised x)`, or the normalised `x` itself.
///
/// # Safety
/// `to` must have room for the images and be used by nobody else; lengths must have been checked.
pub(crate) unsafe fn normalise(images: Images, x: &[f32], scaling: &Scaling, swish: bool, to: Map) {
    let pixels = images.batch * images.pixels;
    let operations = images.length() * if swish { 30 } else { 6 };
    for_ranges(pixels, GRANULE, operations, |range| {
        dispatch(Normalise {
            n: images.channels,
            x,
            scaling,
            swish,
            to,
            range,
        });
    });
}

struct Normalise<'a> {
    n: usize,
    x: &'a [f32],
    scaling: &'a Scaling,
    swish: bool,
    to: Map,
    range: Range<usize>,
}

impl Kernel for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (n, channels) = (self.n, self.scaling.channels());
        let mut places = self.to.grid.places_from(self.range.start);
        for pixel in self.range {
            // SAFETY: a pixel of the buffer.
            let to = unsafe { self.to.spot(pixel, places.next()) };
            let mut c = 0;
            while c < n {
                let lanes = S::LANES.min(n - c);
                // SAFETY: a pixel of both buffers, which no other range has.
                unsafe {
                    let x = load(s, self.x.as_ptr().add(pixel * n + c), lanes);
                    let mut y = channels.normalise(s, x, c, lanes).0;
                    if self.swish {
                        y = swish(s, y);
                    }
                    store(s, to.add(c), y, lanes);
                }
                c += lanes;
            }
        }
    }
}

/// `factor * u + centred * (h - mean) + constant + add[0] + add[1]`, where `u` is first multiplied with
/// the slope of swish at the normalised `h` if `swish` is set.
///
/// Factors are `[channels]` or, one for each image, `[batch, channels]`.
pub(crate) struct Combination<'a> {
    pub u: &'a [f32],
    pub factor: &'a [f32],
    pub constant: Option<&'a [f32]>,
    /// `h`, its factors, and its normalisation.
    pub centred: Option<(&'a [f32], &'a [f32], &'a Scaling)>,
    pub swish: bool,
    pub add: [Option<&'a [f32]>; 2],
}

/// Computes a combination for all pixels.
///
/// # Safety
/// `to` must have room for the images and be used by nobody else; lengths must have been checked.
/// It may be one of the buffers that are read.
pub(crate) unsafe fn combine(images: Images, combination: &Combination, to: Map) {
    let pixels = images.batch * images.pixels;
    let operations = images.length() * if combination.swish { 40 } else { 10 };
    for_ranges(pixels, GRANULE, operations, |range| {
        dispatch(Combine {
            images,
            combination,
            to,
            range,
        });
    });
}

struct Combine<'a> {
    images: Images,
    combination: &'a Combination<'a>,
    to: Map,
    range: Range<usize>,
}

impl Kernel for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.images.channels;
        let pixels = self.images.pixels;
        let mut places = self.to.grid.places_from(self.range.start);
        let mut pixel = self.range.start;
        while pixel < self.range.end {
            let image = pixel / pixels;
            let end = self.range.end.min((image + 1) * pixels);
            let part = self.combination.of_image(n, image);
            for pixel in pixel..end {
                // SAFETY: a pixel of all buffers, which no other range has.
                unsafe { part.row(s, n, pixel * n, self.to.spot(pixel, places.next())) };
            }
            pixel = end;
        }
    }
}

impl<'a> Combination<'a> {
    /// With the factors of one image.
    #[inline(always)]
    fn of_image(&self, n: usize, image: usize) -> Combination<'a> {
        let factors = own_factors;
        Combination {
            u: self.u,
            factor: factors(self.factor, n, image),
            constant: match self.constant {
                Some(constant) => Some(factors(constant, n, image)),
                None => None,
            },
            centred: match self.centred {
                Some((h, factor, scaling)) => Some((h, factors(factor, n, image), scaling)),
                None => None,
            },
            swish: self.swish,
            add: self.add,
        }
    }

    /// One pixel, whose numbers begin at `at`.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, s: S, n: usize, at: usize, to: *mut f32) {
        let mut c = 0;
        while c < n {
            let lanes = S::LANES.min(n - c);
            // SAFETY: numbers of the pixel and of the channels.
            unsafe {
                let mut u = load(s, self.u.as_ptr().add(at + c), lanes);
                let mut sum = match self.constant {
                    Some(constant) => load(s, constant.as_ptr().add(c), lanes),
                    None => s.splat(0.0),
                };
                if let Some((h, factor, scaling)) = self.centred {
                    let h = load(s, h.as_ptr().add(at + c), lanes);
                    let (value, centred) = scaling.channels().normalise(s, h, c, lanes);
                    if self.swish {
                        u = s.mul(u, swish_and_slope(s, value).1);
                    }
                    sum = s.fma(load(s, factor.as_ptr().add(c), lanes), centred, sum);
                }
                sum = s.fma(load(s, self.factor.as_ptr().add(c), lanes), u, sum);
                for i in 0..2 {
                    if let Some(add) = self.add[i] {
                        sum = s.add(sum, load(s, add.as_ptr().add(at + c), lanes));
                    }
                }
                store(s, to.add(c), sum, lanes);
            }
            c += lanes;
        }
    }
}

/// The factors of an image, or those of all images.
#[inline(always)]
fn own_factors(factors: &[f32], n: usize, image: usize) -> &[f32] {
    if factors.len() == n {
        factors
    } else {
        &factors[image * n..][..n]
    }
}

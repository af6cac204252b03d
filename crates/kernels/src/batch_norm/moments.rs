//! Sums over pixels, channel by channel, in two levels: single precision within a part of an image,
//! double precision over the parts in their order. The images alone decide about the parts, so that
//! threads change no bit.

use super::Images;
use crate::detect::{Kernel, dispatch};
use crate::elementwise::image_parts;
use crate::math::swish_and_slope;
use crate::parallel::{Shared, for_ranges};
use crate::rows::{load, store};
use crate::scratch::Scratch;
use crate::simd::Simd;
use std::ops::Range;

/// Rows that are summed in single precision at most.
pub(crate) const PART: usize = crate::elementwise::PIXELS_PER_SUM;

/// Per-channel numbers of a normalisation: `(h - mean) * scale + shift`.
#[derive(Clone, Copy)]
pub(crate) struct Channels {
    pub mean: *const f32,
    pub scale: *const f32,
    pub shift: *const f32,
}

impl Channels {
    /// The normalised value of a vector of channels from `c` on, and `h - mean`.
    ///
    /// # Safety
    /// `n` numbers must be readable from there on.
    #[inline(always)]
    pub unsafe fn normalise<S: Simd>(self, s: S, h: S::F, c: usize, n: usize) -> (S::F, S::F) {
        // SAFETY: promised by the caller.
        unsafe {
            let centred = s.sub(h, load(s, self.mean.add(c), n));
            let scale = load(s, self.scale.add(c), n);
            let shift = load(s, self.shift.add(c), n);
            (s.fma(centred, scale, shift), centred)
        }
    }
}

/// Mean and sum of squared deviations from it of up to [`PART`] rows of `n` channels.
///
/// Deviations are taken from the first row, so that a mean far from 0 costs no precision.
///
/// # Safety
/// `rows > 0` rows of `n` numbers, `stride` apart, must be readable, `mean` and `squares` writable.
#[inline(always)]
pub(crate) unsafe fn row_moments<S: Simd>(
    s: S,
    from: *const f32,
    stride: usize,
    rows: usize,
    n: usize,
    mean: *mut f32,
    squares: *mut f32,
) {
    let mut c = 0;
    while c < n {
        let lanes = S::LANES.min(n - c);
        // SAFETY: promised by the caller.
        unsafe {
            let pivot = load(s, from.add(c), lanes);
            let mut sums = [s.splat(0.0); 2];
            let mut sums_of_squares = [s.splat(0.0); 2];
            // Two chains of additions, so that neither waits for itself.
            let mut row = 1;
            while row < rows {
                let pair = 2.min(rows - row);
                for i in 0..pair {
                    let d = s.sub(load(s, from.add((row + i) * stride + c), lanes), pivot);
                    sums[i] = s.add(sums[i], d);
                    sums_of_squares[i] = s.fma(d, d, sums_of_squares[i]);
                }
                row += pair;
            }
            let sum = s.add(sums[0], sums[1]);
            let share = s.mul(sum, s.splat(1.0 / rows as f32));
            store(s, mean.add(c), s.add(pivot, share), lanes);
            let total = s.add(sums_of_squares[0], sums_of_squares[1]);
            let total = s.max(s.splat(0.0), s.fnma(sum, share, total));
            store(s, squares.add(c), total, lanes);
        }
        c += lanes;
    }
}

/// Where the numbers of [`row_products`] go beside the sums, rows at the same distance as what is read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept {
    /// `u`; it may take the place of `d`.
    pub slope: Option<*mut f32>,
    /// The swish of the normalised `h`, where `swish` is set.
    pub activation: Option<*mut f32>,
}

/// Sums over up to [`PART`] rows, `stride` apart, of `u` and of `u * (h - mean)`; `u` is `d`, or `d` times
/// the slope of swish at the normalised `h` where `swish` is set.
///
/// # Safety
/// `rows` rows of `n` numbers must be readable, the results writable.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn row_products<S: Simd>(
    s: S,
    (d, h, stride): (*const f32, *const f32, usize),
    (rows, n): (usize, usize),
    channels: Channels,
    swish: bool,
    kept: Kept,
    [sums, products]: [*mut f32; 2],
) {
    let mut c = 0;
    while c < n {
        let lanes = S::LANES.min(n - c);
        // SAFETY: promised by the caller.
        unsafe {
            let mut sum = s.splat(0.0);
            let mut product = s.splat(0.0);
            for row in 0..rows {
                let at = row * stride + c;
                let h = load(s, h.add(at), lanes);
                let (value, centred) = channels.normalise(s, h, c, lanes);
                let mut u = load(s, d.add(at), lanes);
                if swish {
                    let (activation, slope) = swish_and_slope(s, value);
                    u = s.mul(u, slope);
                    if let Some(to) = kept.activation {
                        store(s, to.add(at), activation, lanes);
                    }
                }
                if let Some(to) = kept.slope {
                    store(s, to.add(at), u, lanes);
                }
                sum = s.add(sum, u);
                product = s.fma(u, centred, product);
            }
            store(s, sums.add(c), sum, lanes);
            store(s, products.add(c), product, lanes);
        }
        c += lanes;
    }
}

/// Means and sums of squared deviations, channel by channel, of growing many rows.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub fn new(channels: usize) -> Self {
        Self {
            count: 0.0,
            mean: vec![0.0; channels],
            squares: vec![0.0; channels],
        }
    }

    /// Adds what [`row_moments`] found in `rows` rows.
    #[inline(always)]
    pub fn add(&mut self, rows: usize, mean: &[f32], squares: &[f32]) {
        let rows = rows as f64;
        let total = self.count + rows;
        let (share, weight) = (rows / total, self.count * rows / total);
        let sums = self.mean.iter_mut().zip(&mut self.squares);
        for ((m, q), (&mean, &squares)) in sums.zip(mean.iter().zip(squares)) {
            let difference = f64::from(mean) - *m;
            *m += difference * share;
            *q += f64::from(squares) + difference * difference * weight;
        }
        self.count = total;
    }

    /// Mean and biased variance.
    pub fn finish(self) -> super::Statistics {
        let count = self.count.max(1.0);
        super::Statistics {
            mean: self.mean.iter().map(|&m| m as f32).collect(),
            variance: self.squares.iter().map(|q| (q / count) as f32).collect(),
        }
    }
}

/// Two numbers for every channel of every part of every image.
pub(crate) struct Parts {
    images: Images,
    parts: Vec<Range<usize>>,
    numbers: Scratch,
}

impl Parts {
    /// Means and sums of squared deviations of `x`.
    pub fn moments(images: Images, x: &[f32]) -> Self {
        let channels = images.channels;
        Self::make(images, 4, |part, to| {
            let from = &x[part.start * channels..part.end * channels];
            dispatch(PartMoments { from, channels, to });
        })
    }

    /// Sums of `d`, or of its product with the slope of swish, and of that times `h - mean`.
    ///
    /// # Safety
    /// `channels` must be readable for all channels.
    pub unsafe fn products(
        images: Images,
        (d, h): (&[f32], &[f32]),
        channels: Channels,
        swish: bool,
    ) -> Self {
        let scaling = SharedChannels(channels);
        let scaling = &scaling;
        let n = images.channels;
        Self::make(images, if swish { 30 } else { 6 }, move |part, to| {
            let numbers = part.start * n..part.end * n;
            dispatch(PartProducts {
                d: &d[numbers.clone()],
                h: &h[numbers],
                n,
                channels: scaling.0,
                swish,
                to,
            });
        })
    }

    fn make(
        images: Images,
        operations: usize,
        compute: impl Fn(Range<usize>, &mut [f32]) + Sync,
    ) -> Self {
        let parts: Vec<_> = image_parts(images.batch, images.pixels).collect();
        let size = 2 * images.channels;
        let mut numbers = Scratch::take(parts.len() * size);
        let to = Shared(numbers.as_mut_ptr());
        for_ranges(parts.len(), 1, operations * images.length(), |range| {
            for i in range {
                // SAFETY: each part has a place of its own.
                let to = unsafe { std::slice::from_raw_parts_mut(to.after(i * size), size) };
                compute(parts[i].clone(), to);
            }
        });
        Self {
            images,
            parts,
            numbers,
        }
    }

    fn each(&self) -> impl Iterator<Item = (&Range<usize>, &[f32], &[f32])> {
        let n = self.images.channels;
        self.parts.iter().enumerate().map(move |(i, part)| {
            let (first, second) = self.numbers[2 * n * i..][..2 * n].split_at(n);
            (part, first, second)
        })
    }

    /// The moments of the whole batch.
    pub fn total_moments(&self) -> Moments {
        let mut moments = Moments::new(self.images.channels);
        for (part, mean, squares) in self.each() {
            moments.add(part.len(), mean, squares);
        }
        moments
    }

    /// The means of each image, `[batch, channels]`, where the parts hold moments.
    pub fn image_means(&self) -> Vec<f64> {
        let n = self.images.channels;
        let mut means = vec![0.0; self.images.batch * n];
        for (part, mean, _) in self.each() {
            let share = part.len() as f64 / self.images.pixels as f64;
            let to = &mut means[part.start / self.images.pixels * n..][..n];
            for (to, &mean) in to.iter_mut().zip(mean) {
                *to += share * f64::from(mean);
            }
        }
        means
    }

    /// The two sums of each image, `[batch, channels]` each, where the parts hold products.
    pub fn image_sums(&self) -> [Vec<f64>; 2] {
        let n = self.images.channels;
        let mut sums = [(); 2].map(|()| vec![0.0; self.images.batch * n]);
        for (part, first, second) in self.each() {
            let at = part.start / self.images.pixels * n;
            for (sums, part) in sums.iter_mut().zip([first, second]) {
                for (sum, &more) in sums[at..at + n].iter_mut().zip(part) {
                    *sum += f64::from(more);
                }
            }
        }
        sums
    }
}

/// [`Channels`] that several threads read.
struct SharedChannels(Channels);
// SAFETY: they are only read.
unsafe impl Sync for SharedChannels {}

struct PartMoments<'a> {
    from: &'a [f32],
    channels: usize,
    to: &'a mut [f32],
}

impl Kernel for PartMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (n, from) = (self.channels, self.from.as_ptr());
        let (mean, squares) = self.to.split_at_mut(n);
        let (mean, squares) = (mean.as_mut_ptr(), squares.as_mut_ptr());
        // SAFETY: both results have `n` numbers, what is read whole rows.
        unsafe { row_moments(s, from, n, self.from.len() / n, n, mean, squares) };
    }
}

struct PartProducts<'a> {
    d: &'a [f32],
    h: &'a [f32],
    n: usize,
    channels: Channels,
    swish: bool,
    to: &'a mut [f32],
}

impl Kernel for PartProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.n;
        assert!(self.d.len() == self.h.len() && self.to.len() == 2 * n);
        let to = self.to.as_mut_ptr();
        let size = (self.d.len() / n, n);
        let from = (self.d.as_ptr(), self.h.as_ptr(), n);
        let kept = Kept::default();
        // SAFETY: lengths were checked, the channels promised.
        unsafe {
            let to = [to, to.add(n)];
            row_products(s, from, size, self.channels, self.swish, kept, to);
        }
    }
}

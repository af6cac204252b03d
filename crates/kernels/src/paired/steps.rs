//! Pixels in pairs.

use super::Tap;
use crate::detect::{Kernel, dispatch};
use crate::gelu::gelu;
use crate::grid::{Grid, Map};
use crate::parallel::{Job, Shared};
use crate::precision::Precision;
use crate::rows::{load, store};
use crate::simd::Simd;
use std::ops::Range;

/// How the pixels of a grid are paired: neighbours in each line, the last of a line of odd length
/// with nothing.
///
/// A 3x3 convolution needs its inputs at each step three times: the pixels of the step, those one
/// to the left and those one to the right; the latter are the next step's to the left. So the
/// inputs are laid out in places, each with two copies of the channels: the step's own pixels and
/// those one to the left; a line has one more place than steps, and an image two more lines.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    images: usize,
    height: usize,
    width: usize,
    border: usize,
}

impl Steps {
    /// The steps for a convolution that needs the grid's border.
    pub fn of(grid: Grid) -> Self {
        if grid.is_plain() {
            // Where no input has neighbours, all pixels are one line.
            return Self {
                images: 1,
                height: 1,
                width: grid.pixels(),
                border: 0,
            };
        }
        Self {
            images: grid.batch,
            height: grid.height,
            width: grid.width,
            border: 1,
        }
    }

    /// Steps in a line.
    fn line(self) -> usize {
        self.width.div_ceil(2)
    }

    /// Steps in total.
    pub fn count(self) -> usize {
        self.images * self.height * self.line()
    }

    /// Copies of the channels at a place of inputs.
    pub fn copies(self) -> usize {
        1 + self.border
    }

    /// Places of inputs.
    pub fn input_places(self) -> usize {
        self.lines() * (self.line() + self.border)
    }

    /// Lines of inputs.
    fn lines(self) -> usize {
        self.images * (self.height + 2 * self.border)
    }

    /// The place of a step's inputs.
    #[inline(always)]
    pub fn place(self, step: usize) -> usize {
        if self.border == 0 {
            return step;
        }
        let (line, column) = (step / self.line(), step % self.line());
        let line = line + 2 * (line / self.height) + 1;
        line * (self.line() + 1) + column
    }

    /// How many steps from this one on, at most `limit`, have consecutive places.
    #[inline(always)]
    pub fn run(self, step: usize, limit: usize) -> usize {
        limit.min(self.line() - step % self.line())
    }

    /// The taps of a convolution that fall into the image somewhere.
    pub fn taps(self, kernel: usize, channels: usize) -> Vec<Tap> {
        if self.border == 0 {
            return vec![Tap {
                offset: 0,
                row: kernel * kernel / 2 * channels,
            }];
        }
        let line = (2 * (self.line() + 1) * channels) as isize;
        let shifts = [channels, 0, 3 * channels].map(|shift| shift as isize);
        let tap = |tap: usize| Tap {
            offset: (tap as isize / 3 - 1) * line + shifts[tap % 3],
            row: tap * channels,
        };
        (0..9).map(tap).collect()
    }

    /// Lays pixels out step by step, `[steps, channels]`.
    ///
    /// # Safety
    /// The buffers must be alive and of the pixels that the steps were made for.
    pub unsafe fn write(self, from: Pixels, to: &mut [f32]) -> Job<'_> {
        let channels = from.channels();
        assert!(to.len() >= self.count() * channels);
        let to = Shared(to.as_mut_ptr());
        Job {
            count: self.count(),
            granule: 8,
            operations: self.operations(from),
            body: Box::new(move |range| {
                dispatch(Write {
                    steps: self,
                    from,
                    to,
                    range,
                });
            }),
        }
    }

    /// Lays pixels out as inputs, `[places, copies, channels]`.
    ///
    /// # Safety
    /// As for [`Steps::write`].
    pub unsafe fn write_inputs(self, from: Pixels, to: &mut [f32]) -> Job<'_> {
        if self.border == 0 {
            // SAFETY: promised by the caller.
            return unsafe { self.write(from, to) };
        }
        assert!(to.len() >= self.input_places() * 2 * from.channels());
        let to = Shared(to.as_mut_ptr());
        Job {
            count: self.lines(),
            granule: 1,
            operations: 2 * self.operations(from),
            body: Box::new(move |range| {
                dispatch(WriteLines {
                    steps: self,
                    from,
                    to,
                    range,
                });
            }),
        }
    }

    /// What laying pixels out is worth in multiplications and additions.
    fn operations(self, from: Pixels) -> usize {
        let each = if from.gelu { 60 } else { 10 };
        2 * self.count() * from.channels() * each
    }
}

/// The channels of one buffer, and then another's.
#[derive(Clone, Copy)]
pub(crate) struct Pixels {
    pub first: Map,
    pub second: Option<Map>,
    /// Whether it is their gelu that is asked for.
    pub gelu: bool,
}

impl Pixels {
    /// A buffer as it is.
    pub fn as_they_are(map: Map) -> Self {
        Self {
            first: map,
            second: None,
            gelu: false,
        }
    }

    /// Channels in total.
    #[inline(always)]
    pub fn channels(self) -> usize {
        self.first.channels + self.second.map_or(0, |second| second.channels)
    }

    /// Writes the pairs of two pixels' channels; where there is no pixel, zero.
    ///
    /// # Safety
    /// The pixels must be those of living buffers, `to` writable for all channels.
    #[inline(always)]
    unsafe fn write<S: Simd>(self, s: S, pixels: [Option<usize>; 2], to: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe {
            pair_channels(s, self.first, self.gelu, pixels, to);
            if let Some(second) = self.second {
                pair_channels(s, second, self.gelu, pixels, to.add(self.first.channels));
            }
        }
    }
}

/// Writes the pairs of two pixels' channels of one buffer.
#[inline(always)]
unsafe fn pair_channels<S: Simd>(
    s: S,
    map: Map,
    activate: bool,
    pixels: [Option<usize>; 2],
    to: *mut f32,
) {
    let mut from = [None; 2];
    for i in 0..2 {
        if let Some(pixel) = pixels[i] {
            // SAFETY: promised by the caller.
            from[i] = Some(unsafe { map.pixel(pixel) }.cast_const());
        }
    }
    // SAFETY: both pixels have all channels.
    unsafe {
        match map.precision {
            Precision::Fp32 => pair_numbers(s, from, activate, to, map.channels),
            Precision::Bf16 => pair_pairs(s, from, activate, to, map.channels),
        }
    }
}

/// Pairs of two rows of `count` numbers.
#[inline(always)]
unsafe fn pair_numbers<S: Simd>(
    s: S,
    from: [Option<*const f32>; 2],
    activate: bool,
    to: *mut f32,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        let n = S::LANES.min(count - i);
        let mut rows = [s.splat(0.0); 2];
        // SAFETY: `n` numbers from `i` on are within `count`.
        unsafe {
            for r in 0..2 {
                if let Some(from) = from[r] {
                    rows[r] = load(s, from.add(i), n);
                    if activate {
                        rows[r] = gelu(s, rows[r]);
                    }
                }
            }
            store(s, to.add(i), s.join_pairs(rows[0], rows[1]), n);
        }
        i += n;
    }
}

/// Pairs of two rows of `count` numbers that are themselves stored in pairs.
#[inline(always)]
unsafe fn pair_pairs<S: Simd>(
    s: S,
    from: [Option<*const f32>; 2],
    activate: bool,
    to: *mut f32,
    count: usize,
) {
    let mut i = 0;
    while i < count {
        let n = (2 * S::LANES).min(count - i);
        let mut rows = [s.splat(0.0); 2];
        // SAFETY: `n` numbers from `i` on are within `count`.
        unsafe {
            for r in 0..2 {
                if let Some(from) = from[r] {
                    rows[r] = load(s, from.add(i / 2), n.div_ceil(2));
                    if activate {
                        let [a, b] = s.widen_pairs(rows[r]);
                        rows[r] = s.round_pairs(gelu(s, a), gelu(s, b));
                    }
                }
            }
            let [low, high] = s.zip_pairs(rows[0], rows[1]);
            store(s, to.add(i), low, n.min(S::LANES));
            if n > S::LANES {
                store(s, to.add(i + S::LANES), high, n - S::LANES);
            }
        }
        i += n;
    }
}

/// Lays out some steps.
struct Write {
    steps: Steps,
    from: Pixels,
    to: Shared,
    range: Range<usize>,
}

impl Kernel for Write {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (width, per_line) = (self.steps.width, self.steps.line());
        for step in self.range {
            let (line, x) = (step / per_line, 2 * (step % per_line));
            let pixel = line * width + x;
            let mut pixels = [Some(pixel), None];
            if x + 1 < width {
                pixels[1] = Some(pixel + 1);
            }
            // SAFETY: `Steps::write` requires valid buffers, its ranges are disjoint.
            unsafe {
                let to = self.to.0.add(step * self.from.channels());
                self.from.write(s, pixels, to);
            }
        }
    }
}

/// Lays out some lines of inputs, those above and below images too.
struct WriteLines {
    steps: Steps,
    from: Pixels,
    to: Shared,
    range: Range<usize>,
}

impl Kernel for WriteLines {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Steps { height, width, .. } = self.steps;
        let (places, channels) = (self.steps.line() + 1, self.from.channels());
        for line in self.range.clone() {
            let (image, row) = (line / (height + 2), line % (height + 2));
            // SAFETY: `Steps::write_inputs` requires valid buffers, its ranges are disjoint.
            unsafe {
                let to = self.to.0.add(line * places * 2 * channels);
                if row == 0 || row == height + 1 {
                    to.write_bytes(0, places * 2 * channels);
                    continue;
                }
                let first = (image * height + row - 1) * width;
                for place in 0..places {
                    let to = to.add(place * 2 * channels);
                    let x = 2 * place;
                    let pixels = [pixel_at(first, x, width), pixel_at(first, x + 1, width)];
                    self.from.write(s, pixels, to);
                    let mut left = [None, pixels[0]];
                    if x > 0 {
                        left[0] = pixel_at(first, x - 1, width);
                    }
                    self.from.write(s, left, to.add(channels));
                }
            }
        }
    }
}

/// A pixel of a line that starts at `first`, if it has that many.
#[inline(always)]
fn pixel_at(first: usize, x: usize, width: usize) -> Option<usize> {
    if x < width { Some(first + x) } else { None }
}

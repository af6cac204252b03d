//! The innermost loops: a panel of channels of one image, inside a border.
//!
//! A panel is as many channels as caches bear, a multiple of every instruction set's lanes; the channels
//! that there are not are computed with whatever stands there, and used by nobody.

use crate::math::swish;
use crate::rows::{load, store};
use crate::simd::Simd;

/// Channels of a panel.
pub(crate) const PANEL: usize = 48;

/// An image of a panel of channels: the numbers from one line of pixels to the next, and from one pixel
/// to the next.
#[derive(Clone, Copy)]
pub(crate) struct Plane {
    pub line: usize,
    pub pixel: usize,
}

impl Plane {
    /// Lines of `width` pixels of one panel each, inside a border.
    #[inline(always)]
    pub fn bordered(width: usize, border: usize) -> Self {
        Self {
            line: (width + 2 * border) * PANEL,
            pixel: PANEL,
        }
    }
}

/// Numbers of a bordered image of a panel.
pub(crate) fn bordered_length(height: usize, width: usize, border: usize) -> usize {
    (height + 2 * border) * (width + 2 * border) * PANEL
}

/// The weights of a panel, `[taps, PANEL]`, zero beyond the channels; in reverse order if asked, as the
/// gradient of the input needs them.
///
/// # Safety
/// `weights` must be `[taps, channels]`, `to` writable for `taps * PANEL` numbers.
#[inline(always)]
pub(crate) unsafe fn panel_weights<S: Simd>(
    s: S,
    (weights, channels): (&[f32], usize),
    start: usize,
    reversed: bool,
    to: *mut f32,
) {
    let taps = weights.len() / channels;
    for tap in 0..taps {
        let place = if reversed { taps - 1 - tap } else { tap };
        for c in (0..PANEL).step_by(S::LANES) {
            let from = (start + c).min(channels);
            let row = &weights[tap * channels + from..(tap + 1) * channels];
            // SAFETY: promised by the caller.
            unsafe { s.store_ptr(to.add(place * PANEL + c), s.load_partial(row)) };
        }
    }
}

/// `to[y][x] = sum over taps of from[y + dy][x + dx] * weights[dy][dx]` for a panel; `from` is bordered,
/// of `n` channels all results are stored.
///
/// Every result is one chain of additions in one order, whatever tile it falls into.
///
/// # Safety
/// `from` must be readable for a bordered image, `weights` for `K * K` rows of a panel, `to` writable.
#[inline(always)]
pub(crate) unsafe fn correlate<S: Simd, const K: usize>(
    s: S,
    (from, plane): (*const f32, Plane),
    weights: *const f32,
    (height, width): (usize, usize),
    (to, to_plane): (*mut f32, Plane),
    n: usize,
) {
    let mut c = 0;
    while c < n {
        let lanes = S::LANES.min(n - c);
        for y in 0..height {
            let mut x = 0;
            // SAFETY: promised by the caller.
            unsafe {
                let from = from.add(y * plane.line + c);
                let to = to.add(y * to_plane.line + c);
                while x < width {
                    let from = (from.add(x * plane.pixel), plane);
                    let to = (to.add(x * to_plane.pixel), to_plane.pixel);
                    let weights = weights.add(c);
                    x += match width - x {
                        left if left >= 8 && S::REGISTERS >= 32 => {
                            tile::<S, K, 8>(s, from, weights, to, lanes)
                        }
                        left if left >= 4 => tile::<S, K, 4>(s, from, weights, to, lanes),
                        _ => tile::<S, K, 1>(s, from, weights, to, lanes),
                    };
                }
            }
        }
        c += lanes;
    }
}

/// The most inputs in a line that a tile needs.
const INPUTS: usize = 8 + 4;

/// `T` results side by side; returns `T`.
#[inline(always)]
unsafe fn tile<S: Simd, const K: usize, const T: usize>(
    s: S,
    (from, plane): (*const f32, Plane),
    weights: *const f32,
    (to, distance): (*mut f32, usize),
    lanes: usize,
) -> usize {
    let mut sum = [s.splat(0.0); T];
    // SAFETY: promised by the caller of `correlate`.
    unsafe {
        for dy in 0..K {
            let line = from.add(dy * plane.line);
            let mut inputs = [s.splat(0.0); INPUTS];
            for i in 0..T + K - 1 {
                inputs[i] = s.load_ptr(line.add(i * plane.pixel));
            }
            for dx in 0..K {
                let weight = s.load_ptr(weights.add((dy * K + dx) * PANEL));
                for t in 0..T {
                    sum[t] = s.fma(inputs[t + dx], weight, sum[t]);
                }
            }
        }
        for t in 0..T {
            store(s, to.add(t * distance), sum[t], lanes);
        }
    }
    T
}

/// Adds to `to`, `[K * K, PANEL]`, the gradient of the weights that an image contributes:
/// `sum over y, x of from[y + dy][x + dx] * slope[y][x]`.
///
/// # Safety
/// `from` must be readable for a bordered image, `slope` for an image, both for a whole panel.
#[inline(always)]
pub(crate) unsafe fn add_tap_gradients<S: Simd, const K: usize>(
    s: S,
    (from, plane): (*const f32, Plane),
    (slope, slope_plane): (*const f32, Plane),
    (height, width): (usize, usize),
    n: usize,
    to: *mut f32,
) {
    for c in (0..n).step_by(S::LANES) {
        for dy in 0..K {
            // Two sums a tap, so that additions need not wait for one another.
            let mut sums = [[s.splat(0.0); K]; 2];
            for y in 0..height {
                let mut x = 0;
                // SAFETY: promised by the caller.
                unsafe {
                    let from = from.add((y + dy) * plane.line + c);
                    let slope = slope.add(y * slope_plane.line + c);
                    while x < width {
                        let from = (from.add(x * plane.pixel), plane.pixel);
                        let slope = (slope.add(x * slope_plane.pixel), slope_plane.pixel);
                        x += match width - x {
                            left if left >= 4 => line::<S, K, 4>(s, from, slope, &mut sums),
                            _ => line::<S, K, 1>(s, from, slope, &mut sums),
                        };
                    }
                }
            }
            for dx in 0..K {
                // SAFETY: promised by the caller.
                unsafe {
                    let to = to.add((dy * K + dx) * PANEL + c);
                    let sum = s.add(sums[0][dx], sums[1][dx]);
                    s.store_ptr(to, s.add(s.load_ptr(to), sum));
                }
            }
        }
    }
}

/// What `T` pixels contribute to the taps of a line; returns `T`.
#[inline(always)]
unsafe fn line<S: Simd, const K: usize, const T: usize>(
    s: S,
    (from, from_distance): (*const f32, usize),
    (slope, slope_distance): (*const f32, usize),
    sums: &mut [[S::F; K]; 2],
) -> usize {
    let mut inputs = [s.splat(0.0); INPUTS];
    // SAFETY: promised by the caller of `add_tap_gradients`.
    unsafe {
        for i in 0..T + K - 1 {
            inputs[i] = s.load_ptr(from.add(i * from_distance));
        }
        for t in 0..T {
            let slope = s.load_ptr(slope.add(t * slope_distance));
            for dx in 0..K {
                sums[t % 2][dx] = s.fma(inputs[t + dx], slope, sums[t % 2][dx]);
            }
        }
    }
    T
}

/// How the numbers of an image are changed as they are copied inside a border.
#[derive(Clone, Copy)]
pub(crate) struct Transform {
    /// `swish((x - mean) * scale + shift)`, one number for each channel of a panel: if none, as they are.
    pub channels: Option<crate::batch_norm::Channels>,
    /// How often a pixel is repeated in each direction: 1 or 2.
    pub repeat: usize,
}

/// Copies an image of `n` channels inside a border that is left as it is.
///
/// # Safety
/// `from` must be readable for `n` channels of all pixels, `to` writable for the bordered image of
/// `repeat` times the sides; the channels of the transform readable for a panel.
#[inline(always)]
pub(crate) unsafe fn fill_bordered<S: Simd>(
    s: S,
    (from, plane): (*const f32, Plane),
    (height, width): (usize, usize),
    n: usize,
    transform: Transform,
    (to, border): (*mut f32, usize),
) {
    let Transform { channels, repeat } = transform;
    let to_plane = Plane::bordered(repeat * width, border);
    for y in 0..height {
        for x in 0..width {
            let mut c = 0;
            while c < n {
                let lanes = S::LANES.min(n - c);
                // SAFETY: promised by the caller.
                unsafe {
                    let from = from.add(y * plane.line + x * plane.pixel + c);
                    let mut a = load(s, from, lanes);
                    if let Some(channels) = channels {
                        let (value, _) = channels.normalise(s, a, c, S::LANES);
                        a = swish(s, value);
                    }
                    for i in 0..repeat * repeat {
                        let (dy, dx) = (i / repeat, i % repeat);
                        let line = (repeat * y + dy + border) * to_plane.line;
                        let column = (repeat * x + dx + border) * PANEL;
                        s.store_ptr(to.add(line + column + c), a);
                    }
                }
                c += lanes;
            }
        }
    }
}

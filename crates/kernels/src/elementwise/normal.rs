//! Standard normal numbers from random bits.

use super::expect_len;
use crate::detect::{Kernel, dispatch};
use crate::math::ln;
use crate::simd::Simd;

/// Numbers that are made together, from as many words.
pub const GROUP: usize = 32;
const HALF: usize = GROUP / 2;

/// `sin(2 pi f) / f` and `cos(2 pi f)` in powers of `f^2`, |f| <= 1/8; errors 2e-8 and 7e-9.
const SIN: [f32; 4] = [6.283_185_5, -41.341_663, 81.592_545, -75.401_84];
const COS: [f32; 5] = [1.0, -19.739_208, 64.939_316, -85.442_85, 59.220_287];

/// Fills `out` with standard normal numbers made of uniformly random `words`, of which there must be as
/// many, up to a whole [`GROUP`]. The k-th number and the k + 16-th of a group come from the same two words,
/// by the method of G. Box and M. Muller, "A Note on the Generation of Random Normal Deviates" (1958); none
/// is larger than 6.8.
///
/// # Panics
/// If the lengths do not agree.
pub fn normal(words: &[u32], out: &mut [f32]) {
    expect_len("words", words.len(), out.len().next_multiple_of(GROUP));
    dispatch(Normal { words, out });
}

struct Normal<'a> {
    words: &'a [u32],
    out: &'a mut [f32],
}

impl Kernel for Normal<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (words, out) in self.words.chunks(GROUP).zip(self.out.chunks_mut(GROUP)) {
            if out.len() == GROUP {
                group(s, words, out);
            } else {
                let mut whole = [0.0; GROUP];
                group(s, words, &mut whole);
                out.copy_from_slice(&whole[..out.len()]);
            }
        }
    }
}

/// Makes a group of numbers of the first words.
#[inline(always)]
fn group<S: Simd>(s: S, words: &[u32], out: &mut [f32]) {
    let words = &words[..GROUP];
    // SAFETY: there are so many words, and any bits are numbers.
    let load = |i: usize| s.to_bits(unsafe { s.load_ptr(words[i..].as_ptr().cast()) });
    for i in (0..HALF).step_by(S::LANES) {
        let radius = radius(s, load(i));
        let [cos, sin] = direction(s, load(HALF + i));
        s.store(&mut out[i..], s.mul(radius, cos));
        s.store(&mut out[HALF + i..], s.mul(radius, sin));
    }
}

/// `sqrt(-2 ln u)`, where u is the word plus a half, in 2^-32.
#[inline(always)]
fn radius<S: Simd>(s: S, word: S::I) -> S::F {
    let low_half = s.splat_i(0xffff);
    let high = s.to_float(s.and_i(s.shr_i::<16>(word), low_half));
    let low = s.to_float(s.and_i(word, low_half));
    let low = s.mul(s.add(low, s.splat(0.5)), s.splat(2.0_f32.powi(-32)));
    let u = s.fma(high, s.splat(2.0_f32.powi(-16)), low);
    // u may have been rounded to 1, whose logarithm is 0.
    s.sqrt(s.mul(ln(s, u), s.splat(-2.0)))
}

/// Cosine and sine of the angle of 2^-32 turns times the word, which is signed.
#[inline(always)]
fn direction<S: Simd>(s: S, word: S::I) -> [S::F; 2] {
    let polynomial = |c: &[f32], x: S::F| {
        let rest = c[..c.len() - 1].iter().rev();
        rest.fold(s.splat(c[c.len() - 1]), |sum, &c| s.fma(sum, x, s.splat(c)))
    };
    let quarters = s.mul(s.to_float(word), s.splat(2.0_f32.powi(-30)));
    let quarter = s.round_to_int(quarters);
    let f = s.mul(s.sub(quarters, s.to_float(quarter)), s.splat(0.25));
    let f2 = s.mul(f, f);
    let sin = s.mul(f, polynomial(&SIN, f2));
    let cos = polynomial(&COS, f2);
    // A turn by one quarter makes (cos, sin) to (-sin, cos), by two changes both signs.
    let odd = s.to_float(s.and_i(quarter, s.splat_i(1)));
    let odd = s.lt(s.splat(0.5), odd);
    let sign = |quarter: S::I, a: S::F| {
        let sign = s.and_i(s.shl_i::<30>(quarter), s.splat_i(i32::MIN));
        s.from_bits(s.xor_i(s.to_bits(a), sign))
    };
    let next = s.add_i(quarter, s.splat_i(1));
    [
        sign(next, s.select(odd, sin, cos)),
        sign(quarter, s.select(odd, cos, sin)),
    ]
}

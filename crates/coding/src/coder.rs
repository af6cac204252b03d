//! The stack of bits that all codecs push to and pop from.

use crate::error::CodingError;
use constriction::backends::{ReadWords, WriteWords};
use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use constriction::stream::stack::AnsCoder;
use constriction::stream::{Decode, Encode};
use constriction::{CoderError, Stack};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::num::NonZeroU32;

/// Frequencies are integers that sum to 2 to this power.
///
/// The state of the coder has 64 bits, of which 32 always stay: with 28 bits what rounding the
/// state costs is below 1e-5 bits a symbol, and a probability is exact to 4e-9.
pub const PRECISION: usize = 28;

/// The state of a coder that holds nothing: the least that the coder works with.
const EMPTY_STATE: u64 = 1 << 32;

/// The seed of the bits below the first image: any fixed one does.
const SEED: [u8; 32] = *b"vdvae bits-back: the first bits.";

/// A share of the range `0 .. 2^precision`: what a symbol costs is minus the log of its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First integer of the interval.
    pub start: u32,
    /// One after the last.
    pub end: u32,
}

impl Interval {
    /// Whether `quantile` lies in the interval.
    pub fn contains(&self, quantile: u32) -> bool {
        (self.start..self.end).contains(&quantile)
    }
}

/// What a stream of an archive holds: a coder at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The head of the coder, at least 2^32.
    pub state: u64,
    /// The words below the head, bottom first.
    pub words: Vec<u32>,
    /// How many words of the seed were consumed; they stand at the bottom again once everything
    /// has been popped.
    pub seed_words: u64,
}

impl Stream {
    /// Bytes that the words and the head take.
    pub fn bytes(&self) -> u64 {
        8 + 4 * self.words.len() as u64
    }
}

/// A stack of bits: what is pushed last is popped first, and every push and pop is the exact
/// inverse of the other, also of the state within.
///
/// Popping from an empty stack is what bits-back coding begins with. A [seeded](Self::seeded)
/// coder therefore stands on an endless, fixed stream of random words, and counts how many were
/// taken. A coder [of a stream](Self::from_stream) has nothing below: popping too much is an
/// error there, since only damaged data leads to it.
///
/// ```
/// use vdvae_coding::{Coder, LatentCodec, Normals};
///
/// let latents: LatentCodec = LatentCodec::new(14)?;
/// let prior = Normals { mean: &[0.0, 1.0], log_sigma: &[0.0, -1.0] };
/// let posterior = Normals { mean: &[0.5, 0.8], log_sigma: &[-2.0, -1.5] };
///
/// let mut coder = Coder::seeded();
/// let mut cells = [0; 2];
/// latents.pop_posterior(&mut coder, prior, posterior, &mut cells)?;
/// latents.push_prior(&mut coder, &cells)?;
///
/// let mut coder = Coder::from_stream(coder.into_stream())?;
/// let mut again = [0; 2];
/// latents.pop_prior(&mut coder, &mut again)?;
/// assert_eq!(again, cells);
/// latents.push_posterior(&mut coder, prior, posterior, &again)?;
/// coder.verify_drained()?;
/// # Ok::<(), vdvae_coding::CodingError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Coder {
    ans: AnsCoder<u32, u64, Words>,
}

impl Coder {
    /// An empty stack on top of the endless seed.
    pub fn seeded() -> Self {
        let words = Words {
            words: Vec::new(),
            seed: Some(ChaCha8Rng::from_seed(SEED)),
            taken: 0,
        };
        Self {
            ans: AnsCoder::from_raw_parts(words, EMPTY_STATE),
        }
    }

    /// The stack as [`into_stream`](Self::into_stream) left it, without a seed below.
    ///
    /// # Errors
    /// If the state is none that a coder can be in.
    pub fn from_stream(stream: Stream) -> Result<Self, CodingError> {
        if stream.state < EMPTY_STATE {
            return Err(CodingError::State(stream.state));
        }
        let words = Words {
            words: stream.words,
            seed: None,
            taken: stream.seed_words,
        };
        Ok(Self {
            ans: AnsCoder::from_raw_parts(words, stream.state),
        })
    }

    /// What is to be kept of the stack.
    pub fn into_stream(self) -> Stream {
        let (words, state) = self.ans.into_raw_parts();
        Stream {
            state,
            words: words.words,
            seed_words: words.taken,
        }
    }

    /// Checks, after everything has been popped, that what remains is the seed and nothing else.
    ///
    /// # Errors
    /// If it is not: the stream or the model is not what was compressed with.
    pub fn verify_drained(&self) -> Result<(), CodingError> {
        let words = self.ans.bulk();
        let left = words.words.len() as u64;
        if left != words.taken {
            return Err(CodingError::Drained {
                expected: words.taken,
                found: left,
            });
        }
        let mut seed = ChaCha8Rng::from_seed(SEED);
        let same = words.words.iter().rev().all(|&w| w == seed.next_u32());
        if same && self.state() == EMPTY_STATE {
            Ok(())
        } else {
            Err(CodingError::Seed)
        }
    }

    /// Words of the seed that were popped.
    pub fn seed_words(&self) -> u64 {
        self.ans.bulk().taken
    }

    /// Information on the stack in bits, less what came from the seed. What a push adds to this
    /// is its cost; pops make it less, below zero while the seed is being used.
    pub fn net_bits(&self) -> f64 {
        let words = self.ans.bulk();
        let count = words.words.len() as f64 - words.taken as f64;
        32.0 * (count - 1.0) + libm::log2(self.state() as f64)
    }

    fn state(&self) -> u64 {
        use constriction::stream::Code;
        self.ans.state()
    }

    /// Pushes the symbol that has `interval` of the range `0 .. 2^P`.
    ///
    /// # Errors
    /// If the interval is empty or not within the range: the symbol has no code.
    #[inline]
    pub fn push<const P: usize>(&mut self, interval: Interval) -> Result<(), CodingError> {
        let impossible = CodingError::Impossible(interval);
        if interval.end > 1 << P {
            return Err(impossible);
        }
        self.ans
            .encode_symbol((), Known::<P>(interval))
            .map_err(|_| impossible)
    }

    /// Pops a symbol: `find` gets an integer of `0 .. 2^P` and returns the symbol whose interval
    /// holds it, with that interval.
    ///
    /// # Errors
    /// If the stack has nothing left.
    #[inline]
    pub fn pop<const P: usize, T>(
        &mut self,
        find: impl Fn(u32) -> (T, Interval),
    ) -> Result<T, CodingError> {
        let result = self.ans.decode_symbol(Searched::<_, P>(find));
        result.map_err(|error| match error {
            CoderError::Backend(Exhausted) => CodingError::Exhausted,
            CoderError::Frontend(never) => match never {},
        })
    }

    /// Pushes the lowest `bits` bits of `value` as they are; `bits` is 1 to 16.
    ///
    /// # Errors
    /// If the value has more bits, or `bits` is out of range.
    pub fn push_bits(&mut self, value: u32, bits: u32) -> Result<(), CodingError> {
        check_bits(bits)?;
        let shift = PRECISION as u32 - bits;
        let start = if value >> bits == 0 {
            value << shift
        } else {
            1 << PRECISION
        };
        let end = start + (1 << shift);
        self.push::<PRECISION>(Interval { start, end })
    }

    /// Pops what [`push_bits`](Self::push_bits) pushed.
    ///
    /// # Errors
    /// If the stack has nothing left, or `bits` is out of range.
    pub fn pop_bits(&mut self, bits: u32) -> Result<u32, CodingError> {
        check_bits(bits)?;
        let shift = PRECISION as u32 - bits;
        self.pop::<PRECISION, _>(|quantile| {
            let value = quantile >> shift;
            let start = value << shift;
            let end = start + (1 << shift);
            (value, Interval { start, end })
        })
    }
}

fn check_bits(bits: u32) -> Result<(), CodingError> {
    if (1..=16).contains(&bits) {
        Ok(())
    } else {
        Err(CodingError::Setting {
            what: "number of plain bits",
            expected: "1 to 16",
            found: bits.into(),
        })
    }
}

/// The words below the coder's state, on an endless seed or on nothing.
#[derive(Clone, Debug)]
struct Words {
    words: Vec<u32>,
    seed: Option<ChaCha8Rng>,
    taken: u64,
}

impl<'a> IntoIterator for &'a Words {
    type Item = &'a u32;
    type IntoIter = std::slice::Iter<'a, u32>;

    fn into_iter(self) -> Self::IntoIter {
        self.words.iter()
    }
}

/// Nothing is left to pop.
#[derive(Debug)]
struct Exhausted;

impl ReadWords<u32, Stack> for Words {
    type ReadError = Exhausted;

    #[inline]
    fn read(&mut self) -> Result<Option<u32>, Exhausted> {
        if let Some(word) = self.words.pop() {
            return Ok(Some(word));
        }
        let seed = self.seed.as_mut().ok_or(Exhausted)?;
        self.taken += 1;
        Ok(Some(seed.next_u32()))
    }
}

impl WriteWords<u32> for Words {
    type WriteError = Infallible;

    #[inline]
    fn write(&mut self, word: u32) -> Result<(), Infallible> {
        self.words.push(word);
        Ok(())
    }
}

/// A model that knows the interval of the one symbol to push.
struct Known<const P: usize>(Interval);

impl<const P: usize> EntropyModel<P> for Known<P> {
    type Symbol = ();
    type Probability = u32;
}

impl<const P: usize> EncoderModel<P> for Known<P> {
    #[inline]
    fn left_cumulative_and_probability(&self, _: impl Borrow<()>) -> Option<(u32, NonZeroU32)> {
        let Interval { start, end } = self.0;
        let width = NonZeroU32::new(end.saturating_sub(start))?;
        Some((start, width))
    }
}

/// A model that finds the symbol of an integer.
struct Searched<F, const P: usize>(F);

impl<T, F: Fn(u32) -> (T, Interval), const P: usize> EntropyModel<P> for Searched<F, P> {
    type Symbol = T;
    type Probability = u32;
}

impl<T, F: Fn(u32) -> (T, Interval), const P: usize> DecoderModel<P> for Searched<F, P> {
    #[inline]
    fn quantile_function(&self, quantile: u32) -> (T, u32, NonZeroU32) {
        let (symbol, interval) = (self.0)(quantile);
        debug_assert!(interval.contains(quantile), "{interval:?} {quantile}");
        let width = NonZeroU32::new(interval.end.saturating_sub(interval.start));
        (symbol, interval.start, width.unwrap_or(NonZeroU32::MIN))
    }
}

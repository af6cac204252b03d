//! What can go wrong while coding.

use crate::coder::Interval;
use thiserror::Error;

/// Why symbols could not be pushed or popped.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodingError {
    /// The symbol cannot occur under the distribution.
    #[error(
        "a symbol with the interval {} .. {} cannot be coded: it does not occur under the \
         predicted distribution. The parameters differ from those of compression, or the data \
         are damaged; use the same model on the same kernel path",
        .0.start, .0.end
    )]
    Impossible(Interval),
    /// A symbol is not one of the distribution's.
    #[error("{what} {found} does not exist, expected less than {limit}")]
    Symbol {
        /// Which symbol.
        what: &'static str,
        /// Its value.
        found: u32,
        /// One more than the largest possible.
        limit: u32,
    },
    /// Nothing is left to pop.
    #[error(
        "the stream ends early. The archive is damaged, or the model or kernel path is not the \
         one it was compressed with"
    )]
    Exhausted,
    /// The head of a coder is too small.
    #[error("{0} is no state of a coder, expected at least 2^32: the stream is damaged")]
    State(u64),
    /// A wrong amount of data is left after decoding.
    #[error(
        "{found} words remain in the stream after the last image, expected the {expected} of \
         the seed. The archive is damaged, or the model or kernel path is not the one it was \
         compressed with"
    )]
    Drained {
        /// Words of the seed that were consumed.
        expected: u64,
        /// Words left.
        found: u64,
    },
    /// The data left after decoding are not the seed.
    #[error(
        "what remains in the stream after the last image is not the seed. The archive is \
         damaged, or the model or kernel path is not the one it was compressed with"
    )]
    Seed,
    /// Slices that belong together differ in length.
    #[error("{what} has {found} elements, expected {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Elements that it must have.
        expected: usize,
        /// Elements that it has.
        found: usize,
    },
    /// A setting of a codec is out of range.
    #[error("{what} is {found}, expected {expected}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// What is possible.
        expected: &'static str,
        /// What was given.
        found: u64,
    },
}

/// Checks that a slice has as many elements as it must.
pub(crate) fn expect_len(
    what: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), CodingError> {
    if found == expected {
        Ok(())
    } else {
        Err(CodingError::Length {
            what,
            expected,
            found,
        })
    }
}

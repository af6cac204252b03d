//! Python pickles as plain data. Nothing in a pickle is ever run.
//!
//! A pickle is a program for a small stack machine. Two of its instructions are what makes pickles
//! dangerous: one names any function of any Python module, another calls it. Here the first is
//! refused unless the name is on the caller's list, and the second merely notes *that* there is a
//! call: the callee's name and its arguments, as data. So an array is the note "call
//! `numpy.core.multiarray._reconstruct`, then set this state", which [`numpy::array`] understands.
//!
//! All values live in one list and refer to each other by index. Shared and even circular
//! structures are thus harmless, and so is any depth of nesting.

pub mod numpy;
mod reader;
mod text;
mod value;

pub use value::{Call, Value};

use value::Node;

/// What is wrong with a pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// It names something that is not plain data.
    #[error(
        "the pickle refers to `{name}`, which is not plain data. Nothing in it was run. \
         Do not open this file with Python; get the data from a source that you trust"
    )]
    RefusedGlobal {
        /// Module and name, as Python would import it.
        name: String,
    },
    /// It has an instruction that plain data does not need.
    #[error(
        "the pickle has the instruction {opcode:#04x} at byte {at}, which plain data does not need"
    )]
    RefusedInstruction {
        /// The instruction.
        opcode: u8,
        /// Where it is.
        at: usize,
    },
    /// It ends too early.
    #[error("the pickle is truncated: it ends in the middle of an instruction at byte {at}")]
    Truncated {
        /// Where that instruction is.
        at: usize,
    },
    /// It makes no sense.
    #[error("the pickle is damaged: {what} at byte {at}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// It has more instructions than are carried out.
    #[error("the pickle has more than {limit} instructions")]
    TooLarge {
        /// The most that are carried out.
        limit: usize,
    },
    /// It holds something else than was looked for.
    #[error("the pickle holds {found} where {expected} was expected")]
    Unexpected {
        /// What was looked for.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}

/// The values of a pickle. Large strings are borrowed from the file's bytes.
#[derive(Debug)]
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: usize,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle of any protocol from 0 to 5.
    ///
    /// `globals` are the only names of modules and functions that may occur in it.
    ///
    /// # Errors
    /// If it is damaged, or refers to anything else; see [`PickleError`].
    pub fn parse(bytes: &'a [u8], globals: &[(&str, &str)]) -> Result<Self, PickleError> {
        Self::parse_prefix(bytes, globals).map(|(pickle, _)| pickle)
    }

    /// Reads a pickle with other data behind it; also how many bytes it takes.
    ///
    /// # Errors
    /// As [`Pickle::parse`].
    pub fn parse_prefix(
        bytes: &'a [u8],
        globals: &[(&str, &str)],
    ) -> Result<(Self, usize), PickleError> {
        reader::read(bytes, globals)
    }

    /// The names of everything outside of the pickle that it refers to, in the order of the file.
    pub fn persistent(&self) -> impl Iterator<Item = Value<'_>> {
        (0..self.nodes.len()).filter_map(|index| {
            let value = Value {
                pickle: self,
                index,
            };
            value.as_persistent()
        })
    }

    /// The value that was pickled.
    pub fn root(&self) -> Value<'_> {
        Value {
            pickle: self,
            index: self.root,
        }
    }
}

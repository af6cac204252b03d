//! Block strings: `RxN`, `RmM`, `RdD` and `R`, to and from lists of blocks.

use std::fmt::Write;

use super::error::ArchitectureError;
use super::part::{Part, is_number};
use super::{MAX_BLOCKS, MAX_RESOLUTION};

/// A residual block of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncBlock {
    /// The resolution at which it works.
    pub resolution: usize,
    /// By how much it pools afterwards, if it does; a divisor of `resolution`, 2 or more.
    pub down_rate: Option<usize>,
}

impl EncBlock {
    /// The resolution that it leaves to the next block.
    pub fn resolution_after(&self) -> usize {
        self.resolution / self.down_rate.unwrap_or(1)
    }
}

/// A top-down block of the decoder: one layer of latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecBlock {
    /// The resolution at which it works.
    pub resolution: usize,
    /// The smaller resolution that it mixes in first, if it does.
    pub mixin: Option<usize>,
}

/// The parts of a block string.
#[derive(Debug)]
pub struct Parts<'a>(pub Vec<BlockPart<'a>>);

/// One part of a block string, with its place for errors.
#[derive(Debug)]
pub struct BlockPart<'a> {
    pub part: Part<'a>,
    pub resolution: usize,
    /// How many blocks: 1 where there is an argument.
    pub count: usize,
    /// The pooling rate of an encoder block, the mixin of a decoder block.
    pub argument: Option<usize>,
}

/// What distinguishes the two kinds of block string.
struct Grammar {
    field: &'static str,
    forms: &'static str,
    /// What stands before the argument, and what the argument is.
    argument: (char, &'static str),
    /// The other kind's letter, and what to say about it.
    foreign: (char, &'static str),
}

const ENCODER: Grammar = Grammar {
    field: "enc_blocks",
    forms: "RxN (N blocks at resolution R), RdD (one block, then pooling by D) or R (one block)",
    argument: ('d', "a pooling rate"),
    foreign: ('m', "mixing in belongs in dec_blocks"),
};
const DECODER: Grammar = Grammar {
    field: "dec_blocks",
    forms: "RxN (N blocks at resolution R), RmM (one block, mixing in resolution M) or R (one block)",
    argument: ('m', "a resolution"),
    foreign: ('d', "pooling belongs in enc_blocks"),
};

impl<'a> Parts<'a> {
    /// Parses `enc_blocks`.
    pub fn encoder(text: &'a str) -> Result<Self, ArchitectureError> {
        Self::parse(text, &ENCODER)
    }

    /// Parses `dec_blocks`.
    pub fn decoder(text: &'a str) -> Result<Self, ArchitectureError> {
        Self::parse(text, &DECODER)
    }

    fn parse(text: &'a str, grammar: &Grammar) -> Result<Self, ArchitectureError> {
        let mut parts: Vec<BlockPart> = Vec::new();
        let mut blocks = 0;
        for part in Part::split(grammar.field, text) {
            let part = grammar.read(part)?;
            blocks += part.count;
            if blocks > MAX_BLOCKS {
                let problem = format!("expected at most {MAX_BLOCKS} blocks in all");
                return Err(part.part.error(problem));
            }
            parts.push(part);
        }
        Ok(Self(parts))
    }
}

impl Grammar {
    fn read<'a>(&self, part: Part<'a>) -> Result<BlockPart<'a>, ArchitectureError> {
        let text = part.text();
        let malformed = || part.error(format!("expected {}", self.forms));
        let mut letters = text.char_indices();
        let (resolution, mark) = match letters.find(|(_, c)| !c.is_ascii_digit()) {
            None => (text, None),
            Some((at, letter)) => (&text[..at], Some((letter, letters.as_str()))),
        };
        if !is_number(resolution) || mark.is_some_and(|(_, digits)| !is_number(digits)) {
            return Err(malformed());
        }
        let resolution = part.number("a resolution", resolution, MAX_RESOLUTION)?;
        let (count, argument) = match mark {
            None => (1, None),
            Some(('x', digits)) => (part.number("a number of blocks", digits, MAX_BLOCKS)?, None),
            Some((letter, digits)) if letter == self.argument.0 => {
                let argument = part.number(self.argument.1, digits, MAX_RESOLUTION)?;
                (1, Some(argument))
            }
            Some((letter, _)) if letter == self.foreign.0 => {
                return Err(part.error(format!("{}; expected {}", self.foreign.1, self.forms)));
            }
            Some(_) => return Err(malformed()),
        };
        Ok(BlockPart {
            part,
            resolution,
            count,
            argument,
        })
    }
}

/// `blocks` as an `enc_blocks` string; what [`super::Architecture`] parses back to the same blocks.
pub fn enc_string(blocks: &[EncBlock]) -> String {
    print(blocks.iter().map(|b| (b.resolution, 'd', b.down_rate)))
}

/// `blocks` as a `dec_blocks` string; what [`super::Architecture`] parses back to the same blocks.
pub fn dec_string(blocks: &[DecBlock]) -> String {
    print(blocks.iter().map(|b| (b.resolution, 'm', b.mixin)))
}

fn print(blocks: impl Iterator<Item = (usize, char, Option<usize>)>) -> String {
    let mut blocks = blocks.peekable();
    let mut text = String::new();
    while let Some(block) = blocks.next() {
        let comma = if text.is_empty() { "" } else { "," };
        let (resolution, letter, argument) = block;
        let (letter, argument) = match argument {
            Some(argument) => (letter, argument),
            None => {
                let mut count = 1;
                while blocks.next_if_eq(&block).is_some() {
                    count += 1;
                }
                ('x', count)
            }
        };
        write!(text, "{comma}{resolution}{letter}{argument}").expect("a string takes all text");
    }
    text
}

//! The stack machine that a pickle is a program for, without the instructions that run anything.

use std::borrow::Cow;
use std::collections::HashMap;

use super::value::{CallNode, Id, Node};
use super::{Pickle, PickleError, text};

/// The most instructions that are carried out. Each makes at most one value, note or mark: this is
/// enough for large checkpoints, and too little to fill the memory.
const MOST_INSTRUCTIONS: usize = 4 << 20;

type Result<T> = std::result::Result<T, PickleError>;

/// Reads the pickle at the start of `bytes`, in which only `globals` may be named, and its length.
pub(super) fn read<'a>(bytes: &'a [u8], globals: &[(&str, &str)]) -> Result<(Pickle<'a>, usize)> {
    let mut machine = Machine {
        bytes,
        globals,
        at: 0,
        instruction: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let mut instructions = 0;
    while machine.step()? {
        instructions += 1;
        if instructions > MOST_INSTRUCTIONS {
            return Err(PickleError::TooLarge {
                limit: MOST_INSTRUCTIONS,
            });
        }
    }
    let root = machine.pop()?;
    let pickle = Pickle {
        nodes: machine.nodes,
        root,
    };
    Ok((pickle, machine.at))
}

struct Machine<'a, 'g> {
    bytes: &'a [u8],
    globals: &'g [(&'g str, &'g str)],
    /// The next byte to read.
    at: usize,
    /// Where the current instruction is, for messages.
    instruction: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack that were marked.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a, '_> {
    /// Carries out one instruction; false after the last.
    fn step(&mut self) -> Result<bool> {
        self.instruction = self.at;
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return Ok(false),
            0x80 => drop(self.take(1)?), // protocol
            0x95 => drop(self.take(8)?), // frame
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'I' | b'J' | b'K' | b'M' | b'L' | 0x8A | 0x8B | b'F' | b'G' => self.number(opcode)?,
            b'S' | b'T' | b'U' | b'B' | b'C' | 0x8E | 0x96 | b'V' | b'X' | 0x8C | 0x8D => {
                self.string(opcode)?
            }
            b'(' | b'0' | b'1' | b'2' => self.rearrange(opcode)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memory(opcode)?,
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' | 0x8F | 0x91 => {
                self.container(opcode)?
            }
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode)?,
            b'c' | 0x93 | b'R' | 0x81 | b'b' | b'P' | b'Q' => self.object(opcode)?,
            _ => {
                return Err(PickleError::RefusedInstruction {
                    opcode,
                    at: self.instruction,
                });
            }
        }
        Ok(true)
    }

    fn number(&mut self, opcode: u8) -> Result<()> {
        let int = |value| Some(Node::Int(value));
        let node = match opcode {
            b'I' => match self.line()? {
                b"00" => Some(Node::Bool(false)),
                b"01" => Some(Node::Bool(true)),
                line => text::integer(line).and_then(int),
            },
            b'L' => text::integer(self.line()?).and_then(int),
            b'J' => int(i128::from(self.unsigned(4)? as u32 as i32)),
            b'K' => int(i128::from(self.unsigned(1)?)),
            b'M' => int(i128::from(self.unsigned(2)?)),
            0x8A => text::long(self.counted(1)?).and_then(int),
            0x8B => text::long(self.counted(4)?).and_then(int),
            b'G' => Some(Node::Float(f64::from_bits(self.unsigned(8)?.swap_bytes()))),
            _ => text::float(self.line()?).map(Node::Float),
        };
        let node = node.ok_or_else(|| self.damaged("a number that cannot be read"))?;
        self.push(node);
        Ok(())
    }

    fn string(&mut self, opcode: u8) -> Result<()> {
        let node = match opcode {
            b'S' => text::string_literal(self.line()?).map(|bytes| Node::Bytes(Cow::Owned(bytes))),
            b'V' => text::raw_unicode(self.line()?).map(|text| Node::Text(Cow::Owned(text))),
            b'U' | b'C' => Some(Node::Bytes(Cow::Borrowed(self.counted(1)?))),
            b'T' | b'B' => Some(Node::Bytes(Cow::Borrowed(self.counted(4)?))),
            0x8E | 0x96 => Some(Node::Bytes(Cow::Borrowed(self.counted(8)?))),
            _ => {
                let length_bytes = match opcode {
                    0x8C => 1,
                    b'X' => 4,
                    _ => 8,
                };
                std::str::from_utf8(self.counted(length_bytes)?)
                    .ok()
                    .map(|text| Node::Text(Cow::Borrowed(text)))
            }
        };
        let node = node.ok_or_else(|| self.damaged("a string that cannot be read"))?;
        self.push(node);
        Ok(())
    }

    fn rearrange(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            _ => drop(self.pop()?),
        }
        Ok(())
    }

    fn memory(&mut self, opcode: u8) -> Result<()> {
        let key = match opcode {
            0x94 => self.memo.len() as u64,
            b'q' | b'h' => self.unsigned(1)?,
            b'r' | b'j' => self.unsigned(4)?,
            _ => {
                let key = text::integer(self.line()?).and_then(|key| u64::try_from(key).ok());
                key.ok_or_else(|| self.damaged("a memo number that cannot be read"))?
            }
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let id = self.memo.get(&key).copied();
            let id = id.ok_or_else(|| self.damaged("a reference to a value that was not noted"))?;
            self.stack.push(id);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<()> {
        let node = match opcode {
            b')' => Node::Tuple(Vec::new()),
            0x85..=0x87 => Node::Tuple(self.pop_many(usize::from(opcode - 0x84))?),
            b't' => Node::Tuple(self.pop_to_mark()?),
            b']' | 0x8F => Node::List(Vec::new()),
            b'l' | 0x91 => Node::List(self.pop_to_mark()?),
            b'}' => Node::Dict(Vec::new()),
            _ => {
                let items = self.pop_to_mark()?;
                Node::Dict(self.pairs(&items)?)
            }
        };
        self.push(node);
        Ok(())
    }

    /// Adds elements to the container that lies under them.
    fn fill(&mut self, opcode: u8) -> Result<()> {
        let items = match opcode {
            b'a' => self.pop_many(1)?,
            b's' => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let entries = if matches!(opcode, b's' | b'u') {
            self.pairs(&items)?
        } else {
            Vec::new()
        };
        let container = self.top()?;
        match (&mut self.nodes[container], opcode) {
            (Node::List(elements), b'a' | b'e' | 0x90) => elements.extend(items),
            (Node::Dict(known), b's' | b'u') => known.extend(entries),
            (Node::Call(call), b's' | b'u') => call.items.extend(entries),
            _ => return Err(self.damaged("elements without a container")),
        }
        Ok(())
    }

    fn object(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(
                    &String::from_utf8_lossy(module),
                    &String::from_utf8_lossy(name),
                )
            }
            0x93 => {
                let parts = self.pop_many(2)?;
                let (Node::Text(module), Node::Text(name)) =
                    (&self.nodes[parts[0]], &self.nodes[parts[1]])
                else {
                    return Err(self.damaged("a name that is no string"));
                };
                let (module, name) = (module.clone(), name.clone());
                self.global(&module, &name)
            }
            b'b' => self.set_state(),
            b'P' => {
                let name = String::from_utf8_lossy(self.line()?);
                self.push(Node::Text(name));
                self.persistent()
            }
            b'Q' => self.persistent(),
            _ => self.call(),
        }
    }

    /// Notes the name of something in Python, if it may be named.
    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        if !self.globals.contains(&(module, name)) {
            return Err(PickleError::RefusedGlobal {
                name: format!("{module}.{name}"),
            });
        }
        self.push(Node::Global(module.to_owned(), name.to_owned()));
        Ok(())
    }

    /// Notes that Python would call something here.
    fn call(&mut self) -> Result<()> {
        let parts = self.pop_many(2)?;
        let (callee, arguments) = (parts[0], parts[1]);
        if !matches!(
            (&self.nodes[callee], &self.nodes[arguments]),
            (Node::Global(..), Node::Tuple(_))
        ) {
            return Err(self.damaged("a call of something that is no name"));
        }
        let call = CallNode {
            callee,
            arguments,
            state: None,
            items: Vec::new(),
        };
        self.push(Node::Call(Box::new(call)));
        Ok(())
    }

    fn set_state(&mut self) -> Result<()> {
        let state = self.pop()?;
        let object = self.top()?;
        let Node::Call(call) = &mut self.nodes[object] else {
            return Err(self.damaged("a state for something that has none"));
        };
        call.state = Some(state);
        Ok(())
    }

    fn persistent(&mut self) -> Result<()> {
        let name = self.pop()?;
        self.push(Node::Persistent(name));
        Ok(())
    }

    fn push(&mut self, node: Node<'a>) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn top(&self) -> Result<Id> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| self.damaged("nothing on the stack"))
    }

    fn pop(&mut self) -> Result<Id> {
        Ok(self.pop_many(1)?[0])
    }

    /// The topmost values, lowest first. They must lie above the last mark.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self
            .stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= floor)
        {
            Some(start) => Ok(self.stack.split_off(start)),
            None => Err(self.damaged("too few values on the stack")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => Err(self.damaged("no mark on the stack")),
        }
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>> {
        if items.len() % 2 == 1 {
            return Err(self.damaged("a key without a value"));
        }
        Ok(items
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect())
    }

    /// The next `count` bytes.
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self
            .at
            .checked_add(count)
            .filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(PickleError::Truncated {
            at: self.instruction,
        })?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    /// A little-endian number of at most 8 bytes.
    fn unsigned(&mut self, bytes: usize) -> Result<u64> {
        Ok(self
            .take(bytes)?
            .iter()
            .rev()
            .fold(0, |value, &byte| (value << 8) | u64::from(byte)))
    }

    /// Bytes that stand behind their number.
    fn counted(&mut self, length_bytes: usize) -> Result<&'a [u8]> {
        let length = self.unsigned(length_bytes)?;
        let length = usize::try_from(length).map_err(|_| PickleError::Truncated {
            at: self.instruction,
        })?;
        self.take(length)
    }

    /// The bytes up to the next line feed.
    fn line(&mut self) -> Result<&'a [u8]> {
        let end = self.bytes[self.at..].iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or(PickleError::Truncated {
            at: self.instruction,
        })?)?;
        self.at += 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn damaged(&self, what: &'static str) -> PickleError {
        PickleError::Damaged {
            what,
            at: self.instruction,
        }
    }
}

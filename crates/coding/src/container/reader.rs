//! Fields from a slice of bytes.

use super::ContainerError;

/// Writes what [`Reader::varint`] reads.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes fields from the front of a slice.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], ContainerError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(ContainerError::Truncated {
                what,
                needed: len as u64,
                found: self.rest.len() as u64,
            })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ContainerError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N)?);
        Ok(array)
    }

    pub fn hash(&mut self, what: &'static str) -> Result<[u8; 32], ContainerError> {
        self.array(what)
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, ContainerError> {
        self.array(what).map(u8::from_le_bytes)
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16, ContainerError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, ContainerError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, ContainerError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A number of variable length: 7 bits a byte, the lowest first, with the highest bit set in all but the last.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, ContainerError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.u8(what)?);
            let bits = byte & 0x7f;
            let value = bits << shift;
            if value >> shift != bits {
                break;
            }
            number |= value;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ContainerError::Field {
            what,
            expected: "a number below 2^64".into(),
            found: "more bits".into(),
        })
    }

    /// As [`varint`](Self::varint), of 32 bits.
    pub fn varint32(&mut self, what: &'static str) -> Result<u32, ContainerError> {
        let number = self.varint(what)?;
        u32::try_from(number).map_err(|_| ContainerError::Field {
            what,
            expected: "a number below 2^32".into(),
            found: number.to_string(),
        })
    }

    /// What was not taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A string of `len` bytes.
    pub fn string(&mut self, what: &'static str, len: usize) -> Result<String, ContainerError> {
        let bytes = self.take(what, len)?;
        let string = std::str::from_utf8(bytes).map_err(|_| ContainerError::Field {
            what,
            expected: "UTF-8".into(),
            found: String::from_utf8_lossy(bytes).into_owned(),
        })?;
        Ok(string.into())
    }

    /// Checks that nothing is left after `what`.
    pub fn finish(&self, what: &'static str) -> Result<(), ContainerError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(ContainerError::Trailing(left as u64, what)),
        }
    }
}

//! Fields from a slice of bytes.

use super::ContainerError;

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

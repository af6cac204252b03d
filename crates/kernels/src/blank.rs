//! New buffers that are written completely, and therefore not cleared first.

use crate::parallel::Shared;

/// Memory for numbers that are yet to be written. Nothing reads it as numbers before
/// [`Blank::written`].
pub(crate) struct Blank {
    /// Empty, with room for `len` numbers.
    buffer: Vec<f32>,
    len: usize,
}

impl Blank {
    /// Room for `len` numbers.
    pub fn new(len: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(len),
            len,
        }
    }

    /// Where to write them.
    pub fn at(&mut self) -> Shared {
        Shared(self.buffer.as_mut_ptr())
    }

    /// The numbers.
    ///
    /// # Safety
    /// All of them must have been written.
    pub unsafe fn written(mut self) -> Vec<f32> {
        // SAFETY: there is room for `len` numbers, and the caller wrote them.
        unsafe { self.buffer.set_len(self.len) };
        self.buffer
    }
}

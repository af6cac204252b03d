//! Buffers that are kept from call to call, so that kernels neither allocate nor clear memory.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Buffers that a thread keeps at most; the smallest ones are freed first.
const KEPT: usize = 32;

thread_local! {
    /// Buffers not in use. A kernel takes one out and puts it back, so that a task which this
    /// thread picks up while it waits finds the list free.
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer on loan from the current thread, with whatever the last user left in it.
pub struct Scratch {
    /// At least `len` long.
    buffer: Vec<f32>,
    len: usize,
    /// Whether it is to be kept for the next user.
    on_loan: bool,
}

impl Scratch {
    /// A buffer of `len` numbers of any value.
    pub fn take(len: usize) -> Self {
        let buffer = FREE.with_borrow_mut(|free| {
            let sizes = free.iter().map(Vec::len).enumerate();
            let best = sizes.filter(|b| b.1 >= len).min_by_key(|b| b.1);
            best.map(|(i, _)| free.swap_remove(i))
        });
        let buffer = buffer.unwrap_or_else(|| vec![0.0; len]);
        Self {
            buffer,
            len,
            on_loan: true,
        }
    }

    /// The same numbers in memory of their own, no more than they need.
    pub fn to_own(&self) -> Self {
        Self {
            buffer: self.to_vec(),
            len: self.len,
            on_loan: false,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.on_loan {
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        // At the end of a thread the list may be gone: then the buffer is simply freed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            free.push(buffer);
            if free.len() > KEPT {
                free.sort_by_key(Vec::len);
                free.remove(0);
            }
        });
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}

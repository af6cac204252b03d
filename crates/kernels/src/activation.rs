//! The functions that stand before convolutions.

/// What is done to each number before it is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x` above 0, else `e^x - 1`.
    Elu,
    /// The elu of `x`, then that of `-x`: twice as many channels (Shang et al. 2016, with PixelCNN++'s elu).
    ConcatElu,
    /// `x` above 0, else 0.
    Relu,
    /// `x Phi(x)`, Phi the normal distribution function.
    Gelu,
    /// `x / (1 + e^-x)`.
    Swish,
}

impl Activation {
    /// Channels of the result, of so many.
    pub fn channels(self, channels: usize) -> usize {
        match self {
            Self::ConcatElu => 2 * channels,
            _ => channels,
        }
    }
}

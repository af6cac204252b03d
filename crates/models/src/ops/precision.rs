//! What products are computed in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdvae_kernels::Precision;

/// What the factors of a product are rounded to. Everything else is fp32: the weights that are trained,
/// the sums, the latents and the losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Not rounded.
    #[default]
    Fp32,
    /// 8 significant bits: faster where the processor multiplies bf16.
    Bf16,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        })
    }
}

impl Dtype {
    /// All there are, by name.
    pub const NAMES: [&str; 2] = ["fp32", "bf16"];
}

impl FromStr for Dtype {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "fp32" => Ok(Self::Fp32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("expected one of {}", Self::NAMES.join(", "))),
        }
    }
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Fp32 => Self::Fp32,
            Dtype::Bf16 => Self::Bf16,
        }
    }
}

//! Nats and bits: the only place that converts.

/// Bits of so many nats.
pub fn bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}

/// Nats of so many bits.
pub fn nats(bits: f64) -> f64 {
    bits * std::f64::consts::LN_2
}

//! The normal distribution as integers.

/// Beyond this many standard deviations the distribution ends.
const REACH: f64 = 8.0;
/// Nodes per standard deviation.
const DENSITY: f64 = 256.0;
/// Segments between the nodes.
const SEGMENTS: usize = (2.0 * REACH * DENSITY) as usize;
/// Entries of the table that shortens the search for a segment.
const GUIDES: usize = 1 << 12;

/// The standard normal distribution function times `2^P`, from a table.
///
/// Between nodes it is linear: a density that is constant over 1/256 of a standard deviation
/// loses less than 1e-6 bits to the true one. In return every step (a comparison, a product, a
/// sum, rounding down) is monotone also in floating point, so that the function never decreases
/// and cells never overlap, whatever the parameters; and its inverse is as cheap.
#[derive(Clone, Debug)]
pub(crate) struct IntegerNormal<const P: usize> {
    /// Values at the nodes, from 0 to `2^P`.
    nodes: Vec<u32>,
    /// For each of `GUIDES` equal parts of the range the segment in which it begins.
    guides: Vec<u16>,
}

impl<const P: usize> IntegerNormal<P> {
    pub fn new() -> Self {
        let mut nodes: Vec<u32> = (0..=SEGMENTS)
            .map(|node| scaled(cdf(node as f64 / DENSITY - REACH), P))
            .collect();
        nodes[0] = 0;
        nodes[SEGMENTS] = 1 << P;
        for i in 1..SEGMENTS {
            nodes[i] = nodes[i].max(nodes[i - 1]);
        }
        let guides = (0..=GUIDES).map(|guide| {
            let quantile = ((guide as u64) << P) / GUIDES as u64;
            (nodes.partition_point(|&node| u64::from(node) <= quantile) - 1) as u16
        });
        Self {
            guides: guides.collect(),
            nodes,
        }
    }

    /// The distribution function at `x` standard deviations, 0 to `2^P`.
    #[inline]
    pub fn cumulative(&self, x: f64) -> u32 {
        // A NaN becomes node 0.
        let place = ((x + REACH) * DENSITY).clamp(0.0, SEGMENTS as f64);
        let node = (place as usize).min(SEGMENTS - 1);
        let (left, right) = (self.nodes[node], self.nodes[node + 1]);
        left + (f64::from(right - left) * (place - node as f64)) as u32
    }

    /// Some `x` at which the distribution function is about `quantile`, which is below `2^P`.
    #[inline]
    pub fn inverse(&self, quantile: u32) -> f64 {
        let guide = ((u64::from(quantile) * GUIDES as u64) >> P) as usize;
        let first = usize::from(self.guides[guide]);
        // The next part of the range may begin in the segment that is sought.
        let last = usize::from(self.guides[guide + 1]).min(SEGMENTS - 1);
        let within = &self.nodes[first + 1..last + 1];
        let node = first + within.partition_point(|&node| node <= quantile);
        let (left, right) = (self.nodes[node], self.nodes[node + 1]);
        let part = (f64::from(quantile - left) + 0.5) / f64::from(right - left);
        (node as f64 + part) / DENSITY - REACH
    }
}

/// The standard normal distribution function.
pub(crate) fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// A probability as an integer of `0 ..= 2^precision`.
pub(crate) fn scaled(probability: f64, precision: usize) -> u32 {
    libm::rint(probability * (1_u64 << precision) as f64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PRECISION;

    #[test]
    fn cumulative_never_decreases_and_inverse_inverts() {
        let normal = IntegerNormal::<PRECISION>::new();
        let mut last = 0;
        for i in -100_000..=100_000 {
            let value = normal.cumulative(f64::from(i) * 1e-4);
            assert!(value >= last);
            last = value;
        }
        assert_eq!(last, 1 << PRECISION);
        assert_eq!(normal.cumulative(f64::NEG_INFINITY), 0);
        assert_eq!(normal.cumulative(f64::INFINITY), 1 << PRECISION);
        for i in 0..1 << 16 {
            let quantile = (i << (PRECISION - 16)) + 77;
            let x = normal.inverse(quantile);
            assert!(normal.cumulative(x).abs_diff(quantile) <= 1, "{quantile}");
            assert!(normal.cumulative(x + 1e-2) >= quantile);
            assert!(normal.cumulative(x - 1e-2) <= quantile);
        }
        assert!(normal.inverse(0) > -REACH && normal.inverse((1 << PRECISION) - 1) < REACH);
    }

    #[test]
    fn close_to_the_true_distribution() {
        let normal = IntegerNormal::<PRECISION>::new();
        for i in -700..=700 {
            let x = f64::from(i) * 0.0107;
            let got = f64::from(normal.cumulative(x)) / f64::from(1 << PRECISION);
            assert!((got - cdf(x)).abs() < 1e-6, "{x}: {got}");
        }
        assert!((cdf(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
    }
}

//! The cells that latents are rounded to.

/// Cells on a line, in standard deviations of the prior from its mean.
///
/// As wide as `1 / fineness` up to 4 from the centre, twice as wide up to 8, four times up to 16,
/// where the outermost cells go on to infinity. All edges and centres are multiples of powers of
/// two, exact in `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Cells per standard deviation at the centre, a power of two.
    fineness: i32,
}

impl Grid {
    /// A grid of `2^bits` cells; `bits` is at least 4.
    pub fn new(bits: u32) -> Self {
        Self {
            fineness: 1 << (bits - 4),
        }
    }

    /// Number of cells.
    #[inline]
    pub fn cells(&self) -> u32 {
        16 * self.fineness as u32
    }

    /// Edge between the cells `index - 1` and `index`; those of the ends are at +-16.
    #[inline]
    pub fn edge(&self, index: u32) -> f64 {
        let f = self.fineness;
        let from_centre = index as i32 - 8 * f;
        let a = from_centre.abs();
        let steps = if a < 4 * f {
            a
        } else if a < 6 * f {
            4 * f + (a - 4 * f) * 2
        } else {
            8 * f + (a - 6 * f) * 4
        };
        f64::from(steps * from_centre.signum()) / f64::from(f)
    }

    /// Centre of a cell, its representative.
    #[inline]
    pub fn centre(&self, index: u32) -> f64 {
        0.5 * (self.edge(index) + self.edge(index + 1))
    }

    /// The cell in which `x` lies.
    #[inline]
    pub fn locate(&self, x: f64) -> u32 {
        let f = f64::from(self.fineness);
        let a = x.abs();
        let place = if a < 4.0 {
            a * f
        } else if a < 8.0 {
            4.0 * f + (a - 4.0) * f * 0.5
        } else {
            6.0 * f + (a.min(16.0) - 8.0) * f * 0.25
        };
        let from_end = 8.0 * f + place.copysign(x);
        (from_end as u32).min(self.cells() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_ascend_and_centres_are_located() {
        for bits in [4, 5, 10, 14, 20] {
            let grid = Grid::new(bits);
            assert_eq!(grid.cells(), 1 << bits);
            assert_eq!((grid.edge(0), grid.edge(grid.cells())), (-16.0, 16.0));
            for cell in (0..grid.cells()).step_by(1.max(grid.cells() as usize / 9973)) {
                assert!(grid.edge(cell) < grid.edge(cell + 1));
                assert_eq!(grid.locate(grid.centre(cell)), cell);
                let centre = grid.centre(cell);
                assert_eq!(f64::from(centre as f32), centre);
                assert_eq!(centre, -grid.centre(grid.cells() - 1 - cell));
            }
            assert_eq!(grid.locate(f64::NEG_INFINITY), 0);
            assert_eq!(grid.locate(1e300), grid.cells() - 1);
        }
    }
}

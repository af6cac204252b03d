//! Latents: diagonal Gaussians, rounded to cells that the prior fixes.

use crate::coder::{Coder, Interval, PRECISION};
use crate::error::{CodingError, expect_len};
use crate::grid::Grid;
use crate::math::exp;
use crate::normal::{IntegerNormal, cdf, scaled};
use crate::search::search;

/// Log scales are clamped to +- this.
const MOST_LOG_SIGMA: f32 = 30.0;

/// The parameters of one layer's latents, one element each.
///
/// Numbers that make no distribution become ones that do: NaN becomes 0, infinity the largest
/// finite number, log scales are clamped to +-30. Such a network compresses badly, but what it
/// compresses comes back.
#[derive(Clone, Copy, Debug)]
pub struct Normals<'a> {
    /// Means.
    pub mean: &'a [f32],
    /// Natural logarithms of the standard deviations.
    pub log_sigma: &'a [f32],
}

impl Normals<'_> {
    fn check(&self, what: &'static str, expected: usize) -> Result<(), CodingError> {
        expect_len(what, self.mean.len(), expected)?;
        expect_len(what, self.log_sigma.len(), expected)
    }

    #[inline]
    fn at(&self, i: usize) -> (f64, f64) {
        (
            finite(self.mean[i]),
            finite(self.log_sigma[i].clamp(-MOST_LOG_SIGMA, MOST_LOG_SIGMA)),
        )
    }
}

/// NaN as 0, infinities as the largest numbers.
#[inline]
pub(crate) fn finite(x: f32) -> f64 {
    if x.is_nan() {
        0.0
    } else {
        f64::from(x.clamp(f32::MIN, f32::MAX))
    }
}

/// Codes latents as numbers of cells; both sides agree on the cells by the prior alone.
///
/// Under the prior every cell has a code, the same table for all latents, since the cells are
/// made in standard deviations from its mean. Under the posterior a cell has a code if its mass
/// is not less than about `2^-P`; a cell that was popped always has one. See the
/// [crate](crate#cells) for why.
#[derive(Clone, Debug)]
pub struct LatentCodec<const P: usize = PRECISION> {
    grid: Grid,
    /// Where each cell's interval under the prior starts, and `2^P` at the end.
    prior: Vec<u32>,
    posterior: IntegerNormal<P>,
}

impl<const P: usize> LatentCodec<P> {
    /// A codec with `2^bits` cells per latent.
    ///
    /// # Errors
    /// If `bits` is below 4 or above `P - 2` (or 24), or `P` not within 12 to 31.
    pub fn new(bits: u32) -> Result<Self, CodingError> {
        let check = |what, expected, found: u64, good| match good {
            true => Ok(()),
            false => Err(CodingError::Setting {
                what,
                expected,
                found,
            }),
        };
        let precision_is_good = (12..=31).contains(&P);
        check("precision", "12 to 31", P as u64, precision_is_good)?;
        let bits_are_good = (4..=24.min(P as u32 - 2)).contains(&bits);
        let expected = "4 to 24, and at most 2 less than the precision";
        check("bits per latent", expected, bits.into(), bits_are_good)?;
        let grid = Grid::new(bits);
        Ok(Self {
            grid,
            prior: prior_table::<P>(&grid),
            posterior: IntegerNormal::new(),
        })
    }

    /// Number of cells of a latent.
    pub fn cells(&self) -> u32 {
        self.grid.cells()
    }

    /// The latents that the network gets for the given cells: their centres, as a function of
    /// the prior and the cell only.
    ///
    /// # Errors
    /// If lengths differ or a cell does not exist.
    pub fn values(
        &self,
        prior: Normals,
        cells: &[u32],
        values: &mut [f32],
    ) -> Result<(), CodingError> {
        prior.check("prior", cells.len())?;
        expect_len("values", values.len(), cells.len())?;
        for (i, (&cell, value)) in cells.iter().zip(values).enumerate() {
            self.check_cell(cell)?;
            let (mean, log_sigma) = prior.at(i);
            *value = (mean + exp(log_sigma) * self.grid.centre(cell)) as f32;
        }
        Ok(())
    }

    /// Pushes cells under the prior, the last one first.
    ///
    /// # Errors
    /// If a cell does not exist.
    pub fn push_prior(&self, coder: &mut Coder, cells: &[u32]) -> Result<(), CodingError> {
        for &cell in cells.iter().rev() {
            self.check_cell(cell)?;
            coder.push::<P>(self.prior_interval(cell))?;
        }
        Ok(())
    }

    /// Pops cells under the prior, the first one first.
    ///
    /// # Errors
    /// If the coder has nothing left.
    pub fn pop_prior(&self, coder: &mut Coder, cells: &mut [u32]) -> Result<(), CodingError> {
        for cell in cells {
            *cell = coder.pop::<P, _>(|quantile| {
                let cell = self.prior_cell(quantile);
                (cell, self.prior_interval(cell))
            })?;
        }
        Ok(())
    }

    /// Pushes cells under the posterior, the last one first.
    ///
    /// # Errors
    /// If lengths differ, a cell does not exist, or does not occur under the posterior.
    pub fn push_posterior(
        &self,
        coder: &mut Coder,
        prior: Normals,
        posterior: Normals,
        cells: &[u32],
    ) -> Result<(), CodingError> {
        prior.check("prior", cells.len())?;
        posterior.check("posterior", cells.len())?;
        for (i, &cell) in cells.iter().enumerate().rev() {
            self.check_cell(cell)?;
            let relative = Relative::new(prior.at(i), posterior.at(i));
            coder.push::<P>(self.posterior_interval(&relative, cell))?;
        }
        Ok(())
    }

    /// Pops cells under the posterior, the first one first.
    ///
    /// # Errors
    /// If lengths differ, or the coder has nothing left.
    pub fn pop_posterior(
        &self,
        coder: &mut Coder,
        prior: Normals,
        posterior: Normals,
        cells: &mut [u32],
    ) -> Result<(), CodingError> {
        prior.check("prior", cells.len())?;
        posterior.check("posterior", cells.len())?;
        for (i, cell) in cells.iter_mut().enumerate() {
            let relative = Relative::new(prior.at(i), posterior.at(i));
            *cell = coder.pop::<P, _>(|quantile| self.posterior_cell(&relative, quantile))?;
        }
        Ok(())
    }

    fn check_cell(&self, cell: u32) -> Result<(), CodingError> {
        if cell < self.cells() {
            Ok(())
        } else {
            Err(CodingError::Symbol {
                what: "cell",
                found: cell,
                limit: self.cells(),
            })
        }
    }

    #[inline]
    fn prior_interval(&self, cell: u32) -> Interval {
        Interval {
            start: self.prior[cell as usize],
            end: self.prior[cell as usize + 1],
        }
    }

    /// The cell whose interval under the prior holds `quantile`.
    #[inline]
    fn prior_cell(&self, quantile: u32) -> u32 {
        let guess = self.grid.locate(self.posterior.inverse(quantile));
        search(guess..guess + 1, self.cells(), |cell| {
            self.prior[cell as usize] <= quantile
        })
    }

    /// The posterior's distribution function at the edge before `cell`. Never decreases with the
    /// cell: each operation on the way is monotone in floating point, too.
    #[inline]
    fn posterior_start(&self, relative: &Relative, cell: u32) -> u32 {
        if cell == 0 {
            0
        } else if cell == self.cells() {
            1 << P
        } else {
            let edge = (self.grid.edge(cell) - relative.mean) * relative.per_sigma;
            self.posterior.cumulative(edge)
        }
    }

    #[inline]
    fn posterior_interval(&self, relative: &Relative, cell: u32) -> Interval {
        Interval {
            start: self.posterior_start(relative, cell),
            end: self.posterior_start(relative, cell + 1),
        }
    }

    /// The cell whose interval under the posterior holds `quantile`, and that interval.
    #[inline]
    fn posterior_cell(&self, relative: &Relative, quantile: u32) -> (u32, Interval) {
        let x = self.posterior.inverse(quantile);
        let guess = self.grid.locate(x / relative.per_sigma + relative.mean);
        let interval = self.posterior_interval(relative, guess);
        if interval.contains(quantile) {
            return (guess, interval);
        }
        let cell = search(guess..guess + 1, self.cells(), |cell| {
            self.posterior_start(relative, cell) <= quantile
        });
        (cell, self.posterior_interval(relative, cell))
    }
}

/// A posterior as the prior's standard deviations see it.
struct Relative {
    /// Distance of the means.
    mean: f64,
    /// The posterior's standard deviations per one of the prior.
    per_sigma: f64,
}

impl Relative {
    #[inline]
    fn new(prior: (f64, f64), posterior: (f64, f64)) -> Self {
        Self {
            mean: (posterior.0 - prior.0) * exp(-prior.1),
            per_sigma: exp(prior.1 - posterior.1),
        }
    }
}

/// Starts of the cells' intervals under the prior: by mass, and at least 1 wide.
fn prior_table<const P: usize>(grid: &Grid) -> Vec<u32> {
    let cells = grid.cells();
    let share = ((1_u32 << P) - cells) as f64 / (1_u64 << P) as f64;
    let mut mass = 0;
    let starts = (0..=cells).map(|cell| {
        let below = match cell {
            0 => 0.0,
            _ if cell == cells => 1.0,
            _ => cdf(grid.edge(cell)),
        };
        mass = scaled(below * share, P).max(mass);
        mass + cell
    });
    starts.collect()
}

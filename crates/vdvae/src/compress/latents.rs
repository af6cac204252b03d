//! The entropy coder in the top-down loop: latents are popped from the streams, layer by layer.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use vdvae_coding::{Coder, CodingError, Normals};

use super::cells::Cells;
use crate::likelihood::values;
use crate::models::hierarchy::{LatentSource, StochasticLayer};

/// A tile at work.
#[derive(Debug)]
pub struct Lane<'a> {
    /// The stack of bits that it goes to or comes from.
    pub coder: &'a mut Coder,
    /// How fine its cells are, by [`Cells`].
    pub size: usize,
    /// Its latents' cells, layer by layer from the top.
    pub cells: Vec<Vec<u32>>,
}

impl<'a> Lane<'a> {
    /// Of cells of a size that the coder tells, none of which is known yet.
    ///
    /// # Errors
    /// If it does not.
    pub fn new(
        coder: &'a mut Coder,
        size: impl FnOnce(&mut Coder) -> Result<usize, CodingError>,
    ) -> Result<Self, CodingError> {
        let size = size(coder)?;
        Ok(Self {
            coder,
            size,
            cells: Vec::new(),
        })
    }
}

/// One layer's Gaussians of a batch on the host.
pub struct Gaussians {
    /// [B, R, R, Z].
    mean: Vec<f32>,
    log_sigma: Vec<f32>,
    /// Latents of an item.
    latents: usize,
}

impl Gaussians {
    /// Of means and log sigmas, then whatever, [B, R, R, 2Z + ...].
    pub fn new(tensor: &Tensor<4>, zdim: usize) -> Self {
        let [_, height, width, channels] = tensor.dims();
        let part = |first| values(tensor.clone().narrow(3, first, zdim));
        debug_assert!(channels >= 2 * zdim);
        Self {
            mean: part(0),
            log_sigma: part(zdim),
            latents: height * width * zdim,
        }
    }

    /// Those of one item of the batch.
    pub fn item(&self, item: usize) -> Normals<'_> {
        let range = item * self.latents..(item + 1) * self.latents;
        Normals {
            mean: &self.mean[range.clone()],
            log_sigma: &self.log_sigma[range],
        }
    }
}

/// What a layer looked like when its latents were popped from the prior.
pub struct Passed {
    /// [B, R, R, C], see [`StochasticLayer`].
    pub state: Tensor<4>,
    pub prior: Gaussians,
}

/// Pops latents from the posterior where there is one, else from the prior; one lane per item of the
/// batch. The lanes keep the cells.
pub struct Popped<'a, 'b> {
    cells: &'a Cells,
    lanes: &'a mut [Lane<'b>],
    /// Layer by layer, only of latents from the prior.
    passed: Vec<Passed>,
    failure: Option<CodingError>,
}

impl<'a, 'b> Popped<'a, 'b> {
    /// For one pass of the loop.
    pub fn new(cells: &'a Cells, lanes: &'a mut [Lane<'b>]) -> Self {
        Self {
            cells,
            lanes,
            passed: Vec::new(),
            failure: None,
        }
    }

    /// To be called when the loop has ended: the layers whose latents are from the prior.
    ///
    /// # Errors
    /// The first that happened.
    pub fn finish(self) -> Result<Vec<Passed>, CodingError> {
        self.failure.map_or(Ok(self.passed), Err)
    }
}

impl LatentSource for Popped<'_, '_> {
    fn needs_posterior(&self, _: usize) -> bool {
        true
    }

    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4> {
        let prior = Gaussians::new(layer.prior, layer.zdim);
        let posterior = layer.posterior.map(|q| Gaussians::new(q, layer.zdim));
        let [batch, height, width, _] = layer.prior.dims();
        let mut z = vec![0.0; batch * prior.latents];
        let sizes = self.cells;
        let items = z.par_chunks_exact_mut(prior.latents);
        let pop = |(item, (values, lane)): (usize, (&mut [f32], &mut Lane))| {
            let prior = prior.item(item);
            let codec = sizes.codec(lane.size);
            let mut cells = vec![0; values.len()];
            match &posterior {
                Some(posterior) => {
                    let posterior = posterior.item(item);
                    codec.pop_posterior(lane.coder, prior, posterior, &mut cells)?;
                }
                None => codec.pop_prior(lane.coder, &mut cells)?,
            }
            codec.values(prior, &cells, values)?;
            lane.cells.push(cells);
            Ok(())
        };
        // After a failure the rest of the loop sees zeros, and nobody sees its result.
        if self.failure.is_none() {
            let lanes = self.lanes.par_iter_mut();
            self.failure = items.zip(lanes).enumerate().try_for_each(pop).err();
        }
        if posterior.is_none() {
            let state = layer.state.clone();
            self.passed.push(Passed { state, prior });
        }
        let shape = [batch, height, width, layer.zdim];
        Tensor::from_data(TensorData::new(z, shape), &layer.prior.device())
    }
}

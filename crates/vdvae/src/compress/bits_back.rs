//! Tiles with latents, by bits back: choosing latents takes bits that were on the stack, and gives them back.

use anyhow::Result;
use burn::tensor::Tensor;
use rayon::prelude::*;
use vdvae_coding::{Coder, CodingError, Tiling};

use super::TileCoder;
use super::cells::Cells;
use super::latents::{Gaussians, Lane, Passed, Popped};
use super::pixels::Pixels;
use crate::likelihood::{Likelihood, values};
use crate::models::{Hierarchy, ImageShape, LatentLayer};
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;

/// A tile's pixels given its latents, and these given each other, layer by layer.
pub struct BitsBack<'a> {
    model: &'a TrainedModel,
    hierarchy: &'a dyn Hierarchy,
    image: ImageShape,
    likelihood: Likelihood,
    cells: Cells,
}

impl<'a> BitsBack<'a> {
    /// With at most `2^latent_bits` cells per latent.
    ///
    /// # Errors
    /// If the model has no latents, or there are no such cells.
    pub fn new(model: &'a TrainedModel, latent_bits: u32) -> Result<Self> {
        let layers = model.plan.latents()?;
        let latents = layers.iter().map(LatentLayer::len).sum();
        Ok(Self {
            model,
            hierarchy: model.model.hierarchy()?,
            image: model.plan.image(),
            likelihood: model.plan.likelihood(),
            cells: Cells::new(latent_bits, latents)?,
        })
    }

    /// What the encoder reads for tiles [B, S, S, C].
    fn input(&self, tiles: &[u8]) -> Tensor<4> {
        // Values of binary images are 0 and 255, which binarization always leaves alone.
        let keys = Keys::new(
            0,
            Purpose::Binarization,
            vec![0; tiles.len() / self.image.len()],
        );
        let preprocess = &self.model.preprocess;
        preprocess.apply(tiles, &keys, &self.model.device).input
    }

    /// Pushes the pixels of one tile, then its latents.
    fn push_tile(
        &self,
        lane: &mut Lane,
        frame: &Tiling,
        tile: &[u8],
        parameters: &[f32],
    ) -> Result<(), CodingError> {
        let channels = frame.channels();
        let mut pixels = Pixels::new(&self.likelihood, channels, self.image.channels)?;
        let coded: Vec<u8> = tile
            .chunks_exact(self.image.channels)
            .flat_map(|pixel| &pixel[..channels])
            .copied()
            .collect();
        let valid = frame.valid(0);
        pixels.push(lane.coder, parameters, &coded, valid.as_deref())?;
        let latents = self.cells.codec(lane.size);
        for cells in lane.cells.iter().rev() {
            latents.push_prior(lane.coder, cells)?;
        }
        self.cells.push(lane.coder, lane.size)
    }

    /// Pops the pixels of one tile into `tile`, [S, S, C].
    fn pop_pixels(
        &self,
        lane: &mut Lane,
        frame: &Tiling,
        parameters: &[f32],
        tile: &mut [u8],
    ) -> Result<(), CodingError> {
        let (channels, colours) = (frame.channels(), self.image.channels);
        let mut coded = vec![0; tile.len() / colours * channels];
        let valid = frame.valid(0);
        let mut pixels = Pixels::new(&self.likelihood, channels, colours)?;
        pixels.pop(lane.coder, parameters, &mut coded, valid.as_deref())?;
        let mut area = vec![0; frame.image_len()];
        frame.paste(&coded, 0, &mut area)?;
        frame.cut(&area, 0, tile)
    }

    /// Gives back what the latents were popped with when the tiles were pushed, the last layer first.
    fn push_posteriors(
        &self,
        lanes: &mut [Lane],
        passed: &[Passed],
        input: Tensor<4>,
    ) -> Result<(), CodingError> {
        let activations = self.hierarchy.encode(input);
        for (layer, Passed { state, prior }) in passed.iter().enumerate().rev() {
            let state = state.clone();
            let posterior = self.hierarchy.posterior(layer, state, &activations);
            let posterior = Gaussians::new(&posterior, posterior.dims()[3] / 2);
            let push = |(item, lane): (usize, &mut Lane)| {
                let (prior, posterior) = (prior.item(item), posterior.item(item));
                let codec = self.cells.codec(lane.size);
                codec.push_posterior(lane.coder, prior, posterior, &lane.cells[layer])
            };
            lanes.par_iter_mut().enumerate().try_for_each(push)?;
        }
        Ok(())
    }
}

impl TileCoder for BitsBack<'_> {
    fn push(&self, coders: &mut [&mut Coder], frames: &[Tiling], tiles: &[u8]) -> Result<()> {
        let lane = |coder| Lane::new(coder, |coder| Ok(self.cells.affordable(coder)));
        let mut lanes = lanes(coders, lane)?;
        let mut popped = Popped::new(&self.cells, &mut lanes);
        let input = Some(self.input(tiles));
        let parameters = self.hierarchy.decode(frames.len(), input, &mut popped);
        popped.finish()?;
        let parameters = values(parameters);
        let each = parameters.len() / frames.len();
        let tiles = tiles.par_chunks_exact(self.image.len());
        let items = lanes.par_iter_mut().zip(frames);
        items
            .zip(tiles.zip(parameters.par_chunks_exact(each)))
            .try_for_each(|((lane, frame), (tile, parameters))| {
                self.push_tile(lane, frame, tile, parameters)
            })?;
        Ok(())
    }

    fn pop(&self, coders: &mut [&mut Coder], frames: &[Tiling]) -> Result<Vec<u8>> {
        let lane = |coder| Lane::new(coder, |coder| self.cells.pop(coder));
        let mut lanes = lanes(coders, lane)?;
        let mut popped = Popped::new(&self.cells, &mut lanes);
        let parameters = self.hierarchy.decode(frames.len(), None, &mut popped);
        let passed = popped.finish()?;
        let parameters = values(parameters);
        let each = parameters.len() / frames.len();
        let mut tiles = vec![0; frames.len() * self.image.len()];
        let items = lanes.par_iter_mut().zip(frames);
        items
            .zip(parameters.par_chunks_exact(each))
            .zip(tiles.par_chunks_exact_mut(self.image.len()))
            .try_for_each(|(((lane, frame), parameters), tile)| {
                self.pop_pixels(lane, frame, parameters, tile)
            })?;
        self.push_posteriors(&mut lanes, &passed, self.input(&tiles))?;
        Ok(tiles)
    }
}

/// A lane for each coder.
fn lanes<'a>(
    coders: &'a mut [&mut Coder],
    lane: impl Fn(&'a mut Coder) -> Result<Lane<'a>, CodingError>,
) -> Result<Vec<Lane<'a>>, CodingError> {
    coders.iter_mut().map(|coder| lane(coder)).collect()
}

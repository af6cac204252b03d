//! Tiles pixel after pixel, each given those before it.
//!
//! Both ways run the same loop with the same kept numbers, and show the model the same pixels at the same time, so
//! that it tells the same parameters to the last bit. What comes off a stack first must go onto it last: compression
//! keeps the parameters of all turns, and pushes from the end.

use anyhow::Result;
use rayon::prelude::*;
use vdvae_coding::{Coder, CodingError, Tiling};

use super::TileCoder;
use super::pixels::Pixels;
use crate::likelihood::Likelihood;
use crate::models::ordered::{Canvas, Given, PixelSource, Turn, fill};
use crate::models::{ImageShape, Ordered};

/// A tile's pixels in raster order.
pub struct InOrder<'a> {
    model: &'a dyn Ordered,
}

impl<'a> InOrder<'a> {
    /// With a model that is told no kinds of images.
    pub fn new(model: &'a dyn Ordered) -> Self {
        Self { model }
    }

    /// Runs the loop over so many tiles, as `source` decides; the tiles, [B, S, S, C].
    fn fill(&self, batch: usize, source: &mut dyn PixelSource) -> Vec<u8> {
        let mut canvas = self.model.blank(batch);
        let mut next = self.model.begin(batch, &[]);
        let likelihood = self.model.likelihood();
        fill(&mut *next, likelihood, source, &mut canvas, &mut |_| ());
        canvas.into_bytes()
    }

    fn decisions(&self, frames: &[Tiling]) -> Result<Vec<Decisions>, CodingError> {
        let (likelihood, image) = (self.model.likelihood(), self.model.image());
        let decisions = |frame| Decisions::new(likelihood, image, frame);
        frames.iter().map(decisions).collect()
    }
}

impl TileCoder for InOrder<'_> {
    fn push(&self, coders: &mut [&mut Coder], frames: &[Tiling], tiles: &[u8]) -> Result<()> {
        let (likelihood, image) = (self.model.likelihood(), self.model.image());
        let mut recorded = Recorded {
            tiles: Given::new(likelihood, tiles),
            turns: Vec::new(),
        };
        self.fill(frames.len(), &mut recorded);
        let turns = &recorded.turns;
        let lanes = coders.par_iter_mut().zip(self.decisions(frames)?);
        let lanes = lanes.zip(tiles.par_chunks_exact(image.len()));
        lanes
            .enumerate()
            .try_for_each(|(lane, ((coder, mut decisions), tile))| {
                for (turn, parameters) in turns.iter().rev() {
                    let each = parameters.len() / frames.len();
                    let parameters = &parameters[lane * each..][..each];
                    decisions.push(coder, *turn, parameters, tile)?;
                }
                Ok::<_, CodingError>(())
            })?;
        Ok(())
    }

    fn pop(&self, coders: &mut [&mut Coder], frames: &[Tiling]) -> Result<Vec<u8>> {
        let mut popped = Popped {
            coders,
            decisions: self.decisions(frames)?,
            failure: None,
        };
        let tiles = self.fill(frames.len(), &mut popped);
        popped.failure.map_or(Ok(tiles), |error| Err(error.into()))
    }
}

/// What is coded of one tile, turn by turn: neither what lies outside of its image, nor the further colours of a
/// gray one, which all are as what came before them.
struct Decisions {
    image: ImageShape,
    likelihood: Likelihood,
    /// Rows, columns and channels of the image's part.
    area: [usize; 3],
    /// Of the values of one turn.
    pixels: Pixels,
}

impl Decisions {
    fn new(
        likelihood: &Likelihood,
        image: ImageShape,
        frame: &Tiling,
    ) -> Result<Self, CodingError> {
        let colours = image.channels / likelihood.turns();
        let (rows, columns) = frame.area(0);
        Ok(Self {
            image,
            likelihood: *likelihood,
            area: [rows.len(), columns.len(), frame.channels()],
            pixels: Pixels::new(likelihood, frame.channels().min(colours), colours)?,
        })
    }

    /// Where the colours of a turn begin in a tile [S, S, C], how many there are, and how many of them are coded.
    fn place(&self, turn: Turn) -> (usize, usize, usize) {
        let [rows, columns, channels] = self.area;
        let colours = self.likelihood.channels_of(turn.part, self.image.channels);
        let is_inside = turn.row < rows && turn.column < columns;
        let coded = if is_inside { channels } else { 0 };
        let coded = coded.min(colours.end).saturating_sub(colours.start);
        let pixel = turn.row * self.image.size + turn.column;
        let at = pixel * self.image.channels + colours.start;
        (at, colours.len(), coded)
    }

    fn push(
        &mut self,
        coder: &mut Coder,
        turn: Turn,
        parameters: &[f32],
        tile: &[u8],
    ) -> Result<(), CodingError> {
        match self.place(turn) {
            (_, _, 0) => Ok(()),
            (at, _, coded) => self
                .pixels
                .push(coder, parameters, &tile[at..at + coded], None),
        }
    }

    /// The colours of a turn, given the tile before it.
    fn pop(
        &mut self,
        coder: &mut Coder,
        turn: Turn,
        parameters: &[f32],
        tile: &[u8],
    ) -> Result<Vec<u8>, CodingError> {
        let (_, colours, coded) = self.place(turn);
        let mut values = vec![0; colours];
        if coded > 0 {
            let coded = &mut values[..coded];
            self.pixels.pop(coder, parameters, coded, None)?;
        }
        let [rows, columns, channels] = self.area;
        let first = self
            .likelihood
            .channels_of(turn.part, self.image.channels)
            .start;
        // The nearest pixel inside: the same one, or one that came before.
        let (row, column) = (turn.row.min(rows - 1), turn.column.min(columns - 1));
        let nearest = (row * self.image.size + column) * self.image.channels;
        for colour in coded..colours {
            let source = (first + colour).min(channels - 1);
            values[colour] = match source.checked_sub(first) {
                Some(now) if now < coded => values[now],
                _ => tile[nearest + source],
            };
        }
        Ok(values)
    }
}

/// Given tiles; what they are distributed as is kept.
struct Recorded<'a> {
    tiles: Given<'a>,
    /// Parameters [B, P] of every turn.
    turns: Vec<(Turn, Vec<f32>)>,
}

impl PixelSource for Recorded<'_> {
    fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas) {
        self.turns.push((turn, parameters.to_vec()));
        self.tiles.decide(turn, parameters, canvas);
    }
}

/// Popped, one coder a tile.
struct Popped<'a, 'b> {
    coders: &'a mut [&'b mut Coder],
    decisions: Vec<Decisions>,
    failure: Option<CodingError>,
}

impl PixelSource for Popped<'_, '_> {
    fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas) {
        // After a failure the rest of the loop sees zeros, and nobody sees its result.
        if self.failure.is_some() {
            return;
        }
        let image = canvas.shape();
        let each = parameters.len() / canvas.batch();
        let lanes = self.coders.par_iter_mut().zip(&mut self.decisions);
        let given = parameters.par_chunks_exact(each);
        let given = given.zip(canvas.bytes().par_chunks_exact(image.len()));
        let popped = lanes
            .zip(given)
            .map(|((coder, decisions), (parameters, tile))| {
                decisions.pop(coder, turn, parameters, tile)
            });
        let popped: Result<Vec<_>, _> = popped.collect();
        match popped {
            Ok(popped) => {
                let likelihood = &self.decisions[0].likelihood;
                let first = likelihood.channels_of(turn.part, image.channels).start;
                for (lane, values) in popped.iter().enumerate() {
                    canvas.set(lane, [turn.row, turn.column], first, values);
                }
            }
            Err(error) => self.failure = Some(error),
        }
    }
}

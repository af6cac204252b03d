//! Images that are drawn, wholly or in part.

use super::{Completed, Drawn, Given, Ordered, fill};
use crate::random::{Keys, Purpose};

/// Which images are drawn. An image is a function of the seed, its item, its class and what is given of it.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    /// Of all of them.
    pub seed: u64,
    /// One per image.
    pub items: &'a [u64],
    /// The class of each, where the model tells classes apart; none: of all in turn.
    pub classes: &'a [usize],
    /// Images [B, S, S, C] whose first rows, so many, are kept.
    pub given: Option<(&'a [u8], usize)>,
    /// By the plain sampler, which keeps nothing: the whole network once a turn.
    pub plain: bool,
}

impl<'a> Drawing<'a> {
    /// Nothing given, of all classes in turn.
    pub fn new(seed: u64, items: &'a [u64]) -> Self {
        Self {
            seed,
            items,
            classes: &[],
            given: None,
            plain: false,
        }
    }
}

impl dyn Ordered + '_ {
    /// What [`Model::sample`](crate::Model::sample) asks for: an image for each item, [B, S, S, C] bytes; of classes
    /// in turn where there are any.
    pub fn sample(&self, seed: u64, items: &[u64]) -> Vec<u8> {
        self.draw(&Drawing::new(seed, items), &mut |_| ())
    }

    /// Draws images, [B, S, S, C] bytes; calls `progress` with the number of pixels of each that are done.
    pub fn draw(&self, drawing: &Drawing, progress: &mut dyn FnMut(usize)) -> Vec<u8> {
        let Drawing { seed, items, .. } = *drawing;
        let count = self.classes() as u64;
        let in_turn = items.iter().filter_map(|item| item.checked_rem(count));
        let classes: Vec<usize> = match drawing.classes {
            [] => in_turn.map(|class| class as usize).collect(),
            classes => classes.to_vec(),
        };
        let mut next = match drawing.plain {
            true => self.begin_plain(&classes),
            false => self.begin(items.len(), &classes),
        };
        let likelihood = self.likelihood();
        let (images, rows) = drawing.given.unwrap_or_default();
        let mut source = Completed {
            rows,
            above: Given::new(likelihood, images),
            below: Drawn::new(likelihood, Keys::new(seed, Purpose::Pixels, items.to_vec())),
        };
        let mut canvas = self.blank(items.len());
        fill(&mut *next, likelihood, &mut source, &mut canvas, progress);
        canvas.into_bytes()
    }
}

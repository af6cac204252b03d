//! Who decides the values of pixels.

use rand::RngExt;

use super::{Canvas, Turn};
use crate::likelihood::Likelihood;
use crate::random::Keys;

/// Decides the values of pixels, turn by turn.
pub trait PixelSource {
    /// Decides those of a turn, given its `parameters` `[B, P]`, and puts them on the canvas.
    fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas);
}

/// Drawn: a value is a function of its image's key, its place, and what was decided before it.
pub struct Drawn<'a> {
    likelihood: &'a Likelihood,
    keys: Keys,
}

impl<'a> Drawn<'a> {
    /// With one key per image.
    pub fn new(likelihood: &'a Likelihood, keys: Keys) -> Self {
        Self { likelihood, keys }
    }
}

impl PixelSource for Drawn<'_> {
    fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas) {
        let channels = self
            .likelihood
            .channels_of(turn.part, canvas.shape().channels);
        let side = canvas.shape().size;
        // A stream for each turn, so that what is given instead of drawn moves no other number.
        let stream = (turn.row * side + turn.column) * self.likelihood.turns() + turn.part;
        let each = parameters.len() / canvas.batch();
        let images = parameters
            .chunks_exact(each)
            .zip(self.keys.generators(stream));
        for (image, (parameters, mut generator)) in images.enumerate() {
            let mut values = vec![0; channels.len()];
            self.likelihood
                .draw(parameters, &mut || generator.random(), &mut values);
            canvas.set(image, [turn.row, turn.column], channels.start, &values);
        }
    }
}

/// Given: the values of `images` [B, S, S, C], each put on the canvas when its turn comes and not before.
pub struct Given<'a> {
    likelihood: &'a Likelihood,
    images: &'a [u8],
}

impl<'a> Given<'a> {
    /// One image for each of the batch.
    pub fn new(likelihood: &'a Likelihood, images: &'a [u8]) -> Self {
        Self { likelihood, images }
    }
}

impl PixelSource for Given<'_> {
    fn decide(&mut self, turn: Turn, _: &[f32], canvas: &mut Canvas) {
        let shape = canvas.shape();
        let channels = self.likelihood.channels_of(turn.part, shape.channels);
        let pixel = (turn.row * shape.size + turn.column) * shape.channels;
        for (image, given) in self.images.chunks_exact(shape.len()).enumerate() {
            let values = &given[pixel..][channels.clone()];
            canvas.set(image, [turn.row, turn.column], channels.start, values);
        }
    }
}

/// The first `rows` rows by one source, the rest by another.
pub struct Completed<A, B> {
    /// Rows of the first source.
    pub rows: usize,
    /// It.
    pub above: A,
    /// The other one.
    pub below: B,
}

impl<A: PixelSource, B: PixelSource> PixelSource for Completed<A, B> {
    fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas) {
        if turn.row < self.rows {
            self.above.decide(turn, parameters, canvas);
        } else {
            self.below.decide(turn, parameters, canvas);
        }
    }
}

/// Known: the canvas holds them already; `see` is told what they were distributed as.
pub struct Known<S>(pub S);

impl<S: FnMut(Turn, &[f32])> PixelSource for Known<S> {
    fn decide(&mut self, turn: Turn, parameters: &[f32], _: &mut Canvas) {
        (self.0)(turn, parameters);
    }
}

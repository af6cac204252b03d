//! Images pixel by pixel: one loop for every model in which a pixel is distributed given those before it, and many
//! sources that it asks for values. Samples draw them, compression knows them, decompression pops them.
//!
//! A pixel is decided in turns, as its [`Likelihood`] has it: all colours of a mixture of logistics at once, those
//! of a softmax one after the other.

mod canvas;
mod drawing;
mod source;

pub use canvas::Canvas;
pub use drawing::Drawing;
pub use source::{Completed, Drawn, Given, Known, PixelSource};

use burn::tensor::{Tensor, TensorData};

use crate::family::ImageShape;
use crate::likelihood::{Likelihood, values};

/// One decision: some values of one pixel in every image of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From the top.
    pub row: usize,
    /// From the left.
    pub column: usize,
    /// Of the pixel, below [`Likelihood::turns`].
    pub part: usize,
}

/// A model that tells the distribution of a pixel given all before it, in raster order.
pub trait Ordered: Send + Sync {
    /// What it was trained on.
    fn image(&self) -> ImageShape;

    /// The distribution of a pixel.
    fn likelihood(&self) -> &Likelihood;

    /// How the network reads bytes.
    fn input(&self) -> &[f32; 256];

    /// Kinds of images that it tells apart; 0: it does not.
    fn classes(&self) -> usize;

    /// The parameters of all pixels, [B, S, S, P], of images [B, S, S, C] as the network reads them: one evaluation.
    /// `classes`: one per image, none where there are no kinds.
    fn parameters(&self, images: Tensor<4>, classes: &[usize]) -> Tensor<4>;

    /// Begins so many images. Every output of every layer is then computed once an image: what later ones need
    /// is kept (Ramachandran et al. 2017, "Fast Generation for Convolutional Autoregressive Generative Models").
    fn begin<'a>(&'a self, batch: usize, classes: &[usize]) -> Box<dyn Next + 'a>;
}

/// Images that have begun.
pub trait Next {
    /// The parameters of this turn, `[B, P]`, given what `canvas` holds before it. All turns are asked for, each
    /// once, in their order.
    fn parameters(&mut self, turn: Turn, canvas: &Canvas) -> &[f32];
}

impl dyn Ordered + '_ {
    /// Images of which nothing is known.
    pub fn blank(&self, batch: usize) -> Canvas {
        Canvas::new(batch, self.image(), self.input())
    }

    /// The same of the plain sampler: the whole network once a turn. The oracle of [`begin`](Ordered::begin).
    pub fn begin_plain<'a>(&'a self, classes: &'a [usize]) -> Box<dyn Next + 'a> {
        Box::new(Plain {
            model: self,
            classes,
            found: Vec::new(),
        })
    }
}

/// Decides all pixels, turn by turn; calls `progress` with the number of pixels that are done.
pub fn fill(
    next: &mut dyn Next,
    likelihood: &Likelihood,
    source: &mut dyn PixelSource,
    canvas: &mut Canvas,
    progress: &mut dyn FnMut(usize),
) {
    let side = canvas.shape().size;
    for pixel in 0..side * side {
        for part in 0..likelihood.turns() {
            let turn = Turn {
                row: pixel / side,
                column: pixel % side,
                part,
            };
            let parameters = next.parameters(turn, canvas);
            source.decide(turn, parameters, canvas);
        }
        progress(pixel + 1);
    }
}

struct Plain<'a> {
    model: &'a dyn Ordered,
    classes: &'a [usize],
    found: Vec<f32>,
}

impl Next for Plain<'_> {
    fn parameters(&mut self, turn: Turn, canvas: &Canvas) -> &[f32] {
        let ImageShape { size, channels } = canvas.shape();
        let shape = [canvas.batch(), size, size, channels];
        let images = TensorData::new(canvas.input().to_vec(), shape);
        let images = Tensor::from_data(images, &Default::default());
        let all = values(self.model.parameters(images, self.classes));
        let pixel = turn.row * size + turn.column;
        let each = all.len() / (canvas.batch() * size * size);
        let part = self.model.likelihood().parameters_of(turn.part, each);
        self.found.clear();
        for image in all.chunks_exact(size * size * each) {
            self.found
                .extend_from_slice(&image[pixel * each..][part.clone()]);
        }
        &self.found
    }
}

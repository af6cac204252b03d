//! The images of a batch while their pixels are decided.

use crate::family::ImageShape;

/// Images [B, S, S, C], as bytes and as the network reads them.
#[derive(Clone, Debug)]
pub struct Canvas {
    batch: usize,
    shape: ImageShape,
    table: [f32; 256],
    bytes: Vec<u8>,
    input: Vec<f32>,
}

impl Canvas {
    /// All 0; `table` says how the network reads bytes.
    pub fn new(batch: usize, shape: ImageShape, table: &[f32; 256]) -> Self {
        let values = batch * shape.len();
        Self {
            batch,
            shape,
            table: *table,
            bytes: vec![0; values],
            input: vec![table[0]; values],
        }
    }

    /// Images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Of an image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Sets the values of a pixel of an image from `channel` on.
    pub fn set(&mut self, image: usize, [row, column]: [usize; 2], channel: usize, values: &[u8]) {
        let at = self.place(image, [row, column]) + channel;
        self.bytes[at..at + values.len()].copy_from_slice(values);
        for (input, &value) in self.input[at..].iter_mut().zip(values) {
            *input = self.table[usize::from(value)];
        }
    }

    /// Sets what the network reads of a pixel from `channel` on to numbers that no byte stands for, as published
    /// samplers do that never round.
    pub fn set_input(
        &mut self,
        image: usize,
        [row, column]: [usize; 2],
        channel: usize,
        values: &[f32],
    ) {
        let at = self.place(image, [row, column]) + channel;
        self.input[at..at + values.len()].copy_from_slice(values);
    }

    /// What the network reads, [B, S, S, C].
    pub fn input(&self) -> &[f32] {
        &self.input
    }

    /// What the network reads of a pixel of an image, `[C]`.
    pub fn pixel(&self, image: usize, [row, column]: [usize; 2]) -> &[f32] {
        &self.input[self.place(image, [row, column])..][..self.shape.channels]
    }

    /// What the network reads of a row of an image, [S, C].
    pub fn row(&self, image: usize, row: usize) -> &[f32] {
        &self.input[self.place(image, [row, 0])..][..self.shape.size * self.shape.channels]
    }

    /// The images, [B, S, S, C].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The images, [B, S, S, C].
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Where a pixel's values begin.
    fn place(&self, image: usize, [row, column]: [usize; 2]) -> usize {
        let ImageShape { size, channels } = self.shape;
        ((image * size + row) * size + column) * channels
    }
}

//! Keys and values of earlier pixels, for steps.

use vdvae_kernels::attention as kernel;

use super::step::Line;
use crate::ordered::layers::Attention;

/// What an attention keeps of the images of a batch.
pub(super) struct Looks {
    /// Of the pixel before, whose key and value are found when all of it is known.
    pub features: Option<Line>,
    batch: usize,
    channels: usize,
    cell: usize,
    /// Cells in a row.
    width: usize,
    /// Cells that are complete.
    complete: usize,
    /// Keys and values of cells, [B, cells, C].
    cells: Vec<f32>,
    /// Of the cells of the current row, so far, [B, width, C].
    open: Vec<f32>,
}

impl Looks {
    pub fn new(attention: &Attention, batch: usize, side: usize) -> Self {
        let width = side / attention.cell;
        let channels = attention.key + attention.value;
        Self {
            features: None,
            batch,
            channels,
            cell: attention.cell,
            width,
            complete: 0,
            cells: vec![0.0; batch * width * width * channels],
            open: vec![0.0; batch * width * channels],
        }
    }

    /// The keys and values [B, C] of the next pixel.
    pub fn append(&mut self, [row, column]: [usize; 2], both: &[f32]) {
        let (cell, in_row) = (self.cell, column / self.cell);
        let is_first = row % cell == 0 && column % cell == 0;
        let is_last = row % cell == cell - 1 && column % cell == cell - 1;
        for (image, both) in both.chunks_exact(self.channels).enumerate() {
            let open = (image * self.width + in_row) * self.channels;
            let open = &mut self.open[open..][..self.channels];
            if is_first {
                open.copy_from_slice(both);
            } else {
                for (largest, &x) in open.iter_mut().zip(both) {
                    *largest = largest.max(x);
                }
            }
            if is_last {
                let place = image * self.width * self.width + row / cell * self.width + in_row;
                self.cells[place * self.channels..][..self.channels].copy_from_slice(open);
            }
        }
        self.complete += usize::from(is_last);
    }

    /// What queries [B, d] see of the first `count` cells, [B, values].
    pub fn see(&self, attention: &Attention, count: usize, queries: &[f32]) -> Vec<f32> {
        debug_assert_eq!(count, self.complete, "cells come in their order");
        let mut found = vec![0.0; self.batch * attention.value];
        let each = self.width * self.width * self.channels;
        let cells = self.cells.chunks_exact(each);
        let seen: Vec<&[f32]> = cells.map(|cells| &cells[..count * self.channels]).collect();
        let shape = kernel::Attention {
            batch: self.batch,
            keys: count,
            heads: 1,
            key_size: attention.key,
            value_size: attention.value,
            seen: &[count],
            scale: attention.scale(),
            epsilon: attention.epsilon,
        };
        kernel::step(&shape, queries, &seen, &mut found);
        found
    }
}

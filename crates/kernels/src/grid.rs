//! Where pixels lie in memory.

use crate::parallel::Shared;
use crate::precision::Precision;
use crate::rows::Row;
use crate::tile::Segment;
use std::ops::Range;

/// The pixels of a batch of images, each image perhaps inside a border of one zero pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    /// 0 or 1.
    pub border: usize,
}

impl Grid {
    /// So many pixels in one line.
    pub fn line_of(pixels: usize) -> Self {
        Self {
            batch: 1,
            height: 1,
            width: pixels,
            border: 0,
        }
    }

    /// Pixels without the border.
    pub fn pixels(self) -> usize {
        self.batch * self.height * self.width
    }

    /// Pixels with the border.
    pub fn places(self) -> usize {
        self.batch * self.rows() * self.line()
    }

    /// Places in a row with its border.
    #[inline(always)]
    pub fn line(self) -> usize {
        self.width + 2 * self.border
    }

    /// Rows of an image with its border.
    fn rows(self) -> usize {
        self.height + 2 * self.border
    }

    /// The place of a pixel.
    #[inline(always)]
    pub fn place(self, pixel: usize) -> usize {
        if self.border == 0 {
            return pixel;
        }
        let (row, column) = (pixel / self.width, pixel % self.width);
        let (image, row) = (row / self.height, row % self.height);
        (image * self.rows() + row + 1) * self.line() + column + 1
    }

    /// The same for only so many images.
    pub fn images(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The places of the pixels from this one on, without a division for each.
    #[inline(always)]
    pub fn places_from(self, pixel: usize) -> Places {
        Places {
            place: self.place(pixel),
            column: pixel % self.width,
            row: pixel / self.width % self.height,
            grid: self,
        }
    }

    /// How many pixels from this one on, at most `limit`, lie at consecutive places.
    #[inline(always)]
    pub fn run(self, pixel: usize, limit: usize) -> usize {
        if self.border == 0 {
            limit
        } else {
            limit.min(self.width - pixel % self.width)
        }
    }

    /// The border that a convolution with this kernel needs; none where all but its centre
    /// would fall on zeros.
    pub fn border_for(kernel: usize, height: usize, width: usize) -> usize {
        usize::from(kernel == 3 && (height, width) != (1, 1))
    }

    /// The taps of a convolution that reads a buffer laid out like this: so many elements
    /// each, in the order of the weights.
    pub fn segments(self, kernel: usize, elements: usize) -> Vec<Segment> {
        let tap = |tap: usize, dy: isize, dx: isize| Segment {
            input: (dy * self.line() as isize + dx) * elements as isize,
            row: tap * elements,
            rows: elements,
        };
        if self.border == 0 {
            return vec![tap(kernel * kernel / 2, 0, 0)];
        }
        let offset = |i: usize| i as isize - 1;
        (0..9)
            .map(|i| tap(i, offset(i / 3), offset(i % 3)))
            .collect()
    }
}

/// Goes through the places of consecutive pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    place: usize,
    column: usize,
    row: usize,
    grid: Grid,
}

impl Places {
    /// The place of the current pixel; moves on to the next.
    #[inline(always)]
    pub fn next(&mut self) -> usize {
        let place = self.place;
        self.place += 1;
        if self.grid.border > 0 {
            self.column += 1;
            if self.column == self.grid.width {
                self.column = 0;
                self.row += 1;
                // Over the right border and the next left one, and between images over two
                // whole lines of border.
                self.place += 2;
                if self.row == self.grid.height {
                    self.row = 0;
                    self.place += 2 * self.grid.line();
                }
            }
        }
        place
    }
}

/// A buffer of `grid.places()` pixels with `channels` numbers each, as elements of a precision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    pub at: Shared,
    pub grid: Grid,
    pub channels: usize,
    pub precision: Precision,
}

impl Map {
    /// A buffer that is written.
    ///
    /// # Panics
    /// If the buffer is too short.
    pub fn new(buffer: &mut [f32], grid: Grid, channels: usize, precision: Precision) -> Self {
        assert!(buffer.len() >= grid.places() * precision.elements(channels));
        Self {
            at: Shared(buffer.as_mut_ptr()),
            grid,
            channels,
            precision,
        }
    }

    /// A buffer that is only read: nothing may be written through it.
    ///
    /// # Panics
    /// If the buffer is too short.
    pub fn of(buffer: &[f32], grid: Grid, channels: usize, precision: Precision) -> Self {
        assert!(buffer.len() >= grid.places() * precision.elements(channels));
        Self {
            at: Shared(buffer.as_ptr().cast_mut()),
            grid,
            channels,
            precision,
        }
    }

    /// Some of the images.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn images(self, range: &Range<usize>) -> Self {
        assert!(range.end <= self.grid.batch);
        let skipped = self.grid.images(range.start).places() * self.elements();
        Self {
            at: Shared(self.at.0.wrapping_add(skipped)),
            grid: self.grid.images(range.len()),
            ..self
        }
    }

    /// Some of the pixels, in one line.
    ///
    /// # Panics
    /// If there are not so many, or they have a border.
    pub fn pixels(self, range: &Range<usize>) -> Self {
        assert!(range.end <= self.grid.pixels() && self.grid.border == 0);
        let skipped = range.start * self.elements();
        Self {
            at: Shared(self.at.0.wrapping_add(skipped)),
            grid: Grid::line_of(range.len()),
            ..self
        }
    }

    /// Elements of a pixel.
    #[inline(always)]
    pub fn elements(self) -> usize {
        self.precision.elements(self.channels)
    }

    /// What begins at an element, as numbers of this buffer.
    #[inline(always)]
    pub fn row(self, at: *mut f32) -> Row {
        Row {
            at,
            precision: self.precision,
        }
    }

    /// The first element of a pixel.
    ///
    /// # Safety
    /// The pixel must be one of the grid's, and the buffer alive.
    #[inline(always)]
    pub unsafe fn pixel(self, pixel: usize) -> *mut f32 {
        // SAFETY: within the buffer, whose length was checked.
        unsafe { self.at.0.add(self.grid.place(pixel) * self.elements()) }
    }

    /// The first element of a pixel of which the place inside a border is known.
    ///
    /// # Safety
    /// As for [`Map::pixel`]; the place must be that of the pixel where the grid has a border.
    #[inline(always)]
    pub unsafe fn spot(self, pixel: usize, place: usize) -> *mut f32 {
        let place = if self.grid.border == 0 { pixel } else { place };
        // SAFETY: promised by the caller.
        unsafe { self.at_place(place) }
    }

    /// The first element at a place.
    ///
    /// # Safety
    /// The place must be one of the grid's, and the buffer alive.
    #[inline(always)]
    pub unsafe fn at_place(self, place: usize) -> *mut f32 {
        // SAFETY: within the buffer, whose length was checked.
        unsafe { self.at.0.add(place * self.elements()) }
    }

    /// Sets the border to zero.
    ///
    /// # Safety
    /// The buffer must be alive, writable and used by nobody else.
    pub unsafe fn clear_border(self) {
        let Grid { batch, border, .. } = self.grid;
        if border == 0 {
            return;
        }
        let (rows, line) = (self.grid.rows(), self.grid.line());
        // SAFETY: ranges of places within the buffer, whose length was checked.
        let clear = |place: usize, count: usize| unsafe {
            let start = self.at.0.add(place * self.elements());
            start.write_bytes(0, count * self.elements());
        };
        for image in 0..batch {
            let first = image * rows * line;
            clear(first, line + 1);
            for row in 1..rows - 2 {
                // The right border of one row and the left border of the next are neighbours.
                clear(first + (row + 1) * line - 1, 2);
            }
            clear(first + (rows - 1) * line - 1, line + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_pixels() {
        for (batch, height, width, border) in [(2, 3, 4, 1), (3, 1, 1, 1), (2, 2, 3, 0)] {
            let grid = Grid {
                batch,
                height,
                width,
                border,
            };
            for first in 0..grid.pixels() {
                let mut places = grid.places_from(first);
                for pixel in first..grid.pixels() {
                    assert_eq!(places.next(), grid.place(pixel));
                }
            }
        }
    }
}

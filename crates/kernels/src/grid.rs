//! Where pixels lie in memory.

use crate::parallel::Shared;
use crate::precision::Precision;
use crate::rows::Row;
use crate::tile::Segment;
use std::ops::Range;

/// The pixels of a batch of images, and where they lie: each image may have zeros around it, or be every second
/// pixel of a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    /// Whether the pixels lie side by side, and nothing else.
    plain: bool,
    /// The place of an image's first pixel.
    first: usize,
    /// Places from a pixel to the next one, in lines as in columns.
    step: usize,
    /// Places in a line.
    line: usize,
    /// Lines of an image.
    lines: usize,
}

impl Grid {
    /// Images without anything around them.
    pub fn plain(batch: usize, height: usize, width: usize) -> Self {
        Self::inside(batch, [height, width], [0; 2], [0; 2])
    }

    /// Images inside so many lines and columns of zeros, before and after them.
    pub fn inside(
        batch: usize,
        [height, width]: [usize; 2],
        before: [usize; 2],
        after: [usize; 2],
    ) -> Self {
        let line = before[1] + width + after[1];
        Self {
            batch,
            height,
            width,
            plain: before == [0; 2] && after == [0; 2],
            first: before[0] * line + before[1],
            step: 1,
            line,
            lines: before[0] + height + after[0],
        }
    }

    /// Other pixels at the same places: `height` lines of `width`, the first one at `first` (line and column), `step`
    /// lines and columns apart.
    pub fn view(self, first: [usize; 2], [height, width]: [usize; 2], step: usize) -> Self {
        let first = first[0] * self.line + first[1];
        let all = (first, step, height, width) == (0, 1, self.lines, self.line);
        Self {
            batch: self.batch,
            height,
            width,
            plain: all,
            first,
            step,
            ..self
        }
    }

    /// So many pixels in one line.
    pub fn line_of(pixels: usize) -> Self {
        Self::plain(1, 1, pixels)
    }

    /// Whether the pixels lie side by side, and nothing else.
    #[inline(always)]
    pub fn is_plain(self) -> bool {
        self.plain
    }

    /// Pixels without what is around them.
    pub fn pixels(self) -> usize {
        self.batch * self.height * self.width
    }

    /// Places of pixels and what is around them.
    pub fn places(self) -> usize {
        self.batch * self.lines * self.line
    }

    /// Places in a line.
    #[inline(always)]
    pub fn line(self) -> usize {
        self.line
    }

    /// Lines and columns before an image's first pixel.
    pub fn before(self) -> [usize; 2] {
        [self.first / self.line, self.first % self.line]
    }

    /// Places from a pixel to the next one.
    #[inline(always)]
    pub fn step(self) -> usize {
        self.step
    }

    /// The place of a pixel.
    #[inline(always)]
    pub fn place(self, pixel: usize) -> usize {
        if self.plain {
            return pixel;
        }
        let (row, column) = (pixel / self.width, pixel % self.width);
        let (image, row) = (row / self.height, row % self.height);
        (image * self.lines + row * self.step) * self.line + self.first + column * self.step
    }

    /// The same for only so many images.
    pub fn images(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The places of the pixels from this one on, without a division for each.
    #[inline(always)]
    pub fn places_from(self, pixel: usize) -> Places {
        let (row, column) = if self.plain {
            (0, 0)
        } else {
            (pixel / self.width % self.height, pixel % self.width)
        };
        Places {
            place: self.place(pixel),
            column,
            row,
            grid: self,
        }
    }

    /// How many pixels from this one on, at most `limit`, lie at regular distances.
    #[inline(always)]
    pub fn run(self, pixel: usize, limit: usize) -> usize {
        if self.plain {
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

    /// Images inside the [border](Self::border_for) that a convolution with this kernel needs.
    pub fn bordered(kernel: usize, batch: usize, height: usize, width: usize) -> Self {
        let border = [Self::border_for(kernel, height, width); 2];
        Self::inside(batch, [height, width], border, border)
    }

    /// Whether each image is inside a border of one pixel.
    pub fn has_border(self) -> bool {
        let sides = [self.height, self.width];
        self == Self::inside(self.batch, sides, [1; 2], [1; 2])
    }

    /// The taps of a convolution that reads a buffer laid out like this, in the border that it needs: so many
    /// elements each, in the order of the weights.
    pub fn segments(self, kernel: usize, elements: usize) -> Vec<Segment> {
        let tap = |tap: usize, dy: isize, dx: isize| Segment {
            input: (dy * self.line() as isize + dx) * elements as isize,
            row: tap * elements,
            rows: elements,
        };
        if self.plain {
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
        let grid = &self.grid;
        self.place += grid.step;
        if !grid.plain {
            self.column += 1;
            if self.column == grid.width {
                self.column = 0;
                self.row += 1;
                // Over what is beside the pixels, and the lines between theirs.
                self.place += grid.step * (grid.line - grid.width);
                if self.row == grid.height {
                    self.row = 0;
                    // Back, where the lines between go beyond the image.
                    let covered = grid.step * grid.height;
                    let rest = grid.lines.wrapping_sub(covered).wrapping_mul(grid.line);
                    self.place = self.place.wrapping_add(rest);
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
        assert!(range.end <= self.grid.pixels() && self.grid.is_plain());
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
        let place = if self.grid.is_plain() { pixel } else { place };
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

    /// The same buffer, other pixels.
    ///
    /// # Panics
    /// If they are not at its places.
    pub fn view(self, grid: Grid) -> Self {
        let last = grid.pixels().checked_sub(1).map(|last| grid.place(last));
        assert!(last.is_none_or(|last| last < self.grid.places()));
        Self { grid, ..self }
    }

    /// Sets what is around the images to zero.
    ///
    /// # Safety
    /// The buffer must be alive, writable and used by nobody else; the grid no view.
    pub unsafe fn clear_border(self) {
        let Grid {
            batch,
            height,
            width,
            first,
            line,
            lines,
            plain,
            ..
        } = self.grid;
        if plain {
            return;
        }
        // SAFETY: ranges of places within the buffer, whose length was checked.
        let clear = |place: usize, end: usize| unsafe {
            let start = self.at.0.add(place * self.elements());
            start.write_bytes(0, (end - place) * self.elements());
        };
        for image in 0..batch {
            let mut before = image * lines * line;
            let pixels = before + first;
            for row in 0..height {
                // What is right of one row and left of the next are neighbours.
                clear(before, pixels + row * line);
                before = pixels + row * line + width;
            }
            clear(before, (image + 1) * lines * line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_pixels() {
        let plain = Grid::plain(2, 5, 7);
        for grid in [
            Grid::bordered(3, 2, 3, 4),
            Grid::inside(3, [1, 1], [1, 1], [1, 1]),
            Grid::inside(2, [3, 2], [1, 2], [0, 1]),
            Grid::plain(2, 2, 3),
            plain.view([0, 0], [3, 4], 2),
            plain.view([1, 0], [2, 4], 2),
            plain.view([1, 1], [2, 3], 2),
        ] {
            for first in 0..grid.pixels() {
                let mut places = grid.places_from(first);
                for pixel in first..grid.pixels() {
                    assert_eq!(places.next(), grid.place(pixel), "{grid:?}");
                }
            }
        }
    }

    #[test]
    fn a_border_is_cleared_and_nothing_else() {
        for grid in [
            Grid::bordered(3, 2, 3, 4),
            Grid::inside(2, [3, 2], [1, 2], [0, 1]),
            Grid::inside(1, [2, 3], [0, 0], [2, 0]),
            Grid::plain(2, 2, 3),
        ] {
            let mut buffer = vec![1.0; grid.places() * 3];
            let map = Map::new(&mut buffer, grid, 3, Precision::Fp32);
            // SAFETY: nobody else uses the buffer.
            unsafe { map.clear_border() };
            assert_eq!(buffer.iter().sum::<f32>(), 3.0 * grid.pixels() as f32);
            for pixel in 0..grid.pixels() {
                let place = 3 * grid.place(pixel);
                assert_eq!(buffer[place..place + 3], [1.0; 3], "{grid:?}");
            }
        }
    }
}

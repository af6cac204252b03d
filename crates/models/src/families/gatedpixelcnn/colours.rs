//! Which feature maps of the horizontal stack belong to which colour: a colour sees those before it, and they do
//! not see it.

use std::ops::Range;

use crate::ops::Mask;

/// Feature maps, dealt to the colours in contiguous and nearly equal groups. Those before a gate are two halves,
/// the tanh's and the sigmoid's, each dealt by itself: dealt as one, the sigmoids would tell later colours to
/// earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// Of a half.
    pub each: usize,
    /// 2 before a gate, else 1.
    pub halves: usize,
    /// Of a pixel.
    pub colours: usize,
}

/// What a map sees of its own pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Maps of earlier colours: mask A.
    Earlier,
    /// And those of its own colour: mask B.
    Own,
}

impl Maps {
    /// Undivided.
    pub fn new(count: usize, colours: usize) -> Self {
        Self {
            each: count,
            halves: 1,
            colours,
        }
    }

    /// Twice so many, before a gate.
    pub fn gated(count: usize, colours: usize) -> Self {
        Self {
            halves: 2,
            ..Self::new(count, colours)
        }
    }

    /// All.
    pub fn count(self) -> usize {
        self.each * self.halves
    }

    /// Maps of a half that are of earlier colours.
    pub fn before(self, colour: usize) -> usize {
        (colour * self.each).div_ceil(self.colours)
    }

    /// Those of a half that are of this colour.
    pub fn of(self, colour: usize) -> Range<usize> {
        self.before(colour)..self.before(colour + 1)
    }

    /// Those of this colour, half by half.
    pub fn columns(self, colour: usize) -> impl Iterator<Item = usize> {
        (0..self.halves).flat_map(move |half| {
            let group = self.of(colour);
            half * self.each + group.start..half * self.each + group.end
        })
    }
}

impl Sees {
    /// How many of the `inputs` a map of this colour sees, from the first on.
    pub fn of(self, inputs: Maps, colour: usize) -> usize {
        match self {
            Self::Earlier => inputs.before(colour),
            Self::Own => inputs.before(colour + 1),
        }
    }

    /// The mask of weights [1, `taps`, C_in, C_out], whose last tap is the pixel itself; the others lie to its left,
    /// and all colours there are seen.
    pub fn mask(self, taps: usize, inputs: Maps, outputs: Maps) -> Mask {
        let (c_in, c_out) = (inputs.count(), outputs.count());
        let mut mask = vec![1.0; taps * c_in * c_out];
        let here = &mut mask[(taps - 1) * c_in * c_out..];
        for colour in 0..outputs.colours {
            for input in self.of(inputs, colour)..c_in {
                for output in outputs.columns(colour) {
                    here[input * c_out + output] = 0.0;
                }
            }
        }
        mask.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Map j of n belongs to floor(j C / n), in each half by itself.
    #[test]
    fn every_map_has_its_colour() {
        for (count, colours) in [(20, 3), (384, 3), (3, 3), (14, 1), (5, 3)] {
            let maps = Maps::gated(count, colours);
            let mut seen = 0;
            for colour in 0..colours {
                for map in maps.columns(colour) {
                    assert_eq!(map % count * colours / count, colour);
                    seen += 1;
                }
            }
            assert_eq!(seen, 2 * count);
        }
    }

    #[test]
    fn masks_leave_what_lies_to_the_left() {
        let (inputs, outputs) = (Maps::new(3, 3), Maps::gated(3, 3));
        let mask = Sees::Earlier.mask(2, inputs, outputs);
        assert!(mask[..18].iter().all(|&weight| weight == 1.0));
        // Of red, of green, of blue: which outputs see it.
        let expected = [
            [0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
            [0.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            [0.0; 6],
        ];
        assert_eq!(mask[18..], expected.concat());
        let gray = Maps::new(1, 1);
        assert_eq!(Sees::Earlier.mask(1, gray, gray)[..], [0.0]);
        assert_eq!(Sees::Own.mask(1, gray, gray)[..], [1.0]);
    }
}

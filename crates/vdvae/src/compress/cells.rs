//! How finely latents are rounded: as finely as what is on the stack can pay for.

use vdvae_coding::{Coder, CodingError, Interval, LatentCodec, PRECISION};

/// The coarsest cells: half of the prior's standard deviation wide.
const COARSEST: u32 = 5;
/// What says that cells are not the finest takes a 256th of the range, in 32 equal parts.
const COARSER: u32 = 1 << (PRECISION - 8);
const PART: u32 = COARSER / 32;

/// Codecs of latents with cells of all sizes.
///
/// Popping a latent takes about as many bits as its number has, less two. They come back, but the
/// first tiles of a stream find a stack with little on it and would draw on the seed, which nobody
/// gives back. So they get cells that are coarser, which costs some bits of rate and saves several bits
/// of seed per latent; after a few tiles the stack pays for the finest.
#[derive(Debug)]
pub struct Cells {
    /// Of 2^[`COARSEST`] cells and up.
    codecs: Vec<LatentCodec>,
    /// Latents of a tile.
    latents: usize,
}

impl Cells {
    /// Of at most `2^finest` cells, for tiles of so many latents.
    ///
    /// # Errors
    /// If there are no such cells.
    pub fn new(finest: u32, latents: usize) -> Result<Self, CodingError> {
        let sizes = COARSEST.min(finest)..=finest;
        Ok(Self {
            codecs: sizes.map(LatentCodec::new).collect::<Result<_, _>>()?,
            latents,
        })
    }

    /// The size that the stack can pay for, counted from the coarsest.
    pub fn affordable(&self, coder: &Coder) -> usize {
        let available = coder.net_bits() + 32.0 * coder.seed_words() as f64;
        let each = (available / self.latents as f64).max(0.0) as usize;
        // 2^b cells take b - 2 bits.
        let coarsest = COARSEST as usize - 2;
        each.saturating_sub(coarsest).min(self.codecs.len() - 1)
    }

    /// The codec of a size that [`affordable`](Self::affordable) or [`pop`](Self::pop) returned.
    pub fn codec(&self, size: usize) -> &LatentCodec {
        &self.codecs[size]
    }

    /// Pushes a size.
    ///
    /// # Errors
    /// If there is none such.
    pub fn push(&self, coder: &mut Coder, size: usize) -> Result<(), CodingError> {
        let coarser = self.codecs.len().saturating_sub(1 + size) as u32;
        coder.push::<PRECISION>(interval(coarser))
    }

    /// Pops what [`push`](Self::push) pushed.
    ///
    /// # Errors
    /// If the stream ends, or there is no such size.
    pub fn pop(&self, coder: &mut Coder) -> Result<usize, CodingError> {
        let coarser = coder.pop::<PRECISION, _>(|quantile| {
            let coarser = (quantile + COARSER)
                .checked_sub(1 << PRECISION)
                .map_or(0, |above| 1 + above / PART);
            (coarser, interval(coarser))
        })?;
        let finest = self.codecs.len() - 1;
        finest
            .checked_sub(coarser as usize)
            .ok_or(CodingError::Symbol {
                what: "size of the cells",
                found: coarser,
                limit: finest as u32 + 1,
            })
    }
}

/// The interval of cells that are so many sizes coarser than the finest.
fn interval(coarser: u32) -> Interval {
    let whole = 1 << PRECISION;
    let start = |coarser| whole - COARSER + coarser * PART;
    match coarser.checked_sub(1) {
        None => Interval {
            start: 0,
            end: start(0),
        },
        Some(part) => Interval {
            start: start(part),
            end: start(part + 1),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_comes_back_and_the_finest_is_almost_free() {
        let cells = Cells::new(14, 100).unwrap();
        for size in 0..=9 {
            let mut coder = Coder::seeded();
            cells.push(&mut coder, size).unwrap();
            let bits = coder.net_bits();
            assert!(if size == 9 { bits < 0.006 } else { bits > 12.9 });
            assert_eq!(cells.pop(&mut coder), Ok(size));
            coder.verify_drained().unwrap();
        }
    }

    #[test]
    fn a_size_that_does_not_exist_is_an_error() {
        let (many, few) = (Cells::new(14, 1).unwrap(), Cells::new(7, 1).unwrap());
        let mut coder = Coder::seeded();
        many.push(&mut coder, 0).unwrap();
        assert!(matches!(
            few.pop(&mut coder),
            Err(CodingError::Symbol { found: 9, .. })
        ));
    }

    #[test]
    fn a_fuller_stack_affords_finer_cells() {
        let cells = Cells::new(14, 100).unwrap();
        let mut coder = Coder::seeded();
        assert_eq!(cells.affordable(&coder), 0);
        let mut sizes = Vec::new();
        for _ in 0..150 {
            coder.push_bits(0x1234, 16).unwrap();
            sizes.push(cells.affordable(&coder));
        }
        assert!(sizes.is_sorted());
        // 500 bits are 5 for each latent, two less than 2^7 cells take.
        assert_eq!(sizes[500 / 16], 2);
        assert_eq!(sizes.last(), Some(&9));
    }

    #[test]
    fn few_cells_are_all_there_is() {
        let cells = Cells::new(4, 100).unwrap();
        assert_eq!(cells.codec(0).cells(), 16);
        assert_eq!(cells.affordable(&Coder::seeded()), 0);
    }
}

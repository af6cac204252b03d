//! Which tile is coded when, in which stream.

use anyhow::{Context, Result};
use vdvae_coding::Tiling;
use vdvae_coding::container::{Archive, ImageEntry};

/// A tile of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the image.
    pub image: u32,
    /// Number of the tile in it.
    pub tile: usize,
}

/// The tiles of all images, dealt to streams.
///
/// An image of several tiles is spread over as many streams, so that a single large picture keeps all
/// of them busy. Tiles of a stream are coded in the order of its images, and decoded in the opposite
/// order.
#[derive(Debug)]
pub struct Plan {
    tilings: Vec<Tiling>,
    /// The images of each stream.
    chains: Vec<Vec<u32>>,
    /// The streams of each image, ascending.
    holders: Vec<Vec<usize>>,
}

impl Plan {
    /// Deals images to at most `streams` streams, each image to those with the fewest tiles.
    ///
    /// # Errors
    /// If the model cannot see an image; names it.
    pub fn deal(
        images: &[ImageEntry],
        side: usize,
        colours: usize,
        streams: usize,
    ) -> Result<Self> {
        let tilings = tilings(images, side, colours)?;
        let tiles: usize = tilings.iter().map(Tiling::len).sum();
        let streams = streams.min(tiles);
        let mut chains = vec![Vec::new(); streams];
        let mut load = vec![0; streams];
        let mut holders = Vec::with_capacity(tilings.len());
        for (image, tiling) in (0..).zip(&tilings) {
            let count = tiling.len().min(streams);
            let mut streams: Vec<usize> = (0..streams).collect();
            streams.sort_by_key(|&stream| load[stream]);
            streams.truncate(count);
            // There is one for each image.
            streams.shrink_to_fit();
            streams.sort_unstable();
            for (rank, &stream) in streams.iter().enumerate() {
                chains[stream].push(image);
                load[stream] += (rank..tiling.len()).step_by(count).len();
            }
            holders.push(streams);
        }
        Ok(Self {
            tilings,
            chains,
            holders,
        })
    }

    /// The plan by which an archive was made.
    ///
    /// # Errors
    /// If the archive's images do not fit its model.
    pub fn of(archive: &Archive) -> Result<Self> {
        let model = &archive.model;
        let tilings = tilings(&archive.images, model.side as usize, model.colours.into())?;
        let mut holders = vec![Vec::new(); tilings.len()];
        let chains: Vec<Vec<u32>> = archive.chains.iter().map(|c| c.images.clone()).collect();
        for (stream, images) in chains.iter().enumerate() {
            for &image in images {
                holders[image as usize].push(stream);
            }
        }
        Ok(Self {
            tilings,
            chains,
            holders,
        })
    }

    /// Number of streams.
    pub fn streams(&self) -> usize {
        self.chains.len()
    }

    /// The images of a stream.
    pub fn chain(&self, stream: usize) -> &[u32] {
        &self.chains[stream]
    }

    /// How an image is cut.
    pub fn tiling(&self, image: u32) -> &Tiling {
        &self.tilings[image as usize]
    }

    /// Number of tiles of all images.
    pub fn tile_count(&self) -> usize {
        self.tilings.iter().map(Tiling::len).sum()
    }

    /// The tiles of a stream in the order in which they are coded.
    pub fn tiles(&self, stream: usize) -> impl DoubleEndedIterator<Item = Place> {
        self.chains[stream].iter().flat_map(move |&image| {
            let holders = &self.holders[image as usize];
            let rank = holders.partition_point(|&holder| holder < stream);
            let tiles = (rank..self.tiling(image).len()).step_by(holders.len());
            tiles.map(move |tile| Place { image, tile })
        })
    }
}

fn tilings(images: &[ImageEntry], side: usize, colours: usize) -> Result<Vec<Tiling>> {
    let tiling = |image: &ImageEntry| {
        let shape = [
            image.height as usize,
            image.width as usize,
            image.channels.into(),
        ];
        Tiling::new(shape, side, colours).with_context(|| image.name.clone())
    };
    images.iter().map(tiling).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(height: u32, width: u32) -> ImageEntry {
        ImageEntry {
            name: format!("{height}x{width}.png"),
            width,
            height,
            channels: 3,
            check: 0,
        }
    }

    #[test]
    fn every_tile_is_in_one_stream_and_streams_are_of_equal_length() {
        let sizes = [(8, 8), (1, 1), (17, 40), (8, 9), (30, 30), (8, 8), (3, 20)];
        let images: Vec<ImageEntry> = sizes.iter().map(|&(h, w)| entry(h, w)).collect();
        for streams in [1, 2, 3, 7, 100] {
            let plan = Plan::deal(&images, 8, 3, streams).unwrap();
            assert_eq!(plan.streams(), streams.min(plan.tile_count()));
            let mut seen: Vec<(u32, usize)> = Vec::new();
            let mut lengths = Vec::new();
            for stream in 0..plan.streams() {
                let tiles: Vec<Place> = plan.tiles(stream).collect();
                let mut back: Vec<Place> = plan.tiles(stream).rev().collect();
                back.reverse();
                assert_eq!(tiles, back);
                lengths.push(tiles.len());
                seen.extend(tiles.iter().map(|place| (place.image, place.tile)));
            }
            seen.sort_unstable();
            let all = (0..).zip(&images).flat_map(|(image, _)| {
                let count = plan.tiling(image).len();
                (0..count).map(move |tile| (image, tile))
            });
            assert_eq!(seen, all.collect::<Vec<_>>());
            let (least, most) = (lengths.iter().min(), lengths.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 2, "{lengths:?}");
        }
    }

    #[test]
    fn a_single_image_of_one_tile_makes_one_stream() {
        let plan = Plan::deal(&[entry(5, 5)], 8, 3, 16).unwrap();
        assert_eq!(plan.streams(), 1);
        assert_eq!(plan.tiles(0).count(), 1);
    }
}

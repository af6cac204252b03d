//! From images to an archive.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use vdvae_coding::container::pixel_checksum;
use vdvae_coding::{Coder, CodingError};

use super::latents::{Lane, Popped};
use super::pixels::Pixels;
use super::plan::{Place, Plan};
use super::{Archive, Chain, Codec, ImageEntry};
use crate::likelihood::{Likelihood, values};

/// Images to compress, read when their turn comes.
pub trait Images {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name in the archive (see [`vdvae_coding::container::check_name`]).
    fn name(&self, index: usize) -> String;

    /// Height, width and channels (1 or 3).
    fn shape(&self, index: usize) -> [usize; 3];

    /// The pixels, [height, width, channels].
    ///
    /// # Errors
    /// If the image cannot be read.
    fn read(&self, index: usize) -> Result<Vec<u8>>;
}

/// An image in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name in the archive.
    pub name: String,
    /// Height, width and channels (1 or 3).
    pub shape: [usize; 3],
    /// [height, width, channels].
    pub pixels: Vec<u8>,
}

impl Images for Vec<Image> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn name(&self, index: usize) -> String {
        self[index].name.clone()
    }

    fn shape(&self, index: usize) -> [usize; 3] {
        self[index].shape
    }

    fn read(&self, index: usize) -> Result<Vec<u8>> {
        Ok(self[index].pixels.clone())
    }
}

/// An archive and what its images cost.
#[derive(Debug)]
pub struct Compressed {
    /// To be written.
    pub archive: Archive,
    /// Tiles of the model's size.
    pub tiles: usize,
    /// Values of all images: the dimensions of "bits per dimension".
    pub dimensions: u64,
    /// Bits that the images cost, what the first ones borrowed apart.
    pub net_bits: f64,
    /// Bits that the first images of all streams borrowed from the seed: in the file, too.
    pub seed_bits: u64,
}

impl Codec<'_> {
    /// Compresses images into at most `streams` independent streams, which pass through the network
    /// together. More streams are faster, and each borrows from a seed of its own. Calls `progress` with
    /// the number of tiles done.
    ///
    /// # Errors
    /// If there is no image, one cannot be read, has channels that the model has not, or values that
    /// its likelihood does not know.
    pub fn compress(
        &self,
        images: &impl Images,
        streams: usize,
        mut progress: impl FnMut(u64),
    ) -> Result<Compressed> {
        if images.is_empty() || streams == 0 {
            bail!("expected at least one image and one stream");
        }
        let mut entries = (0..images.len())
            .map(|index| entry(images, index))
            .collect::<Result<Vec<_>>>()?;
        let plan = Plan::deal(&entries, self.side(), self.colours(), streams)?;
        let mut lanes: Vec<Lane> = (0..plan.streams())
            .map(|_| Lane::new(Coder::seeded()))
            .collect();
        let mut turns: Vec<_> = (0..plan.streams()).map(|i| plan.tiles(i)).collect();
        let mut open = OpenImages::default();
        let mut done = 0;
        loop {
            let (mut places, mut active) = (Vec::new(), Vec::new());
            for (turn, lane) in turns.iter_mut().zip(&mut lanes) {
                if let Some(place) = turn.next() {
                    places.push(place);
                    active.push(lane);
                }
            }
            if places.is_empty() {
                break;
            }
            for place in &places {
                open.read(images, &plan, place.image, &mut entries, &self.likelihood)?;
            }
            self.push_tiles(&mut active, &places, &plan, &open)?;
            for place in &places {
                open.close_tile(place.image);
            }
            done += places.len() as u64;
            progress(done);
        }
        drop(turns);
        Ok(self.finish(&plan, entries, lanes))
    }

    /// Pushes a tile onto each lane.
    fn push_tiles(
        &self,
        lanes: &mut [&mut Lane],
        places: &[Place],
        plan: &Plan,
        open: &OpenImages,
    ) -> Result<()> {
        let size = self.side().pow(2) * self.colours();
        let mut tiles = vec![0; places.len() * size];
        for (place, tile) in places.iter().zip(tiles.chunks_exact_mut(size)) {
            let pixels = &open.0[&place.image].pixels;
            plan.tiling(place.image).cut(pixels, place.tile, tile)?;
        }
        for lane in lanes.iter_mut() {
            lane.size = self.cells.affordable(&lane.coder);
        }
        let mut popped = Popped::new(&self.cells, lanes);
        let input = Some(self.input(&tiles));
        let parameters = self.hierarchy.decode(places.len(), input, &mut popped);
        popped.finish()?;
        let parameters = values(parameters);
        let each = parameters.len() / places.len();
        let items = lanes.par_iter_mut().zip(places).zip(
            tiles
                .par_chunks_exact(size)
                .zip(parameters.par_chunks_exact(each)),
        );
        items.try_for_each(|((lane, place), (tile, parameters))| {
            self.push_tile(lane, *place, plan, tile, parameters)
        })?;
        Ok(())
    }

    /// Pushes the pixels of one tile, then its latents.
    fn push_tile(
        &self,
        lane: &mut Lane,
        place: Place,
        plan: &Plan,
        tile: &[u8],
        parameters: &[f32],
    ) -> Result<(), CodingError> {
        let tiling = plan.tiling(place.image);
        let channels = tiling.channels();
        let mut pixels = Pixels::new(&self.likelihood, channels, self.colours())?;
        let coded = super::channels_of(tile, self.colours(), channels);
        let valid = tiling.valid(place.tile);
        pixels.push(&mut lane.coder, parameters, &coded, valid.as_deref())?;
        let latents = self.cells.codec(lane.size);
        for cells in lane.cells.iter().rev() {
            latents.push_prior(&mut lane.coder, cells)?;
        }
        self.cells.push(&mut lane.coder, lane.size)
    }

    fn finish(&self, plan: &Plan, entries: Vec<ImageEntry>, lanes: Vec<Lane>) -> Compressed {
        let net_bits = lanes.iter().map(|lane| lane.coder.net_bits()).sum();
        let seed_words: u64 = lanes.iter().map(|lane| lane.coder.seed_words()).sum();
        let values = |image: &ImageEntry| {
            u64::from(image.width) * u64::from(image.height) * u64::from(image.channels)
        };
        let chains = lanes.into_iter().enumerate().map(|(stream, lane)| Chain {
            stream: lane.coder.into_stream(),
            images: plan.chain(stream).to_vec(),
        });
        Compressed {
            tiles: plan.tile_count(),
            dimensions: entries.iter().map(values).sum(),
            net_bits,
            seed_bits: 32 * seed_words,
            archive: Archive {
                model: self.id.clone(),
                images: entries,
                chains: chains.collect(),
            },
        }
    }
}

/// An image's entry, whose checksum is known when it is read.
fn entry(images: &impl Images, index: usize) -> Result<ImageEntry> {
    let name = images.name(index);
    let [height, width, channels] = images.shape(index);
    let number = |value: usize| u32::try_from(value).with_context(|| format!("{name}: too large"));
    Ok(ImageEntry {
        width: number(width)?,
        height: number(height)?,
        channels: number(channels)? as u8,
        name,
        checksum: 0,
    })
}

/// Images of which some tiles are coded and some are not.
#[derive(Default)]
struct OpenImages(HashMap<u32, OpenImage>);

struct OpenImage {
    pixels: Vec<u8>,
    tiles_left: usize,
}

impl OpenImages {
    /// Reads an image if that has not happened, and notes its checksum.
    fn read(
        &mut self,
        images: &impl Images,
        plan: &Plan,
        image: u32,
        entries: &mut [ImageEntry],
        likelihood: &Likelihood,
    ) -> Result<()> {
        if self.0.contains_key(&image) {
            return Ok(());
        }
        let entry = &mut entries[image as usize];
        let pixels = images.read(image as usize)?;
        if *likelihood == Likelihood::Bernoulli {
            check_binary(&pixels, entry)?;
        }
        entry.checksum = pixel_checksum(&pixels);
        let tiles_left = plan.tiling(image).len();
        self.0.insert(image, OpenImage { pixels, tiles_left });
        Ok(())
    }

    /// Forgets an image after its last tile.
    fn close_tile(&mut self, image: u32) {
        if let Some(open) = self.0.get_mut(&image) {
            open.tiles_left -= 1;
            if open.tiles_left == 0 {
                self.0.remove(&image);
            }
        }
    }
}

fn check_binary(pixels: &[u8], entry: &ImageEntry) -> Result<()> {
    match pixels.iter().find(|&&value| value != 0 && value != 255) {
        None => Ok(()),
        Some(value) => bail!(
            "{}: expected values 0 and 255 only, found {value}: the model's likelihood is that of \
             binary images. Binarize the images first, or train a model with model.likelihood = \"dmol\"",
            entry.name
        ),
    }
}

//! From images to an archive.

use std::collections::{HashMap, VecDeque};

use anyhow::{Context, Result, bail};
use vdvae_coding::container::{joint, number, pixel_checksum, short};
use vdvae_coding::{Coder, CodingError};

use super::order::Unordered;
use super::plan::{Place, Plan};
use super::{Archive, Chain, Codec, ImageEntry, Images, frames};
use crate::error::usage;
use crate::likelihood::Likelihood;

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
        progress: impl FnMut(u64),
    ) -> Result<Compressed> {
        let mut work = self.begin(images, streams)?;
        let streams = 0..work.plan.streams();
        let tiles = streams.map(|stream| work.plan.tiles(stream).collect());
        let mut turns: Vec<VecDeque<Place>> = tiles.collect();
        let next = |stream: usize, _: &mut Coder| Ok(turns[stream].pop_front());
        self.push_all(images, &mut work, next, progress)?;
        Ok(self.finish(work, None))
    }

    /// Compresses images whose order does not matter, nor their names: they come back in another order, with
    /// their numbers in it as names. That saves the bits that the order takes, log2(n!) for n images of a
    /// stream.
    ///
    /// # Errors
    /// As [`compress`](Self::compress), and if an image is larger than those of the model or has another
    /// shape than the first.
    pub fn compress_unordered(
        &self,
        images: &impl Images,
        streams: usize,
        progress: impl FnMut(u64),
    ) -> Result<Compressed> {
        let mut work = self.begin(images, streams)?;
        self.check_unordered(images)?;
        let streams = work.plan.streams();
        let mut left: Vec<Unordered> = (0..streams).map(|_| Unordered::default()).collect();
        for (stream, left) in left.iter_mut().enumerate() {
            for &image in work.plan.chain(stream) {
                let pixels = images.read(image as usize)?;
                work.checksums[image as usize] = Some(pixel_checksum(&pixels));
                left.insert(&pixels, image);
            }
        }
        let mut orders = vec![Vec::new(); streams];
        let next = |stream: usize, coder: &mut Coder| {
            let image = left[stream].pop(coder)?;
            orders[stream].extend(image);
            Ok(image.map(|image| Place { image, tile: 0 }))
        };
        self.push_all(images, &mut work, next, progress)?;
        // The streams take turns, so that the archive need not say who has which image.
        let mut turns: Vec<_> = orders.into_iter().map(Vec::into_iter).collect();
        let mut order = Vec::new();
        while order.len() < images.len() {
            order.extend(turns.iter_mut().filter_map(Iterator::next));
        }
        Ok(self.finish(work, Some(order)))
    }

    /// Checks that the model's likelihood knows the values of an image, `name`.
    ///
    /// # Errors
    /// If there is another.
    pub fn check_values(&self, pixels: &[u8], name: &str) -> Result<()> {
        if self.likelihood != Likelihood::Bernoulli {
            return Ok(());
        }
        match pixels.iter().find(|&&value| value != 0 && value != 255) {
            None => Ok(()),
            Some(value) => bail!(
                "{name}: expected values 0 and 255 only, found {value}: the model's likelihood is that of \
                 binary images. Binarize the images first, or train a model with model.likelihood = \"dmol\""
            ),
        }
    }

    fn check_unordered(&self, images: &impl Images) -> Result<()> {
        let first = images.shape(0);
        let odd = |&index: &usize| images.shape(index) != first || self.tiles(first) > 1;
        let Some(index) = (0..images.len()).find(odd) else {
            return Ok(());
        };
        let side = self.side();
        let [height, width, channels] = images.shape(index);
        Err(usage(format!(
            "--order-free: expected images of one shape, of at most {side} x {side} pixels, found {width} x {height} \
             x {channels} of {}; of larger ones the order takes too little to be worth it",
            images.name(index)
        )))
    }

    /// Deals the images, none of which is read yet.
    fn begin(&self, images: &impl Images, streams: usize) -> Result<Work> {
        if images.is_empty() || streams == 0 {
            bail!("expected at least one image and one stream");
        }
        let entries = (0..images.len())
            .map(|index| entry(images, index))
            .collect::<Result<Vec<_>>>()?;
        let plan = Plan::deal(&entries, self.side(), self.colours(), streams)?;
        let coders = (0..plan.streams()).map(|_| Coder::seeded());
        Ok(Work {
            coders: coders.collect(),
            checksums: vec![None; entries.len()],
            entries,
            plan,
        })
    }

    /// Pushes the tiles that `next` returns for each stream, until there are none left.
    fn push_all(
        &self,
        images: &impl Images,
        work: &mut Work,
        mut next: impl FnMut(usize, &mut Coder) -> Result<Option<Place>, CodingError>,
        mut progress: impl FnMut(u64),
    ) -> Result<()> {
        let Work {
            coders,
            checksums,
            entries,
            plan,
        } = work;
        let mut open = OpenImages::default();
        let mut done = 0;
        loop {
            let (mut places, mut active) = (Vec::new(), Vec::new());
            for (stream, coder) in coders.iter_mut().enumerate() {
                if let Some(place) = next(stream, coder)? {
                    places.push(place);
                    active.push(coder);
                }
            }
            if places.is_empty() {
                return Ok(());
            }
            for place in &places {
                let image = place.image as usize;
                if open.0.contains_key(&place.image) {
                    continue;
                }
                let pixels = images.read(image)?;
                self.check_values(&pixels, &entries[image].name)?;
                let checksum = pixel_checksum(&pixels);
                if checksums[image].is_some_and(|before| before != checksum) {
                    bail!(
                        "{}: the file has changed while it was compressed",
                        entries[image].name
                    );
                }
                checksums[image] = Some(checksum);
                let tiles_left = plan.tiling(place.image).len();
                open.0.insert(place.image, OpenImage { pixels, tiles_left });
            }
            self.push_tiles(&mut active, &places, plan, &open)?;
            for place in &places {
                open.close_tile(place.image);
            }
            done += places.len() as u64;
            progress(done);
        }
    }

    /// Pushes a tile onto each coder.
    fn push_tiles(
        &self,
        coders: &mut [&mut Coder],
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
        self.tiles.push(coders, &frames(plan, places), &tiles)
    }

    /// `order`, if the streams chose one: the images one after the other, as streams taking turns had them.
    fn finish(&self, work: Work, order: Option<Vec<u32>>) -> Compressed {
        let Work {
            coders,
            checksums,
            mut entries,
            plan,
        } = work;
        let read = checksums.into_iter();
        let mut checksums: Vec<u32> = read
            .map(|checksum| checksum.expect("all images were read"))
            .collect();
        let count = entries.len();
        let order_free = order.is_some();
        if let Some(order) = order {
            let of = |image: &u32| *image as usize;
            entries = order.iter().map(|i| entries[of(i)].clone()).collect();
            checksums = order.iter().map(|i| checksums[of(i)]).collect();
            for (index, entry) in entries.iter_mut().enumerate() {
                entry.name = number(index, count);
            }
        }
        for (entry, &checksum) in entries.iter_mut().zip(&checksums) {
            entry.check = short(checksum);
        }
        let net_bits = coders.iter().map(Coder::net_bits).sum();
        let seed_words: u64 = coders.iter().map(Coder::seed_words).sum();
        let values = |image: &ImageEntry| {
            u64::from(image.width) * u64::from(image.height) * u64::from(image.channels)
        };
        let chains = coders.into_iter().enumerate().map(|(stream, coder)| Chain {
            stream: coder.into_stream(),
            images: if order_free {
                (0..count as u32)
                    .skip(stream)
                    .step_by(plan.streams())
                    .collect()
            } else {
                plan.chain(stream).to_vec()
            },
        });
        Compressed {
            tiles: plan.tile_count(),
            dimensions: entries.iter().map(values).sum(),
            net_bits,
            seed_bits: 32 * seed_words,
            archive: Archive {
                model: self.id.clone(),
                images: entries,
                joint_check: joint(checksums),
                order_free,
                chains: chains.collect(),
                weights: None,
            },
        }
    }
}

/// What is under way.
struct Work {
    /// One per stream.
    coders: Vec<Coder>,
    /// One per image, known when that is read.
    checksums: Vec<Option<u32>>,
    entries: Vec<ImageEntry>,
    plan: Plan,
}

/// An image's entry, whose check is known in the end.
fn entry(images: &impl Images, index: usize) -> Result<ImageEntry> {
    let name = images.name(index);
    let [height, width, channels] = images.shape(index);
    let number = |value: usize| u32::try_from(value).with_context(|| format!("{name}: too large"));
    Ok(ImageEntry {
        width: number(width)?,
        height: number(height)?,
        channels: number(channels)? as u8,
        name,
        check: 0,
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

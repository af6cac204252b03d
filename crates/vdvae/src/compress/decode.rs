//! From an archive to images.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, bail};
use vdvae_coding::container::{joint, pixel_checksum, short};
use vdvae_coding::{Coder, CodingError, Tiling};

use super::order::Unordered;
use super::plan::{Place, Plan};
use super::{Archive, Codec, ImageEntry, frames};

/// What has to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Images, wholly or in part.
    pub images: usize,
    /// Tiles of the model's size.
    pub tiles: u64,
}

impl Codec<'_> {
    /// What it costs to get at an image (`None`: all): streams are last in, first out.
    ///
    /// # Errors
    /// If the archive's images do not fit its model, or there is no such image.
    pub fn cost(archive: &Archive, only: Option<u32>) -> Result<Cost> {
        let plan = Plan::of(archive)?;
        let mut images = BTreeSet::new();
        let mut tiles = 0;
        for stream in 0..plan.streams() {
            for place in wanted(&plan, stream, only) {
                images.insert(place.image);
                tiles += 1;
            }
        }
        Ok(Cost {
            images: images.len(),
            tiles,
        })
    }

    /// Gives each image, or `only` one of them, to `take` as soon as all of its tiles are there and its
    /// checksum is right; calls `progress` with the number of tiles done.
    ///
    /// # Errors
    /// If the archive was made by another model or on another kernel path (before anything is decoded),
    /// is damaged, or `take` fails. Images that were taken before are right all the same.
    pub fn decompress(
        &self,
        archive: &Archive,
        only: Option<u32>,
        mut progress: impl FnMut(u64),
        mut take: impl FnMut(u32, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        archive.check_model(&self.id)?;
        let plan = Plan::of(archive)?;
        let mut coders = archive
            .chains
            .iter()
            .map(|chain| Coder::from_stream(chain.stream.clone()))
            .collect::<Result<Vec<_>, CodingError>>()?;
        let mut turns: Vec<_> = (0..plan.streams())
            .map(|stream| wanted(&plan, stream, only))
            .collect();
        if archive.order_free && plan.tile_count() != archive.images.len() {
            bail!("images of several tiles in an archive without order: the archive is damaged");
        }
        let mut decoded: Vec<_> = coders.iter().map(|_| Unordered::default()).collect();
        let mut checksums = vec![0; archive.images.len()];
        let mut half = HalfImages::default();
        let mut done = 0;
        loop {
            let (mut places, mut active, mut sets) = (Vec::new(), Vec::new(), Vec::new());
            let streams = turns.iter_mut().zip(&mut coders).zip(&mut decoded);
            for ((turn, coder), decoded) in streams {
                if let Some(place) = turn.next() {
                    places.push(place);
                    active.push(coder);
                    sets.push(decoded);
                }
            }
            if places.is_empty() {
                break;
            }
            self.pop_tiles(&mut active, &places, &plan, &mut half)?;
            for ((place, coder), set) in places.iter().zip(active).zip(sets) {
                let tiling = plan.tiling(place.image);
                let Some(pixels) = half.whole(place.image, tiling)? else {
                    continue;
                };
                let checksum = pixel_checksum(&pixels);
                check(&archive.images[place.image as usize], checksum)?;
                checksums[place.image as usize] = checksum;
                if archive.order_free {
                    set.push(coder, &pixels)?;
                }
                if only.is_none_or(|only| only == place.image) {
                    take(place.image, pixels)?;
                }
            }
            done += places.len() as u64;
            progress(done);
        }
        if only.is_none() {
            coders.iter().try_for_each(Coder::verify_drained)?;
            if joint(checksums) != archive.joint_check {
                bail!("the check of all pixels together is wrong. {DAMAGED}");
            }
        }
        Ok(())
    }

    /// Pops a tile from each coder and puts it into its image.
    fn pop_tiles(
        &self,
        coders: &mut [&mut Coder],
        places: &[Place],
        plan: &Plan,
        half: &mut HalfImages,
    ) -> Result<()> {
        let tiles = self.tiles.pop(coders, &frames(plan, places))?;
        let size = self.side().pow(2) * self.colours();
        for (place, tile) in places.iter().zip(tiles.chunks_exact(size)) {
            half.add(*place, tile.to_vec());
        }
        Ok(())
    }
}

/// The tiles of a stream, the last one first, up to those of the image that is wanted.
fn wanted(plan: &Plan, stream: usize, only: Option<u32>) -> impl Iterator<Item = Place> {
    let tiles = plan.tiles(stream).rev();
    let count = match only {
        None => usize::MAX,
        Some(only) => plan
            .tiles(stream)
            .position(|place| place.image == only)
            .map_or(0, |first| plan.tiles(stream).count() - first),
    };
    tiles.take(count)
}

const DAMAGED: &str = "The archive is damaged, or this machine computes otherwise than the one that made it: try \
                       --kernel-path portable when compressing";

fn check(entry: &ImageEntry, checksum: u32) -> Result<()> {
    let (expected, found) = (entry.check, short(checksum));
    if found == expected {
        return Ok(());
    }
    bail!(
        "{}: the check of its pixels is {found:04x}, expected {expected:04x}. {DAMAGED}",
        entry.name,
    )
}

/// Images of which some tiles are decoded and some are not. An image takes no more room than its decoded
/// tiles, whatever size the archive claims for it.
#[derive(Default)]
struct HalfImages(HashMap<u32, Vec<(usize, Vec<u8>)>>);

impl HalfImages {
    /// Keeps a tile as the network sees it, [S, S, C].
    fn add(&mut self, place: Place, tile: Vec<u8>) {
        let tiles = self.0.entry(place.image).or_default();
        tiles.push((place.tile, tile));
    }

    /// The image, if all of its tiles are there.
    fn whole(&mut self, image: u32, tiling: &Tiling) -> Result<Option<Vec<u8>>> {
        if self
            .0
            .get(&image)
            .is_none_or(|tiles| tiles.len() < tiling.len())
        {
            return Ok(None);
        }
        let mut pixels = vec![0; tiling.image_len()];
        for (tile, values) in self.0.remove(&image).into_iter().flatten() {
            tiling.paste(&values, tile, &mut pixels)?;
        }
        Ok(Some(pixels))
    }
}

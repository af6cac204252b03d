//! Square crops of larger photographs: `photos` and `crops:DIR`.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::dataset::{Dataset, ImageShape};
use crate::error::DataError;
use crate::image_file::{ImageFile, Raster, Reason};
use crate::image_store::{Budget, ImageStore, Prepare};
use crate::loss::LossCounts;
use crate::options::OpenOptions;
use crate::photos;
use crate::rng::ItemRng;
use crate::split::Split;

/// Crops of photographs.
///
/// An epoch has as many items as the photographs have crops that do not overlap. Drawn at random,
/// every pixel of every photograph has about the same chance, whatever the photograph's size.
struct Crops {
    store: ImageStore,
    image: ImageShape,
    random: bool,
    place: String,
    /// Width and height of each photograph, neither smaller than a crop.
    dimensions: Vec<(usize, usize)>,
    /// For each photograph, the number of crops of the grid in it and all before it.
    crops_up_to: Vec<usize>,
    /// For each photograph, the number of pixels in it and all before it.
    pixels_up_to: Vec<u64>,
}

/// A square in a photograph.
struct Window {
    photograph: usize,
    x: usize,
    y: usize,
}

/// Opens `photos`, the photographs in the program itself.
pub(crate) fn open_photos(
    _: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    open(
        &format!("photos/{split}"),
        photos::files(split),
        split,
        options,
    )
}

/// Opens photographs, cropped at random if `options` say so and they are for training, else in a grid.
pub(crate) fn open(
    place: &str,
    files: Vec<ImageFile>,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let image = options.image;
    let skip = options.skip_bad_images;
    let prepare = Prepare::Whole {
        channels: image.channels,
    };
    let mut store = ImageStore::open(files, prepare, options, place, Budget::of(options))?;
    let sizes: Vec<Result<(usize, usize), Reason>> = (0..store.len())
        .into_par_iter()
        .map(|index| usable_dimensions(&store, index, image.size))
        .collect();
    let dimensions = sizes.iter().flatten().copied().collect();
    store.drop_bad(sizes.into_iter().map(Result::err).collect(), skip, place)?;
    let random = options.augment && split == Split::Train;
    let place = place.to_owned();
    Ok(Arc::new(Crops::new(
        store, image, random, place, dimensions,
    )))
}

fn usable_dimensions(
    store: &ImageStore,
    index: usize,
    size: usize,
) -> Result<(usize, usize), Reason> {
    let (width, height) = store.dimensions(index)?;
    if width < size || height < size {
        return Err(format!(
            "expected at least {size} x {size} pixels for a crop, found {width} x {height}"
        ));
    }
    Ok((width, height))
}

impl Crops {
    fn new(
        store: ImageStore,
        image: ImageShape,
        random: bool,
        place: String,
        dimensions: Vec<(usize, usize)>,
    ) -> Self {
        let (mut crops, mut pixels) = (0, 0);
        let (mut crops_up_to, mut pixels_up_to) = (Vec::new(), Vec::new());
        for &(width, height) in &dimensions {
            crops += (width / image.size) * (height / image.size);
            pixels += width as u64 * height as u64;
            crops_up_to.push(crops);
            pixels_up_to.push(pixels);
        }
        Self {
            store,
            image,
            random,
            place,
            dimensions,
            crops_up_to,
            pixels_up_to,
        }
    }

    /// The pixels of a photograph, which have to be as many as when the data set was opened.
    fn photograph(&self, index: usize) -> Result<Arc<Raster>, DataError> {
        let raster = self.store.get(index)?;
        let (width, height) = self.dimensions[index];
        if (raster.width, raster.height) == (width, height) {
            return Ok(raster);
        }
        Err(DataError::mismatch(
            self.store.name(index),
            "size",
            format!("{width} x {height} pixels as when the data set was opened"),
            format!("{} x {}", raster.width, raster.height),
            "The file has changed: start again with --resume",
        ))
    }

    /// Crop `index` of the grid, row by row, photograph by photograph.
    fn grid_window(&self, index: usize) -> Window {
        let (photograph, crop) = self.grid_crop(index);
        let columns = self.dimensions[photograph].0 / self.image.size;
        Window {
            photograph,
            x: crop % columns * self.image.size,
            y: crop / columns * self.image.size,
        }
    }

    /// The photograph of crop `index` of the grid, and the crop's number in it.
    fn grid_crop(&self, index: usize) -> (usize, usize) {
        let photograph = self.crops_up_to.partition_point(|&crops| crops <= index);
        let before = photograph
            .checked_sub(1)
            .map_or(0, |previous| self.crops_up_to[previous]);
        (photograph, index - before)
    }

    /// A photograph in proportion to its number of pixels, and any place in it.
    fn random_window(&self, rng: &mut ItemRng) -> Window {
        let pixels = self.pixels_up_to.last().copied().unwrap_or(0);
        let pixel = rng.below(pixels);
        let photograph = self.pixels_up_to.partition_point(|&pixels| pixels <= pixel);
        let (width, height) = self.dimensions[photograph];
        let mut up_to = |last: usize| rng.below(last as u64 + 1) as usize;
        Window {
            photograph,
            x: up_to(width - self.image.size),
            y: up_to(height - self.image.size),
        }
    }
}

impl Dataset for Crops {
    fn len(&self) -> usize {
        self.crops_up_to.last().copied().unwrap_or(0)
    }

    fn image(&self) -> ImageShape {
        self.image
    }

    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        let window = if self.random {
            self.random_window(rng)
        } else {
            self.grid_window(index)
        };
        let photograph = self.photograph(window.photograph)?;
        let channels = self.image.channels;
        let rows = out.chunks_exact_mut(self.image.size * channels);
        for (y, row) in (window.y..).zip(rows) {
            let start = (y * photograph.width + window.x) * channels;
            row.copy_from_slice(&photograph.pixels[start..start + row.len()]);
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        if self.random {
            return format!("{} random crop {index}", self.place);
        }
        let (photograph, crop) = self.grid_crop(index);
        format!("{} crop {crop}", self.store.name(photograph))
    }

    fn skipped(&self) -> &[String] {
        self.store.skipped()
    }

    fn losses(&self) -> LossCounts {
        self.store.losses()
    }
}

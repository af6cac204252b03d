//! Lossless compression: what goes in comes out, and whatever is wrong is refused before anything is
//! written.

mod comparison;
mod faults;
mod in_order;
mod inputs;
mod property;
mod round_trip;
mod weights;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{Finished, Lab};
use image::DynamicImage;

/// A picture of bytes that a function of place and channel gives.
pub fn picture([height, width, channels]: [usize; 3], value: impl Fn(usize) -> u8) -> DynamicImage {
    let pixels: Vec<u8> = (0..height * width * channels).map(value).collect();
    let (width, height) = (width as u32, height as u32);
    match channels {
        1 => image::GrayImage::from_raw(width, height, pixels)
            .unwrap()
            .into(),
        _ => image::RgbImage::from_raw(width, height, pixels)
            .unwrap()
            .into(),
    }
}

/// Bytes without structure.
pub fn noise(seed: usize) -> impl Fn(usize) -> u8 {
    move |i| {
        let mut x = (seed * 1_000_003 + i) as u64 ^ 0x9e37_79b9_7f4a_7c15;
        for _ in 0..3 {
            x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        (x >> 56) as u8
    }
}

/// Something smooth with some noise.
pub fn smooth(i: usize) -> u8 {
    (i / 7 % 200) as u8 + noise(1)(i) % 8
}

impl Lab {
    /// Saves a picture, in new folders where need be.
    pub fn save(&self, name: &str, picture: &DynamicImage) {
        self.write(name, "");
        picture.save(self.path(name)).expect("saved");
    }

    /// Every file in a folder with its picture, by the path below the folder.
    pub fn pictures(&self, folder: &str) -> BTreeMap<String, DynamicImage> {
        let mut found = BTreeMap::new();
        collect(&self.path(folder), &self.path(folder), &mut found);
        found
    }

    /// `vdvae compress run ARGUMENTS -o x.vdz`.
    pub fn compress(&self, arguments: &str) -> Finished {
        self.run(&format!("compress run {arguments} -o x.vdz"))
    }
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, DynamicImage>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path
                .strip_prefix(root)
                .expect("below")
                .display()
                .to_string();
            found.insert(name, image::open(&path).expect("a picture"));
        }
    }
}

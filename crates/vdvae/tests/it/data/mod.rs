//! What becomes of the images that people have: which are for what, for how long, and what is said of them.

mod kept;
mod reading;
mod splits;

use crate::support::{Lab, SIDE};

impl Lab {
    /// `count` pictures in a folder, no two the same.
    fn fill(&self, folder: &str, count: u8) {
        for number in 0..count {
            let pixel = |x, y| image::Rgb([x as u8 * 9 + number, y as u8 * 5, number]);
            let name = format!("{folder}/{number:03}.png");
            self.write(&name, "");
            image::RgbImage::from_fn(SIDE as u32, SIDE as u32, pixel)
                .save(self.path(&name))
                .expect("written");
        }
    }
}

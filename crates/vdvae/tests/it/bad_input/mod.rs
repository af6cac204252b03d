//! Whatever is wrong with what the program is given: an error that names the place and the remedy, exit
//! code 2 (what was typed means nothing) or 1, no panic, and nothing lost.

mod checkpoints;
mod hostile;
mod images;
mod latents;
mod options;
mod runs;
mod trouble;

use crate::support::Lab;

/// A configuration for CIFAR-10's 32 x 32 images.
const CIFAR: &str = "--set model.image_size=32 --set model.enc_blocks=32d2,16d16,1x1 \
                     --set model.dec_blocks=1x1,16m1,32m16";

impl Lab {
    /// Training on `data` fails before anything is made.
    #[track_caller]
    fn refuses(&self, data: &str, code: i32, parts: &[&str]) {
        self.train(&format!("--out run --data {data}"))
            .fails(code, parts);
        assert!(!self.path("run").exists(), "a run of nothing");
    }
}

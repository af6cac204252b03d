#!/bin/sh
# A likelihood is of bytes, and the bytes of a JPEG are what a decoder makes of it. Do Pillow (libjpeg-turbo, libwebp)
# and the image crate (zune-jpeg, image-webp) make the same?
#
# Guess: JPEG to one level of 255, where rounding differs; lossy WebP, whose colours are halved in the same way, no
# better.
# Found: JPEG differs by up to four levels, in a quarter of all values, where colours are halved (4:2:0, the usual
# form), and even a gray JPEG is not the same everywhere; lossy WebP is the same to the byte.
#
# In this project: `faces_of_jpeg_files_are_nearly_those_of_pillow` in crates/data/tests/it/celeba.rs and
# `lossy_webp_is_decoded_to_the_bytes_of_pillow` in crates/data/tests/it/folders.rs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet pillow==13.0.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
import PIL
from PIL import Image, features

print("Pillow", PIL.__version__, "libjpeg-turbo", features.version("libjpeg_turbo"), "libwebp", features.version("webp"))
y, x = np.mgrid[:218, :178]
waves = [np.sin(x / 17 + y / 31), np.cos(x / 23 - y / 13), np.sin(x * y / 900)]
noise = np.random.default_rng(0).normal(0, 12, (218, 178, 3))
picture = Image.fromarray(np.clip(127 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8))
picture.convert("L").save("gray.jpg", quality=90)
picture.save("full.jpg", quality=90, subsampling="4:4:4")
picture.save("half.jpg", quality=90, subsampling="4:2:0")
picture.save("half.webp", quality=90)
for name in ["gray.jpg", "full.jpg", "half.jpg", "half.webp"]:
    np.asarray(Image.open(name).convert("RGB")).tofile(f"{name}.pillow")
PYTHON

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "decoders"
version = "0.0.0"
edition = "2024"
[dependencies]
image = { version = "=0.25.10", default-features = false, features = ["jpeg", "webp"] }
zune-jpeg = "=0.5.15"
image-webp = "=0.2.4"
TOML
cat > src/main.rs <<'RUST'
/// Values of a file that are 0, 1, ... and 5 or more levels off.
fn levels(name: &str) -> [usize; 6] {
    let found = image::open(name).unwrap().into_rgb8().into_raw();
    let pillow = std::fs::read(format!("{name}.pillow")).unwrap();
    let mut levels = [0; 6];
    for (a, b) in found.iter().zip(&pillow) {
        levels[usize::from(a.abs_diff(*b).min(5))] += 1;
    }
    println!("{name}: levels off Pillow, of {}: {levels:?}", pillow.len());
    levels
}

fn main() {
    println!("image 0.25.10, zune-jpeg 0.5.15, image-webp 0.2.4");
    let most = |levels: [usize; 6]| levels.iter().rposition(|&count| count > 0).unwrap();
    assert_eq!(most(levels("gray.jpg")), 1);
    assert!(most(levels("full.jpg")) > 1);
    let half = levels("half.jpg");
    assert!(most(half) > 2 && half[0] * 10 < half.iter().sum::<usize>() * 8);
    assert_eq!(most(levels("half.webp")), 0);
}
RUST
cargo run --quiet --release

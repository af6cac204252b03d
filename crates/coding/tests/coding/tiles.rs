//! Cutting and pasting tiles.

use crate::common::Random;
use vdvae_coding::{CodingError, Tiling};

#[test]
fn pasted_tiles_are_the_image_for_any_size() {
    let mut random = Random(7);
    for (channels, colours) in [(3, 3), (1, 3), (1, 1)] {
        for (height, width) in [(1, 1), (8, 8), (8, 16), (7, 9), (17, 3), (1, 40), (23, 24)] {
            let tiling = Tiling::new([height, width, channels], 8, colours).unwrap();
            assert_eq!(tiling.len(), height.div_ceil(8) * width.div_ceil(8));
            let image: Vec<u8> = (0..height * width * channels)
                .map(|_| random.below(256) as u8)
                .collect();
            let mut back = vec![0; image.len()];
            let mut pixels = 0;
            for i in 0..tiling.len() {
                let mut tile = vec![0; 64 * colours];
                tiling.cut(&image, i, &mut tile).unwrap();
                let valid = tiling.valid(i).unwrap_or_else(|| vec![true; 64]);
                pixels += valid.iter().filter(|&&valid| valid).count();
                // What is not valid must not matter.
                for (pixel, valid) in tile.chunks_exact_mut(colours).zip(&valid) {
                    assert!(channels == colours || pixel.iter().all(|&value| value == pixel[0]));
                    if !valid {
                        pixel.fill(99);
                    }
                }
                tiling.paste(&tile, i, &mut back).unwrap();
            }
            assert_eq!(back, image);
            assert_eq!(pixels, height * width);
        }
    }
}

#[test]
fn edges_are_replicated() {
    let tiling = Tiling::new([1, 3, 1], 2, 3).unwrap();
    let mut tile = [0; 12];
    tiling.cut(&[1, 2, 3], 0, &mut tile).unwrap();
    assert_eq!(tile, [1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]);
    tiling.cut(&[1, 2, 3], 1, &mut tile).unwrap();
    assert_eq!(tile, [3; 12]);
    assert_eq!(tiling.valid(0), Some(vec![true, true, false, false]));
    assert_eq!(tiling.valid(1), Some(vec![true, false, false, false]));
    assert_eq!(Tiling::new([4, 4, 3], 2, 3).unwrap().valid(3), None);
    // A tile of the coded channel alone.
    let mut image = [0; 3];
    tiling.paste(&[5, 6, 7, 8], 0, &mut image).unwrap();
    assert_eq!(image, [5, 6, 0]);
}

#[test]
fn impossible_sizes_are_errors() {
    for (size, side, colours) in [
        ([0, 1, 1], 8, 3),
        ([1, 0, 1], 8, 3),
        ([1, 1, 3], 8, 1),
        ([1, 1, 2], 8, 3),
        ([1, 1, 1], 0, 3),
        ([1, 1, 2], 8, 2),
    ] {
        assert!(matches!(
            Tiling::new(size, side, colours),
            Err(CodingError::Setting { .. })
        ));
    }
    let tiling = Tiling::new([4, 4, 1], 4, 1).unwrap();
    assert!(tiling.cut(&[0; 15], 0, &mut [0; 16]).is_err());
    assert!(tiling.cut(&[0; 16], 1, &mut [0; 16]).is_err());
    assert!(tiling.cut(&[0; 16], 0, &mut [0; 48]).is_err());
    assert!(tiling.paste(&[0; 15], 0, &mut [0; 16]).is_err());
}

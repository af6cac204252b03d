use std::path::PathBuf;

use super::*;

fn directory_and(name: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    (directory, path)
}

/// n gray images of `size`, each of one value: 0, 10, 20, ..., 240, 0, ...
fn flat_images(n: usize, size: usize) -> Vec<u8> {
    (0..n)
        .flat_map(|index| vec![(index % 25) as u8 * 10; size * size])
        .collect()
}

#[test]
fn a_single_image_comes_back_byte_for_byte() {
    for channels in [1, 3] {
        let (_directory, path) = directory_and("000.png");
        let image: Vec<u8> = (0..4 * 4 * channels).map(|value| value as u8 * 5).collect();
        let file = std::fs::File::create(&path).expect("made");
        write_png_image(file, &image, 4, channels).expect("saved");
        let decoded = image::open(&path).expect("a PNG file");
        assert_eq!((decoded.width(), decoded.height()), (4, 4));
        assert_eq!(usize::from(decoded.color().channel_count()), channels);
        assert_eq!(decoded.as_bytes(), image);
    }
}

#[test]
fn pixels_become_squares_with_gaps_between_images() {
    // 32 pixels become 96; two images, each white but for one pixel.
    let mut images = vec![255; 2 * 32 * 32 * 3];
    let at = |image: usize, y: usize, x: usize| ((image * 32 + y) * 32 + x) * 3;
    images[at(0, 1, 2)..][..3].copy_from_slice(&[200, 0, 0]);
    images[at(1, 31, 31)..][..3].copy_from_slice(&[0, 0, 200]);
    let (_directory, path) = directory_and("grid.png");
    Grid::new(32, 3)
        .row("", &images)
        .save_png(&path)
        .expect("saved");
    let picture = image::open(&path).expect("a PNG file").into_rgb8();
    assert_eq!(picture.dimensions(), (8 + 96 + 2 + 96 + 8, 8 + 96 + 8));
    for (x, y, pixel) in picture.enumerate_pixels() {
        let within = |left: u32, top: u32, side: u32| {
            (left..left + side).contains(&x) && (top..top + side).contains(&y)
        };
        let expected = if within(8 + 6, 8 + 3, 3) {
            [200, 0, 0]
        } else if within(8 + 98 + 93, 8 + 93, 3) {
            [0, 0, 200]
        } else if within(8, 8, 96) || within(8 + 98, 8, 96) {
            [255; 3]
        } else {
            [250; 3]
        };
        assert_eq!(pixel.0, expected, "at ({x}, {y})");
    }
}

#[test]
fn gray_images_stay_gray_and_large_ones_their_size() {
    let grid = Grid::new(100, 1).row("", &flat_images(3, 100));
    let picture = grid.picture();
    assert_eq!(picture.dimensions(), (8 + 3 * 102 - 2 + 8, 116));
    assert_eq!(picture.get_pixel(8 + 2 * 102, 8).0, [20; 3]);
}

#[test]
fn captions_stand_left_of_their_rows() {
    let images = flat_images(2, 32);
    let caption = "layers 1-5 of 19";
    let grid = Grid::new(32, 1)
        .row("original", &images)
        .row(caption, &images[..1024])
        .row("", &images);
    let picture = grid.picture();
    let left = 8 + text::width(caption) + 8;
    assert_eq!(picture.dimensions(), (left + 194 + 8, 8 + 3 * 98 - 2 + 8));
    let ink = |row: u32| {
        let pixels = picture.enumerate_pixels();
        pixels
            .filter(|(x, y, pixel)| *x < left && (y - y % 98) / 98 == row && pixel.0[0] < 128)
            .count()
    };
    assert!(ink(0) > 50 && ink(1) > ink(0), "{} and {}", ink(0), ink(1));
    assert_eq!(ink(2), 0, "no caption");
    assert_eq!(
        picture.get_pixel(left + 98, 8 + 98).0,
        [250; 3],
        "no second image in the second row"
    );
}

#[test]
fn images_without_captions_are_nearly_square() {
    for (n, columns, rows) in [
        (1, 1, 1),
        (2, 2, 1),
        (4, 2, 2),
        (5, 3, 2),
        (10, 4, 3),
        (64, 8, 8),
    ] {
        let picture = Grid::near_square(96, 1, &flat_images(n, 96)).picture();
        let expected = (14 + 98 * columns, 14 + 98 * rows);
        assert_eq!(picture.dimensions(), expected, "{n} images");
    }
    let picture = Grid::near_square(96, 1, &flat_images(5, 96)).picture();
    assert_eq!(picture.get_pixel(8 + 98, 8 + 98).0, [40; 3], "row by row");
}

#[test]
fn a_grid_without_images_is_still_a_picture() {
    let (_directory, path) = directory_and("grid.png");
    for grid in [
        Grid::new(32, 3),
        Grid::near_square(32, 3, &[]),
        Grid::new(32, 3).row("none", &[]),
    ] {
        grid.save_png(&path).expect("saved");
        image::open(&path).expect("a PNG file");
    }
}

#[test]
#[should_panic(expected = "7 bytes are no whole number of images of 12 bytes")]
fn half_an_image_is_refused() {
    let _ = Grid::new(2, 3).row("", &[0; 7]);
}

#[test]
fn a_place_that_cannot_hold_the_picture() {
    let (_directory, path) = directory_and("missing");
    let error = Grid::new(32, 3).save_png(&path.join("grid.png"));
    assert_eq!(
        error.expect_err("no such directory").kind(),
        io::ErrorKind::NotFound
    );
}

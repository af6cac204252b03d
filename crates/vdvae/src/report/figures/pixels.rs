//! What models that make pixel after pixel show: what pixels cost, and what becomes of half an image.

use super::{Cell, Figure, Graphic, Row, Table, why};
use crate::report::drawing::Tile;
use crate::report::measure::{Pictures, PixelBits, RunMeasures};

/// The least side of the map in pixels.
const LEAST_SIDE: usize = 256;
/// From the cheapest pixels to the costliest, evenly spaced.
const RAMP: [[f64; 3]; 4] = [
    [20.0, 22.0, 64.0],
    [40.0, 100.0, 160.0],
    [110.0, 190.0, 160.0],
    [250.0, 245.0, 190.0],
];

/// A map of bits.
pub fn bits(run: &RunMeasures) -> Figure {
    const TITLE: &str = "What each pixel costs";
    let Some(measured) = &run.pixel_bits else {
        let why = why(
            run,
            "evaluation",
            &why(run, "trained model", "no images were evaluated"),
        );
        return Figure::missing("pixels", TITLE, why);
    };
    let mut table = Table::new(&["row", "column", "bits_per_pixel"]);
    for (pixel, &bits) in measured.bits.iter().enumerate() {
        table.row([
            Cell::Whole((pixel / measured.side) as u64),
            Cell::Whole((pixel % measured.side) as u64),
            Cell::Number(Some(bits), 4),
        ]);
    }
    let [least, most] = range(measured);
    let row = Row {
        caption: format!("{least:.2} (dark) to {most:.2} (light) bits"),
        detail: "of a pixel, all its colours together".to_owned(),
        images: vec![(map(measured, [least, most]), String::new())],
    };
    Figure {
        name: "pixels",
        title: TITLE.to_owned(),
        reading: format!(
            "Bits of each pixel given those above it and to its left, means over {} images. The first pixels know \
             little; what costs most further on is what the model cannot foretell.",
            measured.images
        ),
        graphic: Graphic::Pictures(vec![row]),
        table: Some(table),
    }
}

fn range(measured: &PixelBits) -> [f64; 2] {
    let bits = || measured.bits.iter().copied();
    [
        bits().fold(f64::INFINITY, f64::min),
        bits().fold(f64::NEG_INFINITY, f64::max),
    ]
}

/// Each pixel as a square in the colour of its bits.
fn map(measured: &PixelBits, [least, most]: [f64; 2]) -> Tile {
    let factor = LEAST_SIDE.div_ceil(measured.side);
    let side = measured.side * factor;
    let colour = |at: usize| {
        let pixel = at / side / factor * measured.side + at % side / factor;
        let share = (measured.bits[pixel] - least) / (most - least).max(f64::MIN_POSITIVE);
        ramp(share)
    };
    Tile {
        pixels: (0..side * side).flat_map(colour).collect(),
        side,
    }
}

/// The colour of a share from 0 to 1.
fn ramp(share: f64) -> [u8; 3] {
    let at = share * (RAMP.len() - 1) as f64;
    let first = (at as usize).min(RAMP.len() - 2);
    let part = at - first as f64;
    std::array::from_fn(|i| {
        (RAMP[first][i] + part * (RAMP[first + 1][i] - RAMP[first][i])).round() as u8
    })
}

/// Images whose lower half was drawn.
pub fn completions(run: &RunMeasures, pictures: &Pictures) -> Figure {
    const TITLE: &str = "Completions";
    if pictures.completions.is_empty() {
        let why = why(
            run,
            "evaluation",
            &why(run, "trained model", "there are no images"),
        );
        return Figure::missing("completions", TITLE, why);
    }
    let row = |caption: &str, tiles: &[Tile]| Row {
        caption: caption.to_owned(),
        detail: String::new(),
        images: tiles
            .iter()
            .map(|tile| (tile.clone(), String::new()))
            .collect(),
    };
    let drawn = pictures.completions.iter();
    let drawn = drawn.map(|tiles| row("lower half drawn", tiles));
    Figure {
        name: "completions",
        title: TITLE.to_owned(),
        reading: "Evenly spaced images of the evaluated split, none selected: the upper half is theirs, the lower one \
            is drawn pixel after pixel, each time anew."
            .to_owned(),
        graphic: Graphic::Pictures(
            std::iter::once(row("original", &pictures.originals))
                .chain(drawn)
                .collect(),
        ),
        table: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_dark_where_bits_are_few() {
        let measured = PixelBits {
            images: 1,
            side: 2,
            bits: vec![1.0, 2.0, 3.0, 5.0],
        };
        let tile = map(&measured, range(&measured));
        assert_eq!((tile.side, tile.pixels.len()), (256, 3 * 256 * 256));
        let at = |row: usize, column: usize| {
            let pixel = &tile.pixels[3 * (row * 256 + column)..][..3];
            pixel.iter().map(|&value| u32::from(value)).sum::<u32>()
        };
        let corners = [at(0, 0), at(127, 128), at(128, 127), at(255, 255)];
        assert!(corners.is_sorted() && corners[0] < corners[3]);
        assert_eq!(at(0, 0), at(127, 127), "one pixel");
        // All the same is no division by zero.
        let flat = PixelBits {
            bits: vec![2.0; 4],
            ..measured
        };
        map(&flat, range(&flat));
    }
}

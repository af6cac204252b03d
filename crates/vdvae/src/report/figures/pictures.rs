//! Samples (figures 7 to 9 of the paper) and reconstructions (figures 4 and 10).

use super::{Figure, Graphic, Row, WIDE, percent, size, why};
use crate::report::drawing::{Scene, Style, Tile};
use crate::report::measure::{Pictures, RunMeasures};

/// The least side of an image in a drawing.
const LEAST_SIDE: f64 = 64.0;
const GAP: f64 = 4.0;
pub(super) const RECONSTRUCTIONS: &str = "What the latents up to each resolution hold";

/// Samples, at three temperatures where there are latents.
pub fn samples(run: &RunMeasures, pictures: &Pictures) -> Figure {
    let title = "Samples";
    if pictures.samples.is_empty() {
        let why = why(
            run,
            "samples",
            &why(run, "trained model", "there is no trained model"),
        );
        return Figure::missing("samples", title, why);
    }
    let rows = pictures.samples.iter().map(|(temperature, tiles)| Row {
        caption: match run.no_latents {
            None => format!("temperature {temperature:.2}"),
            Some(_) => "samples".to_owned(),
        },
        detail: String::new(),
        images: plain(tiles),
    });
    Figure {
        name: "samples",
        title: title.to_owned(),
        reading: match run.no_latents {
            None => "The first of their seed, none selected. The temperature is a factor on the prior's \
                standard deviations: 1 is the model itself, lower is more typical and less varied.",
            Some(_) => "The first of their seed, none selected.",
        }
        .to_owned(),
        graphic: Graphic::Pictures(rows.collect()),
        table: None,
    }
}

/// Images from more and more of their own latents.
pub fn reconstructions(run: &RunMeasures, pictures: &Pictures) -> Figure {
    let title = RECONSTRUCTIONS;
    if pictures.originals.is_empty() {
        let why = why(
            run,
            "evaluation",
            &why(run, "trained model", "there are no images"),
        );
        return Figure::missing("reconstructions", title, why);
    }
    let rows = pictures.reconstructions.iter().map(|from| {
        let up_to = run
            .latents
            .iter()
            .find(|share| share.resolution == from.resolution);
        let latents = up_to.map_or(0.0, |share| share.cumulative_share);
        let rate = run.rate_share_up_to(from.resolution);
        let rate = rate.map_or_else(String::new, |rate| {
            format!(", {} of the rate", percent(rate))
        });
        Row {
            caption: format!("up to {}", size(from.resolution)),
            detail: format!("{} of the latents{rate}", percent(latents)),
            images: plain(&from.images),
        }
    });
    let originals = Row {
        caption: "original".to_owned(),
        detail: String::new(),
        images: plain(&pictures.originals),
    };
    Figure {
        name: "reconstructions",
        title: title.to_owned(),
        reading: "Evenly spaced images of the evaluated split, none selected: the latents of the layers up \
            to a resolution from the image, the rest from the prior at temperature 0.1."
            .to_owned(),
        graphic: Graphic::Pictures(std::iter::once(originals).chain(rows).collect()),
        table: None,
    }
}

fn plain(tiles: &[Tile]) -> Vec<(Tile, String)> {
    tiles
        .iter()
        .map(|tile| (tile.clone(), String::new()))
        .collect()
}

/// All rows as one drawing, for the files.
pub fn sheet(rows: &[Row]) -> Scene {
    let images = || rows.iter().flat_map(|row| &row.images);
    let pixels = images().map(|(tile, _)| tile.side).max().unwrap_or(1) as f64;
    let side = pixels * (LEAST_SIDE / pixels).ceil().max(1.0);
    let across = rows.iter().map(|row| row.images.len()).max().unwrap_or(1);
    let columns = across
        .min(((WIDE + GAP) / (side + GAP)).floor().max(4.0) as usize)
        .max(1);
    let below = if images().any(|(_, text)| !text.is_empty()) {
        18.0
    } else {
        0.0
    };
    let (mut top, mut scene) = (8.0, Scene::new(0.0, 0.0));
    for row in rows {
        scene.heading(8.0, top + 14.0, &row.caption, &row.detail);
        top += 22.0;
        for images in row.images.chunks(columns) {
            for (column, (tile, text)) in images.iter().enumerate() {
                let left = 8.0 + column as f64 * (side + GAP);
                scene.picture((left, top), side, tile.clone());
                scene.text(
                    left + side / 2.0,
                    top + side + 14.0,
                    text,
                    Style::SMALL.middle(),
                );
            }
            top += side + GAP + below;
        }
        top += 8.0;
    }
    scene.width = (16.0 + columns as f64 * (side + GAP) - GAP).max(420.0);
    scene.height = top;
    scene
}

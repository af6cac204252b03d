//! Does the model memorise? Distances of samples to the training images.

use super::{Cell, Figure, Graphic, Row, Table, WIDE, why};
use crate::report::drawing::axis::{Scale, Ticks, grouped};
use crate::report::drawing::{Ink, Scene, Style};
use crate::report::measure::{Distances, Neighbour, Pictures, RunMeasures};

/// Samples above their nearest training images.
pub fn pictures(run: &RunMeasures, distances: Option<&Distances>, pictures: &Pictures) -> Figure {
    let title = "Nearest training images";
    let Some(distances) = distances.filter(|_| !pictures.neighbours.is_empty()) else {
        return missing(run, "neighbours", title);
    };
    let (samples, training): (Vec<_>, Vec<_>) = pictures.neighbours.iter().cloned().unzip();
    let row = |caption: &str, images: Vec<_>| Row {
        caption: caption.to_owned(),
        detail: String::new(),
        images,
    };
    let far = distances
        .samples
        .iter()
        .map(|neighbour| format!("{:.0}", neighbour.distance));
    let rows = vec![
        row(
            match run.no_latents {
                None => "sample, temperature 1.00",
                Some(_) => "sample",
            },
            samples
                .into_iter()
                .map(|tile| (tile, String::new()))
                .collect(),
        ),
        row(
            "the training image nearest to it, with the distance",
            training.into_iter().zip(far).collect(),
        ),
    ];
    Figure {
        name: "neighbours",
        title: title.to_owned(),
        reading: format!(
            "Nearest of {} training images by the root of the mean squared difference of pixel values (0 to \
             255). A model that memorises draws its training images again, and the rows look alike.",
            grouped(distances.training_images as f64, 0)
        ),
        graphic: Graphic::Pictures(rows),
        table: None,
    }
}

/// The distances of samples beside those of images that the model never saw.
pub fn figure(run: &RunMeasures, distances: Option<&Distances>) -> Figure {
    let title = "Distance to the training images";
    let Some(distances) = distances else {
        return missing(run, "distances", title);
    };
    let mut table = Table::new(&["of", "number", "distance", "nearest_training_image"]);
    for (of, neighbours) in groups(distances) {
        for (number, neighbour) in neighbours.iter().enumerate() {
            table.row([
                Cell::Text(of.to_owned()),
                Cell::Whole(number as u64 + 1),
                Cell::Number(Some(neighbour.distance), 1),
                Cell::Text(neighbour.name.clone()),
            ]);
        }
    }
    let reading = "Each dot is the distance of one image to the training image nearest to it; lines are \
        medians. Samples that are much nearer than new images would be copies.";
    Figure::chart(
        "distances",
        title,
        reading,
        |width| draw(distances, width),
        table,
    )
}

fn missing(run: &RunMeasures, name: &'static str, title: &str) -> Figure {
    let otherwise = why(run, "trained model", "there are no samples to compare");
    Figure::missing(name, title, why(run, "nearest training images", &otherwise))
}

fn groups(distances: &Distances) -> Vec<(&'static str, &[Neighbour])> {
    let groups = [
        ("samples", &distances.samples[..]),
        ("held-out images", &distances.held_out[..]),
    ];
    groups
        .into_iter()
        .filter(|group| !group.1.is_empty())
        .collect()
}

fn draw(distances: &Distances, width: f64) -> Scene {
    const ROW: f64 = 58.0;
    let groups = groups(distances);
    let (left, right) = (12.0, width - 20.0);
    let bottom = ROW * groups.len() as f64 + 8.0;
    let mut scene = Scene::new(width, bottom + 44.0);
    let all = || {
        groups
            .iter()
            .flat_map(|group| group.1)
            .map(|neighbour| neighbour.distance)
    };
    let most = all().fold(1.0, f64::max);
    let ticks = Ticks::around(0.0, most, if width >= WIDE { 8 } else { 5 });
    let x = Scale::new(ticks.range(), (left, right));
    for (value, text) in ticks.marks() {
        scene.rule((x.at(value), 8.0), (x.at(value), bottom), Ink::GRID);
        scene.text(x.at(value), bottom + 18.0, text, Style::SMALL.middle());
    }
    scene.rule((left, bottom), (right, bottom), Ink::AXIS);
    let middle = (left + right) / 2.0;
    scene.text(
        middle,
        bottom + 36.0,
        "root mean squared difference of pixel values",
        Style::SMALL.middle(),
    );
    for (row, (name, neighbours)) in groups.iter().enumerate() {
        let top = 8.0 + ROW * row as f64;
        let ink = Ink::NAMED[row];
        let mut sorted: Vec<f64> = neighbours
            .iter()
            .map(|neighbour| neighbour.distance)
            .collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let at = x.at(median);
        scene.line(vec![(at, top + 22.0), (at, top + 50.0)], ink, 2.0, &[]);
        let label = format!("{name}, median {median:.0}");
        scene.text(left + 2.0, top + 14.0, label, Style::SMALL.strong(ink));
        for (index, neighbour) in neighbours.iter().enumerate() {
            // Beside each other, so that equal distances are seen as several.
            let height = top + 30.0 + 6.0 * (index % 3) as f64;
            let hint = format!("{:.1} to {}", neighbour.distance, neighbour.name);
            scene.ring((x.at(neighbour.distance), height), 3.5, ink, hint);
        }
    }
    scene
}

//! The figures: one file each. Those of a report are all made from [`Measurements`] and [`Pictures`]; others
//! stand alone.

mod channels;
mod chart;
mod depth;
mod gradients;
mod latents;
mod layers;
mod loss;
mod neighbours;
mod pictures;
mod pixels;
mod plot;
mod rates;
mod speed;
mod summary;
mod table;

use super::drawing::{Scene, Tile};
use super::measure::{Measurements, Pictures};

pub use depth::{DepthPoint, bits_by_depth};
pub use loss::loss_curve;
pub use rates::rate_per_layer;
pub use table::{Cell, Table, csv_field};

/// Width of a figure on a desk, in pixels.
pub const WIDE: f64 = 760.0;
/// Width of a figure on a phone.
pub const NARROW: f64 = 350.0;

/// A figure with its numbers.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Of its files, without ending.
    pub name: &'static str,
    /// In a few words.
    pub title: String,
    /// How to read it and what it says, in a sentence or two.
    pub reading: String,
    /// What is seen.
    pub graphic: Graphic,
    /// The numbers; none of figures that are only pictures.
    pub table: Option<Table>,
}

/// What is seen of a figure.
#[derive(Clone, Debug)]
pub enum Graphic {
    /// The same drawing for a desk and for a phone.
    Chart {
        /// [`WIDE`].
        wide: Scene,
        /// [`NARROW`].
        narrow: Scene,
    },
    /// Images in rows.
    Pictures(Vec<Row>),
    /// Only the table.
    Table,
    /// Nothing, and why.
    Missing(String),
}

/// Images with what they are.
#[derive(Clone, Debug)]
pub struct Row {
    /// In a few words.
    pub caption: String,
    /// More words, or none.
    pub detail: String,
    /// With a line below each, or an empty one.
    pub images: Vec<(Tile, String)>,
}

impl Figure {
    /// A chart drawn at both widths.
    fn chart(
        name: &'static str,
        title: impl Into<String>,
        reading: impl Into<String>,
        draw: impl Fn(f64) -> Scene,
        table: Table,
    ) -> Self {
        let (title, reading) = (title.into(), reading.into());
        let named = |width| Scene {
            title: title.clone(),
            description: reading.clone(),
            ..draw(width)
        };
        let graphic = Graphic::Chart {
            wide: named(WIDE),
            narrow: named(NARROW),
        };
        Self {
            name,
            title,
            reading,
            graphic,
            table: Some(table),
        }
    }

    /// The place of a figure that there is not.
    fn missing(name: &'static str, title: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            name,
            title: title.into(),
            reading: String::new(),
            graphic: Graphic::Missing(why.into()),
            table: None,
        }
    }

    /// Whether it is drawn from numbers.
    pub fn is_chart(&self) -> bool {
        matches!(self.graphic, Graphic::Chart { .. })
    }

    /// The drawing that is kept as a file.
    pub fn scene(&self) -> Option<Scene> {
        match &self.graphic {
            Graphic::Chart { wide, .. } => Some(wide.clone()),
            Graphic::Pictures(rows) => Some(Scene {
                title: self.title.clone(),
                description: self.reading.clone(),
                ..pictures::sheet(rows)
            }),
            Graphic::Table | Graphic::Missing(_) => None,
        }
    }
}

/// What there is of latents alone.
const LATENTS: [(&str, &str); 4] = [
    ("layers", layers::TITLE),
    ("channels", channels::TITLE),
    ("latents", latents::TITLE),
    ("reconstructions", pictures::RECONSTRUCTIONS),
];

/// All figures, in the order of the page.
pub fn figures(measurements: &Measurements, pictures: &Pictures) -> Vec<Figure> {
    let runs = &measurements.runs[..];
    let Some(run) = runs.first() else {
        return Vec::new();
    };
    let mut figures = vec![summary::figure(runs), loss::figure(run)];
    figures.extend(loss::comparison(runs));
    figures.extend([speed::figure(run), gradients::figure(run)]);
    figures.extend(match &run.no_latents {
        None => vec![
            layers::figure(runs),
            channels::figure(run),
            latents::figure(run),
            pictures::reconstructions(run, pictures),
        ],
        Some(why) => LATENTS
            .map(|(name, title)| Figure::missing(name, title, why))
            .into(),
    });
    if run.network_evaluations_per_sample_cached.is_some() {
        figures.push(pixels::bits(run));
        figures.push(pixels::completions(run, pictures));
    }
    figures.extend([
        pictures::samples(run, pictures),
        neighbours::pictures(run, measurements.neighbours.as_ref(), pictures),
        neighbours::figure(run, measurements.neighbours.as_ref()),
    ]);
    figures
}

/// Why a part of a run is missing, in its own words where it has them.
fn why(run: &super::measure::RunMeasures, what: &str, otherwise: &str) -> String {
    let known = run.missing.iter().find(|missing| missing.what == what);
    known.map_or_else(|| otherwise.to_owned(), |missing| missing.why.clone())
}

/// A run's name as far as a label has room for it.
fn short(name: &str) -> String {
    const LONGEST: usize = 24;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    let start: String = name.chars().take(LONGEST - 1).collect();
    format!("{start}…")
}

/// `32×32`.
fn size(resolution: usize) -> String {
    format!("{resolution}×{resolution}")
}

/// A share as a percentage with as many digits as say something.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let decimals = match percent {
        p if p > 99.0 && p < 99.995 => 2,
        p if p == 0.0 || p >= 9.95 => 0,
        p if p >= 0.095 => 1,
        _ => 3,
    };
    format!("{percent:.decimals$} %")
}

#[cfg(test)]
mod tests;

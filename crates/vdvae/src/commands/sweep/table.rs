//! What a sweep found: a row for every run, for people, spreadsheets and programs.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::plan::Planned;
use crate::console::results;
use crate::evaluate::Evaluation;
use crate::files::write_atomically;
use crate::likelihood::units::bits;
use crate::models::Plan;
use crate::report::{DepthPoint, bits_by_depth, csv_field, save_svg};
use crate::train::Outcome;

/// A layer is used if it tells at least this much about an image, in nats, on average.
const USED: f64 = 1.0;

/// A finished run. Losses are bits per dimension on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    name: String,
    seed: u64,
    parameters: u64,
    /// Stochastic layers.
    depth: usize,
    /// What sets it apart from the published models of its family.
    #[serde(default)]
    variant: String,
    /// Updates made.
    steps: u64,
    /// Of the test split.
    images: usize,
    bits_per_dim: f64,
    /// One image has none.
    stderr_bits_per_dim: Option<f64>,
    distortion_bits_per_dim: f64,
    rate_bits_per_dim: f64,
    /// Layers that tell at least [`USED`] nats.
    used_layers: usize,
    /// Of training, validation included.
    seconds: f64,
    /// Top to bottom.
    rate_bits_per_dim_per_layer: Vec<f64>,
}

impl Row {
    pub fn new(run: &Planned, plan: &dyn Plan, evaluation: &Evaluation, outcome: &Outcome) -> Self {
        let per_layer = &evaluation.rate_nats_per_dim_per_layer;
        let dimensions = plan.dimensions() as f64;
        Self {
            name: run.name.clone(),
            seed: run.seed,
            parameters: plan.parameters(),
            depth: plan.latents().map_or(0, |layers| layers.len()),
            variant: plan.variant(),
            steps: outcome.step,
            images: evaluation.images,
            bits_per_dim: evaluation.bits_per_dim,
            stderr_bits_per_dim: evaluation.stderr_bits_per_dim,
            distortion_bits_per_dim: bits(evaluation.distortion_nats_per_dim),
            rate_bits_per_dim: bits(evaluation.rate_nats_per_dim),
            used_layers: per_layer
                .iter()
                .filter(|&nats| nats * dimensions >= USED)
                .count(),
            seconds: outcome.seconds,
            rate_bits_per_dim_per_layer: per_layer.iter().map(|&nats| bits(nats)).collect(),
        }
    }

    /// Rows of earlier versions do not tell the variant, which is that of the run's plan.
    pub fn of(self, plan: &dyn Plan) -> Self {
        Self {
            variant: plan.variant(),
            ..self
        }
    }
}

/// A run that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    name: String,
    seed: u64,
    /// Why.
    pub error: String,
}

impl Failure {
    pub fn new(run: &Planned, error: String) -> Self {
        Self {
            name: run.name.clone(),
            seed: run.seed,
            error,
        }
    }

    /// For a person.
    pub fn name(&self) -> String {
        format!("{}, seed {}", self.name, self.seed)
    }
}

/// Finished runs, and those that failed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    #[serde(rename = "runs")]
    pub rows: Vec<Row>,
    #[serde(rename = "failed")]
    pub failures: Vec<Failure>,
}

/// The columns of the table in text and in CSV.
const COLUMNS: [&str; 12] = [
    "name",
    "seed",
    "parameters",
    "depth",
    "bits_per_dim",
    "stderr",
    "distortion",
    "rate",
    "used_layers",
    "steps",
    "images",
    "seconds",
];

impl Table {
    /// Writes `table.csv`, `table.json` and `figure.svg`.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        let unwritable = |path: &Path| format!("{}: cannot be written", path.display());
        for (name, text) in [
            ("table.csv", self.csv()),
            ("table.json", format!("{json}\n")),
        ] {
            let path = folder.join(name);
            write_atomically(&path, |writer| writer.write_all(text.as_bytes()))
                .with_context(|| unwritable(&path))?;
        }
        let path = folder.join("figure.svg");
        save_svg(&path, &bits_by_depth(&self.points())).with_context(|| unwritable(&path))
    }

    fn csv(&self) -> String {
        let mut text = COLUMNS.join(",") + "\n";
        for row in &self.rows {
            text += &cells(row, 6).map(|cell| csv_field(&cell)).join(",");
            text += "\n";
        }
        text
    }

    /// On standard output, with the failures below.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn print(&self) -> io::Result<()> {
        let mut out = results();
        let mut lines = vec![COLUMNS.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| cells(row, 4)));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<usize> = (0..COLUMNS.len()).filter_map(width).collect();
        for line in &lines {
            let [name, numbers @ ..] = line;
            write!(out, "{name:<0$}", widths[0])?;
            for (number, width) in numbers.iter().zip(&widths[1..]) {
                write!(out, "  {number:>width$}")?;
            }
            writeln!(out)?;
        }
        for failure in &self.failures {
            writeln!(out, "failed: {}: {}", failure.name(), failure.error)?;
        }
        Ok(())
    }

    fn points(&self) -> Vec<DepthPoint> {
        let points = self.rows.iter().map(|row| DepthPoint {
            variant: row.variant.clone(),
            name: format!("{}, seed {}", row.name, row.seed),
            depth: row.depth,
            bits_per_dim: row.bits_per_dim,
        });
        points.collect()
    }
}

fn cells(row: &Row, decimals: usize) -> [String; COLUMNS.len()] {
    let loss = |value: f64| format!("{value:.decimals$}");
    [
        row.name.clone(),
        row.seed.to_string(),
        row.parameters.to_string(),
        row.depth.to_string(),
        loss(row.bits_per_dim),
        row.stderr_bits_per_dim.map_or(String::new(), loss),
        loss(row.distortion_bits_per_dim),
        loss(row.rate_bits_per_dim),
        row.used_layers.to_string(),
        row.steps.to_string(),
        row.images.to_string(),
        format!("{:.0}", row.seconds),
    ]
}

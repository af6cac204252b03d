//! A report as files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::drawing::{Scene, png, svg};
use super::figures::figures;
use super::measure::{Measurements, Pictures};
use super::page::page;
use crate::files::write_atomically;

/// Writes a drawing as an SVG file, atomically.
///
/// # Errors
/// What the file system returned; it does not name `path`.
pub fn save_svg(path: &Path, scene: &Scene) -> io::Result<()> {
    let document = svg(scene).into_string();
    write_atomically(path, |writer| writer.write_all(document.as_bytes()))
}

/// Writes page, figures, tables and numbers into an existing folder; the page last, so that what it
/// names is there. Returns the names of all files.
///
/// # Errors
/// If a file cannot be written; the error names it.
pub fn save_report(
    folder: &Path,
    measurements: &Measurements,
    pictures: &Pictures,
) -> Result<Vec<PathBuf>> {
    let figures = figures(measurements, pictures);
    let mut names = Vec::new();
    let mut save = |name: String, content: io::Result<Vec<u8>>| -> Result<()> {
        let path = folder.join(&name);
        content
            .and_then(|content| write_atomically(&path, |writer| writer.write_all(&content)))
            .with_context(|| format!("{}: cannot save this part of the report", path.display()))?;
        names.push(PathBuf::from(name));
        Ok(())
    };
    for figure in &figures {
        if let Some(scene) = figure.scene() {
            save(
                format!("{}.svg", figure.name),
                Ok(svg(&scene).into_string().into_bytes()),
            )?;
            save(format!("{}.png", figure.name), png(&scene))?;
        }
        if let Some(table) = &figure.table {
            save(format!("{}.csv", figure.name), Ok(table.csv().into_bytes()))?;
        }
    }
    let json = serde_json::to_vec_pretty(measurements).map_err(io::Error::other);
    save("report.json".to_owned(), json)?;
    save(
        "index.html".to_owned(),
        Ok(page(measurements, &figures).into_string().into_bytes()),
    )?;
    Ok(names)
}

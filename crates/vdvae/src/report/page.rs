//! One page with everything in it: opens from disk, asks nothing of the network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::drawing::axis::grouped;
use super::drawing::{data_url, svg};
use super::figures::{Cell, Figure, Graphic, Row, Table};
use super::measure::{Measurements, RunMeasures};

/// More rows than this are thinned out on the page; the files have all.
const MOST_ROWS: usize = 40;
/// Images up to this side, in pixels, are still seen where a phone shows eight in a row.
const SMALL_SIDE: usize = 64;

const STYLE: &str = include_str!("page.css");

/// The page. Its links name the figures' files beside it.
pub fn page(measurements: &Measurements, figures: &[Figure]) -> Markup {
    let run = &measurements.runs[0];
    html! {
        (DOCTYPE) "\n"
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (run.name) " – vdvae report" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            "\n"
            body {
                main {
                    header {
                        h1 { (run.name) }
                        p.muted { (state(run)) }
                    }
                    "\n" (numbers(run))
                    "\n" (missing(&measurements.runs))
                    @for figure in figures { "\n" (section(figure)) }
                    "\n"
                    footer {
                        "Made by vdvae " (measurements.version) ". All numbers: "
                        a href="report.json" { "report.json" } "."
                    }
                }
            }
        }
        "\n"
    }
}

/// What the run is, in a line.
fn state(run: &RunMeasures) -> String {
    let asked = grouped(run.steps_asked as f64, 0);
    let weights = match run.step {
        Some(step) => format!("weights of update {}", grouped(step as f64, 0)),
        None => "no weights".to_owned(),
    };
    let state = match (run.finished, run.training.last()) {
        (true, _) => format!("trained for {asked} updates"),
        (false, Some(last)) => {
            format!(
                "not finished: update {} of {asked}",
                grouped(last.step as f64, 0)
            )
        }
        (false, None) => format!("training of {asked} updates, no interval logged yet"),
    };
    format!("{} · {state} · {weights}", run.data)
}

/// The few numbers that matter most.
fn numbers(run: &RunMeasures) -> Markup {
    let loss = run.evaluation.as_ref().map(|evaluation| {
        let means = &evaluation.means;
        let error = means.stderr_bits_per_dim;
        let error = error.map_or(String::new(), |error| format!("± {error:.3}, "));
        (
            "bits per dimension",
            format!("{:.3}", means.bits_per_dim),
            format!("{error}{} {} images", means.images, evaluation.split),
        )
    });
    let always = [
        (
            "parameters",
            grouped(run.parameters as f64, 0),
            String::new(),
        ),
        ("stochastic layers", run.depth.to_string(), String::new()),
        (
            "network evaluations per sample",
            grouped(run.network_evaluations_per_sample as f64, 0),
            match run.network_evaluations_per_sample_cached {
                None => format!("autoregressive: {}", grouped(run.dimensions as f64, 0)),
                Some(cached) => format!("keeping earlier pixels: {}", grouped(cached, 2)),
            },
        ),
    ];
    html! {
        dl.numbers {
            @for (name, value, small) in loss.into_iter().chain(always) {
                div { dt { (name) } dd { (value) " " small { (small) } } }
            }
        }
    }
}

/// What the report lacks, at its top.
fn missing(runs: &[RunMeasures]) -> Markup {
    html! {
        @if runs.iter().any(|run| !run.missing.is_empty()) {
            section.missing {
                h2 { "Not in this report" }
                ul.lacks {
                    @for run in runs {
                        @for missing in &run.missing {
                            li { b { (run.name) ": " (missing.what) } ": " (missing.why) }
                        }
                    }
                }
            }
        }
    }
}

fn section(figure: &Figure) -> Markup {
    html! {
        section id=(figure.name) {
            h2 { (figure.title) }
            @if !figure.reading.is_empty() { p.reading { (figure.reading) } }
            @match &figure.graphic {
                Graphic::Chart { wide, narrow } => {
                    figure {
                        div.wide { (svg(wide)) }
                        div.narrow { (svg(narrow)) }
                    }
                }
                Graphic::Pictures(rows) => (pictures(rows)),
                Graphic::Table => {
                    @if let Some(table) = &figure.table { (scroll(&sideways(table))) }
                }
                Graphic::Missing(why) => p.missing { b { "Missing" } ": " (why) },
            }
            (files(figure))
        }
    }
}

fn pictures(rows: &[Row]) -> Markup {
    // On a phone, rows that are to be compared stay rows; large images have to be seen.
    let few = rows.iter().all(|row| {
        let small = row.images.iter().all(|(tile, _)| tile.side <= SMALL_SIDE);
        small || row.images.len() <= 8
    });
    html! {
        div.rows {
            @for row in rows {
                h3 { (row.caption) " " span { (row.detail) } }
                ul.tiles.few[few] {
                    @for (number, (tile, text)) in (1..).zip(&row.images) {
                        li {
                            img alt={ (row.caption) ", image " (number) } src=(data_url(tile));
                            @if !text.is_empty() { span { (text) } }
                        }
                    }
                }
            }
        }
    }
}

/// The numbers of a chart, and the names of its files.
fn files(figure: &Figure) -> Markup {
    let mut kinds = Vec::new();
    if figure.scene().is_some() {
        kinds.extend(["svg", "png"]);
    }
    if figure.table.is_some() {
        kinds.push("csv");
    }
    let numbers = figure.table.as_ref().filter(|_| figure.is_chart());
    html! {
        @if !kinds.is_empty() {
            details {
                summary { @if numbers.is_some() { "Numbers and files" } @else { "Files" } }
                p {
                    @for (index, kind) in kinds.iter().enumerate() {
                        @if index > 0 { " · " }
                        a href={ (figure.name) "." (kind) } { (figure.name) "." (kind) }
                    }
                }
                @if let Some(table) = numbers { (scroll(&table_element(table))) }
            }
        }
    }
}

fn scroll(table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label="table" { (table) } }
}

/// A column for each row, the first being their names: fits a phone.
fn sideways(table: &Table) -> Markup {
    html! {
        table.main {
            @for (column, name) in table.columns.iter().enumerate() {
                tr {
                    th scope="row" { (name) }
                    @for row in &table.rows {
                        @let text = row[column].shown();
                        @if column == 0 { th scope="col" { (text) } } @else { td { (text) } }
                    }
                }
            }
        }
    }
}

fn table_element(table: &Table) -> Markup {
    let is_text = |column: usize| {
        let first = table.rows.first();
        first.is_some_and(|row| matches!(row[column], Cell::Text(_)))
    };
    let each = table.rows.len().div_ceil(MOST_ROWS).max(1);
    html! {
        table {
            thead {
                tr {
                    @for (column, name) in table.columns.iter().enumerate() {
                        th.text[is_text(column)] scope="col" { (name.replace('_', " ")) }
                    }
                }
            }
            tbody {
                @for row in table.rows.iter().step_by(each) {
                    tr {
                        @for (column, cell) in row.iter().enumerate() {
                            td.text[is_text(column)] { (cell.shown()) }
                        }
                    }
                }
            }
        }
        @if each > 1 {
            p.muted {
                "Every " (each) "th of " (grouped(table.rows.len() as f64, 0)) " rows; the file has all."
            }
        }
    }
}

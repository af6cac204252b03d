//! One page with everything in it: opens from disk, asks nothing of the network.

use std::fmt::Write;

use super::axis::grouped;
use super::figures::{Cell, Figure, Graphic, Row, Table};
use super::measure::{Measurements, RunMeasures};
use super::scene::{data_url, svg};
use super::svg::escape;

/// More rows than this are thinned out on the page; the files have all.
const MOST_ROWS: usize = 40;

const STYLE: &str = include_str!("page.css");

/// The page. Its links name the figures' files beside it.
pub fn page(measurements: &Measurements, figures: &[Figure]) -> String {
    let run = &measurements.runs[0];
    let mut html = String::new();
    let title = escape(&run.name);
    // Writing to a string does not fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title} – vdvae report</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n\
         <p class=\"muted\">{}</p>\n</header>\n{}{}",
        escape(&state(run)),
        numbers(run),
        missing(&measurements.runs),
    );
    for figure in figures {
        html.push_str(&section(figure));
    }
    let _ = write!(
        html,
        "<footer>Made by vdvae {}. All numbers: <a href=\"report.json\">report.json</a>.</footer>\n\
         </main>\n</body>\n</html>\n",
        measurements.version
    );
    html
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
fn numbers(run: &RunMeasures) -> String {
    let mut list = String::from("<dl class=\"numbers\">\n");
    let mut add = |name: &str, value: String, small: String| {
        let (value, small) = (escape(&value), escape(&small));
        let _ = writeln!(
            list,
            "<div><dt>{name}</dt><dd>{value} <small>{small}</small></dd></div>"
        );
    };
    if let Some(evaluation) = &run.evaluation {
        let means = &evaluation.means;
        let error = means.stderr_bits_per_dim;
        let error = error.map_or(String::new(), |error| format!("± {error:.3}, "));
        add(
            "bits per dimension",
            format!("{:.3}", means.bits_per_dim),
            format!("{error}{} {} images", means.images, evaluation.split),
        );
    }
    add(
        "parameters",
        grouped(run.parameters as f64, 0),
        String::new(),
    );
    add("stochastic layers", run.depth.to_string(), String::new());
    add(
        "network evaluations per sample",
        run.network_evaluations_per_sample.to_string(),
        format!("autoregressive: {}", grouped(run.dimensions as f64, 0)),
    );
    list.push_str("</dl>\n");
    list
}

/// What the report lacks, at its top.
fn missing(runs: &[RunMeasures]) -> String {
    let lacks = runs.iter().flat_map(|run| {
        run.missing.iter().map(move |missing| {
            format!(
                "<li><b>{}: {}</b>: {}</li>\n",
                escape(&run.name),
                escape(&missing.what),
                escape(&missing.why)
            )
        })
    });
    let lacks: String = lacks.collect();
    if lacks.is_empty() {
        return lacks;
    }
    format!(
        "<section class=\"missing\">\n<h2>Not in this report</h2>\n<ul class=\"lacks\">\n{lacks}</ul>\n</section>\n"
    )
}

fn section(figure: &Figure) -> String {
    let (title, reading) = (escape(&figure.title), escape(&figure.reading));
    let mut html = format!("<section id=\"{}\">\n<h2>{title}</h2>\n", figure.name);
    if !reading.is_empty() {
        let _ = writeln!(html, "<p class=\"reading\">{reading}</p>");
    }
    match &figure.graphic {
        Graphic::Chart { wide, narrow } => {
            let _ = write!(
                html,
                "<figure>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n</figure>\n",
                svg(wide),
                svg(narrow)
            );
        }
        Graphic::Pictures(rows) => html.push_str(&pictures(rows)),
        Graphic::Table => {
            html.extend(figure.table.iter().map(|table| scroll(&sideways(table))));
        }
        Graphic::Missing(why) => {
            let _ = writeln!(
                html,
                "<p class=\"missing\"><b>Missing</b>: {}</p>",
                escape(why)
            );
        }
    }
    html.push_str(&files(figure));
    html.push_str("</section>\n");
    html
}

fn pictures(rows: &[Row]) -> String {
    let mut html = String::from("<div class=\"rows\">\n");
    // On a phone, rows that are to be compared stay rows; large images have to be seen.
    let few = rows.iter().all(|row| {
        let small = row.images.iter().all(|(tile, _)| tile.side <= 64);
        small || row.images.len() <= 8
    });
    let class = if few { "tiles few" } else { "tiles" };
    for row in rows {
        let (caption, detail) = (escape(&row.caption), escape(&row.detail));
        let _ = writeln!(
            html,
            "<h3>{caption} <span>{detail}</span></h3>\n<ul class=\"{class}\">"
        );
        for (number, (tile, text)) in (1..).zip(&row.images) {
            let text = match text.as_str() {
                "" => String::new(),
                text => format!("<span>{}</span>", escape(text)),
            };
            let _ = writeln!(
                html,
                "<li><img alt=\"{caption}, image {number}\" src=\"{}\">{text}</li>",
                data_url(tile)
            );
        }
        html.push_str("</ul>\n");
    }
    html.push_str("</div>\n");
    html
}

/// The numbers of a chart, and the names of its files.
fn files(figure: &Figure) -> String {
    let name = figure.name;
    let mut links: Vec<String> = Vec::new();
    if figure.scene().is_some() {
        links.extend(
            ["svg", "png"].map(|kind| format!("<a href=\"{name}.{kind}\">{name}.{kind}</a>")),
        );
    }
    if figure.table.is_some() {
        links.push(format!("<a href=\"{name}.csv\">{name}.csv</a>"));
    }
    if links.is_empty() {
        return String::new();
    }
    let links = links.join(" · ");
    match (&figure.table, &figure.graphic) {
        (Some(table), Graphic::Chart { .. }) => {
            let rows = scroll(&table_element(table));
            format!(
                "<details><summary>Numbers and files</summary>\n<p>{links}</p>\n{rows}</details>\n"
            )
        }
        _ => format!("<details><summary>Files</summary><p>{links}</p></details>\n"),
    }
}

fn scroll(table: &str) -> String {
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"table\">\n{table}</div>\n"
    )
}

/// A column for each row, the first being their names: fits a phone.
fn sideways(table: &Table) -> String {
    let mut html = String::from("<table class=\"main\">\n");
    for (column, name) in table.columns.iter().enumerate() {
        let (tag, scope) = if column == 0 {
            ("th", " scope=\"col\"")
        } else {
            ("td", "")
        };
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(name));
        for row in &table.rows {
            let text = escape(&row[column].shown());
            let _ = write!(html, "<{tag}{scope}>{text}</{tag}>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    html
}

fn table_element(table: &Table) -> String {
    let is_text = |column: usize| {
        table
            .rows
            .first()
            .is_some_and(|row| matches!(row[column], Cell::Text(_)))
    };
    let class_of = |column| {
        if is_text(column) {
            " class=\"text\""
        } else {
            ""
        }
    };
    let mut html = String::from("<table>\n<thead><tr>");
    for (column, name) in table.columns.iter().enumerate() {
        let name = escape(&name.replace('_', " "));
        let _ = write!(html, "<th scope=\"col\"{}>{name}</th>", class_of(column));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    let each = table.rows.len().div_ceil(MOST_ROWS).max(1);
    for row in table.rows.iter().step_by(each) {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(
                html,
                "<td{}>{}</td>",
                class_of(column),
                escape(&cell.shown())
            );
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n");
    if each > 1 {
        let _ = writeln!(
            html,
            "<p class=\"muted\">Every {each}th of {} rows; the file has all.</p>",
            grouped(table.rows.len() as f64, 0)
        );
    }
    html
}

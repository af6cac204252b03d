//! A drawing as SVG that follows the page's light or dark colours.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::raster::encode;
use super::{AFTER, Anchor, Ink, Mark, Scene, Style, Tile};
use crate::report::svg::escape;

const FONT: &str =
    "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',Helvetica,Arial,sans-serif";

/// The drawing as an SVG document, which is also a valid element of a page. Colours are attributes for
/// readers that know no style sheets; these only hold those for dark pages.
pub fn svg(scene: &Scene) -> String {
    let mut body = String::new();
    for mark in &scene.marks {
        element(&mut body, mark);
    }
    let Scene { width, height, .. } = scene;
    let (title, description) = (escape(&scene.title), escape(&scene.description));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{title}\" font-family=\"{FONT}\">\n\
         <title>{title}</title>\n<desc>{description}</desc>\n<style>{}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" {}/>\n{body}</svg>\n",
        dark_style(scene),
        fill(Ink::SURFACE),
    )
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("{red:02x}{green:02x}{blue:02x}")
}

fn fill(ink: Ink) -> String {
    let hex = hex(ink.light);
    format!("class=\"f{hex}\" fill=\"#{hex}\"")
}

fn stroke(ink: Ink) -> String {
    let hex = hex(ink.light);
    format!("class=\"s{hex}\" stroke=\"#{hex}\" fill=\"none\"")
}

/// A class is named after the light colour; the dark one is a function of it in all drawings.
fn dark_style(scene: &Scene) -> String {
    let inks = scene.marks.iter().filter_map(|mark| match mark {
        Mark::Line { ink, .. } | Mark::Bar { ink, .. } | Mark::Dot { ink, .. } => Some(*ink),
        Mark::Text { style, .. } => Some(style.ink),
        Mark::Picture { .. } => None,
    });
    let inks: BTreeSet<Ink> = inks.chain([Ink::SURFACE, Ink::MUTED]).collect();
    let mut style = String::from("@media (prefers-color-scheme:dark){");
    for ink in inks {
        let (light, dark) = (hex(ink.light), hex(ink.dark));
        let _ = write!(
            style,
            ".f{light}{{fill:#{dark}}}.s{light}{{stroke:#{dark}}}"
        );
    }
    style.push('}');
    style
}

fn element(out: &mut String, mark: &Mark) {
    // Writing to a string does not fail.
    let _ = match mark {
        Mark::Line {
            points,
            ink,
            width,
            dash,
        } => {
            let points: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let dash = match dash[..] {
                [] => String::new(),
                _ => {
                    let lengths: Vec<String> = dash.iter().map(f64::to_string).collect();
                    format!(" stroke-dasharray=\"{}\"", lengths.join(" "))
                }
            };
            writeln!(
                out,
                "<polyline points=\"{}\" {} stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}/>",
                points.join(" "),
                stroke(*ink)
            )
        }
        Mark::Bar {
            corner: (x, y),
            size: (width, height),
            ink,
            hint,
        } => writeln!(
            out,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" {}>{}</rect>",
            fill(*ink),
            hint_element(hint)
        ),
        Mark::Dot {
            at: (x, y),
            radius,
            ink,
            hollow,
            hint,
        } => {
            let paint = if *hollow { stroke(*ink) } else { fill(*ink) };
            let line = if *hollow { " stroke-width=\"1.5\"" } else { "" };
            writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" {paint}{line}>{}</circle>",
                hint_element(hint)
            )
        }
        Mark::Text {
            at,
            text,
            after,
            style,
        } => writeln!(out, "{}", text_element(*at, text, after, style)),
        Mark::Picture {
            corner: (x, y),
            side,
            tile,
        } => writeln!(
            out,
            "<image x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" \
             style=\"image-rendering:pixelated\" href=\"{}\"/>",
            data_url(tile)
        ),
    };
}

fn hint_element(hint: &str) -> String {
    match hint {
        "" => String::new(),
        hint => format!("<title>{}</title>", escape(hint)),
    }
}

fn text_element((x, y): (f64, f64), text: &str, after: &str, style: &Style) -> String {
    let anchor = match style.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let weight = if style.bold {
        " font-weight=\"600\""
    } else {
        ""
    };
    let after = match after {
        "" => String::new(),
        after => format!(
            "<tspan dx=\"{AFTER}\" font-weight=\"400\" {}>{}</tspan>",
            fill(Ink::MUTED),
            escape(after)
        ),
    };
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" {}{anchor}{weight}>{}{after}</text>",
        style.size,
        fill(style.ink),
        escape(text)
    )
}

/// A small image inside of a document.
pub fn data_url(tile: &Tile) -> String {
    let side = tile.side as u32;
    // Encoding bytes of a checked shape into memory does not fail; a picture without source shows as such.
    let png = encode(&tile.rgb(), side, side).unwrap_or_default();
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_named_cannot_break_the_document() {
        let mut scene = Scene::new(10.0, 10.0);
        scene.title = "a < b & \"c\"\u{7}".to_owned();
        scene.bar((0.0, 0.0), (1.0, 1.0), Ink::TEXT, "</title>".to_owned());
        let svg = svg(&scene);
        assert!(
            svg.contains("<title>a &lt; b &amp; &quot;c&quot; </title>"),
            "{svg}"
        );
        assert!(svg.contains("<title>&lt;/title&gt;</title>"), "{svg}");
    }

    #[test]
    fn every_colour_has_a_dark_twin() {
        let mut scene = Scene::new(10.0, 10.0);
        scene.dot((5.0, 5.0), 2.0, Ink::NAMED[0], String::new());
        let svg = svg(&scene);
        assert!(svg.contains("class=\"f0067a5\" fill=\"#0067a5\""), "{svg}");
        assert!(svg.contains(".f0067a5{fill:#56b4e9}"), "{svg}");
    }
}

//! A drawing as SVG that follows the page's light or dark colours.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::raster::encode;
use super::{AFTER, Anchor, Ink, Mark, Scene, Style, Tile};

const FONT: &str =
    "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',Helvetica,Arial,sans-serif";

/// The drawing as an SVG document, which is also a valid element of a page. Colours are attributes for
/// readers that know no style sheets; these only hold those for dark pages.
pub fn svg(scene: &Scene) -> Markup {
    let Scene { width, height, .. } = scene;
    let title = plain(&scene.title);
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}"))
            width=(width) height=(height) role="img" aria-label=(title) font-family=(FONT) {
            "\n" title { (title) }
            "\n" desc { (plain(&scene.description)) }
            "\n" style { (dark_style(scene)) }
            "\n" rect width=(width) height=(height) class=(class('f', Ink::SURFACE)) fill=(hex(Ink::SURFACE)) {}
            "\n" @for mark in &scene.marks { (element(mark)) "\n" }
        }
        "\n"
    }
}

/// `#rrggbb` of the light page.
fn hex(ink: Ink) -> String {
    let [red, green, blue] = ink.light;
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The class of what is filled (`f`) or drawn (`s`) in a colour. It is named after the light colour; the dark
/// one is a function of it in all drawings.
fn class(kind: char, ink: Ink) -> String {
    hex(ink).replace('#', &kind.to_string())
}

/// What the classes are on dark pages.
fn dark_style(scene: &Scene) -> String {
    let inks = scene.marks.iter().filter_map(|mark| match mark {
        Mark::Line { ink, .. } | Mark::Bar { ink, .. } | Mark::Dot { ink, .. } => Some(*ink),
        Mark::Text { style, .. } => Some(style.ink),
        Mark::Picture { .. } => None,
    });
    let inks: BTreeSet<Ink> = inks.chain([Ink::SURFACE, Ink::MUTED]).collect();
    let mut style = String::from("@media (prefers-color-scheme:dark){");
    for ink in inks {
        let (filled, drawn) = (class('f', ink), class('s', ink));
        let dark = hex(Ink {
            light: ink.dark,
            ..ink
        });
        // Writing to a string does not fail.
        let _ = write!(style, ".{filled}{{fill:{dark}}}.{drawn}{{stroke:{dark}}}");
    }
    style.push('}');
    style
}

/// Text without control characters, which XML forbids.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn element(mark: &Mark) -> Markup {
    match mark {
        Mark::Line {
            points,
            ink,
            width,
            dash,
        } => {
            let places: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let lengths: Vec<String> = dash.iter().map(f64::to_string).collect();
            let dash = (!dash.is_empty()).then(|| lengths.join(" "));
            html! {
                polyline points=(places.join(" ")) class=(class('s', *ink)) stroke=(hex(*ink)) fill="none"
                    stroke-width=(width) stroke-linejoin="round" stroke-dasharray=[dash] {}
            }
        }
        Mark::Bar {
            corner: (x, y),
            size: (width, height),
            ink,
            hint,
        } => html! {
            rect x=(format_args!("{x:.2}")) y=(format_args!("{y:.2}")) width=(format_args!("{width:.2}"))
                height=(format_args!("{height:.2}")) class=(class('f', *ink)) fill=(hex(*ink)) { (hover(hint)) }
        },
        Mark::Dot {
            at,
            radius,
            ink,
            hollow,
            hint,
        } => {
            let (x, y) = (format!("{:.1}", at.0), format!("{:.1}", at.1));
            html! {
                @if *hollow {
                    circle cx=(x) cy=(y) r=(radius) class=(class('s', *ink)) stroke=(hex(*ink)) fill="none"
                        stroke-width="1.5" { (hover(hint)) }
                } @else {
                    circle cx=(x) cy=(y) r=(radius) class=(class('f', *ink)) fill=(hex(*ink)) { (hover(hint)) }
                }
            }
        }
        Mark::Text {
            at,
            text,
            after,
            style,
        } => text_element(*at, text, after, style),
        Mark::Picture {
            corner: (x, y),
            side,
            tile,
        } => html! {
            image x=(format_args!("{x:.1}")) y=(format_args!("{y:.1}")) width=(format_args!("{side:.1}"))
                height=(format_args!("{side:.1}")) style="image-rendering:pixelated" href=(data_url(tile)) {}
        },
    }
}

/// What a pointer over the element is told.
fn hover(hint: &str) -> Markup {
    html! { @if !hint.is_empty() { title { (plain(hint)) } } }
}

fn text_element((x, y): (f64, f64), text: &str, after: &str, style: &Style) -> Markup {
    let anchor = match style.anchor {
        Anchor::Start => None,
        Anchor::Middle => Some("middle"),
        Anchor::End => Some("end"),
    };
    let weight = style.bold.then_some("600");
    html! {
        text x=(format_args!("{x:.1}")) y=(format_args!("{y:.1}")) font-size=(style.size)
            class=(class('f', style.ink)) fill=(hex(style.ink)) text-anchor=[anchor] font-weight=[weight] {
            (plain(text))
            @if !after.is_empty() {
                tspan dx=(AFTER) font-weight="400" class=(class('f', Ink::MUTED)) fill=(hex(Ink::MUTED)) {
                    (plain(after))
                }
            }
        }
    }
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
        scene.bar(
            (0.0, 0.0),
            (1.0, 1.0),
            Ink::TEXT,
            "</title>\u{0}".to_owned(),
        );
        scene.heading(0.0, 0.0, "1 < 2", "\u{1b}[m");
        let svg = svg(&scene).into_string();
        for expected in [
            "aria-label=\"a &lt; b &amp; &quot;c&quot; \"",
            "<title>a &lt; b &amp; &quot;c&quot; </title>",
            "<title>&lt;/title&gt; </title>",
            ">1 &lt; 2<",
            "> [m</tspan>",
        ] {
            assert!(svg.contains(expected), "{expected} in {svg}");
        }
    }

    #[test]
    fn every_colour_has_a_dark_twin() {
        let mut scene = Scene::new(10.0, 10.0);
        scene.dot((5.0, 5.0), 2.0, Ink::NAMED[0], String::new());
        let svg = svg(&scene).into_string();
        assert!(svg.contains("class=\"f0067a5\" fill=\"#0067a5\""), "{svg}");
        assert!(svg.contains(".f0067a5{fill:#56b4e9}"), "{svg}");
    }
}

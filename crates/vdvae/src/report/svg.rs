//! A self-contained SVG picture: a white card with a title, readable on light and dark pages.

use std::fmt::Write;

/// Width of every card, in pixels.
pub const WIDTH: f64 = 800.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#59636e}\
.title{font-size:16px;font-weight:600;fill:#1f2328}\
.label{font-weight:600}\
.middle{text-anchor:middle}\
.end{text-anchor:end}\
.grid{stroke:#e4e7ea}\
.axis{stroke:#8c959f}";

/// A card in the making. Later elements lie over earlier ones.
#[derive(Clone, Debug)]
pub struct Card {
    title: String,
    height: f64,
    body: String,
}

impl Card {
    /// A card with a title, and a line of explanation below it.
    pub fn new(title: &str, subtitle: &str, height: f64) -> Self {
        let mut card = Self {
            title: title.to_owned(),
            height,
            body: String::new(),
        };
        card.text(24.0, 34.0, "title", title);
        card.text(24.0, 54.0, "", subtitle);
        card
    }

    /// Text whose base line begins at the point, or ends or is centred there by its `class`.
    pub fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.coloured_text(x, y, class, text, None);
    }

    /// Text in a colour of its own.
    pub fn label(&mut self, x: f64, y: f64, class: &str, text: &str, colour: &str) {
        self.coloured_text(x, y, class, text, Some(colour));
    }

    fn coloured_text(&mut self, x: f64, y: f64, class: &str, text: &str, colour: Option<&str>) {
        let colour = colour.map_or_else(String::new, |colour| format!(" style=\"fill:{colour}\""));
        let text = escape(text);
        self.element(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{colour}>{text}</text>"
        ));
    }

    /// A straight line of a class.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.element(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A line through the points, cut off outside of `clip`.
    pub fn curve(&mut self, points: &[(f64, f64)], colour: &str, clip: &Clip) {
        let mut path = String::new();
        for (x, y) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        let clip = clip.0;
        self.element(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\" clip-path=\"url(#{clip})\"/>"
        ));
    }

    /// A dot.
    pub fn dot(&mut self, at: (f64, f64), colour: &str) {
        self.named_dot(at, colour, "");
    }

    /// A dot with what a pointer over it is told.
    pub fn named_dot(&mut self, (x, y): (f64, f64), colour: &str, hint: &str) {
        let hint = match hint {
            "" => String::new(),
            hint => format!("<title>{}</title>", escape(hint)),
        };
        self.element(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\" stroke=\"#fff\">{hint}</circle>"
        ));
    }

    /// A filled rectangle by its left upper corner and its size, with what a pointer over it is told.
    pub fn bar(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        colour: &str,
        hint: &str,
    ) {
        let hint = escape(hint);
        self.element(format_args!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             fill=\"{colour}\"><title>{hint}</title></rect>"
        ));
    }

    /// Declares a rectangle that curves are cut to: left, top, right, bottom.
    pub fn clip(&mut self, [left, top, right, bottom]: [f64; 4]) -> Clip {
        let (width, height) = (right - left, bottom - top);
        self.element(format_args!(
            "<clipPath id=\"plot\"><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/></clipPath>"
        ));
        Clip("plot")
    }

    /// The whole document.
    pub fn finish(self) -> String {
        let Self {
            title,
            height,
            body,
        } = self;
        let title = escape(&title);
        let (inner_width, inner_height) = (WIDTH - 1.0, height - 1.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n\
             <style>{STYLE}</style>\n\
             <rect x=\"0.5\" y=\"0.5\" width=\"{inner_width}\" height=\"{inner_height}\" rx=\"8\" \
             fill=\"#fff\" stroke=\"#d1d9e0\"/>\n\
             {body}</svg>\n"
        )
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{element}");
    }
}

/// The name of a rectangle that curves are cut to.
#[derive(Clone, Copy, Debug)]
pub struct Clip(&'static str);

/// Text as XML has it. Control characters, which XML forbids, become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_named_cannot_break_the_picture() {
        let svg = Card::new("a < b & \"c\"\u{7}", "x > y", 100.0).finish();
        assert!(
            svg.contains("aria-label=\"a &lt; b &amp; &quot;c&quot; \""),
            "{svg}"
        );
        assert!(svg.contains(">x &gt; y</text>"), "{svg}");
    }

    #[test]
    fn a_curve_is_one_path() {
        let mut card = Card::new("", "", 100.0);
        let clip = card.clip([0.0, 10.0, 20.0, 30.0]);
        card.curve(&[(1.0, 2.0), (3.0, 4.25), (5.0, 6.0)], "#000", &clip);
        let svg = card.finish();
        assert!(
            svg.contains("<path d=\"M1.0 2.0L3.0 4.2L5.0 6.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("<rect x=\"0.0\" y=\"10.0\" width=\"20.0\" height=\"20.0\"/>"),
            "{svg}"
        );
    }
}

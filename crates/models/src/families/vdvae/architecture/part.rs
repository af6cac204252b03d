//! One part of a comma-separated string, and the errors that point at it.

use std::ops::Range;

use super::error::ArchitectureError;

/// Longer strings, and those with other than printable ASCII, get no line with carets.
const LONGEST_SHOWN: usize = 200;
/// A part is shown up to this many characters.
const LONGEST_PART: usize = 40;

/// One comma-separated part of a string, without the blanks around it.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The key in `[model]`.
    pub field: &'static str,
    /// Which part, from 1.
    pub number: usize,
    text: &'a str,
    span: Range<usize>,
}

impl<'a> Part<'a> {
    /// The parts of `text`. An empty text has one part, which is empty.
    pub fn split(field: &'static str, text: &'a str) -> impl Iterator<Item = Part<'a>> {
        let mut end = 0;
        text.split(',').enumerate().map(move |(index, part)| {
            let start = end + part.len() - part.trim_start().len();
            let span = start..start + part.trim().len();
            end += part.len() + 1;
            Part {
                field,
                number: index + 1,
                text,
                span,
            }
        })
    }

    /// The part itself.
    pub fn text(&self) -> &'a str {
        &self.text[self.span.clone()]
    }

    /// The error that points here.
    pub fn error(&self, problem: impl Into<String>) -> ArchitectureError {
        let mut part = self.text().chars().take(LONGEST_PART).collect::<String>();
        if part.len() < self.text().len() {
            part.push('…');
        }
        ArchitectureError::Part {
            field: self.field,
            number: self.number,
            part: part.escape_debug().to_string(),
            problem: problem.into(),
            pointer: self.pointer(),
        }
    }

    /// `digits` as a number from 1 to `largest`; `what` says of what.
    pub fn number(
        &self,
        what: &str,
        digits: &str,
        largest: usize,
    ) -> Result<usize, ArchitectureError> {
        match digits.parse() {
            Ok(value) if (1..=largest).contains(&value) => Ok(value),
            _ => Err(self.error(format!("expected {what} from 1 to {largest}"))),
        }
    }

    fn pointer(&self) -> String {
        let plain = self.text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !plain || self.text.len() > LONGEST_SHOWN {
            return String::new();
        }
        let carets = "^".repeat(self.span.len().max(1));
        format!(
            "\n    {}\n    {}{carets}",
            self.text,
            " ".repeat(self.span.start)
        )
    }
}

/// Whether `text` is digits and nothing else: no sign, no blank.
pub fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `1, 4, 8`.
pub fn list(numbers: impl IntoIterator<Item = usize>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|n| n.to_string()).collect();
    numbers.join(", ")
}

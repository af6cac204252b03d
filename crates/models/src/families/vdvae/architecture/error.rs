//! What can be wrong with a model's description.

/// A `[model]` table that describes no possible network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// A part of `enc_blocks`, `dec_blocks` or `custom_width_str`.
    #[error("model.{field}: part {number} `{part}`: {problem}{pointer}")]
    Part {
        /// The key in `[model]`.
        field: &'static str,
        /// Which of the comma-separated parts, from 1.
        number: usize,
        /// The part.
        part: String,
        /// What is wrong with it, and what would be right.
        problem: String,
        /// The whole string on one line, carets under the part on the next; or nothing.
        pointer: String,
    },
    /// A value outside its range.
    #[error("model.{field}: expected {expected}, found {found}")]
    Value {
        /// The key in `[model]`.
        field: &'static str,
        /// The range.
        expected: String,
        /// The value.
        found: String,
    },
}

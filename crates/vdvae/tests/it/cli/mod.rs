//! What the commands promise, from train to info.

mod bench;
mod evaluation;
mod kinds;
mod latents;
mod pictures;
mod report;
mod sweep;
mod tools;
mod training;
mod words;

use serde_json::Value;

#[track_caller]
fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} and {b}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

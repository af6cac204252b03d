//! What the tests share.

mod files;
mod overrides;
mod presets;
mod ranges;

use super::*;

fn cifar10() -> Config {
    Config::preset("cifar10").expect("a preset")
}

//! The experiments in `configs/ablations`.

use super::*;
use crate::memory::training_memory;

fn of(name: &str) -> Config {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/ablations");
    let config = Config::from_file(format!("{folder}/{name}.toml")).expect(name);
    config.validate().expect(name);
    config
}

/// What a table of depths at a fixed number of parameters promises.
#[test]
fn the_depth_ablations_have_equal_parameters() {
    let mut depths = Vec::new();
    for name in ["depth04", "depth08", "depth12", "depth16", "depth24"] {
        let plan = of(name).plan().expect(name);
        let parameters = plan.parameters() as f64;
        assert!(
            (parameters / 108_300.0 - 1.0).abs() < 0.012,
            "{name}: {parameters}"
        );
        depths.push(plan.latents().expect("layers of latents").len());
    }
    assert_eq!(depths, [4, 8, 12, 16, 24]);
    let published = of("depth12");
    let mut replaced = of("depth12-no-residual");
    assert!(!model::<bool>(&replaced, "topdown_residual"));
    set_model(&mut replaced, "topdown_residual", true);
    assert_eq!(replaced, published, "nothing else differs");
    let mut learned = of("depth12-conv-upsample");
    assert_eq!(model::<String>(&learned, "upsample"), "conv");
    set_model(&mut learned, "upsample", "nearest");
    assert_eq!(learned, published, "nothing else differs");
}

#[test]
fn learned_upsampling_takes_memory() {
    let [learned, nearest] =
        ["depth12-conv-upsample", "depth12"].map(|name| of(name).plan().expect(name));
    let weights = learned.parameters() - nearest.parameters();
    assert!(weights > 0);
    assert!(
        training_memory(&*learned, 8, false) > training_memory(&*nearest, 8, false) + 4 * weights
    );
}

//! What the family promises beside its recordings.

use burn::tensor::{Device, Tensor, TensorData};

use super::config::GatedPixelCnnConfig;
use super::{GatedPixelCnn, GatedPixelCnnPlan};
use crate::family::Plan;
use crate::likelihood::values;
use crate::ordered::{Canvas, Drawn, Next, Ordered, PixelSource, Turn, fill};
use crate::preprocess::Prepared;
use crate::random::{Keys, Purpose};

fn config(image_size: usize, image_channels: usize) -> GatedPixelCnnConfig {
    GatedPixelCnnConfig {
        image_size,
        image_channels,
        levels: 16,
        nr_layers: 3,
        nr_filters: 11,
        kernel: 3,
        first_kernel: 5,
        nr_head: 13,
        classes: 0,
    }
}

fn model(config: GatedPixelCnnConfig, device: &Device) -> GatedPixelCnn {
    GatedPixelCnnPlan::new(config).unwrap().model(7, device)
}

/// Numbers in [-1, 1] without an order; no 0, of which a network without biases makes nothing but 0.
fn some(count: usize) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + 1.0).sin()).collect()
}

fn tensor(numbers: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

/// The gradient of every output's logits for every input: exactly 0 where the input comes later in raster and
/// colour order, and where it comes earlier and lies within reach, not 0. (What is masked too much sees too little.)
#[test]
fn an_output_sees_what_came_before_and_nothing_else() {
    for colours in [1, 3] {
        // So many maps that some of each colour pass the ReLUs everywhere.
        let config = GatedPixelCnnConfig {
            nr_filters: 47,
            nr_head: 97,
            ..config(6, colours)
        };
        let side = config.image_size;
        // Of the rectangle above and to both sides, and of the row itself.
        let reach = config.first_kernel / 2 + (config.nr_layers - 1) * (config.kernel / 2);
        let levels = config.levels;
        let device = Device::flex().autodiff();
        let model = model(config, &device);
        let count = side * side * colours;
        // An image for each output, all the same.
        let images = some(count).repeat(count);
        let images = tensor(images, [count, side, side, colours], &device).require_grad();
        let mut chosen = vec![0.0; count * count * levels];
        for output in 0..count {
            let start = (output * count + output) * levels;
            chosen[start..start + levels].copy_from_slice(&some(levels));
        }
        let chosen = tensor(chosen, [count, side, side, colours * levels], &device);
        let logits = model.logits(images.clone(), &[]);
        let gradients = (logits * chosen).sum().backward();
        let gradients = values(images.grad(&gradients).unwrap());
        let place = |value: usize| {
            let pixel = value / colours;
            [pixel / side, pixel % side].map(|at| at as isize)
        };
        for (output, gradients) in gradients.chunks_exact(count).enumerate() {
            for (input, &gradient) in gradients.iter().enumerate() {
                let ([y, x], [row, column]) = (place(output), place(input));
                let (above, aside, reach) = (y - row, (x - column).abs(), reach as isize);
                let within = above - 1 <= reach && aside <= reach;
                let said = format!("{colours} colours: {output} of {input}: {gradient}");
                if input >= output {
                    assert_eq!(gradient, 0.0, "{said}");
                } else if within {
                    assert_ne!(gradient, 0.0, "{said}");
                }
            }
        }
    }
}

/// All images there are, together, are certain.
#[test]
fn probabilities_of_all_images_sum_to_one() {
    for (colours, levels, classes) in [(1, 2, 0), (1, 4, 0), (1, 4, 2), (3, 2, 0)] {
        let config = GatedPixelCnnConfig {
            levels,
            classes,
            ..config(2, colours)
        };
        let plan = GatedPixelCnnPlan::new(config).unwrap();
        let model = plan.model(3, &Device::flex());
        let count = 4 * colours;
        let images = levels.pow(count as u32);
        let level = |image: usize, value: usize| image / levels.pow(value as u32) % levels;
        let bytes: Vec<u8> = (0..images * count)
            .map(|i| plan.categorical().byte(level(i / count, i % count)))
            .collect();
        let keys = Keys::new(0, Purpose::Binarization, []);
        let device = Device::flex();
        let batch = plan.preprocess(None).apply(&bytes, &keys, &device);
        for kind in 0..classes.max(1) {
            let classes = vec![kind; if classes > 0 { images } else { 0 }];
            let nats = values(model.nats(Prepared {
                classes,
                ..batch.clone()
            }));
            let sum: f64 = nats.iter().map(|&nats| (-f64::from(nats)).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{colours} {levels} {kind}: {sum}");
        }
    }
}

/// Where nothing is known yet there may be anything.
fn drawn(
    model: &dyn Ordered,
    next: &mut dyn Next,
    batch: usize,
    seen: &mut dyn FnMut(&[f32]),
) -> Vec<u8> {
    struct Seen<'a> {
        source: Drawn<'a>,
        seen: &'a mut dyn FnMut(&[f32]),
    }
    impl PixelSource for Seen<'_> {
        fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas) {
            (self.seen)(parameters);
            self.source.decide(turn, parameters, canvas);
        }
    }
    let mut canvas = model.blank(batch);
    let shape = model.image();
    for pixel in 0..shape.size * shape.size {
        let at = [pixel / shape.size, pixel % shape.size];
        for image in 0..batch {
            canvas.set_input(image, at, 0, &vec![1e30; shape.channels]);
        }
    }
    let keys = Keys::new(5, Purpose::Pixels, 0..batch as u64);
    let source = Drawn::new(model.likelihood(), keys);
    let mut source = Seen { source, seen };
    let likelihood = model.likelihood();
    fill(next, likelihood, &mut source, &mut canvas, &mut |_| ());
    canvas.into_bytes()
}

#[test]
fn cached_and_plain_samples_are_the_same() {
    for (size, colours, classes) in [(4, 3, 0), (5, 3, 2), (8, 1, 3)] {
        let config = GatedPixelCnnConfig {
            classes,
            ..config(size, colours)
        };
        let model = model(config, &Device::flex());
        let model: &dyn Ordered = &model;
        let mut alone = Vec::new();
        for batch in [1_usize, 5] {
            let kinds: Vec<usize> = (0..batch)
                .filter_map(|i| (i + 1).checked_rem(classes))
                .collect();
            let mut logits = Vec::new();
            let mut next = model.begin_plain(&kinds);
            let plain = drawn(model, &mut *next, batch, &mut |seen| {
                logits.extend_from_slice(seen)
            });
            let mut expected = logits.iter();
            let mut next = model.begin(batch, &kinds);
            let cached = drawn(model, &mut *next, batch, &mut |seen| {
                for (found, expected) in seen.iter().zip(&mut expected) {
                    assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
                }
            });
            assert_eq!(cached, plain, "{size} {colours} {batch}");
            alone = if alone.is_empty() {
                cached
            } else {
                assert_eq!(cached[..alone.len()], alone, "an image of its batch");
                alone
            };
        }
        assert!(alone.iter().any(|&byte| byte != alone[0]));
    }
}

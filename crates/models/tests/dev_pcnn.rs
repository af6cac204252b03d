//! Timing, not kept.
use burn::tensor::Device;
use std::time::Instant;
use vdvae_models::ops::Optimizer;
use vdvae_models::ops::profile;
use vdvae_models::ordered::{Drawn, PixelSource, Turn};
use vdvae_models::parameters::Specs;
use vdvae_models::random::{Keys, Noise, Purpose};
use vdvae_models::registry::{ModelConfig, find, presets};
use vdvae_models::state::TrainState;
use vdvae_models::step::{Recipe, train_step};
use vdvae_models::{PosteriorLatents, Step};

fn var(n: &str, d: &str) -> String {
    std::env::var(n).unwrap_or(d.to_owned())
}

#[test]
fn bench() {
    let (what, batch, steps): (String, usize, usize) = (
        var("WHAT", "none"),
        var("BATCH", "1").parse().unwrap(),
        var("STEPS", "3").parse().unwrap(),
    );
    if what == "none" {
        return;
    }
    let threads: usize = var("THREADS", "1").parse().unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
        let preset = presets()
            .find(|p| p.path() == var("PRESET", "pixelcnnpp/cifar10"))
            .unwrap();
        let table: toml::Table = preset.text.parse().unwrap();
        let mut model = table["model"].as_table().unwrap().clone();
        let family = find(model.remove("family").unwrap().as_str().unwrap()).unwrap();
        let plan = ModelConfig::new(family, model).unwrap().plan().unwrap();
        let train = what == "train";
        let device = if train {
            Device::flex().autodiff()
        } else {
            Device::flex()
        };
        let mut model = plan.build(1, &device);
        let image = plan.image();
        let side = image.size;
        let bytes: Vec<u8> = (0..batch * image.len())
            .map(|i| (i * 7919 % 251) as u8)
            .collect();
        let keys = |step| Keys {
            step,
            ..Keys::new(0, Purpose::Training, 0..batch as u64)
        };
        let batch_of = || plan.preprocess(None).apply(&bytes, &keys(0), &device);
        let mut times = Vec::new();
        let profiled = var("PROFILE", "") != "";
        if profiled {
            profile::start();
        }
        match &*what {
            "eval" => {
                for i in 0..=steps {
                    let t = Instant::now();
                    let f = || {
                        model
                            .cost(batch_of(), PosteriorLatents::Mean)
                            .distortion
                            .into_data()
                    };
                    f();
                    if i > 0 {
                        times.push(t.elapsed().as_secs_f64());
                    }
                }
            }
            "loss" => {
                for i in 0..=steps {
                    let t = Instant::now();
                    let step = Step {
                        noise: Noise::Keyed(keys(i as u64)),
                        number: 0,
                        of: 10,
                    };
                    model.loss(batch_of(), &step).cost.distortion.into_data();
                    if i > 0 {
                        times.push(t.elapsed().as_secs_f64());
                    }
                }
            }
            "train" => {
                let specs = std::sync::Arc::new(Specs::new(plan.tensors()));
                let mut state = TrainState::new(model, specs);
                let recipe = Recipe {
                    optimizer: Optimizer::Adam,
                    steps: 1000,
                    learning_rate: 1e-4,
                    weight_decay: 0.0,
                    beta1: 0.95,
                    beta2: 0.9995,
                    epsilon: 1e-12,
                    ema_rate: 0.9995,
                    grad_clip: f64::INFINITY,
                    skip_threshold: -1.0,
                };
                for i in 0..=steps {
                    let t = Instant::now();
                    let b = (batch_of(), Noise::Keyed(keys(i as u64)));
                    (state, _) = train_step(state, &recipe, [b].into_iter());
                    if i > 0 {
                        times.push(t.elapsed().as_secs_f64());
                    }
                }
            }
            _ => {
                let m = model.ordered().unwrap();
                let rows: usize = var("ROWS", "12").parse().unwrap();
                let mut next = m.begin(batch, &[]);
                let mut canvas = m.blank(batch);
                let mut source = Drawn::new(
                    m.likelihood(),
                    Keys::new(1, Purpose::Pixels, 0..batch as u64),
                );
                for row in 0..rows {
                    let t = Instant::now();
                    for column in 0..side {
                        let turn = Turn {
                            row,
                            column,
                            part: 0,
                        };
                        let p = next.parameters(turn, &canvas).to_vec();
                        source.decide(turn, &p, &mut canvas);
                    }
                    if row >= 4 {
                        times.push(t.elapsed().as_secs_f64() / side as f64);
                    }
                }
                // Every fourth row is dearer: average over fours.
                times = times
                    .chunks_exact(4)
                    .map(|c| c.iter().sum::<f64>() / 4.0)
                    .collect();
                println!(
                    "images of {side}: {:.3} s each",
                    times.iter().sum::<f64>() / times.len() as f64 * (side * side) as f64
                        / batch as f64
                );
            }
        }
        if profiled {
            let mut all: Vec<_> = profile::stop().into_iter().collect();
            all.sort_by(|a, b| b.1.time.cmp(&a.1.time));
            for (name, t) in all.iter().take(20) {
                println!(
                    "{name:<28} {:>6} calls {:>9.3} s {:>8.1} GFLOP/s {:>7.1} GB/s",
                    t.calls,
                    t.time.as_secs_f64(),
                    t.operations / t.time.as_secs_f64() / 1e9,
                    t.bytes / t.time.as_secs_f64() / 1e9
                );
            }
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{what} batch {batch} threads {threads}: median {:.4} min {:.4} max {:.4}",
            times[times.len() / 2],
            times[0],
            times[times.len() - 1]
        );
    });
}

//! Against vectors computed with the published implementation: every output, every gradient, three
//! steps of training. Three small models: `plain32` (several blocks per resolution), `widths32` (a width
//! per resolution, few biases), `lowbit16` (5 bit, a 2x2 resolution).


use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use crate::golden_file::Golden;
use vdvae::checkpoint::load_state;
use vdvae::checkpoint::published::{Files, import};
use vdvae::config::Dtype;
use vdvae::models::vdvae::{Latents, Noise, Source, Vdvae};
use vdvae::models::{Elbo, Model, PosteriorLatents};
use vdvae::ops::Compute;
use vdvae::parameters::{self, VisitParameter};
use vdvae::preprocess::Prepared;
use vdvae::run_dir::{RunDir, build};
use vdvae::train::{TrainState, train_step};

const MODELS: [&str; 3] = ["plain32", "widths32", "lowbit16"];

/// The largest |a - b|.
fn error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from((a - b).abs()))
        .fold(0.0, f64::max)
}

/// |a - b| / |b| in the Euclidean norm.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    difference / (norm(&mut b.iter().map(|&b| f64::from(b))) + 1e-9)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn posterior(golden: &Golden, prefix: &str, device: &Device) -> Latents {
    Latents::posterior(Noise::Given(golden.noise(prefix, device)))
}

#[test]
fn outputs_and_kl_of_every_layer() {
    for name in MODELS {
        let golden = Golden::open(name);
        let device = Device::flex();
        let model = golden.model(&device);
        let (input, target) = golden.batch(&device);
        let latents = posterior(&golden, "eps", &device);

        let activations = model.encoder().forward(input.clone());
        for (resolution, activation) in &activations {
            let activation = host(activation.clone().permute([0, 3, 1, 2]));
            assert!(error(&activation, &golden.get(&format!("enc/{resolution}"))) < 1e-5);
        }
        let batch = input.dims()[0];
        let output = model.decoder().forward(batch, Some(&activations), &latents);
        for (layer, kl) in output.kl.iter().enumerate() {
            let expected = golden.get(&format!("kl/{layer}"));
            let scale = expected.iter().fold(1.0_f32, |max, kl| max.max(kl.abs()));
            let kl = host(kl.clone().unwrap());
            assert!(
                error(&kl, &expected) < 1e-5 * f64::from(scale),
                "{name} kl {layer}: {kl:?} {expected:?}"
            );
        }
        let px_z = host(output.px_z.clone().permute([0, 3, 1, 2]));
        assert!(error(&px_z, &golden.get("px_z")) < 1e-5, "{name} px_z");
        let parameters = model.decoder().likelihood_parameters(output.px_z);
        assert!(
            error(&host(parameters), &golden.get("dmol_logits")) < 1e-5,
            "{name} logits"
        );

        let elbo = model.elbo(input, target, &latents);
        assert!(
            error(&host(elbo.rate()), &golden.get("rate")) < 1e-5,
            "{name} rate"
        );
        assert!(
            error(&host(elbo.distortion), &golden.get("distortion")) < 1e-5,
            "{name} distortion"
        );
    }
}

#[test]
fn posterior_mean() {
    for name in MODELS {
        let golden = Golden::open(name);
        let device = Device::flex();
        let model = golden.model(&device);
        let (input, target) = golden.batch(&device);
        let elbo = model.elbo(input, target, &Latents::posterior_mean());
        assert!(error(&host(elbo.total().mean()), &golden.get("mean/elbo")) < 1e-5);
        assert!(error(&host(elbo.rate().mean()), &golden.get("mean/rate")) < 1e-5);
        assert!(
            error(
                &host(elbo.distortion.mean()),
                &golden.get("mean/distortion")
            ) < 1e-5
        );
    }
}

#[test]
fn samples_with_given_noise_are_the_same_images() {
    for name in MODELS {
        let golden = Golden::open(name);
        let device = Device::flex();
        let model = golden.model(&device);
        let noise = golden.noise("sample/eps", &device);
        let batch = noise[0].dims()[0];
        let latents = Latents::prior(&[0.7], Noise::Given(noise));
        let output = model.decoder().forward(batch, None, &latents);
        assert!(output.kl.iter().all(Option::is_none));
        let px_z = host(output.px_z.clone().permute([0, 3, 1, 2]));
        assert!(
            error(&px_z, &golden.get("sample/px_z")) < 1e-5,
            "{name} px_z"
        );

        let parameters = host(model.decoder().likelihood_parameters(output.px_z));
        let image = vdvae::ops::dmol_sample(
            &golden.dmol(),
            &parameters,
            &golden.get("sample/u_mixture"),
            &golden.get("sample/u_logistic"),
        );
        assert!(
            error(&image, &golden.get("sample/image")) < 1e-5,
            "{name} image"
        );
    }
}

#[test]
fn latents_given_for_all_layers_reproduce_the_posterior_mean() {
    let golden = Golden::open("plain32");
    let device = Device::flex();
    let model = golden.model(&device);
    let (input, _) = golden.batch(&device);
    let batch = input.dims()[0];
    let activations = model.encoder().forward(input);
    let means = Latents::posterior_mean();
    let expected = model.decoder().forward(batch, Some(&activations), &means);
    let depth = model.decoder().depth();
    let sources = vec![Source::PosteriorMean; depth];
    let latents = Latents::first(sources, &[0.1], Noise::Given(Vec::new()));
    let output = model.decoder().forward(batch, Some(&activations), &latents);
    assert_eq!(host(output.px_z), host(expected.px_z));
}

/// Calls `check` with the name and gradient of every parameter, in the layout of files.
fn for_each_gradient(
    model: &Vdvae,
    gradients: &burn::tensor::Gradients,
    check: impl FnMut(&str, Vec<f32>),
) {
    struct Check<'a, F>(&'a burn::tensor::Gradients, F);
    impl<F: FnMut(&str, Vec<f32>)> VisitParameter for Check<'_, F> {
        fn visit<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
            let gradient = tensor
                .grad(self.0)
                .unwrap_or_else(|| panic!("{name} has no gradient"));
            (self.1)(name, parameters::to_file_layout(name, gradient).values);
        }
    }
    parameters::for_each(model, Check(gradients, check));
}

#[test]
fn every_gradient() {
    for name in MODELS {
        let golden = Golden::open(name);
        let device = Device::flex().autodiff();
        let model = golden.model(&device);
        let (input, target) = golden.batch(&device);
        let latents = posterior(&golden, "eps", &device);
        let gradients = model
            .elbo(input, target, &latents)
            .total()
            .mean()
            .backward();
        let mut squares = 0.0;
        let mut count = 0;
        for_each_gradient(&model, &gradients, |parameter, gradient| {
            let expected = golden.get(&format!("grad/{parameter}"));
            let error = relative_error(&gradient, &expected);
            assert!(
                error < 1e-4,
                "{name} {parameter}: relative error {error:.1e}"
            );
            squares += gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
            count += 1;
        });
        assert_eq!(count, golden.names("grad/").len());
        let norm = f64::from(golden.get("grad_norm")[0]);
        assert!((squares.sqrt() - norm).abs() < 1e-4 * norm);
    }
}

/// Factors rounded to bf16 move each gradient by at most 3e-2 of its norm.
#[test]
fn every_gradient_in_bf16() {
    for name in MODELS {
        let golden = Golden::open(name);
        let device = Device::flex().autodiff();
        let model = golden.model(&device).computing(Compute {
            dtype: Dtype::Bf16,
            ..Compute::default()
        });
        let (input, target) = golden.batch(&device);
        let latents = posterior(&golden, "eps", &device);
        let loss = model.elbo(input, target, &latents).total().mean();
        for_each_gradient(&model, &loss.backward(), |parameter, gradient| {
            let expected = golden.get(&format!("grad/{parameter}"));
            let error = relative_error(&gradient, &expected);
            assert!(
                error < 3e-2,
                "{name} {parameter}: relative error {error:.1e}"
            );
        });
    }
}

#[test]
fn names_shapes_and_order_of_the_parameters() {
    for name in MODELS {
        let golden = Golden::open(name);
        let model = golden.model(&Device::flex());
        let exported = parameters::export(&model);
        assert_eq!(exported.len(), golden.names("param/").len());
        for parameter in &exported {
            let (shape, values) = golden.tensor(&format!("param/{}", parameter.name));
            assert_eq!(
                (&shape, &values),
                (&parameter.shape, &parameter.values),
                "{}",
                parameter.name
            );
        }
        let names: Vec<_> = exported
            .iter()
            .map(|parameter| (parameter.name.clone(), parameter.shape.clone()))
            .collect();
        assert_eq!(
            names,
            golden.architecture().parameter_shapes(),
            "{name}: the published order"
        );
    }
}

#[test]
fn images_become_the_published_input_and_target() {
    for name in MODELS {
        let golden = Golden::open(name);
        let prepared = golden.prepare(&Device::flex());
        assert!(error(&host(prepared.input), &golden.get("input")) < 1e-6);
        assert!(error(&host(prepared.target), &golden.get("target")) < 1e-6);
    }
}

#[test]
fn three_training_steps_and_the_average_of_the_weights() {
    for name in MODELS {
        let golden = Golden::open(name);
        let model = golden.model(&Device::flex().autodiff());
        let state = TrainState::new(model);
        take_recorded_steps(name, &golden, state);
    }
}

/// A published checkpoint, imported, goes the recorded way, and comes to the recorded state of the
/// optimizer.
#[test]
fn imported_checkpoints_train_on_as_recorded() {
    for name in MODELS {
        let golden = Golden::open(name);
        let start = imported(&golden, &published(name), None);
        assert_eq!((start.step, start.updates), (0, 0));
        let end = take_recorded_steps(name, &golden, start);

        let optimizer = golden_file::folder().join(format!("{name}-opt.th"));
        let recorded = imported(&golden, &published(name), Some(optimizer));
        assert_eq!((recorded.step, recorded.updates), (3, 3));
        assert_eq!(recorded.moments.len(), end.moments.len());
        let mut nonzero = 0;
        for (found, expected) in end.moments.iter().zip(&recorded.moments) {
            for (found, expected) in [
                (&found.first, &expected.first),
                (&found.second, &expected.second),
            ] {
                let (found, expected) = (host(found.clone()), host(expected.clone()));
                nonzero += usize::from(expected.iter().any(|&value| value != 0.0));
                let error = relative_error(&found, &expected);
                assert!(error < 1e-4, "{name}: relative error {error:.1e}");
            }
        }
        assert!(nonzero > 200, "moments were read");
    }
}

fn published(name: &str) -> PathBuf {
    golden_file::folder().join(format!("{name}-model.th"))
}

/// The state of a run that was imported.
fn imported(golden: &Golden, weights: &Path, optimizer: Option<PathBuf>) -> TrainState<Vdvae> {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path());
    std::fs::create_dir(run.checkpoints()).unwrap();
    let config = golden.run_config();
    let files = Files {
        weights: weights.to_owned(),
        optimizer,
        ..Files::default()
    };
    import(&files, &config)
        .unwrap()
        .save(&run, &config)
        .unwrap();
    let model = build(&config, 1, &Device::flex().autodiff()).unwrap();
    load_state(&run.latest(), &config, model).unwrap().0
}

/// Takes the three recorded steps from the recorded start, and checks them and where they end.
fn take_recorded_steps(
    name: &str,
    golden: &Golden,
    start: TrainState<Vdvae>,
) -> TrainState<GivenNoise> {
    let device = Device::flex().autodiff();
    let config = golden.train_config();
    let mut state = TrainState {
        model: GivenNoise {
            model: start.model,
            noise: Vec::new(),
        },
        moments: start.moments,
        step: start.step,
        updates: start.updates,
    };
    for step in 0..3 {
        state.model.noise = golden.noise(&format!("train/{step}/eps"), &Device::flex());
        let (input, target) = golden.batch(&device);
        let batch = (Prepared { input, target }, golden.keys());
        let report;
        (state, report) = train_step(state, &config, [batch].into_iter());
        let expected = |key: &str| f64::from(golden.get(&format!("train/{step}/{key}"))[0]);
        assert!(
            (report.elbo() - expected("elbo")).abs() < 1e-5,
            "{name} step {step}"
        );
        let norm = expected("grad_norm");
        assert!(
            (report.gradient_norm - norm).abs() < 1e-4 * norm,
            "{name} step {step}"
        );
        assert!(norm > config.grad_clip, "clipping acts");
        assert!(report.updated);
    }
    assert_eq!((state.step, state.updates), (3, 3));
    for (model, key) in [
        (&state.average().model, "ema"),
        (&state.model.model, "final"),
    ] {
        for parameter in parameters::export(model) {
            let expected = golden.get(&format!("train/{key}/{}", parameter.name));
            let error = error(&parameter.values, &expected);
            assert!(error < 1e-6, "{name} {key} {}: {error:.1e}", parameter.name);
        }
    }
    state
}

/// The model with noise from the vectors instead of from a generator.
#[derive(Module, Debug)]
struct GivenNoise {
    model: Vdvae,
    #[module(skip)]
    noise: Vec<Tensor<4>>,
}

impl Model for GivenNoise {
    fn elbo(&self, batch: Prepared, _: PosteriorLatents) -> Elbo {
        let latents = Latents::posterior(Noise::Given(self.noise.clone()));
        self.model.elbo(batch.input, batch.target, &latents)
    }
}

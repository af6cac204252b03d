//! The models that were recorded with the published implementation, where it is not their numbers that are
//! compared: those see `families/vdvae/verify.rs`.

use std::path::Path;

use burn::tensor::{Device, Tensor};

use super::host;
use crate::families::vdvae::config::VdvaeConfig;
use crate::families::vdvae::{Vdvae, VdvaePlan};
use crate::family::{Model, Plan};
use crate::hierarchy::{Latents, LayerLatents, Noise};
use crate::ops::{Compute, Dtype};
use crate::parameters::{self, Specs};
use crate::verify::{Recording, gradients};

const MODELS: [&str; 3] = ["plain32", "widths32", "lowbit16"];

struct Recorded {
    plan: VdvaePlan,
    bytes: Vec<u8>,
}

impl Recorded {
    fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vdvae");
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let config: VdvaeConfig = table["model"].clone().try_into().unwrap();
        Self {
            plan: VdvaePlan::new(config).unwrap(),
            bytes: std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap(),
        }
    }

    fn recording(&self) -> Recording<'_> {
        Recording::new(&self.bytes).unwrap()
    }

    fn model(&self, device: &Device) -> Vdvae {
        let specs = Specs::new(self.plan.tensors());
        let fresh = self.plan.model(0, device);
        let values = |spec: &_| self.recording().values("param/", spec);
        parameters::import_module(fresh, &specs, values).unwrap()
    }

    /// `input` or `target`, which are recorded with channels last.
    fn batch(&self, name: &str, device: &Device) -> Tensor<4> {
        let image = self.recording().image(name, &device.clone().inner());
        let image = image.unwrap().permute([0, 3, 1, 2]);
        Tensor::from_data(image.into_data(), device)
    }
}

/// |a - b| / |b| in the Euclidean norm.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    difference / (norm(&mut b.iter().map(|&b| f64::from(b))) + 1e-9)
}

/// Factors rounded to bf16 move each gradient by at most 3e-2 of its norm.
#[test]
fn every_gradient_in_bf16() {
    for name in MODELS {
        let recorded = Recorded::open(name);
        let recording = recorded.recording();
        let device = Device::flex().autodiff();
        let mut model = recorded.model(&device);
        model.set_compute(Compute {
            dtype: Dtype::Bf16,
            ..Compute::default()
        });
        let [input, target] = ["input", "target"].map(|what| recorded.batch(what, &device));
        let noise = recording.noise("eps", &device).unwrap();
        let latents = Latents::posterior(Noise::Given(noise));
        let loss = model.elbo(input, target, &latents).total().mean();
        let gradients = gradients(&model, &recorded.plan, loss);
        assert_eq!(gradients.len(), recording.names("grad/").len());
        for (parameter, gradient) in gradients {
            let expected = recording.numbers(&format!("grad/{parameter}")).unwrap();
            let error = relative_error(&gradient, &expected);
            assert!(
                error < 3e-2,
                "{name} {parameter}: relative error {error:.1e}"
            );
        }
    }
}

#[test]
fn latents_given_for_all_layers_reproduce_the_posterior_mean() {
    let recorded = Recorded::open("plain32");
    let device = Device::flex();
    let model = recorded.model(&device);
    let input = recorded.batch("input", &device);
    let batch = input.dims()[0];
    let activations = model.encoder().forward(input);
    let means = Latents::posterior_mean();
    let expected = model.decoder().forward(batch, Some(&activations), &means);
    let depth = model.decoder().depth();
    let sources = vec![LayerLatents::PosteriorMean; depth];
    let latents = Latents::first(sources, &[0.1], Noise::Given(Vec::new()));
    let output = model.decoder().forward(batch, Some(&activations), &latents);
    assert_eq!(host(output.px_z), host(expected.px_z));
}

#[test]
fn a_sample_has_no_divergence() {
    for name in MODELS {
        let recorded = Recorded::open(name);
        let device = Device::flex();
        let noise = recorded.recording().noise("sample/eps", &device).unwrap();
        let batch = noise[0].dims()[0];
        let latents = Latents::prior(&[0.7], Noise::Given(noise));
        let model = recorded.model(&device);
        let output = model.decoder().forward(batch, None, &latents);
        assert!(!output.kl.is_empty() && output.kl.iter().all(Option::is_none));
    }
}

#[test]
fn names_shapes_and_order_of_the_parameters() {
    for name in MODELS {
        let recorded = Recorded::open(name);
        let recording = recorded.recording();
        let specs = Specs::new(recorded.plan.tensors());
        let exported = parameters::export(&recorded.model(&Device::flex()), &specs);
        assert_eq!(exported.len(), recording.names("param/").len());
        for parameter in &exported {
            let found = recording.tensor(&format!("param/{}", parameter.name));
            assert_eq!(
                found.unwrap(),
                (parameter.shape.clone(), parameter.values.clone()),
                "{}",
                parameter.name
            );
        }
        let names: Vec<_> = exported
            .into_iter()
            .map(|parameter| (parameter.name, parameter.shape))
            .collect();
        assert_eq!(
            names,
            recorded.plan.architecture().parameter_shapes(),
            "{name}: the published order"
        );
    }
}

//! Models that were recorded with the published implementation, with its checkpoints of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use vdvae::checkpoint::load_state;
use vdvae::checkpoint::published::{Files, import};
use vdvae::config::Config;
use vdvae::models::state::TrainState;
use vdvae::models::step::train_step;
use vdvae::models::verify::Recording;
use vdvae::parameters::{self, Specs};
use vdvae::preprocess::Prepared;
use vdvae::random::Noise;
use vdvae::run_dir::RunDir;

pub const MODELS: [&str; 3] = ["plain32", "widths32", "lowbit16"];

pub struct Recorded {
    name: &'static str,
    /// How the recorded steps were taken.
    pub config: Config,
    bytes: Vec<u8>,
}

impl Recorded {
    pub fn open(name: &'static str) -> Self {
        let config = Config::from_file(file(name, ".toml")).unwrap();
        let bytes = std::fs::read(file(name, ".safetensors")).unwrap();
        Self {
            name,
            config,
            bytes,
        }
    }

    pub fn recording(&self) -> Recording<'_> {
        Recording::new(&self.bytes).unwrap()
    }

    /// The file of the model that ends so.
    pub fn file(&self, ending: &str) -> PathBuf {
        file(self.name, ending)
    }

    fn specs(&self) -> Arc<Specs> {
        Arc::new(Specs::new(self.config.plan().unwrap().tensors()))
    }

    /// The state of a run that was imported.
    fn imported(&self, optimizer: Option<PathBuf>) -> TrainState {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        std::fs::create_dir(run.checkpoints()).unwrap();
        let files = Files {
            weights: self.file("-model.th"),
            optimizer,
            ..Files::default()
        };
        let imported = import(&files, &self.config).unwrap();
        imported.save(&run, &self.config).unwrap();
        let plan = self.config.plan().unwrap();
        let model = plan.build(1, &Device::flex().autodiff());
        let loaded = load_state(&run.latest(), &self.config, model, self.specs());
        loaded.unwrap().0
    }

    /// `input` or `target`, which are recorded with channels last.
    fn batch(&self, name: &str) -> Tensor<4> {
        let image = self.recording().image(name, &Device::flex()).unwrap();
        let image = image.permute([0, 3, 1, 2]).into_data();
        Tensor::from_data(image, &Device::flex().autodiff())
    }
}

fn file(name: &str, ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../models/tests/golden/vdvae")
        .join(format!("{name}{ending}"))
}

/// A published checkpoint, imported, goes the recorded way, and comes to the recorded state of the
/// optimizer.
#[test]
fn imported_checkpoints_train_on_as_recorded() {
    for name in MODELS {
        let recorded = Recorded::open(name);
        let start = recorded.imported(None);
        assert_eq!((start.step, start.updates), (0, 0));
        let end = take_recorded_steps(&recorded, start);

        let optimizer = recorded.file("-opt.th");
        let expected = recorded.imported(Some(optimizer));
        assert_eq!((expected.step, expected.updates), (3, 3));
        assert_eq!(expected.moments.len(), end.moments.len());
        let mut nonzero = 0;
        for (name, found) in &end.moments {
            let expected = &expected.moments[name];
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

/// Takes the three recorded steps from the recorded start, and checks them and where they end.
fn take_recorded_steps(recorded: &Recorded, mut state: TrainState) -> TrainState {
    let (name, recording) = (recorded.name, recorded.recording());
    for step in 0..3 {
        let noise = recording.noise(&format!("train/{step}/eps"), &Device::flex());
        let [input, target] = ["input", "target"].map(|what| recorded.batch(what));
        let batch = (Prepared::new(input, target), Noise::Given(noise.unwrap()));
        let recipe = recorded.config.train.recipe(step);
        let report;
        (state, report) = train_step(state, &recipe, [batch].into_iter());
        let expected = |key: &str| {
            let numbers = recording.numbers(&format!("train/{step}/{key}"));
            f64::from(numbers.unwrap()[0])
        };
        assert!(
            (report.elbo() - expected("elbo")).abs() < 1e-5,
            "{name} step {step}"
        );
        let norm = expected("grad_norm");
        assert!(
            (report.gradient_norm - norm).abs() < 1e-4 * norm,
            "{name} step {step}"
        );
        assert!(norm > recipe.grad_clip, "clipping acts");
        assert!(report.updated);
    }
    assert_eq!((state.step, state.updates), (3, 3));
    for (model, key) in [(&state.average(), "ema"), (&state.model, "final")] {
        for parameter in parameters::export(&**model, &state.specs) {
            let expected = recording.numbers(&format!("train/{key}/{}", parameter.name));
            let error = error(&parameter.values, &expected.unwrap());
            assert!(error < 1e-6, "{name} {key} {}: {error:.1e}", parameter.name);
        }
    }
    state
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

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

//! A new model is shown the run's first images, once.

use std::path::Path;
use std::sync::Mutex;

use clap::Parser;
use vdvae_data::{Batches, DataError, ImageShape as Shape, ItemRng};

use super::*;
use crate::cli::{Cli, Command};
use crate::models::{Cannot, Cost, Hierarchy, PosteriorLatents};
use crate::ops::Compute;
use crate::parameters::{Parameters, Ranked, export};
use crate::preprocess::Prepared;
use crate::random::{Noise, Purpose};

/// What a model was shown, and by which noise.
type Shown = Arc<Mutex<Vec<(Prepared, Noise)>>>;

/// A model that adds 1 to its weights when it is shown images.
#[derive(Debug)]
struct Watched {
    inner: Box<dyn Model>,
    shown: Shown,
}

impl Parameters for Watched {
    fn visit(&self, each: &mut dyn FnMut(&str, Ranked)) {
        self.inner.visit(each);
    }

    fn map(self: Box<Self>, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model> {
        Box::new(Self {
            inner: self.inner.map(each),
            shown: self.shown,
        })
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(Self {
            inner: self.inner.boxed_clone(),
            shown: self.shown.clone(),
        })
    }
}

impl Model for Watched {
    fn set_compute(&mut self, compute: Compute) {
        self.inner.set_compute(compute);
    }

    fn cost(&self, batch: Prepared, latents: PosteriorLatents) -> Cost {
        self.inner.cost(batch, latents)
    }

    fn start(&mut self, batch: Prepared, noise: &Noise) {
        let weights = self.inner.boxed_clone();
        self.inner = weights.map(&mut |_, tensor| tensor.changed(true, |numbers| numbers + 1.0));
        self.shown.lock().unwrap().push((batch, noise.clone()));
    }

    fn sample(&self, seed: u64, items: &[u64], temperatures: &[f32]) -> Vec<u8> {
        self.inner.sample(seed, items, temperatures)
    }

    fn hierarchy(&self) -> Result<&dyn Hierarchy, Cannot> {
        self.inner.hierarchy()
    }
}

/// Image i has all values 10 i, and is of class i.
struct Steps;

impl Dataset for Steps {
    fn len(&self) -> usize {
        20
    }

    fn image(&self) -> Shape {
        Shape {
            size: 8,
            channels: 3,
        }
    }

    fn read(&self, index: usize, _: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        out.fill(10 * index as u8);
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        format!("step {index}")
    }

    fn class(&self, index: usize) -> Option<usize> {
        Some(index)
    }
}

const TINY: &str = r#"
[model]
image_size = 8
width = 16
zdim = 2
enc_blocks = "8x1,8d2,4d4,1x1"
dec_blocks = "1x1,4m1,8m4"
num_mixtures = 2

[data]
source = "npy:images.npy"
shift = -1.0
scale = 0.1

[train]
n_batch = 3
accumulate = 2
seed = 7
"#;

#[test]
fn a_new_model_is_shown_the_first_images_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunDir::new(folder.path());
    let config = Config::from_toml(TINY, "tiny.toml").expect("a configuration");
    let plan = config.plan().expect("a plan");
    let specs = Arc::new(Specs::new(plan.tensors()));
    let preprocess = preprocess(&config, &*plan).expect("normalised");
    let device = device::parse("cpu").expect("a device").autodiff();
    let built = plan.build(config.train.seed, &device);
    let shown = Shown::default();
    let begun = |more: &[&str]| {
        let arguments = [&["vdvae", "train"], more].concat();
        let Command::Train(arguments) = Cli::parse_from(arguments).command else {
            panic!("of `train`")
        };
        let model = Box::new(Watched {
            inner: built.boxed_clone(),
            shown: shown.clone(),
        });
        let begin = |model: &mut dyn Model| {
            train::start(model, &config.train, Arc::new(Steps), &preprocess, &device)
        };
        state(&arguments, &run, &config, model, specs.clone(), begin).expect("a state")
    };

    let (state, progress) = begun(&[]);
    let expected: Vec<f32> = export(&*built, &specs)
        .into_iter()
        .flat_map(|tensor| tensor.values)
        .map(|weight| weight + 1.0)
        .collect();
    let weights = |model: &dyn Model| -> Vec<f32> {
        let tensors = export(model, &specs).into_iter();
        tensors.flat_map(|tensor| tensor.values).collect()
    };
    assert_eq!(weights(&*state.model), expected);
    assert_eq!(
        weights(&*state.average()),
        expected,
        "the average begins after it"
    );
    assert_eq!((state.step, state.updates), (0, 0));
    {
        let shown = shown.lock().unwrap();
        let [(batch, Noise::Keyed(keys))] = &shown[..] else {
            panic!("shown {} times", shown.len())
        };
        let mut first = Batches::training(Arc::new(Steps), 3, 7, 0, 1).expect("images");
        let first = first.next().expect("endless").expect("read");
        assert_eq!(batch.input.dims(), [3, 8, 8, 3]);
        let values = crate::likelihood::values(batch.input.clone().inner().reshape([3 * 192]));
        let expected = first
            .images
            .iter()
            .map(|&byte| (f32::from(byte) - 1.0) * 0.1);
        assert_eq!(values, expected.collect::<Vec<f32>>());
        assert_eq!(batch.classes, first.classes);
        let seen = (keys.seed, keys.purpose, keys.step, &keys.items[..]);
        assert_eq!(seen, (7, Purpose::Start, 0, &[0, 1, 2][..]));
    }

    // A run that goes on is not shown them again, not even before its first step.
    std::fs::create_dir_all(run.checkpoints()).expect("made");
    checkpoint::save_state(&run.latest(), &config, &progress, &state).expect("saved");
    let (resumed, _) = begun(&["--resume"]);
    assert_eq!(weights(&*resumed.model), expected);
    assert_eq!(shown.lock().unwrap().len(), 1);

    // One that was ended before there was anything to go on with begins again.
    std::fs::remove_file(run.latest()).expect("removed");
    let (again, _) = begun(&["--resume"]);
    assert_eq!(weights(&*again.model), expected);
    assert!(Path::new(run.path()).is_dir());
}

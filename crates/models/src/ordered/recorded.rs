//! What recordings of models of pixels in order hold whose likelihood is a mixture of logistics, see
//! [`crate::verify`].
//!
//! | name | shape | what |
//! | --- | --- | --- |
//! | `param/NAME` | | weights |
//! | `images_u8` | B S S C | the images |
//! | `params` | B P S S | parameters of all pixels |
//! | `nll_nats` | 1 or B | nats, summed over the batch or image by image |
//! | `grad/NAME` | | gradients of the sum over the batch |
//! | `dropout/mask/BLOCK`, `dropout/params` | B C S S; B P S S | what stays in a gated block, bytes; parameters with it |
//! | `train/s/nll_nats`, `train/final/NAME`, `train/ema/NAME` | B | steps on the same images without dropout: nats before each; weights and their average after the last |
//! | `init/NAME` | | weights that were scaled by what they see of the images; of these `weight_v` were drawn |
//! | `sample/{u_mixture,u_logistic,image}` | B SS K; B SS C; B C S S | uniform numbers, and the image that the published sampler, which never rounds, makes of them |
//! | `sample8/{u_mixture,u_logistic,image_u8}` | B SS K; B SS C; B S S C | the same, rounded to bytes before anything sees it |

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::{Canvas, Next, Ordered, PixelSource, Turn, fill};
use crate::family::{Model, Plan, PosteriorLatents, Step};
use crate::likelihood::{Likelihood, draw_logistics, values};
use crate::ops::Dmol;
use crate::parameters::Specs;
use crate::preprocess::Prepared;
use crate::random::{Keys, Noise, Purpose};
use crate::state::TrainState;
use crate::step::train_step;
use crate::verify::{
    Compared, Comparison, Measure, Recording, Setting, VerifyError, channels_first, gradients,
};

/// Of outputs of the network.
const OUTPUT: (Measure, f64) = (Measure::Scaled, 1e-5);
/// Of nats, where nearly equal numbers are subtracted.
const NATS: (Measure, f64) = (Measure::Relative, 1e-5);
/// Of gradients.
const GRADIENT: (Measure, f64) = (Measure::Relative, 1e-4);
/// Of weights after steps. Biases of keys change no weight of attention: their gradients are rounding, and the
/// optimizer makes steps of it.
const STEP: (Measure, f64) = (Measure::Relative, 1e-3);
/// Of samples: what is not rounded feeds back.
const SAMPLE: (Measure, f64) = (Measure::Absolute, 1e-4);

/// A step of training with this dropout.
fn step(kept: Vec<Tensor<4>>) -> Step {
    Step {
        noise: Noise::Given(kept),
        number: 0,
        of: 1,
    }
}

struct Verification<'a> {
    plan: &'a dyn Plan,
    blocks: &'a [String],
    recording: &'a Recording<'a>,
    comparison: Comparison<'a>,
}

/// Compares models of this plan with a recording.
///
/// # Errors
/// If the recording is not one of such a model.
pub fn verify(
    plan: &dyn Plan,
    blocks: &[String],
    recording: &Recording,
    setting: &Setting,
) -> Result<Vec<Compared>, VerifyError> {
    let mut verification = Verification {
        plan,
        blocks,
        recording,
        comparison: Comparison::new(recording),
    };
    verification.outputs(&setting.device)?;
    verification.nats(&setting.device.clone().autodiff())?;
    verification.dropout(&setting.device)?;
    verification.steps(setting)?;
    verification.start(&setting.device)?;
    verification.samples(&setting.device)?;
    verification.comparison.finish()
}

fn ordered(model: &dyn Model) -> Result<&dyn Ordered, VerifyError> {
    let ordered = model.ordered();
    ordered.map_err(|cannot| VerifyError(cannot.to_string()))
}

impl Verification<'_> {
    fn model(&self, prefix: &str, device: &Device) -> Result<Box<dyn Model>, VerifyError> {
        let specs = Specs::new(self.plan.tensors());
        let fresh = self.plan.build(0, device);
        self.recording.model(prefix, fresh, &specs)
    }

    fn batch(&self, device: &Device) -> Result<Prepared, VerifyError> {
        let (shape, images) = self.recording.bytes("images_u8")?;
        let image = self.plan.image();
        let expected = [image.size, image.size, image.channels];
        if shape.len() != 4 || shape[1..] != expected {
            return Err(VerifyError(format!(
                "images_u8: expected [B, {0}, {0}, {1}], found {shape:?}",
                image.size, image.channels
            )));
        }
        let keys = Keys::new(0, Purpose::Evaluation, 0..shape[0] as u64);
        Ok(self.plan.preprocess(None).apply(&images, &keys, device))
    }

    fn outputs(&mut self, device: &Device) -> Result<(), VerifyError> {
        if !self.recording.has("params") {
            return Ok(());
        }
        let model = self.model("param/", device)?;
        let images = self.batch(device)?.input;
        let found = channels_first(ordered(&*model)?.parameters(images, &[]));
        self.comparison
            .check("parameters of the pixels", OUTPUT, "params", &found)
    }

    fn nats(&mut self, device: &Device) -> Result<(), VerifyError> {
        if !self.recording.has("nll_nats") {
            return Ok(());
        }
        let mut model = self.model("param/", device)?;
        let batch = self.batch(device)?;
        let images = batch.input.dims()[0];
        let loss = model.loss(batch, &step(Vec::new()));
        let dimensions = self.plan.dimensions() as f32;
        let mut found = values(loss.cost.distortion * dimensions);
        if self.recording.numbers("nll_nats")?.len() == 1 {
            found = vec![found.iter().sum()];
        }
        self.comparison.check("nats", NATS, "nll_nats", &found)?;
        // The loss is the mean over the batch.
        let sum = loss.total * images as f32;
        for (weight, gradient) in gradients(&*model, self.plan, sum) {
            let name = format!("grad/{weight}");
            self.comparison
                .check("gradient of a weight", GRADIENT, &name, &gradient)?;
        }
        Ok(())
    }

    /// Nats with what stays of the blocks; of the recorded parameters those that the likelihood makes of them.
    fn dropout(&mut self, device: &Device) -> Result<(), VerifyError> {
        if !self.recording.has("dropout/params") {
            return Ok(());
        }
        let kept = |block: &String| {
            self.recording
                .mask(&format!("dropout/mask/{block}"), device)
        };
        let kept = self.blocks.iter().map(kept).collect::<Result<_, _>>()?;
        let mut model = self.model("param/", device)?;
        let batch = self.batch(device)?;
        let recorded = self.recording.image("dropout/params", device)?;
        let likelihood = self.plan.likelihood();
        let expected = likelihood.negative_log_likelihood(recorded, batch.target.clone());
        let loss = model.loss(batch, &step(kept));
        let found = values(loss.cost.distortion * self.plan.dimensions() as f32);
        let name = "dropout/params";
        self.comparison
            .check_with("nats with dropout", NATS, name, &found, &values(expected))
    }

    /// The recorded steps on the same images: nats before each, weights and their average after the last.
    fn steps(&mut self, setting: &Setting) -> Result<(), VerifyError> {
        let steps = self.recording.names("train/final/").len();
        if steps == 0 {
            return Ok(());
        }
        let device = setting.device.clone().autodiff();
        let specs = Arc::new(Specs::new(self.plan.tensors()));
        let mut state = TrainState::new(self.model("param/", &device)?, specs);
        for number in 0.. {
            let name = format!("train/{number}/nll_nats");
            if !self.recording.has(&name) {
                break;
            }
            let batch = self.batch(&device)?;
            let cost = state.model.cost(batch.clone(), PosteriorLatents::Mean);
            let found = values(cost.distortion * self.plan.dimensions() as f32);
            self.comparison
                .check("nats in training", NATS, &name, &found)?;
            let recipe = (setting.recipe)(number);
            let batch = [(batch, Noise::Given(Vec::new()))].into_iter();
            state = train_step(state, &recipe, batch).0;
        }
        let (average, plan) = (state.average(), self.plan);
        let after = |prefix| (STEP, prefix);
        let (how, prefix) = after("train/final/");
        let weights = (&*state.model, plan);
        self.comparison
            .check_tensors("weights after the steps", how, prefix, weights)?;
        let (how, prefix) = after("train/ema/");
        let weights = (&*average, plan);
        self.comparison
            .check_tensors("average after the steps", how, prefix, weights)
    }

    fn start(&mut self, device: &Device) -> Result<(), VerifyError> {
        if self.recording.names("init/").is_empty() {
            return Ok(());
        }
        let mut model = self.model("init/", device)?;
        // What was drawn stays; the rest is to be found again.
        model = model.map(&mut |name, tensor| {
            if name.ends_with(".weight_v") {
                tensor
            } else {
                tensor.changed(true, |numbers| Tensor::ones_like(&numbers))
            }
        });
        model.start(self.batch(device)?, &Noise::Given(Vec::new()));
        let model = (&*model, self.plan);
        self.comparison
            .check_tensors("scaled by the data", OUTPUT, "init/", model)
    }

    fn samples(&mut self, device: &Device) -> Result<(), VerifyError> {
        let Likelihood::Dmol(shape) = self.plan.likelihood() else {
            return Ok(());
        };
        for (name, image, eight_bits) in [
            ("sample", "sample/image", false),
            ("sample8", "sample8/image_u8", true),
        ] {
            if !self.recording.has(image) {
                continue;
            }
            let model = self.model("param/", device)?;
            let model = ordered(&*model)?;
            let (sizes, u_mixture) = self.recording.tensor(&format!("{name}/u_mixture"))?;
            let u_logistic = self.recording.numbers(&format!("{name}/u_logistic"))?;
            let replayed = Replayed {
                shape,
                u_mixture: &u_mixture,
                u_logistic: &u_logistic,
                eight_bits,
            };
            let plain = model.begin_plain(&[]);
            let cached = model.begin(sizes[0], &[]);
            for (sampler, mut next) in [("plain", plain), ("cached", cached)] {
                let canvas = replayed.image(model, sizes[0], &mut *next);
                let quantity = format!("{name}, {sampler}");
                if eight_bits {
                    self.comparison
                        .check_bytes(&quantity, image, canvas.bytes())?;
                } else {
                    let found = channels_first(input(&canvas, device));
                    self.comparison.check(&quantity, SAMPLE, image, &found)?;
                }
            }
        }
        Ok(())
    }
}

/// What the network reads, [B, S, S, C].
fn input(canvas: &Canvas, device: &Device) -> Tensor<4> {
    let image = canvas.shape();
    let shape = [canvas.batch(), image.size, image.size, image.channels];
    Tensor::from_data(TensorData::new(canvas.input().to_vec(), shape), device)
}

/// Draws with recorded numbers.
#[derive(Clone, Copy)]
struct Replayed<'a> {
    shape: Dmol,
    /// [B, SS, K].
    u_mixture: &'a [f32],
    /// [B, SS, C].
    u_logistic: &'a [f32],
    /// Whether values are rounded before anything sees them.
    eight_bits: bool,
}

impl Replayed<'_> {
    fn image(mut self, model: &dyn Ordered, batch: usize, next: &mut dyn Next) -> Canvas {
        let mut canvas = model.blank(batch);
        let likelihood = model.likelihood();
        fill(next, likelihood, &mut self, &mut canvas, &mut |_| ());
        canvas
    }
}

impl PixelSource for Replayed<'_> {
    fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas) {
        let Dmol {
            mixtures, channels, ..
        } = self.shape;
        let side = canvas.shape().size;
        let place = [turn.row, turn.column];
        let images = parameters.chunks_exact(parameters.len() / canvas.batch());
        for (image, parameters) in images.enumerate() {
            let pixel = image * side * side + turn.row * side + turn.column;
            let mixture = &self.u_mixture[pixel * mixtures..][..mixtures];
            let logistic = &self.u_logistic[pixel * channels..][..channels];
            let mut numbers = mixture.iter().chain(logistic);
            let mut uniform = || numbers.next().map_or(0.5, |&number| f64::from(number));
            let drawn = draw_logistics(&self.shape, parameters, &mut uniform, self.eight_bits);
            if self.eight_bits {
                let byte = |x: &f64| ((x + 1.0) * 127.5).round() as u8;
                let bytes: Vec<u8> = drawn.iter().map(byte).collect();
                canvas.set(image, place, 0, &bytes);
            } else {
                let drawn: Vec<f32> = drawn.iter().map(|&x| x as f32).collect();
                canvas.set_input(image, place, 0, &drawn);
            }
        }
    }
}

//! What recordings of this family hold, see [`crate::verify`].
//!
//! | name | shape | what |
//! | --- | --- | --- |
//! | `param/NAME` | | weights and running statistics before the steps; `sr_u/RxC`, `sr_v/RxC`: vectors of the power iteration, a row for each convolution of that matrix in module order |
//! | `x` | B C S S | the images in [0, 1] |
//! | `step/s/eps/i` | B Z R R | noise of group i in step s; all steps see the same images |
//! | `step/s/{kl,kl_coeffs,balanced_kl,recon,log_q,log_p,spectral,bn_loss,loss}` | B groups; groups; B; 1 | what the step found; nats per image |
//! | `logits`, `iw/log_weight` | B P S S; B | of step 0 |
//! | `grad/NAME` | | gradients of step 0's loss |
//! | `final/NAME` | | weights and running statistics after the last step |
//! | `eval/{eps/i,logits,kl}` | | by the running statistics, after the steps |
//! | `sample/{eps/i,logits}` | | a sample at temperature 0.7, after the steps |
//! | `kl_alpha` | groups | what the balancing divides by |
//!
//! The rate has the weight 0.4 in all steps.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::layers::{Mode, Seen};
use super::model::{Nvae, Training};
use super::plan::NvaePlan;
use super::spectral;
use crate::family::Plan;
use crate::hierarchy::{Latents, Noise};
use crate::likelihood::{Likelihood, values};
use crate::parameters::{self, Specs};
use crate::preprocess::Prepared;
use crate::state::TrainState;
use crate::step::train_step;
use crate::verify::{
    Compared, Comparison, Measure, Recording, Setting, VerifyError, channels_first, gradients,
};

/// The weight of the rate in the recorded steps.
const BETA: f64 = 0.4;
/// Of the recorded samples.
const TEMPERATURE: f32 = 0.7;
/// Of everything, where nothing else is said: the recorded numbers themselves are no better.
const OUTPUT: (Measure, f64) = (Measure::Scaled, 4e-5);
/// Tensors whose gradient stays below this are compared absolutely: in the biases before a batch norm there
/// is nothing but rounding, which the optimizer magnifies.
const SMALL_GRADIENT: f32 = 1e-2;

struct Verification<'a> {
    plan: &'a NvaePlan,
    recording: &'a Recording<'a>,
    device: Device,
    comparison: Comparison<'a>,
}

pub(super) fn verify(
    plan: &NvaePlan,
    recording: &Recording,
    setting: &Setting,
) -> Result<Vec<Compared>, VerifyError> {
    let mut verification = Verification {
        plan,
        recording,
        device: setting.device.clone(),
        comparison: Comparison::new(recording),
    };
    verification.alphas()?;
    verification.steps(setting)?;
    verification.after()?;
    verification.comparison.finish()
}

impl Verification<'_> {
    fn alphas(&mut self) -> Result<(), VerifyError> {
        let model = self.plan.model(0, &self.device);
        let alphas = model.groups().iter().map(|group| group.alpha as f32);
        let alphas: Vec<f32> = alphas.collect();
        self.comparison
            .check("balance of a group", OUTPUT, "kl_alpha", &alphas)
    }

    /// The recorded state `prefix/NAME`.
    fn model(&self, prefix: &str, device: &Device) -> Result<Nvae, VerifyError> {
        let model = self.plan.model(0, device);
        let vectors = self.vectors(&model)?;
        let specs = Specs::new(self.plan.tensors());
        model.importing(&specs, |spec| match vectors.get(&spec.name) {
            Some(vector) => Ok(vector.clone()),
            None => self.recording.values(prefix, spec),
        })
    }

    /// The vectors of the power iterations, by their tensors' names; zeros of those that are not recorded.
    fn vectors(&self, model: &Nvae) -> Result<HashMap<String, Vec<f32>>, VerifyError> {
        let mut rows: HashMap<[usize; 2], usize> = HashMap::new();
        let mut vectors = HashMap::new();
        for kernel in model.network().spectral.kernels() {
            let [outputs, inputs] = kernel.matrix;
            let row = rows.entry(kernel.matrix).or_default();
            let names = spectral::names(kernel).into_iter();
            for ((name, length), which) in names.zip([outputs, inputs]).zip(["u", "v"]) {
                let recorded = format!("sr_{which}/{outputs}x{inputs}");
                let vector = if self.recording.has(&recorded) {
                    let all = self.recording.numbers(&recorded)?;
                    let own = all.get(*row * length..(*row + 1) * length);
                    let fewer =
                        || VerifyError(format!("{recorded}: expected more than {row} rows"));
                    own.ok_or_else(fewer)?.to_vec()
                } else {
                    vec![0.0; length]
                };
                vectors.insert(name, vector);
            }
            *row += 1;
        }
        Ok(vectors)
    }

    fn batch(&self, device: &Device) -> Result<Prepared, VerifyError> {
        let x = self.recording.image("x", device)?;
        let input = x.clone() * 2.0 - 1.0;
        let target = match self.plan.likelihood() {
            Likelihood::Bernoulli => x,
            _ => input.clone(),
        };
        Ok(Prepared::new(input, target))
    }

    /// Each recorded step, as the state before it finds it; then the step itself.
    fn steps(&mut self, setting: &Setting) -> Result<(), VerifyError> {
        if !self.recording.has("step/0/loss") {
            return Ok(());
        }
        let device = self.device.clone().autodiff();
        let mut model = self.model("param/", &device)?;
        let specs = Arc::new(Specs::new(self.plan.tensors()));
        let mut state = TrainState::new(Box::new(model.clone()), specs.clone());
        while self.recording.has(&format!("step/{}/loss", state.step)) {
            let prefix = format!("step/{}", state.step);
            let noise = self
                .recording
                .noise(&format!("{prefix}/eps"), &self.device)?;
            self.step(&mut model, &prefix, noise.clone())?;
            let batch = (self.batch(&device)?, Noise::Given(noise));
            let recipe = (setting.recipe)(state.step);
            (state, _) = train_step(state, &recipe, [batch].into_iter());
            model = model.with_tensors_of(&*state.model);
        }
        let small = self.small_gradients()?;
        for tensor in parameters::export(&*state.model, &specs) {
            let (quantity, how) = if small.contains(&tensor.name) {
                (
                    "state, where gradients are small",
                    (Measure::Absolute, 1e-3),
                )
            } else if specs.is_weight(&tensor.name) {
                ("weights after the steps", OUTPUT)
            } else if tensor.name.ends_with("running_mean") {
                // They follow biases whose gradients are nothing but rounding.
                ("running means", (Measure::Absolute, 1e-4))
            } else {
                ("running variances", OUTPUT)
            };
            self.comparison.check(
                quantity,
                how,
                &format!("final/{}", tensor.name),
                &tensor.values,
            )?;
        }
        Ok(())
    }

    /// What a step finds, on a model of its own.
    fn step(
        &mut self,
        model: &mut Nvae,
        prefix: &str,
        noise: Vec<Tensor<4>>,
    ) -> Result<(), VerifyError> {
        let device = self.device.clone().autodiff();
        let latents = Latents::posterior(Noise::Given(noise));
        let lambda = self.plan.config().weight_decay_norm;
        let training = model.training(self.batch(&device)?, &mut &latents, true);
        let (total, balanced, gammas) = model.total(&training, BETA, lambda);
        let Training {
            pass,
            distortion,
            spectral,
            scales,
        } = training;
        let name = |what: &str| format!("{prefix}/{what}");
        let kl: Vec<Vec<f32>> = pass.kl.into_iter().flatten().map(values).collect();
        let kl = image_by_image(&kl);
        self.comparison
            .check("KL of the groups", OUTPUT, &name("kl"), &kl)?;
        let gammas: Vec<f32> = gammas.into_iter().map(|gamma| gamma as f32).collect();
        self.comparison
            .check("weights of the groups", OUTPUT, &name("kl_coeffs"), &gammas)?;
        self.comparison.check(
            "balanced KL",
            OUTPUT,
            &name("balanced_kl"),
            &values(balanced),
        )?;
        let distortion = values(distortion);
        self.comparison
            .check("distortion", OUTPUT, &name("recon"), &distortion)?;
        if let Some([q, p]) = pass.log_densities {
            let (q, p) = (values(q), values(p));
            self.comparison.check("log q", OUTPUT, &name("log_q"), &q)?;
            self.comparison.check("log p", OUTPUT, &name("log_p"), &p)?;
            if prefix == "step/0" {
                let weights = p
                    .iter()
                    .zip(&q)
                    .zip(&distortion)
                    .map(|((p, q), d)| p - q - d);
                let weights: Vec<f32> = weights.collect();
                self.comparison
                    .check("importance weights", OUTPUT, "iw/log_weight", &weights)?;
            }
        }
        self.comparison.check(
            "spectral norms",
            OUTPUT,
            &name("spectral"),
            &values(spectral),
        )?;
        self.comparison.check(
            "batch-norm scales",
            OUTPUT,
            &name("bn_loss"),
            &values(scales),
        )?;
        self.comparison
            .check("loss", OUTPUT, &name("loss"), &values(total.clone()))?;
        if prefix == "step/0" {
            self.comparison.check(
                "likelihood's parameters",
                OUTPUT,
                "logits",
                &channels_first(pass.logits),
            )?;
            let small = self.small_gradients()?;
            for (weight, gradient) in gradients(model, self.plan, total) {
                let (quantity, how) = if small.contains(&weight) {
                    ("gradient of a weight, small", (Measure::Absolute, 1e-4))
                } else {
                    ("gradient of a weight", (Measure::Relative, 1e-4))
                };
                self.comparison
                    .check(quantity, how, &format!("grad/{weight}"), &gradient)?;
            }
        }
        Ok(())
    }

    /// The weights whose recorded gradient is small everywhere.
    fn small_gradients(&self) -> Result<BTreeSet<String>, VerifyError> {
        let mut small = BTreeSet::new();
        for name in self.recording.names("grad/") {
            let gradient = self.recording.numbers(&format!("grad/{name}"))?;
            if gradient.iter().all(|number| number.abs() < SMALL_GRADIENT) {
                small.insert(name);
            }
        }
        Ok(small)
    }

    /// Evaluation and samples by the running statistics after the steps.
    fn after(&mut self) -> Result<(), VerifyError> {
        if self.recording.names("final/").is_empty() {
            return Ok(());
        }
        let device = self.device.clone();
        let model = self.model("final/", &device)?;
        let mut seen = Seen::default();
        if self.recording.has("eval/eps/0") {
            let input = self.batch(&device)?.input;
            let noise = Noise::Given(self.recording.noise("eval/eps", &device)?);
            let (images, latents) = (input.dims()[0], Latents::posterior(noise));
            let encoded = model.bottom_up(input, Mode::Running, &mut seen);
            let mode = (Mode::Running, &mut seen);
            let pass = model.pass(images, Some(&encoded), &mut &latents, mode, false);
            let kl: Vec<Vec<f32>> = pass.kl.into_iter().flatten().map(values).collect();
            let kl = image_by_image(&kl);
            self.comparison
                .check("KL in evaluation", OUTPUT, "eval/kl", &kl)?;
            let logits = channels_first(pass.logits);
            self.comparison
                .check("parameters in evaluation", OUTPUT, "eval/logits", &logits)?;
        }
        if self.recording.has("sample/eps/0") {
            let noise = self.recording.noise("sample/eps", &device)?;
            let (images, noise) = (noise[0].dims()[0], Noise::Given(noise));
            let latents = Latents::prior(&[TEMPERATURE], noise);
            let mode = (Mode::Running, &mut seen);
            let pass = model.pass(images, None, &mut &latents, mode, false);
            self.comparison.check(
                "sample",
                OUTPUT,
                "sample/logits",
                &channels_first(pass.logits),
            )?;
        }
        Ok(())
    }
}

/// What is known group by group, for every image, in the order of recordings: image by image.
fn image_by_image(groups: &[Vec<f32>]) -> Vec<f32> {
    let images = groups.first().map_or(0, Vec::len);
    let images = (0..images).flat_map(|image| groups.iter().map(move |group| group[image]));
    images.collect()
}

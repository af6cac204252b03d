//! What recordings of this family hold, see [`crate::verify`].
//!
//! | name | shape | what |
//! | --- | --- | --- |
//! | `images_u8` | B S S C, bytes | the images; `input`, `target`: what the network reads, what is measured |
//! | `param/NAME` | | weights |
//! | `eps/i` | B Z R R | noise of layer i |
//! | `enc/r` | B C R R | the encoder's activation at resolution r |
//! | `px_z`, `dmol_logits` | B C S S; B S S P | features of the decoder; the likelihood's parameters |
//! | `kl/i` | B | KL of layer i, nats |
//! | `distortion`, `rate` | B | nats per dimension |
//! | `grad/NAME`, `grad_norm` | | gradients of mean(distortion + rate), and their norm |
//! | `mean/{elbo,distortion,rate}` | 1 | with the posterior's means |
//! | `sample/eps/i`, `sample/px_z` | | a sample at temperature 0.7 |
//! | `sample/{u_mixture,u_logistic,image}` | B S S K; B S S C; B S S C | uniform numbers, the image in [-1, 1] |
//! | `train/s/{eps/i,elbo,grad_norm}` | | step s, as the configuration's `[train]` takes it |
//! | `train/final/NAME`, `train/ema/NAME` | | weights and their average after the last step |

use std::sync::Arc;

use burn::tensor::Device;

use super::{Vdvae, VdvaePlan};
use crate::family::Plan;
use crate::hierarchy::Latents;
use crate::likelihood::{Likelihood, values};
use crate::ops;
use crate::parameters::{self, Specs};
use crate::preprocess::Prepared;
use crate::random::{Keys, Noise, Purpose};
use crate::state::TrainState;
use crate::step::train_step;
use crate::verify::{
    Compared, Comparison, Measure, Recording, Setting, VerifyError, channels_first, gradients,
};

/// Of outputs, where nothing else is said.
const OUTPUT: (Measure, f64) = (Measure::Absolute, 1e-5);
/// Of KL divergences, which may be large.
const KL: (Measure, f64) = (Measure::Scaled, 1e-5);
/// Of gradients and their norms.
const GRADIENT: (Measure, f64) = (Measure::Relative, 1e-4);
/// Of inputs, and of weights after some steps.
const STATE: (Measure, f64) = (Measure::Absolute, 1e-6);
/// Of the recorded samples.
const TEMPERATURE: f32 = 0.7;

struct Verification<'a> {
    plan: &'a VdvaePlan,
    recording: &'a Recording<'a>,
    setting: &'a Setting<'a>,
    comparison: Comparison<'a>,
}

pub(super) fn verify(
    plan: &VdvaePlan,
    recording: &Recording,
    setting: &Setting,
) -> Result<Vec<Compared>, VerifyError> {
    let mut verification = Verification {
        plan,
        recording,
        setting,
        comparison: Comparison::new(recording),
    };
    verification.preprocessing()?;
    verification.outputs()?;
    verification.samples()?;
    verification.gradients()?;
    verification.steps()?;
    verification.comparison.finish()
}

impl Verification<'_> {
    /// The recorded model.
    fn model(&self, device: &Device) -> Result<Vdvae, VerifyError> {
        let specs = Specs::new(self.plan.tensors());
        parameters::import_module(self.plan.model(0, device), &specs, |spec| {
            self.recording.values("param/", spec)
        })
    }

    /// As the recording holds it, channels last like everything that is not an output.
    fn batch(&self, device: &Device) -> Result<Prepared, VerifyError> {
        let input = self.recording.four_axes("input", device)?;
        Ok(Prepared::new(
            input,
            self.recording.four_axes("target", device)?,
        ))
    }

    fn preprocessing(&mut self) -> Result<(), VerifyError> {
        if !self.recording.has("images_u8") {
            return Ok(());
        }
        let (_, images) = self.recording.bytes("images_u8")?;
        let keys = Keys::new(0, Purpose::Binarization, []);
        let preprocess = self.plan.preprocess(self.setting.normalisation);
        let prepared = preprocess.apply(&images, &keys, &self.setting.device);
        self.comparison
            .check("input", STATE, "input", &values(prepared.input))?;
        self.comparison
            .check("target", STATE, "target", &values(prepared.target))
    }

    fn outputs(&mut self) -> Result<(), VerifyError> {
        let device = self.setting.device.clone();
        let model = self.model(&device)?;
        let Prepared { input, target, .. } = self.batch(&device)?;
        let batch = input.dims()[0];
        let activations = model.encoder().forward(input.clone());
        for (resolution, activation) in &activations {
            let name = format!("enc/{resolution}");
            let activation = channels_first(activation.clone());
            self.comparison
                .check("encoder", OUTPUT, &name, &activation)?;
        }
        if self.recording.has("eps/0") {
            let latents = Latents::posterior(Noise::Given(self.recording.noise("eps", &device)?));
            let output = model.decoder().forward(batch, Some(&activations), &latents);
            for (layer, kl) in output.kl.into_iter().enumerate() {
                let kl = kl.map(values).unwrap_or_default();
                self.comparison
                    .check("KL of a layer", KL, &format!("kl/{layer}"), &kl)?;
            }
            let px_z = channels_first(output.px_z.clone());
            self.comparison.check("decoder", OUTPUT, "px_z", &px_z)?;
            let logits = values(model.decoder().likelihood_parameters(output.px_z));
            self.comparison
                .check("likelihood's parameters", OUTPUT, "dmol_logits", &logits)?;
            let cost = model.elbo(input.clone(), target.clone(), &latents);
            self.comparison
                .check("rate", OUTPUT, "rate", &values(cost.rate()))?;
            self.comparison
                .check("distortion", OUTPUT, "distortion", &values(cost.distortion))?;
        }
        let cost = model.elbo(input, target, &Latents::posterior_mean());
        let quantity = "with the posterior's means";
        self.comparison
            .check(quantity, OUTPUT, "mean/elbo", &values(cost.total().mean()))?;
        self.comparison
            .check(quantity, OUTPUT, "mean/rate", &values(cost.rate().mean()))?;
        let distortion = values(cost.distortion.mean());
        self.comparison
            .check(quantity, OUTPUT, "mean/distortion", &distortion)
    }

    fn samples(&mut self) -> Result<(), VerifyError> {
        if !self.recording.has("sample/eps/0") {
            return Ok(());
        }
        let device = self.setting.device.clone();
        let model = self.model(&device)?;
        let noise = self.recording.noise("sample/eps", &device)?;
        let batch = noise[0].dims()[0];
        let latents = Latents::prior(&[TEMPERATURE], Noise::Given(noise));
        let output = model.decoder().forward(batch, None, &latents);
        let px_z = channels_first(output.px_z.clone());
        self.comparison
            .check("sample", OUTPUT, "sample/px_z", &px_z)?;
        if let Likelihood::Dmol(shape) = self.plan.likelihood()
            && self.recording.has("sample/u_mixture")
        {
            let parameters = values(model.decoder().likelihood_parameters(output.px_z));
            let mixture = self.recording.numbers("sample/u_mixture")?;
            let logistic = self.recording.numbers("sample/u_logistic")?;
            let image = ops::dmol_sample(&shape, &parameters, &mixture, &logistic);
            self.comparison
                .check("sampled image", OUTPUT, "sample/image", &image)?;
        }
        Ok(())
    }

    fn gradients(&mut self) -> Result<(), VerifyError> {
        if !self.recording.has("grad_norm") {
            return Ok(());
        }
        let device = self.setting.device.clone().autodiff();
        let model = self.model(&device)?;
        let Prepared { input, target, .. } = self.batch(&device)?;
        let noise = self.recording.noise("eps", &device)?;
        let latents = Latents::posterior(Noise::Given(noise));
        let loss = model.elbo(input, target, &latents).total().mean();
        let mut squares = 0.0;
        for (name, gradient) in gradients(&model, self.plan, loss) {
            self.comparison.check(
                "gradient of a weight",
                GRADIENT,
                &format!("grad/{name}"),
                &gradient,
            )?;
            squares += gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        }
        let norm = squares.sqrt() as f32;
        self.comparison
            .check("norm of the gradient", GRADIENT, "grad_norm", &[norm])
    }

    fn steps(&mut self) -> Result<(), VerifyError> {
        let device = self.setting.device.clone().autodiff();
        let specs = Arc::new(Specs::new(self.plan.tensors()));
        let mut state = TrainState::new(Box::new(self.model(&device)?), specs);
        while self.recording.has(&format!("train/{}/elbo", state.step)) {
            let prefix = format!("train/{}", state.step);
            let noise = self
                .recording
                .noise(&format!("{prefix}/eps"), &self.setting.device)?;
            let batch = (self.batch(&device)?, Noise::Given(noise));
            let recipe = (self.setting.recipe)(state.step);
            let report;
            (state, report) = train_step(state, &recipe, [batch].into_iter());
            let loss = [report.elbo() as f32];
            self.comparison
                .check("loss of a step", OUTPUT, &format!("{prefix}/elbo"), &loss)?;
            let norm = [report.gradient_norm as f32];
            let name = format!("{prefix}/grad_norm");
            self.comparison
                .check("norm in a step", GRADIENT, &name, &norm)?;
        }
        if state.step == 0 {
            return Ok(());
        }
        let (weights, average) = (&*state.model, state.average());
        let comparison = &mut self.comparison;
        let quantity = "weights after the steps";
        comparison.check_tensors(quantity, STATE, "train/final/", (weights, self.plan))?;
        let average = (&*average, self.plan as &dyn Plan);
        comparison.check_tensors("their average", STATE, "train/ema/", average)
    }
}

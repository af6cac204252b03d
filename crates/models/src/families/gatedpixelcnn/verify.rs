//! What recordings of this family hold, see [`crate::verify`].
//!
//! | name | shape | what |
//! | --- | --- | --- |
//! | `param/NAME` | | weights |
//! | `images_u8`, `cond` | B S S C, bytes; B K | the images' levels; their kinds, one-hot |
//! | `logits` | B C L S S | for each of L levels |
//! | `nll_nats` | B | negative log-likelihood, nats per image |
//! | `grad/NAME` | | gradients of its sum over the batch |
//! | `sample/{u,cond,image_u8}` | B SS C; B K; B S S C, bytes | uniform numbers, kinds, and the levels that are drawn with them |
//! | `train/s/nll_nats` | B | before step s of the same images, as the configuration's `[train]` takes it |
//! | `train/final/NAME`, `train/ema/NAME` | | weights and their average after the last step |

use std::sync::Arc;

use burn::tensor::Device;

use super::{GatedPixelCnn, GatedPixelCnnPlan};
use crate::family::{Plan, PosteriorLatents};
use crate::likelihood::values;
use crate::ordered::{Canvas, Ordered, PixelSource, Turn, fill};
use crate::parameters::Specs;
use crate::preprocess::Prepared;
use crate::random::{Keys, Noise, Purpose};
use crate::state::TrainState;
use crate::step::train_step;
use crate::verify::{
    Compared, Comparison, Measure, Recording, Setting, VerifyError, channels_first, gradients,
};

const OUTPUT: (Measure, f64) = (Measure::Scaled, 1e-5);
const GRADIENT: (Measure, f64) = (Measure::Relative, 1e-4);
/// Of weights after steps of about 1e-3.
const STATE: (Measure, f64) = (Measure::Absolute, 3e-6);

struct Verification<'a> {
    plan: &'a GatedPixelCnnPlan,
    recording: &'a Recording<'a>,
    setting: &'a Setting<'a>,
    comparison: Comparison<'a>,
}

pub(super) fn verify(
    plan: &GatedPixelCnnPlan,
    recording: &Recording,
    setting: &Setting,
) -> Result<Vec<Compared>, VerifyError> {
    let mut verification = Verification {
        plan,
        recording,
        setting,
        comparison: Comparison::new(recording),
    };
    if recording.has("images_u8") {
        verification.outputs()?;
        verification.gradients()?;
        verification.steps()?;
    }
    if recording.has("sample/u") {
        verification.samples()?;
    }
    verification.comparison.finish()
}

impl Verification<'_> {
    /// The recorded model.
    fn model(&self, device: &Device) -> Result<GatedPixelCnn, VerifyError> {
        let specs = Specs::new(self.plan.tensors());
        let model = self.plan.model(0, device);
        model.importing(&specs, |spec| self.recording.values("param/", spec))
    }

    /// Where one-hot vectors [B, K] are 1; none where the model tells no kinds apart.
    fn kinds(&self, name: &str) -> Result<Vec<usize>, VerifyError> {
        let count = self.plan.classes();
        if count == 0 {
            return Ok(Vec::new());
        }
        let rows = self.recording.numbers(name)?;
        let kind = |row: &[f32]| row.iter().position(|&number| number == 1.0);
        let kinds: Option<Vec<usize>> = rows.chunks(count).map(kind).collect();
        kinds.ok_or_else(|| {
            VerifyError(format!(
                "{name}: expected one-hot rows of {count}, found others"
            ))
        })
    }

    fn batch(&self, device: &Device) -> Result<Prepared, VerifyError> {
        let (shape, levels) = self.recording.bytes("images_u8")?;
        let image = self.plan.image();
        let expected = [image.size, image.size, image.channels];
        let most = self.plan.categorical().levels;
        let above = levels.iter().any(|&level| usize::from(level) >= most);
        if shape.get(1..) != Some(&expected) || above {
            return Err(VerifyError(format!(
                "images_u8: expected images {expected:?} of levels below {most}, found {shape:?}"
            )));
        }
        let byte = |&level: &u8| self.plan.categorical().byte(usize::from(level));
        let bytes: Vec<u8> = levels.iter().map(byte).collect();
        let keys = Keys::new(0, Purpose::Binarization, []);
        let prepared = self.plan.preprocess(None).apply(&bytes, &keys, device);
        Ok(Prepared {
            classes: self.kinds("cond")?,
            ..prepared
        })
    }

    fn outputs(&mut self) -> Result<(), VerifyError> {
        let device = self.setting.device.clone();
        let model = self.model(&device)?;
        let batch = self.batch(&device)?;
        let logits = model.logits(batch.input.clone(), &batch.classes);
        self.comparison
            .check("logits", OUTPUT, "logits", &channels_first(logits))?;
        let nats = values(model.nats(batch));
        self.comparison
            .check("nats per image", OUTPUT, "nll_nats", &nats)
    }

    fn gradients(&mut self) -> Result<(), VerifyError> {
        let device = self.setting.device.clone().autodiff();
        let model = self.model(&device)?;
        let nats = model.nats(self.batch(&device)?);
        for (weight, gradient) in gradients(&model, self.plan, nats.sum()) {
            let name = format!("grad/{weight}");
            self.comparison
                .check("gradient of a weight", GRADIENT, &name, &gradient)?;
        }
        Ok(())
    }

    fn steps(&mut self) -> Result<(), VerifyError> {
        let device = self.setting.device.clone().autodiff();
        let specs = Arc::new(Specs::new(self.plan.tensors()));
        let mut state = TrainState::new(Box::new(self.model(&device)?), specs);
        loop {
            let name = format!("train/{}/nll_nats", state.step);
            if !self.recording.has(&name) {
                break;
            }
            let batch = self.batch(&device)?;
            let cost = state.model.cost(batch.clone(), PosteriorLatents::Mean);
            let nats = cost.distortion * self.plan.dimensions() as f32;
            self.comparison
                .check("nats before a step", OUTPUT, &name, &values(nats))?;
            let recipe = (self.setting.recipe)(state.step);
            let batches = [(batch, Noise::Given(Vec::new()))].into_iter();
            (state, _) = train_step(state, &recipe, batches);
        }
        for (quantity, prefix, model) in [
            ("weights after the steps", "train/final/", &*state.model),
            ("average after the steps", "train/ema/", &*state.average()),
        ] {
            self.comparison
                .check_tensors(quantity, STATE, prefix, (model, self.plan))?;
        }
        Ok(())
    }

    /// By both samplers.
    fn samples(&mut self) -> Result<(), VerifyError> {
        let model = self.model(&self.setting.device)?;
        let model: &dyn Ordered = &model;
        let kinds = self.kinds("sample/cond")?;
        let (shape, uniform) = self.recording.tensor("sample/u")?;
        let image = self.plan.image();
        let batch = shape.first().copied().unwrap_or(0);
        if shape != [batch, image.size * image.size, image.channels] {
            return Err(VerifyError(format!(
                "sample/u: expected [B, {}, {}], found {shape:?}",
                image.size * image.size,
                image.channels
            )));
        }
        let categorical = self.plan.categorical();
        for (quantity, mut next) in [
            ("sample, plain", model.begin_plain(&kinds)),
            ("sample, cached", model.begin(batch, &kinds)),
        ] {
            let mut canvas = model.blank(batch);
            let mut given = Given {
                plan: self.plan,
                uniform: &uniform,
            };
            fill(
                &mut *next,
                &self.plan.likelihood(),
                &mut given,
                &mut canvas,
                &mut |_| (),
            );
            let level = |&byte: &u8| categorical.level(byte) as u8;
            let levels: Vec<u8> = canvas.bytes().iter().map(level).collect();
            self.comparison
                .check_bytes(quantity, "sample/image_u8", &levels)?;
        }
        Ok(())
    }
}

/// Draws with recorded numbers [B, S S, C].
struct Given<'a> {
    plan: &'a GatedPixelCnnPlan,
    uniform: &'a [f32],
}

impl PixelSource for Given<'_> {
    fn decide(&mut self, turn: Turn, parameters: &[f32], canvas: &mut Canvas) {
        let shape = canvas.shape();
        let categorical = self.plan.categorical();
        let images = parameters.chunks_exact(categorical.levels);
        for (image, logits) in images.enumerate() {
            let pixel = (image * shape.size + turn.row) * shape.size + turn.column;
            let u = f64::from(self.uniform[pixel * shape.channels + turn.part]);
            let byte = categorical.draw(logits, u);
            canvas.set(image, [turn.row, turn.column], turn.part, &[byte]);
        }
    }
}

//! A model against recorded numbers: of another implementation, another device, another day.
//!
//! A recording is a safetensors file: weights, images, noise, and what somebody computed of them. Each
//! family says in its `verify.rs` which names it knows, and what is computed from what; numbers that are
//! not in the file are not compared. Shapes are those of the published files, channels before rows.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

use crate::family::{Model, Plan};
use crate::likelihood::values;
use crate::parameters::{self, Specs, TensorSpec};
use crate::preprocess::Normalisation;
use crate::step::Recipe;

/// Why numbers cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VerifyError(pub String);

/// Recorded numbers by name.
pub struct Recording<'a>(SafeTensors<'a>);

impl<'a> Recording<'a> {
    /// Of the bytes of a safetensors file.
    ///
    /// # Errors
    /// If they are none.
    pub fn new(bytes: &'a [u8]) -> Result<Self, VerifyError> {
        let file = SafeTensors::deserialize(bytes);
        let wrong = |error| VerifyError(format!("expected a safetensors file, found: {error}"));
        file.map(Self).map_err(wrong)
    }

    /// Whether `name` was recorded.
    pub fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    /// The names that begin with `prefix`, without it.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.0.names().into_iter();
        let names = names.filter_map(|name| name.strip_prefix(prefix));
        names.map(str::to_owned).collect()
    }

    /// The shape and the numbers of a tensor.
    ///
    /// # Errors
    /// If there is none, or it is of other numbers than 32-bit floats.
    pub fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), VerifyError> {
        let view = self.view(name, Dtype::F32)?;
        let float = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let numbers = view.data().chunks_exact(4).map(float).collect();
        Ok((view.shape().to_vec(), numbers))
    }

    /// The numbers of a tensor.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>, VerifyError> {
        Ok(self.tensor(name)?.1)
    }

    /// A tensor of bytes, such as images.
    ///
    /// # Errors
    /// If there is none, or it is of other numbers.
    pub fn bytes(&self, name: &str) -> Result<(Vec<usize>, Vec<u8>), VerifyError> {
        let view = self.view(name, Dtype::U8)?;
        Ok((view.shape().to_vec(), view.data().to_vec()))
    }

    fn view(&self, name: &str, dtype: Dtype) -> Result<TensorView<'_>, VerifyError> {
        let missing = |_| VerifyError(format!("{name}: expected this tensor, found none"));
        let view = self.0.tensor(name).map_err(missing)?;
        match view.dtype() {
            found if found == dtype => Ok(view),
            found => Err(VerifyError(format!(
                "{name}: expected {dtype:?}, found {found:?}"
            ))),
        }
    }

    /// A tensor of four axes as it is, on the device.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), or if it has other axes.
    pub fn four_axes(&self, name: &str, device: &Device) -> Result<Tensor<4>, VerifyError> {
        let (shape, numbers) = self.tensor(name)?;
        let shape = <[usize; 4]>::try_from(shape)
            .map_err(|shape| VerifyError(format!("{name}: expected four axes, found {shape:?}")))?;
        Ok(Tensor::from_data(TensorData::new(numbers, shape), device))
    }

    /// A tensor [B, C, H, W] as [B, H, W, C] on the device.
    ///
    /// # Errors
    /// As [`four_axes`](Self::four_axes).
    pub fn image(&self, name: &str, device: &Device) -> Result<Tensor<4>, VerifyError> {
        Ok(self.four_axes(name, device)?.permute([0, 2, 3, 1]))
    }

    /// The noise `prefix/0`, `prefix/1`, ... of all layers, [B, R, R, Z] each.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn noise(&self, prefix: &str, device: &Device) -> Result<Vec<Tensor<4>>, VerifyError> {
        let layers = self.names(&format!("{prefix}/")).len();
        (0..layers)
            .map(|layer| self.image(&format!("{prefix}/{layer}"), device))
            .collect()
    }

    /// `model` with the recorded tensors `prefix/NAME`.
    ///
    /// # Errors
    /// If one is missing or has another shape.
    pub fn model(
        &self,
        prefix: &str,
        model: Box<dyn Model>,
        specs: &Specs,
    ) -> Result<Box<dyn Model>, VerifyError> {
        parameters::import(model, specs, |spec| self.values(prefix, spec))
    }

    /// The numbers of a model's tensor, `prefix` before its name.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub fn values(&self, prefix: &str, spec: &TensorSpec) -> Result<Vec<f32>, VerifyError> {
        let name = format!("{prefix}{}", spec.name);
        let (shape, numbers) = self.tensor(&name)?;
        if shape == spec.shape {
            return Ok(numbers);
        }
        let expected = &spec.shape;
        Err(VerifyError(format!(
            "{name}: expected {expected:?}, as the configuration's model has, found {shape:?}"
        )))
    }
}

/// How and where to compute.
pub struct Setting<'a> {
    /// Of the images, where the model wants one.
    pub normalisation: Option<Normalisation>,
    /// How each of the recorded steps was taken.
    pub recipe: &'a dyn Fn(u64) -> Recipe,
    /// Without autodiff.
    pub device: Device,
}

/// How a difference is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// The largest |a - b|.
    Absolute,
    /// The largest |a - b| against the largest |b|, or against 1 if that is larger.
    Scaled,
    /// |a - b| / |b| in the Euclidean norm.
    Relative,
}

/// The largest error of one quantity over all tensors of its kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What was compared.
    pub quantity: String,
    /// Tensors.
    pub tensors: usize,
    /// How the error is measured.
    pub measure: Measure,
    /// The largest; infinite where a number is none.
    pub error: f64,
    /// What it must stay below.
    pub tolerance: f64,
    /// The tensor that has it.
    pub worst: String,
}

impl Compared {
    /// Whether the error is below the tolerance.
    pub fn is_met(&self) -> bool {
        self.error < self.tolerance
    }
}

/// Compares what is computed with a recording, quantity by quantity.
pub struct Comparison<'a> {
    recording: &'a Recording<'a>,
    compared: Vec<Compared>,
}

impl<'a> Comparison<'a> {
    /// Nothing is compared yet.
    pub fn new(recording: &'a Recording<'a>) -> Self {
        Self {
            recording,
            compared: Vec::new(),
        }
    }

    /// Compares a tensor with the recorded one of the same name, if there is one.
    ///
    /// # Errors
    /// If there are more numbers of the one than of the other.
    pub fn check(
        &mut self,
        quantity: &str,
        how: (Measure, f64),
        tensor: &str,
        found: &[f32],
    ) -> Result<(), VerifyError> {
        if !self.recording.has(tensor) {
            return Ok(());
        }
        let expected = self.recording.numbers(tensor)?;
        self.compare(quantity, how, tensor, found, &expected)
    }

    /// Compares bytes with the recorded ones of the same name, if there are any: all must be the same.
    ///
    /// # Errors
    /// If there are more of the one than of the other.
    pub fn check_bytes(
        &mut self,
        quantity: &str,
        tensor: &str,
        found: &[u8],
    ) -> Result<(), VerifyError> {
        if !self.recording.has(tensor) {
            return Ok(());
        }
        let numbers = |bytes: &[u8]| bytes.iter().map(|&byte| byte.into()).collect::<Vec<f32>>();
        let (_, expected) = self.recording.bytes(tensor)?;
        let (found, expected) = (numbers(found), numbers(&expected));
        self.compare(
            quantity,
            (Measure::Absolute, 0.5),
            tensor,
            &found,
            &expected,
        )
    }

    fn compare(
        &mut self,
        quantity: &str,
        (measure, tolerance): (Measure, f64),
        tensor: &str,
        found: &[f32],
        expected: &[f32],
    ) -> Result<(), VerifyError> {
        if found.len() != expected.len() {
            return Err(VerifyError(format!(
                "{tensor}: expected {} numbers, as computed, found {} recorded",
                found.len(),
                expected.len()
            )));
        }
        let error = error(measure, found, expected);
        let error = if error.is_nan() { f64::INFINITY } else { error };
        let mut known = self.compared.iter_mut();
        match known.find(|known| known.quantity == quantity) {
            None => self.compared.push(Compared {
                quantity: quantity.to_owned(),
                tensors: 1,
                measure,
                error,
                tolerance,
                worst: tensor.to_owned(),
            }),
            Some(known) => {
                known.tensors += 1;
                if error > known.error {
                    known.error = error;
                    known.worst = tensor.to_owned();
                }
            }
        }
        Ok(())
    }

    /// Compares every tensor of `model` with the recorded ones, `prefix` before their names.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_tensors(
        &mut self,
        quantity: &str,
        how: (Measure, f64),
        prefix: &str,
        (model, plan): (&dyn Model, &dyn Plan),
    ) -> Result<(), VerifyError> {
        for tensor in parameters::export(model, &Specs::new(plan.tensors())) {
            let name = format!("{prefix}{}", tensor.name);
            self.check(quantity, how, &name, &tensor.values)?;
        }
        Ok(())
    }

    /// All quantities in the order in which they were first compared.
    ///
    /// # Errors
    /// If there was nothing to compare.
    pub fn finish(self) -> Result<Vec<Compared>, VerifyError> {
        if self.compared.is_empty() {
            return Err(VerifyError(
                "nothing to compare: the file has none of the names that this family knows"
                    .to_owned(),
            ));
        }
        Ok(self.compared)
    }
}

fn error(measure: Measure, found: &[f32], expected: &[f32]) -> f64 {
    let pairs = || found.iter().zip(expected);
    let difference = |(a, b): (&f32, &f32)| f64::from(a - b);
    // NaN must not be lost on the way to the maximum.
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(0.0_f64, |max, value| {
            if value > max || value.is_nan() {
                value
            } else {
                max
            }
        })
    };
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    match measure {
        Measure::Absolute => largest(&mut pairs().map(|pair| difference(pair).abs())),
        Measure::Scaled => {
            let scale = largest(&mut expected.iter().map(|&b| f64::from(b).abs()));
            largest(&mut pairs().map(|pair| difference(pair).abs())) / scale.max(1.0)
        }
        Measure::Relative => {
            let scale = norm(&mut expected.iter().map(|&b| f64::from(b)));
            norm(&mut pairs().map(difference)) / (scale + 1e-9)
        }
    }
}

/// A tensor [B, H, W, C] in the order of recordings, [B, C, H, W].
pub fn channels_first(tensor: Tensor<4>) -> Vec<f32> {
    values(tensor.permute([0, 3, 1, 2]))
}

/// The gradient of the number `loss` for every weight of `model`, as files hold them, by name.
pub fn gradients(
    model: &dyn Model,
    plan: &dyn Plan,
    loss: Tensor<1>,
) -> BTreeMap<String, Vec<f32>> {
    let specs = Specs::new(plan.tensors());
    let mut gradients = loss.backward();
    let mut all = BTreeMap::new();
    model.visit(&mut |name, tensor| {
        if specs.is_weight(name) {
            let gradient = tensor.gradient(&mut gradients);
            all.insert(name.to_owned(), specs.of(name).to_file(gradient));
        }
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording in which a, b and c are [1, 2].
    fn recorded() -> Vec<u8> {
        let bytes = [1.0_f32, 2.0].map(f32::to_le_bytes).concat();
        let views = ["a", "b", "c"].map(|name| {
            let view = TensorView::new(Dtype::F32, vec![2], &bytes).unwrap();
            (name, view)
        });
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn a_number_that_is_none_is_an_infinite_error() {
        let file = recorded();
        let recording = Recording::new(&file).unwrap();
        for measure in [Measure::Absolute, Measure::Scaled, Measure::Relative] {
            let mut comparison = Comparison::new(&recording);
            let how = (measure, 1.0);
            comparison.check("x", how, "a", &[1.0, 2.0]).unwrap();
            comparison.check("x", how, "b", &[f32::NAN, 2.0]).unwrap();
            comparison.check("x", how, "c", &[1.0, 2.5]).unwrap();
            let compared = &comparison.finish().unwrap()[0];
            assert_eq!((compared.error, &*compared.worst), (f64::INFINITY, "b"));
            assert_eq!(compared.tensors, 3);
            assert!(!compared.is_met());
        }
    }

    #[test]
    fn measures_are_what_they_say() {
        let (a, b) = ([0.0, 3.0], [0.0, 2.0]);
        assert_eq!(error(Measure::Absolute, &a, &b), 1.0);
        assert_eq!(error(Measure::Scaled, &a, &b), 0.5);
        assert_eq!(error(Measure::Scaled, &[0.5], &[0.25]), 0.25, "against 1");
        assert!((error(Measure::Relative, &a, &b) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn different_lengths_and_nothing_at_all_are_errors() {
        let file = recorded();
        let recording = Recording::new(&file).unwrap();
        let mut comparison = Comparison::new(&recording);
        let how = (Measure::Absolute, 1.0);
        assert!(comparison.check("x", how, "a", &[1.0]).is_err());
        comparison
            .check("x", how, "what nobody recorded", &[1.0])
            .unwrap();
        assert!(comparison.finish().is_err());
    }
}

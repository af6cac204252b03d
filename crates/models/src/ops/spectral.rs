//! Spectral norms of weights by power iteration (Yoshida and Miyato, 2017).

use burn::backend::flex::FlexTensor;
use burn::tensor::{Device, Tensor};
use vdvae_kernels::weight_norm::{Spectral, add_spectral_gradient, power_iteration};

use super::fused::{CpuOperation, apply, host, host_slice, is_cpu};
use super::profile::{Work, timed};
use super::sum::whole;
use crate::likelihood::values;

/// Weights with the vectors of their iteration. None of the vectors is tracked.
#[derive(Clone, Debug)]
pub struct Iterated {
    /// [.., outputs]; the axes before are the rows of a matrix.
    pub weight: Tensor<4>,
    /// `[outputs]`: where the iteration starts, and where it ended.
    pub u: Tensor<1>,
    /// `[rows]`: where it ended.
    pub v: Tensor<1>,
}

/// Iterates each of the weights so many times, v = w u / max(|w u|, 1e-3) and u = w' v / max(|w' v|, 1e-3), and
/// returns the norms v' w u, `[1]` each, differentiated through the weights only.
pub fn spectral_norms(all: &mut [Iterated], iterations: usize) -> Vec<Tensor<1>> {
    let on_cpu = all
        .first()
        .is_none_or(|first| is_cpu(&first.weight.device()));
    if !on_cpu {
        return composed::spectral_norms(all, iterations);
    }
    let weights: Vec<FlexTensor> = all
        .iter()
        .map(|one| host(plain(one.weight.clone())))
        .collect();
    let mut vectors: Vec<Spectral> = all
        .iter()
        .map(|one| Spectral {
            u: values(one.u.clone()),
            ..Spectral::default()
        })
        .collect();
    let slices: Vec<&[f32]> = weights.iter().map(host_slice).collect();
    let numbers: usize = slices.iter().map(|slice| slice.len()).sum();
    timed(
        |_| Work::moving("power iteration", iterations * numbers),
        || power_iteration(&slices, &mut vectors, iterations),
    );
    let norms = all.iter_mut().zip(vectors).map(|(one, vectors)| {
        let device = one.u.device();
        one.u = Tensor::from_floats(&vectors.u[..], &device);
        one.v = Tensor::from_floats(&vectors.v[..], &device);
        apply(Norm(vectors), [one.weight.clone().into_dispatch()])
    });
    norms.collect()
}

fn plain(tensor: Tensor<4>) -> Tensor<4> {
    if tensor.device().is_autodiff() {
        tensor.inner()
    } else {
        tensor
    }
}

/// The norm that an iteration found, of its weights.
#[derive(Clone, Debug)]
struct Norm(Spectral);

impl CpuOperation<1> for Norm {
    type Saved = ();

    const KEEPS_INPUTS: bool = false;

    fn name(&self) -> String {
        "spectral norm".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![1]
    }

    fn forward(&self, _: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        vec![self.0.norm]
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        [earlier]: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        if let Some(sum) = earlier.take() {
            let to = earlier.insert(whole(sum)).storage_mut();
            add_spectral_gradient(to, &self.0, gradient[0]);
            return [None];
        }
        let mut to = vec![0.0; self.0.u.len() * self.0.v.len()];
        add_spectral_gradient(&mut to, &self.0, gradient[0]);
        [Some(to)]
    }
}

pub(super) mod composed {
    use super::*;

    /// Vectors shorter than this are divided by it.
    const EPSILON: f64 = 1e-3;

    /// [`super::spectral_norms`] of Burn's operations.
    pub fn spectral_norms(all: &mut [Iterated], iterations: usize) -> Vec<Tensor<1>> {
        let norm = |one: &mut Iterated| {
            let outputs = one.weight.dims()[3];
            let rows = one.weight.shape().num_elements() / outputs;
            let weight = one.weight.clone().reshape([rows, outputs]);
            let fixed = plain(one.weight.clone()).reshape([rows, outputs]);
            for _ in 0..iterations {
                let u = one.u.clone().reshape([outputs, 1]);
                one.v = normalised(fixed.clone().matmul(u).reshape([rows]));
                let v = one.v.clone().reshape([1, rows]);
                one.u = normalised(v.matmul(fixed.clone()).reshape([outputs]));
            }
            let device = one.weight.device();
            let image = like(one.v.clone(), &device).reshape([1, rows]);
            let image = image.matmul(weight);
            let u = like(one.u.clone(), &device).reshape([outputs, 1]);
            image.matmul(u).reshape([1])
        };
        all.iter_mut().map(norm).collect()
    }

    /// On the device with autodiff where that is it.
    fn like(tensor: Tensor<1>, device: &Device) -> Tensor<1> {
        if device.is_autodiff() {
            Tensor::from_inner(tensor)
        } else {
            tensor
        }
    }

    /// x / max(|x|, 1e-3).
    fn normalised(x: Tensor<1>) -> Tensor<1> {
        let norm = (x.clone() * x.clone()).sum().sqrt().clamp_min(EPSILON);
        x / norm
    }
}

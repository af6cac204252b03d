//! Gates: one half of the channels decides how much of the other passes.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::elementwise::gate as kernel;
pub use vdvae_kernels::elementwise::gate::Gate;

use super::fused::{CpuOperation, apply, is_cpu};

/// Of `y` [.., 2C], the gated first half [.., C].
pub fn gate(kind: Gate, y: Tensor<4>) -> Tensor<4> {
    if !is_cpu(&y.device()) {
        return composed::gate(kind, y);
    }
    let [batch, height, width, channels] = y.dims();
    let shape = [batch, height, width, channels / 2];
    apply(Gated { kind, shape }, [y.into_dispatch()])
}

/// `x + a sigmoid(b)` of `x` [.., C] and the halves of the channels of `y` [.., 2C]: the end of a gated residual
/// block (PixelCNN++).
pub fn add_gated(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::add_gated(x, y);
    }
    let (kind, shape) = (Gate::Linear, x.dims());
    apply(
        Gated { kind, shape },
        [x.into_dispatch(), y.into_dispatch()],
    )
}

/// A gate, and its shape.
#[derive(Clone, Debug)]
struct Gated {
    kind: Gate,
    shape: [usize; 4],
}

impl Gated {
    fn gradient(&self, y: &[f32], gradient: &[f32]) -> Vec<f32> {
        let mut dy = vec![0.0; y.len()];
        kernel::gate_backward(self.kind, self.shape[3], y, gradient, &mut dy);
        dy
    }

    fn forward(&self, y: &[f32], x: Option<&[f32]>) -> Vec<f32> {
        let mut out = vec![0.0; y.len() / 2];
        kernel::gate(self.kind, self.shape[3], y, x, &mut out);
        out
    }
}

/// On its own.
impl CpuOperation<1> for Gated {
    type Saved = ();

    fn name(&self) -> String {
        "gate".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn forward(&self, [y]: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        self.forward(y, None)
    }

    fn backward(
        &self,
        [y]: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        [Some(self.gradient(y, gradient))]
    }
}

/// Added to `x`, whose gradient is that of the sum.
impl CpuOperation<2> for Gated {
    type Saved = ();

    fn name(&self) -> String {
        "add gated".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn forward(&self, [x, y]: [&[f32]; 2], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        self.forward(y, Some(x))
    }

    fn works_in_place(&self) -> bool {
        true
    }

    fn forward_in_place(&self, x: &mut [f32], [_, y]: [&[f32]; 2]) {
        kernel::add_gate(self.kind, self.shape[3], y, x);
    }

    fn passes_on(&self) -> [bool; 2] {
        [true, false]
    }

    fn backward(
        &self,
        [_, y]: [&[f32]; 2],
        _: &(),
        gradient: &[f32],
        wanted: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<Vec<f32>>; 2] {
        [None, wanted[1].then(|| self.gradient(y, gradient))]
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::sigmoid;

    /// [`super::gate`] of Burn's operations.
    pub fn gate(kind: Gate, y: Tensor<4>) -> Tensor<4> {
        let channels = y.dims()[3] / 2;
        let (a, b) = (
            y.clone().narrow(3, 0, channels),
            y.narrow(3, channels, channels),
        );
        match kind {
            Gate::Linear => a * sigmoid(b),
            Gate::Tanh => a.tanh() * sigmoid(b),
        }
    }

    /// [`super::add_gated`] of Burn's operations.
    pub fn add_gated(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
        x + gate(Gate::Linear, y)
    }
}

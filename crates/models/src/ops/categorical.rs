//! Values that are one of a few levels each, with a softmax over them.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::elementwise::categorical as kernel;

use super::fused::{CpuOperation, apply, is_cpu};

/// Negative log-likelihood in nats per image, `[B]`, of the levels `target` [B, H, W, C] (whole numbers from 0 on, a
/// constant), under the softmax of `logits` [B, H, W, C * levels], the levels of a colour side by side
/// (PixelCNN, van den Oord et al. 2016).
pub fn categorical_nll(levels: usize, logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    if !is_cpu(&logits.device()) {
        return composed::categorical_nll(levels, logits, target);
    }
    let batch = target.dims()[0];
    let inputs = [logits.into_dispatch(), target.into_dispatch()];
    apply(Categorical { batch, levels }, inputs)
}

#[derive(Clone, Debug)]
struct Categorical {
    batch: usize,
    levels: usize,
}

impl CpuOperation<2> for Categorical {
    type Saved = ();

    fn name(&self) -> String {
        "categorical".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch]
    }

    fn forward(&self, [logits, target]: [&[f32]; 2], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        let mut nll = vec![0.0; self.batch];
        kernel::nll(self.levels, logits, target, &mut nll);
        nll
    }

    fn backward(
        &self,
        [logits, target]: [&[f32]; 2],
        _: &(),
        gradient: &[f32],
        _: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let mut dlogits = vec![0.0; logits.len()];
        kernel::nll_backward(self.levels, logits, target, gradient, &mut dlogits);
        [Some(dlogits), None]
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::log_softmax;

    use crate::ops::sum_per_image;

    /// [`super::categorical_nll`] of Burn's operations.
    pub fn categorical_nll(levels: usize, logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let [batch, height, width, colours] = target.dims();
        let logits: Tensor<5> = logits.reshape([batch, height, width, colours, levels]);
        let target: Tensor<5> = target.unsqueeze_dim(4);
        let own = log_softmax(logits, 4).gather(4, target.int());
        sum_per_image(own).neg()
    }
}

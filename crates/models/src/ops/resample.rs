//! Between resolutions: average pooling on the way up, nearest upsampling on the way down.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::elementwise::pool::{self, PoolShape};
use vdvae_kernels::elementwise::upsample::{self, UpsampleShape};

use super::fused::{CpuOperation, apply, is_cpu};

/// Averages over cells of `rate` x `rate` pixels and pads with zero channels up to `channels`:
/// [B, H, W, C] to [B, H / rate, W / rate, channels].
pub fn average_pool(x: Tensor<4>, rate: usize, channels: usize) -> Tensor<4> {
    let [batch, height, width, c_in] = x.dims();
    if rate == 1 && channels == c_in {
        return x;
    }
    if !is_cpu(&x.device()) {
        return composed::average_pool(x, rate, channels);
    }
    let shape = PoolShape {
        batch,
        height,
        width,
        c_in,
        c_out: channels,
        factor: rate,
    };
    apply(shape, [x.into_dispatch()])
}

/// `x` [B or 1, R, R, C] plus the first C channels of `lower` [B, M, M, >= C], each pixel repeated over
/// a cell of R / M x R / M; returns [B, R, R, C].
pub fn upsample_add(x: Tensor<4>, lower: Tensor<4>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::upsample_add(x, lower);
    }
    let [_, height, width, channels] = x.dims();
    let [batch, from, _, mixed_channels] = lower.dims();
    let shape = UpsampleShape {
        batch,
        height,
        width,
        channels,
        mixed_channels,
        factor: height / from,
    };
    apply(shape, [x.into_dispatch(), lower.into_dispatch()])
}

impl CpuOperation<1> for PoolShape {
    type Saved = ();
    const KEEPS_INPUTS: bool = false;

    fn name(&self) -> String {
        "pool".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![
            self.batch,
            self.height / self.factor,
            self.width / self.factor,
            self.c_out,
        ]
    }

    fn forward(&self, [x]: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        let mut out = vec![0.0; self.output_len()];
        pool::avg_pool(self, x, &mut out);
        saved.map(|saved| saved.insert(()));
        out
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let mut dx = vec![0.0; self.input_len()];
        pool::avg_pool_backward(self, gradient, &mut dx);
        [Some(dx)]
    }
}

impl CpuOperation<2> for UpsampleShape {
    /// Lengths of the inputs.
    type Saved = [usize; 2];
    const KEEPS_INPUTS: bool = false;

    fn name(&self) -> String {
        "upsample".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, self.height, self.width, self.channels]
    }

    fn forward(&self, [x, lower]: [&[f32]; 2], saved: Option<&mut Option<[usize; 2]>>) -> Vec<f32> {
        let mut out = vec![0.0; self.batch * self.image_len()];
        upsample::upsample_add(self, x, lower, &mut out);
        saved.map(|saved| saved.insert([x.len(), lower.len()]));
        out
    }

    fn backward(
        &self,
        _: [&[f32]; 2],
        &[x, lower]: &[usize; 2],
        gradient: &[f32],
        _: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let (mut dx, mut dlower) = (vec![0.0; x], vec![0.0; lower]);
        upsample::upsample_add_backward(self, gradient, &mut dx, &mut dlower);
        [Some(dx), Some(dlower)]
    }
}

pub(super) mod composed {
    use super::*;

    /// [`super::average_pool`] of Burn's operations.
    pub fn average_pool(x: Tensor<4>, rate: usize, channels: usize) -> Tensor<4> {
        let [batch, height, width, c] = x.dims();
        let (height, width) = (height / rate, width / rate);
        let x = x
            .reshape([batch, height, rate, width, rate, c])
            .mean_dim(4)
            .mean_dim(2)
            .reshape([batch, height, width, c]);
        if channels == c {
            return x;
        }
        let zeros = Tensor::zeros([batch, height, width, channels - c], &x.device());
        Tensor::cat(vec![x, zeros], 3)
    }

    /// [`super::upsample_add`] of Burn's operations.
    pub fn upsample_add(x: Tensor<4>, lower: Tensor<4>) -> Tensor<4> {
        let [_, side, _, channels] = x.dims();
        let [batch, from, _, _] = lower.dims();
        let rate = side / from;
        let lower = lower
            .narrow(3, 0, channels)
            .reshape([batch, from, 1, from, 1, channels])
            .expand([batch, from, rate, from, rate, channels])
            .reshape([batch, side, side, channels]);
        x + lower
    }
}

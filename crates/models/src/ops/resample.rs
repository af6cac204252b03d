//! Between resolutions: average pooling on the way up, nearest upsampling on the way down.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::elementwise::bilinear::{self, Bilinear};
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

/// `x` [B, H, W, C] at twice as many points in both directions, linear between pixels, corners on corners:
/// [B, 2H, 2W, C].
pub fn upsample_bilinear(x: Tensor<4>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::upsample_bilinear(x);
    }
    let [batch, height, width, channels] = x.dims();
    let shape = Bilinear {
        batch,
        height,
        width,
        channels,
    };
    apply(shape, [x.into_dispatch()])
}

impl CpuOperation<1> for Bilinear {
    type Saved = ();
    const KEEPS_INPUTS: bool = false;

    fn name(&self) -> String {
        "bilinear".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, 2 * self.height, 2 * self.width, self.channels]
    }

    fn forward(&self, [x]: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        let mut out = vec![0.0; self.output_len()];
        bilinear::upsample_bilinear(self, x, &mut out);
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
        bilinear::upsample_bilinear_backward(self, gradient, &mut dx);
        [Some(dx)]
    }
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
    use burn::tensor::{Device, TensorData};

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

    /// Every pixel of `x` [B, H, W, C] four times: [B, 2H, 2W, C].
    pub fn upsample_nearest(x: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        x.reshape([batch, height, 1, width, 1, channels])
            .expand([batch, height, 2, width, 2, channels])
            .reshape([batch, 2 * height, 2 * width, channels])
    }

    /// [`super::upsample_bilinear`] of Burn's operations.
    pub fn upsample_bilinear(x: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let device = x.device();
        let rows = doubling(height, &device).unsqueeze::<3>();
        let x = rows.expand([batch, 2 * height, height]).matmul(x.reshape([
            batch,
            height,
            width * channels,
        ]));
        let columns = doubling(width, &device).unsqueeze::<3>();
        let x = columns
            .expand([batch * 2 * height, 2 * width, width])
            .matmul(x.reshape([batch * 2 * height, width, channels]));
        x.reshape([batch, 2 * height, 2 * width, channels])
    }

    /// The share of each of `side` points in each of twice as many, [2 side, side].
    fn doubling(side: usize, device: &Device) -> Tensor<2> {
        let mut shares = vec![0.0_f32; 2 * side * side];
        for (to, shares) in shares.chunks_exact_mut(side).enumerate() {
            let at = (to * (side - 1)) as f32 / (2 * side - 1) as f32;
            let low = (at as usize).min(side - 1);
            let high = (low + 1).min(side - 1);
            shares[low] += 1.0 - (at - low as f32);
            shares[high] += at - low as f32;
        }
        Tensor::from_data(TensorData::new(shares, [2 * side, side]), device)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::likelihood::values;

    fn counting(shape: [usize; 4]) -> Tensor<4> {
        let count = shape.iter().product::<usize>();
        let numbers: Vec<f32> = (0..count).map(|i| i as f32).collect();
        Tensor::from_data(TensorData::new(numbers, shape), &Device::flex())
    }

    #[test]
    fn bilinear_keeps_corners_and_planes() {
        for upsample in [upsample_bilinear, composed::upsample_bilinear] {
            // The value is a linear function of row and column, and stays one.
            let x = values(upsample(counting([1, 3, 4, 1])));
            for row in 0..6 {
                for column in 0..8 {
                    let expected = 4.0 * row as f32 * 2.0 / 5.0 + column as f32 * 3.0 / 7.0;
                    let error = (x[row * 8 + column] - expected).abs();
                    assert!(error < 1e-5, "{row} {column}");
                }
            }
            let one = values(upsample(counting([1, 1, 1, 2])));
            assert_eq!(one, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        }
    }

    #[test]
    fn nearest_repeats() {
        let twice = values(composed::upsample_nearest(counting([1, 1, 2, 1])));
        assert_eq!(twice, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    }
}

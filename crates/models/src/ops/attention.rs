//! Causal attention.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::attention::{self as kernel, Attention, Statistics};

use super::fused::{CpuOperation, apply, is_cpu};

/// Attention of `q` [B, N, heads d] to `k` [B, M, heads d] and `v` [B, M, heads e], of which query i sees
/// the first `seen[i]` (PixelSNAIL, Chen et al. 2017, arXiv:1712.09763): weights
/// w_ij = exp((q_i k_j - m_i) scale), m_i the largest product that it sees, and the result
/// sum_j w_ij v_j / (sum_j w_ij + epsilon), [B, N, heads e]. A query that sees nothing gets 0.
///
/// m_i counts as a constant in the backward pass. `scale` must be above 0.
pub fn causal_attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    seen: &[usize],
    scale: f32,
    epsilon: f32,
) -> Tensor<3> {
    if !is_cpu(&q.device()) {
        return composed::causal_attention(q, k, v, heads, seen, scale, epsilon);
    }
    let ([batch, _, key_row], [_, keys, value_row]) = (q.dims(), v.dims());
    let operation = CausalAttention {
        batch,
        keys,
        heads,
        key_size: key_row / heads,
        value_size: value_row / heads,
        seen: seen.into(),
        scale,
        epsilon,
    };
    apply(operation, [q, k, v].map(Tensor::into_dispatch))
}

/// As [`Attention`], but its own.
#[derive(Clone, Debug)]
struct CausalAttention {
    batch: usize,
    keys: usize,
    heads: usize,
    key_size: usize,
    value_size: usize,
    seen: Arc<[usize]>,
    scale: f32,
    epsilon: f32,
}

impl CausalAttention {
    fn attention(&self) -> Attention<'_> {
        Attention {
            batch: self.batch,
            keys: self.keys,
            heads: self.heads,
            key_size: self.key_size,
            value_size: self.value_size,
            seen: &self.seen,
            scale: self.scale,
            epsilon: self.epsilon,
        }
    }
}

impl CpuOperation<3> for CausalAttention {
    /// The result, and what else the kernel leaves.
    type Saved = (Vec<f32>, Statistics);

    fn name(&self) -> String {
        let (queries, keys, heads) = (self.seen.len(), self.keys, self.heads);
        let (d, e) = (self.key_size, self.value_size);
        format!("attention {queries} x {keys}, {heads} heads of {d} and {e}")
    }

    fn operations(&self) -> usize {
        self.attention().operations()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, self.seen.len(), self.heads * self.value_size]
    }

    fn forward(&self, [q, k, v]: [&[f32]; 3], saved: Option<&mut Option<Self::Saved>>) -> Vec<f32> {
        let (out, statistics) = kernel::forward_new(&self.attention(), q, k, v);
        if let Some(saved) = saved {
            *saved = Some((out.clone(), statistics));
        }
        out
    }

    fn backward(
        &self,
        inputs: [&[f32]; 3],
        (out, statistics): &Self::Saved,
        gradient: &[f32],
        _: [bool; 3],
        _: &mut [Option<FlexTensor>; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let forward = (&out[..], statistics);
        kernel::backward_new(&self.attention(), inputs, forward, gradient).map(Some)
    }
}

pub(super) mod composed {
    use burn::tensor::TensorData;

    use super::*;

    /// [`super::causal_attention`] of Burn's operations, with the matrix of all pairs.
    pub fn causal_attention(
        q: Tensor<3>,
        k: Tensor<3>,
        v: Tensor<3>,
        heads: usize,
        seen: &[usize],
        scale: f32,
        epsilon: f32,
    ) -> Tensor<3> {
        let (device, [batch, queries, _]) = (q.device(), q.dims());
        let [_, keys, value_row] = v.dims();
        let [q, k, v] = [q, k, v].map(|x| {
            let [batch, pixels, channels] = x.dims();
            let heads_apart = x.reshape([batch, pixels, heads, channels / heads]);
            heads_apart.swap_dims(1, 2)
        });
        // 1 where a query sees a key.
        let visible = seen
            .iter()
            .flat_map(|&seen| (0..keys).map(move |key| if key < seen { 1.0_f32 } else { 0.0 }));
        let visible = TensorData::new(visible.collect::<Vec<_>>(), [1, 1, queries, keys]);
        let visible: Tensor<4> = Tensor::from_data(visible, &device);
        let products = q.matmul(k.swap_dims(2, 3));
        // What is not seen is below what is; where there is nothing, any number serves.
        let hidden = (visible.clone() - 1.0) * 1e30;
        let seen_only = products * visible.clone() + hidden;
        let largest = seen_only.clone().detach().max_dim(3);
        let weights = ((seen_only - largest) * scale).exp() * visible;
        // Without a weight there is no result, whatever it is divided by.
        let nothing = seen
            .iter()
            .map(|&seen| if seen == 0 { 1.0_f32 } else { 0.0 });
        let nothing = TensorData::new(nothing.collect::<Vec<_>>(), [1, 1, queries, 1]);
        let total = weights.clone().sum_dim(3) + epsilon + Tensor::from_data(nothing, &device);
        let result = weights.matmul(v) / total;
        result.swap_dims(1, 2).reshape([batch, queries, value_row])
    }
}

//! The residual cell on the CPU.

use std::sync::{Arc, OnceLock};

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::batch_norm::Statistics;
use vdvae_kernels::residual::{self, Residual, Saved, Weights};

use super::cells::{
    CELL_SCALE, Found, ResidualCell, SqueezeExcite, given, norm_inputs, norms, squeeze,
    squeeze_inputs, unbiased,
};
use super::fused::{CpuOperation, apply, host_slice};
use super::norm::{BATCH_NORM_EPSILON, BatchStatistics};

/// Inputs: x, skip, scale and offset of each normalisation, weight and bias of each convolution, those of the
/// squeeze and excitation.
const INPUTS: usize = 14;

#[derive(Clone, Debug)]
struct Operation {
    shape: Residual,
    /// Whether the gradient of the skip is added to that of `x`, as they are one tensor.
    adds_to_itself: bool,
    /// Statistics to normalise by; none: those of the batch.
    given: Option<[Statistics; 2]>,
    found: Found<2>,
}

/// [`super::residual_cell`] on the CPU.
pub(super) fn residual_cell(
    x: Tensor<4>,
    skip: Option<Tensor<4>>,
    cell: &ResidualCell,
    squeeze_excite: &SqueezeExcite,
) -> (Tensor<4>, Vec<BatchStatistics>) {
    let [batch, height, width, c_in] = x.dims();
    let operation = Operation {
        shape: Residual {
            batch,
            height,
            width,
            c_in,
            c_out: cell.convolutions[0].1.dims()[0],
            squeezed: squeeze_excite.squeeze_bias.dims()[0],
            stride: cell.stride,
            epsilon: BATCH_NORM_EPSILON as f32,
            scale: CELL_SCALE as f32,
        },
        adds_to_itself: skip.is_none(),
        given: given(&cell.norms),
        found: Arc::new(OnceLock::new()),
    };
    let [_, height_out, width_out, _] = operation.output();
    let pixels = [batch * height * width, batch * height_out * width_out];
    let found = operation.found.clone();
    let skip = skip.unwrap_or_else(|| x.clone().detach());
    let [[g0, b0], [g1, b1]] = norm_inputs(&cell.norms);
    let [(w0, c0), (w1, c1)] = cell.convolutions.clone();
    let [s0, s1, s2, s3] = squeeze_inputs(squeeze_excite);
    let output = apply(
        operation,
        [
            x.into_dispatch(),
            skip.into_dispatch(),
            g0,
            b0,
            g1,
            b1,
            w0.into_dispatch(),
            c0.into_dispatch(),
            w1.into_dispatch(),
            c1.into_dispatch(),
            s0,
            s1,
            s2,
            s3,
        ],
    );
    (output, unbiased(&found, pixels))
}

fn weights<'a>(inputs: &[&'a [f32]; INPUTS]) -> Weights<'a> {
    let [_, _, g0, b0, g1, b1, w0, c0, w1, c1, s @ ..] = *inputs;
    Weights {
        norms: norms([[g0, b0], [g1, b1]]),
        convolutions: [w0, w1],
        biases: [c0, c1],
        squeeze: squeeze(s),
    }
}

impl Operation {
    fn output(&self) -> [usize; 4] {
        let Residual {
            batch,
            height,
            width,
            c_out,
            stride,
            ..
        } = self.shape;
        [
            batch,
            height.div_ceil(stride),
            width.div_ceil(stride),
            c_out,
        ]
    }
}

impl CpuOperation<INPUTS> for Operation {
    type Saved = Saved;

    fn name(&self) -> String {
        "residual cell".to_owned()
    }

    fn operations(&self) -> usize {
        self.shape.operations()
    }

    fn output_shape(&self) -> Vec<usize> {
        self.output().to_vec()
    }

    fn passes_on(&self) -> [bool; INPUTS] {
        std::array::from_fn(|i| i == 1)
    }

    fn forward(&self, inputs: [&[f32]; INPUTS], saved: Option<&mut Option<Saved>>) -> Vec<f32> {
        let [x, skip, ..] = inputs;
        let weights = weights(&inputs);
        if let Some(given) = &self.given {
            return residual::evaluate(&self.shape, x, skip, &weights, given);
        }
        let (y, kept) = residual::forward_new(&self.shape, x, skip, &weights);
        self.found.get_or_init(|| kept.statistics().clone());
        saved.map(|saved| saved.insert(kept));
        y
    }

    fn backward(
        &self,
        inputs: [&[f32]; INPUTS],
        saved: &Saved,
        gradient: &[f32],
        wanted: [bool; INPUTS],
        earlier: &mut [Option<FlexTensor>; INPUTS],
    ) -> [Option<Vec<f32>>; INPUTS] {
        let others = earlier[0].take();
        let others = [
            others.as_ref().map(host_slice),
            self.adds_to_itself.then_some(gradient),
        ];
        let weights = weights(&inputs);
        let found =
            residual::backward_new(&self.shape, inputs[0], &weights, saved, gradient, others);
        let [n0, n1] = found.norms;
        let [w0, w1] = found.convolutions;
        let [c0, c1] = found.biases;
        let s = found.squeeze;
        let all = [
            found.x, n0.gamma, n0.beta, n1.gamma, n1.beta, w0, c0, w1, c1, s.w1, s.b1, s.w2, s.b2,
        ];
        let mut results = [const { None }; INPUTS];
        let places = (0..INPUTS).filter(|&i| i != 1);
        for (i, gradient) in places.zip(all) {
            results[i] = wanted[i].then_some(gradient);
        }
        results
    }
}

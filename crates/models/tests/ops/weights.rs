//! Normalised weights and their spectral norms.

use burn::tensor::Tensor;
use vdvae_models::ops::{self, Gain, Iterated, Mask, composed};

use super::{Inputs, assert_close, host};

#[test]
fn normalised_weights() {
    let mut inputs = Inputs::new();
    for (shape, masked, gain) in [
        ([1, 1, 3, 5], false, Gain::LogNorm),
        ([3, 3, 7, 19], true, Gain::LogNorm),
        ([1, 1, 70, 66], false, Gain::LogNorm),
        ([5, 5, 2, 130], true, Gain::LogNorm),
        ([2, 3, 20, 37], false, Gain::Norm),
        ([1, 1, 9, 4], true, Gain::Norm),
    ] {
        let mask: Vec<f32> = (0..shape.iter().product())
            .map(|i: usize| if i % 3 == 1 { 0.0 } else { 1.0 })
            .collect();
        let mask: Option<Mask> = masked.then(|| mask.into());
        let v = inputs.tensor(shape);
        let g = inputs.tensor([shape[3]]);
        // Gradients that differ from number to number, and are not along the weights.
        let slopes = inputs.tensor(shape).detach();
        type Norm = fn(Tensor<4>, Tensor<1>, Gain, Option<&Mask>) -> Tensor<4>;
        let norm = |weight_norm: Norm| {
            let output = weight_norm(v.clone(), g.clone(), gain, mask.as_ref());
            let loss = (output.clone() * slopes.clone()).sum();
            let gradients = loss.backward();
            [
                host(output),
                host(v.grad(&gradients).expect("of v")),
                host(g.grad(&gradients).expect("of the norm")),
            ]
        };
        let fused = norm(ops::weight_norm);
        for (what, (a, b)) in ["output", "v", "g"]
            .into_iter()
            .zip(fused.iter().zip(&norm(composed::weight_norm)))
        {
            assert_close(&format!("weight norm {shape:?}, {what}"), a, b);
        }
    }
}

#[test]
fn spectral_norms() {
    let mut inputs = Inputs::new();
    let shapes = [[1, 1, 1, 1], [3, 3, 1, 4], [1, 1, 37, 66], [1, 1, 130, 19]];
    let all: Vec<Iterated> = shapes
        .into_iter()
        .map(|shape: [usize; 4]| Iterated {
            weight: inputs.tensor(shape),
            u: inputs.tensor([shape[3]]).inner(),
            v: inputs.tensor([shape[..3].iter().product()]).inner(),
        })
        .collect();
    let found = |norms: fn(&mut [Iterated], usize) -> Vec<Tensor<1>>| {
        let mut all = all.clone();
        let norms = norms(&mut all, 4);
        let factors = [1.0, -2.0, 0.5, 3.0];
        let terms = norms
            .iter()
            .zip(factors)
            .map(|(norm, factor)| norm.clone() * factor);
        let gradients = terms
            .reduce(|sum, term| sum + term)
            .expect("some")
            .backward();
        let all = all.into_iter().zip(norms).flat_map(|(one, norm)| {
            let gradient = one.weight.grad(&gradients).expect("of the weights");
            [host(norm), host(one.u), host(one.v), host(gradient)]
        });
        all.collect::<Vec<_>>()
    };
    let (fused, expected) = (found(ops::spectral_norms), found(composed::spectral_norms));
    for (i, (a, b)) in fused.iter().zip(&expected).enumerate() {
        assert_close(&format!("spectral norm, result {i}"), a, b);
    }
}

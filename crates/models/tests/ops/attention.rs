//! Causal attention.

use burn::tensor::Tensor;
use vdvae_models::ops::{self, composed};

use super::{Inputs, compare, host};

/// Queries and keys, heads, their sizes, and what queries see.
struct Case {
    batch: usize,
    keys: usize,
    heads: usize,
    sizes: [usize; 2],
    seen: Vec<usize>,
    epsilon: f32,
}

fn cases() -> Vec<Case> {
    // Cells of 2 x 2 pixels of an image of 6 x 8, of which a pixel sees those that end before it.
    let pooled = (0..48).map(|pixel| {
        let (row, column): (usize, usize) = (pixel / 8, pixel % 8);
        let cells_in_row = if row.is_multiple_of(2) { 0 } else { column / 2 };
        row / 2 * 4 + cells_in_row
    });
    let case = |batch, keys, heads, sizes, seen, epsilon| Case {
        batch,
        keys,
        heads,
        sizes,
        seen,
        epsilon,
    };
    vec![
        case(2, 100, 1, [16, 33], (0..100).collect(), 1e-6),
        case(1, 131, 3, [5, 7], (1..132).collect(), 0.0),
        case(2, 12, 2, [4, 16], pooled.collect(), 1e-6),
        case(1, 9, 1, [1, 1], vec![9, 0, 3, 0, 5], 1e-6),
    ]
}

#[test]
fn causal_attention() {
    for case in cases() {
        let Case {
            batch, keys, heads, ..
        } = case;
        let ([d, e], queries) = (case.sizes, case.seen.len());
        let mut inputs = Inputs::new();
        let all: [Tensor<3>; 3] = [(queries, d), (keys, d), (keys, e)]
            .map(|(pixels, size)| inputs.tensor([batch, pixels, heads * size]));
        let scale = 1.0 / (d as f32).sqrt();
        type Op = fn(Tensor<3>, Tensor<3>, Tensor<3>, usize, &[usize], f32, f32) -> Tensor<3>;
        let run = |operation: Op, [q, k, v]: [Tensor<3>; 3]| {
            operation(q, k, v, heads, &case.seen, scale, case.epsilon)
        };
        let what = format!("attention {batch} {queries} x {keys}, {heads} heads of {d} and {e}");
        compare(
            &what,
            all.clone(),
            |all| run(ops::causal_attention, all),
            |all| run(composed::causal_attention, all),
        );
        for operation in [ops::causal_attention, composed::causal_attention] {
            let output = host(run(operation, all.clone()));
            for (i, row) in output.chunks(heads * e).enumerate() {
                let nothing = case.seen[i % queries] == 0;
                assert_eq!(row.iter().all(|&x| x == 0.0), nothing, "{what}: query {i}");
            }
        }
    }
}

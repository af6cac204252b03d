//! Transposed convolutions against their naive twins.

mod common;

use common::{assert_close, bits, numbers, on_every_path, with_threads};
use proptest::prelude::*;
use vdvae_kernels::naive_window as naive;
use vdvae_kernels::window::{Transposed, transposed_backward_new, transposed_forward_new};

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_transposed_convolution_agrees_with_the_naive_twin(
        (batch, height, width) in (1..4_usize, 1..7_usize, 1..9_usize),
        (c_in, c_out) in (1..40_usize, 1..70_usize),
        kernel in [1..5_usize, 1..6],
        left in 0..4_usize,
    ) {
        check_transposed(Transposed { batch, height, width, c_in, c_out, kernel, left });
    }
}

fn transposed(kernel: [usize; 2], left: usize) -> Transposed {
    Transposed {
        batch: 2,
        height: 3,
        width: 5,
        c_in: 7,
        c_out: 19,
        kernel,
        left,
    }
}

/// Output, gradients.
fn compute_transposed(shape: &Transposed) -> [Vec<f32>; 4] {
    let x = numbers(
        shape.batch * shape.height * shape.width * shape.c_in,
        1,
        1.0,
    );
    let w = numbers(shape.weight_length(), 2, 0.5);
    let b = numbers(shape.c_out, 3, 0.5);
    let dy = numbers(shape.output_length(), 4, 1.0);
    let y = transposed_forward_new(shape, &x, &w, Some(&b));
    let found = transposed_backward_new(shape, &x, &w, &dy, true, Some(&x));
    [y, found.x.expect("computed"), found.weights, found.bias]
}

fn check_transposed(shape: Transposed) {
    let x = numbers(
        shape.batch * shape.height * shape.width * shape.c_in,
        1,
        1.0,
    );
    let w = numbers(shape.weight_length(), 2, 0.5);
    let b = numbers(shape.c_out, 3, 0.5);
    let dy = numbers(shape.output_length(), 4, 1.0);
    let y = naive::transposed_forward(&shape, &x, &w, Some(&b));
    let [mut dx, dw, db] = naive::transposed_backward(&shape, &x, &w, &dy);
    dx.iter_mut()
        .zip(&x)
        .for_each(|(dx, &x)| *dx += f64::from(x));
    on_every_path(|path| {
        let found = with_threads(2, || compute_transposed(&shape));
        for (found, expected) in found.iter().zip([&y, &dx, &dw, &db]) {
            assert_close(
                &format!("{path} {shape:?}"),
                found,
                expected.iter().copied(),
            );
        }
    });
}

#[test]
fn transposed_convolutions_agree_with_the_naive_twin() {
    for (kernel, left) in [
        ([2, 3], 1),
        ([2, 2], 0),
        ([1, 1], 0),
        ([3, 3], 0),
        ([1, 5], 3),
    ] {
        check_transposed(transposed(kernel, left));
        check_transposed(Transposed {
            batch: 3,
            height: 1,
            width: 1,
            ..transposed(kernel, left)
        });
        check_transposed(Transposed {
            c_in: 40,
            c_out: 64,
            ..transposed(kernel, left)
        });
    }
}

#[test]
fn without_a_bias() {
    let shape = transposed([2, 3], 1);
    let x = numbers(
        shape.batch * shape.height * shape.width * shape.c_in,
        1,
        1.0,
    );
    let w = numbers(shape.weight_length(), 2, 0.5);
    let dy = numbers(shape.output_length(), 4, 1.0);
    on_every_path(|path| {
        let zeros = vec![0.0; shape.c_out];
        let with = transposed_forward_new(&shape, &x, &w, Some(&zeros));
        let without = transposed_forward_new(&shape, &x, &w, None);
        assert_eq!(bits(&with), bits(&without), "{path}");
        let found = transposed_backward_new(&shape, &x, &w, &dy, false, None);
        assert!(found.bias.is_empty());
    });
}

#[test]
fn threads_change_no_bit() {
    let shape = Transposed {
        batch: 5,
        height: 9,
        width: 8,
        c_in: 60,
        ..transposed([2, 3], 1)
    };
    on_every_path(|path| {
        let all = |threads| with_threads(threads, || compute_transposed(&shape)).map(|r| bits(&r));
        let one = all(1);
        for threads in [2, 3, 7] {
            assert!(all(threads) == one, "{path} {shape:?}, {threads} threads");
        }
    });
}

#[test]
fn an_image_alone_is_the_same() {
    let shape = Transposed {
        batch: 3,
        ..transposed([2, 3], 1)
    };
    on_every_path(|path| {
        let [y, ..] = compute_transposed(&shape);
        let first = Transposed { batch: 1, ..shape };
        let [own, ..] = compute_transposed(&first);
        assert_eq!(bits(&own), bits(&y[..own.len()]), "{path}");
    });
}

#[test]
fn no_images_give_zero_gradients() {
    let [y, dx, dw, db] = compute_transposed(&Transposed {
        batch: 0,
        ..transposed([2, 2], 0)
    });
    assert!(y.is_empty() && dx.is_empty());
    assert!(dw.iter().chain(&db).all(|&d| d == 0.0));
}

//! Convolutions against their naive twins, at sizes that break tiles.

mod common;

use common::{assert_close, assert_within, bits, numbers, on_every_path, with_threads};
use vdvae_kernels::activation::{Activation, Before};
use vdvae_kernels::conv::{Conv, forward_onto, forward_onto_in_place};
use vdvae_kernels::conv3;
use vdvae_kernels::naive;
use vdvae_kernels::window::{backward_new, forward_new};

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

fn conv(
    batch: usize,
    height: usize,
    width: usize,
    c_in: usize,
    c_out: usize,
    kernel: usize,
) -> Conv {
    Conv {
        batch,
        height,
        width,
        c_in,
        c_out,
        kernel,
    }
}

/// Output and gradients of `x`, weights and bias.
fn compute(shape: &Conv, x: &[f32], w: &[f32], b: &[f32], dy: &[f32]) -> [Vec<f32>; 4] {
    let window = shape.window(Activation::None);
    let input = (x, Before::from(Activation::None));
    let y = forward_new(&window, input, w, Some(b));
    let found = backward_new(&window, input, w, dy, true, true, None);
    [y, found.x.expect("wanted"), found.weights, found.bias]
}

/// Image sizes around the ends of rows and chunks, channels around each width of a tile.
fn shapes() -> Vec<Conv> {
    let mut shapes = Vec::new();
    for kernel in [1, 3] {
        for (batch, height, width) in [(1, 1, 1), (3, 1, 1), (2, 1, 5), (2, 5, 1), (1, 3, 4)] {
            shapes.push(conv(batch, height, width, 3, 5, kernel));
        }
        for (batch, height, width) in [(1, 4, 6), (5, 1, 5), (1, 7, 7), (2, 8, 8), (3, 5, 13)] {
            shapes.push(conv(batch, height, width, 17, 16, kernel));
        }
        for c_out in [
            1, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 65, 80, 95, 96, 97, 112, 128, 145,
        ] {
            shapes.push(conv(1, 3, 9, 5, c_out, kernel));
        }
        for c_in in [1, 2, 4, 6, 11, 12, 13, 16, 21, 64] {
            shapes.push(conv(2, 3, 7, c_in, 40, kernel));
        }
        shapes.push(conv(1, 16, 16, 4, 100, kernel));
        // More than one group of images whose gradients of weights are added up.
        shapes.push(conv(9, 40, 36, 64, 8, kernel));
    }
    shapes
}

#[test]
fn forward_and_backward_agree_with_the_naive_twin() {
    for shape in shapes() {
        let x = numbers(shape.pixels() * shape.c_in, 1, 1.0);
        let w = numbers(shape.weight_length(), 2, 0.5);
        let b = numbers(shape.c_out, 3, 0.5);
        let dy = numbers(shape.pixels() * shape.c_out, 4, 1.0);
        let y_expected = naive::conv_forward(&shape, &wide(&x), &w, &b);
        let (dx_expected, dw_expected, db_expected) =
            naive::conv_backward(&shape, &wide(&x), &w, &wide(&dy));
        on_every_path(|path| {
            let [y, dx, dw, db] = compute(&shape, &x, &w, &b, &dy);
            let name = |what| format!("{path} {shape:?} {what}");
            assert_close(&name("y"), &y, y_expected.clone());
            assert_close(&name("dx"), &dx, dx_expected.clone());
            assert_close(&name("dw"), &dw, dw_expected.clone());
            assert_close(&name("db"), &db, db_expected.clone());
        });
    }
}

#[test]
fn a_convolution_is_added_to_the_state_and_the_features() {
    for shape in shapes() {
        for offset in [0, 3, 16] {
            let channels = offset + shape.c_out;
            let z = numbers(shape.pixels() * shape.c_in, 1, 1.0);
            let w = numbers(shape.weight_length(), 2, 0.5);
            let b = numbers(shape.c_out, 3, 0.5);
            let x = numbers(shape.pixels() * shape.c_out, 4, 1.0);
            let p = numbers(shape.pixels() * channels, 5, 1.0);
            let mut expected = naive::conv_forward(&shape, &wide(&z), &w, &b);
            for (i, sum) in expected.iter_mut().enumerate() {
                let (pixel, channel) = (i / shape.c_out, i % shape.c_out);
                *sum += f64::from(x[i]) + f64::from(p[pixel * channels + offset + channel]);
            }
            on_every_path(|path| {
                let y = forward_onto(&shape, &z, &w, &b, (&x, &p));
                assert_close(&format!("{path} {shape:?} {offset}"), &y, expected.clone());
                let mut found = x.clone();
                forward_onto_in_place(&shape, &z, &w, &b, (&mut found, &p));
                assert!(bits(&found) == bits(&y), "{path} {shape:?} in place");
            });
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for shape in [conv(3, 24, 19, 33, 70, 3), conv(9, 40, 36, 64, 8, 1)] {
        threads_change_no_bit_of(shape);
    }
}

fn threads_change_no_bit_of(shape: Conv) {
    let x = numbers(shape.pixels() * shape.c_in, 1, 1.0);
    let w = numbers(shape.weight_length(), 2, 0.5);
    let b = numbers(shape.c_out, 3, 0.5);
    let dy = numbers(shape.pixels() * shape.c_out, 4, 1.0);
    let compute = || {
        let [y, dx, dw, db] = compute(&shape, &x, &w, &b, &dy);
        let onto = forward_onto(&shape, &x, &w, &b, (&dy, &dy));
        [y, dx, dw, db, onto].map(|r| bits(&r))
    };
    on_every_path(|path| {
        let one = with_threads(1, compute);
        for threads in [2, 3, 7] {
            assert!(
                with_threads(threads, compute) == one,
                "{path}, {threads} threads"
            );
        }
    });
}

#[test]
fn filtered_convolutions_agree_with_the_naive_twin() {
    let mut cases: Vec<_> = shapes().into_iter().filter(|c| c.kernel == 3).collect();
    cases.push(conv(2, 8, 12, 20, 40, 3));
    cases.push(conv(1, 16, 16, 33, 70, 3));
    cases.push(conv(9, 16, 20, 5, 130, 3));
    for shape in cases {
        let x = numbers(shape.pixels() * shape.c_in, 1, 1.0);
        let w = numbers(shape.weight_length(), 2, 0.5);
        let b = numbers(shape.c_out, 3, 0.5);
        let dy = numbers(shape.pixels() * shape.c_out, 4, 1.0);
        let y = naive::conv_forward(&shape, &wide(&x), &w, &b);
        let without = naive::conv_forward(&shape, &wide(&x), &w, &vec![0.0; b.len()]);
        let (dx, dw, db) = naive::conv_backward(&shape, &wide(&x), &w, &wide(&dy));
        on_every_path(|path| {
            let name = |what| format!("{path} {shape:?} {what}");
            let compute = || {
                let y = conv3::forward_new(&shape, &x, &w, Some(&b));
                let [dx, dw, db] = conv3::backward_new(&shape, &x, &w, &dy, None);
                [y, dx, dw, db]
            };
            let found = with_threads(2, compute);
            assert_within(1e-5, &name("y"), &found[0], y.clone());
            assert_within(1e-5, &name("dx"), &found[1], dx.clone());
            assert_within(1e-5, &name("dw"), &found[2], dw.clone());
            assert_within(1e-5, &name("db"), &found[3], db.clone());
            for threads in [1, 5] {
                let again = with_threads(threads, compute);
                assert!(again.each_ref().map(|r| bits(r)) == found.each_ref().map(|r| bits(r)));
            }
            let alone = conv3::forward_new(&shape, &x, &w, None);
            assert_within(1e-5, &name("without bias"), &alone, without.clone());
            let [sum, ..] = conv3::backward_new(&shape, &x, &w, &dy, Some(&x));
            let added = found[1].iter().zip(&x).map(|(a, b)| a + b);
            assert!(
                bits(&sum) == bits(&added.collect::<Vec<_>>()),
                "{}",
                name("other")
            );
        });
    }
}

#[test]
fn no_pixels_change_nothing() {
    let shape = conv(0, 4, 4, 3, 5, 3);
    let w = numbers(shape.weight_length(), 2, 0.5);
    assert!(forward_onto(&shape, &[], &w, &[0.0; 5], (&[], &[])).is_empty());
}

#[test]
#[should_panic(expected = "weights has 9 numbers, the shape needs 135")]
fn a_wrong_length_is_named() {
    let shape = conv(1, 2, 2, 3, 5, 3);
    forward_onto(
        &shape,
        &[0.0; 12],
        &[0.0; 9],
        &[0.0; 5],
        (&[0.0; 20], &[0.0; 20]),
    );
}

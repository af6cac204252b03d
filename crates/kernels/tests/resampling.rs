//! Halving and doubling of sides, the exponential linear unit and Adamax against plain loops in f64.

mod common;

use common::{assert_close, bits, numbers, on_every_path, poisoned, with_threads};
use vdvae_kernels::elementwise::adamax::{Adamax, AdamaxTensor, adamax};
use vdvae_kernels::elementwise::bilinear::{
    Bilinear, upsample_bilinear, upsample_bilinear_backward,
};
use vdvae_kernels::elementwise::elu::{elu, elu_backward};
use vdvae_kernels::naive_cells::{swish, swish_slope};
use vdvae_kernels::quarters::{Quarters, backward_new, forward_new};

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

/// Calls `body(output, input pixel, convolution)` for all pixels of all convolutions.
fn for_reads(shape: &Quarters, mut body: impl FnMut(usize, usize, usize)) {
    let (height, width) = (shape.height / 2, shape.width / 2);
    for image in 0..shape.batch {
        for y in 0..height {
            for x in 0..width {
                for (i, (dy, dx)) in [(0, 0), (1, 1), (0, 1), (1, 0)].into_iter().enumerate() {
                    let to = (image * height + y) * width + x;
                    let from = (image * shape.height + 2 * y + dy) * shape.width + 2 * x + dx;
                    body(to, from, i);
                }
            }
        }
    }
}

#[test]
fn quarters_agree_with_plain_loops() {
    for (batch, height, width, c_in, part) in [
        (1, 2, 2, 1, 1),
        (2, 4, 6, 17, 5),
        (1, 10, 8, 16, 16),
        (3, 6, 14, 33, 20),
        (1, 16, 16, 40, 49),
    ] {
        let shape = Quarters {
            batch,
            height,
            width,
            c_in,
            part,
        };
        let x = numbers(batch * height * width * c_in, 1, 2.0);
        let weights = [2, 3, 4, 5].map(|seed| numbers(c_in * part, seed, 0.5));
        let biases = [6, 7, 8, 9].map(|seed| numbers(part, seed, 0.5));
        let dy = numbers(batch * height * width * part, 10, 1.0);
        let read: Vec<f64> = wide(&x).into_iter().map(swish).collect();
        let mut y = vec![0.0; dy.len()];
        let mut dread = vec![0.0; x.len()];
        let mut dw = [(); 4].map(|()| vec![0.0; c_in * part]);
        let mut db = [(); 4].map(|()| vec![0.0; part]);
        for_reads(&shape, |to, from, i| {
            for o in 0..part {
                let at = (4 * to + i) * part + o;
                y[at] += f64::from(biases[i][o]);
                let d = f64::from(dy[at]);
                db[i][o] += d;
                for c in 0..c_in {
                    let w = f64::from(weights[i][c * part + o]);
                    y[at] += read[from * c_in + c] * w;
                    dread[from * c_in + c] += d * w;
                    dw[i][c * part + o] += d * read[from * c_in + c];
                }
            }
        });
        let dx = dread
            .iter()
            .zip(&x)
            .map(|(d, &x)| d * swish_slope(f64::from(x)));
        let dx: Vec<f64> = dx.collect();
        on_every_path(|path| {
            let name = |what| format!("{path} {shape:?} {what}");
            let weights = weights.each_ref().map(Vec::as_slice);
            let biases = biases.each_ref().map(Vec::as_slice);
            let compute = || {
                let y = forward_new(&shape, &x, &weights, &biases);
                (y, backward_new(&shape, &x, &weights, &dy, None))
            };
            let (found, gradients) = with_threads(1, compute);
            assert_close(&name("y"), &found, y.clone());
            assert_close(&name("dx"), &gradients.x, dx.clone());
            for i in 0..4 {
                assert_close(&name("dw"), &gradients.weights[i], dw[i].clone());
                assert_close(&name("db"), &gradients.biases[i], db[i].clone());
            }
            let (again, same) = with_threads(3, compute);
            assert!(
                bits(&again) == bits(&found) && same == gradients,
                "{}",
                name("threads")
            );
            let sum = backward_new(&shape, &x, &weights, &dy, Some(&x)).x;
            let added = gradients.x.iter().zip(&x).map(|(a, b)| a + b);
            assert!(
                bits(&sum) == bits(&added.collect::<Vec<_>>()),
                "{}",
                name("other")
            );
        });
    }
}

/// The weight of input pixel `from` in output pixel `to` along a line of `n` that becomes `2n`.
fn hat(n: usize, to: usize, from: usize) -> f64 {
    let place = to as f64 * (n as f64 - 1.0) / (2.0 * n as f64 - 1.0);
    (1.0 - (place - from as f64).abs()).max(0.0)
}

#[test]
fn bilinear_upsampling_agrees_with_hats() {
    for (batch, height, width, channels) in
        [(1, 1, 1, 3), (2, 1, 4, 5), (1, 3, 5, 17), (2, 8, 7, 2)]
    {
        let shape = Bilinear {
            batch,
            height,
            width,
            channels,
        };
        let x = numbers(shape.input_len(), 1, 1.0);
        let dout = numbers(shape.output_len(), 2, 1.0);
        let (mut y, mut dx) = (vec![0.0; dout.len()], vec![0.0; x.len()]);
        for (to, y) in y.iter_mut().enumerate() {
            let (pixel, c) = (to / channels, to % channels);
            let (row, column) = (pixel / (2 * width), pixel % (2 * width));
            for i in 0..height {
                for j in 0..width {
                    let weight = hat(height, row % (2 * height), i) * hat(width, column, j);
                    let image = row / (2 * height);
                    let from = ((image * height + i) * width + j) * channels + c;
                    *y += weight * f64::from(x[from]);
                    dx[from] += weight * f64::from(dout[to]);
                }
            }
        }
        let (mut found, mut dfound) = (poisoned(dout.len()), poisoned(x.len()));
        upsample_bilinear(&shape, &x, &mut found);
        upsample_bilinear_backward(&shape, &dout, &mut dfound);
        assert_close(&format!("{shape:?} y"), &found, y);
        assert_close(&format!("{shape:?} dx"), &dfound, dx);
    }
}

#[test]
fn exponential_linear_units() {
    for len in [0, 1, 15, 16, 33, 100_000] {
        let mut x = numbers(len, 1, 4.0);
        if let [first, second, third, ..] = &mut x[..] {
            (*first, *second, *third) = (-1e-6, -200.0, 0.0);
        }
        let dy = numbers(len, 2, 1.0);
        on_every_path(|path| {
            let (mut y, mut dx) = (poisoned(len), poisoned(len));
            elu(&x, &mut y);
            elu_backward(&x, &dy, &mut dx);
            for i in 0..len {
                let (x, d) = (f64::from(x[i]), f64::from(dy[i]));
                let expected = if x > 0.0 { x } else { x.exp_m1() };
                let error = (f64::from(y[i]) - expected).abs();
                assert!(error <= 3e-7 * expected.abs(), "{path} elu({x}) = {}", y[i]);
                let slope = if x > 0.0 { 1.0 } else { x.exp() };
                assert!(
                    (f64::from(dx[i]) - d * slope).abs() < 3e-7,
                    "{path} slope at {x}"
                );
            }
        });
    }
}

#[test]
fn adamax_steps() {
    on_every_path(|path| {
        for (len, averaged) in [(1, true), (17, false), (1000, true), (100_001, false)] {
            let (mut param, mut m, mut u) = (numbers(len, 1, 1.0), vec![0.0; len], vec![0.0; len]);
            let mut ema = numbers(len, 2, 1.0);
            let mut expected: Vec<[f64; 4]> = (0..len)
                .map(|i| [f64::from(param[i]), 0.0, 0.0, f64::from(ema[i])])
                .collect();
            for step in 1..4 {
                let rule = Adamax {
                    learning_rate: 1e-2,
                    beta1: 0.9,
                    beta2: 0.99,
                    epsilon: 1e-3,
                    weight_decay: 3e-2,
                    step,
                    grad_scale: 0.5,
                    ema_rate: 0.9,
                };
                let grad = numbers(len, 10 + step, 1.0);
                let tensor = AdamaxTensor {
                    param: &mut param,
                    grad: &grad,
                    m: &mut m,
                    u: &mut u,
                    ema: averaged.then_some(&mut ema[..]),
                };
                adamax(tensor, &rule);
                for ([p, m, u, ema], g) in expected.iter_mut().zip(wide(&grad)) {
                    let g = 0.5 * g + 3e-2 * *p;
                    *m = 0.9 * *m + 0.1 * g;
                    *u = (0.99 * *u).max(g.abs() + 1e-3);
                    *p -= 1e-2 / (1.0 - 0.9_f64.powi(step as i32)) * *m / *u;
                    if averaged {
                        *ema = 0.9 * *ema + 0.1 * *p;
                    }
                }
            }
            for (i, found) in [&param, &m, &u, &ema].into_iter().enumerate() {
                assert_close(
                    &format!("{path} {len} {i}"),
                    found,
                    expected.iter().map(|e| e[i]),
                );
            }
        }
    });
}

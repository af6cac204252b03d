//! Gates, moved images and softmaxes against plain loops in f64.

mod common;

use common::{assert_close, bits, numbers, on_every_path, poisoned, with_threads};
use vdvae_kernels::elementwise::categorical::{nll, nll_backward};
use vdvae_kernels::elementwise::gate::{Gate, add_gate, gate, gate_backward};
use vdvae_kernels::elementwise::shift::{Shift, shift, shift_backward};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn gates_agree_with_plain_loops() {
    for (rows, channels) in [(1, 1), (7, 3), (5, 17), (3, 320), (500, 160)] {
        let y = numbers(2 * rows * channels, 1, 4.0);
        let x = numbers(rows * channels, 2, 1.0);
        let d = numbers(rows * channels, 3, 1.0);
        for kind in [Gate::Linear, Gate::Tanh] {
            let mut expected = vec![0.0; x.len()];
            let mut gradient = vec![0.0; y.len()];
            for i in 0..x.len() {
                let at = i / channels * 2 * channels + i % channels;
                let [a, b] = [y[at], y[at + channels]].map(f64::from);
                let (content, slope) = match kind {
                    Gate::Linear => (a, 1.0),
                    Gate::Tanh => (a.tanh(), 1.0 - a.tanh().powi(2)),
                };
                let (open, d) = (sigmoid(b), f64::from(d[i]));
                expected[i] = content * open;
                gradient[at] = d * slope * open;
                gradient[at + channels] = d * content * open * (1.0 - open);
            }
            let with_x = expected.iter().zip(&x).map(|(e, &x)| e + f64::from(x));
            let with_x: Vec<f64> = with_x.collect();
            on_every_path(|path| {
                let what = format!("{path} {kind:?} {rows} x {channels}");
                let mut out = poisoned(x.len());
                gate(kind, channels, &y, None, &mut out);
                assert_close(&what, &out, expected.iter().copied());
                gate(kind, channels, &y, Some(&x), &mut out);
                assert_close(&what, &out, with_x.iter().copied());
                let mut in_place = x.clone();
                add_gate(kind, channels, &y, &mut in_place);
                assert_eq!(bits(&in_place), bits(&out), "{what} in place");
                let mut dy = poisoned(y.len());
                gate_backward(kind, channels, &y, &d, &mut dy);
                assert_close(&what, &dy, gradient.iter().copied());
            });
        }
    }
}

#[test]
fn images_move_and_zeros_come_in() {
    for (rows, columns) in [(0, 0), (1, 0), (0, 1), (2, 3), (4, 1), (1, 5), (9, 9)] {
        let shape = Shift {
            batch: 2,
            height: 4,
            width: 5,
            channels: 3,
            rows,
            columns,
        };
        let length = 2 * 4 * 5 * 3;
        let (x, d) = (numbers(length, 1, 1.0), numbers(length, 2, 1.0));
        let (mut expected, mut gradient) = (vec![0.0; length], vec![0.0; length]);
        for to in 0..length {
            let (pixel, channel) = (to / 3, to % 3);
            let (image, row, column) = (pixel / 20, pixel / 5 % 4, pixel % 5);
            if row >= rows && column >= columns {
                let from = ((image * 4 + row - rows) * 5 + column - columns) * 3 + channel;
                expected[to] = x[from];
                gradient[from] = d[to];
            }
        }
        let mut out = poisoned(length);
        shift(&shape, &x, &mut out);
        assert_eq!(out, expected, "{shape:?}");
        shift_backward(&shape, &d, &mut out);
        assert_eq!(out, gradient, "{shape:?}");
    }
}

#[test]
fn softmaxes_agree_with_plain_loops() {
    // The last one with logits that overflow where nobody looks after them.
    for (batch, values, levels, scale) in [
        (1, 1, 1, 1.0),
        (3, 5, 7, 4.0),
        (2, 200, 32, 10.0),
        (2, 100, 256, 300.0),
    ] {
        let logits = numbers(batch * values * levels, 1, scale);
        let target: Vec<f32> = (0..batch * values)
            .map(|i| (i * i % levels) as f32)
            .collect();
        let d = numbers(batch, 2, 1.0);
        let (mut expected, mut gradient) = (vec![0.0; batch], Vec::new());
        for (i, row) in logits.chunks(levels).enumerate() {
            let row: Vec<f64> = row.iter().map(|&l| f64::from(l)).collect();
            let most = row.iter().fold(f64::MIN, |m, &l| m.max(l));
            let sum: f64 = row.iter().map(|l| (l - most).exp()).sum();
            expected[i / values] += sum.ln() + most - row[target[i] as usize];
            gradient.extend(row.iter().enumerate().map(|(level, l)| {
                let own = f64::from(u8::from(level == target[i] as usize));
                f64::from(d[i / values]) * ((l - most).exp() / sum - own)
            }));
        }
        on_every_path(|path| {
            let what = format!("{path} {batch} x {values} of {levels}");
            let compute = || {
                let (mut found, mut dlogits) = (poisoned(batch), poisoned(logits.len()));
                nll(levels, &logits, &target, &mut found);
                nll_backward(levels, &logits, &target, &d, &mut dlogits);
                [found, dlogits]
            };
            let [found, dlogits] = with_threads(1, compute);
            assert_close(&what, &found, expected.iter().copied());
            assert_close(&what, &dlogits, gradient.iter().copied());
            let again = with_threads(3, compute);
            assert_eq!(
                again.map(|r| bits(&r)),
                [found, dlogits].map(|r| bits(&r)),
                "{what}"
            );
        });
    }
}

#[test]
#[should_panic(expected = "target 7 is none of 7 levels")]
fn a_target_that_is_no_level_is_named() {
    nll(7, &[0.0; 7], &[7.0], &mut [0.0]);
}

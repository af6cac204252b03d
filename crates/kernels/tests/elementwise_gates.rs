//! Gates against f64.

mod common;

use common::{assert_close, bits, numbers, on_every_path, poisoned, with_threads};
use vdvae_kernels::elementwise::gates::{concat_elu, gated_residual, gated_tanh};
use vdvae_kernels::elementwise::naive;

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

/// All three of some rows.
fn gated(channels: usize, x: &[f32], gates: &[f32]) -> [Vec<f32>; 3] {
    let [mut elu, mut residual, mut tanh] = [2 * x.len(), x.len(), x.len()].map(poisoned);
    concat_elu(channels, x, &mut elu);
    gated_residual(channels, x, gates, &mut residual);
    gated_tanh(channels, gates, &mut tanh);
    [elu, residual, tanh]
}

#[test]
fn gates_agree_with_their_formulas() {
    for (rows, channels) in [(1, 1), (3, 5), (1, 160), (7, 33), (2, 16)] {
        let x = numbers(rows * channels, 1, 6.0);
        let gates = numbers(2 * rows * channels, 2, 20.0);
        on_every_path(|path| {
            let [elu, residual, tanh] = gated(channels, &x, &gates);
            let name = |what| format!("{path} {rows} {channels} {what}");
            let (x, gates) = (wide(&x), wide(&gates));
            assert_close(&name("concat elu"), &elu, naive::concat_elu(channels, &x));
            let expected = naive::gated_residual(channels, &x, &gates);
            assert_close(&name("residual"), &residual, expected);
            assert_close(&name("tanh"), &tanh, naive::gated_tanh(channels, &gates));
        });
    }
}

#[test]
fn nothing_and_no_number_stay_what_they_are() {
    on_every_path(|path| {
        let [elu, residual, tanh] = gated(2, &[0.0, f32::NAN], &[0.0, 1.0, 50.0, f32::NAN]);
        assert!(elu[0] == 0.0 && elu[2] == 0.0, "{path} {elu:?}");
        assert!(elu[1].is_nan() && elu[3].is_nan(), "{path} {elu:?}");
        assert!(residual[0] == 0.0 && tanh[0] == 0.0, "{path}");
        assert!(residual[1].is_nan() && tanh[1].is_nan(), "{path}");
    });
}

#[test]
fn threads_change_no_bit() {
    // Enough for more than one thread.
    let (rows, channels) = (1500, 70);
    let x = numbers(rows * channels, 1, 3.0);
    let gates = numbers(2 * rows * channels, 2, 3.0);
    on_every_path(|path| {
        let one = with_threads(1, || gated(channels, &x, &gates));
        let three = with_threads(3, || gated(channels, &x, &gates));
        for (a, b) in one.iter().zip(&three) {
            assert_eq!(bits(a), bits(b), "{path}");
        }
    });
}

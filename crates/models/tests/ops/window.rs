//! Convolutions whose kernel lies anywhere, and what goes with them.

use vdvae_models::ops::{Activation, Before, Gate, Padding, Window};
use vdvae_models::random::{Keys, Noise};

use super::*;

fn flat(bias: Tensor<4>) -> Tensor<1> {
    let channels = bias.dims()[3];
    bias.reshape([channels])
}

#[test]
fn windows() {
    let around = Window {
        kernel: [3, 3],
        padding: Padding {
            top: 1,
            bottom: 1,
            left: 1,
            right: 1,
        },
        stride: 1,
    };
    for window in [
        Window::point(),
        Window::down([2, 3]),
        Window::down([1, 3]),
        Window::right([2, 2]),
        Window::right([2, 1]),
        Window::down([4, 7]),
        around,
        Window::down([2, 3]).with_stride(2),
        Window::right([2, 2]).with_stride(2),
        around.with_stride(2),
    ] {
        for ([batch, height, width, c_in], c_out) in [
            ([2, 1, 1, 5], 3),
            ([2, 5, 7, 3], 17),
            ([1, 4, 6, 1], 1),
            ([1, 8, 8, 17], 16),
        ] {
            for activation in [
                Activation::None,
                Activation::Elu,
                Activation::ConcatElu,
                Activation::Relu,
                Activation::Gelu,
                Activation::Swish,
            ] {
                let mut inputs = Inputs::new();
                let [rows, columns] = window.kernel;
                let weight = [rows, columns, activation.channels(c_in), c_out];
                let all = [
                    inputs.tensor([batch, height, width, c_in]),
                    inputs.tensor(weight),
                    inputs.tensor([1, 1, 1, c_out]),
                ];
                compare(
                    &format!("{window:?} {height}x{width}, {activation:?}, {c_in} to {c_out}"),
                    all,
                    |[x, w, b]| ops::convolve(x, activation, &window, w, Some(flat(b))),
                    |[x, w, b]| composed::convolve(x, activation, &window, w, Some(flat(b))),
                );
            }
            let mut inputs = Inputs::new();
            let [rows, columns] = window.kernel;
            let all = [
                inputs.tensor([batch, height, width, c_in]),
                inputs.tensor([rows, columns, c_in, c_out]),
            ];
            compare(
                &format!("{window:?} {height}x{width} without a bias"),
                all,
                |[x, w]| ops::convolve(x, Activation::None, &window, w, None),
                |[x, w]| composed::convolve(x, Activation::None, &window, w, None),
            );
        }
    }
}

#[test]
fn transposed_convolutions() {
    for (kernel, left) in [([2, 3], 1), ([2, 2], 0), ([1, 1], 0), ([3, 3], 1)] {
        for ([batch, height, width, c_in], c_out) in
            [([2, 1, 1, 5], 3), ([2, 3, 5, 3], 17), ([1, 4, 4, 17], 16)]
        {
            let mut inputs = Inputs::new();
            let all = [
                inputs.tensor([batch, height, width, c_in]),
                inputs.tensor([kernel[0], kernel[1], c_in, c_out]),
                inputs.tensor([1, 1, 1, c_out]),
            ];
            let what = format!("{kernel:?} transposed {height}x{width}, {c_in} to {c_out}");
            compare(
                &what,
                all.clone(),
                |[x, w, b]| ops::convolve_transposed(x, w, Some(flat(b)), left),
                |[x, w, b]| composed::convolve_transposed(x, w, Some(flat(b)), left),
            );
            let [x, w, _] = all;
            compare(
                &format!("{what} without a bias"),
                [x, w],
                |[x, w]| ops::convolve_transposed(x, w, None, left),
                |[x, w]| composed::convolve_transposed(x, w, None, left),
            );
        }
    }
}

#[test]
fn dropped_inputs() {
    let noise = Noise::Keyed(Keys::new(1, Purpose::Training, [3, 4]));
    let window = Window::down([2, 3]);
    let mut inputs = Inputs::new();
    let x = inputs.tensor([2, 4, 5, 19]);
    let w = inputs.tensor([2, 3, 38, 7]);
    compare(
        "dropout",
        [x.clone()],
        |[x]| ops::dropout(x, 0.3, &noise, 5),
        |[x]| composed::dropout(x, 0.3, &noise, 5),
    );
    let before = Before::dropped(Activation::ConcatElu, 0.5, &noise, 2);
    compare(
        "a convolution of what is not dropped",
        [x.clone(), w.clone()],
        |[x, w]| ops::convolve(x, before, &window, w, None),
        |[x, w]| composed::convolve(x, before, &window, w, None),
    );
    compare(
        "the same in steps",
        [x.clone(), w],
        |[x, w]| ops::convolve(x, before, &window, w, None),
        |[x, w]| {
            let x = ops::activate(x, Activation::ConcatElu);
            let x = ops::dropout(x, 0.5, &noise, 2);
            ops::convolve(x, Activation::None, &window, w, None)
        },
    );
    let layer = |layer| host(ops::dropout(x.clone(), 0.5, &noise, layer));
    assert_ne!(layer(1), layer(2));
}

#[test]
fn activations_gates_and_shifts() {
    for ([batch, height, width, channels], [rows, columns]) in [
        ([2, 1, 1, 1], [1, 0]),
        ([2, 3, 5, 17], [0, 1]),
        ([1, 4, 2, 160], [2, 3]),
    ] {
        let mut inputs = Inputs::new();
        let x = inputs.tensor([batch, height, width, channels]);
        let y = inputs.tensor([batch, height, width, 2 * channels]);
        for activation in [Activation::ConcatElu, Activation::Gelu, Activation::None] {
            compare(
                &format!("{activation:?} of {channels}"),
                [x.clone()],
                |[x]| ops::activate(x, activation) * 2.0,
                |[x]| composed::activate(x, activation) * 2.0,
            );
        }
        for kind in [Gate::Linear, Gate::Tanh] {
            compare(
                &format!("{kind:?} gate of {channels}"),
                [y.clone()],
                |[y]| ops::gate(kind, y),
                |[y]| composed::gate(kind, y),
            );
        }
        compare(
            &format!("added gate of {channels}"),
            [x.clone(), y],
            |[x, y]| ops::add_gated(x, y),
            |[x, y]| composed::add_gated(x, y),
        );
        compare(
            &format!("{height}x{width} by {rows}, {columns}"),
            [x],
            |[x]| ops::shift(x, rows, columns),
            |[x]| composed::shift(x, rows, columns),
        );
    }
}

#[test]
fn levels() {
    for ([batch, height, width, colours], levels) in [([2, 1, 1, 1], 5), ([2, 3, 4, 3], 256)] {
        let mut inputs = Inputs::new();
        let logits = inputs.tensor([batch, height, width, colours * levels]);
        let target = inputs
            .tensor([batch, height, width, colours])
            .detach()
            .inner();
        let target = ((target + 1.0) * (levels as f32 / 2.0)).floor();
        let constant = |logits: &Tensor<4>| Tensor::from_data(target.to_data(), &logits.device());
        compare(
            &format!("{levels} levels"),
            [logits],
            |[logits]| {
                let target = constant(&logits);
                ops::categorical_nll(levels, logits, target)
            },
            |[logits]| {
                let target = constant(&logits);
                composed::categorical_nll(levels, logits, target)
            },
        );
    }
}

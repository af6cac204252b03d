//! Convolutions whose kernel lies anywhere over its input, and what they read, against their naive twins.

mod common;

use common::{assert_close, bits, numbers, on_every_path, with_threads};
use proptest::prelude::*;
use vdvae_kernels::activation::{Activation, Before, Kept, activate_backward_new, activate_new};
use vdvae_kernels::naive_window as naive;
use vdvae_kernels::window::{Window, backward_new, forward_new};

const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Elu,
    Activation::ConcatElu,
    Activation::Relu,
    Activation::Gelu,
    Activation::Swish,
];

const FACTOR: f32 = 1.25;

/// A convolution with numbers for everything.
struct Case {
    shape: Window,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    dy: Vec<f32>,
    /// Some of a gradient of `x`.
    other: Vec<f32>,
    /// Bits of what stays, if not all.
    kept: Option<Vec<u32>>,
}

impl Case {
    fn new(shape: Window, drops: bool) -> Self {
        let pixels = shape.batch * shape.height * shape.width;
        let words = pixels * Kept::words_of(shape.inputs());
        let word = |n: f32| (n.to_bits()).wrapping_mul(2_654_435_761);
        Self {
            x: numbers(pixels * shape.c_in, 1, 2.0),
            weights: numbers(shape.weight_length(), 2, 0.5),
            bias: numbers(shape.c_out, 3, 0.5),
            dy: numbers(shape.output_length(), 4, 1.0),
            other: numbers(pixels * shape.c_in, 5, 1.0),
            kept: drops.then(|| numbers(words, 6, 1.0).into_iter().map(word).collect()),
            shape,
        }
    }

    fn before(&self) -> Before<'_> {
        Before {
            activation: self.shape.activation,
            kept: self.kept.as_ref().map(|words| Kept {
                words,
                factor: FACTOR,
            }),
        }
    }

    /// What an activated number is multiplied by.
    fn factor(&self, place: usize) -> f64 {
        let channels = self.shape.inputs();
        let (pixel, channel) = (place / channels, place % channels);
        self.kept.as_ref().map_or(1.0, |words| {
            let word = words[pixel * Kept::words_of(channels) + channel / 32];
            f64::from(word >> (channel % 32) & 1) * f64::from(FACTOR)
        })
    }

    /// Output, gradients.
    fn compute(&self) -> [Vec<f32>; 4] {
        let (before, bias) = (self.before(), Some(&self.bias[..]));
        let y = forward_new(&self.shape, (&self.x, before), &self.weights, bias);
        let other = Some(&self.other[..]);
        let found = backward_new(
            &self.shape,
            (&self.x, before),
            &self.weights,
            &self.dy,
            true,
            true,
            other,
        );
        [y, found.x.expect("wanted"), found.weights, found.bias]
    }

    /// The same, and the largest sum of absolute products, of their twins.
    fn expected(&self) -> [Vec<f64>; 4] {
        let Self {
            shape,
            x,
            weights,
            bias,
            dy,
            ..
        } = self;
        let factor = |place| self.factor(place);
        let read = naive::activate(shape.activation, shape.c_in, x, factor);
        let y = naive::forward(shape, &read, weights, Some(bias));
        let [dread, dw, db] = naive::backward(shape, &read, weights, dy);
        let mut dx = naive::activate_backward(shape.activation, shape.c_in, x, factor, &dread);
        for (dx, &other) in dx.iter_mut().zip(&self.other) {
            *dx += f64::from(other);
        }
        [y, dx, dw, db]
    }

    fn check(&self) {
        let expected = self.expected();
        on_every_path(|path| {
            let found = with_threads(2, || self.compute());
            for (what, (found, expected)) in ["y", "dx", "dw", "db"]
                .into_iter()
                .zip(found.iter().zip(&expected))
            {
                let what = format!("{path} {:?} {what}", self.shape);
                assert_close(&what, found, expected.iter().copied());
            }
        });
    }
}

/// Down-shifted, down-right-shifted, of one pixel, and others that autoregressive models have.
fn windows() -> Vec<Window> {
    let window = |kernel, before, after, stride| Window {
        batch: 2,
        height: 5,
        width: 7,
        c_in: 3,
        c_out: 5,
        activation: Activation::None,
        kernel,
        before,
        after,
        stride,
    };
    vec![
        window([2, 3], [1, 1], [0, 1], 1),
        window([2, 2], [1, 1], [0, 0], 1),
        window([1, 3], [0, 1], [0, 1], 1),
        window([2, 1], [1, 0], [0, 0], 1),
        window([1, 1], [0, 0], [0, 0], 1),
        window([2, 3], [1, 1], [0, 1], 2),
        window([2, 2], [1, 1], [0, 0], 2),
        window([1, 1], [0, 0], [0, 0], 2),
        window([3, 3], [1, 1], [1, 1], 2),
        window([4, 7], [3, 3], [0, 3], 1),
        window([1, 4], [0, 3], [0, 0], 1),
        // More zeros than the kernel is wide, and none.
        window([1, 1], [2, 1], [1, 3], 2),
        window([3, 2], [0, 0], [0, 0], 2),
        window([2, 2], [4, 0], [0, 5], 1),
    ]
}

#[test]
fn convolutions_agree_with_the_naive_twin() {
    for window in windows() {
        for (batch, height, width) in [(1, 3, 3), (2, 5, 7), (3, 8, 6)] {
            let shape = Window {
                batch,
                height,
                width,
                ..window
            };
            Case::new(shape, false).check();
        }
        let one = window.before[0] + window.after[0] + 1 >= window.kernel[0]
            && window.before[1] + window.after[1] + 1 >= window.kernel[1];
        if one {
            let shape = Window {
                batch: 5,
                height: 1,
                width: 1,
                ..window
            };
            Case::new(shape, false).check();
        }
    }
}

#[test]
fn channels_of_any_number() {
    for (c_in, c_out) in [
        (1, 1),
        (1, 160),
        (5, 3),
        (17, 48),
        (320, 17),
        (33, 320),
        (64, 100),
    ] {
        for window in [windows()[0], windows()[6]] {
            for activation in [Activation::None, Activation::ConcatElu] {
                let shape = Window {
                    c_in,
                    c_out,
                    activation,
                    ..window
                };
                Case::new(shape, c_in == 17).check();
            }
        }
    }
}

#[test]
fn every_activation_with_and_without_dropout() {
    for activation in ACTIVATIONS {
        for drops in [false, true] {
            for c_in in [3, 20, 37] {
                let shape = Window {
                    c_in,
                    activation,
                    ..windows()[5]
                };
                Case::new(shape, drops).check();
                let shape = Window {
                    c_in,
                    activation,
                    ..windows()[4]
                };
                Case::new(shape, drops).check();
            }
        }
    }
}

#[test]
fn activations_on_their_own() {
    for activation in ACTIVATIONS {
        for drops in [false, true] {
            for c_in in [1, 5, 33, 160] {
                let shape = Window {
                    c_in,
                    activation,
                    ..windows()[4]
                };
                let case = Case::new(shape, drops);
                let factor = |place| case.factor(place);
                let expected = naive::activate(activation, c_in, &case.x, factor);
                let dy = numbers(expected.len(), 7, 1.0);
                let wide: Vec<f64> = dy.iter().map(|&d| f64::from(d)).collect();
                let dx = naive::activate_backward(activation, c_in, &case.x, factor, &wide);
                on_every_path(|path| {
                    let what = format!("{path} {activation:?} of {c_in}");
                    let y = activate_new(c_in, &case.x, case.before());
                    assert_close(&what, &y, expected.iter().copied());
                    let found = activate_backward_new(c_in, &case.x, case.before(), &dy, None);
                    assert_close(&what, &found, dx.iter().copied());
                    let other = Some(&case.other[..]);
                    let sum = activate_backward_new(c_in, &case.x, case.before(), &dy, other);
                    let added = found.iter().zip(&case.other).map(|(a, b)| a + b);
                    assert_eq!(bits(&sum), bits(&added.collect::<Vec<_>>()), "{what}");
                });
            }
        }
    }
}

/// One of the activations, kernels, strides, sides and channels that there may be.
fn any_window() -> impl Strategy<Value = Window> {
    let sizes = (
        1..4_usize,
        1..10_usize,
        1..12_usize,
        1..40_usize,
        1..70_usize,
    );
    let kernels = ([1..5_usize, 1..6], [0..5_usize, 0..5], [0..4_usize, 0..4]);
    (sizes, kernels, 1..3_usize, 0..6_usize).prop_map(|(sizes, kernels, stride, activation)| {
        let (batch, height, width, c_in, c_out) = sizes;
        let (kernel, before, mut after) = kernels;
        for axis in 0..2 {
            // Room for the kernel, at least.
            let room = before[axis] + [height, width][axis];
            after[axis] = after[axis].max(kernel[axis].saturating_sub(room));
        }
        let activation = ACTIVATIONS[activation];
        Window {
            batch,
            height,
            width,
            c_in,
            c_out,
            activation,
            kernel,
            before,
            after,
            stride,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_convolution_agrees_with_the_naive_twin(shape in any_window(), drops: bool) {
        Case::new(shape, drops).check();
    }
}

#[test]
fn without_a_bias_and_without_what_nobody_wants() {
    let case = Case::new(windows()[0], false);
    let Case {
        shape,
        x,
        weights,
        bias,
        dy,
        ..
    } = &case;
    let before = case.before();
    on_every_path(|path| {
        let zeros = vec![0.0; bias.len()];
        let with = forward_new(shape, (x, before), weights, Some(&zeros));
        let without = forward_new(shape, (x, before), weights, None);
        assert_eq!(bits(&with), bits(&without), "{path}");
        let all = backward_new(shape, (x, before), weights, dy, true, true, None);
        let some = backward_new(shape, (x, before), weights, dy, false, false, None);
        assert_eq!(some.x, None);
        assert!(some.bias.is_empty());
        assert_eq!(bits(&some.weights), bits(&all.weights), "{path}");
    });
}

#[test]
fn threads_change_no_bit() {
    let large = Window {
        batch: 9,
        height: 20,
        width: 18,
        c_in: 40,
        c_out: 70,
        ..windows()[0]
    };
    let halving = Window {
        batch: 3,
        activation: Activation::ConcatElu,
        stride: 2,
        ..large
    };
    let small = Window {
        batch: 13,
        height: 4,
        width: 4,
        ..large
    };
    for shape in [large, halving, small] {
        let case = Case::new(shape, true);
        on_every_path(|path| {
            let all = |threads| with_threads(threads, || case.compute()).map(|r| bits(&r));
            let one = all(1);
            for threads in [2, 3, 7] {
                assert!(all(threads) == one, "{path} {shape:?}, {threads} threads");
            }
        });
    }
}

/// Output and gradient of an image do not depend on the others.
#[test]
fn an_image_alone_is_the_same() {
    for window in [windows()[0], windows()[5]] {
        let shape = Window {
            batch: 4,
            c_in: 21,
            c_out: 33,
            activation: Activation::Elu,
            ..window
        };
        let all = Case::new(shape, true);
        let each = |length: usize| length / shape.batch;
        on_every_path(|path| {
            let [y, dx, ..] = all.compute();
            for image in 0..shape.batch {
                fn part<T: Copy>(all: &[T], image: usize, images: usize) -> Vec<T> {
                    let each = all.len() / images;
                    all[image * each..][..each].to_vec()
                }
                let one = Case {
                    shape: Window { batch: 1, ..shape },
                    x: part(&all.x, image, shape.batch),
                    weights: all.weights.clone(),
                    bias: all.bias.clone(),
                    dy: part(&all.dy, image, shape.batch),
                    other: part(&all.other, image, shape.batch),
                    kept: all.kept.as_ref().map(|kept| part(kept, image, shape.batch)),
                };
                let [own_y, own_dx, ..] = one.compute();
                let of = |all: &[f32]| bits(&all[image * each(all.len())..][..each(all.len())]);
                assert_eq!(bits(&own_y), of(&y), "{path} {window:?} y of {image}");
                assert_eq!(bits(&own_dx), of(&dx), "{path} {window:?} dx of {image}");
            }
        });
    }
}

#[test]
fn no_images_give_zero_gradients() {
    let case = Case::new(
        Window {
            batch: 0,
            ..windows()[0]
        },
        true,
    );
    let [y, dx, dw, db] = case.compute();
    assert!(y.is_empty() && dx.is_empty());
    assert!(dw.iter().chain(&db).all(|&d| d == 0.0));
}

#[test]
#[should_panic(expected = "a kernel of 4 for 3 pixels with their zeros")]
fn a_kernel_larger_than_the_image_is_named() {
    let shape = Window {
        kernel: [1, 4],
        before: [0; 2],
        width: 3,
        after: [0; 2],
        ..windows()[0]
    };
    shape.size_out();
}

#[test]
#[should_panic(expected = "weights has 9 numbers, the shape needs 90")]
fn a_wrong_length_is_named() {
    let case = Case::new(windows()[0], false);
    forward_new(&case.shape, (&case.x, case.before()), &[0.0; 9], None);
}

//! A prior's block with what follows it, against the operations one by one: the same bits.

mod common;

use common::{bits, numbers, on_every_path, with_threads};
use vdvae_kernels::Precision;
use vdvae_kernels::bottleneck::{Bottleneck, Draw, LaidOut, Weights, add_drawn, forward_new};
use vdvae_kernels::conv::{self, Conv};
use vdvae_kernels::elementwise::latents;

/// A prior of `z` latents with all its inputs.
struct Case {
    shape: Bottleneck,
    z: usize,
    x: Vec<f32>,
    posterior: Vec<f32>,
    noise: Vec<f32>,
    w: [Vec<f32>; 4],
    b: Vec<f32>,
    projection: Vec<f32>,
}

impl Case {
    fn new(
        [batch, height, width]: [usize; 3],
        [z, channels, mid]: [usize; 3],
        kernel: usize,
        precision: Precision,
    ) -> Self {
        let shape = Bottleneck {
            batch,
            height,
            width,
            c_x: channels,
            c_act: 0,
            mid,
            c_out: 2 * z + channels,
            kernel,
            residual: false,
            precision,
        };
        let pixels = shape.pixels();
        Self {
            shape,
            z,
            x: numbers(pixels * channels, 1, 3.0),
            posterior: numbers(pixels * 2 * z, 2, 1.0),
            noise: numbers(pixels * z, 3, 2.0),
            w: shape.weight_lengths().map(|n| numbers(n, n as u32, 0.4)),
            b: numbers(shape.c_out.max(mid), 4, 0.5),
            projection: numbers(z * channels, 5, 0.4),
        }
    }

    fn weights(&self) -> Weights<'_> {
        let ([w1, w2, w3, w4], b) = (&self.w, &self.b[..self.shape.mid]);
        Weights {
            w1,
            b1: b,
            w2,
            b2: b,
            w3,
            b3: b,
            w4,
            b4: &self.b[..self.shape.c_out],
            laid_out: None,
        }
    }

    fn draw(&self, from_posterior: bool) -> Draw<'_> {
        Draw {
            channels: self.z,
            posterior: from_posterior.then_some(&self.posterior[..]),
            noise: &self.noise,
            weights: &self.projection,
            bias: &self.b[..self.shape.c_x],
        }
    }

    fn one_by_one(&self, from_posterior: bool) -> (Vec<f32>, Option<Vec<f32>>) {
        let Self { shape, z, .. } = self;
        let (prior, _) = forward_new(shape, &self.x, None, &self.weights(), false);
        let mut kl = vec![f32::NAN; shape.batch];
        let gaussian = if from_posterior {
            latents::kl(*z, &self.posterior, &prior, &mut kl);
            &self.posterior
        } else {
            &prior
        };
        let mut drawn = vec![f32::NAN; self.noise.len()];
        latents::draw(*z, gaussian, &self.noise, &mut drawn);
        let projection = Conv {
            batch: shape.batch,
            height: shape.height,
            width: shape.width,
            c_in: *z,
            c_out: shape.c_x,
            kernel: 1,
        };
        let draw = self.draw(from_posterior);
        let onto = (&self.x[..], &prior[..]);
        let x = conv::forward_onto(&projection, &drawn, draw.weights, draw.bias, onto);
        (x, from_posterior.then_some(kl))
    }

    fn in_one(&self, weights: &Weights, from_posterior: bool) -> (Vec<f32>, Option<Vec<f32>>) {
        let mut x = self.x.clone();
        let kl = add_drawn(&self.shape, &mut x, weights, &self.draw(from_posterior));
        (x, kl)
    }
}

fn assert_same(what: &str, found: &(Vec<f32>, Option<Vec<f32>>), e: &(Vec<f32>, Option<Vec<f32>>)) {
    assert!(bits(&found.0) == bits(&e.0), "{what}: the state");
    let kl = |kl: &Option<Vec<f32>>| kl.as_deref().map(bits);
    assert_eq!(kl(&found.1), kl(&e.1), "{what}: the KL");
}

#[test]
fn the_same_bits_as_one_by_one() {
    for (images, channels, kernel) in [
        // Images of several parts for the KL, the last one shorter; by Winograd and directly.
        ([3, 8, 12], [16, 48, 12], 3),
        ([2, 9, 15], [5, 19, 7], 3),
        ([5, 4, 4], [3, 33, 16], 3),
        ([7, 1, 1], [16, 64, 17], 1),
        ([1, 16, 16], [1, 1, 1], 3),
        // Enough for several threads inside one image.
        ([1, 32, 32], [16, 128, 32], 3),
    ] {
        for precision in [Precision::Fp32, Precision::Bf16] {
            let case = Case::new(images, channels, kernel, precision);
            on_every_path(|path| {
                for from_posterior in [false, true] {
                    let what = format!("{path} {:?} {from_posterior}", case.shape);
                    let expected = case.one_by_one(from_posterior);
                    for threads in [1, 3] {
                        let found =
                            with_threads(threads, || case.in_one(&case.weights(), from_posterior));
                        assert_same(&format!("{what}, {threads} threads"), &found, &expected);
                    }
                    let laid_out = LaidOut::new(&case.shape, &case.weights());
                    let weights = Weights {
                        laid_out: Some(&laid_out),
                        ..case.weights()
                    };
                    let found = case.in_one(&weights, from_posterior);
                    assert_same(&format!("{what}, laid out"), &found, &expected);
                }
            });
        }
    }
}

#[test]
fn no_images() {
    let case = Case::new([0, 8, 8], [4, 16, 8], 3, Precision::Fp32);
    assert_eq!(case.in_one(&case.weights(), false), (vec![], None));
    assert_eq!(case.in_one(&case.weights(), true), (vec![], Some(vec![])));
}

#[test]
#[should_panic(expected = "no prior of 4 latents and 16 features")]
fn a_block_with_too_few_outputs_is_refused() {
    let mut case = Case::new([1, 4, 4], [4, 16, 8], 3, Precision::Fp32);
    case.shape.c_out -= 1;
    case.in_one(&case.weights(), false);
}

#[test]
#[should_panic(expected = "noise has 63 numbers, the shape needs 64")]
fn noise_of_another_length_is_refused() {
    let mut case = Case::new([1, 4, 4], [4, 16, 8], 3, Precision::Fp32);
    case.noise.pop();
    case.in_one(&case.weights(), false);
}

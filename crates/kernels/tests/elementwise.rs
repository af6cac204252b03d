//! Latents, features, pooling, upsampling and the optimizer against their naive twins, at
//! sizes that break vectors; gradients against finite differences of the twins.

mod common;

use common::{assert_close, bits, numbers, on_every_path, poisoned, with_threads};
use vdvae_kernels::elementwise::add;
use vdvae_kernels::elementwise::clamp::{SoftClamp, soft_clamp, soft_clamp_backward};
use vdvae_kernels::elementwise::features::add_features_backward;
use vdvae_kernels::elementwise::latents::{
    draw, draw_with_kl, draw_with_kl_backward, kl, kl_per_element,
};
use vdvae_kernels::elementwise::naive;
use vdvae_kernels::elementwise::optimizer::{AdamW, AdamWTensor, adam, adamw, sum_of_squares};
use vdvae_kernels::elementwise::pool::{PoolShape, avg_pool, avg_pool_backward};
use vdvae_kernels::elementwise::upsample::{UpsampleShape, upsample_add, upsample_add_backward};

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

/// Sum of `outputs`, each times its weight.
fn weighted(outputs: &[f64], weights: &[f32]) -> f64 {
    outputs
        .iter()
        .zip(weights)
        .map(|(o, &w)| o * f64::from(w))
        .sum()
}

/// Derivative of `loss` with respect to each of `x`, by central differences.
fn slopes(x: &[f32], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut x = wide(x);
    let mut derivatives = Vec::new();
    for i in 0..x.len() {
        let centre = x[i];
        x[i] = centre + STEP;
        let above = loss(&x);
        x[i] = centre - STEP;
        derivatives.push((above - loss(&x)) / (2.0 * STEP));
        x[i] = centre;
    }
    derivatives
}

/// Batch, positions, latent channels, further channels of the prior.
const LATENTS: [(usize, usize, usize, usize); 7] = [
    (1, 1, 1, 0),
    (2, 9, 3, 1),
    (3, 1, 7, 5),
    (2, 65, 15, 17),
    (1, 130, 16, 16),
    (2, 6, 17, 3),
    (2, 4, 33, 0),
];

#[test]
fn draws() {
    on_every_path(|path| {
        for (batch, pixels, z, more) in LATENTS {
            let (n, channels) = (batch * pixels, 2 * z + more);
            let (gaussian, eps) = (numbers(n * channels, 1, 2.0), numbers(n * z, 2, 3.0));
            let mut out = poisoned(n * z);
            draw(z, &gaussian, &eps, &mut out);
            let expected = naive::draw(z, &wide(&gaussian), &wide(&eps));
            assert_close(&format!("{path} draw {z}"), &out, expected);
        }
    });
}

#[test]
fn softly_clamped_parameters_and_their_gradient() {
    let clamp = SoftClamp {
        limit: 5.0,
        least_sigma: 0.01,
    };
    for (pixels, z) in [(1, 1), (3, 5), (7, 16), (900, 20)] {
        // Far beyond the limit too.
        let raw = numbers(pixels * 2 * z, 1, 12.0);
        let expected = naive::soft_clamp(&clamp, z, &wide(&raw));
        let dout = numbers(raw.len(), 2, 1.0);
        let few = raw.len().min(64);
        let whole = few - few % (2 * z);
        let loss = |raw: &[f64]| weighted(&naive::soft_clamp(&clamp, z, raw), &dout);
        let gradient = slopes(&raw[..whole], loss);
        on_every_path(|path| {
            let (mut out, mut draw) = (poisoned(raw.len()), poisoned(raw.len()));
            soft_clamp(&clamp, z, &raw, &mut out);
            soft_clamp_backward(&clamp, z, &raw, &dout, &mut draw);
            assert_close(
                &format!("{path} clamped {pixels}, {z}"),
                &out,
                expected.clone(),
            );
            let what = format!("{path} gradient {pixels}, {z}");
            assert_close(&what, &draw[..whole], gradient.clone());
        });
    }
}

#[test]
fn divergence() {
    on_every_path(|path| {
        for (batch, pixels, z, more) in LATENTS {
            let (n, stride) = (batch * pixels, 2 * z + more);
            let (q, p) = (numbers(n * 2 * z, 4, 1.5), numbers(n * stride, 5, 1.5));
            let mut elements = poisoned(n * z);
            kl_per_element(z, &q, &p, &mut elements);
            let expected = naive::kl_per_element(z, &wide(&q), &wide(&p));
            assert_close(
                &format!("{path} kl {z}"),
                &elements,
                expected.iter().copied(),
            );

            let mut sums = poisoned(batch);
            kl(z, &q, &p, &mut sums);
            let images = expected.chunks(pixels * z).map(|image| image.iter().sum());
            assert_close(&format!("{path} kl sums {z}"), &sums, images);

            // With a draw, the same of each.
            let eps = numbers(n * z, 6, 3.0);
            let (mut out, mut alone) = (poisoned(n * z), poisoned(n * z));
            let mut with_draw = poisoned(batch);
            draw_with_kl(z, (&q, &p), &eps, &mut out, &mut with_draw);
            draw(z, &q, &eps, &mut alone);
            assert_eq!(bits(&out), bits(&alone), "{path} draw with kl {z}");
            assert_eq!(bits(&with_draw), bits(&sums), "{path} kl with draw {z}");
        }
    });
}

#[test]
fn gradients_of_a_draw_and_its_divergence() {
    on_every_path(|path| {
        for (batch, pixels, z, more) in LATENTS {
            let (n, stride) = (batch * pixels, 2 * z + more);
            let (q, p) = (numbers(n * 2 * z, 4, 1.5), numbers(n * stride, 5, 1.5));
            let (eps, dout) = (numbers(n * z, 2, 3.0), numbers(n * z, 3, 1.0));
            let (dkl, before) = (numbers(batch, 6, 1.0), numbers(n * stride, 8, 1.0));
            let (mut dq, mut dp) = (poisoned(q.len()), poisoned(p.len()));
            let inputs = (&q[..], &p[..]);
            let outputs = (&dout[..], &dkl[..]);
            draw_with_kl_backward(z, inputs, &eps, outputs, false, (&mut dq, &mut dp));
            if n < 20 {
                let loss = |q: &[f64], p: &[f64]| {
                    let kl = naive::kl_per_element(z, q, p);
                    let images = kl.chunks(pixels * z).map(|image| image.iter().sum());
                    weighted(&images.collect::<Vec<f64>>(), &dkl)
                        + weighted(&naive::draw(z, q, &wide(&eps)), &dout)
                };
                let expected = slopes(&q, |q| loss(q, &wide(&p)));
                assert_close(&format!("{path} dq {z}"), &dq, expected);
                let expected = slopes(&p, |p| loss(&wide(&q), p));
                assert_close(&format!("{path} dp {z}"), &dp, expected);
            }
            assert!(dq.iter().chain(&dp).all(|g| g.is_finite()));

            let (mut dq_onto, mut dp_onto) = (poisoned(q.len()), before.clone());
            let to = (&mut dq_onto[..], &mut dp_onto[..]);
            draw_with_kl_backward(z, inputs, &eps, outputs, true, to);
            assert_eq!(bits(&dq), bits(&dq_onto), "{path}");
            add(&mut dp, &before);
            assert_eq!(dp, dp_onto, "{path}");
        }
    });
}

#[test]
fn divergence_at_extreme_scales_does_not_overflow_in_between() {
    on_every_path(|_| {
        // sigma^2 alone would overflow, the ratio is 1.
        let mut found = poisoned(1);
        kl(1, &[3.0, 60.0], &[3.0, 60.0], &mut found);
        assert_eq!(found, [0.0]);
        kl(1, &[3.0, -60.0], &[3.0, -60.0], &mut found);
        assert_eq!(found, [0.0]);
        kl(1, &[f32::NAN, 0.0], &[0.0, 0.0], &mut found);
        assert!(found[0].is_nan());
    });
}

#[test]
fn the_features_gradient_comes_after_the_offset() {
    for (pixels, channels, offset) in [(1, 1, 2), (9, 3, 6), (35, 17, 32), (70, 16, 1), (3, 15, 0)]
    {
        let dout = numbers(pixels * channels, 7, 1.0);
        let dp = add_features_backward(channels, offset, &dout);
        assert_eq!(dp.len(), pixels * (offset + channels));
        let rows = dp.chunks(offset + channels).zip(dout.chunks(channels));
        for (dp, dout) in rows {
            assert_eq!(dp[..offset], vec![0.0; offset]);
            assert_eq!(dp[offset..], *dout);
        }
    }
}

#[test]
fn pooling_and_its_gradient() {
    // Batch, height, width, channels before and after, factor.
    let cases = [
        (1, 2, 2, 1, 1, 2),
        (2, 4, 6, 3, 7, 2),
        (1, 9, 3, 15, 16, 3),
        (2, 4, 4, 16, 16, 4),
        (1, 3, 5, 17, 35, 1),
        (2, 2, 4, 33, 33, 2),
    ];
    for (batch, height, width, c_in, c_out, factor) in cases {
        let shape = PoolShape {
            batch,
            height,
            width,
            c_in,
            c_out,
            factor,
        };
        let x = numbers(shape.input_len(), 9, 1.0);
        let dout = numbers(shape.output_len(), 10, 1.0);
        let mut out = poisoned(dout.len());
        avg_pool(&shape, &x, &mut out);
        assert_close("pooled", &out, naive::avg_pool(&shape, &wide(&x)));
        let mut dx = poisoned(x.len());
        avg_pool_backward(&shape, &dout, &mut dx);
        let expected = slopes(&x, |x| weighted(&naive::avg_pool(&shape, x), &dout));
        assert_close("pooling gradient", &dx, expected);
    }
}

#[test]
fn upsampling_and_its_gradient() {
    // Batch, height, width, channels, mixed channels, factor.
    let cases = [
        (1, 2, 2, 1, 1, 2),
        (2, 4, 6, 3, 7, 2),
        (3, 9, 3, 15, 16, 3),
        (2, 4, 4, 16, 16, 4),
        (2, 3, 5, 17, 35, 1),
    ];
    for (batch, height, width, channels, mixed_channels, factor) in cases {
        let shape = UpsampleShape {
            batch,
            height,
            width,
            channels,
            mixed_channels,
            factor,
        };
        let mixed = numbers(shape.mixed_len(), 12, 1.0);
        let dout = numbers(batch * shape.image_len(), 13, 1.0);
        for images in [1, batch] {
            let x = numbers(images * shape.image_len(), 11, 1.0);
            let mut out = poisoned(dout.len());
            upsample_add(&shape, &x, &mixed, &mut out);
            let forward = |x: &[f64], mixed: &[f64]| naive::upsample_add(&shape, x, mixed);
            assert_close("upsampled", &out, forward(&wide(&x), &wide(&mixed)));
            let (mut dx, mut dmixed) = (poisoned(x.len()), poisoned(mixed.len()));
            upsample_add_backward(&shape, &dout, &mut dx, &mut dmixed);
            let expected = slopes(&x, |x| weighted(&forward(x, &wide(&mixed)), &dout));
            assert_close("dx", &dx, expected);
            let expected = slopes(&mixed, |m| weighted(&forward(&wide(&x), m), &dout));
            assert_close("dmixed", &dmixed, expected);
        }
    }
}

fn rule(step: u32) -> AdamW {
    AdamW {
        learning_rate: 2e-3,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.01,
        step,
        grad_scale: 0.37,
        ema_rate: 0.999,
    }
}

#[test]
fn adamw_steps() {
    optimizer_steps(1e-8, adamw, naive::adamw);
}

/// Some gradients are below the root of epsilon, where it matters what is inside of a root.
#[test]
fn adam_steps() {
    optimizer_steps(0.01, adam, naive::adam);
}

fn optimizer_steps(
    epsilon: f64,
    fast: fn(AdamWTensor, &AdamW),
    plain: fn(&AdamW, [f64; 4], f64) -> [f64; 4],
) {
    let rule = |step| AdamW {
        epsilon,
        ..rule(step)
    };
    on_every_path(|path| {
        for len in [1, 3, 7, 15, 16, 17, 1000] {
            let mut state = [
                numbers(len, 14, 1.0),
                vec![0.0; len],
                vec![0.0; len],
                numbers(len, 15, 1.0),
            ];
            let mut expected: Vec<[f64; 4]> = (0..len)
                .map(|i| [0, 1, 2, 3].map(|part: usize| f64::from(state[part][i])))
                .collect();
            for step in 1..5 {
                let grad = numbers(len, 16 + step, 1.0);
                let [param, m, v, ema] = &mut state;
                let tensor = AdamWTensor {
                    param,
                    grad: &grad,
                    m,
                    v,
                    ema,
                };
                fast(tensor, &rule(step));
                for (e, &g) in expected.iter_mut().zip(&grad) {
                    *e = plain(&rule(step), *e, f64::from(g));
                }
            }
            for (part, found) in state.iter().enumerate() {
                assert_close(
                    &format!("{path} {part}"),
                    found,
                    expected.iter().map(|e| e[part]),
                );
            }
        }
    });
}

#[test]
fn sums_of_squares_are_precise_and_the_same_for_every_instruction_set() {
    for len in [0, 1, 15, 16, 17, 16_384, 16_385, 200_003] {
        let x = numbers(len, 20, 1e20);
        let expected: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        let mut found = Vec::new();
        on_every_path(|_| found.push(sum_of_squares(&x)));
        assert!((found[0] - expected).abs() <= 1e-11 * expected, "{len}");
        assert!(
            found.iter().all(|f| f.to_bits() == found[0].to_bits()),
            "{len}"
        );
    }
}

/// Everything that uses threads, on a batch large enough for it; outputs one after another.
fn all_results(batch: usize) -> Vec<Vec<f32>> {
    let (z, side, c) = (16, 34, 48);
    let n = batch * side * side;
    let image = |count: usize, seed: u32| {
        numbers(batch.max(3) * count, seed, 1.0)[..batch * count].to_vec()
    };
    let (q, p) = (
        image(side * side * 2 * z, 1),
        image(side * side * (2 * z + c), 2),
    );
    let (eps, x) = (image(side * side * z, 3), image(side * side * c, 4));
    let dkl = image(1, 5);
    let mut out = [
        poisoned(n * z),
        poisoned(n * z),
        poisoned(batch),
        poisoned(batch),
        poisoned(q.len()),
        poisoned(p.len()),
        poisoned(p.len()),
        poisoned(x.len() / 4),
        poisoned(x.len()),
        poisoned(x.len()),
        poisoned(x.len()),
        poisoned(x.len() / 4),
    ];
    let [
        z_,
        z_with_kl,
        kl_,
        kl_with_z,
        dq,
        dp,
        dfeatures,
        pooled,
        dx,
        up,
        dstate,
        dmixed,
    ] = &mut out;
    draw(z, &q, &eps, z_);
    kl(z, &q, &p, kl_);
    draw_with_kl(z, (&q, &p), &eps, z_with_kl, kl_with_z);
    draw_with_kl_backward(z, (&q, &p), &eps, (z_, &dkl), false, (dq, dp));
    *dfeatures = add_features_backward(c, 2 * z, &x);
    let pool = PoolShape {
        batch,
        height: side,
        width: side,
        c_in: c,
        c_out: c,
        factor: 2,
    };
    avg_pool(&pool, &x, pooled);
    avg_pool_backward(&pool, pooled, dx);
    let upsample = UpsampleShape {
        batch,
        height: side,
        width: side,
        channels: c,
        mixed_channels: c,
        factor: 2,
    };
    upsample_add(&upsample, &x, pooled, up);
    upsample_add_backward(&upsample, up, dstate, dmixed);
    out.to_vec()
}

#[test]
fn neither_threads_nor_batch_change_a_bit() {
    on_every_path(|path| {
        let expected = with_threads(1, || all_results(3));
        for threads in [2, 3] {
            let found = with_threads(threads, || all_results(3));
            for (f, e) in found.iter().zip(&expected) {
                assert_eq!(bits(f), bits(e), "{path}, {threads} threads");
            }
        }
        for (i, (one, three)) in all_results(1).iter().zip(&expected).enumerate() {
            assert_eq!(bits(one), bits(&three[..one.len()]), "{path}, output {i}");
        }
    });
}

#[test]
fn sums_over_the_batch_and_the_optimizer_do_not_depend_on_threads() {
    let shape = UpsampleShape {
        batch: 5,
        height: 40,
        width: 40,
        channels: 48,
        mixed_channels: 48,
        factor: 1,
    };
    let dout = numbers(5 * shape.image_len(), 1, 1.0);
    let grad = numbers(shape.image_len(), 2, 1.0);
    let results = |threads| {
        with_threads(threads, || {
            let (mut dx, mut dmixed) = (poisoned(shape.image_len()), poisoned(dout.len()));
            upsample_add_backward(&shape, &dout, &mut dx, &mut dmixed);
            let mut ema = dx.clone();
            let (mut m, mut v) = (vec![0.0; dx.len()], vec![0.0; dx.len()]);
            let tensor = AdamWTensor {
                param: &mut dx,
                grad: &grad,
                m: &mut m,
                v: &mut v,
                ema: &mut ema,
            };
            adamw(tensor, &rule(1));
            (bits(&dx), bits(&ema), sum_of_squares(&dout).to_bits())
        })
    };
    // Every path: other tests of this program switch between them meanwhile.
    on_every_path(|_| {
        let expected = results(1);
        assert_eq!(results(2), expected);
        assert_eq!(results(3), expected);
    });
}

#[test]
#[should_panic(expected = "pooling input: expected 64 numbers, found 63")]
fn a_wrong_length_is_named() {
    let shape = PoolShape {
        batch: 1,
        height: 4,
        width: 4,
        c_in: 4,
        c_out: 4,
        factor: 2,
    };
    avg_pool(&shape, &[0.0; 63], &mut [0.0; 16]);
}

//! Bottleneck blocks against their naive twins, at sizes that break tiles.

mod common;

use common::{
    assert_close, assert_near, assert_within, bits, numbers, on_every_path, poisoned, with_threads,
};
use vdvae_kernels::Precision;
use vdvae_kernels::bottleneck::{
    Bottleneck, Gradients, Hidden, LaidOut, Weights, backward, backward_new, forward,
    forward_in_place, forward_new,
};
use vdvae_kernels::naive;

/// A block with all its inputs.
struct Case {
    shape: Bottleneck,
    x: Vec<f32>,
    act: Option<Vec<f32>>,
    w: [Vec<f32>; 4],
    b: [Vec<f32>; 4],
    dy: Vec<f32>,
}

/// All results of a forward and a backward pass.
#[derive(Clone)]
struct Results {
    y: Vec<f32>,
    hidden: Hidden,
    dx: Vec<f32>,
    dact: Vec<f32>,
    gradients: Gradients,
}

impl Case {
    fn new(shape: Bottleneck) -> Self {
        let pixels = shape.pixels();
        let mut seed = 0;
        let w = shape.weight_lengths().map(|n| {
            seed += 1;
            numbers(n, seed, 0.4)
        });
        let b = [shape.mid, shape.mid, shape.mid, shape.c_out].map(|n| numbers(n, 9, 0.5));
        Self {
            shape,
            x: numbers(pixels * shape.c_x, 10, 3.0),
            act: (shape.c_act > 0).then(|| numbers(pixels * shape.c_act, 11, 3.0)),
            w,
            b,
            dy: numbers(pixels * shape.c_out, 12, 1.0),
        }
    }

    fn weights(&self) -> Weights<'_> {
        let ([w1, w2, w3, w4], [b1, b2, b3, b4]) = (&self.w, &self.b);
        Weights {
            w1,
            b1,
            w2,
            b2,
            w3,
            b3,
            w4,
            b4,
            laid_out: None,
        }
    }

    fn compute(&self) -> Results {
        let shape = &self.shape;
        let mut hidden = self.poisoned_hidden();
        let mut gradients = Gradients::new(shape);
        let g = &mut gradients;
        for g in [
            &mut g.w1, &mut g.b1, &mut g.w2, &mut g.b2, &mut g.w3, &mut g.b3, &mut g.w4, &mut g.b4,
        ] {
            g.fill(f32::NAN);
        }
        let act = self.act.as_deref();
        let (mut y, mut dx) = (poisoned(self.dy.len()), poisoned(self.x.len()));
        let mut dact = poisoned(shape.pixels() * shape.c_act);
        let weights = self.weights();
        forward(shape, &self.x, act, &weights, &mut y, Some(&mut hidden));
        let dact_asked = act.map(|_| &mut dact[..]);
        backward(
            shape,
            &self.x,
            act,
            &weights,
            &hidden,
            &self.dy,
            &mut dx,
            dact_asked,
            &mut gradients,
        );
        Results {
            y,
            hidden,
            dx,
            dact,
            gradients,
        }
    }

    /// All gradients in new memory.
    fn backward_new(
        &self,
        hidden: &Hidden,
        others: [Option<&[f32]>; 2],
    ) -> (Vec<f32>, Option<Vec<f32>>, Gradients) {
        let act = self.act.as_deref();
        backward_new(
            &self.shape,
            &self.x,
            act,
            &self.weights(),
            hidden,
            &self.dy,
            others,
        )
    }

    /// Hidden activations that are all NaN: those of an input that is.
    fn poisoned_hidden(&self) -> Hidden {
        let mut hidden = Hidden::new(&self.shape);
        let x = poisoned(self.x.len());
        let mut y = poisoned(self.dy.len());
        let (shape, act) = (&self.shape, self.act.as_deref());
        forward(shape, &x, act, &self.weights(), &mut y, Some(&mut hidden));
        hidden
    }

    /// The images `range` of this case alone.
    fn images(&self, range: std::ops::Range<usize>) -> Self {
        let area = self.shape.height * self.shape.width;
        let part =
            |all: &[f32], c: usize| all[range.start * area * c..range.end * area * c].to_vec();
        let shape = Bottleneck {
            batch: range.len(),
            ..self.shape
        };
        Self {
            shape,
            x: part(&self.x, shape.c_x),
            act: self.act.as_ref().map(|act| part(act, shape.c_act)),
            w: self.w.clone(),
            b: self.b.clone(),
            dy: part(&self.dy, shape.c_out),
        }
    }
}

impl Results {
    fn bits(&self, shape: &Bottleneck) -> Vec<Vec<u32>> {
        let g = &self.gradients;
        let [h1, h2, h3] = &self.hidden.values(shape);
        let all = [
            &self.y, &self.dx, &self.dact, h1, h2, h3, &g.w1, &g.b1, &g.w2, &g.b2, &g.w3, &g.b3,
            &g.w4, &g.b4,
        ];
        all.map(|r| bits(r)).to_vec()
    }
}

#[allow(clippy::too_many_arguments)]
fn block(
    (batch, height, width): (usize, usize, usize),
    (c_x, c_act, mid, c_out): (usize, usize, usize, usize),
    kernel: usize,
    residual: bool,
) -> Bottleneck {
    Bottleneck {
        batch,
        height,
        width,
        c_x,
        c_act,
        mid,
        c_out,
        kernel,
        residual,
        precision: Precision::Fp32,
    }
}

/// The same block with operands rounded to bfloat16.
fn rounded(shape: Bottleneck) -> Bottleneck {
    Bottleneck {
        precision: Precision::Bf16,
        ..shape
    }
}

fn shapes() -> Vec<Bottleneck> {
    let mut shapes = Vec::new();
    shapes.push(block((3, 14, 14), (8, 0, 20, 8), 3, true));
    shapes.push(block((1, 2, 4), (8, 0, 128, 8), 3, true));
    for kernel in [1, 3] {
        for size in [
            (1, 1, 1),
            (5, 1, 1),
            (1, 1, 3),
            (2, 3, 1),
            (1, 2, 2),
            (3, 4, 4),
            (2, 5, 7),
        ] {
            shapes.push(block(size, (20, 0, 5, 20), kernel, true));
            shapes.push(block(size, (16, 16, 8, 24), kernel, false));
        }
        for mid in [1, 3, 8, 16, 17, 24, 32, 33, 48, 50, 64, 80, 96, 97] {
            shapes.push(block((1, 5, 6), (7, 2, mid, 9), kernel, false));
            shapes.push(block((2, 6, 8), (9, 0, mid, 9), kernel, true));
        }
        for (c_x, c_act) in [(1, 0), (3, 1), (1, 30), (33, 15), (64, 0), (50, 51)] {
            shapes.push(block((2, 3, 3), (c_x, c_act, 12, 37), kernel, false));
            shapes.push(block((1, 9, 8), (c_x, c_act, 16, c_x), kernel, true));
        }
    }
    shapes
}

/// Shapes whose 3x3 convolutions go through Winograd's filtering.
fn filtered_shapes() -> Vec<Bottleneck> {
    let mut shapes = vec![
        // More tiles than fit a chunk, and as many channels as the widest models have.
        block((3, 12, 24), (8, 0, 20, 8), 3, true),
        block((1, 8, 8), (8, 0, 128, 8), 3, true),
        // More than one group of images whose gradients of parameters are added up.
        block((5, 32, 32), (96, 40, 4, 96), 3, true),
    ];
    for mid in [1, 3, 8, 16, 17, 24, 32, 33, 48, 50, 64, 80, 96, 97] {
        shapes.push(block((2, 8, 12), (9, 0, mid, 9), 3, true));
    }
    shapes
}

/// As close as filtering allows: its transforms make of single precision's rounding about five times
/// as much at worst (1.4e-6 of the largest output of one convolution of 96 channels, where the direct
/// sum is 2.2e-7 off).
fn assert_filtered(what: &str, found: &[f32], expected: Vec<f64>) {
    assert_within(1e-5, what, found, expected);
}

#[test]
fn filtered_convolutions_agree_with_the_naive_twin() {
    for shape in filtered_shapes() {
        agrees_with_the_twin(&Case::new(shape), assert_filtered);
        agrees_with_the_twin(&Case::new(rounded(shape)), assert_near);
    }
}

#[test]
fn forward_and_backward_agree_with_the_naive_twin() {
    for shape in shapes() {
        agrees_with_the_twin(&Case::new(shape), assert_close);
    }
}

#[test]
fn rounded_operands_agree_with_the_naive_twin() {
    for shape in shapes() {
        agrees_with_the_twin(&Case::new(rounded(shape)), assert_near);
    }
}

fn agrees_with_the_twin(case: &Case, agree: fn(&str, &[f32], Vec<f64>)) {
    let shape = case.shape;
    let act = case.act.as_deref();
    let weights = case.weights();
    let (y, hidden) = naive::bottleneck_forward(&shape, &case.x, act, &weights);
    let wide = |a: &[f32]| a.iter().map(|&a| f64::from(a)).collect::<Vec<_>>();
    on_every_path(|path| {
        let found = case.compute();
        let name = |what| format!("{path} {shape:?} {what}");
        agree(&name("y"), &found.y, y.clone());
        let found_hidden = found.hidden.values(&shape);
        for (what, (f, h)) in ["h1", "h2", "h3"]
            .into_iter()
            .zip(found_hidden.iter().zip(&hidden))
        {
            agree(&name(what), f, h.clone());
        }
        let (dx, dact, g) =
            naive::bottleneck_backward(&shape, &case.x, act, &weights, &found.hidden, &case.dy);
        agree(&name("dx"), &found.dx, dx);
        agree(&name("dact"), &found.dact, dact);
        for ((what, f), (_, g)) in named(&found.gradients).into_iter().zip(named(&g)) {
            agree(&name(what), f, wide(g));
        }
    });
}

/// Gradients with their names.
fn named(g: &Gradients) -> [(&'static str, &[f32]); 8] {
    [
        ("dw1", &g.w1),
        ("db1", &g.b1),
        ("dw2", &g.w2),
        ("db2", &g.b2),
        ("dw3", &g.w3),
        ("db3", &g.b3),
        ("dw4", &g.w4),
        ("db4", &g.b4),
    ]
}

#[test]
fn gradients_of_rounded_operands_are_close_to_exact_ones() {
    for shape in [
        block((2, 16, 16), (96, 0, 24, 96), 3, true),
        block((3, 7, 9), (40, 24, 33, 41), 3, false),
        block((16, 1, 1), (64, 0, 16, 64), 1, true),
    ] {
        let (exact, round) = (Case::new(shape), Case::new(rounded(shape)));
        on_every_path(|path| {
            let (exact, round) = (exact.compute(), round.compute());
            let close = |what: &str, exact: &[f32], round: &[f32]| {
                let norm = |a: &mut dyn Iterator<Item = f32>| {
                    a.map(|a| f64::from(a).powi(2)).sum::<f64>().sqrt()
                };
                let error = norm(&mut exact.iter().zip(round).map(|(e, r)| e - r));
                let relative = error / norm(&mut exact.iter().copied());
                assert!(relative < 3e-2, "{path} {shape:?} {what}: {relative}");
                assert!(
                    relative > 0.0,
                    "{path} {shape:?} {what}: nothing was rounded"
                );
            };
            close("y", &exact.y, &round.y);
            close("dx", &exact.dx, &round.dx);
            let gradients = named(&exact.gradients).into_iter();
            for ((what, e), (_, r)) in gradients.zip(named(&round.gradients)) {
                close(what, e, r);
            }
        });
    }
}

#[test]
fn instructions_for_bfloat16_change_no_bit_of_single_precision() {
    let case = Case::new(block((2, 9, 8), (33, 15, 24, 37), 3, false));
    let mut results = Vec::new();
    on_every_path(|path| {
        if path.starts_with("avx512") {
            results.push(case.compute().bits(&case.shape));
        }
    });
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn threads_change_no_bit() {
    for shape in [
        block((3, 20, 23), (40, 24, 33, 40), 3, true),
        block((16, 4, 4), (64, 0, 16, 64), 3, true),
        block((2, 16, 16), (192, 0, 96, 100), 3, false),
        block((5, 32, 32), (96, 40, 12, 96), 3, true),
        block((700, 1, 1), (64, 64, 32, 64), 1, false),
        rounded(block((3, 20, 23), (40, 24, 33, 40), 3, true)),
        rounded(block((16, 4, 4), (64, 0, 16, 64), 3, true)),
        // In several groups of images, filtered and direct.
        rounded(block((5, 32, 32), (96, 40, 12, 96), 3, true)),
        rounded(block((5, 31, 33), (96, 40, 12, 96), 3, true)),
        rounded(block((700, 1, 1), (64, 64, 32, 64), 1, false)),
    ] {
        let case = Case::new(shape);
        on_every_path(|path| {
            let one = with_threads(1, || case.compute().bits(&case.shape));
            for threads in [2, 5] {
                let more = with_threads(threads, || case.compute().bits(&case.shape));
                assert!(more == one, "{path} {shape:?}, {threads} threads");
            }
        });
    }
}

#[test]
fn the_batch_changes_no_bit_of_an_image() {
    for (shape, alone) in [
        (block((5, 7, 9), (36, 12, 20, 36), 3, true), 3..4),
        (block((16, 4, 4), (64, 0, 16, 64), 3, true), 7..10),
        (block((4, 16, 16), (96, 0, 96, 130), 3, false), 2..3),
        (block((300, 1, 1), (64, 0, 128, 64), 1, true), 299..300),
        (rounded(block((5, 7, 9), (36, 12, 20, 36), 3, true)), 3..4),
        (rounded(block((4, 16, 8), (40, 8, 20, 36), 3, false)), 1..2),
        (rounded(block((16, 4, 4), (64, 0, 17, 64), 3, true)), 7..10),
        (
            rounded(block((300, 1, 1), (64, 0, 96, 64), 1, true)),
            299..300,
        ),
    ] {
        let case = Case::new(shape);
        let part = case.images(alone.clone());
        let area = shape.height * shape.width;
        on_every_path(|path| {
            let all = case.compute();
            let one = part.compute();
            let range = |c: usize| alone.start * area * c..alone.end * area * c;
            let same = |what: &str, all: &[f32], one: &[f32], c: usize| {
                assert!(bits(&all[range(c)]) == bits(one), "{path} {shape:?} {what}");
            };
            same("y", &all.y, &one.y, shape.c_out);
            same("dx", &all.dx, &one.dx, shape.c_x);
            same("dact", &all.dact, &one.dact, shape.c_act);
            let [.., h3] = &all.hidden.values(&shape);
            same("h3", h3, &one.hidden.values(&part.shape)[2], shape.mid);
        });
    }
}

#[test]
fn what_is_not_asked_for_changes_nothing_else() {
    let shape = block((2, 6, 6), (20, 28, 16, 30), 3, false);
    for shape in [shape, rounded(shape)] {
        what_is_asked_for_alone(&Case::new(shape));
    }
}

fn what_is_asked_for_alone(case: &Case) {
    let act = case.act.as_deref();
    let weights = case.weights();
    on_every_path(|path| {
        let all = case.compute();
        let mut y = poisoned(all.y.len());
        forward(&case.shape, &case.x, act, &weights, &mut y, None);
        assert!(bits(&y) == bits(&all.y), "{path}: y without hidden");
        let (mut dx, mut gradients) = (poisoned(all.dx.len()), Gradients::default());
        backward(
            &case.shape,
            &case.x,
            act,
            &weights,
            &all.hidden,
            &case.dy,
            &mut dx,
            None,
            &mut gradients,
        );
        assert!(bits(&dx) == bits(&all.dx), "{path}: dx without dact");
        assert!(gradients == all.gradients, "{path}: gradients without dact");
    });
}

#[test]
fn new_memory_holds_the_same() {
    for shape in [
        block((2, 5, 6), (20, 28, 15, 30), 3, false),
        block((3, 1, 1), (9, 0, 5, 9), 3, true),
        block((0, 4, 4), (8, 3, 4, 8), 3, true),
    ] {
        for shape in [shape, rounded(shape)] {
            let case = Case::new(shape);
            let (act, weights) = (case.act.as_deref(), case.weights());
            on_every_path(|path| {
                let all = case.compute();
                let (y, hidden) = forward_new(&shape, &case.x, act, &weights, true);
                let hidden = hidden.unwrap();
                let (dx, dact, gradients) = case.backward_new(&hidden, [None; 2]);
                let found = Results {
                    y,
                    hidden,
                    dx,
                    dact: dact.unwrap_or_default(),
                    gradients,
                };
                assert!(found.bits(&shape) == all.bits(&shape), "{path} {shape:?}");
            });
        }
    }
}

#[test]
fn a_residual_block_may_replace_its_input() {
    for shape in [
        block((2, 5, 6), (20, 28, 15, 20), 3, true),
        // Whole images on threads, and the last rows of tiles repeated.
        block((3, 8, 12), (33, 0, 16, 33), 3, true),
        block((1, 1, 1), (5, 0, 4, 5), 3, true),
        block((5, 1, 3), (100, 0, 4, 100), 1, true),
    ] {
        for shape in [shape, rounded(shape)] {
            let case = Case::new(shape);
            let (act, weights) = (case.act.as_deref(), case.weights());
            on_every_path(|path| {
                let (y, _) = forward_new(&shape, &case.x, act, &weights, false);
                let mut found = case.x.clone();
                forward_in_place(&shape, &mut found, act, &weights);
                assert!(bits(&found) == bits(&y), "{path} {shape:?}");
            });
        }
    }
}

#[test]
#[should_panic(expected = "only a residual block")]
fn another_block_cannot_replace_its_input() {
    let shape = block((1, 2, 2), (8, 0, 4, 8), 3, false);
    let case = Case::new(shape);
    forward_in_place(&shape, &mut case.x.clone(), None, &case.weights());
}

#[test]
fn laid_out_weights_change_nothing() {
    for shape in [
        block((2, 5, 6), (20, 28, 15, 20), 3, true),
        block((2, 8, 8), (33, 5, 16, 12), 3, false),
        block((3, 1, 1), (160, 0, 64, 160), 1, true),
    ] {
        for shape in [shape, rounded(shape)] {
            let case = Case::new(shape);
            let (act, weights) = (case.act.as_deref(), case.weights());
            on_every_path(|path| {
                let (y, _) = forward_new(&shape, &case.x, act, &weights, false);
                // Of another batch: the weights are the same.
                let laid_out = LaidOut::new(&Bottleneck { batch: 9, ..shape }, &weights);
                let weights = Weights {
                    laid_out: Some(&laid_out),
                    ..weights
                };
                let (found, _) = forward_new(&shape, &case.x, act, &weights, false);
                assert!(bits(&found) == bits(&y), "{path} {shape:?}");
            });
        }
    }
}

#[test]
#[should_panic(expected = "another shape")]
fn weights_laid_out_for_another_shape_are_refused() {
    let shape = block((1, 8, 8), (8, 0, 4, 8), 3, true);
    let case = Case::new(shape);
    let weights = case.weights();
    let laid_out = LaidOut::new(&Bottleneck { width: 7, ..shape }, &weights);
    let weights = Weights {
        laid_out: Some(&laid_out),
        ..weights
    };
    forward_new(&shape, &case.x, None, &weights, false);
}

#[test]
fn what_others_found_is_added() {
    for shape in [
        block((2, 5, 6), (20, 28, 15, 20), 3, true),
        block((2, 8, 8), (33, 0, 16, 12), 3, false),
    ] {
        for shape in [shape, rounded(shape)] {
            let case = Case::new(shape);
            let others = [
                numbers(case.x.len(), 21, 1.0),
                numbers(shape.pixels() * shape.c_act, 22, 1.0),
            ];
            on_every_path(|path| {
                let all = case.compute();
                let given = [
                    Some(&others[0][..]),
                    case.act.as_ref().map(|_| &others[1][..]),
                ];
                let (dx, dact, gradients) = case.backward_new(&all.hidden, given);
                let sum = |a: &[f32], b: &[f32]| -> Vec<f64> {
                    let pairs = a.iter().zip(b);
                    pairs.map(|(&a, &b)| f64::from(a) + f64::from(b)).collect()
                };
                assert_close(&format!("{path} dx"), &dx, sum(&all.dx, &others[0]));
                let dact = dact.unwrap_or_default();
                assert_close(&format!("{path} dact"), &dact, sum(&all.dact, &others[1]));
                assert!(gradients == all.gradients, "{path}");
            });
        }
    }
}

#[test]
fn no_inputs_give_gradients_of_zero() {
    for shape in [
        block((2, 3, 3), (0, 0, 4, 5), 1, false),
        block((2, 3, 3), (4, 2, 0, 5), 3, false),
    ] {
        for shape in [shape, rounded(shape)] {
            let case = Case::new(shape);
            on_every_path(|path| {
                let act = case.act.as_deref();
                let (_, hidden) = forward_new(&shape, &case.x, act, &case.weights(), true);
                let (dx, _, gradients) = case.backward_new(&hidden.unwrap(), [None; 2]);
                assert!(dx.iter().all(|&d| d == 0.0), "{path} {shape:?}");
                for (what, gradient) in named(&gradients) {
                    assert!(gradient.iter().all(|g| g.is_finite()), "{path} {what}");
                }
            });
        }
    }
}

#[test]
fn no_pixels_give_zero_gradients() {
    let case = Case::new(block((0, 4, 4), (8, 0, 4, 8), 3, true));
    let found = case.compute();
    assert!(found.gradients == Gradients::new(&case.shape));
}

#[test]
#[should_panic(expected = "more than memory could hold")]
fn sizes_that_overflow_are_refused() {
    let shape = block((1 << 40, 1 << 24, 1), (8, 0, 4, 8), 3, true);
    let weights = Case::new(block((1, 1, 1), (8, 0, 4, 8), 3, true));
    forward(&shape, &[], None, &weights.weights(), &mut [], None);
}

#[test]
#[should_panic(expected = "act has 0 numbers, the shape needs 32")]
fn a_missing_input_is_named() {
    let mut case = Case::new(block((1, 2, 2), (8, 8, 4, 8), 3, true));
    case.act = None;
    case.compute();
}

//! Slow, obvious twins of normalisations, depthwise convolutions and the cells made of them, for tests
//! only: plain loops in f64, one operation after the other.

use crate::inverted::Inverted;

/// What is learned by a squeeze and excitation: `w1`, `b1`, `w2`, `b2`.
pub type Squeeze<'a> = [&'a [f64]; 4];

/// x / (1 + e^-x).
pub fn swish(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The derivative of swish.
pub fn swish_slope(x: f64) -> f64 {
    let gate = 1.0 / (1.0 + (-x).exp());
    gate * (1.0 + x * (1.0 - gate))
}

/// Means and biased variances of the channels of rows.
pub fn statistics(x: &[f64], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = (x.len() / channels) as f64;
    let mut mean = vec![0.0; channels];
    let mut variance = vec![0.0; channels];
    for (i, x) in x.iter().enumerate() {
        mean[i % channels] += x / rows;
    }
    for (i, x) in x.iter().enumerate() {
        variance[i % channels] += (x - mean[i % channels]).powi(2) / rows;
    }
    (mean, variance)
}

/// A normalisation: what it is of, what it learned and its statistics.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Normalisation<'a> {
    pub gamma: &'a [f64],
    pub beta: &'a [f64],
    pub mean: &'a [f64],
    pub variance: &'a [f64],
    pub epsilon: f64,
}

impl Normalisation<'_> {
    fn unit(&self, i: usize, x: f64) -> f64 {
        let c = i % self.gamma.len();
        (x - self.mean[c]) / (self.variance[c] + self.epsilon).sqrt()
    }

    /// The normalised rows, without swish.
    pub fn forward(&self, x: &[f64]) -> Vec<f64> {
        let n = self.gamma.len();
        let one = |(i, &x): (usize, &f64)| self.unit(i, x) * self.gamma[i % n] + self.beta[i % n];
        x.iter().enumerate().map(one).collect()
    }

    /// Gradients of `x`, gamma and beta where the statistics are those of `x`.
    pub fn backward(&self, x: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let n = self.gamma.len();
        let rows = (x.len() / n) as f64;
        let (mut dgamma, mut dbeta) = (vec![0.0; n], vec![0.0; n]);
        for (i, (&x, d)) in x.iter().zip(dy).enumerate() {
            dgamma[i % n] += d * self.unit(i, x);
            dbeta[i % n] += d;
        }
        let one = |(i, (&x, d)): (usize, (&f64, &f64))| {
            let c = i % n;
            let rest = d - dbeta[c] / rows - self.unit(i, x) * dgamma[c] / rows;
            self.gamma[c] / (self.variance[c] + self.epsilon).sqrt() * rest
        };
        let dx = x.iter().zip(dy).enumerate().map(one).collect();
        (dx, dgamma, dbeta)
    }
}

/// Images of so many pixels: batch, height, width and channels.
pub type Size = (usize, usize, usize, usize);

/// Calls `body(output, input, weight)` with the indices of all products of a depthwise convolution.
fn for_products(size: Size, kernel: usize, mut body: impl FnMut(usize, usize, usize)) {
    let (batch, height, width, channels) = size;
    let half = kernel as isize / 2;
    for pixel in 0..batch * height * width {
        let (x, row) = ((pixel % width) as isize, pixel / width);
        let y = (row % height) as isize;
        for tap in 0..kernel * kernel {
            let dy = (tap / kernel) as isize - half;
            let dx = (tap % kernel) as isize - half;
            let inside =
                (0..height as isize).contains(&(y + dy)) && (0..width as isize).contains(&(x + dx));
            if inside {
                let from = (pixel as isize + dy * width as isize + dx) as usize;
                for c in 0..channels {
                    body(
                        pixel * channels + c,
                        from * channels + c,
                        tap * channels + c,
                    );
                }
            }
        }
    }
}

/// Twin of [`crate::depthwise::forward_new`].
pub fn depthwise_forward(size: Size, kernel: usize, x: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for_products(size, kernel, |to, from, w| y[to] += x[from] * weights[w]);
    y
}

/// Twin of [`crate::depthwise::backward_new`].
pub fn depthwise_backward(
    size: Size,
    kernel: usize,
    x: &[f64],
    weights: &[f64],
    dy: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
    for_products(size, kernel, |to, from, w| {
        dx[from] += dy[to] * weights[w];
        dw[w] += dy[to] * x[from];
    });
    (dx, dw)
}

/// Repeats every pixel twice in both directions.
pub fn repeat(size: Size, x: &[f64]) -> Vec<f64> {
    let (batch, height, width, channels) = size;
    let mut y = Vec::new();
    for row in 0..2 * batch * height {
        for column in 0..2 * width {
            let pixel = row / 2 * width + column / 2;
            y.extend_from_slice(&x[pixel * channels..][..channels]);
        }
    }
    y
}

/// The gradient of [`repeat`], whose input is of this size.
pub fn repeat_backward(size: Size, dy: &[f64]) -> Vec<f64> {
    let (batch, height, width, channels) = size;
    let mut dx = vec![0.0; batch * height * width * channels];
    for (i, d) in dy.iter().enumerate() {
        let (pixel, c) = (i / channels, i % channels);
        let (row, column) = (pixel / (2 * width), pixel % (2 * width));
        dx[(row / 2 * width + column / 2) * channels + c] += d;
    }
    dx
}

/// `x w` for rows of `x`.
fn matmul(x: &[f64], w: &[f64], inputs: usize) -> Vec<f64> {
    let outputs = w.len() / inputs;
    let mut y = vec![0.0; x.len() / inputs * outputs];
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        for (x, w) in x.iter().zip(w.chunks_exact(outputs)) {
            y.iter_mut().zip(w).for_each(|(y, w)| *y += x * w);
        }
    }
    y
}

/// Gradients of `x` and `w`.
fn matmul_backward(x: &[f64], w: &[f64], inputs: usize, dy: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let outputs = w.len() / inputs;
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    for (row, dy) in dy.chunks_exact(outputs).enumerate() {
        for i in 0..inputs {
            for (o, d) in dy.iter().enumerate() {
                dx[row * inputs + i] += d * w[i * outputs + o];
                dw[i * outputs + o] += d * x[row * inputs + i];
            }
        }
    }
    (dx, dw)
}

/// Squeeze and excitation of images: the gates, `[batch, channels]`, and what comes before them.
struct Excited {
    pooled: Vec<f64>,
    hidden: Vec<f64>,
    gate: Vec<f64>,
}

impl Excited {
    fn new(z: &[f64], batch: usize, [w1, b1, w2, b2]: Squeeze) -> Self {
        let n = b2.len();
        let pixels = z.len() / batch / n;
        let mut pooled = vec![0.0; batch * n];
        for (i, z) in z.iter().enumerate() {
            pooled[i / (pixels * n) * n + i % n] += z / pixels as f64;
        }
        let plus = |y: Vec<f64>, b: &[f64]| -> Vec<f64> {
            y.iter()
                .enumerate()
                .map(|(i, y)| y + b[i % b.len()])
                .collect()
        };
        let hidden = plus(matmul(&pooled, w1, n), b1);
        let hidden: Vec<f64> = hidden.iter().map(|h| h.max(0.0)).collect();
        let gate = plus(matmul(&hidden, w2, b1.len()), b2);
        let gate = gate.iter().map(|g| 1.0 / (1.0 + (-g).exp())).collect();
        Self {
            pooled,
            hidden,
            gate,
        }
    }
}

/// `skip + scale * gate * z`, images of `z` with their channels.
pub fn excite(z: &[f64], skip: &[f64], batch: usize, scale: f64, squeeze: Squeeze) -> Vec<f64> {
    let n = squeeze[3].len();
    let gate = Excited::new(z, batch, squeeze).gate;
    let image = z.len() / batch;
    let one = |(i, z): (usize, &f64)| skip[i] + scale * gate[i / image * n + i % n] * z;
    z.iter().enumerate().map(one).collect()
}

/// Gradients of `z`, `w1`, `b1`, `w2` and `b2`.
pub fn excite_backward(
    z: &[f64],
    dy: &[f64],
    batch: usize,
    scale: f64,
    squeeze: Squeeze,
) -> [Vec<f64>; 5] {
    let [w1, b1, w2, b2] = squeeze;
    let (n, image) = (b2.len(), z.len() / batch);
    let excited = Excited::new(z, batch, squeeze);
    let mut dgate = vec![0.0; batch * n];
    for (i, (z, d)) in z.iter().zip(dy).enumerate() {
        dgate[i / image * n + i % n] += scale * z * d;
    }
    let through = |(d, g): (&f64, &f64)| d * g * (1.0 - g);
    let d: Vec<f64> = dgate.iter().zip(&excited.gate).map(through).collect();
    let sums = |d: &[f64], n: usize| {
        let mut sums = vec![0.0; n];
        d.iter().enumerate().for_each(|(i, d)| sums[i % n] += d);
        sums
    };
    let db2 = sums(&d, n);
    let (dh, dw2) = matmul_backward(&excited.hidden, w2, b1.len(), &d);
    let open = |(d, &h): (&f64, &f64)| if h > 0.0 { *d } else { 0.0 };
    let dh: Vec<f64> = dh.iter().zip(&excited.hidden).map(open).collect();
    let db1 = sums(&dh, b1.len());
    let (dpooled, dw1) = matmul_backward(&excited.pooled, w1, n, &dh);
    let pixels = (image / n) as f64;
    let one = |(i, d): (usize, &f64)| {
        let at = i / image * n + i % n;
        scale * excited.gate[at] * d + dpooled[at] / pixels
    };
    let dz = dy.iter().enumerate().map(one).collect();
    [dz, dw1, db1, dw2, db2]
}

/// What is learned by an inverted bottleneck, in the order of [`crate::inverted::Weights`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct InvertedWeights {
    /// Gamma and beta of each.
    pub norms: [[Vec<f64>; 2]; 4],
    pub expand: Vec<f64>,
    pub depthwise: Vec<f64>,
    pub project: Vec<f64>,
    pub squeeze: [Vec<f64>; 4],
}

/// All that an inverted bottleneck computes on its way.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct InvertedPass {
    pub y: Vec<f64>,
    /// Means and variances used.
    pub statistics: [(Vec<f64>, Vec<f64>); 4],
    /// What is normalised, with the repeated input first, and what comes out, swish included.
    before: [Vec<f64>; 4],
    normalised: [Vec<f64>; 4],
}

impl InvertedWeights {
    fn norm<'a>(
        &'a self,
        i: usize,
        statistics: &'a (Vec<f64>, Vec<f64>),
        epsilon: f32,
    ) -> Normalisation<'a> {
        Normalisation {
            gamma: &self.norms[i][0],
            beta: &self.norms[i][1],
            mean: &statistics.0,
            variance: &statistics.1,
            epsilon: f64::from(epsilon),
        }
    }

    fn squeeze(&self) -> Squeeze<'_> {
        self.squeeze.each_ref().map(Vec::as_slice)
    }
}

fn sizes(shape: &Inverted) -> (Size, Size) {
    let (h, w) = (shape.height, shape.width);
    let repeat = 1 + usize::from(shape.upsample);
    let out = (shape.batch, repeat * h, repeat * w, shape.expanded);
    ((shape.batch, h, w, shape.c_in), out)
}

/// Twin of [`crate::inverted::forward_new`], and of [`crate::inverted::evaluate`] where statistics are
/// given.
pub fn inverted_forward(
    shape: &Inverted,
    x: &[f64],
    skip: &[f64],
    weights: &InvertedWeights,
    given: Option<&[(Vec<f64>, Vec<f64>); 4]>,
) -> InvertedPass {
    let (size, size_out) = sizes(shape);
    let mut statistics_used: [(Vec<f64>, Vec<f64>); 4] = Default::default();
    let (mut before, mut normalised): ([Vec<f64>; 4], [Vec<f64>; 4]) = Default::default();
    let mut h = if shape.upsample {
        repeat(size, x)
    } else {
        x.to_vec()
    };
    for i in 0..4 {
        let found = statistics(&h, weights.norms[i][0].len());
        statistics_used[i] = given.map_or(found, |given| given[i].clone());
        let norm = weights.norm(i, &statistics_used[i], shape.epsilon);
        let mut z = norm.forward(&h);
        if i == 1 || i == 2 {
            z.iter_mut().for_each(|z| *z = swish(*z));
        }
        before[i] = h;
        h = match i {
            0 => matmul(&z, &weights.expand, shape.c_in),
            1 => depthwise_forward(size_out, shape.kernel, &z, &weights.depthwise),
            2 => matmul(&z, &weights.project, shape.expanded),
            _ => Vec::new(),
        };
        normalised[i] = z;
    }
    let scale = f64::from(shape.scale);
    InvertedPass {
        y: excite(&normalised[3], skip, shape.batch, scale, weights.squeeze()),
        statistics: statistics_used,
        before,
        normalised,
    }
}

/// Twin of [`crate::inverted::backward_new`]: the gradient of `x` without the skip, and of the weights.
pub fn inverted_backward(
    shape: &Inverted,
    weights: &InvertedWeights,
    pass: &InvertedPass,
    dy: &[f64],
) -> (Vec<f64>, InvertedWeights) {
    let (size, size_out) = sizes(shape);
    let mut gradients = weights.clone();
    let scale = f64::from(shape.scale);
    let normalised = &pass.normalised;
    let [mut d, w1, b1, w2, b2] =
        excite_backward(&normalised[3], dy, shape.batch, scale, weights.squeeze());
    gradients.squeeze = [w1, b1, w2, b2];
    for i in (0..4).rev() {
        let norm = weights.norm(i, &pass.statistics[i], shape.epsilon);
        if i == 1 || i == 2 {
            let before = norm.forward(&pass.before[i]);
            let through = |(d, &z): (&f64, &f64)| d * swish_slope(z);
            d = d.iter().zip(&before).map(through).collect();
        }
        let (dx, gamma, beta) = norm.backward(&pass.before[i], &d);
        gradients.norms[i] = [gamma, beta];
        d = dx;
        if i > 0 {
            let from = &normalised[i - 1];
            let (kernel, expanded) = (shape.kernel, shape.expanded);
            let (before, to, gradient) = match i {
                3 => {
                    let (d, g) = matmul_backward(from, &weights.project, expanded, &d);
                    (d, &mut gradients.project, g)
                }
                2 => {
                    let w = &weights.depthwise;
                    let (d, g) = depthwise_backward(size_out, kernel, from, w, &d);
                    (d, &mut gradients.depthwise, g)
                }
                _ => {
                    let (d, g) = matmul_backward(from, &weights.expand, shape.c_in, &d);
                    (d, &mut gradients.expand, g)
                }
            };
            d = before;
            *to = gradient;
        }
    }
    if shape.upsample {
        d = repeat_backward(size, &d);
    }
    (d, gradients)
}

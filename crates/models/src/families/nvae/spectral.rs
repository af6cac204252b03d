//! What training minimises beside the images' cost: the spectral norms of convolutions (section 3.2 of the
//! paper; Yoshida and Miyato, 2017), by power iteration whose vectors are kept from step to step.

use burn::tensor::Tensor;

use super::layers::{Kernel, Weight, masked};
use super::store::{Id, Store};
use crate::likelihood::values;
use crate::ops::weight_norm;
use crate::parameters::TensorSpec;

/// Iterations in a step.
const ITERATIONS: usize = 4;
/// Iterations in the first step, from random vectors.
const FIRST_ITERATIONS: usize = 40;
/// What the names of all vectors begin with.
const FOLDER: &str = "spectral.";
/// Vectors shorter than this are divided by it.
const EPSILON: f64 = 1e-3;

/// Every convolution with the vectors of its iteration.
#[derive(Clone, Debug)]
pub struct Spectral(Vec<Iterated>);

#[derive(Clone, Debug)]
struct Iterated {
    kernel: Kernel,
    /// Of output channels.
    u: Id<1>,
    /// Of the weights of each; zeros before the first iteration.
    v: Id<1>,
}

/// Where the vectors of a convolution are kept.
pub fn names(kernel: &Kernel) -> [String; 2] {
    ["u", "v"].map(|vector| format!("{FOLDER}{}.{vector}", kernel.name))
}

/// Whether a tensor of this name is a vector of output channels, from which an iteration starts.
pub fn is_first(name: &str) -> bool {
    name.starts_with(FOLDER) && name.ends_with(".u")
}

/// Whether a tensor of this name is the other vector, zeros before the first iteration.
pub fn is_second(name: &str) -> bool {
    name.starts_with(FOLDER) && name.ends_with(".v")
}

impl Spectral {
    /// Adds random vectors for each convolution to the store.
    pub fn new(kernels: Vec<Kernel>, store: &mut Store) -> Self {
        let iterated = kernels.into_iter().map(|kernel| {
            let [rows, columns] = kernel.matrix;
            let [u, v] = names(&kernel);
            let u = store.add(
                TensorSpec::plain(u, &[rows]).buffer(),
                |generator, count| super::store::uniform(generator, count, 1.0),
            );
            let v = store.constant(TensorSpec::plain(v, &[columns]).buffer(), 0.0);
            Iterated { kernel, u, v }
        });
        Self(iterated.collect())
    }

    /// The convolutions, in module order.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.0.iter().map(|iterated| &iterated.kernel)
    }

    /// The sum of the spectral norms, `[1]`, differentiated through the weights only; moves the vectors.
    pub fn penalty(&self, store: &mut Store) -> Tensor<1> {
        let norms = self.0.iter().map(|iterated| iterated.norm(store));
        let norms: Vec<Tensor<1>> = norms.collect();
        Tensor::cat(norms, 0).sum()
    }
}

impl Iterated {
    fn norm(&self, store: &mut Store) -> Tensor<1> {
        let [rows, columns] = self.kernel.matrix;
        // [columns, rows]: as memory holds the weights, but for the order of columns.
        let matrix = match self.kernel.weight {
            Weight::Full(weight) => {
                let weight = self.acting(store, store.get(weight));
                let [kernel, _, c_in, c_out] = weight.dims();
                weight
                    .reshape([kernel * kernel, c_in, c_out])
                    .swap_dims(0, 1)
                    .reshape([columns, rows])
            }
            Weight::Depthwise(weight) => self
                .acting(store, store.get(weight))
                .reshape([columns, rows]),
        };
        let fixed = untracked(matrix.clone());
        let (mut u, mut v) = (untracked(store.get(self.u)), untracked(store.get(self.v)));
        let is_first = values(v.clone()).iter().all(|&number| number == 0.0);
        let iterations = if is_first {
            u = normalised(u);
            FIRST_ITERATIONS
        } else {
            ITERATIONS
        };
        for _ in 0..iterations {
            v = normalised(
                fixed
                    .clone()
                    .matmul(u.reshape([rows, 1]))
                    .reshape([columns]),
            );
            u = normalised(
                v.clone()
                    .reshape([1, columns])
                    .matmul(fixed.clone())
                    .reshape([rows]),
            );
        }
        let tracked = |vector: Tensor<1>| {
            if matrix.device().is_autodiff() {
                Tensor::from_inner(vector)
            } else {
                vector
            }
        };
        let (u, v) = (tracked(u), tracked(v));
        store.set(self.u, u.clone());
        store.set(self.v, v.clone());
        let image = v.reshape([1, columns]).matmul(matrix);
        image.matmul(u.reshape([rows, 1])).reshape([1])
    }

    /// The weights as they act.
    fn acting<const D: usize>(&self, store: &Store, weight: Tensor<D>) -> Tensor<D> {
        let weight = masked(weight, self.kernel.mask.as_deref());
        match self.kernel.log_norm {
            Some(log_norm) => weight_norm(weight, store.get(log_norm)),
            None => weight,
        }
    }
}

fn untracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() {
        tensor.inner()
    } else {
        tensor
    }
}

/// x / max(|x|, 1e-3).
fn normalised(x: Tensor<1>) -> Tensor<1> {
    let norm = (x.clone() * x.clone()).sum().sqrt().clamp_min(EPSILON);
    x / norm
}

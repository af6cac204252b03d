//! What training minimises beside the images' cost: the spectral norms of convolutions (section 3.2 of the
//! paper; Yoshida and Miyato, 2017), by power iteration whose vectors are kept from step to step.

use burn::tensor::Tensor;

use super::layers::{Kernel, Weight};
use crate::likelihood::values;
use crate::ops::{self, Iterated};
use crate::parameters::TensorSpec;
use crate::store::{Id, Store};

/// Iterations in a step.
const ITERATIONS: usize = 4;
/// Iterations in the first step, from random vectors.
const FIRST_ITERATIONS: usize = 40;
/// What the names of all vectors begin with.
const FOLDER: &str = "spectral.";

/// Every convolution with the vectors of its iteration.
#[derive(Clone, Debug)]
pub struct Spectral(Vec<Kept>);

#[derive(Clone, Debug)]
struct Kept {
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
                |generator, count| crate::store::uniform(generator, count, 1.0),
            );
            let v = store.constant(TensorSpec::plain(v, &[columns]).buffer(), 0.0);
            Kept { kernel, u, v }
        });
        Self(iterated.collect())
    }

    /// The convolutions, in module order.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.0.iter().map(|kept| &kept.kernel)
    }

    /// The sum of the spectral norms, `[1]`, differentiated through the weights only; moves the vectors.
    pub fn penalty(&self, store: &mut Store) -> Tensor<1> {
        let vectors = self.0.iter().map(|one| store.get(one.v));
        let is_first = vectors.map(untracked).map(values);
        let is_first: Vec<bool> = is_first
            .map(|v| v.iter().all(|&number| number == 0.0))
            .collect();
        let mut norms = Vec::with_capacity(self.0.len());
        for (first, iterations) in [(true, FIRST_ITERATIONS), (false, ITERATIONS)] {
            let some = self
                .0
                .iter()
                .zip(&is_first)
                .filter(|(_, is_first)| **is_first == first);
            let some: Vec<&Kept> = some.map(|(one, _)| one).collect();
            let mut iterated: Vec<Iterated> = some.iter().map(|one| one.iterated(store)).collect();
            norms.extend(ops::spectral_norms(&mut iterated, iterations));
            for (one, iterated) in some.into_iter().zip(iterated) {
                one.keep(store, iterated);
            }
        }
        Tensor::cat(norms, 0).sum()
    }
}

impl Kept {
    /// The weights as they act, with the vectors in the order of memory.
    fn iterated(&self, store: &Store) -> Iterated {
        let [_, rows] = self.kernel.matrix;
        let weight = match &self.kernel.weight {
            Weight::Full(weight) => weight.get(store),
            Weight::Depthwise(weight) => weight.get(store).unsqueeze_dim(2),
        };
        let [inputs, taps] = self.inputs_and_taps();
        let v = untracked(store.get(self.v)).reshape([inputs, taps]);
        Iterated {
            weight,
            u: untracked(store.get(self.u)),
            v: v.swap_dims(0, 1).reshape([rows]),
        }
    }

    fn keep(&self, store: &mut Store, iterated: Iterated) {
        let [inputs, taps] = self.inputs_and_taps();
        let v = iterated.v.reshape([taps, inputs]).swap_dims(0, 1);
        let device = iterated.weight.device();
        let kept = |vector: Tensor<1>| {
            if device.is_autodiff() {
                Tensor::from_inner(vector)
            } else {
                vector
            }
        };
        store.set(self.u, kept(iterated.u));
        store.set(self.v, kept(v.reshape([inputs * taps])));
    }

    /// What the weights of an output channel are, in the published order.
    fn inputs_and_taps(&self) -> [usize; 2] {
        let [_, rows] = self.kernel.matrix;
        match self.kernel.weight {
            Weight::Full(_) => [rows / self.kernel.taps, self.kernel.taps],
            Weight::Depthwise(_) => [1, rows],
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

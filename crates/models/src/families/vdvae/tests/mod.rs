//! The network as a whole.

mod ablations;
mod recorded;

use burn::tensor::Tensor;

use super::Vdvae;
use crate::parameters::{Parameters, Ranked};
use crate::random::{Keys, Purpose};

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("floats")
}

fn keys(purpose: Purpose, batch: usize) -> Keys {
    Keys::new(3, purpose, 0..batch as u64)
}

/// All weights, in the published order.
fn by_name(model: &Vdvae) -> Vec<(String, Ranked)> {
    let mut all = Vec::new();
    Parameters::visit(model, &mut |name, tensor| {
        all.push((name.to_owned(), tensor))
    });
    all
}

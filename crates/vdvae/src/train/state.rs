//! All that training changes: what a checkpoint must hold to continue bit for bit.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::ops::Moments;
use crate::parameters::{self, MapParameter, VisitParameter};

/// A model in training.
#[derive(Debug)]
pub struct TrainState<M> {
    /// The weights, tracked for gradients.
    pub model: M,
    /// What the optimizer keeps for each parameter, in the order of the parameters.
    pub moments: Vec<Moments>,
    /// Steps made, skipped updates included: where the schedule and the data stand.
    pub step: u64,
    /// Updates made: what AdamW's bias corrections count.
    pub updates: u64,
}

impl<M: Module> TrainState<M> {
    /// The start: no moments yet, the average equal to the weights. `model` lives on a device with
    /// autodiff.
    pub fn new(model: M) -> Self {
        struct Fresh<'a>(&'a mut Vec<Moments>);
        impl VisitParameter for Fresh<'_> {
            fn visit<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) {
                let weights = flat(tensor.inner());
                let zeros = Tensor::zeros_like(&weights);
                // A buffer of its own: the update works in place.
                let average = weights + 0.0;
                self.0.push(Moments {
                    first: zeros.clone(),
                    second: zeros,
                    average,
                });
            }
        }
        let mut moments = Vec::new();
        parameters::for_each(&model, Fresh(&mut moments));
        Self {
            model,
            moments,
            step: 0,
            updates: 0,
        }
    }

    /// The model with the averaged weights, on the device without autodiff: what is evaluated, sampled
    /// from and published.
    pub fn average(&self) -> M {
        struct Average<'a, I>(I, std::marker::PhantomData<&'a ()>);
        impl<'a, I: Iterator<Item = &'a Moments>> MapParameter for Average<'a, I> {
            fn map<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
                let moments = self.0.next().expect("moments for every parameter");
                moments.average.clone().reshape(tensor.dims())
            }
        }
        let mut average = Average(self.moments.iter(), std::marker::PhantomData);
        parameters::map(self.model.clone(), &mut average)
    }
}

/// `[n]`, in the order of memory.
pub fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

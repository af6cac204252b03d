//! All that training changes: what a checkpoint must hold to continue bit for bit.

use std::collections::HashMap;
use std::sync::Arc;

use crate::family::Model;
use crate::ops::Moments;
use crate::parameters::Specs;

/// A model in training.
#[derive(Debug)]
pub struct TrainState {
    /// Its weights are tracked for gradients.
    pub model: Box<dyn Model>,
    /// The model's tensors.
    pub specs: Arc<Specs>,
    /// What the optimizer keeps for each weight, by its name.
    pub moments: HashMap<String, Moments>,
    /// Steps made, skipped updates included: where the schedule and the data stand.
    pub step: u64,
    /// Updates made: what the optimizer's bias corrections count.
    pub updates: u64,
}

impl TrainState {
    /// The start: no moments yet, the average equal to the weights. `model` lives on a device with
    /// autodiff.
    pub fn new(model: Box<dyn Model>, specs: Arc<Specs>) -> Self {
        let mut moments = HashMap::new();
        model.visit(&mut |name, tensor| {
            if specs.is_weight(name) {
                moments.insert(name.to_owned(), Moments::new(tensor.flat()));
            }
        });
        Self {
            model,
            specs,
            moments,
            step: 0,
            updates: 0,
        }
    }

    /// The model with the averaged weights, on the device without autodiff: what is evaluated, sampled
    /// from and published. What is no weight is as it is.
    pub fn average(&self) -> Box<dyn Model> {
        let average = self.model.boxed_clone();
        average.map(&mut |name, tensor| match self.moments.get(name) {
            Some(moments) => tensor.untracked(|_| moments.average.clone()),
            None => tensor.untracked(|numbers| numbers),
        })
    }
}

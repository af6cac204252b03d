//! Where the tensors of a model are: one list, in the published order. Layers know places in it.
//!
//! A network is described once, by the code that builds it. Built into a store without numbers it tells
//! names, shapes and roles; built into one with numbers it is a model.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::parameters::{Ranked, Role, TensorSpec};

/// The place of a tensor with D axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<const D: usize>(usize);

/// The tensors of a model.
#[derive(Clone, Debug)]
pub struct Store {
    specs: Vec<TensorSpec>,
    /// None of a store that only tells.
    values: Vec<Ranked>,
    maker: Option<Maker>,
}

/// What makes fresh weights.
#[derive(Clone, Debug)]
struct Maker {
    generator: ChaCha8Rng,
    device: Device,
}

impl Store {
    /// For names, shapes and roles alone.
    pub fn telling() -> Self {
        Self {
            specs: Vec::new(),
            values: Vec::new(),
            maker: None,
        }
    }

    /// For weights drawn from `generator`.
    pub fn new(generator: ChaCha8Rng, device: &Device) -> Self {
        Self {
            maker: Some(Maker {
                generator,
                device: device.clone(),
            }),
            ..Self::telling()
        }
    }

    /// All tensors that were added, in their order.
    pub fn into_specs(self) -> Vec<TensorSpec> {
        self.specs
    }

    /// Adds a tensor; `fill` makes its numbers, in the order of memory.
    pub fn add<const D: usize>(
        &mut self,
        spec: TensorSpec,
        fill: impl FnOnce(&mut ChaCha8Rng, usize) -> Vec<f32>,
    ) -> Id<D> {
        if let Some(Maker { generator, device }) = &mut self.maker {
            let shape = <[usize; D]>::try_from(spec.memory_shape());
            let shape = shape.expect("a place has as many axes as its tensor");
            let numbers = fill(generator, shape.iter().product());
            let tensor = Tensor::<D>::from_data(TensorData::new(numbers, shape), &*device);
            let learned = spec.role == Role::Weight && device.is_autodiff();
            let tensor = if learned {
                tensor.require_grad()
            } else {
                tensor
            };
            self.values.push(Ranked::of(tensor));
        }
        self.specs.push(spec);
        Id(self.specs.len() - 1)
    }

    /// Adds a tensor that is `value` everywhere.
    pub fn constant<const D: usize>(&mut self, spec: TensorSpec, value: f32) -> Id<D> {
        self.add(spec, |_, count| vec![value; count])
    }

    /// Adds a tensor that is uniform in +-`bound`.
    pub fn uniform<const D: usize>(&mut self, spec: TensorSpec, bound: f32) -> Id<D> {
        self.add(spec, |generator, count| uniform(generator, count, bound))
    }

    /// The tensor at a place.
    pub fn get<const D: usize>(&self, Id(place): Id<D>) -> Tensor<D> {
        self.values[place].clone().tensor()
    }

    /// Puts another tensor at a place.
    pub fn set<const D: usize>(&mut self, Id(place): Id<D>, tensor: Tensor<D>) {
        self.values[place] = Ranked::of(tensor);
    }

    /// Shows every tensor with its name.
    pub fn visit(&self, each: &mut dyn FnMut(&str, Ranked)) {
        for (spec, tensor) in self.specs.iter().zip(&self.values) {
            each(&spec.name, tensor.clone());
        }
    }

    /// Replaces every tensor.
    pub fn map(mut self, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Self {
        let values = self.values.into_iter();
        self.values = self
            .specs
            .iter()
            .zip(values)
            .map(|(spec, tensor)| each(&spec.name, tensor))
            .collect();
        self
    }
}

/// Numbers uniform in +-`bound`.
pub fn uniform(generator: &mut ChaCha8Rng, count: usize, bound: f32) -> Vec<f32> {
    let number = |_| bound * (2.0 * generator.random::<f32>() - 1.0);
    (0..count).map(number).collect()
}

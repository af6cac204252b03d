//! Where the tensors of a model are: one list, in the published order. Layers know places in it.
//!
//! A network is described once, by the code that builds it. Built into a store without numbers it tells
//! names, shapes and roles; built into one with numbers it is a model.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use vdvae_kernels::elementwise::normal::{GROUP, normal};

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
    /// What was derived from tensors, by their places.
    derived: Vec<OnceLock<Ranked>>,
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
            derived: Vec::new(),
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
            self.derived.push(OnceLock::new());
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

    /// Adds a tensor of normal numbers with this standard deviation.
    pub fn normal<const D: usize>(&mut self, spec: TensorSpec, deviation: f32) -> Id<D> {
        self.add(spec, |generator, count| {
            let mut words = vec![0_u32; count.next_multiple_of(GROUP)];
            generator.fill(&mut words);
            let mut numbers = vec![0.0; count];
            normal(&words, &mut numbers);
            numbers.iter_mut().for_each(|number| *number *= deviation);
            numbers
        })
    }

    /// The tensor at a place.
    pub fn get<const D: usize>(&self, Id(place): Id<D>) -> Tensor<D> {
        self.values[place].clone().tensor()
    }

    /// What `derive` makes of tensors of which the one at this place is the first: made when it is first asked
    /// for, and kept until that tensor is set, all are [mapped](Self::map), or [`forget`](Self::forget): set no
    /// other that it depends on alone.
    pub fn derived<const D: usize>(
        &self,
        Id(place): Id<D>,
        derive: impl FnOnce() -> Tensor<D>,
    ) -> Tensor<D> {
        let kept = self.derived[place].get_or_init(|| Ranked::of(derive()));
        kept.clone().tensor()
    }

    /// Forgets what was derived: it belongs to a graph that gradients are wanted of once.
    pub fn forget(&mut self) {
        for kept in &mut self.derived {
            kept.take();
        }
    }

    /// Puts another tensor at a place.
    pub fn set<const D: usize>(&mut self, Id(place): Id<D>, tensor: Tensor<D>) {
        self.values[place] = Ranked::of(tensor);
        self.derived[place].take();
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
        self.forget();
        self
    }
}

/// Numbers uniform in +-`bound`.
pub fn uniform(generator: &mut ChaCha8Rng, count: usize, bound: f32) -> Vec<f32> {
    let number = |_| bound * (2.0 * generator.random::<f32>() - 1.0);
    (0..count).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likelihood::values;
    use crate::random::{Purpose, generator};

    #[test]
    fn what_was_derived_follows_the_tensors() {
        let mut store = Store::new(generator(0, Purpose::Weights, 0, 0), &Device::flex());
        let place = store.constant::<1>(TensorSpec::plain("a".to_owned(), &[1]), 1.0);
        let doubled = |store: &Store| values(store.derived(place, || store.get(place) * 2.0))[0];
        assert_eq!(doubled(&store), 2.0);
        let kept = values(store.derived(place, || unreachable!("it was kept")));
        assert_eq!(kept, [2.0]);
        store.set(place, Tensor::from_floats([3.0], &Device::flex()));
        assert_eq!(doubled(&store), 6.0);
        let mut store = store.map(&mut |_, tensor| Ranked::of(tensor.tensor::<1>() + 1.0));
        assert_eq!(doubled(&store), 8.0);
        store.forget();
        assert_eq!(values(store.derived(place, || store.get(place)))[0], 4.0);
    }
}

//! A model's tensors by name: which are learned, and how files hold them.
//!
//! In memory channels come last: convolution weights are [k, k, C_in, C_out], biases of a resolution
//! [1, R, R, C]. Files, like the published ones, hold [C_out, C_in, k, k] and [1, C, R, R]. A
//! [`TensorSpec`] of the model's plan says how one becomes the other.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use sha2::{Digest, Sha256};

use crate::family::Model;
use crate::likelihood::values;

/// What a tensor of a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Learned: has a gradient, decays, is averaged.
    Weight,
    /// Kept beside what is learned, such as running statistics: changed by passes of the network.
    Buffer,
}

/// A tensor of a model, known without the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The published name, such as `decoder.dec_blocks.3.prior.c2.weight`.
    pub name: String,
    /// In files.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// In memory; at most four axes.
    memory: Vec<usize>,
    /// The axes of memory in the order in which files hold them.
    axes: Vec<usize>,
}

impl TensorSpec {
    /// A learned tensor that files hold as memory does.
    pub fn plain(name: impl Into<String>, shape: &[usize]) -> Self {
        Self::new(name, shape, shape, (0..shape.len()).collect())
    }

    /// Weights of a convolution: [C_out, C_in, k, k] in files, [k, k, C_in, C_out] in memory.
    pub fn conv(name: impl Into<String>, [c_out, c_in, kernel]: [usize; 3]) -> Self {
        Self::new(
            name,
            &[c_out, c_in, kernel, kernel],
            &[kernel, kernel, c_in, c_out],
            vec![3, 2, 0, 1],
        )
    }

    /// Weights of a depthwise convolution: [C, 1, k, k] in files, [k, k, C] in memory.
    pub fn depthwise(name: impl Into<String>, channels: usize, kernel: usize) -> Self {
        Self::new(
            name,
            &[channels, 1, kernel, kernel],
            &[kernel, kernel, channels],
            vec![2, 0, 1],
        )
    }

    /// Values of a grid: of the shape [1, C, R, R] (or [C, R, R]) in files, [1, R, R, C] in memory.
    pub fn grid(name: impl Into<String>, shape: &[usize]) -> Self {
        let [channels, height, width] = shape[shape.len() - 3..] else {
            panic!("a grid has three axes, found {shape:?}")
        };
        let memory = [1, height, width, channels];
        Self::new(name, shape, &memory, vec![0, 3, 1, 2])
    }

    /// Weights of a linear map: [C_out, C_in] in files, [C_in, C_out] in memory.
    pub fn linear(name: impl Into<String>, [c_out, c_in]: [usize; 2]) -> Self {
        Self::new(name, &[c_out, c_in], &[c_in, c_out], vec![1, 0])
    }

    /// Any learned tensor of at most four axes: its axes in memory, in the order of files, with those of
    /// length 1 that files have besides.
    pub fn new(
        name: impl Into<String>,
        shape: &[usize],
        memory: &[usize],
        axes: Vec<usize>,
    ) -> Self {
        let elements = |shape: &[usize]| shape.iter().product::<usize>();
        debug_assert_eq!(elements(shape), elements(memory));
        debug_assert!(memory.len() <= AXES && axes.len() == memory.len());
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            role: Role::Weight,
            memory: memory.to_vec(),
            axes,
        }
    }

    /// The same tensor, not learned.
    pub fn buffer(mut self) -> Self {
        self.role = Role::Buffer;
        self
    }

    /// The shape in memory.
    pub fn memory_shape(&self) -> &[usize] {
        &self.memory
    }

    /// Numbers in the order of memory, in the order of files.
    pub fn to_file(&self, tensor: Tensor<1>) -> Vec<f32> {
        let (dims, axes) = self.padded();
        values(tensor.reshape(dims).permute(axes.map(|axis| axis as isize)))
    }

    /// Numbers in the order of files, in the order of memory.
    pub fn to_memory(&self, file: Vec<f32>) -> Vec<f32> {
        let (dims, axes) = self.padded();
        let mut inverse = [0; AXES];
        for (file, &memory) in axes.iter().enumerate() {
            inverse[memory] = file as isize;
        }
        let data = TensorData::new(file, axes.map(|axis| dims[axis]));
        values(Tensor::<AXES>::from_data(data, &Device::flex()).permute(inverse))
    }

    /// Shape in memory and order of axes, with axes of length 1 in front.
    fn padded(&self) -> ([usize; AXES], [usize; AXES]) {
        let (mut dims, mut axes) = ([1; AXES], [0, 1, 2, 3]);
        let more = AXES - self.memory.len();
        dims[more..].copy_from_slice(&self.memory);
        for (to, axis) in axes[more..].iter_mut().zip(&self.axes) {
            *to = axis + more;
        }
        (dims, axes)
    }
}

/// No tensor of a model has more axes.
const AXES: usize = 4;

/// One tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The published name.
    pub name: String,
    /// In files.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// The tensors of a plan, by name.
#[derive(Clone, Debug)]
pub struct Specs(HashMap<String, TensorSpec>);

impl Specs {
    /// Of the tensors of a plan.
    pub fn new(tensors: Vec<TensorSpec>) -> Self {
        let named = |tensor: TensorSpec| (tensor.name.clone(), tensor);
        Self(tensors.into_iter().map(named).collect())
    }

    /// The tensor called `name`.
    ///
    /// # Panics
    /// If the plan has none: it is not the model's.
    pub fn of(&self, name: &str) -> &TensorSpec {
        let spec = self.0.get(name);
        spec.unwrap_or_else(|| panic!("the plan has no tensor {name}"))
    }

    /// Whether `name` is learned.
    pub fn is_weight(&self, name: &str) -> bool {
        self.of(name).role == Role::Weight
    }
}

/// A tensor of any number of axes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the number of axes says it")]
pub enum Ranked {
    One(Tensor<1>),
    Two(Tensor<2>),
    Three(Tensor<3>),
    Four(Tensor<4>),
}

/// Does `$body` with the tensor, whatever its number of axes.
macro_rules! each_rank {
    ($value:expr, $tensor:ident => $body:expr) => {
        match $value {
            Ranked::One($tensor) => $body,
            Ranked::Two($tensor) => $body,
            Ranked::Three($tensor) => $body,
            Ranked::Four($tensor) => $body,
        }
    };
}

impl Ranked {
    fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        match D {
            1 => Self::One(Tensor::from_dispatch(tensor.into_dispatch())),
            2 => Self::Two(Tensor::from_dispatch(tensor.into_dispatch())),
            3 => Self::Three(Tensor::from_dispatch(tensor.into_dispatch())),
            4 => Self::Four(Tensor::from_dispatch(tensor.into_dispatch())),
            _ => panic!("a parameter with {D} axes"),
        }
    }

    fn into<const D: usize>(self) -> Tensor<D> {
        each_rank!(self, tensor => Tensor::from_dispatch(tensor.into_dispatch()))
    }

    /// The length of each axis.
    pub fn dims(&self) -> Vec<usize> {
        each_rank!(self, tensor => tensor.dims().to_vec())
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        each_rank!(self, tensor => tensor.device())
    }

    /// Its numbers `[n]` in the order of memory, without those that track gradients.
    pub fn flat(self) -> Tensor<1> {
        each_rank!(self, tensor => flat(plain(tensor)))
    }

    /// Takes its gradient out of `gradients`, `[n]`; zeros where no loss depends on it.
    pub fn gradient(&self, gradients: &mut Gradients) -> Tensor<1> {
        each_rank!(self, tensor => {
            let gradient = tensor.grad_remove(gradients);
            flat(gradient.unwrap_or_else(|| Tensor::zeros_like(&tensor.clone().inner())))
        })
    }

    /// This tensor with the numbers that `change` makes of its own, both `[n]`; tracked for gradients if
    /// it is `learned` and its device does that.
    pub fn changed(self, learned: bool, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        let tracks = self.device().is_autodiff();
        each_rank!(self, tensor => {
            let dims = tensor.dims();
            let numbers = change(flat(plain(tensor))).reshape(dims);
            Self::of(match (tracks, learned) {
                (true, true) => Tensor::from_inner(numbers).require_grad(),
                (true, false) => Tensor::from_inner(numbers),
                (false, _) => numbers,
            })
        })
    }

    /// The same on the device without autodiff.
    pub fn untracked(self, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        each_rank!(self, tensor => {
            let dims = tensor.dims();
            Self::of(change(flat(plain(tensor))).reshape(dims))
        })
    }
}

/// The same numbers without autodiff.
fn plain<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() {
        tensor.inner()
    } else {
        tensor
    }
}

/// `[n]`, in the order of memory.
fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

/// The tensors of a model, each with its name.
pub trait Parameters {
    /// Shows every tensor, in the published order.
    fn visit(&self, each: &mut dyn FnMut(&str, Ranked));

    /// Replaces every tensor by one of the same shape, in the published order. Each is given away, so that
    /// it can change in place.
    fn map(self: Box<Self>, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model>;

    /// The same model; tensors are shared until one of the two changes them.
    fn boxed_clone(&self) -> Box<dyn Model>;
}

impl<M: Module + Model + 'static> Parameters for M {
    fn visit(&self, each: &mut dyn FnMut(&str, Ranked)) {
        Module::visit(self, &mut Visitor(Path::default(), each));
    }

    fn map(self: Box<Self>, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model> {
        Box::new(map_module(*self, each))
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

/// [`Parameters::map`] of a module whose type is known.
pub fn map_module<M: Module>(module: M, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> M {
    Module::map(module, &mut Mapper(Path::default(), each))
}

/// All tensors as files hold them.
pub fn export(model: &dyn Model, specs: &Specs) -> Vec<NamedTensor> {
    let mut tensors = Vec::new();
    model.visit(&mut |name, tensor| {
        let spec = specs.of(name);
        tensors.push(NamedTensor {
            name: name.to_owned(),
            shape: spec.shape.clone(),
            values: spec.to_file(tensor.flat()),
        });
    });
    tensors
}

/// SHA-256 over the name, the shape and the values of every tensor as files hold them, in the published
/// order: equal models have equal fingerprints.
pub fn fingerprint(model: &dyn Model, specs: &Specs) -> String {
    let mut hash = Sha256::new();
    model.visit(&mut |name, tensor| {
        let spec = specs.of(name);
        hash.update(format!("{name} {:?}\n", spec.shape));
        let values = spec.to_file(tensor.flat());
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        hash.update(bytes);
    });
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces every tensor by the values that `get` returns for it, in the order of files.
///
/// # Errors
/// The first one that `get` returns.
pub fn import<E>(
    model: Box<dyn Model>,
    specs: &Specs,
    get: impl FnMut(&TensorSpec) -> Result<Vec<f32>, E>,
) -> Result<Box<dyn Model>, E> {
    importing(specs, get, |each| model.map(each))
}

/// [`import`] into a module whose type is known.
///
/// # Errors
/// As there.
pub fn import_module<M: Module, E>(
    module: M,
    specs: &Specs,
    get: impl FnMut(&TensorSpec) -> Result<Vec<f32>, E>,
) -> Result<M, E> {
    importing(specs, get, |each| map_module(module, each))
}

fn importing<T, E>(
    specs: &Specs,
    mut get: impl FnMut(&TensorSpec) -> Result<Vec<f32>, E>,
    map: impl FnOnce(&mut dyn FnMut(&str, Ranked) -> Ranked) -> T,
) -> Result<T, E> {
    let mut error = None;
    let model = map(&mut |name, tensor| {
        if error.is_some() {
            return tensor;
        }
        let spec = specs.of(name);
        match get(spec) {
            Ok(loaded) => {
                let loaded = spec.to_memory(loaded);
                let count = loaded.len();
                let data = TensorData::new(loaded, [count]);
                let learned = spec.role == Role::Weight;
                tensor.changed(learned, |old| Tensor::from_data(data, &old.device()))
            }
            Err(found) => {
                error = Some(found);
                tensor
            }
        }
    });
    error.map_or(Ok(model), Err)
}

/// Where in a module one is.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn name(&self) -> String {
        self.0.join(".")
    }
}

struct Visitor<'a>(Path, &'a mut dyn FnMut(&str, Ranked));

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        (self.1)(&self.0.name(), Ranked::of(param.val()));
    }
}

struct Mapper<'a>(Path, &'a mut dyn FnMut(&str, Ranked) -> Ranked);

impl ModuleMapper for Mapper<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.0.name();
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, (self.1)(&name, Ranked::of(tensor)).into(), mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(spec: &TensorSpec) -> Vec<f32> {
        let count = spec.shape.iter().product::<usize>();
        let memory: Vec<f32> = (0..count).map(|i| i as f32).collect();
        let tensor = Tensor::from_data(TensorData::new(memory.clone(), [count]), &Device::flex());
        let file = spec.to_file(tensor);
        assert_eq!(spec.to_memory(file.clone()), memory, "{spec:?}");
        file
    }

    #[test]
    fn every_layout_there_and_back() {
        // [1, 1, 2 in, 3 out] to [3 out, 2 in, 1, 1]
        let conv = there_and_back(&TensorSpec::conv("w", [3, 2, 1]));
        assert_eq!(conv, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        there_and_back(&TensorSpec::conv("w", [3, 2, 5]));
        // [1, 1, 3] and [3, 3, 2]
        assert_eq!(
            there_and_back(&TensorSpec::depthwise("w", 3, 1)),
            [0.0, 1.0, 2.0]
        );
        let depthwise = there_and_back(&TensorSpec::depthwise("w", 2, 3));
        assert_eq!(depthwise[..3], [0.0, 2.0, 4.0], "the first channel");
        let linear = there_and_back(&TensorSpec::linear("w", [2, 3]));
        assert_eq!(linear, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        for shape in [&[1, 2, 3, 3][..], &[2, 3, 3]] {
            let grid = there_and_back(&TensorSpec::grid("w", shape));
            assert_eq!(grid[..3], [0.0, 2.0, 4.0], "the first channel");
        }
        assert_eq!(
            there_and_back(&TensorSpec::plain("b", &[3])),
            [0.0, 1.0, 2.0]
        );
    }
}

//! Parameters by name, in the layout of the published weights.
//!
//! In memory convolution weights are [k, k, C_in, C_out] and biases of a resolution [1, R, R, C]; files,
//! like the published ones, hold [C_out, C_in, k, k] and [1, C, R, R].

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use sha2::{Digest, Sha256};

use crate::likelihood::values;

/// One parameter tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The reference's name, such as `decoder.dec_blocks.3.prior.c2.weight`.
    pub name: String,
    /// In the published layout.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// The order of the axes in files, as axes in memory.
fn file_axes(name: &str) -> [usize; 4] {
    if name.ends_with(".weight") {
        [3, 2, 0, 1]
    } else {
        [0, 3, 1, 2]
    }
}

/// A tensor of the parameter `name` (a weight, a gradient, a moment) in the layout of files.
pub fn to_file_layout<const D: usize>(name: &str, tensor: Tensor<D>) -> NamedTensor {
    let dims = tensor.dims();
    let (shape, tensor) = match <[usize; 4]>::try_from(dims.as_slice()) {
        Ok(dims) => {
            let axes = file_axes(name);
            let tensor = tensor
                .reshape::<4, _>(dims)
                .permute(axes.map(|axis| axis as isize));
            (tensor.dims().to_vec(), values(tensor))
        }
        Err(_) => (dims.to_vec(), values(tensor)),
    };
    NamedTensor {
        name: name.to_owned(),
        shape,
        values: tensor,
    }
}

/// The values of `tensor`, in the layout of files, in the order of memory, for a parameter of D axes.
pub fn to_memory_layout(name: &str, shape: &[usize], tensor: Vec<f32>) -> Vec<f32> {
    let Ok(dims) = <[usize; 4]>::try_from(shape) else {
        return tensor;
    };
    let axes = file_axes(name);
    let mut inverse = [0; 4];
    for (file, memory) in axes.into_iter().enumerate() {
        inverse[memory] = file as isize;
    }
    let tensor =
        Tensor::<4>::from_data(TensorData::new(tensor, dims), &burn::tensor::Device::flex());
    values(tensor.permute(inverse))
}

/// The shape in files of a parameter with these dimensions in memory.
pub fn file_shape(name: &str, dims: &[usize]) -> Vec<usize> {
    match <[usize; 4]>::try_from(dims) {
        Ok(dims) => file_axes(name).map(|axis| dims[axis]).to_vec(),
        Err(_) => dims.to_vec(),
    }
}

/// Calls `each` with the name and the tensor of every parameter, in the reference's order.
pub fn for_each<M: Module>(model: &M, each: impl VisitParameter) {
    let mut visitor = Visitor {
        path: Vec::new(),
        each,
    };
    model.visit(&mut visitor);
}

/// A function of a parameter's name and its tensor, whatever the number of axes.
pub trait VisitParameter {
    /// Sees one parameter.
    fn visit<const D: usize>(&mut self, name: &str, tensor: Tensor<D>);
}

/// A function that replaces a parameter, whatever the number of axes.
pub trait MapParameter {
    /// Returns what takes the place of `tensor`, of the same shape.
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D>;
}

/// Replaces every parameter, in the reference's order.
pub fn map<M: Module>(model: M, each: &mut impl MapParameter) -> M {
    model.map(&mut Mapper {
        path: Vec::new(),
        each,
    })
}

/// All parameters in the layout of files.
pub fn export<M: Module>(model: &M) -> Vec<NamedTensor> {
    struct Export<'a>(&'a mut Vec<NamedTensor>);
    impl VisitParameter for Export<'_> {
        fn visit<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
            self.0.push(to_file_layout(name, tensor));
        }
    }
    let mut parameters = Vec::new();
    for_each(model, Export(&mut parameters));
    parameters
}

/// SHA-256 over the name, the shape and the values of every parameter in the layout of files, in the
/// reference's order: equal weights have equal fingerprints.
pub fn fingerprint<M: Module>(model: &M) -> String {
    struct Fingerprint<'a>(&'a mut Sha256);
    impl VisitParameter for Fingerprint<'_> {
        fn visit<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
            let parameter = to_file_layout(name, tensor.inner());
            self.0.update(format!("{name} {:?}\n", parameter.shape));
            let values = parameter.values.iter();
            let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
            self.0.update(bytes);
        }
    }
    let mut hash = Sha256::new();
    for_each(model, Fingerprint(&mut hash));
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces every parameter by the values that `get` returns for its name and file shape, in the layout
/// of files.
///
/// # Errors
/// The first one that `get` returns.
pub fn import<M: Module, E>(
    model: M,
    get: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
) -> Result<M, E> {
    struct Import<F, E> {
        get: F,
        error: Option<E>,
    }
    impl<E, F: FnMut(&str, &[usize]) -> Result<Vec<f32>, E>> MapParameter for Import<F, E> {
        fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
            if self.error.is_some() {
                return tensor;
            }
            let dims = tensor.dims();
            let shape = file_shape(name, &dims);
            match (self.get)(name, &shape) {
                Ok(loaded) => {
                    let loaded = TensorData::new(to_memory_layout(name, &shape, loaded), dims);
                    let device = tensor.device();
                    let loaded = Tensor::from_data(loaded, &device);
                    if device.is_autodiff() {
                        loaded.require_grad()
                    } else {
                        loaded
                    }
                }
                Err(error) => {
                    self.error = Some(error);
                    tensor
                }
            }
        }
    }
    let mut import = Import { get, error: None };
    let model = map(model, &mut import);
    match import.error {
        Some(error) => Err(error),
        None => Ok(model),
    }
}

struct Visitor<V> {
    path: Vec<String>,
    each: V,
}

impl<V: VisitParameter> ModuleVisitor for Visitor<V> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.each.visit(&self.path.join("."), param.val());
    }
}

struct Mapper<'a, V> {
    path: Vec<String>,
    each: &'a mut V,
}

impl<V: MapParameter> ModuleMapper for Mapper<'_, V> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, self.each.map(&name, tensor), mapper)
    }
}

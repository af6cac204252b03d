//! The bridge between Burn tensors and the CPU kernels: one place that knows how an operation with a
//! hand-written backward pass becomes a node of Burn's autodiff graph.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, DispatchAutodiffContext, DispatchDevice, DispatchKindConversion,
    DispatchTensor, Flex, tensor::FloatTensor,
};
use burn::tensor::{Device, Tensor, TensorData};

use super::profile::{Work, timed};
use super::sum::{self, GradientSum, added, whole};

type AutodiffTensor<B> = FloatTensor<Autodiff<B>>;

/// An operation of N tensors on the CPU, with its mirror.
///
/// Tensors arrive as contiguous `f32` slices in row-major order.
pub(crate) trait CpuOperation<const N: usize>: Clone + Debug + Send + 'static {
    /// What `forward` leaves for `backward`, beside the inputs.
    type Saved: Clone + Debug + Send + 'static;

    /// Whether `backward` looks at the values of the inputs; else they are not kept for it, and it is
    /// given empty slices.
    const KEEPS_INPUTS: bool = true;

    /// Whether there is something to do that a profile should show.
    const WORKS: bool = true;

    /// What a profile calls it.
    fn name(&self) -> String;

    /// Multiplications and additions of the convolutions in `forward`; a gradient of the first input
    /// takes as many, and one of the weights. 0 where moving numbers is the work.
    fn operations(&self) -> usize {
        0
    }

    /// Returns the output. `saved` is `Some` place to fill when a backward pass may follow.
    fn forward(&self, inputs: [&[f32]; N], saved: Option<&mut Option<Self::Saved>>) -> Vec<f32>;

    /// Whether there is a `forward_in_place`.
    fn works_in_place(&self) -> bool {
        false
    }

    /// Computes the output in the place of the first input; in `_inputs` that one is empty.
    fn forward_in_place(&self, _first: &mut [f32], _inputs: [&[f32]; N]) {
        unreachable!("{} does not work in place", self.name())
    }

    /// The shape of the output of `forward`.
    fn output_shape(&self) -> Vec<usize>;

    /// The inputs whose gradient is that of the output itself, which `backward` need not copy.
    fn passes_on(&self) -> [bool; N] {
        [false; N]
    }

    /// Returns the gradient of every input whose `wanted` is true, given the gradient of the output:
    /// `None` where it is zero, passed on, or not wanted.
    ///
    /// `earlier` is what other operations found for the same inputs. It will be added, unless this
    /// operation does so as it goes: then it takes it, or adds to it and returns `None`.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        saved: &Self::Saved,
        gradient: &[f32],
        wanted: [bool; N],
        earlier: &mut [Option<FlexTensor>; N],
    ) -> [Option<Vec<f32>>; N];
}

/// Whether tensors of this device are in the CPU's memory, where the kernels can work on them.
pub(crate) fn is_cpu(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(inner) => matches!(inner.clone().inner(), DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns)] // the only other kinds are those of optional features
        _ => false,
    }
}

/// Whether the numbers lie in the CPU's memory and take no part in autodiff.
pub(super) fn is_plain<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    is_cpu(&device) && !device.is_autodiff()
}

/// The contiguous numbers of a tensor for which [`is_plain`] is true.
pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    contiguous(plain(tensor.into_dispatch()))
}

/// Runs `operation` on tensors of the CPU, recorded for a backward pass where any input is tracked.
pub(crate) fn apply<const N: usize, const D: usize, O: CpuOperation<N>>(
    operation: O,
    inputs: [DispatchTensor; N],
) -> Tensor<D> {
    let autodiff = inputs.iter().any(is_autodiff);
    if !autodiff {
        let mut inputs = inputs.map(|input| contiguous(plain(input)));
        if let Some(output) = forward_in_place(&operation, &mut inputs) {
            return Tensor::from_primitive::<Flex>(output);
        }
        let output = forward(&operation, &inputs, None);
        return Tensor::from_primitive::<Flex>(tensor(output, operation.output_shape()));
    }
    let inputs = inputs.map(tracked);
    let nodes = inputs.each_ref().map(|input| input.node());
    let sums = nodes.each_ref().map(|node| sum::of(node.id()));
    let primitives = inputs.map(|input| contiguous(input.into_primitive()));
    let prepared = OperationBackward::<O>(PhantomData)
        .prepare::<NoCheckpointing>(nodes)
        .compute_bound()
        .stateful();
    let output = match prepared {
        OpsKind::Tracked(prepared) => {
            let mut saved = None;
            let output = forward(&operation, &primitives, Some(&mut saved));
            let output = tensor(output, operation.output_shape());
            let saved = saved.expect("an operation saves what its backward pass needs");
            let shapes = primitives.each_ref().map(shape);
            let state = State {
                operation,
                shapes,
                kept: O::KEEPS_INPUTS.then_some(primitives),
                saved,
                own_sum: GradientSum::default(),
                sums,
            };
            let own_sum = state.own_sum.clone();
            let output = prepared.finish(state, output);
            sum::remember(output.node().id(), &own_sum);
            output
        }
        OpsKind::UnTracked(prepared) => {
            let output = forward(&operation, &primitives, None);
            prepared.finish(tensor(output, operation.output_shape()))
        }
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}

fn forward<const N: usize, O: CpuOperation<N>>(
    operation: &O,
    inputs: &[FlexTensor; N],
    saved: Option<&mut Option<O::Saved>>,
) -> Vec<f32> {
    let inputs = slices(inputs);
    if !O::WORKS {
        return operation.forward(inputs, saved);
    }
    let work = |output: &Vec<f32>| Work {
        name: operation.name(),
        operations: operation.operations() as f64,
        bytes: bytes(inputs) + bytes([output]),
    };
    timed(work, || operation.forward(inputs, saved))
}

/// The output in the memory of the first input, where nobody else holds that and the operation can: it
/// is more likely in a cache than new memory is.
fn forward_in_place<const N: usize, O: CpuOperation<N>>(
    operation: &O,
    inputs: &mut [FlexTensor; N],
) -> Option<FlexTensor> {
    if !operation.works_in_place() || !inputs[0].is_unique() {
        return None;
    }
    let mut first = whole(std::mem::replace(
        &mut inputs[0],
        tensor(Vec::new(), vec![0]),
    ));
    let elements = host_slice(&first);
    let others = slices(inputs);
    let work = Work {
        name: operation.name(),
        operations: operation.operations() as f64,
        bytes: bytes([elements, elements]) + bytes(others),
    };
    timed(
        |()| work,
        || operation.forward_in_place(first.storage_mut(), others),
    );
    Some(first)
}

fn backward<const N: usize, O: CpuOperation<N>>(
    operation: &O,
    kept: Option<&[FlexTensor; N]>,
    saved: &O::Saved,
    gradient: &FlexTensor,
    wanted: [bool; N],
    earlier: &mut [Option<FlexTensor>; N],
) -> [Option<Vec<f32>>; N] {
    let inputs = kept.map_or([&[][..]; N], slices);
    let gradient = host_slice(gradient);
    if !O::WORKS {
        return operation.backward(inputs, saved, gradient, wanted, earlier);
    }
    let work = |results: &[Option<Vec<f32>>; N]| Work {
        name: format!("{} backward", operation.name()),
        operations: (1 + usize::from(wanted[0])) as f64 * operation.operations() as f64,
        bytes: bytes(inputs) + bytes([gradient]) + bytes(results.iter().flatten()),
    };
    timed(work, || {
        operation.backward(inputs, saved, gradient, wanted, earlier)
    })
}

pub(super) fn bytes(slices: impl IntoIterator<Item = impl AsRef<[f32]>>) -> f64 {
    let sizes = slices.into_iter().map(|slice| size_of_val(slice.as_ref()));
    sizes.sum::<usize>() as f64
}

#[derive(Debug)]
struct OperationBackward<O>(PhantomData<O>);

/// What an operation leaves for its backward pass.
#[derive(Clone, Debug)]
struct State<O, S, const N: usize> {
    operation: O,
    /// Of the inputs.
    shapes: [Vec<usize>; N],
    /// The inputs, if the backward pass looks at them.
    kept: Option<[FlexTensor; N]>,
    saved: S,
    /// Where the gradient of the output is added up.
    own_sum: GradientSum,
    /// Where those of the inputs are, of those that come from such operations.
    sums: [Option<GradientSum>; N],
}

impl<const N: usize, O: CpuOperation<N>> Backward<Flex, N> for OperationBackward<O> {
    type State = State<O, O::Saved, N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let state = ops.state;
        let operation = state.operation;
        let others = grads.consume::<Flex>(&ops.node);
        let gradient = state.own_sum.total(others, operation.output_shape());
        let wanted = ops.parents.each_ref().map(|parent| parent.is_some());
        let sums = state.sums;
        let mut earlier = sums
            .each_ref()
            .map(|sum| sum.as_ref().and_then(|sum| sum.take()));
        let (kept, saved) = (state.kept.as_ref(), &state.saved);
        let results = backward(&operation, kept, saved, &gradient, wanted, &mut earlier);
        let passed_on = operation.passes_on();
        let parents = ops.parents.into_iter().zip(sums).zip(state.shapes);
        for (i, (((parent, sum), shape), result)) in parents.zip(results).enumerate() {
            let Some(parent) = parent else { continue };
            let result = result.map(|result| tensor(result, shape.clone()));
            let result = result.or_else(|| passed_on[i].then(|| gradient.clone()));
            let result = match (result, earlier[i].take()) {
                (Some(result), Some(earlier)) => Some(added(result, &earlier)),
                (result, earlier) => result.or(earlier),
            };
            match sum {
                Some(sum) => sum.put(result, &shape, |token| {
                    grads.register::<Flex>(parent.id, token);
                }),
                None => grads.register::<Flex>(parent.id, result.unwrap_or_else(|| zeros(shape))),
            }
        }
    }
}

pub(super) fn is_autodiff(tensor: &DispatchTensor) -> bool {
    tensor.autodiff != DispatchAutodiffContext::Disabled
}

/// A tensor without autodiff, as the CPU backend holds it.
pub(super) fn plain(tensor: DispatchTensor) -> FlexTensor {
    match <DispatchTensor as DispatchKindConversion<Flex>>::try_into_backend(tensor) {
        Ok(tensor) => tensor.float(),
        Err(reason) => unreachable!("callers ask `is_cpu` first: {reason}"),
    }
}

/// A tensor with autodiff; one that came without takes part as a constant.
fn tracked(tensor: DispatchTensor) -> AutodiffTensor<Flex> {
    if !is_autodiff(&tensor) {
        return <Autodiff<Flex> as AutodiffBackend>::from_inner(plain(tensor));
    }
    match <DispatchTensor as DispatchKindConversion<Autodiff<Flex>>>::try_into_backend(tensor) {
        Ok(tensor) => tensor.float(),
        Err(reason) => unreachable!("callers ask `is_cpu` first: {reason}"),
    }
}

pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

pub(super) fn shape(tensor: &FlexTensor) -> Vec<usize> {
    tensor.layout().shape().to_vec()
}

/// The elements of a contiguous tensor.
pub(crate) fn host_slice(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("made contiguous, and the model computes in f32")
}

fn slices<const N: usize>(tensors: &[FlexTensor; N]) -> [&[f32]; N] {
    tensors.each_ref().map(host_slice)
}

pub(super) fn zeros(shape: Vec<usize>) -> FlexTensor {
    tensor(vec![0.0; shape.iter().product()], shape)
}

pub(super) fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

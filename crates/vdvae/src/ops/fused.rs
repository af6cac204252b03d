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

    /// What a profile calls it.
    fn name(&self) -> String;

    /// Multiplications and additions of the convolutions in `forward`; a gradient of the first input
    /// takes as many, and one of the weights. 0 where moving numbers is the work.
    fn operations(&self) -> usize {
        0
    }

    /// Returns the output. `saved` is `Some` place to fill when a backward pass may follow.
    fn forward(&self, inputs: [&[f32]; N], saved: Option<&mut Option<Self::Saved>>) -> Vec<f32>;

    /// The shape of the output of `forward`.
    fn output_shape(&self) -> Vec<usize>;

    /// The inputs whose gradient is that of the output itself, which `backward` need not copy.
    fn passes_on(&self) -> [bool; N] {
        [false; N]
    }

    /// Returns the gradient of every input whose `wanted` is true, given the gradient of the output.
    /// A gradient that is not wanted or passed on may be `None`; another must not.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        saved: &Self::Saved,
        gradient: &[f32],
        wanted: [bool; N],
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

/// Runs `operation` on tensors of the CPU, recorded for a backward pass where any input is tracked.
pub(crate) fn apply<const N: usize, const D: usize, O: CpuOperation<N>>(
    operation: O,
    inputs: [DispatchTensor; N],
) -> Tensor<D> {
    let autodiff = inputs.iter().any(is_autodiff);
    if !autodiff {
        let inputs = inputs.map(|input| contiguous(plain(input)));
        let output = forward(&operation, &inputs, None);
        return Tensor::from_primitive::<Flex>(tensor(output, operation.output_shape()));
    }
    let inputs = inputs.map(tracked);
    let nodes = inputs.each_ref().map(|input| input.node());
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
            let kept = O::KEEPS_INPUTS.then_some(primitives);
            prepared.finish((operation, shapes, kept, saved), output)
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
    let work = |output: &Vec<f32>| Work {
        name: operation.name(),
        operations: operation.operations() as f64,
        bytes: bytes(inputs) + bytes([output]),
    };
    timed(work, || operation.forward(inputs, saved))
}

fn backward<const N: usize, O: CpuOperation<N>>(
    operation: &O,
    kept: Option<&[FlexTensor; N]>,
    saved: &O::Saved,
    gradient: &FlexTensor,
    wanted: [bool; N],
) -> [Option<Vec<f32>>; N] {
    let inputs = kept.map_or([&[][..]; N], slices);
    let gradient = host_slice(gradient);
    let work = |results: &[Option<Vec<f32>>; N]| Work {
        name: format!("{} backward", operation.name()),
        operations: (1 + usize::from(wanted[0])) as f64 * operation.operations() as f64,
        bytes: bytes(inputs) + bytes([gradient]) + bytes(results.iter().flatten()),
    };
    timed(work, || operation.backward(inputs, saved, gradient, wanted))
}

fn bytes(slices: impl IntoIterator<Item = impl AsRef<[f32]>>) -> f64 {
    let sizes = slices.into_iter().map(|slice| size_of_val(slice.as_ref()));
    sizes.sum::<usize>() as f64
}

#[derive(Debug)]
struct OperationBackward<O>(PhantomData<O>);

impl<const N: usize, O: CpuOperation<N>> Backward<Flex, N> for OperationBackward<O> {
    /// The operation, the shapes of its inputs, their values if it keeps them, what else it left.
    type State = (O, [Vec<usize>; N], Option<[FlexTensor; N]>, O::Saved);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let (operation, shapes, kept, saved) = ops.state;
        let wanted = ops.parents.each_ref().map(|parent| parent.is_some());
        let results = backward(&operation, kept.as_ref(), &saved, &gradient, wanted);
        let shapes = shapes.into_iter().zip(operation.passes_on());
        for ((parent, result), (shape, passed_on)) in
            ops.parents.into_iter().zip(results).zip(shapes)
        {
            let Some(parent) = parent else { continue };
            let result = if passed_on {
                gradient.clone()
            } else {
                let result = result.expect("a wanted gradient was not computed");
                tensor(result, shape)
            };
            grads.register::<Flex>(parent.id, result);
        }
    }
}

fn is_autodiff(tensor: &DispatchTensor) -> bool {
    tensor.autodiff != DispatchAutodiffContext::Disabled
}

/// A tensor without autodiff, as the CPU backend holds it.
fn plain(tensor: DispatchTensor) -> FlexTensor {
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

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn shape(tensor: &FlexTensor) -> Vec<usize> {
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

fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

//! Gradients of one tensor from several operations, added up where they are computed.
//!
//! Burn adds such gradients one after the other, each time through all of both tensors on one thread.
//! An operation of ours can add what others found while it writes its own, or to the few channels that
//! it knows about. So the output of each has a [`GradientSum`], known by its node: operations that read
//! the output add to it, and tell Burn only that there is something.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use burn::backend::autodiff::NodeId;
use burn::backend::flex::FlexTensor;
use vdvae_kernels::elementwise;

use super::fused::{contiguous, host_slice, shape, tensor, zeros};

/// The sum of what was found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct GradientSum(Arc<Mutex<Option<FlexTensor>>>);

impl GradientSum {
    fn lock(&self) -> MutexGuard<'_, Option<FlexTensor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found so far, to be put back with more.
    pub fn take(&self) -> Option<FlexTensor> {
        self.lock().take()
    }

    /// Puts the sum of everything back, if there is anything, added to what came meanwhile (where an
    /// operation reads a tensor twice); Burn is told by a token to be registered.
    pub fn put(&self, sum: Option<FlexTensor>, shape: &[usize], register: impl FnOnce(FlexTensor)) {
        if let Some(sum) = sum {
            let sum = match self.take() {
                Some(before) => added(sum, &before),
                None => sum,
            };
            *self.lock() = Some(sum);
        }
        register(tensor(vec![0.0], vec![1; shape.len()]));
    }

    /// The gradient of a tensor of the `expected` shape, given what Burn has: the tokens, or a gradient from
    /// operations that are not ours, with or without tokens added to it.
    pub fn total(&self, registered: FlexTensor, expected: Vec<usize>) -> FlexTensor {
        let found = shape(&registered);
        if found == expected {
            return match self.take() {
                None => contiguous(registered),
                Some(sum) => added(sum, &contiguous(registered)),
            };
        }
        assert!(
            found.iter().all(|&side| side == 1) && host_slice(&registered) == [0.0],
            "a gradient of shape {found:?} for an output of {expected:?}"
        );
        self.take().unwrap_or_else(|| zeros(expected))
    }
}

/// `a + b`, in place where nobody else holds `a`.
pub(super) fn added(a: FlexTensor, b: &FlexTensor) -> FlexTensor {
    let mut a = whole(a);
    elementwise::add(a.storage_mut(), host_slice(b));
    a
}

/// A tensor whose storage holds its own elements and no others: a copy of a part of another's.
pub(super) fn whole(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

type Sums = HashMap<NodeId, Weak<Mutex<Option<FlexTensor>>>>;

/// The sums of outputs whose backward pass is still to come.
static SUMS: LazyLock<Mutex<Sums>> = LazyLock::new(Mutex::default);

fn sums() -> MutexGuard<'static, Sums> {
    SUMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sum for the output of a node.
pub(super) fn remember(node: NodeId, sum: &GradientSum) {
    let mut sums = sums();
    // Whenever there is no room: those that are gone cost one look each in the long run.
    if sums.len() == sums.capacity() {
        sums.retain(|_, sum| sum.strong_count() > 0);
    }
    sums.insert(node, Arc::downgrade(&sum.0));
}

/// The sum for a node, if it is one of our operations' outputs.
pub(super) fn of(node: NodeId) -> Option<GradientSum> {
    sums().get(&node)?.upgrade().map(GradientSum)
}

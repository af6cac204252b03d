//! Sums over the elements of images.

use burn::tensor::Tensor;

/// Numbers that are added one after the other.
const PART: usize = 32;

/// The sum over all axes but the first, [B, ...] to `[B]`: of parts, and of their sums again.
///
/// Burn's own adds all numbers of single precision one after the other on the CPU, so that it loses those that
/// are small beside what was summed before: of 2^25 ones it makes 2^24.
pub fn sum_per_image<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let batch = x.dims()[0];
    let device = x.device();
    let mut sums: Tensor<2> = x.reshape([batch as i32, -1]);
    loop {
        let count = sums.dims()[1];
        if count <= PART {
            return sums.sum_dim(1).reshape([batch]);
        }
        let parts = count.div_ceil(PART);
        let missing = parts * PART - count;
        if missing > 0 {
            let zeros = Tensor::zeros([batch, missing], &device);
            sums = Tensor::cat(vec![sums, zeros], 1);
        }
        let of_parts = sums.reshape([batch, parts, PART]).sum_dim(2);
        sums = of_parts.reshape([batch, parts]);
    }
}

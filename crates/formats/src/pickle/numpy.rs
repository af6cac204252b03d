//! NumPy arrays in pickles.

use std::borrow::Cow;

use super::{Call, PickleError, Value};

/// The names that occur in a pickle of arrays, numbers and strings. NumPy 2 renamed `core`.
pub const GLOBALS: &[(&str, &str)] = &[
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
];

/// An array, as it was pickled.
#[derive(Debug)]
pub struct Array<'p> {
    /// Element type without the byte order, such as `u1` or `f4`.
    pub dtype: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Whether the first axis changes fastest.
    pub fortran_order: bool,
    /// The elements. As many bytes as shape and dtype say.
    pub data: Cow<'p, [u8]>,
}

/// The array that `value` describes.
///
/// # Errors
/// [`PickleError::Unexpected`] if it describes none, or one whose data do not fit its shape.
pub fn array(value: Value<'_>) -> Result<Array<'_>, PickleError> {
    let unexpected = |expected| PickleError::Unexpected {
        expected,
        found: value.describe(),
    };
    let call = value.as_call().ok_or_else(|| unexpected("a NumPy array"))?;
    let array = match call.name {
        "_reconstruct" => from_state(&call),
        "_frombuffer" => from_buffer(&call),
        _ => None,
    };
    let array = array.ok_or_else(|| unexpected("a NumPy array"))?;
    let item = array
        .dtype
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .ok();
    let bytes = item.and_then(|item: usize| {
        array
            .shape
            .iter()
            .try_fold(item, |bytes, &side| bytes.checked_mul(side))
    });
    if bytes != Some(array.data.len()) {
        return Err(PickleError::Unexpected {
            expected: "an array whose data fit its shape",
            found: format!(
                "{} of shape {:?} with {} bytes",
                array.dtype,
                array.shape,
                array.data.len()
            ),
        });
    }
    Ok(array)
}

/// `_reconstruct(ndarray, (0,), b"b")` with the state (version, shape, dtype, order, data).
fn from_state<'p>(call: &Call<'p>) -> Option<Array<'p>> {
    let state = call.state?.elements()?;
    let [_, shape, dtype, order, data] = state[..] else {
        return None;
    };
    Some(Array {
        dtype: dtype_name(dtype)?,
        shape: sides(shape)?,
        fortran_order: order.as_int()? != 0,
        data: data.as_bytes()?,
    })
}

/// `_frombuffer(data, dtype, shape, order)`, as protocol 5 has it.
fn from_buffer<'p>(call: &Call<'p>) -> Option<Array<'p>> {
    let [data, dtype, shape, order] = call.arguments[..] else {
        return None;
    };
    Some(Array {
        dtype: dtype_name(dtype)?,
        shape: sides(shape)?,
        fortran_order: order.as_str()? == "F",
        data: data.as_bytes()?,
    })
}

/// The name in `dtype("u1", False, True)`.
fn dtype_name(value: Value<'_>) -> Option<String> {
    let call = value
        .as_call()
        .filter(|call| (call.module, call.name) == ("numpy", "dtype"))?;
    call.arguments.first()?.as_str().map(str::to_owned)
}

fn sides(shape: Value<'_>) -> Option<Vec<usize>> {
    shape
        .elements()?
        .into_iter()
        .map(|side| usize::try_from(side.as_int()?).ok())
        .collect()
}

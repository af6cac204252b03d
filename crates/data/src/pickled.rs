//! Pickled dictionaries of images, as CIFAR and the smaller ImageNets are distributed.

use std::borrow::Cow;

use vdvae_formats::FormatError;
use vdvae_formats::pickle::{Pickle, PickleError, Value, numpy};

use crate::error::DataError;

/// Calls `take` with the bytes of the array `data` of a pickled dictionary: rows of `width` bytes, as many as
/// `rows` says if it says any.
///
/// # Errors
/// [`DataError::Format`] at `place` if there is no such array; `remedy` says what to do.
pub(crate) fn with_rows<T>(
    bytes: &[u8],
    [rows, width]: [Option<usize>; 2],
    place: &str,
    remedy: &str,
    take: impl FnOnce(Cow<'_, [u8]>) -> T,
) -> Result<T, DataError> {
    let in_pickle = in_pickle(place);
    let pickle = Pickle::parse(bytes, numpy::GLOBALS).map_err(&in_pickle)?;
    let Some(data) = pickle.root().get("data") else {
        let expected = "a dictionary with an entry 'data'";
        return Err(DataError::mismatch(
            place,
            "contents",
            expected,
            "something else",
            remedy,
        ));
    };
    let array = numpy::array(data).map_err(&in_pickle)?;
    let fits = |wanted: Option<usize>, found: usize| wanted.is_none_or(|wanted| wanted == found);
    let shape_fits = match array.shape[..] {
        [n, m] => fits(rows, n) && fits(width, m) && n > 0,
        _ => false,
    };
    if array.dtype != "u1" || array.fortran_order || !shape_fits {
        let side = |side: Option<usize>| side.map_or("N".to_owned(), |side| side.to_string());
        let expected = format!("uint8 of shape [{}, {}]", side(rows), side(width));
        let found = format!("{} of shape {:?}", array.dtype, array.shape);
        return Err(DataError::mismatch(place, "data", expected, found, remedy));
    }
    Ok(take(array.data))
}

/// The labels of `count` images, a list of numbers below `classes`: the entry `key` of a pickled dictionary.
///
/// # Errors
/// [`DataError::Format`] at `place` if there is no such list; `remedy` says what to do.
pub(crate) fn labels(
    bytes: &[u8],
    key: &'static str,
    [count, classes]: [usize; 2],
    place: &str,
    remedy: &str,
) -> Result<Vec<u8>, DataError> {
    let pickle = Pickle::parse(bytes, numpy::GLOBALS).map_err(in_pickle(place))?;
    let list = pickle.root().get(key).and_then(|list| list.elements());
    let label = |value: Value| {
        let label = value.as_int().and_then(|label| u8::try_from(label).ok());
        label.filter(|&label| usize::from(label) < classes)
    };
    let labels: Option<Vec<u8>> = list.and_then(|list| list.into_iter().map(label).collect());
    labels
        .filter(|labels| labels.len() == count)
        .ok_or_else(|| {
            let expected = format!("a list of {count} whole numbers below {classes}");
            DataError::mismatch(place, key, expected, "something else", remedy)
        })
}

fn in_pickle(place: &str) -> impl Fn(PickleError) -> FormatError {
    move |source| FormatError::Pickle {
        place: place.to_owned(),
        source,
    }
}

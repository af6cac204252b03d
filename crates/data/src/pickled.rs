//! Pickled dictionaries of images, as CIFAR and the smaller ImageNets are distributed.

use std::borrow::Cow;

use vdvae_formats::FormatError;
use vdvae_formats::pickle::{Pickle, numpy};

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
    let in_pickle = |source| FormatError::Pickle {
        place: place.to_owned(),
        source,
    };
    let pickle = Pickle::parse(bytes, numpy::GLOBALS).map_err(in_pickle)?;
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
    let array = numpy::array(data).map_err(in_pickle)?;
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

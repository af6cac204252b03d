//! Whether the array of a .npy file is images of bytes.

use vdvae_formats::npy::Header;

use crate::array::Fit;
use crate::dataset::ImageShape;
use crate::error::DataError;

/// An array as images.
#[derive(Debug, PartialEq)]
pub(crate) struct ImageLayout {
    /// At least one.
    pub images: usize,
    /// Of each image.
    pub stored: ImageShape,
    /// Of all images together.
    pub bytes: usize,
}

impl ImageLayout {
    /// The array with this header as images of the size of `image`, or as `fit` says smaller ones.
    ///
    /// # Errors
    /// [`DataError::Format`] at `place` if the array is not N x S x S x C or N x S x S bytes in C
    /// order, [`DataError::Empty`] if N is zero.
    pub fn of(
        header: &Header,
        fit: Fit,
        image: ImageShape,
        place: &str,
    ) -> Result<Self, DataError> {
        check_elements(header, place)?;
        let channels = channels_of(header, place)?;
        let (images, height, width) = (header.shape[0], header.shape[1], header.shape[2]);
        let size = image.size as u64;
        let fits = height == size || fit == Fit::Padded && (1..size).contains(&height);
        if height != width || !fits {
            let expected = format!("images of {0} x {0} pixels", image.size);
            let found = format!("{height} x {width} (shape {})", header.shape_text());
            let remedy = if height == width {
                format!("Set model.image_size = {height}, or resize the images")
            } else {
                "Crop the images to squares".to_owned()
            };
            return Err(DataError::mismatch(place, "shape", expected, found, remedy));
        }
        if images == 0 {
            return Err(DataError::Empty {
                place: place.to_owned(),
                expected: "images".to_owned(),
                remedy: format!("The array's shape is {}", header.shape_text()),
            });
        }
        let stored = ImageShape {
            size: height as usize,
            channels,
        };
        let one_image = stored.len();
        let bytes = usize::try_from(images)
            .ok()
            .and_then(|images| images.checked_mul(one_image));
        let Some(bytes) = bytes else {
            let expected = "an array that can exist";
            let remedy = "The header is damaged: write the file again";
            return Err(DataError::mismatch(
                place,
                "shape",
                expected,
                header.shape_text(),
                remedy,
            ));
        };
        Ok(Self {
            images: bytes / one_image,
            stored,
            bytes,
        })
    }
}

/// Whether the elements are bytes in C order.
///
/// # Errors
/// [`DataError::Format`] at `place` if not.
pub(crate) fn check_elements(header: &Header, place: &str) -> Result<(), DataError> {
    if !matches!(
        header.descr.as_str(),
        "|u1" | "<u1" | ">u1" | "=u1" | "u1" | "B"
    ) {
        let remedy = "Bring the values to 0..255 and save array.astype(numpy.uint8)";
        let found = format!("'{}'", header.descr);
        return Err(DataError::mismatch(
            place,
            "dtype",
            "uint8 ('|u1')",
            found,
            remedy,
        ));
    }
    if header.fortran_order {
        let remedy = "Save numpy.ascontiguousarray(array)";
        return Err(DataError::mismatch(
            place,
            "fortran_order",
            "False",
            "True",
            remedy,
        ));
    }
    Ok(())
}

/// Whether an array can be images of some size: bytes of N x S x S or N x S x S x C.
pub(crate) fn is_image_array(header: &Header) -> bool {
    let square = match header.shape[..] {
        [_, height, width] | [_, height, width, 1 | 3] => height == width && height > 1,
        _ => false,
    };
    square && header.descr.ends_with("u1")
}

fn channels_of(header: &Header, place: &str) -> Result<usize, DataError> {
    let remedy = match header.shape[..] {
        // N x S x 3 of two equal sides and three channels is one picture, seldom N strips.
        [height, width, 1 | 3] if height == width => {
            "This is one image: save array[numpy.newaxis], or write it as a picture file"
        }
        [_, _, _] => return Ok(1),
        [_, _, _, channels @ (1 | 3)] => return Ok(channels as usize),
        [_, 1 | 3, _, _] => "Channels come last: save array.transpose(0, 2, 3, 1)",
        _ => "Bring the array to one of these shapes",
    };
    let expected = "N x S x S x 3, N x S x S x 1 or N x S x S";
    Err(DataError::mismatch(
        place,
        "shape",
        expected,
        header.shape_text(),
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dictionary: &str) -> Result<ImageLayout, DataError> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((dictionary.len() as u16).to_le_bytes());
        file.extend(dictionary.as_bytes());
        let image = ImageShape {
            size: 32,
            channels: 3,
        };
        let header = Header::parse(&file, "a.npy").unwrap();
        ImageLayout::of(&header, Fit::Exact, image, "a.npy")
    }

    fn array(shape: &str) -> String {
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}     \n")
    }

    #[test]
    fn arrays_of_images_are_laid_out() {
        let stored = |channels| ImageShape { size: 32, channels };
        let rgb = ImageLayout {
            images: 7,
            stored: stored(3),
            bytes: 7 * 3072,
        };
        assert_eq!(layout(&array("(7, 32, 32, 3)")).unwrap(), rgb);
        let gray = ImageLayout {
            images: 7,
            stored: stored(1),
            bytes: 7 * 1024,
        };
        assert_eq!(layout(&array("(7, 32, 32, 1)")).unwrap(), gray);
        assert_eq!(layout(&array("(7, 32, 32)")).unwrap(), gray);
    }

    #[test]
    fn what_is_not_images_is_refused_with_the_reason() {
        let float = "{'descr': '<f4', 'fortran_order': False, 'shape': (7, 32, 32, 3)}";
        let fields =
            "{'descr': [('x', '|u1'), ('y', '|u1')], 'fortran_order': False, 'shape': (7,)}";
        let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (7, 32, 32, 3)}";
        let enormous = array("(18446744073709551615, 32, 32, 3)");
        for (text, expected) in [
            (float, "dtype: expected uint8 ('|u1'), found '<f4'"),
            (fields, "dtype: expected uint8"),
            (fortran, "fortran_order: expected False, found True"),
            (&array("(7, 3072)"), "found (7, 3072)"),
            (&array("(7, 32, 32, 4)"), "found (7, 32, 32, 4)"),
            (&array("(7, 3, 32, 32)"), "array.transpose(0, 2, 3, 1)"),
            (&array("(32, 32, 3)"), "This is one image"),
            (
                &array("(7, 64, 64, 3)"),
                "expected images of 32 x 32 pixels, found 64 x 64",
            ),
            (&array("(7, 64, 64, 3)"), "model.image_size = 64"),
            (&array("(7, 32, 48, 3)"), "Crop the images to squares"),
            (&array("(0, 32, 32, 3)"), "expected images, found none"),
            (&enormous, "an array that can exist"),
        ] {
            let error = layout(text).unwrap_err().to_string();
            assert!(
                error.starts_with("a.npy: ") && error.contains(expected),
                "{error}"
            );
        }
    }
}

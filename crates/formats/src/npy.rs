//! .npy files: one array of NumPy with a header before it.
//!
//! Format: the magic bytes, the version, the header's length (2 bytes in version 1, 4 bytes in
//! versions 2 and 3), then a Python dictionary such as
//! `{'descr': '|u1', 'fortran_order': False, 'shape': (50000, 32, 32, 3), }`.

use crate::FormatError;
use crate::floats::{FloatArray, FloatType};

const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy's own headers are some 120 bytes long; a longer one than this is not read.
pub(crate) const LONGEST_HEADER: usize = 1 << 16;

/// What a .npy file says of itself.
#[derive(Debug, PartialEq)]
pub struct Header {
    /// NumPy's name of the element type, such as `|u1`; of a structure, the list of its fields as text.
    pub descr: String,
    /// Whether the first axis changes fastest.
    pub fortran_order: bool,
    /// Length of each axis.
    pub shape: Vec<u64>,
    /// Where in the file the array begins.
    pub data_start: usize,
}

impl Header {
    /// Reads the header at the start of `file`.
    ///
    /// # Errors
    /// [`FormatError::Mismatch`] at `place` if it is not the start of a .npy file.
    pub fn parse(file: &[u8], place: &str) -> Result<Self, FormatError> {
        let wrong = |field, expected: &str, found: String| {
            FormatError::mismatch(
                place,
                field,
                expected,
                found,
                "Write the file with numpy.save",
            )
        };
        if !file.starts_with(MAGIC) {
            let found = format!("the bytes {:02x?}", &file[..file.len().min(MAGIC.len())]);
            return Err(wrong(
                "magic",
                "a .npy file, which starts with \\x93NUMPY",
                found,
            ));
        }
        let cut = || wrong("header", "a whole header", "the end of the file".to_owned());
        let version = *file.get(MAGIC.len()).ok_or_else(cut)?;
        let length_bytes = match version {
            1 => 2,
            2 | 3 => 4,
            _ => return Err(wrong("version", "1, 2 or 3", version.to_string())),
        };
        let start = MAGIC.len() + 2 + length_bytes;
        let digits = file.get(MAGIC.len() + 2..start).ok_or_else(cut)?;
        let length = digits
            .iter()
            .rev()
            .fold(0, |length, &byte| (length << 8) | usize::from(byte));
        if length > LONGEST_HEADER {
            return Err(wrong(
                "header length",
                "at most 65536 bytes",
                length.to_string(),
            ));
        }
        let text = file.get(start..start + length).ok_or_else(cut)?;
        let text = String::from_utf8_lossy(text);
        let dictionary = "a dictionary with 'descr', 'fortran_order' and 'shape'";
        let (descr, fortran_order, shape) = Literal(&text)
            .header()
            .ok_or_else(|| wrong("header", dictionary, text.trim().to_owned()))?;
        Ok(Self {
            descr,
            fortran_order,
            shape,
            data_start: start + length,
        })
    }

    /// The array in `file`, whose header this is, of floats of 16, 32 or 64 bits, in any order.
    ///
    /// # Errors
    /// [`FormatError::Mismatch`] at `place` if it is another array, or not whole.
    pub fn floats(&self, file: &[u8], place: &str) -> Result<FloatArray, FormatError> {
        let data = &file[self.data_start..];
        let (kind, shape) = self.float_layout(data.len() as u64, place)?;
        let values = kind.read(data);
        if !self.fortran_order {
            return Ok(FloatArray { shape, values });
        }
        let mut strides = vec![1; shape.len()];
        for axis in 1..shape.len() {
            strides[axis] = strides[axis - 1] * shape[axis - 1];
        }
        Ok(FloatArray::strided(&values, shape, &strides))
    }

    /// The type and the shape of an array of floats with so many bytes of data.
    ///
    /// # Errors
    /// As [`Header::floats`].
    pub fn float_layout(
        &self,
        bytes: u64,
        place: &str,
    ) -> Result<(FloatType, Vec<usize>), FormatError> {
        let wrong = |field, expected: &str, found: String, remedy: &str| {
            FormatError::mismatch(place, field, expected, found, remedy)
        };
        let kind = FloatType::of_npy(&self.descr).ok_or_else(|| {
            let found = format!("'{}'", self.descr);
            let remedy = "Save array.astype(numpy.float32)";
            wrong("dtype", "float32 ('<f4')", found, remedy)
        })?;
        let mut sides = self.shape.iter();
        let width = kind.bytes() as u64;
        let expected = sides.try_fold(width, |bytes, &side| bytes.checked_mul(side));
        if expected != Some(bytes) {
            let expected = format!("the numbers of the shape {}", self.shape_text());
            let found = format!("{bytes} bytes");
            return Err(wrong("data", &expected, found, "Write the file again"));
        }
        // Each side is at most the number of bytes, unless another is 0.
        let shape = self.shape.iter().map(|&side| side as usize).collect();
        Ok((kind, shape))
    }

    /// The shape as NumPy writes it.
    pub fn shape_text(&self) -> String {
        let sides: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        format!("({})", sides.join(", "))
    }
}

/// The header of a .npy file (format 1.0) of numbers in C order; `descr` is NumPy's name of their type.
pub fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let shape = match shape.trim_end() {
        // A tuple of one needs its comma, one of several reads better without.
        one if one.matches(',').count() <= 1 => one,
        several => several.trim_end_matches(','),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data starts at a multiple of 64 bytes, after a line end.
    let prefix = 10;
    let padding = (64 - (prefix + text.len() + 1) % 64) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.bytes());
    header
}

/// The rest of a Python literal that is being read from the left.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    /// The whole header: element type, order and shape.
    fn header(mut self) -> Option<(String, bool, Vec<u64>)> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        self.expect("{")?;
        while self.expect("}").is_none() {
            let key = self.string()?;
            self.expect(":")?;
            match key {
                "descr" => descr = Some(self.string_or_list()?.to_owned()),
                "fortran_order" => order = Some(self.boolean()?),
                "shape" => shape = Some(self.integers()?),
                _ => return None,
            }
            if self.expect(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        Some((descr?, order?, shape?))
    }

    /// Moves past `token` and the white space before it.
    fn expect(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text
            .chars()
            .next()
            .filter(|quote| matches!(quote, '\'' | '"'))?;
        let (string, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    /// An element type: a string, or the list of fields of a structure, which is taken as it is.
    fn string_or_list(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        if !text.starts_with('[') {
            return self.string();
        }
        let end = text.rfind(']')? + 1;
        self.0 = &text[end..];
        Some(&text[..end])
    }

    fn boolean(&mut self) -> Option<bool> {
        let truth = self.expect("True").map(|()| true);
        truth.or_else(|| self.expect("False").map(|()| false))
    }

    /// A tuple of integers that are not negative.
    fn integers(&mut self) -> Option<Vec<u64>> {
        let mut integers = Vec::new();
        self.expect("(")?;
        while self.expect(")").is_none() {
            let text = self.0.trim_start();
            let digits = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            integers.push(text[..digits].parse().ok()?);
            self.0 = text[digits..].strip_prefix('L').unwrap_or(&text[digits..]); // as Python 2 wrote them
            if self.expect(",").is_none() {
                self.expect(")")?;
                break;
            }
        }
        Some(integers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(version: u8, dictionary: &str) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&[version, 0]);
        let length = (dictionary.len() as u32).to_le_bytes();
        file.extend_from_slice(if version == 1 { &length[..2] } else { &length });
        file.extend_from_slice(dictionary.as_bytes());
        file
    }

    fn header(dictionary: &str) -> Result<Header, FormatError> {
        Header::parse(&npy(1, dictionary), "a.npy")
    }

    fn array(shape: &str) -> String {
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}     \n")
    }

    #[test]
    fn the_three_versions_are_read() {
        for version in 1..=3 {
            let file = npy(version, &array("(7, 32, 32, 3)"));
            let header = Header::parse(&file, "a.npy").unwrap();
            assert_eq!(
                (header.descr.as_str(), header.fortran_order),
                ("|u1", false)
            );
            assert_eq!(header.shape, [7, 32, 32, 3]);
            assert_eq!(header.data_start, file.len());
        }
    }

    #[test]
    fn spelling_variants_are_read() {
        for text in [
            "{\"shape\":(7L,32L,32L),\"fortran_order\":False,\"descr\":\"|u1\"}",
            "{ 'fortran_order' : False , 'descr' : '|u1' , 'shape' : ( 7 , 32 , 32 , ) , }",
        ] {
            assert_eq!(header(text).unwrap().shape, [7, 32, 32], "{text}");
        }
        assert!(header(&array("()")).unwrap().shape.is_empty());
    }

    #[test]
    fn damaged_headers_are_refused() {
        for text in [
            "",
            "{",
            "{'descr': '|u1'}",
            "{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 32, 32)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1 2)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        ] {
            let error = header(text).unwrap_err().to_string();
            assert!(error.contains("header: expected a dictionary"), "{error}");
        }
        let mut too_long = npy(2, "{}");
        too_long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        for (file, expected) in [
            (b"PK\x03\x04".to_vec(), "magic: expected a .npy file"),
            (Vec::new(), "magic: expected a .npy file"),
            (MAGIC.to_vec(), "found the end of the file"),
            (npy(1, "{}")[..11].to_vec(), "found the end of the file"),
            (npy(9, "{}"), "version: expected 1, 2 or 3, found 9"),
            (too_long, "header length: expected at most 65536 bytes"),
        ] {
            let error = Header::parse(&file, "a.npy").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

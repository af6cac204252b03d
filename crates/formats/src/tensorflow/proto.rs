//! The wire format of protocol buffers: numbered fields, one after the other.

/// A field's content, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// The fields of a message, and `Err` once where it stops being one.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// Of the message in these bytes.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = field(&mut self.rest);
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| "a message that ends within a field".to_owned()))
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(rest)?;
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed64(fixed(rest)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Wire::Bytes(bytes)
        }
        5 => Wire::Fixed32(fixed(rest)?),
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

/// Takes a number off the start of `rest`: seven bits a byte, the lowest first, the eighth bit set in all but the
/// last.
pub(super) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 127);
        number |= bits << shift;
        if byte < 128 {
            // Of the tenth byte one bit is left.
            return (number >> shift == bits).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_wire_types() {
        let message = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x02, b'h', b'i'],
            &[0x1D, 1, 2, 3, 4],
            &[0x21, 1, 2, 3, 4, 5, 6, 7, 8],
        ]
        .concat();
        let read: Vec<_> = fields(&message).collect::<Result<_, _>>().unwrap();
        let expected = [
            (1, Wire::Varint(150)),
            (2, Wire::Bytes(b"hi")),
            (3, Wire::Fixed32([1, 2, 3, 4])),
            (4, Wire::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])),
        ];
        assert_eq!(read, expected);
        for end in [1, 2, 4, 6, 8, 13, 19] {
            assert!(fields(&message[..end]).any(|field| field.is_err()), "{end}");
        }
    }

    #[test]
    fn numbers_of_more_than_64_bits_are_none() {
        let largest = [&[0xFF; 9][..], &[1]].concat();
        assert_eq!(varint(&mut &largest[..]), Some(u64::MAX));
        let larger = [&[0xFF; 9][..], &[2]].concat();
        assert_eq!(varint(&mut &larger[..]), None);
        assert_eq!(varint(&mut &[0x80; 11][..]), None);
    }
}

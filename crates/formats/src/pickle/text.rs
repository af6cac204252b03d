//! Strings and numbers as protocol 0 writes them, in letters.

/// A Python string literal, with its quotes, as bytes.
pub(super) fn string_literal(line: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = line.split_first()?;
    let (&end, body) = rest.split_last()?;
    if end != quote || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut letters = body.iter().copied();
    while let Some(letter) = letters.next() {
        bytes.push(match letter {
            b'\\' => match letters.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => hex(&mut letters, 2)? as u8,
                same @ (b'\\' | b'\'' | b'"') => same,
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(bytes)
}

/// Text in Latin-1 with `\uXXXX` and `\UXXXXXXXX` for everything else ("raw-unicode-escape").
pub(super) fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&letter, after)) = rest.split_first() {
        let digits = match rest {
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            _ => 0,
        };
        if digits == 0 {
            text.push(char::from(letter));
            rest = after;
        } else {
            text.push(char::from_u32(hex(
                &mut rest[2..].iter().copied(),
                digits,
            )?)?);
            rest = &rest[2 + digits..];
        }
    }
    Some(text)
}

fn hex(letters: &mut impl Iterator<Item = u8>, digits: usize) -> Option<u32> {
    (0..digits).try_fold(0, |value, _| {
        Some(value << 4 | char::from(letters.next()?).to_digit(16)?)
    })
}

/// A decimal number, with or without Python 2's `L` at its end.
pub(super) fn integer(line: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(line).ok()?;
    text.strip_suffix('L').unwrap_or(text).parse().ok()
}

/// A decimal number with a fraction or an exponent.
pub(super) fn float(line: &[u8]) -> Option<f64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// A little-endian number in two's complement; no bytes at all are zero.
pub(super) fn long(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > size_of::<i128>() {
        return None;
    }
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut padded = [if negative { 0xFF } else { 0 }; size_of::<i128>()];
    padded[..bytes.len()].copy_from_slice(bytes);
    Some(i128::from_le_bytes(padded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_literals() {
        assert_eq!(string_literal(br"'a\x00\n\'\\'").unwrap(), b"a\0\n'\\");
        assert_eq!(string_literal(b"\"it's\"").unwrap(), b"it's");
        for damaged in [&b""[..], b"'", b"'a", b"'a\"", b"a", br"'\q'", br"'\x1'"] {
            assert_eq!(string_literal(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn raw_unicode_text() {
        assert_eq!(raw_unicode(b"a\xE9\\u20ac\\U0001f600").unwrap(), "aé€😀");
        for damaged in [&br"\u12"[..], br"\ud800", br"\Uffffffff"] {
            assert_eq!(raw_unicode(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(integer(b"-12L"), Some(-12));
        assert_eq!(integer(b"x"), None);
        for (bytes, value) in [
            (&[][..], 0),
            (&[0xFF], -1),
            (&[0xFF, 0], 255),
            (&[0, 0x80], -32768),
        ] {
            assert_eq!(long(bytes), Some(value));
        }
        assert_eq!(long(&[1; 17]), None);
    }
}

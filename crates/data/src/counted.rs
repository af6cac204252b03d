//! Numbers of things, in words.

/// "1 image", "2 images": `items` is a plural that ends in s.
pub fn counted(count: usize, items: &str) -> String {
    match count {
        1 => format!("1 {}", items.strip_suffix('s').unwrap_or(items)),
        _ => format!("{count} {items}"),
    }
}

/// The first ten of some names: "a, b", "a, b, c, d, e, f, g, h, i, j and 2 more".
pub fn some_of(names: &[String]) -> String {
    let shown = &names[..names.len().min(10)];
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(1, "images"), "1 image");
        assert_eq!(counted(0, "tiles"), "0 tiles");
        assert_eq!(counted(2, "photographs"), "2 photographs");
    }
}

//! Colours that are read on light and on dark pages.

use super::axis::Scale;

/// A colour on a light page and on a dark one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ink {
    /// Red, green, blue on white.
    pub light: [u8; 3],
    /// The same on nearly black.
    pub dark: [u8; 3],
}

impl Ink {
    const fn new(light: u32, dark: u32) -> Self {
        const fn rgb(hex: u32) -> [u8; 3] {
            [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8]
        }
        Self {
            light: rgb(light),
            dark: rgb(dark),
        }
    }

    /// Titles and values.
    pub const TEXT: Self = Self::new(0x1f2328, 0xe6edf3);
    /// Units, marks of the axes.
    pub const MUTED: Self = Self::new(0x59636e, 0x9aa4af);
    /// Lines that guide the eye.
    pub const GRID: Self = Self::new(0xe4e7ea, 0x2b323b);
    /// The axes.
    pub const AXIS: Self = Self::new(0x8c959f, 0x6b7580);
    /// What everything lies on.
    pub const SURFACE: Self = Self::new(0xffffff, 0x0f141a);

    /// For things that are told apart by name, the first being the most important. Okabe and Ito's
    /// colours, which every kind of colour vision tells apart, darker on white and lighter on black.
    pub const NAMED: [Self; 6] = [
        Self::new(0x0067a5, 0x56b4e9),
        Self::new(0xc24e00, 0xff9a4d),
        Self::new(0x00805c, 0x2fd0a0),
        Self::new(0xa8427f, 0xe79ac5),
        Self::new(0x7a6300, 0xe0cc4a),
        Self::new(0x4b5563, 0xb6bec8),
    ];

    /// For ordered things, `place` from 0 to 1: from violet to green, told apart by lightness alone.
    pub fn ordered(place: f64) -> Self {
        const LIGHT: [u32; 5] = [0x440154, 0x3b528b, 0x21918c, 0x3aa66e, 0x86b51f];
        const DARK: [u32; 5] = [0xb07cd8, 0x7f9be8, 0x45c4be, 0x6fe0a0, 0xd8ee6a];
        let at = place.clamp(0.0, 1.0) * (LIGHT.len() - 1) as f64;
        let below = (at as usize).min(LIGHT.len() - 2);
        let mix = |stops: &[u32; 5]| {
            let (from, to) = (
                Self::new(stops[below], 0).light,
                Self::new(stops[below + 1], 0).light,
            );
            std::array::from_fn(|i| {
                let between = Scale::new(
                    (below as f64, below as f64 + 1.0),
                    (f64::from(from[i]), f64::from(to[i])),
                );
                between.at(at).round() as u8
            })
        };
        Self {
            light: mix(&LIGHT),
            dark: mix(&DARK),
        }
    }
}

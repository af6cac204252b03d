//! Between grayscale and RGB.

/// Copies interleaved pixels of `from` channels into pixels of `to` channels, each 1 or 3.
///
/// RGB becomes grayscale by its luma (ITU-R BT.601, rounded), grayscale becomes RGB by repetition.
/// A gray pixel that goes to RGB and back keeps its value.
pub(crate) fn convert(pixels: &[u8], from: usize, out: &mut [u8], to: usize) {
    match (from, to) {
        (3, 1) => {
            for (rgb, gray) in pixels.chunks_exact(3).zip(out) {
                *gray = luma(rgb);
            }
        }
        (1, 3) => {
            for (&gray, rgb) in pixels.iter().zip(out.chunks_exact_mut(3)) {
                rgb.fill(gray);
            }
        }
        _ => out.copy_from_slice(pixels),
    }
}

/// 0.299 R + 0.587 G + 0.114 B, rounded.
fn luma(rgb: &[u8]) -> u8 {
    let weighted: u32 = rgb
        .iter()
        .zip([299, 587, 114])
        .map(|(&value, weight)| u32::from(value) * weight)
        .sum();
    ((weighted + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_survives_the_way_to_rgb_and_back() {
        let gray: Vec<u8> = (0..=255).collect();
        let mut rgb = vec![0; 3 * 256];
        convert(&gray, 1, &mut rgb, 3);
        assert_eq!(rgb[3..6], [1, 1, 1]);
        let mut back = vec![0; 256];
        convert(&rgb, 3, &mut back, 1);
        assert_eq!(back, gray);
    }

    #[test]
    fn luma_of_the_primaries() {
        let mut gray = [0; 3];
        convert(&[255, 0, 0, 0, 255, 0, 0, 0, 255], 3, &mut gray, 1);
        assert_eq!(gray, [76, 150, 29]);
    }
}

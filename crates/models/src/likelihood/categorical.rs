//! A softmax for each colour (PixelRNN, van den Oord et al., ICML 2016, section 3.3).

/// A softmax over the levels of each colour: the parameters of a pixel are logits, `[C, levels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categorical {
    /// Of a colour, a power of 2 up to 256: a value's upper bits.
    pub levels: usize,
    /// Colours C.
    pub channels: usize,
}

impl Categorical {
    /// The level of a byte.
    pub fn level(&self, byte: u8) -> usize {
        usize::from(byte) * self.levels / 256
    }

    /// The byte drawn with a number `u` in [0, 1).
    pub fn draw(&self, logits: &[f32], u: f64) -> u8 {
        self.byte(draw_level(logits, u))
    }

    /// The byte of the largest logit.
    pub fn most_likely(&self, logits: &[f32]) -> u8 {
        let levels = logits.iter().enumerate();
        let best = levels.max_by(|a, b| a.1.total_cmp(b.1));
        self.byte(best.map_or(0, |(level, _)| level))
    }

    /// The byte that stands for a level: 0 is black, the last one white.
    pub fn byte(&self, level: usize) -> u8 {
        let last = self.levels - 1;
        ((510 * level + last) / (2 * last)) as u8
    }
}

/// The level of a softmax: the number of steps of its cumulative distribution that are not above `u`.
fn draw_level(logits: &[f32], u: f64) -> usize {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |&logit: &f32| f64::from(logit - largest).exp();
    let total: f64 = logits.iter().map(weight).sum();
    let mut cumulative = 0.0;
    let passed = logits.iter().take_while(|&logit| {
        cumulative += weight(logit);
        cumulative / total <= u
    });
    passed.count().min(logits.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_for_their_levels() {
        for levels in [2, 32, 256] {
            let shape = Categorical {
                levels,
                channels: 1,
            };
            assert_eq!((shape.byte(0), shape.byte(levels - 1)), (0, 255));
            for level in 0..levels {
                assert_eq!(shape.level(shape.byte(level)), level, "{levels}");
            }
        }
    }

    #[test]
    fn levels_are_steps_of_the_cumulative_distribution() {
        // A quarter, a quarter, a half.
        let logits = [0.0, 0.0, 2.0_f32.ln()];
        for (u, level) in [
            (0.0, 0),
            (0.249, 0),
            (0.25, 1),
            (0.49, 1),
            (0.51, 2),
            (1.0, 2),
        ] {
            assert_eq!(draw_level(&logits, u), level, "{u}");
        }
    }
}

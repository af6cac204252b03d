//! The way between two vectors.

use proptest::prelude::*;
use vdvae::latents::slerp;

fn length(vector: &[f32]) -> f64 {
    vector
        .iter()
        .map(|&x| f64::from(x).powi(2))
        .sum::<f64>()
        .sqrt()
}

fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (2_usize..20).prop_flat_map(|n| {
        let vector = || prop::collection::vec(-5.0_f32..5.0, n);
        (vector(), vector())
    })
}

proptest! {
    #[test]
    fn the_way_starts_and_ends_exactly_and_its_length_is_between((a, b) in vectors(), t in 0.0..1.0_f64) {
        prop_assert_eq!(slerp(&a, &b, 0.0), a.clone());
        prop_assert_eq!(slerp(&a, &b, 1.0), b.clone());
        let between = slerp(&a, &b, t);
        prop_assume!(length(&a) > 0.0 && length(&b) > 0.0);
        let expected = length(&a) + t * (length(&b) - length(&a));
        prop_assert!((length(&between) - expected).abs() < 1e-5 * (1.0 + expected));
        // There as back.
        for (x, y) in between.iter().zip(slerp(&b, &a, 1.0 - t)) {
            prop_assert!((x - y).abs() < 1e-4);
        }
    }

    #[test]
    fn no_way_leaves_a_vector_to_itself((a, _) in vectors(), t in 0.0..1.0_f64) {
        prop_assert_eq!(slerp(&a, &a, t), a);
    }

    #[test]
    fn opposite_vectors_have_a_way((a, _) in vectors(), t in 0.0..1.0_f64, scale in 0.5_f32..2.0) {
        prop_assume!(length(&a) > 1e-3);
        let b: Vec<f32> = a.iter().map(|x| -scale * x).collect();
        let between = slerp(&a, &b, t);
        let expected = length(&a) + t * (length(&b) - length(&a));
        prop_assert!((length(&between) - expected).abs() < 1e-5 * (1.0 + expected), "{between:?}");
        prop_assert_eq!(slerp(&a, &b, t), between);
    }
}

#[test]
fn vectors_without_a_direction_have_a_straight_way() {
    assert_eq!(slerp(&[0.0, 0.0], &[2.0, 4.0], 0.5), [1.0, 2.0]);
    assert_eq!(slerp(&[0.0; 3], &[0.0; 3], 0.5), [0.0; 3]);
    assert_eq!(slerp(&[1.0], &[-1.0], 0.25), [0.5]);
    assert_eq!(slerp(&[1.0], &[3.0], 0.5), [2.0]);
    assert!(slerp(&[], &[], 0.5).is_empty());
    let quarter = slerp(&[1.0, 0.0], &[0.0, 1.0], 1.0 / 3.0);
    assert!((quarter[0] - 0.866_025).abs() < 1e-5 && (quarter[1] - 0.5).abs() < 1e-5);
}

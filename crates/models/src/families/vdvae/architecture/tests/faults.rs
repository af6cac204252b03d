//! Every fault of a description, and what is said about it.

use super::*;

/// The message for `plain32` after `change`.
fn fault(change: impl FnOnce(&mut VdvaeConfig)) -> String {
    let mut model = plain32();
    change(&mut model);
    match Architecture::try_from(&model) {
        Ok(_) => panic!("accepted: {model:?}"),
        Err(error) => error.to_string(),
    }
}

fn enc_fault(blocks: &str) -> String {
    fault(|model| model.enc_blocks = blocks.into())
}

fn dec_fault(blocks: &str) -> String {
    fault(|model| model.dec_blocks = blocks.into())
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn a_fault_shows_the_whole_string_and_points() {
    let message = dec_fault("1x1,4m1,8m3,32x1");
    let expected = "model.dec_blocks: part 3 `8m3`: mixes in resolution 3, at which no block before works; \
                    expected one of 1, 4\n    1x1,4m1,8m3,32x1\n            ^^^";
    assert_eq!(message, expected);
}

#[test]
fn faults_of_syntax() {
    let form = "expected RxN (N blocks at resolution R)";
    for (blocks, part) in [
        ("", "part 1 ``"),
        ("32x2,", "part 2 ``"),
        ("32x", "`32x`"),
        ("x3", "`x3`"),
        ("32y2", "`32y2`"),
        ("32x2x2", "`32x2x2`"),
        ("32x-1", "`32x-1`"),
        ("32 x2", "`32 x2`"),
        ("32x２", "`32x２`"),
    ] {
        assert_says(&enc_fault(blocks), &["model.enc_blocks", part, form]);
        assert_says(&dec_fault(blocks), &["model.dec_blocks", part, form]);
    }
    assert_says(&enc_fault("32m16"), &["mixing in belongs in dec_blocks"]);
    assert_says(&dec_fault("32d2"), &["pooling belongs in enc_blocks"]);
}

#[test]
fn faults_of_numbers() {
    assert_says(
        &enc_fault("32x0"),
        &["expected a number of blocks from 1 to 1000"],
    );
    assert_says(&enc_fault("0x2"), &["expected a resolution from 1 to 8192"]);
    assert_says(&enc_fault("32d0"), &["expected a pooling rate from 1"]);
    assert_says(&dec_fault("4m0"), &["expected a resolution from 1"]);
    assert_says(
        &enc_fault("32x99999999999999999999999"),
        &["number of blocks from 1 to 1000"],
    );
    assert_says(
        &enc_fault("32x600,32x600"),
        &["part 2", "at most 1000 blocks"],
    );
}

#[test]
fn faults_of_the_encoder() {
    let start = enc_fault("16x2,16d2");
    assert_says(
        &start,
        &[
            "part 1 `16x2`",
            "starts at image_size; expected resolution 32",
        ],
    );
    let chain = enc_fault("32x2,32d2,8x1");
    assert_says(
        &chain,
        &["part 3 `8x1`", "leave resolution 16; expected that"],
    );
    let divide = fault(|model| {
        model.image_size = 48;
        model.enc_blocks = "48d2,24d2,12d2,6d4".into();
    });
    assert_says(
        &divide,
        &[
            "part 4 `6d4`",
            "cannot be pooled by 4; expected one of 2, 3, 6",
        ],
    );
    assert_says(
        &enc_fault("32d1"),
        &["cannot be pooled by 1; expected one of 2, 4, 8, 16, 32"],
    );
    assert_says(
        &enc_fault("32d32,1d2"),
        &["resolution 1 cannot be pooled; expected 1xN"],
    );
}

#[test]
fn faults_of_the_decoder() {
    let never = dec_fault("2x1,4m2,32m4");
    assert_says(
        &never,
        &[
            "part 1 `2x1`",
            "never produces resolution 2; expected one of 1, 4, 8, 16, 32",
        ],
    );
    assert_says(
        &dec_fault("4m1,32m4"),
        &["part 1", "expected 4xN, as there is nothing"],
    );
    assert_says(
        &dec_fault("1x1,16m8,32m16"),
        &["part 2", "no block before works; expected one of 1"],
    );
    assert_says(
        &dec_fault("1x1,4m1,4m4,32m4"),
        &["part 3", "cannot be enlarged to 4; expected one of 1"],
    );
    assert_says(
        &dec_fault("1x1,8m1,4m8,32m4"),
        &["part 3", "cannot be enlarged to 4"],
    );
    assert_says(
        &dec_fault("1x1,16m1"),
        &["part 2", "must end at image_size; expected resolution 32"],
    );
    let no_bias = fault(|model| {
        model.no_bias_above = 2;
        model.dec_blocks = "4x1,32m4".into();
    });
    assert_says(
        &no_bias,
        &["part 1 `4x1`", "no_bias_above is 2", "at least 4"],
    );
}

#[test]
fn a_pooling_that_never_reaches_the_decoders_first_resolution() {
    let message = fault(|model| {
        model.image_size = 48;
        model.enc_blocks = "48x1,48d2,24d2,12d2,6d2".into();
        model.dec_blocks = "1x1,48m1".into();
    });
    assert_says(
        &message,
        &["never produces resolution 1; expected one of 3, 6, 12, 24, 48"],
    );
}

#[test]
fn faults_of_the_widths() {
    let custom = |text: &str| fault(|model| model.custom_width_str = text.into());
    for text in [
        "16",
        "16:",
        ":24",
        "16:x",
        "16:24:2",
        "16:+4",
        "16:24,,8:32",
    ] {
        assert_says(
            &custom(text),
            &["model.custom_width_str", "expected RESOLUTION:WIDTH"],
        );
    }
    assert_says(&custom("16:0"), &["expected a width from 1 to 16384"]);
    assert_says(
        &custom("2:64"),
        &["the model has no resolution 2; expected one of 1, 4, 8"],
    );
    assert_says(
        &custom("4:64,4:48"),
        &["part 2", "was given the width 64 before"],
    );
    assert_says(&custom("32:64"), &["`width` = 32", "expected 32:32 here"]);
    let shrinks = custom("16:24");
    assert_says(
        &shrinks,
        &[
            "enc_blocks",
            "`32d2`",
            "32 channels into 24",
            "at least 32 at resolution 16",
        ],
    );
}

#[test]
fn values_outside_their_ranges() {
    let value = |change: fn(&mut VdvaeConfig), says: &str| assert_says(&fault(change), &[says]);
    value(
        |m| m.image_size = 0,
        "model.image_size: expected a whole number from 1 to 8192, found 0",
    );
    value(|m| m.image_size = usize::MAX, "model.image_size: expected");
    value(|m| m.width = 0, "model.width: expected");
    value(|m| m.zdim = 0, "model.zdim: expected");
    value(|m| m.num_mixtures = 0, "model.num_mixtures: expected");
    value(
        |m| m.bottleneck_multiple = 0.0,
        "model.bottleneck_multiple: expected",
    );
    value(|m| m.bottleneck_multiple = f64::NAN, "found NaN");
    value(|m| m.bottleneck_multiple = 0.01, "at least 1/32");
    value(
        |m| m.image_channels = 2,
        "3 (RGB) or 1 (grayscale) with likelihood dmol, found 2",
    );
    value(
        |m| m.likelihood = LikelihoodKind::Bernoulli,
        "1 with likelihood bernoulli, found 3",
    );
}

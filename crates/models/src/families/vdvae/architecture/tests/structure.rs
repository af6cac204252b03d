//! What the strings mean.

use super::*;

#[test]
fn published_strings_print_back() {
    for preset in VDVAE.presets() {
        let model = config(preset);
        let architecture = build(&model);
        assert_eq!(enc_string(&architecture.enc_blocks), model.enc_blocks);
        assert_eq!(dec_string(&architecture.dec_blocks), model.dec_blocks);
    }
}

#[test]
fn blocks_mean_what_the_string_says() {
    let architecture = build(&VdvaeConfig {
        enc_blocks: " 32 , 32d4, 8x2 ,8d8".into(),
        dec_blocks: "1,8m1,32m8".into(),
        ..plain32()
    });
    let enc = |resolution, down_rate| EncBlock {
        resolution,
        down_rate,
    };
    let dec = |resolution, mixin| DecBlock { resolution, mixin };
    let expected = [
        enc(32, None),
        enc(32, Some(4)),
        enc(8, None),
        enc(8, None),
        enc(8, Some(8)),
    ];
    assert_eq!(architecture.enc_blocks, expected);
    assert_eq!(
        architecture.dec_blocks,
        [dec(1, None), dec(8, Some(1)), dec(32, Some(8))]
    );
    assert_eq!(expected[4].resolution_after(), 1);
    assert_eq!(architecture.dec_resolutions(), [1, 8, 32]);
}

#[test]
fn widths_kernels_and_biases() {
    let architecture = preset("ffhq1024");
    let widths = [1024, 512, 256, 128, 1].map(|r| architecture.width_at(r));
    assert_eq!(widths, [16, 32, 64, 512, 512]);
    assert_eq!(architecture.mid_at(1024), 4);
    assert_eq!([1, 2, 4].map(|r| architecture.kernel_at(r)), [1, 1, 3]);
    assert_eq!(architecture.bias_resolutions(), [1, 4, 8, 16, 32, 64]);
    assert_eq!(build(&widths32()).bias_resolutions(), [1, 4, 8]);
    assert_eq!(architecture.dimensions(), 1024 * 1024 * 3);
}

#[test]
fn a_middle_width_is_rounded_down() {
    let model = VdvaeConfig {
        width: 27,
        ..plain32()
    };
    assert_eq!(build(&model).mid_at(32), 6);
}

#[test]
fn output_channels() {
    let with = |likelihood, image_channels| {
        let model = VdvaeConfig {
            likelihood,
            image_channels,
            ..plain32()
        };
        build(&model).out_channels()
    };
    assert_eq!(with(LikelihoodKind::Dmol, 3), 50);
    assert_eq!(with(LikelihoodKind::Dmol, 1), 15);
    assert_eq!(with(LikelihoodKind::Bernoulli, 1), 1);
}

#[test]
fn a_resolution_without_mixin_starts_from_nothing_and_is_allowed() {
    let model = VdvaeConfig {
        dec_blocks: "1x1,4m1,32x2".into(),
        ..plain32()
    };
    assert_eq!(build(&model).stochastic_depth(), 4);
}

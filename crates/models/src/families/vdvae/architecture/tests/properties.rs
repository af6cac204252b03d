//! Random descriptions, possible and not.

use proptest::prelude::*;

use super::*;

/// A random chain of pooling rates, blocks before each, and a decoder back up through a random
/// subset of the resolutions.
fn possible() -> impl Strategy<Value = VdvaeConfig> {
    let stages = prop::collection::vec((2usize..5, 0usize..3), 1..5);
    (stages, 1usize..4, any::<u16>(), 1usize..3).prop_map(|(stages, last, keep, repeats)| {
        let image_size: usize = stages.iter().map(|(rate, _)| rate).product();
        let (mut enc, mut at) = (Vec::new(), image_size);
        let mut resolutions = vec![image_size];
        for (rate, blocks) in stages {
            let resolution = at;
            enc.extend(vec![
                EncBlock {
                    resolution,
                    down_rate: None
                };
                blocks
            ]);
            enc.push(EncBlock {
                resolution,
                down_rate: Some(rate),
            });
            at /= rate;
            resolutions.push(at);
        }
        enc.extend(vec![
            EncBlock {
                resolution: at,
                down_rate: None
            };
            last
        ]);
        resolutions.reverse();
        let (mut dec, mut mixin) = (Vec::new(), None);
        for (i, resolution) in resolutions.into_iter().enumerate() {
            if resolution != image_size && keep >> i & 1 == 0 {
                continue;
            }
            dec.push(DecBlock { resolution, mixin });
            dec.extend(vec![
                DecBlock {
                    resolution,
                    mixin: None
                };
                repeats
            ]);
            mixin = Some(resolution);
        }
        let (enc_blocks, dec_blocks) = (enc_string(&enc), dec_string(&dec));
        let no_bias_above = MAX_RESOLUTION;
        VdvaeConfig {
            image_size,
            enc_blocks,
            dec_blocks,
            no_bias_above,
            ..plain32()
        }
    })
}

proptest! {
    #[test]
    fn possible_strings_parse_and_print_back(model in possible()) {
        let architecture = build(&model);
        prop_assert_eq!(enc_string(&architecture.enc_blocks), &*model.enc_blocks);
        prop_assert_eq!(dec_string(&architecture.dec_blocks), &*model.dec_blocks);
        let shares = shares(&VdvaePlan::new(model).expect("possible"));
        prop_assert_eq!(shares.len(), architecture.dec_resolutions().len());
        prop_assert_eq!(shares.last().map(|share| share.cumulative_share), Some(1.0));
    }

    #[test]
    fn a_mixin_has_the_channels_that_are_taken_of_it(widths in prop::collection::vec(20usize..50, 4)) {
        let [a, b, c, d] = widths[..] else { unreachable!("four widths") };
        let custom_width_str = format!("16:{a},8:{b},4:{c},1:{d}");
        let model = Architecture::try_from(&VdvaeConfig { custom_width_str, ..plain32() });
        prop_assert_eq!(model.is_ok(), 32 <= a && a <= b && b <= c && c <= d);
        for block in model.iter().flat_map(|model| &model.dec_blocks) {
            let (Ok(model), Some(mixin)) = (&model, block.mixin) else { continue };
            prop_assert!(model.width_at(mixin) >= model.width_at(block.resolution));
        }
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(
        enc_blocks in "[0-9xmd, ]{0,20}|\\PC{0,20}",
        dec_blocks in "[0-9xmd, ]{0,20}|\\PC{0,20}",
        custom_width_str in "[0-9:, ]{0,20}|\\PC{0,20}",
        image_size in 0usize..70,
    ) {
        let strings = VdvaeConfig { enc_blocks, dec_blocks, custom_width_str, ..plain32() };
        let possible = VdvaeConfig { image_size, ..plain32() };
        for model in [
            VdvaeConfig { image_size, ..strings.clone() },
            VdvaeConfig { enc_blocks: strings.enc_blocks, ..possible.clone() },
            VdvaeConfig { dec_blocks: strings.dec_blocks, ..possible.clone() },
            VdvaeConfig { custom_width_str: strings.custom_width_str, ..possible },
        ] {
            match Architecture::try_from(&model) {
                Ok(architecture) => prop_assert!(architecture.parameters() > 0),
                Err(error) => prop_assert!(error.to_string().contains("model.")),
            }
        }
    }
}

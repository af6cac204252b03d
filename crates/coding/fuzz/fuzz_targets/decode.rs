//! The codecs on any stream and any parameters: what is popped can be pushed, and the coder is
//! as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use vdvae_coding::{Coder, LatentCodec, Normals, PixelCodec, PixelShape, Stream};

/// Its tables take longer than a run.
static LATENTS: LazyLock<LatentCodec> =
    LazyLock::new(|| LatentCodec::new(10).expect("10 bits are possible"));

fuzz_target!(|input: (u64, Vec<u32>, [u32; 4], [u32; 10])| {
    let (state, words, latent, pixel) = input;
    let stream = Stream {
        state,
        words,
        seed_words: 0,
    };
    let Ok(mut coder) = Coder::from_stream(stream.clone()) else {
        return;
    };
    let [pm, pv, qm, qv] = latent.map(|bits| [f32::from_bits(bits)]);
    let prior = Normals {
        mean: &pm,
        log_sigma: &pv,
    };
    let posterior = Normals {
        mean: &qm,
        log_sigma: &qv,
    };
    let parameters = pixel.map(f32::from_bits);
    let latents = &*LATENTS;
    let shape = PixelShape {
        mixtures: 1,
        colours: 3,
        bits: 8,
    };
    let mut pixels = PixelCodec::new(shape).expect("the shape is possible");
    let (mut from_prior, mut from_posterior, mut levels) = ([0], [0], [0; 3]);
    let popped = latents
        .pop_posterior(&mut coder, prior, posterior, &mut from_posterior)
        .and_then(|()| latents.pop_prior(&mut coder, &mut from_prior))
        .and_then(|()| pixels.pop(&mut coder, &parameters, &mut levels, None));
    if popped.is_err() {
        return;
    }
    pixels
        .push(&mut coder, &parameters, &levels, None)
        .expect("was popped");
    latents
        .push_prior(&mut coder, &from_prior)
        .expect("was popped");
    latents
        .push_posterior(&mut coder, prior, posterior, &from_posterior)
        .expect("was popped");
    assert_eq!(coder.into_stream(), stream);
});

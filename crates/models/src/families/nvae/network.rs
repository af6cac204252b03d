//! The whole network: which parts there are, and how an image passes them (figure 2 of the paper).

use burn::tensor::Tensor;

use super::config::NvaeConfig;
use super::flow::Flow;
use super::layers::{Builder, Cell, Conv, ConvShape, Kernel, Mode, Seen, Way};
use super::spectral::Spectral;
use crate::family::LatentLayer;
use crate::likelihood::LikelihoodKind;
use crate::ops::elu;
use crate::parameters::TensorSpec;
use crate::store::{Id, Store};

/// Channels inside a decoder's cell, over those outside.
const DECODER_EXPANSION: usize = 6;
/// The same of the cells after the decoder.
const POSTPROCESS_EXPANSION: usize = 3;

/// The parts, without their numbers.
#[derive(Clone, Debug)]
pub struct Network {
    stem: Conv,
    pre_process: Vec<Cell>,
    enc_tower: Vec<Bottom>,
    enc0: Conv,
    /// Top-down.
    pub groups: Vec<Group>,
    /// Where the state starts, [1, R, R, C].
    start: Id<4>,
    pub post_process: Vec<Cell>,
    image_conditional: Conv,
    /// What training minimises beside the images' cost.
    pub spectral: Spectral,
    /// The scale of every batch norm.
    pub gammas: Vec<Id<1>>,
    /// Pairs of flows of a group.
    pub latent_channels: usize,
    pub res_dist: bool,
}

/// A step of the encoder's tower.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are as many as cells")]
enum Bottom {
    Cell(Cell),
    /// Here a group of latents looks at the image; the tower itself passes by.
    Combiner,
}

/// A group of latents, and what lies between it and the one above.
#[derive(Clone, Debug)]
pub struct Group {
    /// Cells that the state passes before it, those that double the resolution among them.
    pub cells: Vec<Cell>,
    /// From the decoder's state to what is added to the encoder's; the first group has none.
    pub enc_combiner: Option<Conv>,
    /// To the parameters of the posterior.
    pub enc_sampler: Conv,
    /// To those of the prior, which is standard normal for the first group.
    pub dec_sampler: Option<Conv>,
    pub flows: Vec<Flow>,
    /// Takes the latents in.
    pub dec_combiner: Conv,
    /// Its weight in the balanced KL is divided by this.
    pub alpha: f64,
    pub shape: LatentLayer,
}

/// A network, its tensors, and what was counted while it was built.
#[derive(Debug)]
pub struct Built {
    pub network: Network,
    pub store: Store,
    /// Operations for one image: of the encoder and the posteriors, and of what a sample needs.
    pub inference: f64,
    pub generation: f64,
    /// Numbers kept for the backward pass of one image.
    pub kept: u64,
}

impl Network {
    /// Builds a network into `store`, in the published order of modules. `config` was checked.
    pub fn build(config: &NvaeConfig, store: Store) -> Built {
        let mut builder = Builder::new(store, config.use_se);
        let b = &mut builder;
        let (ce, cd) = (config.num_channels_enc, config.num_channels_dec);
        let halvings = config.halvings();
        let groups = config.groups();
        let side_at = |multiple: usize| config.image_size / multiple;

        let side = side_at(1 << halvings);
        let spec = TensorSpec::grid("prior_ftr0", &[cd << halvings, side, side]);
        let start = b.store.add(spec, |generator, count| {
            let both = crate::store::uniform(generator, count, 0.5);
            both.into_iter().map(|number| number + 0.5).collect()
        });

        let stem = ConvShape::new(config.image_channels, ce, 3);
        let stem = b.conv("stem", stem, config.image_size);
        let mut pre_process = Vec::new();
        // Channels over those at the image's resolution, which is that of the image divided by it.
        let mut multiple = 1;
        for _ in 0..config.num_preprocess_blocks {
            for cell in 0..config.num_preprocess_cells {
                let name = format!("pre_process.{}", pre_process.len());
                let channels = ce * multiple;
                if cell + 1 < config.num_preprocess_cells {
                    let side = side_at(multiple);
                    pre_process.push(b.residual(&name, [channels; 2], Way::Same, side));
                } else {
                    multiple *= 2;
                    let channels = [channels, 2 * channels];
                    pre_process.push(b.residual(&name, channels, Way::Down, side_at(multiple)));
                }
            }
        }

        let (enc_tower, mut combiners) = encoder_tower(b, config, &groups, &mut multiple);
        let top = ConvShape::new(ce * multiple, ce * multiple, 1);
        let enc0 = b.conv("enc0.1", top, side_at(multiple));

        // The multiple of every group, and its place among the resolutions, top-down.
        let places: Vec<(usize, usize)> = groups
            .iter()
            .rev()
            .enumerate()
            .flat_map(|(scale, &count)| std::iter::repeat_n((multiple >> scale, scale), count))
            .collect();
        let z = config.num_latent_per_group;
        let enc_samplers: Vec<Conv> = (0..)
            .zip(&places)
            .map(|(group, &(multiple, _)): (usize, _)| {
                let shape = ConvShape::new(ce * multiple, 2 * z, 3);
                b.conv(&format!("enc_sampler.{group}"), shape, side_at(multiple))
            })
            .collect();
        let inference = b.operations;
        let mut dec_samplers: Vec<Option<Conv>> = vec![None];
        dec_samplers.extend(
            (0..)
                .zip(&places[1..])
                .map(|(group, &(multiple, _)): (usize, _)| {
                    let shape = ConvShape::new(cd * multiple, 2 * z, 1);
                    Some(b.conv(&format!("dec_sampler.{group}.1"), shape, side_at(multiple)))
                }),
        );
        let before_flows = b.operations;
        let mut flows: Vec<Vec<Flow>> = Vec::new();
        for (group, &(multiple, _)) in places.iter().enumerate() {
            let number = |flow| group * config.num_nf + flow;
            let flow = |i| Flow::new(b, &format!("nf_cells.{}", number(i)), z, side_at(multiple));
            flows.push((0..config.num_nf).map(flow).collect());
        }
        let of_flows = b.operations - before_flows;

        let mut tower = 0;
        let mut next = |what: &str| {
            tower += 1;
            format!("dec_tower.{}{what}", tower - 1)
        };
        let mut all = Vec::new();
        let parts = enc_samplers.into_iter().zip(dec_samplers).zip(flows);
        for (group, (((enc_sampler, dec_sampler), flows), &(at, scale))) in
            parts.zip(&places).enumerate()
        {
            let side = side_at(at);
            let mut cells = Vec::new();
            if at < multiple {
                let channels = [cd * multiple, cd * at];
                cells.push(b.inverted(&next(""), channels, DECODER_EXPANSION, Way::Up, side));
                multiple = at;
            }
            if group > 0 {
                for _ in 0..config.num_cell_per_cond_dec {
                    let channels = [cd * at; 2];
                    cells.push(b.inverted(&next(""), channels, DECODER_EXPANSION, Way::Same, side));
                }
            }
            let combiner = ConvShape::new(cd * at + z, cd * at, 1);
            all.push(Group {
                cells,
                enc_combiner: (group > 0).then(|| combiners.pop()).flatten(),
                enc_sampler,
                dec_sampler,
                flows,
                dec_combiner: b.conv(&next(".conv"), combiner, side),
                alpha: 4.0_f64.powi(scale as i32) / groups[groups.len() - 1 - scale] as f64,
                shape: LatentLayer {
                    resolution: side,
                    channels: z,
                },
            });
        }
        let least = all
            .iter()
            .map(|group| group.alpha)
            .fold(f64::INFINITY, f64::min);
        for group in &mut all {
            group.alpha /= least;
        }

        let mut post_process = Vec::new();
        for _ in 0..config.num_postprocess_blocks {
            for cell in 0..config.num_postprocess_cells {
                let name = format!("post_process.{}", post_process.len());
                let (way, channels) = if cell == 0 {
                    multiple /= 2;
                    (Way::Up, [2 * cd * multiple, cd * multiple])
                } else {
                    (Way::Same, [cd * multiple; 2])
                };
                let side = side_at(multiple);
                post_process.push(b.inverted(&name, channels, POSTPROCESS_EXPANSION, way, side));
            }
        }
        let outputs = match (config.likelihood, config.image_channels) {
            (LikelihoodKind::Bernoulli, channels) => channels,
            (LikelihoodKind::Dmol, 1) => 3 * config.num_mixtures,
            (LikelihoodKind::Dmol, _) => 10 * config.num_mixtures,
        };
        let output = ConvShape::new(cd * multiple, outputs, 3);
        let image_conditional = b.conv("image_conditional.1", output, config.image_size);

        let generation = b.operations - inference - of_flows;
        let kernels: Vec<Kernel> = std::mem::take(&mut b.kernels);
        let spectral = Spectral::new(kernels, &mut b.store);
        let network = Self {
            stem,
            pre_process,
            enc_tower,
            enc0,
            groups: all,
            start,
            post_process,
            image_conditional,
            spectral,
            gammas: std::mem::take(&mut b.gammas),
            latent_channels: z,
            res_dist: config.res_dist,
        };
        Built {
            network,
            inference: inference + of_flows,
            generation,
            kept: builder.kept,
            store: builder.store,
        }
    }

    /// What `input` [B, S, S, C] in [-1, 1] tells each group, by its number: for the first the top of the
    /// tower, for the others the tower where the group looks at it.
    pub fn encode(
        &self,
        store: &Store,
        input: Tensor<4>,
        mode: Mode,
        seen: &mut Seen,
    ) -> Vec<Tensor<4>> {
        let mut s = self.stem.forward(store, input);
        for cell in &self.pre_process {
            s = cell.forward(store, s, mode, seen);
        }
        let mut passed = Vec::with_capacity(self.groups.len());
        for step in &self.enc_tower {
            match step {
                Bottom::Cell(cell) => s = cell.forward(store, s, mode, seen),
                Bottom::Combiner => passed.push(s.clone()),
            }
        }
        passed.push(elu(self.enc0.forward_of_elu(store, s)));
        passed.reverse();
        passed
    }

    /// Where the top-down state begins, for so many images.
    pub fn start(&self, store: &Store, batch: usize) -> Tensor<4> {
        store.get(self.start).repeat_dim(0, batch)
    }

    /// The likelihood's parameters of the last group's state, [B, S, S, P].
    pub fn output(
        &self,
        store: &Store,
        mut s: Tensor<4>,
        mode: Mode,
        seen: &mut Seen,
    ) -> Tensor<4> {
        for cell in &self.post_process {
            s = cell.forward(store, s, mode, seen);
        }
        self.image_conditional.forward_of_elu(store, s)
    }
}

/// The cells of the encoder, and the combiners at its places, from the image upwards.
fn encoder_tower(
    b: &mut Builder,
    config: &NvaeConfig,
    groups: &[usize],
    multiple: &mut usize,
) -> (Vec<Bottom>, Vec<Conv>) {
    let (ce, cd) = (config.num_channels_enc, config.num_channels_dec);
    let (mut tower, mut combiners) = (Vec::new(), Vec::new());
    for (scale, &count) in groups.iter().enumerate() {
        let last_scale = scale + 1 == groups.len();
        for group in 0..count {
            let (channels, side) = (ce * *multiple, config.image_size / *multiple);
            for _ in 0..config.num_cell_per_cond_enc {
                let name = format!("enc_tower.{}", tower.len());
                let cell = b.residual(&name, [channels; 2], Way::Same, side);
                tower.push(Bottom::Cell(cell));
            }
            if !(last_scale && group + 1 == count) {
                let name = format!("enc_tower.{}.conv", tower.len());
                let shape = ConvShape::new(cd * *multiple, channels, 1);
                combiners.push(b.conv(&name, shape, side));
                tower.push(Bottom::Combiner);
            }
        }
        if !last_scale {
            let channels = ce * *multiple;
            *multiple *= 2;
            let name = format!("enc_tower.{}", tower.len());
            let side = config.image_size / *multiple;
            let cell = b.residual(&name, [channels, 2 * channels], Way::Down, side);
            tower.push(Bottom::Cell(cell));
        }
    }
    (tower, combiners)
}

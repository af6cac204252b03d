//! The names that the published TensorFlow code of PixelCNN++ and PixelSNAIL gives its variables, which count layers of
//! each kind in the order of creation: `model/conv2d_N/{V,g,b}`, `model/dense_N/{V,g,b}` (1x1 convolutions),
//! `model/deconv2d_N/{V,g,b}`, `model/conditional_weights_N/hw`.

use std::collections::HashMap;

use crate::parameters::TensorSpec;

/// For each tensor of a plan, in the order of creation, its variable: under its name, with the shape that checkpoints
/// have in memory's place and that of the plan's files in files'.
pub fn variables(tensors: &[TensorSpec]) -> Vec<TensorSpec> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut scope = String::new();
    let mut variable = |tensor: &TensorSpec| {
        let (layer, part) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
        let file = &tensor.shape;
        let kind = match part {
            "weight_v" if layer.ends_with(".deconv") => Some("deconv2d"),
            "weight_v" if file[2..].iter().all(|&side| side == 1) => Some("dense"),
            "weight_v" => Some("conv2d"),
            "hw" => Some("conditional_weights"),
            _ => None,
        };
        if let Some(kind) = kind {
            let count = counts.entry(kind).or_default();
            scope = format!("model/{kind}_{count}");
            *count += 1;
        }
        let named = |part: &str, shape: &[usize], axes| {
            TensorSpec::new(format!("{scope}/{part}"), file, shape, axes)
        };
        let numbers = file.iter().product();
        match (part, kind) {
            // The other way round in files: [C_out, C_in], and [kh, kw] after the channels.
            ("weight_v", Some("dense")) => named("V", &[file[1], file[0]], vec![1, 0]),
            ("weight_v", _) => {
                let shape = [file[2], file[3], file[1], file[0]];
                named("V", &shape, vec![3, 2, 0, 1])
            }
            ("weight_g", _) => named("g", &[numbers], vec![0]),
            ("hw", _) => named("hw", file, vec![0, 1]),
            _ => named("b", &[numbers], vec![0]),
        }
    };
    tensors.iter().map(&mut variable).collect()
}

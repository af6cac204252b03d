//! Numbers of the presets, and what is refused.

use super::config::PixelCnnConfig;
use super::plan::PixelCnnPlan;
use crate::family::{Coding, Plan};
use crate::ops::{Compute, Dtype};
use crate::ordered::layers::Norm;

fn tiny() -> PixelCnnConfig {
    PixelCnnConfig {
        image_size: 8,
        image_channels: 3,
        nr_resnet: 1,
        nr_filters: 4,
        nr_logistic_mix: 2,
        dropout: 0.5,
        deconv_norm: Norm::Output,
        classes: 0,
    }
}

/// The published numbers, to the digit; with classes a term of 320 numbers for each of 10 in 64 blocks more.
#[test]
fn parameters_of_the_presets() {
    for (name, parameters) in [
        ("cifar10", 53_659_080),
        ("cifar10_classes", 53_659_080 + 64 * 10 * 320),
        ("photos32", 577_060),
    ] {
        let preset = crate::registry::presets()
            .find(|preset| preset.path() == format!("pixelcnnpp/{name}"))
            .expect("a preset");
        let table: toml::Table = preset.text.parse().expect("TOML");
        let mut model = table["model"].as_table().expect("a table").clone();
        model.remove(crate::registry::KEY);
        let plan = PixelCnnPlan::new(crate::family::read(&model).unwrap()).unwrap();
        assert_eq!(plan.parameters(), parameters, "{name}");
        if name == "cifar10" {
            // Two for each multiply-add, as counted by running the published graph.
            let giga = plan.operations().evaluation / 1e9;
            assert!((giga - 48.74).abs() < 0.05, "{giga} GFLOP");
        }
    }
}

/// One per kind of wrong value: the message names the key.
#[test]
fn impossible_models_are_refused() {
    type Change = fn(&mut PixelCnnConfig);
    let faults: [(&str, Change); 9] = [
        ("model.image_size", |c| c.image_size = 18),
        ("model.image_size", |c| c.image_size = 0),
        ("model.image_channels", |c| c.image_channels = 2),
        ("model.nr_resnet", |c| c.nr_resnet = 0),
        ("model.nr_filters", |c| c.nr_filters = 5000),
        ("model.nr_logistic_mix", |c| c.nr_logistic_mix = 0),
        ("model.dropout", |c| c.dropout = 1.0),
        ("model.dropout", |c| c.dropout = f64::NAN),
        ("model.classes", |c| c.classes = 1),
    ];
    for (key, change) in faults {
        let mut config = tiny();
        change(&mut config);
        let error = PixelCnnPlan::new(config).expect_err(key).to_string();
        assert!(error.starts_with(key) && error.contains("found"), "{error}");
    }
}

#[test]
fn there_are_no_latents_and_one_way_to_compute() {
    let plan = PixelCnnPlan::new(tiny()).unwrap();
    assert_eq!(plan.coding(), Ok(Coding::InOrder));
    assert!(plan.latents().is_err());
    assert_eq!(plan.passes_per_sample(), 64);
    assert!(plan.computes(&Compute::default()).is_ok());
    let checkpointed = Compute {
        checkpoint_activations: true,
        ..Compute::default()
    };
    let bf16 = Compute {
        dtype: Dtype::Bf16,
        ..Compute::default()
    };
    assert!(plan.computes(&checkpointed).is_err() && plan.computes(&bf16).is_err());
}

/// Names and shapes as the published code, executed, was found to number them.
#[test]
fn variables_are_numbered_in_the_order_of_creation() {
    let plan = PixelCnnPlan::new(PixelCnnConfig {
        image_size: 32,
        nr_resnet: 5,
        nr_filters: 160,
        nr_logistic_mix: 10,
        classes: 10,
        ..tiny()
    });
    let plan = plan.unwrap();
    let variables = plan.variables().expect("the original code");
    let tensors = plan.tensors();
    for (name, variable, shape) in [
        (
            "u_init.conv.weight_v",
            "model/conv2d_0/V",
            &[2, 3, 4, 160][..],
        ),
        ("ul_init.1.conv.bias", "model/conv2d_2/b", &[160]),
        (
            "up_layers.0.ul_stream.0.nin_skip.lin_a.weight_v",
            "model/dense_0/V",
            &[320, 160],
        ),
        (
            "downsize_u_stream.0.conv.weight_v",
            "model/conv2d_23/V",
            &[2, 3, 160, 160],
        ),
        (
            "downsize_ul_stream.1.conv.weight_v",
            "model/conv2d_46/V",
            &[2, 2, 160, 160],
        ),
        (
            "down_layers.0.ul_stream.0.nin_skip.lin_a.weight_v",
            "model/dense_16/V",
            &[640, 160],
        ),
        (
            "upsize_ul_stream.0.deconv.weight_v",
            "model/deconv2d_1/V",
            &[2, 2, 160, 160],
        ),
        (
            "down_layers.1.u_stream.0.conv_input.conv.weight_v",
            "model/conv2d_87/V",
            &[2, 3, 320, 160],
        ),
        (
            "upsize_u_stream.1.deconv.weight_g",
            "model/deconv2d_2/g",
            &[160],
        ),
        (
            "down_layers.2.ul_stream.5.conv_out.conv.weight_v",
            "model/conv2d_134/V",
            &[2, 2, 320, 320],
        ),
        (
            "down_layers.2.ul_stream.5.hw",
            "model/conditional_weights_63/hw",
            &[10, 320],
        ),
        ("nin_out.lin_a.weight_v", "model/dense_49/V", &[160, 100]),
    ] {
        let place = tensors.iter().position(|tensor| tensor.name == name);
        let found = &variables[place.expect(name)];
        assert_eq!(
            (&*found.name, found.memory_shape()),
            (variable, shape),
            "{name}"
        );
        assert_eq!(found.shape, tensors[place.unwrap()].shape, "{name}");
    }
    let port = PixelCnnConfig {
        deconv_norm: Norm::Input,
        ..tiny()
    };
    assert!(PixelCnnPlan::new(port).unwrap().variables().is_none());
}

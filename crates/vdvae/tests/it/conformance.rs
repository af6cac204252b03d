//! What every family must do, with a tiny model of each: `crates/models/tests/golden/FAMILY/tiny.toml`. A new
//! family is tested by being in the registry.

use std::fs;
use std::path::Path;

use vdvae::config::{Config, preset};
use vdvae::device;
use vdvae::models::registry::FAMILIES;
use vdvae::models::{Coding, Exactness, Family, Plan};
use vdvae::parameters::Role;

use crate::support::{IMAGES, Lab, RGB, SIDE, assert_same_state, images, npy, npy_data, tensors};

fn tiny(family: &dyn Family) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden");
    fs::read_to_string(golden.join(family.name()).join("tiny.toml")).expect("a tiny model")
}

/// A folder with `tiny.toml` of the family, and images of its shape.
fn lab(family: &dyn Family) -> (Lab, Box<dyn Plan>) {
    let lab = Lab::new();
    let text = tiny(family);
    lab.write("tiny.toml", &text);
    let plan = Config::from_toml(&text, "tiny.toml")
        .unwrap()
        .plan()
        .unwrap();
    let image = plan.image();
    assert_eq!(
        (image.size, image.len()),
        (SIDE, RGB),
        "as the other tests' images"
    );
    lab.write(
        "images.npy",
        npy(&[IMAGES, SIDE, SIDE, 3], &images(IMAGES, RGB)),
    );
    (lab, plan)
}

fn trained(family: &dyn Family) -> (Lab, Box<dyn Plan>) {
    let (lab, plan) = lab(family);
    lab.train("--out run").succeeds();
    (lab, plan)
}

/// The plan tells what the model has: names, shapes, roles, numbers.
#[test]
fn plans_and_models_agree() {
    for family in FAMILIES {
        let plan = Config::from_toml(&tiny(family), "tiny.toml")
            .unwrap()
            .plan()
            .unwrap();
        let model = plan.build(1, &device::parse("cpu").unwrap().autodiff());
        let specs = plan.tensors();
        let mut weights = 0;
        let mut expected = specs.iter();
        model.visit(&mut |name, tensor| {
            let spec = expected.next().expect("no more than the plan tells");
            assert_eq!(spec.name, name);
            assert_eq!(spec.memory_shape(), tensor.dims(), "{name}");
            let elements: usize = spec.shape.iter().product();
            assert_eq!(
                elements,
                spec.memory_shape().iter().product::<usize>(),
                "{name}"
            );
            if spec.role == Role::Weight {
                weights += elements as u64;
            }
        });
        assert!(
            expected.next().is_none(),
            "{}: as many as the plan tells",
            family.name()
        );
        assert_eq!(weights, plan.parameters());
        let operations = plan.operations();
        assert!(operations.sample > 0.0 && operations.evaluation >= operations.sample);
        assert!(operations.training > operations.evaluation);
        assert!(plan.activations(true) > 0 && plan.activations(false) >= plan.activations(true));
        assert!(plan.passes_per_sample() >= 1);
    }
}

/// The arithmetic that the plan tells is what the operations are seen doing, but for what a plan counts and no
/// operation does: gradients of the input, and convolutions that are Burn's. At most 15 % are such.
#[test]
fn plans_tell_the_operations_that_are_made() {
    for family in FAMILIES {
        let (lab, _) = lab(family);
        for what in ["train", "eval", "sample"] {
            let options = format!("--what {what} --batch 3 --steps 1 --warmup 0 --profile --json");
            let report = lab.run(&format!("bench --config tiny.toml {options}"));
            let report = report.succeeds().json();
            let seen = report["profile"].as_array().unwrap().iter().map(|row| {
                let rate = row["gflops"].as_f64().unwrap_or(0.0);
                rate * row["seconds"].as_f64().unwrap()
            });
            let (seen, told) = (seen.sum::<f64>(), report["gflop"].as_f64().unwrap());
            let name = family.name();
            assert!(
                (0.85 * told..=1.0001 * told).contains(&seen),
                "{name}, {what}: told {told} GFLOP, seen {seen}"
            );
        }
    }
}

/// Presets are possible, complete, and found by their names.
#[test]
fn presets_are_found_and_told() {
    let lab = Lab::new();
    let listed = lab.run("info --json").succeeds().json();
    let listed: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["preset"].as_str().unwrap())
        .collect();
    for family in FAMILIES {
        for chosen in family.presets() {
            let path = chosen.path();
            assert!(listed.contains(&&*path), "{path}");
            let config = preset::config(preset::find(&path).unwrap());
            assert_eq!(config.model.family().name(), family.name());
            let told = lab.run(&format!("info {path} --json")).succeeds().json();
            assert_eq!(told["family"], family.name());
            assert_eq!(told["parameters"], config.plan().unwrap().parameters());
        }
    }
}

/// The same bits for any batch and any number of threads; parts that add up; statistics that are those of
/// nothing but the image.
#[test]
fn evaluations_and_samples_are_functions_of_the_image() {
    for family in FAMILIES {
        let (lab, plan) = trained(family);
        let eval = |options: &str| {
            lab.run(&format!("eval run --json {options}"))
                .succeeds()
                .json()
        };
        let whole = eval("--batch 4");
        assert_eq!(whole, eval("--batch 1 --threads 1"), "{}", family.name());
        assert_eq!(whole, eval("--batch 3 --threads 3"), "{}", family.name());
        let number = |key: &str| whole[key].as_f64().unwrap();
        let sum = number("distortion_nats_per_dim") + number("rate_nats_per_dim");
        assert!((sum - number("nats_per_dim")).abs() < 1e-9);
        let layers = whole["rate_nats_per_dim_per_layer"].as_array().unwrap();
        let layers: Vec<f64> = layers.iter().map(|layer| layer.as_f64().unwrap()).collect();
        assert_eq!(
            layers.len(),
            plan.latents().map_or(0, |layers| layers.len())
        );
        assert!((layers.iter().sum::<f64>() - number("rate_nats_per_dim")).abs() < 1e-9);
        match plan.exactness() {
            Exactness::Bound => {
                let several = eval("--samples 5");
                let number = |key: &str| several[key].as_f64().unwrap();
                assert!(number("iw_bits_per_dim") <= number("bits_per_dim"));
            }
            Exactness::Exact => {
                assert_eq!(number("rate_nats_per_dim"), 0.0);
                for option in ["--samples 5", "--latents mean"] {
                    lab.run(&format!("eval run {option}"))
                        .fails(2, &[option.split(' ').next().unwrap(), "exact"]);
                }
            }
        }
        let rates = lab.run("eval run --rates rates.svg");
        match plan.latents() {
            Ok(_) => drop(rates.succeeds()),
            Err(reason) => drop(rates.fails(2, &[&reason.to_string()])),
        }

        lab.run("sample run -n 5 --batch 5 --out a.npy").succeeds();
        lab.run("sample run -n 5 --batch 2 --threads 1 --out b.npy")
            .succeeds();
        assert_eq!(lab.read("a.npy"), lab.read("b.npy"), "{}", family.name());
        lab.run("sample run -n 5 --seed 1 --out c.npy").succeeds();
        assert_ne!(lab.read("a.npy"), lab.read("c.npy"), "another seed");
    }
}

/// What is continued ends as what was never stopped; more threads change nothing.
#[test]
fn runs_continue_to_the_bit() {
    for family in FAMILIES {
        let (lab, _) = lab(family);
        lab.train("--out whole --threads 3").succeeds();
        lab.train("--out run --steps 3 --threads 1").succeeds();
        lab.run("train --resume --out run --steps 6").succeeds();
        assert_same_state(&lab.path("run"), &lab.path("whole"));
    }
}

/// A batch of one image trains, whatever is normalised by batches.
#[test]
fn a_batch_of_one_trains() {
    for family in FAMILIES {
        let (lab, _) = lab(family);
        let report = lab.train("--out run --batch 1 --json").succeeds().json();
        assert_eq!(report["finished"], true);
        let state = tensors(&lab.path("run/checkpoints/latest.safetensors"));
        for (name, values) in state {
            let finite = crate::support::floats(&values).all(f32::is_finite);
            assert!(finite, "{}: {name}", family.name());
        }
    }
}

/// Everything that has to do with latents works where there are any, and is refused where not.
#[test]
fn latents_go_there_and_back() {
    for family in FAMILIES {
        let (lab, plan) = trained(family);
        let commands = [
            "encode run --data npy:images.npy -n 3 --out z.safetensors",
            "decode run z.safetensors --out decoded.png",
            "features run --data npy:images.npy -n 3 --layer 1 --out f.npz",
            "reconstruct run -n 2 --out r.png",
            "interpolate run a.png b.png --steps 3 --out i.png",
        ];
        lab.write_picture("a.png", 8, 8);
        lab.write_picture("b.png", 8, 8);
        for command in commands {
            let finished = lab.run(command);
            match plan.latents() {
                Ok(_) => drop(finished.succeeds()),
                Err(reason) => drop(finished.fails(2, &[&reason.to_string()])),
            }
        }
    }
}

/// Archives give back every byte, and take about what the evaluation says; or compressing is refused.
#[test]
fn archives_there_and_back() {
    for family in FAMILIES {
        let (lab, plan) = trained(family);
        let forty = npy(&[40, SIDE, SIDE, 3], &images(40, RGB));
        lab.write("forty.npy", forty);
        let compressed =
            lab.run("compress run --data npy:forty.npy --batch 1 --out all.vdz --json");
        if let Err(reason) = vdvae::compress::coding(&*plan) {
            compressed.fails(2, &[&reason.to_string()]);
            continue;
        }
        let report = compressed.succeeds().json();
        lab.run("decompress all.vdz --run run --out back")
            .succeeds();
        let expected = images(40, RGB);
        let mut names: Vec<_> = fs::read_dir(lab.path("back"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        assert_eq!(names.len(), 40);
        for (name, expected) in names.iter().zip(expected.chunks(RGB)) {
            let found = image::open(name).unwrap().into_rgb8();
            assert!(found.as_raw() == expected, "{}", name.display());
        }
        let bound = lab
            .run("eval run --data npy:forty.npy --split all --json")
            .succeeds()
            .json();
        let bound = bound["bits_per_dim"].as_f64().unwrap();
        let net = report["net_bits_per_dim"].as_f64().unwrap();
        // Latents are rounded, and the first ones are coarse. What a model that hardly learned thinks impossible is
        // cheaper than it says: no value has less than the coder's smallest frequency.
        let (less, more) = match vdvae::compress::coding(&*plan).unwrap() {
            Coding::BitsBack => (0.1 * bound, 0.1 * bound),
            Coding::InOrder => (0.02 * bound, 0.005 * bound + 0.01),
        };
        assert!(
            (bound - less..bound + more).contains(&net),
            "{}: {net} for {bound}",
            family.name()
        );
    }
}

/// Pixel after pixel: the plain sampler draws the same images, given rows stay, and the picture has both; or all of it
/// is refused before anything is loaded.
#[test]
fn images_are_completed() {
    for family in FAMILIES {
        let (lab, plan) = trained(family);
        let given = "--given images.npy --rows 5";
        let plain = lab.run("sample run -n 2 --no-cache --out plain.npy");
        if let Err(reason) = plan.ordered() {
            plain.fails(2, &["--no-cache", &reason.to_string()]);
            lab.run(&format!("sample run -n 2 {given}"))
                .fails(2, &["--given", &reason.to_string()]);
            continue;
        }
        plain.succeeds();
        lab.run("sample run -n 2 --out cached.npy").succeeds();
        assert_eq!(lab.read("plain.npy"), lab.read("cached.npy"));
        lab.run(&format!("sample run -n 6 {given} --out completed.npy"))
            .succeeds();
        lab.run(&format!(
            "sample run -n 6 {given} --batch 4 --threads 1 --out b.npy"
        ))
        .succeeds();
        let completed = lab.read("completed.npy");
        assert_eq!(completed, lab.read("b.npy"), "{}", family.name());
        let originals = images(6, RGB);
        let found = npy_data(&completed).chunks(RGB).zip(originals.chunks(RGB));
        for (completed, original) in found {
            let kept = 5 * 3 * SIDE;
            assert_eq!(completed[..kept], original[..kept]);
            assert_ne!(completed[kept..], original[kept..]);
        }
        lab.run(&format!("sample run -n 3 {given} --out both.png"))
            .succeeds();
        let picture = image::open(lab.path("both.png")).unwrap();
        assert!(picture.height() > 2 * 96, "two rows");
        lab.run("sample run --given images.npy --rows 8")
            .fails(2, &["--rows", "fewer than 8", "found 8"]);
        lab.run("sample run --temperature 0.9")
            .fails(2, &["--temperature"]);
    }
}

/// Samples of a class where there are classes; what is not one is refused.
#[test]
fn classes_are_asked_for() {
    for family in FAMILIES {
        let (lab, plan) = trained(family);
        let sample = lab.run("sample run -n 2 --class 0 --out class.npy");
        match plan.classes() {
            0 => drop(sample.fails(2, &["--class", "no classes"])),
            _ => drop(sample.succeeds()),
        }
        lab.run("sample run --class unheard-of")
            .fails(2, &["--class", "unheard-of"]);
    }
}

/// A report shows what there is, and says of the rest why there is none.
#[test]
fn reports_show_what_there_is() {
    for family in FAMILIES {
        let (lab, plan) = trained(family);
        lab.run("report run --out r").succeeds();
        let page = String::from_utf8(lab.read("r/index.html")).unwrap();
        for (name, is_there) in [
            ("layers", plan.latents().is_ok()),
            ("reconstructions", plan.latents().is_ok()),
            ("pixels", plan.ordered().is_ok()),
            ("completions", plan.ordered().is_ok()),
            ("samples", true),
            ("neighbours", true),
        ] {
            let file = lab.path(&format!("r/{name}.svg"));
            assert_eq!(file.exists(), is_there, "{}: {name}", family.name());
        }
        if let Err(reason) = plan.latents() {
            assert!(page.contains(&reason.why), "{}", family.name());
        }
        if plan.ordered().is_ok() {
            let json: serde_json::Value =
                serde_json::from_slice(&lab.read("r/report.json")).unwrap();
            let run = &json["runs"][0];
            // The map's sum is what the images cost.
            let bits = run["pixel_bits"]["bits"].as_array().unwrap().iter();
            let sum: f64 = bits.map(|bits| bits.as_f64().unwrap()).sum();
            let expected = run["evaluation"]["bits_per_dim"].as_f64().unwrap();
            let found = sum / plan.dimensions() as f64;
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{found} for {expected}"
            );
        }
    }
}

/// One table of all families.
#[test]
fn families_are_measured_side_by_side() {
    for family in FAMILIES {
        let (lab, plan) = lab(family);
        let bench = "bench --config tiny.toml --what sample --batch 2 --steps 1 --warmup 0 --json";
        let report = lab.run(bench).succeeds().json();
        let plain = lab.run(&format!("{bench} --no-cache"));
        match plan.ordered() {
            Ok(()) => {
                assert_eq!(
                    (&report["cached"], &report["extrapolated"]),
                    (&true.into(), &false.into())
                );
                let plain = plain.succeeds().json();
                assert_eq!(
                    (&plain["cached"], &plain["extrapolated"]),
                    (&false.into(), &true.into())
                );
                let step = plain["s_per_pixel_step"].as_f64().unwrap() * (SIDE * SIDE) as f64;
                let image = plain["s_per_image"].as_f64().unwrap() * 2.0;
                assert!((step / image - 1.0).abs() < 1e-9);
            }
            Err(reason) => drop(plain.fails(2, &["--no-cache", &reason.to_string()])),
        }
    }
}

/// Whatever a family cannot be or do says so before anything is loaded, and exits with 2.
#[test]
fn mistakes_name_their_family() {
    for family in FAMILIES {
        let (lab, plan) = trained(family);
        let unknown = format!("of family {}", family.name());
        lab.train("--out other --set model.image_siez=8").fails(
            2,
            &[
                "unknown key `model.image_siez`",
                &unknown,
                "model.image_size",
            ],
        );
        lab.train("--out other --set model.image_size=text")
            .fails(2, &["model.image_size", "expected a whole number"]);
        lab.train("--out other --set model.image_size=0")
            .fails(2, &["model.image_size", "found 0"]);
        lab.train("--out other --set model.family=none")
            .fails(2, &["model.family"]);
        // What a model keeps must be numbers, or nothing that follows is.
        let path = lab.path("run/checkpoints/latest.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        lab.write("nan.safetensors", bytes);
        lab.run("eval run --checkpoint nan.safetensors")
            .fails(1, &["nan.safetensors"]);
        // Other families' runs and checkpoints.
        for other in FAMILIES
            .into_iter()
            .filter(|other| other.name() != family.name())
        {
            lab.write("other.toml", tiny(other));
            lab.run("train --config other.toml --out another")
                .succeeds();
            lab.run("eval run --checkpoint another/checkpoints/latest.safetensors")
                .fails(1, &["another configuration"]);
            lab.run("train --config other.toml --resume --out run")
                .fails(2, &["--resume", "model."]);
            fs::remove_dir_all(lab.path("another")).unwrap();
            let verified = lab.run("verify run/checkpoints/latest.safetensors --config tiny.toml --set data.shift=-127.5 --set data.scale=0.015");
            assert_ne!(verified.code, Some(0));
        }
        drop(plan);
    }
}

//! Checkpoints as PyTorch writes them.

use std::fs;
use std::path::{Path, PathBuf};

use vdvae_formats::pickle::Value;
use vdvae_formats::torch::{Dtype, TorchFile, attributes, entries, entry};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Calls `look` with the entries of a checkpoint.
fn with_checkpoint(path: &Path, look: impl Fn(&TorchFile, &[(Value<'_>, Value<'_>)])) {
    let file = TorchFile::open(path).unwrap();
    let pickle = file.pickle().unwrap();
    look(&file, &entries(pickle.root()).unwrap());
}

/// With checksums, and without: `set_crc32_options(False)` makes files in which all of them are 0.
#[test]
fn tensors_are_what_they_were_however_they_are_stored() {
    for name in ["checkpoint.pt", "unchecked.pt"] {
        with_checkpoint(&fixture(name), |file, checkpoint| {
            assert_eq!(entry(checkpoint, "epoch").unwrap().as_int(), Some(7));
            let state = entries(entry(checkpoint, "state_dict").unwrap()).unwrap();
            let tensor = |key| file.tensor(key, entry(&state, key).unwrap()).unwrap();
            let numbers: Vec<f32> = (0..24_u8).map(f32::from).collect();
            // Twice the same storage, and one whose channels are last in memory.
            for key in ["weight", "weight_normalized", "weight_last"] {
                let tensor = tensor(key);
                assert_eq!(
                    (tensor.dtype, &tensor.shape[..]),
                    (Dtype::F32, &[2, 3, 2, 2][..])
                );
                assert_eq!(file.values(&tensor), numbers, "{name} {key}");
            }
            assert_eq!(file.values(&tensor("row")), numbers[12..]);
            let count = entry(&state, "num_batches_tracked").unwrap();
            assert_eq!(tensor("num_batches_tracked").dtype, Dtype::Int(8));
            assert_eq!(file.number(count), Some(2.0_f64.powi(40) + 1.0));
        });
    }
}

#[test]
fn the_arguments_of_a_training_script_are_data() {
    with_checkpoint(&fixture("checkpoint.pt"), |_, checkpoint| {
        let arguments = attributes(entry(checkpoint, "args").unwrap()).unwrap();
        let argument = |key| entry(&arguments, key).unwrap();
        assert_eq!(arguments.len(), 5);
        assert_eq!(argument("num_groups_per_scale").as_int(), Some(10));
        assert_eq!(argument("dataset").as_str(), Some("celeba_64"));
        assert_eq!(argument("decay").as_float(), Some(3e-4));
        assert_eq!(argument("use_se").as_bool(), Some(true));
        assert!(argument("seed").is_none());
        assert!(attributes(entry(checkpoint, "state_dict").unwrap()).is_none());
    });
}

#[test]
fn a_changed_byte_shows_where_there_are_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.pt");
    let whole = fs::read(fixture("checkpoint.pt")).unwrap();
    let five = whole
        .windows(4)
        .position(|four| four == 5.0_f32.to_le_bytes());
    let mut changed = whole.clone();
    changed[five.expect("the number 5") + 2] ^= 1;
    fs::write(&path, &changed).unwrap();
    let error = TorchFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("data/0: its checksum is another"), "{error}");
    fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    let error = TorchFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("truncated or damaged"), "{error}");
}

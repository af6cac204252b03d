//! CIFAR-10 and CIFAR-100 in their forms.

use std::fs::{self, File};
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::tempdir;
use vdvae_data::{Collection, OpenOptions, Source, Split, legacy_permutation, open};

use crate::files::*;

const IMAGES: usize = 10_000;
const BATCHES: [&str; 6] = [
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
];

/// The values of an image but for the first three: pixel and channel numbers, mixed.
static PLANES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..3072)
        .map(|value| (value % 1024) as u8 ^ (value / 1024) as u8)
        .collect()
});

/// Image `index` of batch `batch`, channel by channel. It starts with these numbers.
fn planes(batch: usize, index: usize) -> Vec<u8> {
    let mut planes = PLANES.clone();
    planes[..3].copy_from_slice(&[batch as u8, (index / 256) as u8, index as u8]);
    planes
}

fn binary(batch: usize) -> Vec<u8> {
    let mut records = Vec::with_capacity(IMAGES * 3073);
    for index in 0..IMAGES {
        records.push((index % 10) as u8);
        records.extend_from_slice(&planes(batch, index));
    }
    records
}

/// A batch as Python 2 pickled it, which is how CIFAR-10 is distributed.
pub fn python(batch: usize, images: usize, width: usize) -> Vec<u8> {
    let mut pickle = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x05batchq\x03U\x04dataq\x04".to_vec();
    pickle.extend_from_slice(b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01");
    for side in [images, width] {
        pickle.push(b'J');
        pickle.extend_from_slice(&(side as u32).to_le_bytes());
    }
    pickle.extend_from_slice(b"\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    pickle.extend_from_slice(&((images * width) as u32).to_le_bytes());
    for index in 0..images {
        pickle.extend_from_slice(&planes(batch, index)[..width]);
    }
    pickle.extend_from_slice(b"tb");
    for key in ["labels", "fine_labels"] {
        pickle.extend_from_slice(&[b'U', key.len() as u8]);
        pickle.extend_from_slice(key.as_bytes());
        pickle.extend_from_slice(b"](");
        pickle.extend((0..images).flat_map(|index| [b'K', (index % 10) as u8]));
        pickle.push(b'e');
    }
    pickle.extend_from_slice(b"u.");
    pickle
}

fn write_folder(
    folder: &Path,
    batches: &[usize],
    suffix: &str,
    contents: impl Fn(usize) -> Vec<u8>,
) {
    for &batch in batches {
        write(
            &folder.join(format!("{}{suffix}", BATCHES[batch])),
            &contents(batch),
        );
    }
}

fn write_archive(path: &Path, inner: &str, suffix: &str, contents: impl Fn(usize) -> Vec<u8>) {
    let gz = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    let mut archive = tar::Builder::new(gz);
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    add(format!("{inner}/readme.html"), b"hello");
    for batch in [3, 5, 0, 1, 4, 2] {
        add(
            format!("{inner}/{}{suffix}", BATCHES[batch]),
            &contents(batch),
        );
    }
    archive.into_inner().unwrap().finish().unwrap();
}

/// Checks all splits of a source whose images come from `planes`.
fn check(path: &Path) {
    let open = |split| opened(Source::Cifar10(path.to_owned()), split, rgb(32)).unwrap();
    let test = open(Split::Test);
    assert_eq!(test.len(), IMAGES);
    let image = item(&*test, 4321);
    let expected = planes(5, 4321);
    for pixel in 0..1024 {
        let channels = [0, 1, 2].map(|channel| expected[channel * 1024 + pixel]);
        assert_eq!(image[pixel * 3..pixel * 3 + 3], channels, "pixel {pixel}");
    }
    let order = legacy_permutation(11_172_018, 50_000);
    for (split, part) in [
        (Split::Valid, &order[..5000]),
        (Split::Train, &order[5000..]),
    ] {
        let dataset = open(split);
        assert_eq!(dataset.len(), part.len());
        for index in [0, 1, 2, part.len() - 1] {
            let number = part[index] as usize;
            let image = item(&*dataset, index);
            let batch = number / IMAGES;
            assert_eq!(
                [image[0], image[3], image[6]],
                planes(batch, number % IMAGES)[..3]
            );
        }
    }
}

#[test]
fn a_folder_of_python_batches() {
    let folder = tempdir().unwrap();
    write_folder(folder.path(), &[0, 1, 2, 3, 4, 5], "", |batch| {
        python(batch, IMAGES, 3072)
    });
    check(folder.path());
    let all = opened(
        Source::Cifar10(folder.path().to_owned()),
        Split::All,
        gray(32),
    )
    .unwrap();
    assert_eq!((all.len(), item(&*all, 0).len()), (60_000, 1024));
}

#[test]
fn the_folder_above_binary_batches() {
    let folder = tempdir().unwrap();
    write_folder(
        &folder.path().join("cifar-10-batches-bin"),
        &[0, 1, 2, 3, 4, 5],
        ".bin",
        binary,
    );
    check(folder.path());
}

#[test]
fn the_archives_as_downloaded() {
    let folder = tempdir().unwrap();
    let archive = folder.path().join("cifar-10-python.tar.gz");
    write_archive(&archive, "cifar-10-batches-py", "", |batch| {
        python(batch, IMAGES, 3072)
    });
    check(&archive);
    let binary_archive = folder.path().join("b.tar.gz");
    write_archive(&binary_archive, "cifar-10-batches-bin", ".bin", binary);
    check(&binary_archive);
    let test = opened(
        Source::Cifar10(folder.path().to_owned()),
        Split::Test,
        rgb(32),
    );
    assert_eq!(test.unwrap().len(), IMAGES);

    let mut bytes = fs::read(&archive).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&archive, bytes).unwrap();
    let error = open_error(Source::Cifar10(archive), Split::Train, rgb(32));
    assert_says(&error, &["cifar-10-python.tar.gz"]);
}

#[test]
fn bad_batches_are_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("test_batch");
    let error = || {
        open_error(
            Source::Cifar10(folder.path().to_owned()),
            Split::Test,
            rgb(32),
        )
    };
    assert_says(&error(), &["expected data_batch_1, data_batch_2"]);
    let whole = python(5, IMAGES, 3072);
    for (bytes, says) in [
        (
            &python(5, 100, 3072)[..],
            "expected uint8 of shape [10000, 3072], found u1 of shape [100, 3072]",
        ),
        (&python(5, IMAGES, 1024), "found u1 of shape [10000, 1024]"),
        (&whole[..whole.len() - 1000], "truncated"),
        (b"\x80\x02}.", "a dictionary with an entry 'data'"),
        (
            b"cos\nsystem\n(S'rm -rf /'\ntR.",
            "`os.system`, which is not plain data",
        ),
        (b"", "truncated"),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_says(&error(), &["test_batch: ", says]);
    }
    let missing = open_error(
        Source::Cifar10(folder.path().to_owned()),
        Split::All,
        rgb(32),
    );
    assert_says(&missing, &["data_batch_1"]);
    let size = open_error(
        Source::Cifar10(folder.path().to_owned()),
        Split::Test,
        rgb(64),
    );
    assert_says(&size, &["model.image_size = 32"]);
    fs::remove_file(path).unwrap();
    fs::write(folder.path().join("test_batch.bin"), [0; 30_000]).unwrap();
    assert_says(
        &error(),
        &["test_batch.bin: size: expected 30730000 bytes, found 30000"],
    );
}

#[test]
fn a_file_that_is_no_archive_is_named() {
    let folder = tempdir().unwrap();
    for bytes in [&b"hello"[..], b"\x1f\x8bhello", b"", &[b'x'; 2000]] {
        let path = folder.path().join("c.tar.gz");
        fs::write(&path, bytes).unwrap();
        assert_says(
            &open_error(Source::Cifar10(path), Split::Test, rgb(32)),
            &["c.tar.gz"],
        );
    }
}

#[test]
fn cifar100_has_one_file_for_each_split_and_two_labels() {
    let folder = tempdir().unwrap();
    write(&folder.path().join("train"), &python(0, 50_000, 3072));
    write(&folder.path().join("test"), &python(5, IMAGES, 3072));
    let open = |split| {
        let source = Source::Cifar100(folder.path().to_owned());
        opened(source, split, rgb(32)).unwrap()
    };
    let lengths = [Split::Train, Split::Valid, Split::Test, Split::All];
    assert_eq!(
        lengths.map(|split| open(split).len()),
        [45_000, 5000, 10_000, 60_000]
    );
    let expected = planes(5, 17);
    assert_eq!(
        item(&*open(Split::Test), 17)[..3],
        [expected[0], expected[1024], expected[2048]]
    );

    let binary = tempdir().unwrap();
    let records: Vec<u8> = (0..IMAGES)
        .flat_map(|index| [vec![1, 2], planes(5, index)].concat())
        .collect();
    write(&binary.path().join("cifar-100-binary/test.bin"), &records);
    let source = Source::Cifar100(binary.path().to_owned());
    let test = opened(source, Split::Test, rgb(32)).unwrap();
    assert_eq!(item(&*test, 17), item(&*open(Split::Test), 17));
}

#[test]
fn labels_are_classes() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_folder(&at("py"), &[0, 1, 2, 3, 4, 5], "", |batch| {
        python(batch, IMAGES, 3072)
    });
    write_folder(&at("bin"), &[5], ".bin", binary);
    write(&at("100/test"), &python(5, IMAGES, 3072));
    let records =
        (0..IMAGES).flat_map(|index| [vec![1, (index % 10) as u8], planes(5, index)].concat());
    write(&at("100bin/test.bin"), &records.collect::<Vec<u8>>());
    let plain = OpenOptions::new(rgb(32));
    for (source, split, first, count) in [
        (Source::Cifar10(at("py")), Split::Test, "airplane", 10),
        (Source::Cifar10(at("py")), Split::Train, "airplane", 10),
        (Source::Cifar10(at("bin")), Split::Test, "airplane", 10),
        (Source::Cifar100(at("100")), Split::Test, "apple", 100),
        (Source::Cifar100(at("100bin")), Split::Test, "apple", 100),
    ] {
        let classes = Collection::split(&source, &plain)
            .unwrap()
            .classes()
            .unwrap();
        assert_eq!((&*classes[0], classes.len()), (first, count));
        let options = OpenOptions {
            classes: &classes,
            ..plain
        };
        let dataset = open(&source, split, &options).unwrap();
        let order = legacy_permutation(11_172_018, 50_000);
        for index in [0, 1, 17, 9999] {
            let number = match split {
                Split::Train => order[5000 + index] as usize,
                _ => index,
            };
            assert_eq!(dataset.class(index), Some(number % 10), "{source}");
        }
    }
    // A model that knows them in another order.
    let reversed: Vec<String> = "truck ship horse frog dog deer cat bird automobile airplane"
        .split(' ')
        .map(str::to_owned)
        .collect();
    let options = OpenOptions {
        classes: &reversed,
        ..plain
    };
    let dataset = open(&Source::Cifar10(at("bin")), Split::Test, &options).unwrap();
    assert_eq!(dataset.class(3), Some(6));

    let mut bad = binary(5);
    bad[2 * 3073] = 10;
    fs::write(at("bin/test_batch.bin"), bad).unwrap();
    let error = open(&Source::Cifar10(at("bin")), Split::Test, &options)
        .err()
        .unwrap();
    assert_says(
        &error.to_string(),
        &["test_batch.bin: labels: expected numbers below 10, found 10"],
    );
    let mut bad = python(5, IMAGES, 3072);
    let label = bad.len() - 4;
    bad[label] = 100;
    fs::write(at("100/test"), bad).unwrap();
    let source = Source::Cifar100(at("100"));
    let collection = Collection::split(&source, &plain).unwrap();
    let options = OpenOptions {
        classes: &collection.classes().unwrap(),
        ..plain
    };
    let error = open(&source, Split::Test, &options).err().unwrap();
    let says = "test: fine_labels: expected a list of 10000 whole numbers below 100";
    assert_says(&error.to_string(), &[says]);
    // Whoever wants no classes does not look at them.
    assert!(opened(Source::Cifar10(at("bin")), Split::Test, rgb(32)).is_ok());
    assert!(
        opened(Source::Photos, Split::Test, rgb(32))
            .unwrap()
            .class(0)
            .is_none()
    );
}

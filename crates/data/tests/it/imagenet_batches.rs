//! The batches of image-net.org.

use tempfile::tempdir;
use vdvae_data::{Collection, OpenOptions, Source, Split};

use crate::cifar::python;
use crate::files::*;

#[test]
fn the_ten_batches_and_the_validation_file_are_read() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for batch in 1..=10 {
        let name = format!("train_data_batch_{batch}");
        write(&at(&name), &python(batch, 501, 3072));
    }
    write(&at("val_data"), &python(11, 20, 3072));
    let source = Source::Imagenet32Batches(folder.path().to_owned());
    let open = |split| opened(source.clone(), split, rgb(32)).unwrap();
    let lengths =
        [Split::Train, Split::Valid, Split::Test, Split::All].map(|split| open(split).len());
    assert_eq!(lengths, [10, 5000, 20, 5030]);
    let all = open(Split::All);
    // Red, green and blue of the first pixel, and the batch in the first value of its plane.
    let image = item(&*all, 501 + 7);
    assert_eq!([image[0], image[3], image[6]], [2, 0, 7]);
    assert!(
        all.name(508).ends_with("train_data_batch_2 row 7"),
        "{}",
        all.name(508)
    );
    assert_eq!(item(&*open(Split::Test), 3), item(&*all, 5013));

    // Also where they are given as the older release, with a word on what that means.
    let other = Source::Imagenet32(folder.path().to_owned());
    let test = opened(other.clone(), Split::Test, rgb(32)).unwrap();
    assert_eq!(item(&*test, 3), item(&*all, 5013));
    let collection = Collection::split(&other, &OpenOptions::new(rgb(32))).unwrap();
    let said = collection.describe(Split::Train);
    assert!(said.contains("do not compare"), "{said}");
    write(&at("val_data"), &python(11, 20, 1024));
    let error = open_error(source.clone(), Split::Test, rgb(32));
    assert_says(&error, &["val_data: data", "[N, 3072]", "[20, 1024]"]);
}

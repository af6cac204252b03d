use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::*;

/// A directory with `model`, which holds "old".
fn directory_with_old() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("model");
    fs::write(&path, "old").expect("written");
    (directory, path)
}

/// The names in the directory, hidden ones too.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().display().to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn new_content_replaces_old() {
    let (directory, path) = directory_with_old();
    write_atomically(&path, |writer| {
        writer.write_all(b"new")?;
        assert_eq!(fs::read(&path)?, b"old", "before the rename");
        let process = std::process::id().to_string();
        let hidden = &names(directory.path())[0];
        assert!(
            hidden.starts_with(".model.") && hidden.contains(&process),
            "{hidden}"
        );
        Ok(())
    })
    .expect("written");
    assert_eq!(fs::read(&path).expect("there"), b"new");
    assert_eq!(names(directory.path()), ["model"]);
}

#[test]
fn an_error_while_writing_leaves_the_old_file_alone() {
    let (directory, path) = directory_with_old();
    let error = write_atomically(&path, |writer| {
        writer.write_all(&[0; 100_000])?;
        Err(ErrorKind::StorageFull.into())
    });
    assert_eq!(error.expect_err("passed on").kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read(&path).expect("there"), b"old");
    assert_eq!(names(directory.path()), ["model"]);
}

/// The closure succeeds, as its bytes fit into the buffer; the flush meets the full disk.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_at_the_last_moment_leaves_the_old_file_alone() {
    let (directory, path) = directory_with_old();
    let error = write_atomically(&path, |writer| {
        *writer.get_mut() = File::options().write(true).open("/dev/full")?;
        writer.write_all(b"new")
    });
    assert_eq!(error.expect_err("full").kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read(&path).expect("there"), b"old");
    assert_eq!(names(directory.path()), ["model"]);
}

#[test]
fn a_panic_while_writing_leaves_no_rubbish() {
    let (directory, path) = directory_with_old();
    let caught = std::panic::catch_unwind(|| write_atomically(&path, |_| panic!("provoked")));
    caught.expect_err("the panic");
    assert_eq!(fs::read(&path).expect("there"), b"old");
    assert_eq!(names(directory.path()), ["model"]);
}

#[test]
fn a_place_that_cannot_hold_the_file() {
    let (directory, path) = directory_with_old();
    let missing = directory.path().join("missing").join("model");
    let error = write_atomically(&missing, |_| Ok(())).expect_err("no such directory");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    write_atomically(directory.path(), |_| Ok(())).expect_err("a directory");
    let error = write_atomically(Path::new("/"), |_| Ok(())).expect_err("no name");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(fs::read(&path).expect("there"), b"old");
    assert_eq!(names(directory.path()), ["model"]);
}

#[test]
fn what_a_dead_process_left_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    for name in [".x.npy.17-0.tmp", ".mine.tmp", ".x.17-0.old", "x.17-0.tmp"] {
        fs::write(at(name), "half").expect("written");
    }
    fs::create_dir(at(".vdvae.17-1.tmp")).expect("made");
    fs::write(at(".vdvae.17-1.tmp/a.png"), "half").expect("written");
    let living = File::create(at(".y.npy.18-0.tmp")).expect("made");
    living.try_lock().expect("locked");
    write_atomically(&at("new"), |writer| writer.write_all(b"new")).expect("written");
    let left = [
        ".mine.tmp",
        ".x.17-0.old",
        ".y.npy.18-0.tmp",
        "new",
        "x.17-0.tmp",
    ];
    assert_eq!(names(directory.path()), left);
}

#[test]
fn files_that_wait_together_appear_together_or_not_at_all() {
    let (directory, path) = directory_with_old();
    let mut together = Together::default();
    together
        .write(&path, |writer| writer.write_all(b"new"))
        .expect("written");
    let other = directory.path().join("other");
    together
        .write(&other, |writer| writer.write_all(b"more"))
        .expect("written");
    together.finish().expect("renamed");
    assert_eq!(fs::read(&path).expect("there"), b"new");
    assert_eq!(names(directory.path()), ["model", "other"]);
    let mut dropped = Together::default();
    dropped
        .write(&path, |writer| writer.write_all(b"never"))
        .expect("written");
    drop(dropped);
    assert_eq!(names(directory.path()), ["model", "other"]);
}

#[test]
fn what_can_be_written_is_known_and_leaves_nothing() {
    let (directory, path) = directory_with_old();
    check_writable(&path).expect("a file");
    check_writable(&directory.path().join("a/b/new")).expect("in folders to be made");
    let error = check_writable(directory.path()).expect_err("a folder");
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    let error = check_writable(&path.join("new")).expect_err("in a file");
    assert!(error.to_string().ends_with("model is no folder"), "{error}");
    assert_eq!(fs::read(&path).expect("there"), b"old");
    assert_eq!(names(directory.path()), ["model"]);
}

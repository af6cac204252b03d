//! Files that are complete or absent, whenever the program or the machine stops.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a file such that `path` holds either its old content or all of the new.
///
/// `write` fills a hidden file beside `path`, which is then flushed to the disk and renamed. After any
/// error, a full disk among them, `path` is what it was and the hidden file is gone. Creates no
/// directories.
///
/// # Errors
/// What `write` or the file system returned; it does not name `path`.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let directory = directory_of(path);
    let temporary = Temporary::beside(path, directory)?;
    let mut writer = BufWriter::new(File::create(&temporary.0)?);
    write(&mut writer)?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    // Closed first: some systems do not rename open files.
    drop(writer);
    fs::rename(&temporary.0, path)?;
    sync_directory(directory)
}

/// Tries whether a file can be written, by making another beside it, or where its folder is to be made; leaves
/// nothing.
///
/// # Errors
/// If it cannot, or `path` is a folder.
pub fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut folder = directory_of(path);
    while !folder.exists() {
        folder = directory_of(folder);
    }
    if !folder.is_dir() {
        let reason = format!("{} is no folder", folder.display());
        return Err(io::Error::new(ErrorKind::NotADirectory, reason));
    }
    let temporary = Temporary::beside(path, folder)?;
    File::create(&temporary.0).map(drop)
}

/// A file that is removed when it goes out of scope; after the rename there is none left to remove.
struct Temporary(PathBuf);

impl Temporary {
    /// A name that neither another process nor another thread of this one uses.
    fn beside(path: &Path, directory: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let Some(file_name) = path.file_name() else {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "expected the name of a file",
            ));
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut name = OsString::from(".");
        name.push(file_name);
        name.push(format!(".{}-{count}.tmp", std::process::id()));
        Ok(Self(directory.join(name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The error that brought us here is the one to report.
        let _ = fs::remove_file(&self.0);
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a rename in the directory survive a loss of power.
fn sync_directory(directory: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file.
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(directory)?.sync_all() {
        // Some network file systems know no such request; the new file is in its place all the same.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
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
}

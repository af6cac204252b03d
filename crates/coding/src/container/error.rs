//! What can be wrong with an archive.

use thiserror::Error;

/// Why an archive could not be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The file begins with other bytes than an archive.
    #[error(
        "this is no .vdz archive: it begins with other bytes. Give a file that `vdvae compress` wrote"
    )]
    NotAnArchive,
    /// The format is another version.
    #[error(
        "the archive has format version {found}, this program reads versions 1 to {expected}. Use the \
         version of vdvae that wrote it, or the file is damaged"
    )]
    Version {
        /// Version in the file.
        found: u32,
        /// The latest version that can be read.
        expected: u32,
    },
    /// The file ends too early.
    #[error(
        "the archive ends within {what}: {needed} bytes expected, {found} there. The file was \
         cut off or is damaged; copy it again"
    )]
    Truncated {
        /// Which part.
        what: &'static str,
        /// Bytes that the part has.
        needed: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// Bytes follow the end.
    #[error(
        "{0} bytes follow {1}, where the archive should end. The file is damaged; copy it again"
    )]
    Trailing(u64, &'static str),
    /// A checksum is wrong.
    #[error(
        "checksum of the {what} is {found:08x}, expected {expected:08x}: the file is damaged. \
         Copy it again"
    )]
    Checksum {
        /// Which part.
        what: &'static str,
        /// The checksum in the file.
        expected: u32,
        /// The checksum of the bytes there.
        found: u32,
    },
    /// A field has an impossible value.
    #[error("{what} is {found}, expected {expected}")]
    Field {
        /// Which field.
        what: &'static str,
        /// What is possible.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A name that could lead out of the output folder, or is there twice.
    #[error(
        "image name {name:?} {reason}. Expected a distinct relative path such as photos/cat.png"
    )]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The weights are others.
    #[error(
        "the archive was made with the model {expected}, this one is {found}. Give the run that \
         compressed it"
    )]
    Model {
        /// Hash in the archive.
        expected: String,
        /// Hash of the model at hand.
        found: String,
    },
    /// The kernel path is another.
    #[error(
        "the archive was made on the kernel path {expected:?}, this is {found:?}. Add \
         --kernel-path {expected}"
    )]
    KernelPath {
        /// Kernel path in the archive.
        expected: String,
        /// Kernel path in use.
        found: String,
    },
    /// The kernel path is the same, but computes differently in this version of the program.
    #[error(
        "the archive was made with revision {expected} of the arithmetic, this program computes with \
         revision {found}, whose last bits differ. Decompress it with the version of the program that \
         made it"
    )]
    Revision {
        /// Revision in the archive.
        expected: String,
        /// Revision in use.
        found: String,
    },
    /// Writing failed.
    #[error("cannot write the archive: {0}. Check the space and permissions of its folder")]
    Io(#[from] std::io::Error),
}

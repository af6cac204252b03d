//! Files that mean harm.

use super::CIFAR;
use crate::support::{Lab, RGB, SIDE, images, npy};

#[test]
fn a_pickle_that_tries_to_run_code_runs_nothing() {
    let lab = Lab::new();
    let attack = b"cos\nsystem\n(S'touch owned'\ntR.";
    for batch in 1..6 {
        lab.write(&format!("cifar/data_batch_{batch}"), attack);
    }
    lab.write("cifar/test_batch", attack);
    let data = format!("cifar10:cifar {CIFAR}");
    lab.refuses(
        &data,
        1,
        &[
            "data_batch_1",
            "os.system",
            "Nothing in it was run",
            "source that you trust",
        ],
    );
    assert!(!lab.path("owned").exists());
}

/// A stored (0) or deflated (8) zip entry with the claimed size of its content.
fn npz(method: u16, content: &[u8], claimed: u32) -> Vec<u8> {
    let fields = |file: &mut Vec<u8>| {
        file.extend(20_u16.to_le_bytes()); // version
        file.extend(0_u16.to_le_bytes()); // flags
        file.extend(method.to_le_bytes());
        file.extend([0; 8]); // time, date, checksum
        file.extend((content.len() as u32).to_le_bytes());
        file.extend(claimed.to_le_bytes());
        file.extend(5_u16.to_le_bytes()); // length of the name
        file.extend(0_u16.to_le_bytes()); // extra fields
    };
    let mut file = b"PK\x03\x04".to_vec();
    fields(&mut file);
    file.extend(b"x.npy");
    file.extend(content);
    let directory = file.len() as u32;
    file.extend(b"PK\x01\x02\x14\x00");
    fields(&mut file);
    file.extend([0; 14]); // comment, disk, attributes, where the entry begins
    file.extend(b"x.npy");
    let length = file.len() as u32 - directory;
    file.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    file.extend(length.to_le_bytes());
    file.extend(directory.to_le_bytes());
    file.extend([0; 2]);
    file
}

#[test]
fn an_npz_that_claims_to_be_enormous() {
    let lab = Lab::new();
    let million_million = npy(&[1_000_000_000_000, SIDE, SIDE, 3], &images(6, RGB));
    lab.write(
        "stored.npz",
        npz(0, &million_million, million_million.len() as u32),
    );
    lab.write("packed.npz", npz(8, &[0; 100], u32::MAX - 9));
    lab.write("array.npy", &million_million);
    for file in ["stored.npz", "packed.npz", "array.npy"] {
        lab.refuses(&format!("npy:{file}"), 1, &[file, "expected", "found"]);
    }
}

/// A PNG whose header claims so many pixels, with nothing behind it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = chunk.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
        })
    });
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    file.extend(chunk);
    file.extend((!crc).to_be_bytes());
    file.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    file
}

#[test]
fn a_png_that_claims_to_be_enormous() {
    let lab = Lab::trained();
    lab.write("photos/huge.png", png_header(60_000, 60_000));
    for number in 0..5 {
        lab.write_picture(&format!("photos/{number}.png"), 9, 9);
    }
    let parts = ["photos/huge.png", "60000 x 60000", "1073741824"];
    lab.run("reconstruct run photos/huge.png").fails(1, &parts);
    lab.run("eval run --data folder:photos").fails(1, &parts);
}

//! The table of other formats.

use super::{noise, picture};
use crate::support::{Finished, Lab};

/// Four pictures, compared by what the folder `bin` has.
fn compared(lab: &Lab) -> serde_json::Value {
    let arguments = "compress run in -o x.vdz --compare --json";
    let output = lab
        .command(arguments)
        .env("PATH", lab.path("bin"))
        .output()
        .expect("the program starts");
    let report = Finished::new(arguments, &output).succeeds().json();
    report["compared"].clone()
}

fn lab() -> Lab {
    let lab = Lab::trained();
    for i in 0..4 {
        lab.save(&format!("in/{i}.png"), &picture([8, 8, 3], noise(i)));
    }
    lab
}

#[test]
fn encoders_that_are_built_in_are_called_fast() {
    let rows = compared(&lab());
    let rows = rows.as_array().unwrap();
    let formats: Vec<_> = rows.iter().map(|row| row["format"].as_str()).collect();
    assert_eq!(formats, [Some("png"), Some("webp"), Some("jpegxl")]);
    for (row, tool) in rows[1..].iter().zip(["cwebp", "cjxl"]) {
        let encoder = row["encoder"].as_str().unwrap();
        assert!(encoder.contains("a fast encoder"), "{encoder}");
        assert!(encoder.contains(tool), "{encoder}");
    }
}

/// Programs that make files of a known length of whatever they get.
#[cfg(unix)]
#[test]
fn reference_encoders_on_the_path_are_used_and_named() {
    use std::os::unix::fs::PermissionsExt;
    let lab = lab();
    let cwebp = "#!/bin/sh\n[ \"$1\" = -version ] && { echo 1.3.2; exit; }\n\
                 while [ \"$1\" != -o ]; do input=$1; shift; done\n\
                 read -r _ < \"$input\" && printf 0123456789 > \"$2\"\n";
    let cjxl = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'cjxl v0.11'; exit; }\n\
                read -r _ < \"$1\" || exit 1\n\
                case \"$*\" in *'-e 9'*) printf 01234 > \"$2\";; *) printf 0123456 > \"$2\";; esac\n";
    for (name, script) in [("bin/cwebp", cwebp), ("bin/cjxl", cjxl)] {
        lab.write(name, script);
        let may_run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(lab.path(name), may_run).unwrap();
    }
    let rows = compared(&lab);
    let rows = rows.as_array().unwrap()[1..].iter();
    let rows: Vec<_> = rows
        .map(|row| (row["encoder"].as_str().unwrap(), row["bytes"].as_u64()))
        .collect();
    assert_eq!(
        rows,
        [
            ("cwebp -lossless -z 9 -exact -quiet (1.3.2)", Some(40)),
            ("cjxl -d 0 -e 7 --quiet (cjxl v0.11)", Some(28)),
            ("cjxl -d 0 -e 9 --quiet (cjxl v0.11)", Some(20)),
        ]
    );
}

#[cfg(unix)]
#[test]
fn programs_that_fail_are_named_and_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let lab = lab();
    // It works with one of its settings.
    let cjxl = "#!/bin/sh\ncase \"$*\" in *'-e 9'*) exit 3;; *) printf 0123456 > \"$2\";; esac\n";
    let cwebp = "#!/bin/sh\necho 'no such codec' >&2\necho more >&2\nexit 7\n";
    for (name, script) in [("bin/cwebp", cwebp), ("bin/cjxl", cjxl)] {
        lab.write(name, script);
        let may_run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(lab.path(name), may_run).unwrap();
    }
    let arguments = "compress run in -o x.vdz --compare";
    let output = lab.command(arguments).env("PATH", lab.path("bin")).output();
    let finished = Finished::new(arguments, &output.unwrap()).succeeds();
    let table = &finished.out;
    assert!(!table.contains("NaN"), "{table}");
    assert!(table.contains("a fast encoder, as cwebp failed"), "{table}");
    assert_eq!(table.matches("JPEG XL").count(), 1, "{table}");
    let finished = finished.tells(&["cwebp", "failed at 4 images", "status: 7: no such codec"]);
    finished.tells(&["cjxl -d 0 -e 9", "status: 3"]);
}

#[test]
fn an_archive_that_is_larger_is_not_called_smaller() {
    let lab = Lab::trained();
    lab.save("a.png", &picture([8, 8, 3], noise(0)));
    let told = lab.compress("a.png").succeeds().out;
    assert!(told.contains("times larger"), "{told}");
}

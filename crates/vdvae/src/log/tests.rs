use super::*;

fn train(step: u64) -> Entry {
    Entry::Train(TrainEntry {
        step,
        epoch: 0.5,
        seconds: 12.5,
        elbo_bits_per_dim: Some(4.75),
        elbo_filtered_bits_per_dim: Some(4.5),
        distortion_bits_per_dim: Some(4.0),
        rate_bits_per_dim: Some(0.75),
        max_gradient_norm: Some(150.0),
        learning_rate: 0.002,
        skipped_updates: 1,
        nan_distortions: 2,
        nan_rates: 3,
        seconds_per_step: 0.25,
        images_per_second: 64.0,
        terms: Default::default(),
    })
}

fn valid(step: u64) -> Entry {
    Entry::Valid(ValidEntry {
        step,
        seconds: 12.5,
        images: 400,
        bits_per_dim: 4.75,
        stderr_bits_per_dim: Some(0.125),
        distortion_bits_per_dim: 4.0,
        rate_bits_per_dim: 0.75,
    })
}

/// A directory and the log in it, with these entries.
fn log(entries: &[Entry]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log.jsonl");
    let mut writer = LogWriter::open(&path).expect("opened");
    for entry in entries {
        writer.append(entry).expect("written");
    }
    (directory, path)
}

fn append_raw(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("there");
    file.write_all(bytes).expect("written");
}

#[test]
fn entries_come_back_as_they_were() {
    let entries = [train(100), valid(100), train(200)];
    let (_directory, path) = log(&entries[..2]);
    let mut again = LogWriter::open(&path).expect("opened");
    again.append(&entries[2]).expect("written");
    assert_eq!(read(&path).expect("a log"), entries);
}

#[test]
fn a_line_is_what_programs_expect() {
    let (_directory, path) = log(&[train(100), valid(100)]);
    let text = fs::read_to_string(&path).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"event":"train","step":100,"epoch":0.5,"seconds":12.5,"elbo_bits_per_dim":4.75,"elbo_filtered_bits_per_dim":4.5,"distortion_bits_per_dim":4.0,"rate_bits_per_dim":0.75,"max_gradient_norm":150.0,"learning_rate":0.002,"skipped_updates":1,"nan_distortions":2,"nan_rates":3,"seconds_per_step":0.25,"images_per_second":64.0}"#
    );
    assert_eq!(
        lines[1],
        r#"{"event":"valid","step":100,"seconds":12.5,"images":400,"bits_per_dim":4.75,"stderr_bits_per_dim":0.125,"distortion_bits_per_dim":4.0,"rate_bits_per_dim":0.75}"#
    );
}

#[test]
fn what_is_not_a_number_is_null() {
    let Entry::Train(mut lost) = train(1) else {
        unreachable!()
    };
    lost.elbo_bits_per_dim = Some(f64::NAN);
    lost.max_gradient_norm = Some(f64::INFINITY);
    let Entry::Valid(mut undefined) = valid(1) else {
        unreachable!()
    };
    undefined.bits_per_dim = f64::NAN;
    let (_directory, path) = log(&[Entry::Train(lost), Entry::Valid(undefined)]);
    let text = fs::read_to_string(&path).expect("text");
    assert!(text.contains(r#""elbo_bits_per_dim":null"#), "{text}");
    assert!(text.contains(r#""bits_per_dim":null"#), "{text}");
    match &read(&path).expect("a log")[..] {
        [Entry::Train(train), Entry::Valid(valid)] => {
            assert_eq!(
                (train.elbo_bits_per_dim, train.max_gradient_norm),
                (None, None)
            );
            assert!(valid.bits_per_dim.is_nan());
            assert_eq!(valid.rate_bits_per_dim, 0.75);
        }
        other => panic!("{other:?}"),
    }
}

/// Wherever the last line is cut, the lines before it remain; on resume the cut goes.
#[test]
fn a_torn_last_line_is_left_out() {
    let (_directory, path) = log(&[train(100), valid(100)]);
    let whole = fs::read(&path).expect("bytes");
    let first = 1 + whole
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("two lines");
    for cut in first..whole.len() - 1 {
        fs::write(&path, &whole[..cut]).expect("written");
        assert_eq!(read(&path).expect("a log"), [train(100)], "cut at {cut}");
    }
    truncate_after(&path, 100).expect("mended");
    assert_eq!(fs::read(&path).expect("bytes"), &whole[..first]);
    LogWriter::open(&path)
        .expect("opened")
        .append(&valid(100))
        .expect("written");
    assert_eq!(fs::read(&path).expect("bytes"), whole);
}

#[test]
fn a_last_line_that_lost_only_its_end_counts() {
    let (_directory, path) = log(&[train(100), valid(100)]);
    let whole = fs::read(&path).expect("bytes");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    assert_eq!(read(&path).expect("a log").len(), 2);
    truncate_after(&path, 100).expect("mended");
    assert_eq!(fs::read(&path).expect("bytes"), whole);
}

/// A power failure can leave a file with its new length but without its last bytes.
#[test]
fn zeros_and_half_characters_at_the_end_are_torn_too() {
    for tail in [&[0; 100][..], b"{\"event\":\"\xc3"] {
        let (_directory, path) = log(&[train(100)]);
        append_raw(&path, tail);
        assert_eq!(read(&path).expect("a log"), [train(100)]);
    }
}

#[test]
fn a_broken_line_elsewhere_is_named() {
    let (_directory, path) = log(&[train(100)]);
    append_raw(&path, b"{\"event\":\"train\",\"step\":20\n");
    LogWriter::open(&path)
        .expect("opened")
        .append(&train(300))
        .expect("written");
    let before = fs::read(&path).expect("bytes");
    for error in [read(&path).err(), truncate_after(&path, 100).err()] {
        assert_eq!(
            error.expect("refused").to_string(),
            format!(
                "{}:2: expected a log entry ({{\"event\": \"train\" or \"valid\", ...}}), found \
                 \"{{\\\"event\\\":\\\"train\\\",\\\"step\\\":20\" (EOF while parsing an object); \
                 mend or delete the line",
                path.display()
            )
        );
    }
    assert_eq!(fs::read(&path).expect("bytes"), before, "unchanged");
}

#[test]
fn an_entry_of_another_kind_or_without_a_field_is_named() {
    for (line, said) in [
        (
            "{\"event\":\"party\",\"step\":1}\n",
            "unknown variant `party`",
        ),
        (
            "{\"event\":\"valid\",\"step\":1}\n",
            "missing field `seconds`",
        ),
        (
            "{\"event\":\"valid\",\"step\":-1}\n",
            "invalid value: integer `-1`",
        ),
        ("[1, 2]\n", "(invalid"),
    ] {
        let (_directory, path) = log(&[]);
        append_raw(&path, line.as_bytes());
        let message = read(&path).expect_err("refused").to_string();
        assert!(message.contains("log.jsonl:1: "), "{message}");
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn resuming_forgets_what_came_after_the_checkpoint() {
    let (directory, path) = log(&[train(100), valid(100), train(200), valid(256), train(300)]);
    truncate_after(&path, 200).expect("rewritten");
    let kept = [train(100), valid(100), train(200)];
    assert_eq!(read(&path).expect("a log"), kept);
    let entries = fs::read_dir(directory.path()).expect("a directory");
    assert_eq!(entries.count(), 1, "nothing beside the log");
    truncate_after(&path, 0).expect("rewritten");
    assert_eq!(read(&path).expect("a log"), []);
}

/// Fields that a later version adds survive a resumption with this one.
#[test]
fn truncation_keeps_lines_byte_for_byte() {
    let line = r#"{"event":"valid","seconds":1,"step":7,"images":1,"bits_per_dim":1e0,"stderr_bits_per_dim":0,"distortion_bits_per_dim":1,"rate_bits_per_dim":0,"later":[1]}"#;
    let (_directory, path) = log(&[]);
    append_raw(&path, format!("{line}\n\n{line}\r\n").as_bytes());
    truncate_after(&path, 7).expect("rewritten");
    assert_eq!(
        fs::read_to_string(&path).expect("text"),
        format!("{line}\n{line}\n")
    );
}

#[test]
fn a_missing_log() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log.jsonl");
    truncate_after(&path, 5).expect("nothing to do");
    assert!(!path.exists());
    let message = read(&path).expect_err("missing").to_string();
    assert!(
        message.contains("log.jsonl: cannot read the log: "),
        "{message}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported() {
    let mut writer = LogWriter::open(Path::new("/dev/full")).expect("opened");
    let error = writer.append(&valid(1)).expect_err("full");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
}

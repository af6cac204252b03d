//! Pickles as plain data.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use vdvae_formats::pickle::{Pickle, PickleError, numpy};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn parse(bytes: &[u8]) -> Result<Pickle<'_>, PickleError> {
    Pickle::parse(bytes, numpy::GLOBALS)
}

#[test]
fn all_protocols_are_read_as_python_and_numpy_write_them() {
    for protocol in 0..=5 {
        let bytes = fs::read(fixture(&format!("array-protocol{protocol}.pickle"))).unwrap();
        let pickle = parse(&bytes).unwrap();
        let root = pickle.root();
        let array = numpy::array(root.get("data").unwrap()).unwrap();
        assert_eq!(
            (array.dtype.as_str(), &array.shape[..], array.fortran_order),
            ("u1", &[2, 12][..], false)
        );
        assert_eq!(
            *array.data,
            *(200..224).collect::<Vec<u8>>(),
            "protocol {protocol}"
        );
        let labels = root.get("labels").unwrap().elements().unwrap();
        let integers: Vec<_> = labels.iter().map(|label| label.as_int()).collect();
        assert_eq!(
            integers,
            [Some(3), Some(-5), Some(1 << 70), None, Some(1), None]
        );
        assert_eq!(labels[3].as_float(), Some(2.5));
        assert_eq!(labels[4].as_bool(), Some(true));
        assert!(labels[5].is_none());
        assert_eq!(root.get("text").unwrap().as_str(), Some("a€\n"));
        assert_eq!(root.get("raw").unwrap().as_bytes().unwrap(), &b"\0\xFF"[..]);
        assert_eq!(
            root.get("pair").unwrap().elements().unwrap()[1].as_str(),
            Some("two")
        );
        assert_eq!(
            root.get("same").unwrap().elements().unwrap().len(),
            labels.len()
        );
        assert!(root.get("nothing").is_none());
    }
}

#[test]
fn an_array_in_fortran_order_says_so() {
    let bytes = fs::read(fixture("fortran.pickle")).unwrap();
    assert!(
        numpy::array(parse(&bytes).unwrap().root())
            .unwrap()
            .fortran_order
    );
}

#[test]
fn a_pickle_that_tries_to_run_code_is_refused_by_name() {
    for (bytes, name) in [
        (&b"cos\nsystem\n(S'touch /tmp/owned'\ntR."[..], "os.system"),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
            "builtins.eval",
        ),
        (b"c__builtin__\nexec\n.", "__builtin__.exec"),
        (b"cnumpy\nload\n.", "numpy.load"),
    ] {
        let error = parse(bytes).unwrap_err();
        assert_eq!(
            error,
            PickleError::RefusedGlobal {
                name: name.to_owned()
            }
        );
        assert!(
            error.to_string().contains("Nothing in it was run"),
            "{error}"
        );
    }
    // INST and OBJ call without naming first; extensions and buffers refer to things elsewhere.
    for opcode in [b'i', b'o', 0x82, 0x83, 0x84, 0x97] {
        let bytes = [b'(', opcode, b'o', b's', b'\n', b'x', b'\n', b'.'];
        assert_eq!(
            parse(&bytes).unwrap_err(),
            PickleError::RefusedInstruction { opcode, at: 1 }
        );
    }
}

#[test]
fn a_call_is_data_with_state_and_entries() {
    let bytes = b"ccollections\nOrderedDict\n)R(S'a'\nI1\nS'b'\nI2\nu}S'version'\nI7\nsb.";
    let pickle = Pickle::parse(bytes, &[("collections", "OrderedDict")]).unwrap();
    let call = pickle.root().as_call().unwrap();
    assert_eq!(
        (call.module, call.name, call.arguments.len()),
        ("collections", "OrderedDict", 0)
    );
    let entries: Vec<_> = call
        .entries
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_int()))
        .collect();
    assert_eq!(entries, [(Some("a"), Some(1)), (Some("b"), Some(2))]);
    assert_eq!(
        call.state.unwrap().get("version").unwrap().as_int(),
        Some(7)
    );
}

#[test]
fn persistent_references_keep_their_name() {
    let pickle = parse(b"(S'storage'\nI5\ntQ.").unwrap();
    let name = pickle.root().as_persistent().unwrap().elements().unwrap();
    assert_eq!(
        (name[0].as_str(), name[1].as_int()),
        (Some("storage"), Some(5))
    );
}

#[test]
fn circles_and_deep_nesting_do_no_harm() {
    let pickle = parse(b"]q\x00h\x00a.").unwrap();
    let inner = pickle.root().elements().unwrap()[0];
    assert_eq!(inner.elements().unwrap().len(), 1);
    let mut deep = b"N".to_vec();
    deep.resize(1_000_000, 0x85);
    deep.push(b'.');
    assert!(parse(&deep).is_ok());
}

#[test]
fn damaged_pickles_are_errors() {
    for bytes in [
        &b""[..],
        b".",
        b"N",
        b"I12",
        b"Ix\n.",
        b"h\x05.",
        b"(",
        b"1.",
        b"t.",
        b"(I1\nd.",
        b"NNs.",
        b"NNR.",
        b"NNb.",
        b"NN\x93.",
        b"(N0.0.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\x00\x00\x00\x80.",
        b"X\x02\x00\x00\x00\xff\xfe.",
    ] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
    assert_eq!(
        parse(b"N\x8c\x05ab").unwrap_err(),
        PickleError::Truncated { at: 1 }
    );
    let endless = vec![b'N'; 5 << 20];
    assert!(matches!(parse(&endless), Err(PickleError::TooLarge { .. })));
}

#[test]
fn an_array_must_have_the_data_that_its_shape_says() {
    let bytes = fs::read(fixture("array-protocol2.pickle")).unwrap();
    let shape = bytes
        .windows(5)
        .position(|window| window == b"K\x02K\x0c\x86")
        .unwrap();
    let mut wrong = bytes.clone();
    wrong[shape + 3] = 13;
    let pickle = parse(&wrong).unwrap();
    let error = numpy::array(pickle.root().get("data").unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("[2, 13] with 24 bytes"), "{error}");
    let pickle = parse(&bytes).unwrap();
    let error = numpy::array(pickle.root().get("labels").unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a list where a NumPy array was expected"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_change_of_a_good_pickle_makes_the_reader_panic(
        protocol in 0..=5, at in any::<prop::sample::Index>(), value in any::<u8>()
    ) {
        let mut bytes = fs::read(fixture(&format!("array-protocol{protocol}.pickle"))).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(pickle) = parse(&bytes)
            && let Some(data) = pickle.root().get("data")
        {
            let _ = numpy::array(data);
        }
    }
}

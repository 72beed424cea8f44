//! Whatever a client or an upstream sends, nothing panics, and what is written is read as the same.
//!
//! Each target runs for a second. For longer runs, in milliseconds:
//! `BOLERO_RANDOM_TEST_TIME_MS=600000 BOLERO_RANDOM_ITERATIONS=1000000000 cargo test -p gateway --lib fuzz`.

use bolero::check;
use serde_json::value::RawValue;

use super::{Arguments, Json, Multipart, Path};

#[test]
fn arguments() {
    check!().for_each(|input: &[u8]| {
        let Ok(mut arguments) = Arguments::parse(input) else { return };
        assert_eq!(Arguments::parse(&arguments.encode()).unwrap(), without_nothing(&arguments));
        arguments.rename(b"a", b"b");
        arguments.replace(b"b", input);
        arguments.remove(b"c");
        arguments.add(b"d", input);
    });
}

/// An argument with neither a name nor a value cannot be written.
fn without_nothing(arguments: &Arguments) -> Arguments {
    let mut kept = Arguments::default();
    for (name, value) in arguments.iter().filter(|(name, value)| !(name.is_empty() && value.is_none())) {
        kept.append(name, value);
    }
    kept
}

#[test]
fn multipart() {
    const TYPE: &[u8] = b"multipart/form-data; boundary=b";
    check!().for_each(|input: &[u8]| {
        // Random bytes seldom have a boundary.
        let body: Vec<u8> = input.iter().flat_map(|byte| piece(*byte)).copied().collect();
        for body in [input, body.as_slice()] {
            let Ok(Some(mut form)) = Multipart::parse(TYPE, body) else { continue };
            assert_eq!(Multipart::parse(TYPE, &form.encode()), Ok(Some(form.clone())));
            form.rename(b"a", b"c");
            form.replace(b"c", b"1");
            form.remove(b"b");
            assert_eq!(Multipart::parse(TYPE, &form.encode()), Ok(Some(form)));
        }
    });
}

fn piece(byte: u8) -> &'static [u8] {
    const PIECES: [&[u8]; 9] = [
        b"--b",
        b"\r\n",
        b"\r\n--b\r\n",
        b"Content-Disposition: form-data; name=a\r\n",
        b"content-disposition: x; name=\"b\\\"\"; filename=f",
        b"\r\n\r\n",
        b"--",
        b" ",
        b"x",
    ];
    PIECES[usize::from(byte) % PIECES.len()]
}

#[test]
fn json() {
    check!().for_each(|input: &[u8]| {
        let text: String =
            input.iter().map(|byte| char::from(b"{}[]\":,a.01 "[usize::from(byte % 12)])).collect();
        for text in [input, text.as_bytes()] {
            let Ok(Some(mut json)) = Json::parse(text) else { continue };
            let value = || RawValue::from_string("1".to_owned()).unwrap();
            for path in ["a", "a.0", "a.a", "", "0.a.a"].map(|name| Path::new(name, true)) {
                json.append(&path, value()).unwrap();
                json.replace(&path, value()).unwrap();
                json.rename(&path, &Path::new("a.b", true)).unwrap();
                json.add(&path, value()).unwrap();
                json.remove(&path).unwrap();
            }
            assert!(Json::parse(&json.encode()).unwrap().is_some());
        }
    });
}

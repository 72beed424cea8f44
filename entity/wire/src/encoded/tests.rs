use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::position::Position;
use crate::update::{Assembly, Encoding, MAX_ENCODED, Mode, UpdateError};

/// Bytes that do not shrink.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut noise = seed;
    let next = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn of_payload(payload: Vec<u8>) -> EncodedUpdate {
    let to = Position { epoch: Uuid::from_u128(1), revision: 9, root: Root([7; 32]) };
    EncodedUpdate::new(&Update::new(Mode::Snapshot, 0, to, payload.into()))
}

fn encoded(seed: u64, length: usize) -> EncodedUpdate {
    of_payload(noise(seed, length))
}

fn send(payload: &[u8]) -> (EncodedUpdate, Result<Bytes, UpdateError>) {
    let encoded = of_payload(payload.to_vec());
    let assembly = receive(None, &encoded.frames);
    assert!(assembly.is_complete());
    assert_eq!(assembly.header().position(), encoded.header.position());
    let payload = assembly.finish().payload();
    (encoded, payload)
}

/// Receives frames as a data plane does.
fn receive(kept: Option<Assembly>, frames: &[Bytes]) -> Assembly {
    let mut assembly = kept;
    for frame in frames {
        match Frame::decode(frame).expect("own frames are read") {
            Frame::Update(header, part) => {
                assembly = Some(Assembly::begin(header, part).expect("in limits"));
            }
            Frame::Continued(header, from) => {
                assert!(assembly.as_ref().expect("kept").is_completed_by(&header, from));
            }
            Frame::More(part) => assembly.as_mut().expect("begun").push(part).expect("as announced"),
            other => panic!("{other:?}"),
        }
    }
    assembly.expect("at least one frame")
}

#[test]
fn payloads_of_every_size_arrive_whole() {
    for len in [0, 1, 1000, PART, PART + 1, MAX_FRAME, 3 * MAX_FRAME + 17] {
        let payload = noise(1, len);
        let (encoded, read) = send(&payload);
        assert_eq!(read.expect("decodes"), payload);
        assert!(encoded.frames.iter().all(|frame| frame.len() <= MAX_FRAME));
    }
}

#[test]
fn text_shrinks() {
    let (encoded, read) = send("{\"paths\":[\"/a\"]}".repeat(1000).as_bytes());
    assert_eq!(encoded.header.encoding, Encoding::Zstd);
    assert!(encoded.bytes() < 400, "{}", encoded.bytes());
    assert!(read.is_ok());
}

#[test]
fn what_was_not_announced_is_refused() {
    let (encoded, _) = send(&[b'a'; 4000]);
    let header = encoded.header;
    let part = |header| {
        let Frame::Update(_, part) = Frame::decode(&encoded.frames[0]).expect("own frame") else { panic!() };
        Assembly::begin(header, part)
    };
    assert!(matches!(
        part(UpdateHeader { encoded_len: MAX_ENCODED + 1, ..header }),
        Err(UpdateError::TooLarge { .. })
    ));
    assert!(matches!(part(UpdateHeader { encoded_len: 3, ..header }), Err(UpdateError::Overrun(3))));
    let bomb = part(UpdateHeader { decoded_len: 100, ..header }).expect("in limits").finish();
    assert!(matches!(bomb.payload(), Err(UpdateError::Payload(_))));
}

#[test]
fn update_goes_on_from_every_frame_and_is_the_same() {
    let update = encoded(1, 5 * MAX_FRAME / 2);
    let whole = receive(None, &update.frames).finish().payload().expect("decodes");
    for at in 1..update.frames.len() {
        let kept = receive(None, &update.frames[..at]);
        let partial = kept.partial().expect("a part");
        assert!(update.continues(&partial));
        let frames = update.frames_from(partial.received);
        assert_eq!(frames.len(), 1 + update.frames.len() - at);
        let end = receive(Some(kept), &frames);
        assert!(end.is_complete());
        assert_eq!(end.finish().payload().expect("decodes"), whole);
    }
}

#[test]
fn any_byte_is_a_place_to_go_on_from() {
    let update = encoded(1, 100_000);
    for from in [1, 1000, 32_600, 32_768, 65_536, 99_999] {
        let frames = update.frames_from(from);
        let rest: usize = frames[1..].iter().map(|frame| frame.len() - 1).sum();
        assert_eq!(rest as u64, update.header.encoded_len - from, "{from}");
    }
}

#[test]
fn another_update_or_a_forged_hash_does_not_continue() {
    let (update, other) = (encoded(1, 100_000), encoded(2, 100_000));
    let partial = receive(None, &update.frames[..2]).partial().expect("a part");
    assert!(update.continues(&partial) && !other.continues(&partial), "one header, other bytes");
    for forged in [
        Partial { hash: Root([1; 32]), ..partial.clone() },
        Partial { received: partial.received - 1, ..partial.clone() },
        Partial { received: partial.encoded_len, ..partial.clone() },
        Partial { received: u64::MAX, ..partial.clone() },
        Partial { from: 1, ..partial.clone() },
        Partial { mode: "delta".into(), ..partial.clone() },
        Partial { to: Position { revision: 8, ..partial.to }, ..partial.clone() },
    ] {
        assert!(!update.continues(&forged), "{forged:?}");
    }
}

#[test]
fn nothing_is_kept_of_a_repair_or_of_no_byte() {
    let header = |mode| UpdateHeader { mode, ..encoded(1, 1000).header };
    let kept = |mode, part: &'static [u8]| {
        Assembly::begin(header(mode), Bytes::from_static(part)).expect("in limits").partial()
    };
    assert!(kept(Mode::Repair, b"a").is_none() && kept(Mode::Snapshot, b"").is_none());
    assert!(kept(Mode::Delta, b"a").is_some());
}

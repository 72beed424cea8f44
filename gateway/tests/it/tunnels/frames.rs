//! Frames that WebSocket clients may send (RFC 6455), and frames that they may not: the topics of the
//! Autobahn suite.

/// The bytes that a client sends after its handshake.
pub(super) struct Case {
    pub(super) name: String,
    /// The pieces, each written by itself.
    pub(super) pieces: Vec<Vec<u8>>,
    /// Whether the client closes its direction afterwards.
    pub(super) half_close: bool,
    /// How many messages the server echoes, and the code of its final close frame.
    pub(super) expected: (usize, Option<u16>),
}

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const NORMAL: u16 = 1000;
const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_LARGE: u16 = 1009;

/// More than a hundred cases.
pub(super) fn cases() -> Vec<Case> {
    [sizes(), fragments(), controls(), closes(), texts(), broken(), ends()].into_iter().flatten().collect()
}

fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (opcode, kind) in [(TEXT, "text"), (BINARY, "binary")] {
        for size in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20] {
            let bytes = frame(FIN | opcode, &vec![b'*'; size]);
            for piece in [usize::MAX, 997, 1] {
                // A million pieces would prove no more than some hundred.
                if piece >= bytes.len() / 200 {
                    let name = format!("{kind} of {size}, {piece} at a time");
                    cases.push(good(&name, &[&bytes], 1).in_pieces_of(piece));
                }
            }
        }
    }
    cases
}

fn fragments() -> Vec<Case> {
    let begin = |payload: &str| frame(TEXT, payload.as_bytes());
    let more = |payload: &str| frame(CONTINUATION, payload.as_bytes());
    let end = |payload: &str| frame(FIN | CONTINUATION, payload.as_bytes());
    let (large, chunk) = (frame(BINARY, &[0; 4096]), frame(CONTINUATION, &[0; 4096]));
    let many = [vec![large], vec![chunk; 254], vec![frame(FIN | CONTINUATION, &[0; 4096])]].concat().concat();
    vec![
        good("two fragments", &[&begin("Hel"), &end("lo")], 1),
        good("three fragments", &[&begin("H"), &more("el"), &end("lo")], 1),
        good("empty fragments", &[&begin(""), &more(""), &end("")], 1),
        good("empty but the middle", &[&begin(""), &more("Hello"), &end("")], 1),
        good("one byte at a time", &[&begin("Hel"), &end("lo")], 1).in_pieces_of(1),
        good("256 fragments", &[&many], 1),
        good("ping between", &[&begin("Hel"), &frame(FIN | PING, b"?"), &end("lo")], 1),
        good("pong between", &[&begin("Hel"), &frame(FIN | PONG, b"?"), &end("lo")], 1),
        good("two messages", &[&begin("a"), &end("b"), &begin("c"), &end("d")], 2),
        bad("an end without a beginning", &[&end("lo")], 0, PROTOCOL),
        bad("more without a beginning", &[&more("lo"), &end("")], 0, PROTOCOL),
        bad("a message within a message", &[&begin("a"), &frame(FIN | TEXT, b"b")], 0, PROTOCOL),
        bad("a beginning within a message", &[&begin("a"), &begin("b")], 0, PROTOCOL),
    ]
}

fn controls() -> Vec<Case> {
    let ping = |size: usize| frame(FIN | PING, &vec![0xfe; size]);
    let text = frame(FIN | TEXT, b"text");
    vec![
        good("ping", &[&ping(0)], 0),
        good("ping of 1", &[&ping(1)], 0),
        good("ping of 125", &[&ping(125)], 0),
        good("ping of 125, one byte at a time", &[&ping(125)], 0).in_pieces_of(1),
        good("ten pings", &[&ping(3).repeat(10)], 0),
        good("pong that nobody asked for", &[&frame(FIN | PONG, b"?"), &ping(2), &text], 1),
        good("ping, text, ping", &[&ping(1), &text, &ping(2)], 1),
        bad("ping of 126", &[&ping(126)], 0, PROTOCOL),
        bad("text, ping of 126", &[&text, &ping(126)], 1, PROTOCOL),
        bad("ping in fragments", &[&frame(PING, b"?"), &frame(FIN | CONTINUATION, b"?")], 0, PROTOCOL),
        bad("pong in fragments", &[&frame(PONG, b"?"), &frame(FIN | CONTINUATION, b"?")], 0, PROTOCOL),
    ]
}

fn closes() -> Vec<Case> {
    let closing = |code: u16, reason: &[u8]| frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat());
    let case = |name: &str, frames: &[&[u8]], code| Case::new(name, frames, (0, code));
    let mut cases = vec![
        case("close without a code", &[&frame(FIN | CLOSE, b"")], None),
        case("close with a long reason", &[&closing(NORMAL, &[b'*'; 123])], Some(NORMAL)),
        case("close, one byte at a time", &[&closing(NORMAL, b"bye")], Some(NORMAL)).in_pieces_of(1),
        case("close twice", &[&closing(NORMAL, b""), &closing(1001, b"")], Some(NORMAL)),
        case("text behind close", &[&closing(NORMAL, b""), &frame(FIN | TEXT, b"late")], Some(NORMAL)),
        case("ping behind close", &[&closing(NORMAL, b""), &frame(FIN | PING, b"late")], Some(NORMAL)),
        case("close within a message", &[&frame(TEXT, b"a"), &closing(NORMAL, b"")], Some(NORMAL)),
        case("close with half a code", &[&frame(FIN | CLOSE, &[3])], Some(PROTOCOL)),
        case("close of 126", &[&closing(NORMAL, &[b'*'; 124])], Some(PROTOCOL)),
        case("close with a reason that is not UTF-8", &[&closing(NORMAL, &[0xff])], Some(NOT_UTF8)),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(case(&format!("close {code}"), &[&closing(code, b"bye")], Some(code)));
    }
    for code in [0, 999, 1005, 1006, 1015, 5000, 65_535] {
        cases.push(case(
            &format!("close {code}, which nobody may send"),
            &[&closing(code, b"")],
            Some(PROTOCOL),
        ));
    }
    cases
}

fn texts() -> Vec<Case> {
    let word = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5} \u{10ffff}".as_bytes();
    let mut cases = vec![good("UTF-8", &[&frame(FIN | TEXT, word)], 1)];
    for at in [1, 3, 13] {
        let parts = [frame(TEXT, &word[..at]), frame(FIN | CONTINUATION, &word[at..])];
        cases.push(good(&format!("UTF-8 cut at {at}"), &[&parts.concat()], 1));
    }
    for wrong in [
        &b"\xff"[..],
        b"a\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\x80",
        b"\xf0\x80\x80\xaf",
    ] {
        let name = format!("{} is not UTF-8", wrong.escape_ascii());
        cases.push(bad(&name, &[&frame(FIN | TEXT, wrong)], 0, NOT_UTF8));
        let parts = [frame(TEXT, b"good"), frame(FIN | CONTINUATION, wrong)].concat();
        cases.push(bad(&format!("{name}, behind what is"), &[&parts], 0, NOT_UTF8));
        cases.push(good(&format!("{name}, but binary"), &[&frame(FIN | BINARY, wrong)], 1));
    }
    cases
}

fn broken() -> Vec<Case> {
    let text = frame(FIN | TEXT, b"text");
    let mut cases = Vec::new();
    for bit in [0x40, 0x20, 0x10, 0x70] {
        for opcode in [TEXT, BINARY, PING, CLOSE] {
            let name = format!("reserved bits {bit:x} of {opcode}");
            cases.push(bad(&name, &[&text, &frame(FIN | bit | opcode, b"")], 1, PROTOCOL));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let name = format!("reserved opcode {opcode}");
        cases.push(bad(&name, &[&text, &frame(FIN | opcode, b"x"), &text], 1, PROTOCOL));
    }
    cases.push(bad("a frame without a mask", &[&text, b"\x81\x01x", &text], 1, PROTOCOL));
    cases.push(good("a length of 16 bits that needs 7", &[b"\x82\xfe\x00\x01\0\0\0\0x"], 1));
    cases.push(good("a length of 64 bits that needs 7", &[b"\x82\xff\0\0\0\0\0\0\x00\x01\0\0\0\0x"], 1));
    cases.push(bad("a length of 2^63", &[b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0x"], 0, TOO_LARGE));
    cases
}

fn ends() -> Vec<Case> {
    let text = frame(FIN | TEXT, b"text");
    let half = |name: &str, frames: &[&[u8]], messages| Case {
        half_close: true,
        ..Case::new(name, frames, (messages, None))
    };
    vec![
        half("an end behind the handshake", &[], 0),
        half("an end behind a message", &[&text], 1),
        half("an end behind a large message", &[&frame(FIN | BINARY, &vec![0; 1 << 20])], 1),
        half("an end within a header", &[&text, &text[..1]], 1),
        half("an end within a frame", &[&text, &text[..8]], 1),
        half("an end within a message", &[&text, &frame(TEXT, b"a")], 1),
        Case { half_close: true, ..good("an end behind a close", &[&text], 1) },
    ]
}

impl Case {
    fn new(name: &str, frames: &[&[u8]], expected: (usize, Option<u16>)) -> Self {
        Self { name: name.to_owned(), pieces: vec![frames.concat()], half_close: false, expected }
    }

    fn in_pieces_of(self, size: usize) -> Self {
        let pieces = self.pieces.concat();
        Self { pieces: pieces.chunks(size).map(<[u8]>::to_vec).collect(), ..self }
    }
}

/// The server echoes `messages`; the client closes afterwards.
fn good(name: &str, frames: &[&[u8]], messages: usize) -> Case {
    let close = frame(FIN | CLOSE, &NORMAL.to_be_bytes());
    Case::new(name, &[frames, &[&close]].concat(), (messages, Some(NORMAL)))
}

/// The server refuses with `code`, and ignores the bytes after it.
fn bad(name: &str, frames: &[&[u8]], messages: usize, code: u16) -> Case {
    let behind = frame(FIN | TEXT, b"behind");
    Case::new(name, &[frames, &[&behind]].concat(), (messages, Some(code)))
}

/// A frame with a client's mask, and the shortest length.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65_536 => frame.extend([&[0x80 | 126], &(len as u16).to_be_bytes()[..]].concat()),
        len => frame.extend([&[0x80 | 127], &(len as u64).to_be_bytes()[..]].concat()),
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

//! Regular expressions over canonical paths: respells an operator's literals as canonical paths spell them.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};
use regex_syntax::utf8::{Utf8Range, Utf8Sequences};

use crate::routing::percent::{is_plain, recode_literal};

/// The most runs of encodings that a class gets to have each of its characters matched precisely.
const MAX_RUNS: usize = 64;
/// A class of more characters beyond ASCII than this, such as `.`, `\w` and `[^/]`, is large.
const LARGE: u32 = 4096;

/// `hir` with its literals and classes spelt as in [canonical paths](crate::normalize_path).
pub(super) fn canonical(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => hir.clone(),
        HirKind::Literal(literal) => Hir::literal(recode_literal(&literal.0).into_bytes()),
        HirKind::Class(Class::Unicode(class)) => spell_class(class),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(canonical(&repetition.sub));
            Hir::repetition(Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => {
            let sub = Box::new(canonical(&capture.sub));
            Hir::capture(Capture { sub, ..capture.clone() })
        }
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(canonical).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(canonical).collect()),
    }
}

/// Whether a class within `hir` has no character, so that nothing can match it.
pub(super) fn has_empty_class(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) => false,
        HirKind::Class(Class::Unicode(class)) => class.ranges().is_empty(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().is_empty(),
        HirKind::Repetition(repetition) => has_empty_class(&repetition.sub),
        HirKind::Capture(capture) => has_empty_class(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(has_empty_class),
    }
}

/// The ASCII part of the class, and before it the encodings of the characters that canonical paths encode.
fn spell_class(class: &ClassUnicode) -> Hir {
    let ascii = intersection(class, &between('\0', '\x7f'));
    let others = intersection(class, &between('\u{80}', char::MAX));
    let characters = |range: &ClassUnicodeRange| u32::from(range.end()) - u32::from(range.start()) + 1;
    let is_large = others.iter().map(characters).sum::<u32>() > LARGE;
    // Such as `.` and `[^/]`: encoded ASCII is matched digit by digit, which keeps the expression small.
    let has_percent = is_large && class.iter().any(|range| (range.start()..=range.end()).contains(&'%'));
    let encoded_ascii = intersection(&ascii, &encoded_in_ascii());
    let mut spelt = if has_percent { Vec::new() } else { encodings(&encoded_ascii) };
    let precise = encodings(&others);
    if precise.len() <= MAX_RUNS && !has_percent {
        spelt.extend(precise);
    } else if is_large || ascii.ranges().is_empty() {
        spelt.push(any_encoded());
    }
    // Else it has few characters in many places, such as `\d`: of those the ASCII ones are meant.
    if spelt.is_empty() || !ascii.ranges().is_empty() {
        spelt.push(Hir::class(Class::Unicode(ascii)));
    }
    Hir::alternation(spelt)
}

/// The encodings of all characters of a class; one more than [`MAX_RUNS`] stands for more.
fn encodings(class: &ClassUnicode) -> Vec<Hir> {
    let runs = class.iter().flat_map(|range| Utf8Sequences::new(range.start(), range.end()));
    let spell = |bytes: &[Utf8Range]| Hir::concat(bytes.iter().map(encoded_bytes).collect());
    runs.take(MAX_RUNS + 1).map(|run| spell(run.as_slice())).collect()
}

/// The encoding of any one character beyond ASCII.
fn any_encoded() -> Hir {
    let continuation = Box::new(encoded_bytes(&Utf8Range { start: 0x80, end: 0xbf }));
    let continuations = Repetition { min: 1, max: None, greedy: true, sub: continuation };
    Hir::concat(vec![encoded_bytes(&Utf8Range { start: 0xc0, end: 0xff }), Hir::repetition(continuations)])
}

/// The encoding of one byte of a range.
fn encoded_bytes(range: &Utf8Range) -> Hir {
    let (first, last) = (range.start >> 4, range.end >> 4);
    // First digits, and the second digits that all of them may have.
    let mut rows: Vec<([u8; 2], [u8; 2])> = Vec::new();
    for high in first..=last {
        let from = if high == first { range.start & 15 } else { 0 };
        let to = if high == last { range.end & 15 } else { 15 };
        match rows.last_mut() {
            Some((highs, lows)) if *lows == [from, to] => highs[1] = high,
            _ => rows.push(([high; 2], [from, to])),
        }
    }
    let pairs = rows.into_iter().map(|(highs, lows)| Hir::concat(vec![digits(highs), digits(lows)]));
    Hir::concat(vec![Hir::literal(*b"%"), Hir::alternation(pairs.collect())])
}

fn digits([from, to]: [u8; 2]) -> Hir {
    let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
    Hir::class(Class::Unicode(ClassUnicode::new((from..=to).map(|value| only(digit(value))))))
}

fn encoded_in_ascii() -> ClassUnicode {
    ClassUnicode::new(('\0'..='\x7f').filter(|character| !is_kept(*character)).map(only))
}

fn only(character: char) -> ClassUnicodeRange {
    ClassUnicodeRange::new(character, character)
}

fn between(start: char, end: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(start, end)])
}

fn intersection(class: &ClassUnicode, other: &ClassUnicode) -> ClassUnicode {
    let mut class = class.clone();
    class.intersect(other);
    class
}

/// Whether canonical paths hold this character unencoded.
fn is_kept(character: char) -> bool {
    character == '%' || u8::try_from(character).is_ok_and(|byte| byte.is_ascii() && is_plain(byte))
}

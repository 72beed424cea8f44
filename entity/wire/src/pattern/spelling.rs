//! Regular expressions over canonical paths: respells an operator's literals as canonical paths spell them.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};

use crate::percent::{is_plain, recode_literal};

/// The most characters of a class that get their encoded spelling. Larger classes, such as `.`, `\w` and
/// `[^/]`, match the characters of an encoding one by one. They keep only their ASCII characters: canonical
/// paths have no others, and the expression shrinks to a tenth.
const MAX_ENCODED: usize = 64;

/// `hir` with its literals and small classes spelt as in [canonical paths](crate::normalize_path).
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

/// The class, with an alternative for each of its characters that canonical paths always encode.
fn spell_class(class: &ClassUnicode) -> Hir {
    let mut encoded = Vec::new();
    let mut plain = ClassUnicode::empty();
    for range in class.iter() {
        for character in range.start()..=range.end() {
            if is_kept(character) {
                plain.push(ClassUnicodeRange::new(character, character));
            } else if encoded.len() == MAX_ENCODED {
                return ascii(class);
            } else {
                let text = recode_literal(character.to_string().as_bytes());
                encoded.push(Hir::literal(text.into_bytes()));
            }
        }
    }
    if encoded.is_empty() {
        return Hir::class(Class::Unicode(class.clone()));
    }
    Hir::alternation([Hir::class(Class::Unicode(plain))].into_iter().chain(encoded).collect())
}

fn ascii(class: &ClassUnicode) -> Hir {
    let mut class = class.clone();
    class.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]));
    Hir::class(Class::Unicode(class))
}

/// Whether canonical paths hold this character unencoded.
fn is_kept(character: char) -> bool {
    character == '%' || u8::try_from(character).is_ok_and(|byte| byte.is_ascii() && is_plain(byte))
}

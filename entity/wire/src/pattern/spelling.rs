//! Regular expressions over canonical paths: what an operator writes as it looks is matched as it is spelt there.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};

use crate::percent::{is_plain, recode_literal};

/// The most characters of a class that get their encoded spelling. Larger classes, such as `.`, `\w` and `[^/]`,
/// match the characters of an encoding one by one; of them only ASCII is left, which is all that canonical paths
/// have, and a tenth of the expression's size.
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

/// The class, and beside it the spelling of each of its characters that canonical paths have encoded only.
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

/// Whether canonical paths have this character as it is.
fn is_kept(character: char) -> bool {
    character == '%' || u8::try_from(character).is_ok_and(|byte| byte.is_ascii() && is_plain(byte))
}

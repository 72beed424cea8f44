//! Lines of messages that have ended, for the next ones on the same thread. Those that were given back last are taken
//! first, and are in the cache still: mimalloc hands out the memory that was freed longest ago. A thread keeps 120 KB at
//! most.

use std::cell::RefCell;

use super::Lines;

/// Bytes of text that there is room for: the fields of a usual plugin.
const USUAL_TEXT: usize = 192;
/// Fields that there is room for.
const USUAL_FIELDS: usize = 6;
/// Lines with room for more text are freed.
const LARGEST_TEXT: usize = 1024;
/// Lines with room for more fields are freed.
const MOST_FIELDS: usize = 32;
/// A thread keeps the lines of at most this many messages.
const MOST_KEPT: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "a box is kept, not its content")]
    static SPARE: RefCell<Vec<Box<Lines>>> = const { RefCell::new(Vec::new()) };
}

/// Empty lines.
pub(super) fn take() -> Box<Lines> {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
    let new = || Lines { text: Vec::with_capacity(USUAL_TEXT), fields: Vec::with_capacity(USUAL_FIELDS) };
    spare.ok().flatten().unwrap_or_else(|| Box::new(new()))
}

/// Keeps lines for the next message.
pub(super) fn give_back(mut lines: Box<Lines>) {
    if lines.text.capacity() > LARGEST_TEXT || lines.fields.capacity() > MOST_FIELDS {
        return;
    }
    lines.text.clear();
    lines.fields.clear();
    // While a thread ends, nothing is kept.
    let kept = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MOST_KEPT {
            spare.push(lines);
        }
    });
    kept.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    fn used() -> Box<Lines> {
        let mut lines = take();
        lines.push((&names::VIA).into(), b"1");
        lines
    }

    #[test]
    fn last_lines_are_taken_first_and_are_empty() {
        let lines = [used(), used()];
        let places = lines.each_ref().map(|lines| lines.text.as_ptr().addr());
        lines.into_iter().for_each(give_back);
        let again = [take(), take()];
        assert!(again.iter().all(|lines| lines.text.is_empty() && lines.fields.is_empty()));
        assert_eq!(again.map(|lines| lines.text.as_ptr().addr()), [places[1], places[0]]);
    }

    #[test]
    fn few_lines_of_usual_size_are_kept() {
        let kept = || SPARE.with(|spare| spare.borrow().len());
        let mut large = [used(), used()];
        large[0].text.reserve(LARGEST_TEXT);
        large[1].fields.reserve(MOST_FIELDS);
        let before = kept();
        large.into_iter().for_each(give_back);
        assert_eq!(kept(), before);
        (0..=MOST_KEPT).map(|_| Box::default()).for_each(give_back);
        assert_eq!(kept(), MOST_KEPT);
    }
}

//! The beginning of a member of a JSON object.

use crate::json_text::write_text;

/// Writes the name of a member, and the comma before it.
pub(super) fn begin_member(out: &mut Vec<u8>, is_first: &mut bool, name: &[u8]) {
    if !std::mem::replace(is_first, false) {
        out.push(b',');
    }
    write_text(out, name);
    out.push(b':');
}

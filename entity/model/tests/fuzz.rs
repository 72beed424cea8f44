//! Fuzz targets. Whatever text or body arrives, nothing panics, and every canonical form is its own.
//!
//! Each target runs for a second. For longer runs, in milliseconds:
//! `BOLERO_RANDOM_TEST_TIME_MS=600000 BOLERO_RANDOM_ITERATIONS=1000000000 cargo test -p model --test fuzz`.

use bolero::check;
use model::KINDS;
use uuid::Uuid;

/// Every path and host has one canonical form, and that form is its own canonical form.
#[test]
fn canonical_forms() {
    check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let path = format!("/{text}");
        let once = model::normalize_path(&path).unwrap_or(path);
        assert_eq!(model::normalize_path(&once), None, "{once}");
        assert!(!once.contains("//") && !once.contains('\\'), "{once}");
        if let Some((host, _)) = model::split_authority(&text) {
            let once = model::normalize_host(host).unwrap_or_else(|| host.to_owned());
            assert_eq!(model::normalize_host(&once), None, "{once}");
        }
    });
}

/// Whatever bytes a peer calls an entity, they are read and held to the rules, or refused.
#[test]
fn any_bytes_as_an_entity() {
    check!().for_each(|input: &[u8]| {
        for kind in KINDS {
            kind.parse(Uuid::nil(), input).ok();
        }
    });
}

/// Whatever text is written as a template, it is one and can be rendered, or it is refused.
#[test]
fn any_text_as_a_template() {
    use model::template::{Scope, Template, Values};

    struct Nothing;

    impl Values for Nothing {
        fn value(&self, _: Scope, _: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
            None
        }
    }

    check!().for_each(|input: &[u8]| {
        const PIECES: [&str; 12] =
            ["$(", ")", "(", "'", "headers", ".x", "['", "']", " or ", "..", "uri_captures[1]", "\\"];
        let random = String::from_utf8_lossy(input);
        let built: String = input.iter().map(|byte| PIECES[usize::from(byte % 12)]).collect();
        for text in [&*random, &built] {
            if let Ok(template) = Template::parse(text) {
                template.render(&Nothing).for_each(drop);
            }
        }
    });
}

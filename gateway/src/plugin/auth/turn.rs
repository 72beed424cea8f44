//! Which of several authentication plugins acts on a request, and what follows from its outcome.
//!
//! Plugins without an anonymous consumer must all succeed. Of those with one, a single success is enough: a
//! plugin that finds a credential lets the request pass, and one that fails sets the anonymous consumer.

/// Who sends a request, as far as the plugins so far have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Known {
    /// No plugin has found anyone.
    Nobody,
    /// The anonymous consumer was set, and no credential was found.
    Anonymous,
    /// A credential was found.
    Credential,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Turn {
    /// Let the request pass, and leave its credentials in it.
    Pass,
    /// Look for credentials.
    Authenticate,
}

/// What follows when a plugin finds no valid credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum OnRefusal {
    /// The request is answered.
    Answer,
    /// It goes on as that of the anonymous consumer.
    GoOn,
}

/// What a plugin does with a request.
pub(in crate::plugin) fn turn(known: Known, has_anonymous: bool) -> Turn {
    if known == Known::Credential && has_anonymous { Turn::Pass } else { Turn::Authenticate }
}

/// What follows when a plugin finds no valid credentials.
pub(in crate::plugin) fn on_refusal(has_anonymous: bool) -> OnRefusal {
    if has_anonymous { OnRefusal::GoOn } else { OnRefusal::Answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plugin of a chain: whether it has an anonymous consumer, and whether its credentials are valid.
    type Plugin = (bool, bool);

    /// Who sends the request at the end of a chain, and which plugin found it; `None` when it was refused.
    fn outcome(chain: &[Plugin]) -> Option<(Known, usize)> {
        let mut known = (Known::Nobody, 0);
        for (number, (has_anonymous, is_valid)) in (1..).zip(chain) {
            match (turn(known.0, *has_anonymous), is_valid, on_refusal(*has_anonymous)) {
                (Turn::Pass, ..) => {}
                (Turn::Authenticate, true, _) => known = (Known::Credential, number),
                (Turn::Authenticate, false, OnRefusal::GoOn) => known = (Known::Anonymous, number),
                (Turn::Authenticate, false, OnRefusal::Answer) => return None,
            }
        }
        Some(known)
    }

    #[test]
    fn several_authentication_plugins() {
        const ALL: bool = false;
        const ANY: bool = true;
        use Known::{Anonymous, Credential};
        for (chain, expected) in [
            (&[(ALL, true)][..], Some((Credential, 1))),
            (&[(ALL, false)], None),
            (&[(ANY, true)], Some((Credential, 1))),
            (&[(ANY, false)], Some((Anonymous, 1))),
            // All must pass; the last one's consumer stays.
            (&[(ALL, true), (ALL, true)], Some((Credential, 2))),
            (&[(ALL, true), (ALL, false)], None),
            (&[(ALL, false), (ALL, true)], None),
            // One is enough.
            (&[(ANY, true), (ANY, false)], Some((Credential, 1))),
            (&[(ANY, true), (ANY, true)], Some((Credential, 1))),
            (&[(ANY, false), (ANY, true)], Some((Credential, 2))),
            (&[(ANY, false), (ANY, false)], Some((Anonymous, 2))),
            // One without an anonymous consumer must succeed whatever the others found.
            (&[(ANY, true), (ALL, false)], None),
            (&[(ANY, true), (ALL, true)], Some((Credential, 2))),
            (&[(ANY, false), (ALL, true)], Some((Credential, 2))),
            (&[(ALL, true), (ANY, false)], Some((Credential, 1))),
            (&[(ALL, false), (ANY, true)], None),
        ] {
            assert_eq!(outcome(chain), expected, "{chain:?}");
        }
    }
}

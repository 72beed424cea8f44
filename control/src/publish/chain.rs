//! Checks whether changes follow a head: without a gap, and in the same history. Revision numbers alone do
//! not show that: a database that was restored to the past gives them a second time.

use crate::store::{Head, LoggedChange};

/// The reason why changes do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainError {
    /// A revision is missing. Every revision has a change, so the log may have been trimmed while it was
    /// read.
    Gap,
    /// The changes follow another revision of that number.
    OtherHistory,
}

/// Returns the head at the end of `changes`, in their order, which must follow `at`.
pub(super) fn follow(mut at: Head, changes: &[LoggedChange]) -> Result<Head, ChainError> {
    for change in changes {
        if change.revision == at.revision && change.commit_token == at.commit_token {
            continue;
        }
        if change.revision != at.revision + 1 {
            return Err(ChainError::Gap);
        }
        if change.previous != at.commit_token {
            return Err(ChainError::OtherHistory);
        }
        at = Head { revision: change.revision, commit_token: change.commit_token, ..at };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::super::state::fixture::{change, head};
    use super::*;

    #[test]
    fn revisions_lead_on_one_by_one() {
        let log: Vec<_> = [6, 7, 7, 7, 8].into_iter().map(|revision| change(revision, 1, None)).collect();
        assert_eq!(follow(head(5), &log), Ok(head(8)));
        assert_eq!(follow(head(5), &[]), Ok(head(5)));
        assert_eq!(follow(head(4), &log), Err(ChainError::Gap), "the beginning is missing");
        assert_eq!(follow(head(5), &[log[0].clone(), log[4].clone()]), Err(ChainError::Gap), "a hole");
    }

    #[test]
    fn another_history_does_not_lead_on() {
        let log = [change(6, 1, None), change(7, 1, None)];
        let elsewhere = Head { commit_token: uuid::Uuid::from_u128(99), ..head(5) };
        assert_eq!(follow(elsewhere, &log), Err(ChainError::OtherHistory));
        let mixed = [log[0].clone(), LoggedChange { previous: uuid::Uuid::from_u128(99), ..log[1].clone() }];
        assert_eq!(follow(head(5), &mixed), Err(ChainError::OtherHistory));
    }
}

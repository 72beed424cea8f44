//! Whether changes lead on from where somebody stands: without a gap, and in the same history. Numbers alone do
//! not say: a database that was put back to the past gives them a second time.

use crate::store::{Head, LoggedChange};

/// Why changes do not lead on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainError {
    /// A revision is missing: every revision has a change, and the log may have been trimmed while it was read.
    Gap,
    /// They follow another revision of that number.
    OtherHistory,
}

/// Where `changes`, in their order, lead to from `at`.
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

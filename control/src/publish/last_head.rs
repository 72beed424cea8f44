//! The last published head of this control plane, kept in a file of its data folder. If the database is
//! elsewhere after a restart, it was restored, or is another one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::store::{Head, Store, StoreError};

const FILE: &str = "last_head.json";

/// The contents of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastHead {
    pub(super) epoch: Uuid,
    pub(super) revision: u64,
    pub(super) commit_token: Uuid,
    /// The number of published entities.
    pub(super) entities: usize,
}

/// The file, if there is a folder for it.
#[derive(Clone, Debug)]
pub(super) struct LastHeadFile(Option<PathBuf>);

impl LastHead {
    pub(super) const fn new(head: Head, entities: usize) -> Self {
        Self { epoch: head.epoch, revision: head.revision, commit_token: head.commit_token, entities }
    }

    /// Whether the database, which is at `head`, lacks this head in its history.
    pub(super) async fn is_lost(&self, store: &Store, head: Head) -> Result<bool, StoreError> {
        if self.epoch != head.epoch {
            return Ok(false);
        }
        if self.revision >= head.revision {
            return Ok(self.revision > head.revision || self.commit_token != head.commit_token);
        }
        // A revision that was trimmed proves nothing.
        let commit_token = store.stamp_of(self.revision).await?;
        Ok(commit_token.is_some_and(|commit_token| commit_token != self.commit_token))
    }
}

impl LastHeadFile {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder.map(|folder| folder.join(FILE)))
    }

    /// Reads the file; `None` if that fails: the file is a second proof, not the configuration.
    pub(super) fn read(&self) -> Option<LastHead> {
        let path = self.0.as_ref()?;
        let read = fs::read(path).and_then(|text| Ok(serde_json::from_slice(&text)?));
        match read {
            Ok(head) => Some(head),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read the last published head; going on without it");
                None
            }
        }
    }

    pub(super) fn write(&self, head: LastHead) {
        let Some(path) = &self.0 else { return };
        let temporary = path.with_extension("new");
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(&serde_json::to_vec(&head)?)?;
            fs::rename(&temporary, path)
        };
        if let Err(error) = write() {
            debug!(path = %path.display(), %error, "cannot write the last published head");
        }
    }
}

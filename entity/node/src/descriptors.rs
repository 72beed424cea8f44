//! The limit of files and sockets that the process may hold.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Raises the limit of open files to the system's maximum, and returns it. Each connection needs a
/// descriptor, and the limit that shells set is 1,024.
pub fn raise_limit() -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            warn!("cannot raise the limit of open files: {error}");
            getrlimit(Resource::RLIMIT_NOFILE)
                .map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
        }
    }
}

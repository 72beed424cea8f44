//! The Unix socket of the Admin API: a file whose mode controls access.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use uuid::Uuid;

/// A bound socket's file, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

/// A folder that only this program's user may enter, removed when this is dropped.
#[derive(Debug)]
struct PrivateFolder(PathBuf);

/// Binds the socket with this mode. Replaces a file that a dead process has left, but no socket that is in
/// use and no other file.
///
/// # Errors
/// When another file has the path, or the socket cannot be created.
pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    check_free(path)?;
    // A new socket has a mode by the umask. Nobody else can reach it in its folder before it has its own mode.
    let folder = PrivateFolder::beside(path)?;
    let temporary = folder.socket();
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, Permissions::from_mode(mode))?;
    fs::rename(&temporary, path)?;
    Ok((listener, SocketFile(path.to_owned())))
}

fn check_free(path: &Path) -> io::Result<()> {
    let in_the_way = |what: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, what.to_owned()));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => in_the_way("a file that is no socket is there"),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => in_the_way("another process listens there"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
        },
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl PrivateFolder {
    /// Creates one with a short name that nothing else has: the path of the socket in it has at most 10 bytes more
    /// than `path`, which the configuration allows for.
    fn beside(path: &Path) -> io::Result<Self> {
        let name = Uuid::new_v4().simple().to_string();
        let folder = path.with_file_name(format!(".{}", &name[..8]));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // The socket is still there after a failure.
        remove(&self.socket()).ok();
        fs::remove_dir(&self.0).ok();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        remove(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_new_socket_is_private_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let private = PrivateFolder::beside(&folder.path().join("admin.sock")).unwrap();
        assert_eq!(private.0.parent(), Some(folder.path()));
        assert_eq!(private.socket().as_os_str().len(), folder.path().join("a").as_os_str().len() + 10);
        assert_eq!(fs::metadata(&private.0).unwrap().permissions().mode() & 0o777, 0o700);
        drop(std::os::unix::net::UnixListener::bind(private.socket()).unwrap());
        drop(private);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn files_beside_the_socket_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("admin.sock"), folder.path().join("admin.sock.new"));
        fs::write(&other, "mine").unwrap();
        let bound = bind(&path, 0o600).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(bound);
    }

    #[tokio::test]
    async fn stale_file_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (listener, file) = bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(bind(&path, 0o600).unwrap_err().to_string().contains("another process"));
        drop((listener, file));
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert!(bind(&path, 0o600).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}

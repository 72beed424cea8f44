//! Notifies the service manager, where there is one (`NOTIFY_SOCKET`, systemd's `Type=notify`).

use sd_notify::NotifyState;
use tracing::warn;

/// Reports that this process serves.
pub fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Reports that this process stops.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("finishing the requests in flight")]);
}

/// Reports that another process serves in the place of this one. Only the main process may name a new main
/// process.
pub fn main_is(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

/// Sends one line for `systemctl status`.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("cannot tell the service manager: {error}");
    }
}

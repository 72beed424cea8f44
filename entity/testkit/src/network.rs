//! A network of two sides that can be cut, in network namespaces. Its links and addresses are visible to
//! nobody else, and disappear with the test, however it ends.
//!
//! A wrong hardware address for the other side cuts a direction. Packets are then dropped on arrival without
//! an error, as by a network that fails. This needs no packet filter.

use std::fs::File;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

/// The address of the near side.
pub const NEAR: &str = "10.203.0.1";
/// The address of the far side.
pub const FAR: &str = "10.203.0.2";

/// The link's name on both sides.
const LINK: &str = "gibbon0";
/// A hardware address that no interface has.
const NOWHERE: &str = "02:00:00:00:00:ff";

/// Two sides, each with a loopback of its own, and a link between them.
#[derive(Debug)]
pub struct Network {
    near: Side,
    far: Side,
}

/// The packets that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Packets of both sides.
    Both,
    /// Packets that the near side sends.
    FromNear,
    /// Packets that the far side sends.
    FromFar,
}

/// A network namespace.
#[derive(Debug)]
struct Side {
    namespace: File,
    /// Hardware address of its end of the link.
    hardware: &'static str,
}

impl Network {
    /// Makes a network, and moves the calling thread to its near side for good, with everything that it
    /// starts from then on. The test's runtime should have no other thread.
    ///
    /// # Panics
    ///
    /// When this process may not make namespaces (it is not root), or `ip` is not installed.
    pub fn enter() -> Self {
        let far = Side::new("02:00:00:00:00:02");
        let near = Side::new("02:00:00:00:00:01");
        setns(&near.namespace, CloneFlags::CLONE_NEWNET).expect("a namespace of one's own can be entered");
        // The far side's threads are named by those that are in it.
        far.run(|| {
            let there = nix::unistd::gettid();
            near.run(|| ip(&format!("link add {LINK} type veth peer name {LINK} netns {there}")));
        });
        let network = Self { near, far };
        network.near.run(|| network.near.set_up(NEAR));
        network.far.run(|| network.far.set_up(FAR));
        network.heal();
        network
    }

    /// Runs a closure on the far side. Everything that it starts stays there.
    pub fn far<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        self.far.run(run)
    }

    /// Loses all packets of a direction, or of both, until [`Network::heal`].
    pub fn cut(&self, cut: Cut) {
        if cut != Cut::FromFar {
            self.near.run(|| reach(FAR, NOWHERE));
        }
        if cut != Cut::FromNear {
            self.far.run(|| reach(NEAR, NOWHERE));
        }
    }

    /// Ends a [`Network::cut`].
    pub fn heal(&self) {
        self.near.run(|| reach(FAR, self.far.hardware));
        self.far.run(|| reach(NEAR, self.near.hardware));
    }
}

impl Side {
    fn new(hardware: &'static str) -> Self {
        let own = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("network namespaces can be made: run this as root");
            File::open("/proc/thread-self/ns/net").expect("a thread has a network namespace")
        };
        let namespace = std::thread::scope(|threads| joined(threads.spawn(own)));
        Self { namespace, hardware }
    }

    /// Runs in a thread of its own, since a thread is in one namespace.
    fn run<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let there = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET)
                .expect("a namespace of one's own can be entered");
            run()
        };
        std::thread::scope(|threads| joined(threads.spawn(there)))
    }

    fn set_up(&self, address: &str) {
        ip("link set lo up");
        ip(&format!("link set {LINK} address {} up", self.hardware));
        ip(&format!("address add {address}/24 dev {LINK}"));
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sets the hardware address for packets to `address`.
fn reach(address: &str, hardware: &str) {
    ip(&format!("neighbour replace {address} lladdr {hardware} dev {LINK} nud permanent"));
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.expect("`ip` can be run: iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

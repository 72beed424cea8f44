//! The protocol that carries the configuration from a control plane to its data planes. Start here. It knows
//! kinds of entities as numbers, and an entity as bytes.
//!
//! # Terms
//!
//! - A *configuration* is a set of entities: services, routes, certificates, … Each entity has a [`Key`]: its
//!   kind and its id.
//! - The *canonical bytes* of an entity are the one form in which it is written. The database, the change log,
//!   the updates and a data plane's disk hold these same bytes; no program serialises them a second time.
//! - A [`Record`] is one entity, put or deleted.
//! - A [`Digest`] holds the hashes of all entities. The *root* is one hash over the whole configuration.
//! - A [`Position`] is where a node stands: epoch, revision and root. An epoch is one history of revisions. A
//!   revision is the number of a committed write; revisions have no gaps and follow the order of commits.
//! - An [`Update`] brings a data plane to another position. It is a snapshot, a delta or a repair.
//!
//! # The connection
//!
//! The data plane connects to the control plane by one WebSocket over mutual TLS 1.3. Each binary message is
//! one [`Frame`] of at most [`MAX_FRAME`] bytes. In the diagram, `held` is the data plane's position, and
//! `head` is the control plane's.
//!
//! ```text
//! data plane                                  control plane
//!     | -- hello (versions, node, held) ---------> |   closes with a code, or
//!     | <----------- welcome (version, head) ----- |
//!     |                                            |   held == head: nothing to send
//!     |                                            |   held is beyond head: reads the database again
//!     | <--- update (delta | snapshot), more* ---- |   held is in the log: the delta (held, head]
//!     |                                            |   otherwise: a snapshot
//!     | <--- continued, more* -------------------- |   the same for an update that was cut off (`partial`)
//!     | -- ack (position, times) ----------------> |   then the delta (acked, head], if the head moved
//!     | -- nack (revision, reason, entity) ------> |   waits for a head beyond the rejected revision
//!     | <------------- heartbeat (head) ---------- |
//!     | -- heartbeat (held) ---------------------> |   same revision, other root: drift
//!     | <---------- buckets wanted (head) -------- |
//!     | -- buckets (revision, 256 hashes) -------> |
//!     | <--- update (repair: differing buckets) -- |
//!     | -- health (full report, changes) --------> |   no answer; an older control plane ignores it
//! ```
//!
//! Both sides send heartbeats at all times. A data plane also sends them while it receives or applies an
//! update. Every byte received is a sign of life, whichever message it belongs to.
//!
//! Each data plane has at most one update in flight, and no queue. After an ack, the control plane sends the
//! update from the acked position to the current head. A slow data plane therefore skips revisions that
//! others saw.
//!
//! # Applying
//!
//! A data plane applies an update as a whole or rejects it as a whole. It checks, in this order:
//!
//! 1. the lengths ([`UpdateError`]);
//! 2. `epoch` and `from`, against its own position;
//! 3. each record, and the rules of its entity (the Admin API validates with the same code);
//! 4. the root of the result, against the root in the header;
//! 5. the references between entities.
//!
//! Only then does it swap in the new table. It reads the records out of the decompressor ([`RecordReader`]),
//! so that the payload is never in memory as a whole.
//!
//! Within an epoch, no snapshot moves a data plane back. A data plane rejects a snapshot with a lower
//! revision than its own as `out_of_order`. It accepts its own revision again: as a snapshot, when its disk
//! has lost the copy, or as a repair. A control plane whose database went back begins a new epoch.
//!
//! # Health
//!
//! A data plane reports the health of its targets ([`HealthReport`]): all of them after the welcome and every
//! few minutes, and changes as they happen. It limits how often and how much it sends, and sends nothing
//! while earlier bytes wait. The control plane keeps the last report of each data plane in memory. A report
//! that is lost with its connection is replaced by the full report of the next one.
//!
//! # Versions of the configuration
//!
//! A data plane may be older than the control plane that writes the configuration. Some entities it may
//! ignore; others protect a route, and a data plane that ignored them would serve the route unprotected.
//!
//! - A kind with a number below 128 *must be understood* ([`Kind::must_be_understood`]). A data plane keeps
//!   entities of other unknown kinds as hashes.
//! - A member of the canonical bytes whose name begins with `!` must be understood, too. Such a field is
//!   written only when it does not hold its default.
//!
//! A data plane rejects, as `unsupported`, an update that puts an entity of such a kind, or with such a
//! member, that it does not know. The nack names the kind, the id and the field. No update holds two records
//! of one key, so an entity that an update would delete again is not in it.
//!
//! It does not come to that as a rule: the hello lists the kinds, and the fields that must be understood,
//! that the data plane knows. The control plane counts the entities of the published configuration by such
//! kinds and fields. It withholds every update that would leave an entity that the data plane must
//! understand and does not know, and shows the data plane as `incompatible` with the reason. The data plane
//! continues to serve what it has. Updates continue when the last such entity is deleted, and when the data
//! plane reconnects with a version that knows it.
//!
//! # When something fails
//!
//! The connection:
//!
//! - **The two sides have no version in common.** The control plane closes with [`CloseCode::Versions`] and
//!   shows the data plane as `incompatible`. The data plane backs off for at most 30 s and tries the next
//!   address.
//! - **A frame or message cannot be read, or is out of place.** The side that receives it closes with
//!   [`CloseCode::Protocol`].
//! - **Another process (`instance`) with the same node id is connected.** The control plane closes with
//!   [`CloseCode::InUse`] and shows the node as `conflict`. It also pings the first process: one that is gone
//!   does not answer, and its place becomes free. The data plane continues to serve and tries again at most
//!   every 30 s.
//! - **The certificate is revoked, has expired, or names another node id.** The control plane closes with
//!   [`CloseCode::Forbidden`]. The data plane continues to serve. It tries again at most every 30 s, and at
//!   once with a new certificate.
//! - **A side receives no byte for 1.5 heartbeats, whatever is in progress.** It closes with
//!   [`CloseCode::Silent`]. The data plane reconnects.
//! - **The peer accepts no byte for 60 s.** The side that sends closes with [`CloseCode::Silent`]. The data
//!   plane reconnects.
//! - **The connection is lost.** The control plane shows the data plane as disconnected. The data plane
//!   continues to serve, and reconnects with exponential backoff and full jitter.
//! - **The connection is lost amid an update.** The data plane keeps what it has received of a snapshot or a
//!   delta, and describes it in its next hello ([`Partial`]). A control plane that has the same encoded update
//!   sends the rest. Any other one, and any older one, begins again.
//!
//! An update:
//!
//! - **The data plane rejects it.** It sends a nack and keeps its configuration. The control plane keeps the
//!   reason and shows it. It sends nothing until the head has moved past the rejected revision, then a delta
//!   from the data plane's position. After `out_of_order` and `root_mismatch` it sends a snapshot at once.
//! - **A snapshot of the same epoch is older than the newest revision that the data plane applied.** The data plane nacks it as
//!   `out_of_order` and keeps its configuration. The control plane sends one more snapshot; after that it
//!   acts as after every nack.
//! - **The update holds an entity that the data plane must understand and does not know.** It sends a nack
//!   with the reason `unsupported` and keeps its configuration. The control plane shows it as `incompatible`
//!   and acts as after every nack. An older control plane shows the reason `other`.
//! - **A copy on disk holds such an entity**, as a rule after a downgrade. The data plane serves nothing of
//!   the copy and waits for a control plane: an older revision could lack a protection.
//! - **The process has ended twice in a row while applying a revision.** The data plane does not start from
//!   that revision, and nacks it as `internal`. Another build of the program tries it again. So does, after a
//!   pause, a node that holds no configuration. The control plane acts as after every nack.
//! - **The data plane is alive, but sends no ack and no nack for 10 minutes.** The control plane closes with
//!   [`CloseCode::AckTimeout`].
//! - **A hello or a heartbeat has the head's revision with another root (drift).** The control plane counts
//!   it, since it is a bug, and requests the bucket hashes. It sends a repair of the buckets that differ.
//!
//! The history:
//!
//! - **The data plane's revision is beyond the head.** The control plane reads the database: either another
//!   control plane was faster, or the database was restored. In the second case it sends a snapshot.
//! - **The database went back to an earlier state, and may have new writes since.** The control plane detects
//!   it by the commit token of its head. It begins a new epoch, so that new revisions differ from old ones
//!   with the same numbers.
//! - **The epoch changed.** The control plane sends a snapshot, and the data plane applies it.
//! - **The database cannot be read.** The control plane sends the configuration that it has in memory. A data
//!   plane that is ahead of it keeps its own.
//! - **Many changes arrive at once.** The control plane sends the first at once. It coalesces the following
//!   ones for 100 us per data plane, at most 200 ms.
//!
//! # Changing it
//!
//! Changes are additive:
//!
//! - A JSON body gains optional fields, which older receivers ignore.
//! - A binary header gains bytes at its end; its length announces them.
//! - A frame that an older receiver may ignore gets a type from [`IGNORABLE`] up. Any other new frame needs a
//!   new version in [`VERSIONS`], unless it only answers an optional field.
//! - The default of an entity's field never changes, nor does the number of a [`Kind`] or a [`CloseCode`].
//! - The files in `tests/golden` pin the bytes of each version. A new version adds files and leaves the
//!   existing ones as they are.

mod digest;
mod encoded;
mod frame;
mod health;
mod key;
mod position;
mod record;
mod update;

pub use digest::{BUCKETS, BucketSet, Digest, EntityHash, Root, RootParseError, bucket_of};
pub use encoded::EncodedUpdate;
pub use frame::{
    Ack, CloseCode, Frame, FrameError, Hello, IGNORABLE, MAX_FRAME, Nack, NackReason, VERSIONS, Versions,
    Welcome,
};
pub use health::{
    AddressHealth, Health, HealthError, HealthReport, MAX_ADDRESSES, MAX_ERROR_TEXT, MAX_HEALTH_FRAME,
    RecordType, ReportPart, TargetHealth,
};
pub use key::{Key, Kind};
pub use position::Position;
pub use record::{MAX_RECORD, Record, RecordError, Records};
pub use update::{
    Assembly, Encoding, MAX_DECODED, MAX_ENCODED, Mode, Partial, RecordReader, Update, UpdateError,
    UpdateHeader, UpdateWriter, split_repair,
};

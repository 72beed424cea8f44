//! The published form of the configuration, and the protocol that carries it from a control plane to
//! its data planes. This page is where to begin.
//!
//! # What is carried
//!
//! A configuration is a set of entities ([`Service`], [`Route`], [`Certificate`], …), each under a [`Key`] (kind and id).
//! The control plane writes an entity's *canonical bytes* once, when a write commits: JSON in the order of
//! the struct's fields, without those that hold their default. They go into the change log, from there
//! into updates, from there onto a data plane's disk; nobody serialises them anew. A [`Record`] is one
//! entity put or deleted; a [`Digest`] holds their hashes, of which the root stands for all.
//!
//! A [`Position`] says where in the history somebody stands: the epoch (which history), the revision (one
//! more for each write, gapless, in the order of commits) and the root.
//!
//! # The connection
//!
//! One WebSocket over mutual TLS 1.3, dialled by the data plane; each binary message is one [`Frame`] of
//! at most [`MAX_FRAME`] bytes.
//!
//! ```text
//! data plane                                  control plane
//!     | -- hello (versions, node, held) ---------> |   refuses with a close code, or
//!     | <----------- welcome (version, head) ----- |
//!     |                                            |   held == head: nothing to send
//!     |                                            |   held beyond head: it reads the database anew
//!     | <--- update (delta | snapshot), more* ---- |   held is in the log: the delta (held, head]
//!     |                                            |   otherwise: a snapshot
//!     | -- ack (position, times) ----------------> |   then the delta (acked, head], if the head moved
//!     | -- nack (revision, reason, entity) ------> |   waits for a head beyond the refused revision
//!     | <------------- heartbeat (head) ---------- |
//!     | -- heartbeat (held) ---------------------> |   same revision, other root: drift
//!     | <---------- buckets wanted (head) -------- |
//!     | -- buckets (revision, 256 hashes) -------> |
//!     | <--- update (repair: differing buckets) -- |
//! ```
//!
//! Both send heartbeats whatever they are doing: a data plane also while it receives or applies an update. Bytes
//! are signs of life, of whichever message they are a part.
//!
//! There is at most one update in flight, and nothing is queued for a data plane: when it acks, it is sent
//! what then leads to the head, so that one that is slow skips what others saw.
//!
//! # Applying
//!
//! An update is applied whole or not at all. The data plane checks, in this order: the lengths
//! ([`UpdateError`]), `epoch` and `from` against what it holds, each record and its entity's rules
//! ([`Service::validate`], [`Route::validate`], …: the Admin API refuses by the same code), the root of the result
//! against the header's, and references between entities. Only then it swaps. It reads the records out of the
//! decompressor ([`RecordReader`]): the payload is never in memory as a whole.
//!
//! Within an epoch no snapshot leads back: one with a lower revision than what is live is refused as `out_of_order`.
//! The revision that is live may come again, as a snapshot for a disk that has lost it or as a repair. A control
//! plane whose database went back begins a new epoch.
//!
//! # When something fails
//!
//! | what | the data plane | the control plane |
//! |---|---|---|
//! | no version in common | backs off for at most 30 s, tries the next address | closes with [`CloseCode::Versions`], shows it as `incompatible` |
//! | unreadable frame or message, or one out of place | closes with [`CloseCode::Protocol`] | the same |
//! | another process (`instance`) with the same node id is connected | serves on, asks again at most every 30 s | closes with [`CloseCode::InUse`], shows the node as `conflict`, pings the first: one that is gone does not answer, and makes place |
//! | a snapshot of the same epoch is older than what is held | nacks it as `out_of_order`, keeps what it has | sends one more snapshot, then as of every nack |
//! | an update is refused | nacks, keeps what it has | keeps and shows the reason; sends nothing until the head has moved past the refused revision, then a delta from what is held; after `out_of_order` and `root_mismatch` a snapshot at once |
//! | the process has ended twice in a row in a revision | does not start from it, nacks it as `internal`; another build of the program tries it again, and so does a node that holds nothing, after a pause | as of every nack |
//! | alive, but no ack and no nack for 10 minutes | | closes with [`CloseCode::AckTimeout`] |
//! | no byte received for 1.5 heartbeats, whatever is under way | closes with [`CloseCode::Silent`], reconnects | the same |
//! | the peer takes no byte for 60 s | closes with [`CloseCode::Silent`], reconnects | the same |
//! | the connection is lost | serves on; reconnects with exponential backoff and full jitter | shows it as disconnected |
//! | same revision, other root, in a hello or a heartbeat | sends its bucket hashes when asked | counts it (it is a bug), sends a repair of the buckets that differ |
//! | held is beyond the head | | reads the database: another control plane was faster, or the database was put back; then a snapshot |
//! | the certificate is revoked, has expired, or is of another node id | serves on, asks again at most every 30 s, at once with a new certificate | closes with [`CloseCode::Forbidden`] |
//! | the epoch changed | takes the snapshot | sends a snapshot |
//! | the database went back to the past, and may have been written again | | sees it by the stamp of its head; begins a new epoch, by which its new revisions are told from the old ones |
//! | the database cannot be read | | sends what it has in memory; who is ahead of that keeps what it has |
//! | many changes at once | | the first at once; what goes on is gathered, 100 us for each data plane, 200 ms at most |
//!
//! # Changing it
//!
//! Changes are additive. A JSON body gains optional fields, which older receivers ignore; a binary header
//! gains bytes at its end, announced by its length; a frame that an older receiver may ignore gets a type
//! from [`IGNORABLE`] up, any other needs a new version in [`VERSIONS`]. A default of an entity's field
//! never changes, nor does the number of a [`Kind`] or a [`CloseCode`]. The files in `tests/golden` pin
//! the bytes of each version: a new version adds files and leaves these as they are.

mod authority;
mod ca_certificate;
mod certificate;
mod digest;
mod frame;
mod key;
mod matching;
mod normalize;
mod pattern;
mod percent;
mod priority;
mod private_key;
mod readings;
mod record;
mod route;
mod service;
mod sni;
mod update;
mod upstream_path;
mod validate;
mod violations;

pub use authority::{MAX_HOST, normalize_host, normalize_pattern, split_authority};
pub use ca_certificate::CaCertificate;
pub use certificate::Certificate;
pub use digest::{BUCKETS, BucketSet, Digest, EntityHash, Root, RootParseError, bucket_of};
pub use frame::{
    Ack, CloseCode, Frame, FrameError, Hello, IGNORABLE, MAX_FRAME, Nack, NackReason, Position, VERSIONS,
    Versions, Welcome,
};
pub use key::{Key, Kind};
pub use matching::{Criterion, MatchRequest, Matched, Matcher, decide};
pub use normalize::{canonical_path, normalize_path};
pub use pattern::{HeaderPattern, PathRegex, PatternError, compile_path};
pub use percent::{encode_uri, is_target};
pub use priority::{Columns, Priority};
pub use private_key::PrivateKey;
pub use readings::other_readings;
pub use record::{Record, RecordError, Records};
pub use route::{Endpoint, PathHandling, Route};
pub use service::{Protocol, Service};
pub use sni::Sni;
pub use update::{
    Assembly, EncodedUpdate, Encoding, MAX_DECODED, MAX_ENCODED, MAX_RECORD, Mode, RecordReader, Update,
    UpdateError, UpdateHeader, UpdateWriter, split_repair,
};
pub use upstream_path::upstream_path;
pub use validate::{bounds, validate_tags};
pub use violations::{FieldErrors, Violations};

//! What a configuration consists of: the kinds of entities, what each may hold, and the semantics of routing
//! that both planes share.
//!
//! A kind is declared once, by one struct ([`Service`], [`Route`], …) whose fields carry their rules. From the
//! declaration follow the reading of bodies with all violations at once, the views of the Admin API, the
//! schemas, the canonical bytes, the checks of a data plane, the unique keys, and the references between
//! entities. [`KINDS`] lists the kinds, each [described](Described) whatever its type.
//!
//! The *canonical bytes* of an entity are JSON: the struct's fields in their order, without those that hold
//! their default. The control plane writes them once, when a write commits. The database, the change log, the
//! updates and a data plane's disk hold these same bytes; no program serialises them a second time.
//!
//! A field that is declared `must_understand` is written under its name with a leading `!`. A program that
//! reads such a member and does not know it refuses the entity ([`Unreadable::Unsupported`]).

extern crate self as model;

pub mod bounds;
mod check;
mod common;
mod computed;
mod described;
mod disagreement;
mod entity;
mod field;
mod key_hasher;
pub mod kind;
mod kinds;
mod marked;
mod marks;
mod matching;
mod members;
pub mod nested;
pub mod password;
pub mod plugin;
pub mod plugins;
mod priority;
mod private_key;
mod protocol;
mod record;
mod router_order;
mod routing;
mod rules;
mod schema;
mod secrets;
mod target_address;
pub mod template;
mod types;
mod violations;

pub use common::{Common, GivenCommon, Times};
pub use computed::Computed;
pub use described::{Described, KINDS, TOGETHER, described, is_operational, may_hold_secrets, of_collection};
pub use disagreement::{Disagreement, Disagreements, SampleRequest, disagreements};
pub use entity::{Content, Credential, Entity, Identity, Input, Unreadable};
pub use field::{Field, FieldType, FieldValue, HIDDEN, Level};
pub use key_hasher::{KeyHasher, QuickHash};
pub use kind::{collection, must_understand};
pub use kinds::jwt_secret::JwtAlgorithm;
pub use kinds::route::Endpoint;
pub use kinds::target_health::ForcedHealth;
pub use kinds::target_state::AdminState;
pub use kinds::upstream::healthchecks;
pub use kinds::upstream::policy;
pub use kinds::upstream::{Algorithm, HashInput};
pub use kinds::*;
pub use marked::{marked_fields, must_understand_fields};
pub use matching::{Criterion, MatchRequest, Matched, Matcher, decide};
pub use plugin::{PluginConfig, PluginKind};
pub use plugins::PLUGINS;
pub use priority::{Columns, Priority};
pub use private_key::PrivateKey;
pub use protocol::{PluginProtocol, Protocol};
pub use record::{Check, Reader, Record, Reference};
pub use router_order::RouterOrder;
pub use routing::{
    HeaderPattern, MAX_HOST, PathHandling, PathRegex, PatternError, canonical_path, compile_path,
    compile_text, encode_uri, is_target, normalize_host, normalize_path, normalize_pattern, other_readings,
    split_authority, upstream_path,
};
pub use rules::{Foreign, NumberCheck, OnDelete, Rules, TextCheck};
pub use schema::without_additions;
pub use target_address::TargetAddress;
pub use types::{Canonical, Number, Word, is_secret_name};
pub use violations::{FieldErrors, Violations};

/// A map of JSON.
pub type Map = serde_json::Map<String, serde_json::Value>;
pub use serde_json::Value;

//! Declarative configuration: a whole configuration in one document, in Kong's form.
//!
//! [`read`] compares a document, in JSON or YAML, with what [`Current`] holds, and returns the
//! [`Difference`] that makes the one equal to the other, or all errors at once. [`Dump`] writes the same
//! form. The module opens nothing: it knows neither HTTP nor the database.
//!
//! A document is read as a stream. Each entity is converted as soon as it is complete, and only what differs
//! from the current configuration is kept. An entity that names another one by a name that the document has
//! not declared yet is kept as compact JSON until the end.
//!
//! # Bounds
//! The memory of a document and its difference is a budget ([`Budget`]). One entity has at most 100,000
//! values on at most 16 levels, and 1000 fields in one record. Entities nest at most 4 levels deep. YAML has
//! at most 10,000 aliases, and they add at most 1,000,000 values. The answer to an invalid document names at
//! most 1000 entities.

mod budget;
mod builder;
mod credential;
mod current;
mod difference;
mod dump;
mod errors;
mod format;
mod given;
mod header;
mod identity;
mod nesting;
mod older_paths;
mod options;
mod order;
mod outside;
mod place;
mod references;
mod stream;

pub use budget::{Budget, Spent};
pub use current::{Current, Held, Selection};
pub use difference::{Difference, Operation, Planned, Summary};
pub use dump::{Dump, DumpOptions};
pub use errors::Errors;
pub(crate) use format::parse_with;
pub use format::{Format, ReadError, read, select_tags};
pub use options::{HashSecret, ReadEntity, ReadOptions};
pub use order::{NamedDisagreement, NamedDisagreements, Routes};

#[cfg(test)]
mod tests;

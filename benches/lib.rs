//! Shared pieces of the benches; see README.md.

//! Makes system calls of a running program fail, or kill it.

pub(crate) use testkit::tracer::Tracer;

//! The data plane from outside: its table against an oracle, its proxy over real sockets, its program as a
//! process.

mod failures;
mod limits;
mod program;
mod proxying;
mod support;
mod swap;
mod table;

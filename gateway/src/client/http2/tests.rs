//! Streams and connections against the client of `h2`, without sockets.

mod connections;
mod stage;
mod streams;
mod writes;

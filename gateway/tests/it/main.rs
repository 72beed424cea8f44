//! The data plane from outside: its library face over real sockets.

mod table;

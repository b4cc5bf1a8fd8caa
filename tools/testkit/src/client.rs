//! The client's side of the wire: an account, HTTP connections and sockets.

pub mod account;
pub mod http;
pub mod socket;

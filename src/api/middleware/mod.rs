//! What surrounds every handler: listening, observing, and finding out who asks.

pub mod auth;
pub mod client_address;
pub mod observed;
pub mod serve;
mod unread_body;

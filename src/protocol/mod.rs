//! The protocol: what clients send and see, as types from which both the JSON and the document of it come, and every text
//! that is shown to them. It knows no I/O, clock or randomness.

pub mod accounts;
pub mod complaints;
pub mod frames;
pub mod friends;
pub mod group_notices;
pub mod group_object;
pub mod groups;
pub mod media;
pub mod message_object;
pub mod messages;
pub mod parameters;
pub mod qr_code;
pub mod questions;
pub mod refusals;
pub mod reply;
pub mod user_notices;
pub mod users;

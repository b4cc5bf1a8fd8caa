//! WebSockets: the server speaks, clients mostly listen (ws.md).

pub mod connection;
pub mod delivery_acks;
mod delivery_state;
mod frame_sink;
pub mod frames;
pub mod group_subscriptions;
mod mailbox;
pub mod opening_order;
pub mod push_handler;
pub mod registry;
mod takeover;
mod unacknowledged;

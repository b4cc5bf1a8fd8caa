//! WebSockets: the server speaks, clients mostly listen (ws.md).

pub mod connection;
mod connection_command;
mod connection_state;
pub mod delivery_acks;
mod delivery_state;
mod disconnect_reporter;
mod frame_sink;
pub mod group_subscriptions;
mod mailbox;
pub mod opening;
pub mod opening_order;
mod place;
pub mod push_handler;
pub mod registry;
pub mod sockets;
mod takeover;
mod unacknowledged;

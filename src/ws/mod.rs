//! WebSockets: the server speaks, clients mostly listen (ws.md).

pub mod connection;
pub mod deliveries;
mod delivery_reports;
pub mod frames;
pub mod hub;
mod inflow;
pub mod lanes;
mod mailbox;
mod opening;
mod outstanding;
pub mod pushes;
pub mod turns;
mod wire;

//! The world: alone in naming `async_nats` and `redis`.

mod append;
pub mod checkpoints;
pub mod client_stream;
mod envelope;
pub mod event_log;
mod gathering;
pub mod group_commit;
pub mod interest;
pub mod liveness;
mod lookup;
pub mod media;
pub mod nats;
mod nats_wire;
pub mod nodes;
pub mod passwords;
pub mod postgres;
pub mod provision;
pub mod push;
pub mod rate_limit;
pub mod reader;
pub mod redis;
pub mod tail;
pub mod throttle;
pub mod tokens;
mod unbuffered_client;
pub mod vault;
pub mod watermarks;

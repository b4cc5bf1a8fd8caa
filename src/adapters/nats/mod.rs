//! NATS: the event log with its group commit, pushes and their subscriptions, heartbeats, and the credential store.

pub mod analysts_consumers;
pub mod analysts_stream;
mod append;
pub mod checkpoints;
pub mod connect;
mod connection;
pub mod credential_store;
mod envelope;
pub mod event_log;
pub mod group_commit;
pub mod hand_over;
pub mod liveness;
pub mod log_error;
mod lookup;
pub mod new_event;
mod past;
mod protocol;
pub mod provision;
pub mod push;
pub mod reader;
pub mod replay;
pub mod secret_checks;
pub mod shared_log;
pub mod subscriptions;
mod unbuffered_client;
pub mod watermarks;
mod write_coalescing;

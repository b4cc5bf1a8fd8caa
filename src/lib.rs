//! Hongyan: an event-sourced instant-messaging backend.
//!
//! A *command* is judged by pure rules against the state folded from an aggregate's past *events*.
//! The event it yields is appended to the log (NATS JetStream), which is the one truth.
//! *Projections* turn the log into Postgres tables and Redis keys that can be dropped and rebuilt.
//! HTTP and WebSocket only translate; what may be lost (rate limits, leases, pushes on their way)
//! lives in Redis and plain NATS and never enters the log.
//!
//! Arrows point down: `main → cli → boot → api, ws → state → delivery_audit → executor → projections → protocol,
//! adapters → commands → events`.

pub mod adapters;
pub mod api;
pub mod boot;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod delivery_audit;
pub mod events;
pub mod executor;
pub mod projections;
pub mod protocol;
pub mod state;
pub mod telemetry;
pub mod ws;

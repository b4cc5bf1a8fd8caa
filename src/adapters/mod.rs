//! The adapters speak to the world, and alone name `async_nats` and `redis`.

pub mod body_memory;
pub mod client_address;
pub mod client_stream;
pub mod id_allocation;
pub mod media;
pub mod nats;
pub mod passwords;
pub mod postgres;
pub mod rate_limit;
pub mod redis;
pub mod throttle;
pub mod tokens;

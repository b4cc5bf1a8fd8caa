//! What the stories stand on: real servers, the real binary, and clients.

pub mod api;
pub mod app;
pub mod document;
pub mod files;
pub mod group;
pub mod lists;
pub mod nats;
pub mod nats_cluster;
pub mod nats_line;
pub mod object_store;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod servers;
pub mod service;
pub mod shapes;
pub mod signed;
pub mod socket;
pub mod steps;
pub mod traffic;
pub mod user;
pub mod world;
pub mod world_groups;

pub use api::{Api, Reply, one_wins, send};
pub use app::App;
pub use group::Group;
pub use nats_cluster::NatsCluster;
pub use nats_line::NatsLine;
pub use process::until;
pub use servers::Servers;
pub use signed::{device, now_ms, signature, signed_call, signed_call_at};
pub use socket::{Arrival, Socket, text_of};
pub use traffic::Traffic;
pub use user::{PASSWORD, SEND, User, text_to};

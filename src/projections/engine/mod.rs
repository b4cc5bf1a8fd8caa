//! The projection engine: runners, checkpoints, generations, and the two stores in which an event and its checkpoint
//! are one transaction.

pub mod blue_green;
mod build;
pub mod checkpoint;
pub mod context;
pub mod generation;
mod heartbeat;
pub mod postgres;
pub mod progress;
pub mod redis;
pub mod runner;
pub mod stop_reason;
pub mod supervisor;
pub mod verify_schedule;

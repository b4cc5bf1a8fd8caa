//! Rules: what may happen, judged against what has happened. Pure but for `execute` and
//! what stands around it (`aggregates`, `state_cache`, `freshness`, `turns`), and for `accounts`,
//! `passwords`, `messages`, `groups`, `group_messages` and `reaper`, which fetch, append and wait.

pub mod accounts;
pub mod aggregates;
pub mod authority;
pub mod chat;
pub mod complaint;
pub mod decider;
pub mod execute;
pub mod footprint;
pub mod freshness;
pub mod friendship;
pub mod group;
pub mod group_command;
pub mod group_messages;
pub mod group_rules;
pub mod groups;
pub mod messages;
pub mod passwords;
#[cfg(test)]
mod properties;
pub mod questions;
pub mod reaper;
pub mod running;
pub mod session;
pub mod state_cache;
pub mod turns;
pub mod user;

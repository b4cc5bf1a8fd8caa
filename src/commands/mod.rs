//! The rules: what may happen to an aggregate, judged against what has happened to it. All of them are pure; `executor`
//! loads, appends and waits.

pub mod complaint;
pub mod decider;
pub mod footprint;
pub mod friendship;
pub mod group;
pub mod message;
#[cfg(test)]
mod properties;
pub mod quick_replies;
pub mod session;
#[cfg(test)]
mod specification;
pub mod user;

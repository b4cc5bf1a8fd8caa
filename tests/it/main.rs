//! Stories against the real binary and real servers. Each test starts its own nats-server, Redis and database.
//!
//! Names begin with the part of the contract that they hold on to: `rest_41_…` is `rest.md` §41, `dev_15` a deviation
//! of `data.md` §10. Nothing here waits for a time: only for a frame, a position, or a state.

#![allow(clippy::disallowed_methods, reason = "tests choose their own times, ids and tasks")]

mod support;

mod alerts;
mod analytics;
mod analytics_example;
mod appends;
mod authorization;
mod churn;
mod clients;
mod cluster;
mod dead_connections;
mod erasure;
mod evicted;
mod executors;
mod explaining;
mod export;
mod faults;
mod fuzzing;
mod ids;
mod large_groups;
mod limits;
mod loadgen;
mod log;
mod lost_gateways;
mod lost_pushes;
mod manual;
mod metrics;
mod moderation;
mod observed;
mod openapi;
mod operating;
mod operators_page;
mod password_turns;
mod power_loss;
mod published_events;
mod read_models;
mod replicated;
mod rest_00_names;
mod rest_00_parameters;
mod rest_00_tokens;
mod rest_01_accounts;
mod rest_04_guests;
mod rest_07_search;
mod rest_08_profiles;
mod rest_11_friends;
mod rest_14_address_books;
mod rest_17_star_and_visibility;
mod rest_20_groups;
mod rest_24_ruling_a_group;
mod rest_29_in_a_hurry;
mod rest_29_joining;
mod rest_32_qr;
mod rest_33_kinds;
mod rest_33_limits;
mod rest_33_location;
mod rest_33_pausing;
mod rest_33_uploads;
mod rest_34_object_store;
mod rest_35_video;
mod rest_36_revoking;
mod rest_41_group_messages;
mod rest_41_messages;
mod rest_41_who_may_write;
mod rest_42_askanswer;
mod rest_42_complaints;
mod rest_42_passwords;
mod run_script;
mod runners;
mod schema;
mod security;
mod servers;
mod specifications;
mod starting;
mod time_travel;
mod upkeep;
mod ws_01_connecting;
mod ws_03_groups_at_the_start;
mod ws_05_taking_over;
mod ws_07_delivery;

//! What stays true of these sources: who may name whom, what a log once held stays readable, and tidiness.
//!
//! Nothing is started here: each test reads files and fails with file and line.

mod arrows;
mod circles;
mod citations;
mod compatibility;
mod contract;
mod dependencies;
mod event_documents;
mod figures;
mod golden;
mod language;
mod links;
mod names;
mod redaction;
mod scripts;
mod tidiness;
mod tree;
mod types;

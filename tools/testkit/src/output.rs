//! The form of what a tool prints: text for people, or JSON.

use serde_json::Value;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// What was asked for on the command line.
    pub fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// Prints a result in the form asked for.
    pub fn print(self, json: &Value, text: impl FnOnce() -> String) {
        match self {
            Self::Json => println!("{json}"),
            Self::Text => println!("{}", text()),
        }
    }
}

//! Specifications of log-ins and of each account's current connection.

use hongyan::projections::sessions::Sessions;
use serde_json::{Value, json};

use super::Specifications;

/// As a user.
const A: &str = "00000000-0000-4000-8000-0000000000a1";
/// As a guest.
const B: &str = "00000000-0000-4000-8000-0000000000a2";
const FIRST: &str = "00000000-0000-4000-8000-0000000000c1";
const SECOND: &str = "00000000-0000-4000-8000-0000000000c2";
const NODE: &str = "00000000-0000-4000-8000-0000000000d1";
const CHANGE: &str = "00000000-0000-4000-8000-0000000000e1";

fn event(name: &str, data: Value) -> (&'static str, Value) {
    ("evt.session.3", json!({"type": name, "data": data}))
}

fn logged_in(token: &str, role: &str) -> (&'static str, Value) {
    event("session.logged_in.v1", json!({"token": token, "role": role}))
}

fn connected(connection: &str) -> (&'static str, Value) {
    let data = json!({"connection": connection, "node": NODE, "token": A, "role": "user"});
    event("session.connected.v1", data)
}

fn disconnected(connection: &str) -> (&'static str, Value) {
    let data = json!({"connection": connection, "reason": "closed"});
    event("session.disconnected.v1", data)
}

/// The one key, as of the event at `version`.
fn only(session: Value, version: &str) -> Value {
    json!({"chat_user_3": {"session": session, "version": version}})
}

pub async fn hold(specifications: &mut Specifications) {
    let signed_in = [logged_in(A, "user"), logged_in(B, "visitor")];
    let current = json!({"connection": SECOND, "node": NODE, "token": A, "role": "user"});
    specifications
        .check::<Sessions>(
            "the newest connection is current, and what it superseded is open until it ends",
            &[&signed_in[..], &[connected(FIRST), connected(SECOND)]].concat(),
            only(
                json!({
                    "user_token": A, "visitor_token": B, "socket": current,
                    "open": {FIRST: NODE, SECOND: NODE},
                }),
                "4",
            ),
        )
        .await;
    specifications
        .check::<Sessions>(
            "the end of a superseded connection leaves the current one",
            &[connected(FIRST), connected(SECOND), disconnected(FIRST)],
            only(
                json!({
                    "user_token": null, "visitor_token": null, "socket": current,
                    "open": {SECOND: NODE},
                }),
                "3",
            ),
        )
        .await;
    specifications
        .check::<Sessions>(
            "a log-out ends the token and silences its connection, which stays open",
            &[
                logged_in(A, "user"),
                connected(FIRST),
                event("session.logged_out.v1", json!({"token": A})),
            ],
            only(
                json!({
                    "user_token": null, "visitor_token": null, "socket": null, "open": {FIRST: NODE},
                }),
                "3",
            ),
        )
        .await;
    let revoked = event("session.revoked.v1", json!({"kept": B, "change": CHANGE}));
    specifications
        .check::<Sessions>(
            "a change of password ends all tokens but the one that is kept",
            &[&signed_in[..], &[revoked]].concat(),
            only(
                json!({"user_token": null, "visitor_token": B, "socket": null, "revoked_by": CHANGE}),
                "3",
            ),
        )
        .await;
    specifications
        .check::<Sessions>(
            "a log-in as a user ends the guest's",
            &[logged_in(B, "visitor"), logged_in(A, "user")],
            only(json!({"user_token": A, "visitor_token": null, "socket": null}), "2"),
        )
        .await;
}

//! Specifications of presence: which gateway has whose connections.

use hongyan::projections::presence::Presence;
use serde_json::{Value, json};

use super::Specifications;

const FIRST: &str = "00000000-0000-4000-8000-0000000000c1";
const SECOND: &str = "00000000-0000-4000-8000-0000000000c2";
const THIRD: &str = "00000000-0000-4000-8000-0000000000c3";
const NORTH: &str = "00000000-0000-4000-8000-0000000000d1";
const SOUTH: &str = "00000000-0000-4000-8000-0000000000d2";

fn connected(subject: &'static str, connection: &str, node: &str) -> (&'static str, Value) {
    let token = "00000000-0000-4000-8000-0000000000a1";
    let data = json!({"connection": connection, "node": node, "token": token, "role": "user"});
    (subject, json!({"type": "session.connected.v1", "data": data}))
}

fn disconnected(subject: &'static str, connection: &str) -> (&'static str, Value) {
    let data = json!({"connection": connection, "reason": "node_lost"});
    (subject, json!({"type": "session.disconnected.v1", "data": data}))
}

pub async fn hold(specifications: &mut Specifications) {
    let (ann, bob) = ("evt.session.3", "evt.session.9");
    let all = [
        connected(ann, FIRST, NORTH),
        connected(ann, SECOND, SOUTH),
        connected(bob, THIRD, NORTH),
        connected(ann, FIRST, NORTH), // once more, before the first event expires
    ];
    specifications
        .check::<Presence>(
            "each connection counts once, superseded ones too",
            &all,
            json!({
                "node_00000000-0000-4000-8000-0000000000d1":
                    ["3 00000000-0000-4000-8000-0000000000c1", "9 00000000-0000-4000-8000-0000000000c3"],
                "node_00000000-0000-4000-8000-0000000000d2":
                    ["3 00000000-0000-4000-8000-0000000000c2"],
                "nodes": {NORTH: "2", SOUTH: "1"},
                "online_3": {FIRST: NORTH, SECOND: SOUTH},
                "online_9": {THIRD: NORTH},
            }),
        )
        .await;
    let over = [disconnected(ann, SECOND), disconnected(bob, THIRD), disconnected(bob, THIRD)];
    specifications
        .check::<Presence>(
            "a connection that ended counts no more, and a gateway without any leaves no trace",
            &[&all[..], &over].concat(),
            json!({
                "node_00000000-0000-4000-8000-0000000000d1":
                    ["3 00000000-0000-4000-8000-0000000000c1"],
                "nodes": {NORTH: "1"},
                "online_3": {FIRST: NORTH},
            }),
        )
        .await;
}

//! Specifications of complaints.

use hongyan::projections::complaints::Complaints;
use serde_json::{Value, json};

use super::Specifications;

const KEY: &str = "00000000-0000-4000-8000-0000000000c1";

fn event(name: &str, data: Value) -> (&'static str, Value) {
    let subject = "evt.complaint.00000000-0000-4000-8000-0000000000c1";
    (subject, json!({"type": name, "data": data}))
}

fn statement(reason: &str) -> Value {
    json!({"reason": reason, "content": "each day", "images": "/1.png", "chat": "hello"})
}

fn filed() -> (&'static str, Value) {
    let target = json!({"kind": "group", "id": 33, "name": "Tea club"});
    let data = json!({
        "by": 3, "target": target, "statement": statement("spam"), "at": 1_758_675_601_000_i64,
    });
    event("complaint.filed.v1", data)
}

pub async fn hold(specifications: &mut Specifications) {
    let revised = json!({"statement": statement("fraud"), "at": 1_758_675_602_000_i64});
    let closed = json!({"status": 2, "note": "warned", "at": 1_758_675_603_000_i64});
    specifications
        .check::<Complaints>(
            "a complaint is numbered by its event, and keeps what an operator says",
            &[
                filed(),
                event("complaint.revised.v1", revised),
                event("complaint.closed.v1", closed),
            ],
            json!({"complaints": [{
                "id": 131_072, "key": KEY, "complainant": 3, "target_type": "group",
                "target_id": 33, "target_name": "Tea club", "reason": "fraud",
                "content": "each day", "images": "/1.png", "chat": "hello", "status": 2,
                "note": "warned", "withdrawn": false, "created_at": "2025-09-24T01:00:01+00:00",
                "updated_at": "2025-09-24T01:00:03+00:00", "version": 3,
            }]}),
        )
        .await;
    specifications
        .check::<Complaints>(
            "of what was withdrawn stays whom it was about and why, not what was told",
            &[filed(), event("complaint.withdrawn.v1", json!({"at": 1_758_675_602_000_i64}))],
            json!({"complaints": [{
                "id": 131_072, "key": KEY, "complainant": 3, "target_type": "group",
                "target_id": 33, "target_name": "Tea club", "reason": "spam", "content": "",
                "images": "", "chat": "", "status": 0, "note": "", "withdrawn": true,
                "created_at": "2025-09-24T01:00:01+00:00",
                "updated_at": "2025-09-24T01:00:02+00:00", "version": 2,
            }]}),
        )
        .await;
}

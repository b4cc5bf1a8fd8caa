//! Specifications of questions answered beforehand.

use hongyan::projections::quick_replies::QuickReplies;
use serde_json::{Value, json};

use super::Specifications;

fn event(name: &str, data: Value) -> (&'static str, Value) {
    ("evt.questions.3", json!({"type": name, "data": data}))
}

fn added(id: i64, kind: &str, ask: &str) -> (&'static str, Value) {
    let data =
        json!({"id": id, "kind": kind, "ask": ask, "answer": "yes", "at": 1_758_675_600_000_i64});
    event("question.added.v1", data)
}

pub async fn hold(specifications: &mut Specifications) {
    let changed = json!({"id": 6, "ask": "where?", "answer": "here", "at": 1_758_675_609_000_i64});
    specifications
        .check::<QuickReplies>(
            "a list has what was added, as it was changed; the highest number outlives its question",
            &[
                added(5, "single", "when?"),
                added(6, "group", "who?"),
                added(7, "single", "why?"),
                event("question.changed.v1", changed),
                event("question.removed.v1", json!({"id": 7})),
            ],
            json!({
                "questions": [
                    {
                        "owner": 3, "id": 5, "kind": "single", "ask": "when?", "answer": "yes",
                        "created_at": "2025-09-24T01:00:00+00:00",
                        "updated_at": "2025-09-24T01:00:00+00:00",
                    },
                    {
                        "owner": 3, "id": 6, "kind": "group", "ask": "where?", "answer": "here",
                        "created_at": "2025-09-24T01:00:00+00:00",
                        "updated_at": "2025-09-24T01:00:09+00:00",
                    },
                ],
                "question_books": [{"owner": 3, "last_id": 7, "version": 5}],
            }),
        )
        .await;
}

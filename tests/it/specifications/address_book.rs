//! Specifications of address books and of requests to be in them.

use hongyan::projections::address_book::AddressBook;
use serde_json::{Value, json};

use super::{
    Specifications,
    chat::{ann, bob},
    club::NOTICE,
};

fn between(name: &str, data: Value) -> (&'static str, Value) {
    ("evt.friendship.3.9", json!({"type": name, "data": data}))
}

/// Ann asks.
fn asked() -> (&'static str, Value) {
    let data = json!({"asker": ann(), "asked": bob(), "text": "hello", "icon": "/i.png", "notice": NOTICE});
    between("friendship.requested.v1", data)
}

/// Bob answers the request of position 1.
fn answered(answer: &str, edges: Value) -> (&'static str, Value) {
    let data = json!({
        "request": 131_072, "answer": answer, "caller": bob(), "other": ann(), "edges": edges,
        "notice": NOTICE,
    });
    between("friendship.answered.v1", data)
}

fn both_edges() -> Value {
    json!([{"owner": 9, "friend": 3, "remark": ""}, {"owner": 3, "friend": 9, "remark": "bobby"}])
}

pub async fn hold(specifications: &mut Specifications) {
    for answer in ["refuse", "ignore"] {
        specifications
            .check::<AddressBook>(
                "a request keeps the answer; a refusal adds nobody",
                &[asked(), answered(answer, json!([]))],
                json!({
                    "friend_edges": [],
                    "friend_requests": [{
                        "id": 131_072, "asker": 3, "asked": 9, "text": "hello", "status": answer,
                        "created_at": "2025-09-24T01:00:01+00:00",
                        "updated_at": "2025-09-24T01:00:02+00:00",
                    }],
                    "friendships": [{"lo": 3, "hi": 9, "version": 2}],
                }),
            )
            .await;
    }
    let visibility = json!({"friend_sees_mine": false, "i_see_theirs": true});
    specifications
        .check::<AddressBook>(
            "a yes adds both, numbered by the event; what is set is set on one's own edge",
            &[
                asked(),
                answered("agree", both_edges()),
                between("friendship.star_set.v1", json!({"owner": 3, "starred": true})),
                between("friendship.visibility_set.v1", json!({"owner": 3, "visibility": visibility})),
                between("friendship.blacklist_set.v1", json!({"owner": 9, "blocked": true})),
            ],
            json!({
                "friend_edges": [
                    {
                        "id": 262_145, "owner": 9, "friend": 3, "remark": "", "friendlookme": 1,
                        "melookfriend": 1, "starred": false, "blocked": true,
                        "created_at": "2025-09-24T01:00:02+00:00",
                        "updated_at": "2025-09-24T01:00:05+00:00",
                    },
                    {
                        "id": 262_146, "owner": 3, "friend": 9, "remark": "bobby", "friendlookme": 0,
                        "melookfriend": 1, "starred": true, "blocked": false,
                        "created_at": "2025-09-24T01:00:02+00:00",
                        "updated_at": "2025-09-24T01:00:04+00:00",
                    },
                ],
                "friend_requests": [{
                    "id": 131_072, "asker": 3, "asked": 9, "text": "hello", "status": "agree",
                    "created_at": "2025-09-24T01:00:01+00:00",
                    "updated_at": "2025-09-24T01:00:02+00:00",
                }],
                "friendships": [{"lo": 3, "hi": 9, "version": 5}],
            }),
        )
        .await;
    let befriended = json!({
        "caller": bob(), "other": ann(), "text": "me", "agreed": 131_072, "edges": both_edges(),
        "notice": NOTICE,
    });
    let befriended = || between("friendship.befriended.v1", befriended.clone());
    specifications
        .check::<AddressBook>(
            "adding at once is a request that is agreed to, and answers the other one",
            &[asked(), befriended(), between("friendship.ended.v1", json!({"by": 3}))],
            json!({
                "friend_edges": [],
                "friend_requests": [],
                "friendships": [{"lo": 3, "hi": 9, "version": 3}],
            }),
        )
        .await;
    specifications
        .check::<AddressBook>(
            "a block stays when the blocked one parts",
            &[
                asked(),
                befriended(),
                between("friendship.blacklist_set.v1", json!({"owner": 9, "blocked": true})),
                between("friendship.ended.v1", json!({"by": 3, "keeps_block": true})),
            ],
            json!({
                "friend_edges": [{
                    "id": 262_145, "owner": 9, "friend": 3, "remark": "", "friendlookme": 1,
                    "melookfriend": 1, "starred": false, "blocked": true,
                    "created_at": "2025-09-24T01:00:02+00:00",
                    "updated_at": "2025-09-24T01:00:03+00:00",
                }],
                "friend_requests": [],
                "friendships": [{"lo": 3, "hi": 9, "version": 4}],
            }),
        )
        .await;
    specifications
        .check::<AddressBook>(
            "adding at once keeps both requests, each by its own number",
            &[asked(), befriended()],
            json!({
                "friend_edges": [
                    {
                        "id": 262_145, "owner": 9, "friend": 3, "remark": "", "friendlookme": 1,
                        "melookfriend": 1, "starred": false, "blocked": false,
                        "created_at": "2025-09-24T01:00:02+00:00",
                        "updated_at": "2025-09-24T01:00:02+00:00",
                    },
                    {
                        "id": 262_146, "owner": 3, "friend": 9, "remark": "bobby", "friendlookme": 1,
                        "melookfriend": 1, "starred": false, "blocked": false,
                        "created_at": "2025-09-24T01:00:02+00:00",
                        "updated_at": "2025-09-24T01:00:02+00:00",
                    },
                ],
                "friend_requests": [
                    {
                        "id": 131_072, "asker": 3, "asked": 9, "text": "hello", "status": "agree",
                        "created_at": "2025-09-24T01:00:01+00:00",
                        "updated_at": "2025-09-24T01:00:02+00:00",
                    },
                    {
                        "id": 262_144, "asker": 9, "asked": 3, "text": "me", "status": "agree",
                        "created_at": "2025-09-24T01:00:02+00:00",
                        "updated_at": "2025-09-24T01:00:02+00:00",
                    },
                ],
                "friendships": [{"lo": 3, "hi": 9, "version": 2}],
            }),
        )
        .await;
}

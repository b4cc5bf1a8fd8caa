//! Specifications of groups and of who is in them.

use hongyan::projections::group_roster::GroupRoster;
use serde_json::{Value, json};

use super::{
    Specifications,
    chat::{ann, bob},
    club::{CLUB_UUID, NOTICE, created},
};

const EVE: &str = "00000000-0000-4000-8000-000000000007";

fn event(name: &str, data: Value) -> (&'static str, Value) {
    ("evt.group.33", json!({"type": name, "data": data}))
}

/// How Eve, who is 7, comes to it.
fn entry() -> Value {
    let user = json!({"id": 7, "uuid": EVE, "name": "eve", "avatar": "/e.png", "role": "user"});
    let owner = json!({"id": 3, "username": "ann", "nickname": "", "avatar": "/a.png"});
    json!({"user": user, "inviter": null, "icon": "/i.png", "owner": owner})
}

fn applied() -> (&'static str, Value) {
    let data = json!({
        "entry": entry(), "text": "please", "owner": ann(), "notice": NOTICE,
        "at": 1_758_675_602_000_i64,
    });
    event("group.applied.v1", data)
}

fn member(id: i64, user: i64, (nickname, status): (&str, i64), times: [u8; 2]) -> Value {
    let [created, updated] = times.map(|second| format!("2025-09-24T01:00:0{second}+00:00"));
    json!({
        "id": id, "group_id": 33, "user_id": user, "nickname": nickname, "status": status,
        "created_at": created, "updated_at": updated,
    })
}

pub async fn hold(specifications: &mut Specifications) {
    specifications
        .check::<GroupRoster>(
            "members are numbered by the event in their order, who waits is of status 2",
            &[created(), applied()],
            json!({
                "groups": [{
                    "id": 33, "uuid": CLUB_UUID, "owner": 3, "name": "ann、bob", "avatar": "/a.png,/b.png",
                    "remark": "", "invite_confirm": 0, "dissolved": false,
                    "created_at": "2025-09-24T01:00:01+00:00",
                    "updated_at": "2025-09-24T01:00:01+00:00", "version": 2,
                }],
                "group_users": [
                    member(131_072, 3, ("", 1), [1, 1]),
                    member(131_073, 9, ("", 1), [1, 1]),
                    member(262_144, 7, ("", 2), [2, 2]),
                ],
            }),
        )
        .await;
    let eve = json!({"id": 7, "name": "eve", "avatar": "/e.png"});
    specifications
        .check::<GroupRoster>(
            "each change is seen; a name in the group is no change of the group",
            &[
                created(),
                applied(),
                event(
                    "group.renamed.v1",
                    json!({"by": ann(), "name": "Tea", "notice": NOTICE, "at": 1_758_675_603_000_i64}),
                ),
                event(
                    "group.announced.v1",
                    json!({"by": ann(), "remark": "at 5", "notice": NOTICE, "at": 1_758_675_604_000_i64}),
                ),
                event("group.policy_set.v1", json!({"policy": 1, "at": 1_758_675_605_000_i64})),
                event(
                    "group.approved.v1",
                    json!({
                        "user": eve, "avatar": "/a.png,/b.png,/e.png", "icon": "/i.png",
                        "notice": NOTICE, "at": 1_758_675_606_000_i64,
                    }),
                ),
                event(
                    "group.member_removed.v1",
                    json!({"user": 9, "avatar": "/a.png,/e.png", "at": 1_758_675_607_000_i64}),
                ),
                event(
                    "group.nickname_set.v1",
                    json!({"user": 7, "nickname": "E", "at": 1_758_675_608_000_i64}),
                ),
            ],
            json!({
                "groups": [{
                    "id": 33, "uuid": CLUB_UUID, "owner": 3, "name": "Tea", "avatar": "/a.png,/e.png",
                    "remark": "at 5", "invite_confirm": 1, "dissolved": false,
                    "created_at": "2025-09-24T01:00:01+00:00",
                    "updated_at": "2025-09-24T01:00:07+00:00", "version": 8,
                }],
                "group_users": [
                    member(131_072, 3, ("", 1), [1, 1]),
                    member(262_144, 7, ("E", 1), [2, 8]),
                ],
            }),
        )
        .await;
    let left = json!({
        "by": bob(), "notice": NOTICE,
        "at": 1_758_675_604_000_i64,
    });
    let joined = json!({
        "avatar": "/a.png,/e.png", "entry": entry(), "notice": null, "at": 1_758_675_605_000_i64,
    });
    specifications
        .check::<GroupRoster>(
            "who was refused or left is gone; who comes again has a new number",
            &[
                created(),
                applied(),
                event("group.refused.v1", json!({"user": 7, "at": 1_758_675_603_000_i64})),
                event("group.left.v1", left),
                event("group.joined.v1", joined),
            ],
            json!({
                "groups": [{
                    "id": 33, "uuid": CLUB_UUID, "owner": 3, "name": "ann、bob", "avatar": "/a.png,/e.png",
                    "remark": "", "invite_confirm": 0, "dissolved": false,
                    "created_at": "2025-09-24T01:00:01+00:00",
                    "updated_at": "2025-09-24T01:00:05+00:00", "version": 5,
                }],
                "group_users": [
                    member(131_072, 3, ("", 1), [1, 1]),
                    member(655_360, 7, ("", 1), [5, 5]),
                ],
            }),
        )
        .await;
    let dissolved = json!({"by": ann(), "notice": NOTICE, "at": 1_758_675_603_000_i64});
    specifications
        .check::<GroupRoster>(
            "a dissolved group keeps its row and no members",
            &[created(), applied(), event("group.dissolved.v1", dissolved)],
            json!({
                "groups": [{
                    "id": 33, "uuid": CLUB_UUID, "owner": 3, "name": "ann、bob", "avatar": "/a.png,/b.png",
                    "remark": "", "invite_confirm": 0, "dissolved": true,
                    "created_at": "2025-09-24T01:00:01+00:00",
                    "updated_at": "2025-09-24T01:00:01+00:00", "version": 3,
                }],
                "group_users": [],
            }),
        )
        .await;
}

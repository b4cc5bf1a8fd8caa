//! H1 of `ws.md` §3 and §6.1: only who is in a group is reminded of their groups.

use serde_json::json;

use crate::support::shapes::{asset, enc};
use crate::support::{App, Group, User, device};

async fn first_hint(user: &User) -> serde_json::Value {
    user.connect_raw().await.greeting().await[1].clone()
}

/// `ws.md` §3.4, H1.
#[tokio::test]
async fn ws_03_h1_is_for_members_only() {
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let guest = app.visitor(&device(1)).await;
    let is_h1 = async |user: &User| {
        let hint = first_hint(user).await;
        hint["from_id"] == format!("redirect-groupList-{}", user.id)
    };
    assert!(!is_h1(&ann).await && !is_h1(&guest).await);
    let group = app.group(&ann, &[&bob]).await;
    ann.set_policy(group, 1).await.ok();
    guest.join(group).await.ok();
    assert!(is_h1(&bob).await && !is_h1(&guest).await, "who waits is in no group");
    ann.decide(group, &guest, "agree").await.ok();
    assert!(is_h1(&guest).await);
    let hint = first_hint(&ann).await;
    let key = format!("redirect-groupList-{}", ann.id);
    let url = format!(
        "/pages/applyMyfriend/applyMyfriend?action=grouplist&title={}",
        enc("我的群聊列表")
    );
    let expected = json!({ "id": hint["id"], "from_avatar": asset("img/grouplist.png"),
        "from_name": "我的群聊", "from_id": key, "to_id": ann.id, "to_name": ann.username,
        "to_avatar": asset("user.jpg"), "chatType": "single", "type": "text",
        "data": { "data": "可查看我加入的群聊列表", "dataType": false, "otherData": null },
        "redirect": { "url": url, "type": "navigateTo" }, "options": {},
        "create_time": hint["create_time"], "isremove": 0, "group": {}, "msgidKey": key });
    assert_eq!(hint, expected);
    ann.leave(group).await.done();
    for user in [&ann, &bob, &guest] {
        assert!(!is_h1(user).await);
    }
    ann.group_info(Group { id: group.id }).await.failed(400);
}

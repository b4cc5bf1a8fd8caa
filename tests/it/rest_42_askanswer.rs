//! `rest.md` §42: questions answered beforehand, in an envelope of their own.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::{assert_epoch_ms, assert_iso_time, assert_row_time, keys};
use crate::support::{App, User, device};

/// Calls one of the routes; the status is 200, whatever it says.
async fn call(user: &User, route: &str, body: Value) -> (u64, String, Value) {
    let reply = user.post(&format!("/api/chat/askanswer/{route}"), body).await;
    assert_eq!((reply.status, keys(&reply.body)), (200, vec!["code", "msg", "data"]), "{reply:?}");
    let code = reply.body["code"].as_u64().expect("a number");
    let msg = reply.body["msg"].as_str().expect("a text").to_owned();
    (code, msg, reply.body["data"].clone())
}

async fn said(user: &User, route: &str, body: Value, code: u64, msg: &str) -> Value {
    let (found, text, data) = call(user, route, body.clone()).await;
    assert_eq!((found, text.as_str()), (code, msg), "{route} {body}: {data}");
    data
}

fn put(user: &User, kind: &str, ask: &str, answer: &str) -> Value {
    json!({ "ask": ask, "answer": answer, "type": kind, "create_userId": user.id })
}

async fn create(user: &User, kind: &str, ask: &str, answer: &str) -> Value {
    said(user, "create", put(user, kind, ask, answer), 200, "问答创建成功").await
}

#[tokio::test]
async fn rest_42_questions_answered_beforehand() {
    let app = App::configured(&[("LIMITS__QUESTIONS", "3")]).await;
    a_question_is_created_changed_and_deleted(&app).await;
    lists_are_kept_apart(&app).await;
    others_read_and_change_nothing(&app).await;
    what_is_asked_is_looked_for(&app).await;
    what_is_missing_or_wrong_is_told(&app).await;
    a_list_has_an_end(&app).await;
    the_same_question_at_once_is_one(&app).await;
    guests_do_not_come_here(&app).await;
    app.verify().await;
}

async fn a_question_is_created_changed_and_deleted(app: &App) {
    let ann = app.register("ann").await;
    let made = create(&ann, "single", "几点开门？", "九点").await;
    assert_epoch_ms(&made["id"]);
    assert_row_time(&made["create_time"]);
    assert_iso_time(&made["update_time"]);
    let expected = json!({ "id": made["id"], "ask": "几点开门？", "answer": "九点", "type": "single",
        "create_userId": ann.id, "create_time": made["create_time"], "update_time": made["update_time"],
        "likeCount": 0, "liked": false });
    assert_eq!((&made, keys(&made)), (&expected, keys(&expected)));
    // The same question again is another answer to it, or nothing new.
    for answer in ["十点", "十点"] {
        let body = put(&ann, "single", "几点开门？", answer);
        let again = said(&ann, "create", body, 200, "问答已更新").await;
        assert_eq!((&again["id"], &again["answer"]), (&made["id"], &json!("十点")));
    }
    let mut body = put(&ann, "single", "几点关门？", "六点");
    body["id"] = made["id"].clone();
    let changed = said(&ann, "update", body, 200, "更新成功").await;
    assert_eq!((&changed["id"], &changed["ask"]), (&made["id"], &json!("几点关门？")));
    assert_eq!(changed["create_time"], made["create_time"]);
    let which = json!({ "id": made["id"], "type": "single", "create_userId": ann.id });
    assert_eq!(said(&ann, "detail", which.clone(), 200, "获取成功").await, changed);
    said(&ann, "delete", which.clone(), 200, "删除成功").await;
    for route in ["delete", "detail"] {
        assert!(said(&ann, route, which.clone(), 404, "问答不存在").await.is_null());
    }
}

async fn lists_are_kept_apart(app: &App) {
    let ann = app.register("ann").await;
    let list = |kind: &str| json!({ "type": kind, "userId": ann.id });
    assert_eq!(said(&ann, "list", list("group"), 200, "暂无问答数据").await, json!([]));
    let one = create(&ann, "single", "one", "1").await;
    let two = create(&ann, "single", "two", "2").await;
    let other = create(&ann, "group", "one", "1").await;
    assert_eq!(said(&ann, "list", list("single"), 200, "获取成功").await, json!([one, two]));
    assert_eq!(said(&ann, "list", list("group"), 200, "获取成功").await, json!([other]));
    let elsewhere = json!({ "id": one["id"], "type": "group" });
    for route in ["detail", "delete"] {
        said(&ann, route, elsewhere.clone(), 404, "问答不存在").await;
    }
    let mut body = put(&ann, "group", "three", "3");
    body["id"] = one["id"].clone();
    said(&ann, "update", body, 404, "问答不存在").await;
    said(&ann, "delete", json!({ "id": one["id"] }), 200, "删除成功").await;
}

async fn others_read_and_change_nothing(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let made = create(&ann, "single", "one", "1").await;
    let which = json!({ "id": made["id"], "type": "single", "create_userId": ann.id });
    let list = json!({ "type": "single", "userId": ann.id });
    let search = json!({ "type": "single", "create_userId": ann.id, "ask": "one" });
    assert_eq!(said(&bob, "detail", which.clone(), 200, "获取成功").await, made);
    assert_eq!(said(&bob, "list", list.clone(), 200, "获取成功").await, json!([made]));
    assert_eq!(said(&bob, "search", search, 200, "找到相关回答").await, made);
    let refused = format!("创建者id 的值 `{}` 必须在 [`{}`] 中", ann.id, bob.id);
    let mut body = put(&ann, "single", "one", "mine now");
    said(&bob, "create", body.clone(), 400, &refused).await;
    body["id"] = made["id"].clone();
    said(&bob, "update", body.clone(), 400, &refused).await;
    said(&bob, "delete", which, 400, &refused).await;
    // As one's own they are not there.
    body["create_userId"] = json!(bob.id);
    said(&bob, "update", body, 404, "问答不存在").await;
    said(&bob, "delete", json!({ "id": made["id"] }), 404, "问答不存在").await;
    assert_eq!(said(&ann, "list", list, 200, "获取成功").await, json!([made]));
}

async fn what_is_asked_is_looked_for(app: &App) {
    let ann = app.register("ann").await;
    let search = |ask: &str| json!({ "type": "single", "create_userId": ann.id, "ask": ask });
    assert_eq!(said(&ann, "search", search("open"), 404, "未找到相关问答").await, json!([]));
    let open = create(&ann, "single", "Open?", "9").await;
    let late = create(&ann, "single", "open late?", "no").await;
    assert_eq!(said(&ann, "search", search(" open? "), 200, "找到相关回答").await, open);
    assert_eq!(said(&ann, "search", search("OPEN"), 200, "搜索成功").await, json!([open, late]));
    said(&ann, "search", search("%"), 404, "未找到相关问答").await;
}

async fn what_is_missing_or_wrong_is_told(app: &App) {
    let ann = app.register("ann").await;
    let incomplete = "参数不完整";
    for (route, needed) in [
        ("create", &["ask", "answer", "type", "create_userId"][..]),
        ("update", &["id", "ask", "answer", "type", "create_userId"]),
        ("delete", &["id"]),
        ("detail", &["id"]),
        ("list", &["type", "userId"]),
        ("search", &["type", "create_userId", "ask"]),
    ] {
        for left_out in needed {
            let mut body = put(&ann, "single", "one", "1");
            (body["id"], body["userId"]) = (json!(1), json!(ann.id));
            body[left_out] = json!("");
            assert!(said(&ann, route, body, 400, incomplete).await.is_null());
        }
    }
    let long = "问".repeat(101);
    said(&ann, "create", put(&ann, "single", &long, "1"), 400, "问题 的长度 必须 在 1 和 100 之间")
        .await;
    let long = "答".repeat(1001);
    said(
        &ann,
        "create",
        put(&ann, "single", "1", &long),
        400,
        "回答 的长度 必须 在 1 和 1000 之间",
    )
    .await;
    let wrong = "类型 的值 `../single` 必须在 [`single`、`group`] 中";
    said(&ann, "create", put(&ann, "../single", "1", "1"), 400, wrong).await;
    said(&ann, "detail", json!({ "id": "x" }), 400, "问答id 的值 `x` 的类型不是 `int`").await;
}

async fn a_list_has_an_end(app: &App) {
    let ann = app.register("ann").await;
    for ask in ["one", "two", "three"] {
        create(&ann, "single", ask, "1").await;
    }
    said(&ann, "create", put(&ann, "single", "four", "1"), 400, "问答数量已达上限").await;
    said(&ann, "create", put(&ann, "single", "three", "2"), 200, "问答已更新").await;
    create(&ann, "group", "four", "1").await;
}

/// Clarification 21; and no two have one number.
async fn the_same_question_at_once_is_one(app: &App) {
    let ann = app.register("ann").await;
    let asks = ["one", "one", "one", "two", "three"];
    let calls = asks.map(|ask| call(&ann, "create", put(&ann, "single", ask, "1")));
    let replies = join_all(calls).await;
    assert!(replies.iter().all(|(code, ..)| *code == 200), "{replies:?}");
    let made = replies.iter().filter(|(_, msg, _)| msg == "问答创建成功").count();
    assert_eq!(made, 3, "{replies:?}");
    let list = json!({ "type": "single", "userId": ann.id });
    let list = said(&ann, "list", list, 200, "获取成功").await;
    let mut ids: Vec<u64> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["id"].as_u64().expect("a number"))
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{list}");
}

async fn guests_do_not_come_here(app: &App) {
    let guest = app.visitor(&device(1)).await;
    let refused = "您没有权限访问，请先注册或登录";
    for route in ["create", "update", "delete", "list", "detail", "search"] {
        let path = format!("/api/chat/askanswer/{route}");
        guest.post(&path, json!({})).await.refused(400, refused);
    }
}

//! `rest.md` §42: complaints; `msg` carries the text and `data` the payload.

use serde_json::{Value, json};

use crate::support::shapes::{assert_iso_time, assert_row_time, keys};
use crate::support::{App, Reply, User, device};

const ROOT: &str = "/api/chat/complaint";
const UNKNOWN: &str = "投诉不存在";

async fn post(user: &User, path: &str, body: Value) -> Reply {
    user.post(&format!("{ROOT}/{path}"), body).await
}

#[track_caller]
fn said(reply: &Reply, status: u16, msg: &str) -> Value {
    let found = (reply.status, reply.body["msg"].as_str().unwrap_or_default());
    assert_eq!(found, (status, msg), "{}", reply.text());
    assert_eq!(keys(&reply.body), ["msg", "data"]);
    if status != 200 {
        assert_eq!(reply.body["data"], json!({}));
    }
    reply.body["data"].clone()
}

fn about(id: u64) -> Value {
    json!({ "target_id": id, "target_type": "group", "target_name": "Tea club", "reason": "垃圾广告",
            "content": "每天都发", "images": ["/public/uploads/a.png"], "complaint_chatinfo": [{ "id": 1 }] })
}

async fn file(user: &User, body: Value) -> u64 {
    let data = said(&post(user, "create", body).await, 200, "投诉提交成功");
    assert_eq!(keys(&data), ["id"]);
    data["id"].as_u64().expect("a number")
}

async fn list(user: &User) -> Vec<Value> {
    let reply = user.get(&format!("{ROOT}/list")).await;
    said(&reply, 200, "获取成功").as_array().expect("a list").clone()
}

async fn detail(user: &User, id: u64) -> Reply {
    user.get(&format!("{ROOT}/detail/{id}")).await
}

#[tokio::test]
async fn rest_42_complaints() {
    let app = App::configured(&[("LIMITS__COMPLAINTS", "3")]).await;
    a_complaint_is_filed_and_shown(&app).await;
    what_is_missing_or_wrong_is_told(&app).await;
    its_author_says_it_otherwise_or_takes_it_back(&app).await;
    nobody_sees_or_changes_another_ones(&app).await;
    there_is_an_end_to_them(&app).await;
    guests_do_not_come_here(&app).await;
    app.verify().await;
}

async fn a_complaint_is_filed_and_shown(app: &App) {
    let ann = app.register("ann").await;
    assert_eq!(list(&ann).await, [json!(null); 0]);
    let first = file(&ann, about(33)).await;
    let person = json!({ "target_id": "9", "target_type": "single", "target_name": "bob", "reason": "欺诈" });
    let second = file(&ann, person).await;
    assert!(second > first);
    let shown = said(&detail(&ann, first).await, 200, "获取成功");
    assert_row_time(&shown["create_time"]);
    assert_iso_time(&shown["update_time"]);
    let expected = json!({ "create_time": shown["create_time"], "id": first, "user_id": ann.id, "target_id": 33,
        "target_type": "group", "target_name": "Tea club", "reason": "垃圾广告", "content": "每天都发",
        "images": "[\"/public/uploads/a.png\"]", "complaint_chatinfo": "[{\"id\":1}]", "status": 0,
        "update_time": shown["update_time"] });
    assert_eq!((&shown, keys(&shown)), (&expected, keys(&expected)));
    let all = list(&ann).await;
    assert_eq!(all[1], shown);
    let brief = (&all[0]["id"], &all[0]["target_id"], &all[0]["content"], &all[0]["images"]);
    assert_eq!(brief, (&json!(second), &json!(9), &json!(""), &json!("")));
}

async fn what_is_missing_or_wrong_is_told(app: &App) {
    let ann = app.register("ann").await;
    let incomplete = "缺少必要参数";
    said(&ann.post_empty(&format!("{ROOT}/create")).await, 400, incomplete);
    for name in ["target_id", "target_type", "target_name", "reason"] {
        let mut body = about(33);
        body[name] = Value::Null;
        said(&post(&ann, "create", body).await, 400, incomplete);
    }
    for (name, value, text) in [
        ("target_id", json!("x"), "投诉对象id 的值 `x` 的类型不是 `int`"),
        ("target_id", json!(0), "投诉对象id 的数值 必须 在 1 和 10000000000000000 之间"),
        ("target_type", json!("robot"), "投诉对象类型 的值 `robot` 必须在 [`group`、`single`] 中"),
        ("target_name", json!("x".repeat(201)), "投诉对象名称 的长度 必须 在 1 和 200 之间"),
        ("reason", json!("x".repeat(201)), "投诉原因 的长度 必须 在 1 和 200 之间"),
        ("content", json!("x".repeat(2001)), "投诉内容 的长度 必须 在 1 和 2000 之间"),
    ] {
        let mut body = about(33);
        body[name] = value;
        said(&post(&ann, "create", body).await, 422, text);
    }
    said(&ann.get(&format!("{ROOT}/detail/x")).await, 422, "投诉id 的值 `x` 的类型不是 `int`");
    assert!(list(&ann).await.is_empty());
}

async fn its_author_says_it_otherwise_or_takes_it_back(app: &App) {
    let ann = app.register("ann").await;
    let id = file(&ann, about(33)).await;
    let before = said(&detail(&ann, id).await, 200, "获取成功");
    let update = format!("update/{id}");
    let revised = json!({ "content": "每小时都发", "target_id": 34 });
    for _ in 0..2 {
        said(&post(&ann, &update, revised.clone()).await, 200, "投诉修改成功");
    }
    let after = said(&detail(&ann, id).await, 200, "获取成功");
    let mut expected = before;
    expected["content"] = json!("每小时都发");
    expected["update_time"] = after["update_time"].clone();
    assert_eq!(after, expected, "whom it is about stays, and so does what was not said anew");
    assert_eq!(list(&ann).await, [after]);
    said(&post(&ann, &update, json!({ "target_id": 34 })).await, 400, "缺少必要参数");
    said(&post(&ann, &format!("delete/{id}"), json!({})).await, 200, "投诉删除成功");
    for path in [format!("delete/{id}"), update] {
        said(&post(&ann, &path, revised.clone()).await, 400, UNKNOWN);
    }
    said(&detail(&ann, id).await, 400, UNKNOWN);
    assert!(list(&ann).await.is_empty());
    let told = format!(
        "select count(*) from live.complaints where id = {id} and withdrawn and content = ''"
    );
    assert_eq!(app.servers.postgres.number(told).await, 1, "operators see that there was one");
}

async fn nobody_sees_or_changes_another_ones(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let id = file(&ann, about(bob.id)).await;
    said(&detail(&bob, id).await, 400, UNKNOWN);
    for path in [format!("update/{id}"), format!("delete/{id}")] {
        said(&post(&bob, &path, json!({ "content": "all lies" })).await, 400, UNKNOWN);
    }
    assert!(list(&bob).await.is_empty());
    assert_eq!(list(&ann).await[0]["content"], "每天都发");
    said(&detail(&ann, 7_777_777).await, 400, UNKNOWN);
}

async fn there_is_an_end_to_them(app: &App) {
    let ann = app.register("ann").await;
    let ids = [file(&ann, about(1)).await, file(&ann, about(2)).await, file(&ann, about(3)).await];
    said(&post(&ann, "create", about(4)).await, 400, "投诉数量已达上限");
    said(&post(&ann, &format!("delete/{}", ids[0]), json!({})).await, 200, "投诉删除成功");
    file(&ann, about(4)).await;
}

async fn guests_do_not_come_here(app: &App) {
    let guest = app.visitor(&device(1)).await;
    let refused = "您没有权限访问，请先注册或登录";
    guest.get(&format!("{ROOT}/list")).await.refused(400, refused);
    post(&guest, "create", about(1)).await.refused(400, refused);
}

//! `rest.md` §12, §14, §15: what the owner of an address book sees.

use serde_json::{Value, json};

use crate::support::shapes::{assert_iso_time, assert_row_time, asset, keys};
use crate::support::{App, User, device};

async fn ask(from: &User, to: &User, text: &str) {
    let body = json!({ "friend_id": to.id, "nickname": text });
    from.post("/api/chat/applyfriend", body).await.done();
}

async fn answer(by: &User, request: u64, status: &str, remark: &str) {
    let body = json!({ "status": status, "nickname": remark });
    by.post(&format!("/api/chat/handleapply/{request}"), body).await.done();
}

/// The requests addressed to somebody, and how many of all are pending.
async fn requests(of: &User, page: &str) -> (Vec<Value>, Value) {
    let data = of.get(&format!("/api/chat/listapplyfriend/{page}")).await.ok();
    assert_eq!(keys(&data), ["alldata", "pendingCount"]);
    (array(&data["alldata"]), data["pendingCount"].clone())
}

async fn book(of: &User, page: &str) -> Value {
    of.get(&format!("/api/chat/goodfriendlist/{page}")).await.ok()
}

/// The friends of a page, section by section.
fn entries(book: &Value) -> Vec<Value> {
    array(&book["rows"]["newList"]).iter().flat_map(|section| array(&section["list"])).collect()
}

fn array(value: &Value) -> Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("an array instead of {value}")).clone()
}

fn numbers(rows: &[Value], key: &str) -> Vec<u64> {
    rows.iter().map(|row| row[key].as_u64().expect("a number")).collect()
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

/// `rest.md` §12, `data.md` §2.4, clarification 18, DEV-27.
#[tokio::test]
async fn rest_12_requests_addressed_to_me() {
    let app = App::start().await;
    a_request_is_listed_with_its_asker(&app).await;
    all_states_are_listed_and_the_pending_counted(&app).await;
    dev_27_pages_of_requests_have_sane_lengths(&app).await;
}

async fn a_request_is_listed_with_its_asker(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    assert_eq!(requests(&bob, "1").await, (vec![], json!(0)));
    ask(&ann, &bob, "hi, it is me").await;
    ann.rename("Ann").await;
    let (rows, pending) = requests(&bob, "1").await;
    let [row] = &rows[..] else { panic!("one row instead of {rows:?}") };
    assert_row_time(&row["create_time"]);
    assert_iso_time(&row["update_time"]);
    let expected = json!({ "create_time": row["create_time"], "id": app.request(&ann, &bob).await,
        "user_id": ann.id, "friend_id": bob.id, "nickname": "hi, it is me", "friendlookme": 1,
        "melookfriend": 1, "ismystarfriend": 0, "isblack": 0, "status": "pending", "order": 50,
        "update_time": row["update_time"], "userId": ann.id,
        "user": { "id": ann.id, "username": ann.username, "avatar": asset("user.jpg"),
                  "nickname": "Ann", "uuid": ann.uuid } });
    assert_eq!((keys(row), row), (keys(&expected), &expected));
    assert_eq!(keys(&row["user"]), keys(&expected["user"]));
    assert_eq!(pending, 1);
    assert_eq!(requests(&ann, "1").await, (vec![], json!(0)), "only those addressed to me");
}

async fn all_states_are_listed_and_the_pending_counted(app: &App) {
    let bob = app.register("bob").await;
    let guest = app.visitor(&device(1)).await;
    let mut askers = vec![guest];
    for status in ["agree", "refuse", "ignore", "pending"] {
        let asker = app.register(status).await;
        ask(&asker, &bob, status).await;
        answer(&bob, app.request(&asker, &bob).await, status, "").await;
        askers.push(asker);
    }
    ask(&askers[0], &bob, "").await;
    let (rows, pending) = requests(&bob, "1").await;
    let ids = numbers(&rows, "id");
    assert_eq!(ids, sorted(ids.clone()).into_iter().rev().collect::<Vec<_>>(), "newest first");
    let state = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
    assert_eq!(["pending", "agree", "refuse", "ignore"].map(state), [2, 1, 1, 1]);
    assert_eq!(pending, 2);
    // One who refused is asked again: a new row. Who was befriended and left is in none.
    ask(&askers[2], &bob, "please").await;
    let path = format!("/api/chat/deletegoodfriend/{}", askers[1].id);
    bob.post_empty(&path).await.ok();
    let (rows, pending) = requests(&bob, "1").await;
    assert_eq!((rows.len(), pending), (5, json!(3)));
    assert_eq!(
        (&rows[0]["nickname"], &rows[0]["user_id"]),
        (&json!("please"), &json!(askers[2].id))
    );
    assert!(rows.iter().all(|row| row["user_id"] != askers[1].id));
    // A disabled asker's request stays.
    app.cli(&["users", "disable", &askers[2].id.to_string()]).await.ok();
    assert_eq!(requests(&bob, "1").await, (rows, json!(3)));
}

async fn dev_27_pages_of_requests_have_sane_lengths(app: &App) {
    let bob = app.register("bob").await;
    for _ in 0..12 {
        ask(&app.register("ann").await, &bob, "").await;
    }
    let (all, pending) = requests(&bob, "1?limit=2001").await;
    assert_eq!((all.len(), &pending), (12, &json!(12)));
    for usual in ["1", "1?limit=0", "1?limit=-3", "1?limit=x", "1?limit=1.5", "1?limit="] {
        assert_eq!(requests(&bob, usual).await, (all[..10].to_vec(), pending.clone()), "{usual}");
    }
    assert_eq!(requests(&bob, "2").await.0, all[10..]);
    assert_eq!(requests(&bob, "2?limit=5").await.0, all[5..10]);
    for beyond in ["3", "2?limit=12", "9223372036854775807?limit=2000"] {
        assert_eq!(requests(&bob, beyond).await, (vec![], pending.clone()), "{beyond}");
    }
    let page = async |page: &str| bob.get(&format!("/api/chat/listapplyfriend/{page}")).await;
    page("0").await.refused(422, "页码 的数值 必须 在 1 和 10000000000000000 之间");
    page("x").await.refused(422, "页码 的值 `x` 的类型不是 `int`");
}

/// `rest.md` §14, §15, clarification 9 and 18, DEV-27, DEV-28.
#[tokio::test]
async fn rest_14_15_reading_the_address_book() {
    let app = App::start().await;
    friends_stand_in_sections(&app).await;
    dev_28_odd_names_stand_last(&app).await;
    dev_27_the_book_is_paged_by_row(&app).await;
    data_of_a_friend(&app).await;
}

async fn friends_stand_in_sections(app: &App) {
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let empty = json!({ "count": 0, "rows": [] });
    assert_eq!(book(&ann, "1").await, empty);
    // By nickname, by remark, by username.
    for friend in [&bob, &dan] {
        friend.befriend(&ann).await;
    }
    ask(&cat, &ann, "").await;
    answer(&ann, app.request(&cat, &ann).await, "agree", "的 cat").await;
    cat.rename("Kitty").await;
    bob.rename("魂牵一梦").await;
    let shown = book(&ann, "1").await;
    let rows = entries(&shown);
    let entry = |friend: &User, remark: &str, nickname: &str, name: &str| {
        let row = rows.iter().find(|row| row["friend_id"] == friend.id).expect("a friend");
        json!({ "id": row["id"], "beizhu": remark, "username": friend.username,
                "avatar": asset("user.jpg"), "friend_nickname": nickname, "friend_id": friend.id,
                "name": name, "uuid": friend.uuid })
    };
    let (of_bob, of_cat) =
        (entry(&bob, "", "魂牵一梦", "魂牵一梦"), entry(&cat, "的 cat", "Kitty", "的 cat"));
    let of_dan = entry(&dan, "", "", &dan.username);
    assert_eq!(keys(&rows[0]), keys(&of_dan));
    let section = |title: &str, list: &[&Value]| json!({ "title": title, "list": list });
    let both = section("D", &[&of_dan, &of_cat]); // by row
    let expected = json!({ "count": 3, "rows": { "newList": [both, section("H", &[&of_bob])],
        "indexList": ["D", "H"], "total": 2 } });
    assert_eq!((keys(&shown["rows"]), &shown), (keys(&expected["rows"]), &expected));
    // The blacklisted and the disabled are included; who left is not.
    ann.toggle_black(&bob).await;
    app.cli(&["users", "disable", &dan.id.to_string()]).await.ok();
    assert_eq!(book(&ann, "1").await, expected);
    for friend in [&bob, &cat, &dan] {
        ann.post_empty(&format!("/api/chat/deletegoodfriend/{}", friend.id)).await.ok();
    }
    assert_eq!(book(&ann, "1").await, empty);
}

async fn dev_28_odd_names_stand_last(app: &App) {
    let ann = app.register("ann").await;
    for name in ["(x", "[x", "*x", "+x", "?x", "\\x", ".x", "007", "🦆x", "zoe", "Zed", "鸿雁"]
    {
        app.register(name).await.befriend(&ann).await;
    }
    let shown = book(&ann, "1").await;
    assert_eq!((&shown["count"], &shown["rows"]["total"]), (&json!(12), &json!(3)));
    assert_eq!(shown["rows"]["indexList"], json!(["H", "Z", "#"]));
    let sections = array(&shown["rows"]["newList"]);
    let sizes = sections.iter().map(|section| array(&section["list"]).len());
    assert_eq!(sizes.collect::<Vec<_>>(), [1, 2, 9]);
    for section in sections {
        let ids = numbers(&array(&section["list"]), "id");
        assert_eq!(ids, sorted(ids.clone()), "by row");
    }
}

/// Clarification 9: first pages, then sections.
async fn dev_27_the_book_is_paged_by_row(app: &App) {
    let ann = app.register("ann").await;
    for name in ["zoe", "bob", "yan", "amy", "xia"] {
        app.register(name).await.befriend(&ann).await;
    }
    let all = book(&ann, "1").await;
    assert_eq!(all["rows"]["indexList"], json!(["A", "B", "X", "Y", "Z"]));
    let ids = sorted(numbers(&entries(&all), "id"));
    for (page, expected, index) in [
        ("1?limit=2", &ids[..2], json!(["B", "Z"])),
        ("2?limit=2", &ids[2..4], json!(["A", "Y"])),
        ("3?limit=2", &ids[4..], json!(["X"])),
    ] {
        let shown = book(&ann, page).await;
        assert_eq!(shown["count"], expected.len(), "{page}");
        assert_eq!(sorted(numbers(&entries(&shown), "id")), expected, "{page}");
        assert_eq!(shown["rows"]["indexList"], index, "{page}");
    }
    for usual in ["1?limit=0", "1?limit=-1", "1?limit=x", "1?limit=2001"] {
        assert_eq!(book(&ann, usual).await, all, "{usual}");
    }
    for beyond in ["2", "4?limit=2", "9223372036854775807?limit=2000"] {
        assert_eq!(book(&ann, beyond).await, json!({ "count": 0, "rows": [] }), "{beyond}");
    }
    let refused = ann.get("/api/chat/goodfriendlist/0").await;
    refused.refused(422, "页码 的数值 必须 在 1 和 10000000000000000 之间");
}

async fn data_of_a_friend(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let info = async |id: u64| ann.get(&format!("/api/chat/getgoodfriendinfo/{id}")).await;
    for id in [bob.id, ann.id, 999_999] {
        info(id).await.refused(400, "好友不存在");
    }
    bob.rename("old Bob").await;
    bob.befriend(&ann).await;
    bob.rename("Bob").await;
    let shown = info(bob.id).await.ok();
    let row = entries(&book(&ann, "1").await)[0]["id"].clone();
    let expected = |status: u8| {
        json!({ "id": row, "user_id": ann.id, "friend_id": bob.id, "nickname": "old Bob",
            "friendinfo": { "id": bob.id, "username": bob.username, "avatar": asset("user.jpg"),
                "nickname": "Bob", "role": "user", "status": status,
                "userinfo": { "id": bob.id, "gender": "unknown", "birthday": null, "bio": null,
                              "location": null, "website": null } } })
    };
    assert_eq!((keys(&shown), &shown), (keys(&expected(1)), &expected(1)));
    assert_eq!(keys(&shown["friendinfo"]), keys(&expected(1)["friendinfo"]));
    // Blacklisted and disabled ones are still in the book.
    ann.toggle_black(&bob).await;
    app.cli(&["users", "disable", &bob.id.to_string()]).await.ok();
    assert_eq!(info(bob.id).await.ok(), expected(0));
    let refused = ann.get("/api/chat/getgoodfriendinfo/x").await;
    refused.refused(422, "好友id 的值 `x` 的类型不是 `int`");
    info(0).await.refused(422, "好友id 的数值 必须 在 1 和 10000000000000000 之间");
}

/// Clarification 18.
#[tokio::test]
async fn rest_12_14_lists_follow_writes_everywhere() {
    let app = App::with_gateways(2).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let there = bob.via(app.gateways[1].origin());
    for round in 0..10 {
        ask(&ann, &bob, &format!("round {round}")).await;
        let (rows, pending) = requests(&there, "1").await;
        assert_eq!((&rows[0]["nickname"], pending), (&json!(format!("round {round}")), json!(1)));
        answer(&there, rows[0]["id"].as_u64().expect("a number"), "agree", "").await;
        let name = format!("Ann {round}");
        ann.rename(&name).await;
        for place in [&bob, &there] {
            assert_eq!(entries(&book(place, "1").await)[0]["friend_nickname"], name);
            assert_eq!(requests(place, "1").await.1, 0);
        }
        ann.post_empty(&format!("/api/chat/deletegoodfriend/{}", bob.id)).await.ok();
        assert_eq!(book(&there, "1").await["count"], 0);
        assert_eq!(requests(&there, "1").await.0.len(), 0);
    }
}

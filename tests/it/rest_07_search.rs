//! `rest.md` §7: finding users by a part of their username.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::{asset, keys};
use crate::support::{App, Reply, User, device, signed_call};

const NOBODY: [u64; 0] = [];
const PATH: &str = "/api/chat/searchUser";

async fn search(by: &User, keyword: &str) -> Vec<Value> {
    let found = by.post(PATH, json!({ "keyword": keyword })).await.ok();
    found.as_array().unwrap_or_else(|| panic!("an array instead of {found}")).clone()
}

/// The ids that a search yields.
async fn ids(by: &User, keyword: &str) -> Vec<u64> {
    search(by, keyword).await.iter().map(|user| user["id"].as_u64().expect("a number")).collect()
}

/// `rest.md` §7, clarification 16 and 18, DEV-31.
#[tokio::test]
async fn rest_07_finding_users() {
    let app = App::start().await;
    who_is_found_and_how(&app).await;
    guests_the_disabled_and_oneself_are_not_found(&app).await;
    dev_31_a_keyword_has_no_wildcards(&app).await;
    spellings_that_fold_alike_are_found(&app).await;
    keywords_have_a_length(&app).await;
    at_most_200_are_found(&app).await;
}

async fn who_is_found_and_how(app: &App) {
    let [seeker, one, two] = app.users(["seeker", "Searched", "other_SEARCHED"]).await;
    two.rename("Two").await;
    let found = search(&seeker, "searched").await;
    assert_eq!(keys(&found[0]), ["id", "username", "avatar", "role", "uuid", "nickname"]);
    let shown = |user: &User, nickname: &str| {
        json!({ "id": user.id, "username": user.username, "avatar": asset("user.jpg"), "role": "user",
                "uuid": user.uuid, "nickname": nickname })
    };
    let mut expected = [shown(&one, ""), shown(&two, "Two")];
    expected.sort_by_key(|user| user["id"].as_u64());
    assert_eq!(found, expected);
    assert_eq!(ids(&seeker, "Two").await, NOBODY, "only usernames count");
    assert_eq!(ids(&seeker, &one.username).await, [one.id]);
}

async fn guests_the_disabled_and_oneself_are_not_found(app: &App) {
    let [seeker, gone, there] = app.users(["rule_seeker", "rule_gone", "rule_there"]).await;
    app.cli(&["users", "disable", &gone.id.to_string()]).await.ok();
    assert_eq!(ids(&seeker, "rule_").await, [there.id]);
    app.cli(&["users", "enable", &gone.id.to_string()]).await.ok();
    assert_eq!(ids(&seeker, "rule_g").await, [gone.id]);
    // A guest is found once they are registered, by their new name.
    let guest = app.visitor(&device(1)).await;
    assert_eq!(ids(&seeker, &guest.username).await, NOBODY);
    let body = json!({ "username": "rule_guest", "password": "a good one" });
    let upgraded = signed_call(&app.api(), "/api/visitorregChat", &device(1), body).await.ok();
    assert_eq!(ids(&seeker, "RULE_GUEST").await, [guest.id]);
    assert_eq!(upgraded["id"], guest.id);
}

async fn dev_31_a_keyword_has_no_wildcards(app: &App) {
    let [seeker, percent, line, slash] = app.users(["wild", "a%b", "a_b", "a\\b"]).await;
    for (keyword, found) in [("a%b", &percent), ("a_b", &line), ("a\\b", &slash), ("%", &percent)] {
        assert_eq!(ids(&seeker, keyword).await, [found.id], "{keyword}");
    }
    for keyword in ["%%", "a%_", "b%", "\\%", "a\\_b", "'", "''", ".*"] {
        assert_eq!(ids(&seeker, keyword).await, NOBODY, "{keyword}");
    }
    // Wide forms fold to the plain ones, which are no wildcards either.
    for (keyword, found) in [("ａ％ｂ", &percent), ("ａ＿ｂ", &line), ("ａ＼ｂ", &slash)] {
        assert_eq!(ids(&seeker, keyword).await, [found.id], "{keyword}");
    }
}

async fn spellings_that_fold_alike_are_found(app: &App) {
    let [seeker, greek, chinese] = app.users(["fold", "ΣΊΣΥΦΟΣ", "鸿雁传书"]).await;
    assert_eq!(ids(&seeker, "σίσυφος").await, [greek.id]);
    assert_eq!(ids(&seeker, "雁").await, [chinese.id]);
    assert_eq!(ids(&seeker, "雁书").await, NOBODY);
}

async fn keywords_have_a_length(app: &App) {
    let ann = app.register("ann").await;
    let post =
        async |keyword: Value| -> Reply { ann.post(PATH, json!({ "keyword": keyword })).await };
    ann.post(PATH, json!({})).await.refused(422, "搜索关键词不能为空");
    post(json!("")).await.refused(422, "搜索关键词不能为空");
    post(json!("鸿".repeat(50))).await.ok();
    post(json!("x".repeat(51))).await.refused(422, "搜索关键词 的长度 必须 在 1 和 50 之间");
    post(json!("nul\u{0}")).await.failed(422);
    ann.post_form(PATH, &[("keyword", "nobody")]).await.ok();
    let number = app.register("4711").await;
    assert_eq!(post(json!(4711)).await.ok()[0]["id"], number.id);
}

async fn at_most_200_are_found(app: &App) {
    let seeker = app.register("many").await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.extend(
            join_all((0..30).map(|_| app.register("crowd"))).await.iter().map(|user| user.id),
        );
    }
    all.sort_unstable();
    assert_eq!(ids(&seeker, "crowd").await, all[..200]);
}

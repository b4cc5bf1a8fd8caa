//! `data.md` §4–§5.2: where a token may be, in which order calls are refused, what guests may do.

use reqwest::Method;
use serde_json::json;

use crate::support::{Api, App, User, device, send};

const NO_TOKEN: &str = "您没有权限访问即时通讯接口";
const BAD_TOKEN: &str = "Token 令牌不合法！";
const NO_ACCOUNT: &str = "当前用户不存在或者已被禁用";
const GUESTS_NOT_ALLOWED: &str = "您没有权限访问，请先注册或登录";
const DRAIN: &str = "/api/chat/chatGetmessageOffLine";

/// `rest.md` §0.2, §0.4, `data.md` §4, §5.2, clarification 3, DEV-1.
#[tokio::test]
async fn rest_00_tokens_and_guests() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let guest = app.visitor(&device(1)).await;
    a_token_comes_in_the_header_the_query_or_the_body(&app, &ann).await;
    bad_tokens_are_told_apart_from_none(&app, &ann).await;
    guests_do_what_the_list_says(&guest).await;
    refusals_keep_their_order(&app, &ann, &guest).await;
}

async fn a_token_comes_in_the_header_the_query_or_the_body(app: &App, ann: &User) {
    let (api, token) = (app.api(), ann.token());
    let query = format!("{DRAIN}?token={token}");
    ann.post_empty(DRAIN).await.done();
    api.post_empty(&query).await.done();
    api.post(DRAIN, json!({ "token": token })).await.done();
    api.post_form(DRAIN, &[("token", token)]).await.done();
    // The header first, then the query, then the body.
    api.with_token("nonsense").post_empty(&query).await.refused(400, BAD_TOKEN);
    ann.post(&format!("{DRAIN}?token=nonsense"), json!({ "token": "nonsense" })).await.done();
    let path = format!("{DRAIN}?token=nonsense");
    api.post(&path, json!({ "token": token })).await.refused(400, BAD_TOKEN);
    // An empty one counts as none.
    api.with_token("").post_empty(&query).await.done();
    api.with_token("").post(&format!("{DRAIN}?token="), json!({ "token": token })).await.done();
}

/// DEV-1.
async fn bad_tokens_are_told_apart_from_none(app: &App, ann: &User) {
    let api = app.api();
    for request in [api.post_empty(DRAIN).await, api.with_token("").post_empty(DRAIN).await] {
        request.refused(400, NO_TOKEN);
    }
    send(api.request(Method::GET, "/api/chat/grouplist/1")).await.refused(400, NO_TOKEN);
    let (head, signature) = ann.token().rsplit_once('.').expect("a signature");
    let flipped: String = signature.chars().rev().collect();
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpZCI6MSwicm9sZSI6InVzZXIifQ.".to_owned();
    for token in [
        format!("{head}.{flipped}"),
        format!("{head}."),
        head.to_owned(),
        unsigned,
        "x".repeat(4000),
    ] {
        api.with_token(&token).post_empty(DRAIN).await.refused(400, BAD_TOKEN);
    }
    // A token that is not the account's current one.
    let bob = app.register("bob").await;
    bob.login().await.post_empty(DRAIN).await.done();
    bob.post_empty(DRAIN).await.refused(400, BAD_TOKEN);
}

async fn guests_do_what_the_list_says(guest: &User) {
    for path in [
        "logout",
        "searchUser",
        "isApplyfriend/be047323-c8e3-4305-b014-3d8c7d24f300",
        "handleapply/1",
        "setblackgoodfriend/1",
        "setstargoodfriend/1",
        "setmeOrfriendCanSee/1",
        "group/create",
        "groupUpdateName",
        "groupremark",
        "groupDeleteUser",
        "groupAddUserSet",
        "groupAgreeOrNo",
        "unknown",
    ] {
        guest.post_empty(&format!("/api/chat/{path}")).await.refused(400, GUESTS_NOT_ALLOWED);
    }
    for path in
        ["listapplyfriend/1", "goodfriendlist/1", "getgoodfriendinfo/1", "userset", "applyfriend"]
    {
        guest.get(&format!("/api/chat/{path}")).await.refused(400, GUESTS_NOT_ALLOWED);
    }
    for path in [
        "socket/sendmessage",
        "chatGetmessageOffLine",
        "groupnickname",
        "groupDeleteOrQuit",
        "groupInviteUser",
        "uploadStreamSingleToServerDiy/chatImgs",
        "uploadAliyun",
        "getVideoScreenshot",
        "revokeMessage",
        "updateUserinfo",
        "getUserSetInfo",
        "userset",
        "applyfriend",
        "autoAddFriendAndAgree",
        "ismygoodfriend/1",
        "deletegoodfriend/1",
    ] {
        let reply = guest.post_empty(&format!("/api/chat/{path}")).await;
        assert_ne!(reply.body["data"], GUESTS_NOT_ALLOWED, "{path}");
    }
    for path in ["grouplist/1", "groupinfo/1", "groupQrcode/1"] {
        let reply = guest.get(&format!("/api/chat/{path}")).await;
        assert_ne!(reply.body["data"], GUESTS_NOT_ALLOWED, "{path}");
    }
}

async fn refusals_keep_their_order(app: &App, ann: &User, guest: &User) {
    let api: Api = app.api();
    // The token comes before parameters, the account before the role.
    api.post("/api/chat/applyfriend", json!({})).await.refused(400, NO_TOKEN);
    let newer = ann.login().await;
    for user in [&newer, guest] {
        app.cli(&["users", "disable", &user.id.to_string()]).await.ok();
        user.post_empty(DRAIN).await.refused(400, NO_ACCOUNT);
        user.post_empty("/api/chat/logout").await.refused(400, NO_ACCOUNT);
    }
    ann.post_empty(DRAIN).await.refused(400, BAD_TOKEN);
    app.cli(&["users", "enable", &guest.id.to_string()]).await.ok();
    guest.post_empty("/api/chat/logout").await.refused(400, GUESTS_NOT_ALLOWED);
}

//! `rest.md` §42: setPassword; what becomes of the account's other tokens and sockets.

use futures_util::future::join;
use serde_json::json;

use crate::support::{App, PASSWORD, Reply, User, device, one_wins, signed_call};

const NEW: &str = "a better one";
const BAD_TOKEN: &str = "Token 令牌不合法！";
const WRONG: &str = "原始密码错误，无法修改密码";

async fn set(user: &User, old: &str, new: &str, again: &str) -> Reply {
    let body = json!({ "oldpassword": old, "newpassword": new, "checknewpassword": again });
    user.post("/api/chat/setPassword", body).await
}

async fn login(app: &App, user: &User, password: &str) -> Reply {
    let body = json!({ "username": user.username, "password": password });
    app.api().post("/api/loginChat", body).await
}

#[tokio::test]
async fn rest_42_changing_ones_password() {
    let app = App::start().await;
    what_is_asked_is_checked_first(&app).await;
    the_new_one_counts_and_the_caller_stays(&app).await;
    dev_29_guest_mode_ends_and_its_socket_hears_no_more(&app).await;
    of_two_changes_at_once_one_wins(&app).await;
    guests_have_no_password(&app).await;
    guesses_count_like_those_of_a_log_in(&app).await;
    app.verify().await;
}

async fn what_is_asked_is_checked_first(app: &App) {
    let ann = app.register("ann").await;
    let too_long = "x".repeat(21);
    for (old, new, again, text) in [
        ("", "", "", "原始密码不能为空"),
        (PASSWORD, "", "", "新密码不能为空"),
        (PASSWORD, NEW, "", "确认新密码不能为空"),
        ("short", NEW, "another one", "原始密码 的长度 必须 在 6 和 20 之间"),
        (PASSWORD, "short", NEW, "新密码 的长度 必须 在 6 和 20 之间"),
        (PASSWORD, NEW, &too_long, "确认新密码 的长度 必须 在 6 和 20 之间"),
    ] {
        set(&ann, old, new, again).await.refused(422, text);
    }
    set(&ann, "a bad one", NEW, "another one").await.refused(400, "新密码与确认新密码不一致");
    set(&ann, "a bad one", NEW, NEW).await.refused(400, WRONG);
    login(app, &ann, PASSWORD).await.ok();
}

async fn the_new_one_counts_and_the_caller_stays(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = ann.listen().await;
    assert_eq!(set(&ann, PASSWORD, NEW, NEW).await.ok(), "修改密码成功");
    ann.drain().await;
    bob.send(&ann, "still there").await.ok();
    assert_eq!(socket.next_text().await, "still there"); // and no alert before it
    login(app, &ann, PASSWORD).await.refused(400, "账户或密码错误");
    let newer = User::from_login(&app.api(), login(app, &ann, NEW).await.ok());
    ann.drain_refused(BAD_TOKEN).await;
    // The same again is no error.
    set(&newer, NEW, NEW, NEW).await.ok();
    newer.drain().await;
    let told = app.cli(&["events", "stats", "--json"]).await.json();
    assert_eq!(told["types"]["user.password_changed.v1"], 2, "{told}");
}

/// DEV-29 the other way round: here the guest's token goes too, and so does what it opened (DEV-30).
async fn dev_29_guest_mode_ends_and_its_socket_hears_no_more(app: &App) {
    app.visitor(&device(1)).await;
    let body = json!({ "username": "the_owner", "password": PASSWORD });
    let owner = User::from_login(
        &app.api(),
        signed_call(&app.api(), "/api/visitorregChat", &device(1), body).await.ok(),
    );
    let mode = app.visitor(&device(1)).await;
    let mut as_guest = mode.listen().await;
    set(&mode, PASSWORD, NEW, NEW).await.refused(400, "您没有权限访问，请先注册或登录");
    assert_eq!(set(&owner, PASSWORD, NEW, NEW).await.ok(), "修改密码成功");
    mode.drain_refused(BAD_TOKEN).await;
    owner.let_strangers_send(2).await;
    let bob = app.register("bob").await;
    bob.send(&owner, "for the owner").await.ok();
    app.settle().await;
    as_guest.is_silent().await;
    let mut as_owner = owner.connect().await;
    owner.drain().await;
    as_owner.texts_until("for the owner").await;
}

/// Clarification 21.
async fn of_two_changes_at_once_one_wins(app: &App) {
    let ann = app.register("ann").await;
    let (one, two) =
        join(set(&ann, PASSWORD, NEW, NEW), set(&ann, PASSWORD, "another1", "another1")).await;
    let won = if one.status == 200 { NEW } else { "another1" };
    one_wins(vec![one, two], WRONG);
    login(app, &ann, won).await.ok();
}

async fn guests_have_no_password(app: &App) {
    let guest = app.visitor(&device(2)).await;
    set(&guest, PASSWORD, NEW, NEW).await.refused(400, "您没有权限访问，请先注册或登录");
}

/// `data.md` §5.3, clarification 23.
async fn guesses_count_like_those_of_a_log_in(app: &App) {
    let ann = app.register("ann").await;
    for _ in 0..10 {
        set(&ann, "a bad one", NEW, NEW).await.refused(400, WRONG);
    }
    let too_many = "登录失败次数过多，请稍后再试";
    set(&ann, PASSWORD, NEW, NEW).await.refused(400, too_many);
    login(app, &ann, PASSWORD).await.refused(400, too_many);
    ann.drain().await;
}

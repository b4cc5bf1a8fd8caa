//! `rest.md` §1–§3: log in, register, log out; `data.md` §4: one session per account.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::{assert_iso_time, assert_row_time, assert_uuid, asset, keys};
use crate::support::{Api, App, PASSWORD, Reply, User, device, one_wins, signed_call};

const NO_ACCOUNT: &str = "账号不存在或者被禁用";
const WRONG: &str = "账户或密码错误";
const TAKEN: &str = "该账号已存在，请换一个账号注册";
const BAD_TOKEN: &str = "Token 令牌不合法！";

/// The columns of `data.md` §2.1 in the order of `rest.md` §0.5.
pub const USER_FULL: [&str; 29] = [
    "create_time",
    "id",
    "uuid",
    "username",
    "nickname",
    "avatar",
    "devicefingeruuid",
    "uniplatform",
    "devicemodel",
    "deviceos",
    "devicebrand",
    "userset",
    "invite_confirm",
    "mobile",
    "email",
    "status",
    "last_login",
    "last_login_ip",
    "register_time",
    "register_ip",
    "is_deleted",
    "wechat_openid",
    "qq_openid",
    "weibo_uid",
    "role",
    "is_email_verified",
    "is_mobile_verified",
    "order",
    "update_time",
];

/// `rest.md` §1–§3, §0.5, §0.6, `data.md` §4, clarification 16, DEV-4, DEV-8.
#[tokio::test]
async fn rest_01_02_03_accounts() {
    let app = App::start().await;
    registering_answers_the_whole_user(&app).await;
    names_are_unique_however_they_are_written(&app).await;
    logging_in_checks_name_and_password(&app).await;
    each_log_in_ends_the_one_before(&app).await;
    logging_out_ends_the_token_for_good(&app).await;
    disabled_accounts_cannot_log_in(&app).await;
}

async fn register(api: &Api, username: &str) -> Reply {
    api.post("/api/regChat", json!({ "username": username, "password": PASSWORD })).await
}

async fn login(api: &Api, username: &str, password: &str) -> Reply {
    api.post("/api/loginChat", json!({ "username": username, "password": password })).await
}

async fn registering_answers_the_whole_user(app: &App) {
    let api = app.api();
    let full = register(&api, "Alice_01").await.ok();
    let mut members = USER_FULL.to_vec();
    members.push("token");
    assert_eq!(keys(&full), members);
    assert_uuid(&full["uuid"]);
    assert_row_time(&full["create_time"]);
    for key in ["last_login", "register_time", "update_time"] {
        assert_iso_time(&full[key]);
    }
    assert!(full["id"].as_u64().is_some_and(|id| id > 0));
    let fixed = json!({ "username": "Alice_01", "nickname": "", "avatar": asset("user.jpg"), "devicefingeruuid": "",
        "uniplatform": "", "devicemodel": "", "deviceos": "", "devicebrand": "", "userset": "", "invite_confirm": 0,
        "mobile": null, "email": null, "status": 1, "last_login_ip": null, "register_ip": null, "is_deleted": 0,
        "wechat_openid": null, "qq_openid": null, "weibo_uid": null, "role": "user", "is_email_verified": 0,
        "is_mobile_verified": 0, "order": 50 });
    for (key, value) in fixed.as_object().expect("an object") {
        assert_eq!(&full[key], value, "{key}");
    }
    the_token_holds_no_secret(&full);
    assert_eq!(login(&api, "Alice_01", PASSWORD).await.ok()["id"], full["id"]);
}

/// DEV-4.
fn the_token_holds_no_secret(full: &Value) {
    let token = full["token"].as_str().expect("a token");
    let claims: Value = jsonwebtoken::dangerous::insecure_decode(token).expect("a JWT").claims;
    for key in ["id", "uuid", "username", "nickname", "avatar", "role"] {
        assert_eq!(claims[key], full[key], "{key}");
    }
    assert!(
        claims["iat"].is_u64() && claims["jti"].is_string() && claims["exp"].is_null(),
        "{claims}"
    );
    assert!(claims["password"].is_null() && !claims.to_string().contains("argon2"), "{claims}");
}

async fn names_are_unique_however_they_are_written(app: &App) {
    let api = app.api();
    for name in ["alice_01", "ALICE_01", "ａｌｉｃｅ_01", "ＡＬＩＣＥ＿０１"] {
        register(&api, name).await.refused(400, TAKEN);
        assert_eq!(login(&api, name, PASSWORD).await.ok()["username"], "Alice_01");
    }
    for name in ["张三李四", "🦆🦆🦆🦆", "with space", "ΣΊΣΥΦΟΣ"] {
        assert_eq!(register(&api, name).await.ok()["username"], name);
    }
    register(&api, "σίσυφος").await.refused(400, TAKEN);
    // Simple case folding knows no expansions.
    register(&api, "Straße").await.ok();
    register(&api, "STRASSE").await.ok();
    register(&api, "STRAẞE").await.refused(400, TAKEN);
}

async fn logging_in_checks_name_and_password(app: &App) {
    let api = app.api();
    let ann = app.register("ann").await;
    login(&api, "nobody_at_all", PASSWORD).await.refused(400, NO_ACCOUNT);
    login(&api, &ann.username, "a bad one").await.refused(400, WRONG);
    login(&api, &ann.username, &PASSWORD.to_uppercase()).await.refused(400, WRONG);
    ann.profile().await;
    ann.drain().await; // a wrong password ends nothing
    let full = login(&api, &ann.username, PASSWORD).await.ok();
    assert_eq!(keys(&full)[..29], USER_FULL);
    assert_eq!((full["id"].as_u64(), &full["uuid"]), (Some(ann.id), &ann.full["uuid"]));
    assert_eq!(full["register_time"], ann.full["register_time"]);
}

async fn each_log_in_ends_the_one_before(app: &App) {
    let bob = app.register("bob").await;
    let (first, second) = (bob.login().await, bob.login().await);
    assert_ne!(first.token(), second.token());
    for old in [&bob, &first] {
        old.post_empty("/api/chat/chatGetmessageOffLine").await.refused(400, BAD_TOKEN);
    }
    second.drain().await;
}

async fn logging_out_ends_the_token_for_good(app: &App) {
    let dan = app.register("dan").await;
    assert_eq!(dan.post_empty("/api/chat/logout").await.ok(), true);
    dan.post_empty("/api/chat/logout").await.refused(400, BAD_TOKEN);
    let again = dan.login().await;
    dan.post_empty("/api/chat/chatGetmessageOffLine").await.refused(400, BAD_TOKEN);
    again.drain().await;
}

async fn disabled_accounts_cannot_log_in(app: &App) {
    let eve = app.register("eve").await;
    let id = eve.id.to_string();
    app.cli(&["users", "disable", &id]).await.ok();
    login(&app.api(), &eve.username, PASSWORD).await.refused(400, NO_ACCOUNT);
    register(&app.api(), &eve.username).await.refused(400, TAKEN);
    app.cli(&["users", "enable", &id]).await.ok();
    eve.login().await.drain().await;
}

/// `rest.md` §2, clarification 21; `data.md` §5.3, clarification 23.
#[tokio::test]
async fn rest_02_races_for_a_name_and_guessed_passwords() {
    let app = App::start().await;
    let api = app.api();
    let names = (0..20).map(|n| if n % 2 == 0 { "the_one" } else { "THE_ONE" });
    let replies = join_all(names.map(|name| register(&api, name))).await;
    let made = one_wins(replies, TAKEN);
    let owner = User::from_login(&api, made.ok());
    assert_eq!(login(&api, "the_one", PASSWORD).await.ok()["id"], owner.id);
    let other = app.register("other").await;
    ten_failures_are_allowed_and_not_many_more(&app, &owner).await;
    other.login().await;
}

async fn ten_failures_are_allowed_and_not_many_more(app: &App, owner: &User) {
    let api = app.api();
    for _ in 0..10 {
        login(&api, &owner.username, "a bad one").await.refused(400, WRONG);
    }
    let mut said = WRONG.to_owned();
    for _ in 0..90 {
        said = login(&api, &owner.username, "a bad one").await.failed(400);
        if said != WRONG {
            break;
        }
    }
    assert_ne!(said, WRONG, "a hundred guesses went unhindered");
    let right = login(&api, &owner.username, PASSWORD).await.failed(400);
    assert_eq!(right, said, "the right password must not stand out");
}

/// `data.md` §4.1, §5.1, clarification 5, DEV-29.
#[tokio::test]
async fn dev_29_guest_mode_leaves_the_owner_logged_in() {
    let app = App::start().await;
    let api = app.api();
    let guest = app.visitor(&device(1)).await;
    let body = json!({ "username": "the_owner", "password": PASSWORD });
    let owner = User::from_login(
        &api,
        signed_call(&api, "/api/visitorregChat", &device(1), body).await.ok(),
    );
    assert_eq!(owner.id, guest.id);
    let mode = app.visitor(&device(1)).await;
    assert_eq!((mode.id, &mode.full["role"]), (owner.id, &json!("visitor")));
    assert_eq!(owner.profile().await["role"], "user", "the row keeps its role");
    owner.drain().await;
    mode.drain().await;
    mode.post("/api/chat/searchUser", json!({ "keyword": "x" }))
        .await
        .refused(400, "您没有权限访问，请先注册或登录");
    // Logging out ends the owner's own token only.
    assert_eq!(owner.post_empty("/api/chat/logout").await.ok(), true);
    mode.drain().await;
    // A log-in with the password ends both.
    let newer = owner.login().await;
    mode.post_empty("/api/chat/chatGetmessageOffLine").await.refused(400, BAD_TOKEN);
    newer.drain().await;
}

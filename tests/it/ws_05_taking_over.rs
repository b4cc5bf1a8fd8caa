//! `ws.md` §5, §6.4 (F1), §9: the same account connects again, closes, logs out.

use serde_json::{Value, json};
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use crate::support::shapes::{assert_epoch_ms, assert_uuid, asset, keys};
use crate::support::{App, Arrival, PASSWORD, Socket, User, device, signed_call, until};

/// `ws.md` §5, §6.4, clarification 4, DEV-3, DEV-24.
#[tokio::test]
async fn ws_05_the_newest_socket_counts() {
    let app = App::start().await;
    the_older_device_is_warned_and_silent(&app).await;
    a_change_of_ones_profile_spares_one_alert(&app).await;
    guests_cause_no_alert(&app).await;
    guest_mode_causes_no_alert(&app).await;
    the_older_socket_may_go_at_any_time(&app).await;
}

/// Nothing is sent to `silent`, and `socket` gets what is sent.
async fn only_this_one_hears(
    socket: &mut Socket,
    silent: &mut Socket,
    from: &User,
    to: &User,
    text: &str,
) {
    from.send(to, text).await.ok();
    assert_eq!(socket.next_text().await, text);
    silent.is_silent().await;
}

async fn the_older_device_is_warned_and_silent(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut old = ann.connect().await;
    let newer = ann.login().await;
    let mut new = newer.connect().await;
    let alert = old.next_push().await;
    assert_eq!(alert, f1(&alert, &ann));
    assert_eq!(keys(&alert), keys(&f1(&alert, &ann)));
    only_this_one_hears(&mut new, &mut old, &bob, &ann, "to the new one").await;
    // A third one, with the same token: the client does that after a change.
    let mut third = newer.connect().await;
    let alert = new.next_push().await;
    assert_eq!(alert, f1(&alert, &ann));
    only_this_one_hears(&mut third, &mut new, &bob, &ann, "to the third one").await;
    old.is_silent().await;
}

/// F1, logged in elsewhere.
fn f1(push: &Value, user: &User) -> Value {
    assert_uuid(&push["id"]);
    assert_epoch_ms(&push["create_time"]);
    let text = push["data"]["data"].as_str().expect("a text");
    let (start, end) = (
        "您的账号于 ",
        " 尝试在其它设备上登录，如果不是您的操作，那么您的账号密码可能已泄露，请及时修改密码",
    );
    let time = text.strip_prefix(start).and_then(|text| text.strip_suffix(end));
    assert_time_of_alert(time.unwrap_or_else(|| panic!("the text of F1 instead of {text}")));
    json!({ "id": push["id"], "from_avatar": asset("kefu.png"), "from_name": "账号异常提示", "from_id": 0,
        "to_id": user.id, "to_name": user.username, "to_avatar": asset("user.jpg"), "chatType": "single",
        "type": "text", "data": { "data": text, "dataType": false, "otherData": null }, "redirect": null,
        "options": {}, "create_time": push["create_time"], "isremove": 0, "group": {},
        "msgidKey": format!("redirect-forceLogout-{}", user.id),
        "showModel": { "showModelType": "forceLogin", "content": text } })
}

/// `YYYY年MM月DD日 H:MM:SS`, UTC+08:00, the hour without a leading zero.
fn assert_time_of_alert(text: &str) {
    let form =
        format_description!("[year]年[month]月[day]日 [hour padding:none]:[minute]:[second]");
    let time = PrimitiveDateTime::parse(text, form)
        .unwrap_or_else(|_| panic!("the time of an alert: {text}"));
    assert!(!text.contains(" 0") || text.contains(" 0:"), "{text}");
    let away = (OffsetDateTime::now_utc() + Duration::hours(8)) - time.assume_utc();
    assert!(away.abs() < Duration::minutes(30), "{text}");
}

/// Clarification 4: the marker is set by a real change and used up by an alert that it silences.
async fn a_change_of_ones_profile_spares_one_alert(app: &App) {
    let ann = app.register("ann").await;
    ann.change("nothing", "x").await.ok(); // no field: no marker
    ann.change("nickname", "").await.failed(422);
    let mut first = ann.connect().await;
    let mut second = ann.connect().await;
    assert_eq!(first.next_push().await["from_id"], 0);
    ann.rename("Ann").await;
    let mut third = ann.connect().await;
    second.is_silent().await; // spared
    let _fourth = ann.connect().await;
    assert_eq!(third.next_push().await["from_id"], 0);
    second.is_silent().await;
    // Without an older socket the marker stays.
    let bob = app.register("bob").await;
    bob.rename("Bob").await;
    let mut first = bob.connect().await;
    let mut second = bob.connect().await;
    first.is_silent().await;
    let _third = bob.connect().await;
    assert_eq!(second.next_push().await["from_id"], 0);
}

async fn guests_cause_no_alert(app: &App) {
    let guest = app.visitor(&device(1)).await;
    let mut old = guest.connect().await;
    let again = app.visitor(&device(1)).await;
    let mut new = again.connect().await;
    old.is_silent().await;
    let ann = app.register("ann").await;
    only_this_one_hears(&mut new, &mut old, &ann, &guest, "hello guest").await;
}

/// DEV-24: no alert where either side plays a guest.
async fn guest_mode_causes_no_alert(app: &App) {
    let guest = app.visitor(&device(2)).await;
    let mut as_guest = guest.connect().await;
    let body = json!({ "username": "the_owner", "password": PASSWORD });
    let full = signed_call(&app.api(), "/api/visitorregChat", &device(2), body).await.ok();
    let owner = User::from_login(&app.api(), full);
    let mut as_owner = owner.connect().await;
    as_guest.is_silent().await;
    let mode = app.visitor(&device(2)).await;
    let mut as_guest = mode.connect().await;
    as_owner.is_silent().await;
    let ann = app.register("ann").await;
    only_this_one_hears(&mut as_guest, &mut as_owner, &ann, &owner, "hello").await;
    let _again = owner.connect().await;
    as_guest.is_silent().await;
}

/// DEV-3.
async fn the_older_socket_may_go_at_any_time(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.let_strangers_send(2).await;
    let (oldest, old) = (ann.connect().await, ann.connect().await);
    let mut new = ann.connect().await;
    oldest.close().await;
    bob.send(&ann, "one").await.ok();
    assert_eq!(new.next_text().await, "one");
    drop(old); // without a close frame
    bob.send(&ann, "two").await.ok();
    assert_eq!(new.next_text().await, "two");
    assert!(app.online(&ann).await);
}

/// `ws.md` §9, clarification 5, DEV-30.
#[tokio::test]
async fn ws_09_the_end_of_a_connection() {
    let app = App::start().await;
    what_comes_after_the_end_waits(&app).await;
    logging_out_silences_the_socket(&app).await;
    logging_out_in_guest_mode_is_another_matter(&app).await;
    disabling_an_account_closes_its_socket(&app).await;
}

async fn what_comes_after_the_end_waits(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.let_strangers_send(2).await;
    for round in 0..4 {
        let socket = ann.connect().await;
        if round % 2 == 0 {
            socket.close().await;
        } else {
            drop(socket); // until the server notices, a frame written counts as delivered (§7.4)
            until("the user is offline", async || (!app.online(&ann).await).then_some(())).await;
        }
        let text = format!("round {round}");
        bob.send(&ann, &text).await.ok();
        let mut socket = ann.connect().await;
        ann.drain().await;
        assert_eq!(socket.next_text().await, text);
        socket.is_silent().await;
    }
}

/// DEV-30.
async fn logging_out_silences_the_socket(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.let_strangers_send(2).await;
    let mut old = ann.connect().await;
    assert_eq!(ann.post_empty("/api/chat/logout").await.ok(), true);
    assert!(!app.online(&ann).await);
    bob.send(&ann, "one").await.ok();
    old.is_silent().await; // silent, and open
    // A new log-in does not wake the old socket; it needs a new one.
    let again = ann.login().await;
    bob.send(&ann, "two").await.ok();
    again.drain().await;
    old.is_silent().await;
    let mut new = again.connect().await;
    again.drain().await;
    assert_eq!(new.texts_until("two").await, ["one", "two"]);
    bob.send(&ann, "three").await.ok();
    assert_eq!(new.next_text().await, "three");
    old.close().await;
    bob.send(&ann, "four").await.ok();
    assert_eq!(new.next_text().await, "four");
}

/// Clarification 5: the owner's log-out does not end guest mode.
async fn logging_out_in_guest_mode_is_another_matter(app: &App) {
    app.visitor(&device(9)).await;
    let body = json!({ "username": "an_owner", "password": PASSWORD });
    let full = signed_call(&app.api(), "/api/visitorregChat", &device(9), body).await.ok();
    let owner = User::from_login(&app.api(), full);
    let mode = app.visitor(&device(9)).await;
    let mut socket = mode.connect().await;
    assert_eq!(owner.post_empty("/api/chat/logout").await.ok(), true);
    let bob = app.register("bob").await;
    bob.send(&mode, "hello guest").await.ok();
    assert_eq!(socket.next_text().await, "hello guest");
}

/// §7.7: one of the few times for a close frame. Nobody gets through to the account any more.
async fn disabling_an_account_closes_its_socket(app: &App) {
    let ann = app.register("ann").await;
    let mut socket = ann.connect().await;
    app.cli(&["users", "disable", &ann.id.to_string()]).await.ok();
    let end = socket.next().await;
    assert!(matches!(end, Arrival::Closed(1000 | 1005)), "{end:?}");
    app.cli(&["users", "enable", &ann.id.to_string()]).await.ok();
    until("the user is offline", async || (!app.online(&ann).await).then_some(())).await;
}

//! `rest.md` §17, §18: what friends set on their edges besides the blacklist.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{App, Reply, User};

const NOT_USABLE: &str = "好友不存在或者被拉黑，无法操作";

async fn star(by: &User, friend: u64) -> Reply {
    by.post_empty(&format!("/api/chat/setstargoodfriend/{friend}")).await
}

async fn see(by: &User, friend: u64, body: Value) -> Reply {
    by.post(&format!("/api/chat/setmeOrfriendCanSee/{friend}"), body).await
}

/// What is set on an edge: star, may the friend see mine, do I see theirs (`rest.md` §19).
async fn set(of: &User, friend: &User) -> [u64; 3] {
    let edge = of.post_empty(&format!("/api/chat/ismygoodfriend/{}", friend.id)).await.ok();
    ["ismystarfriend", "friendlookme", "melookfriend"]
        .map(|key| edge[key].as_u64().expect("a number"))
}

/// `rest.md` §17, §18, `data.md` §7, clarification 18.
#[tokio::test]
async fn rest_17_18_star_and_visibility() {
    let app = App::with_gateways(2).await;
    each_sets_his_own_edge(&app).await;
    the_blacklist_keeps_both_as_they_are(&app).await;
    a_gateway_that_reads_the_rows_judges_alike(&app).await;
    toggles_at_once_all_count(&app).await;
    app.verify().await;
}

async fn each_sets_his_own_edge(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    assert_eq!(set(&ann, &bob).await, [0, 1, 1]);
    star(&ann, bob.id).await.done();
    assert_eq!(set(&ann, &bob).await, [1, 1, 1]);
    for (friendlookme, melookfriend) in [(0, 1), (0, 1), (1, 0), (0, 0)] {
        let body = json!({ "friendlookme": friendlookme, "melookfriend": melookfriend });
        see(&ann, bob.id, body).await.done();
        assert_eq!(set(&ann, &bob).await, [1, friendlookme, melookfriend]);
    }
    star(&ann, bob.id).await.done();
    assert_eq!(set(&ann, &bob).await, [0, 0, 0]);
    assert_eq!(set(&bob, &ann).await, [0, 1, 1]);
    // What is missing or wrong is named.
    let both = json!({ "friendlookme": "1", "melookfriend": "1" });
    see(&ann, bob.id, both.clone()).await.done();
    let query = format!("/api/chat/setmeOrfriendCanSee/{}?friendlookme=1&melookfriend=1", bob.id);
    ann.post_empty(&query).await.done(); // clarification 20
    let text = "朋友是否可以看我的动态不能为空";
    see(&ann, bob.id, json!({ "melookfriend": 1 })).await.refused(422, text);
    let text = "我的朋友圈是否出现朋友的信息（我是否看朋友的动态）不能为空";
    see(&ann, bob.id, json!({ "friendlookme": 1 })).await.refused(422, text);
    let text = "朋友是否可以看我的动态 的值 `2` 必须在 [`0`、`1`] 中";
    see(&ann, bob.id, json!({ "friendlookme": 2, "melookfriend": 0 })).await.refused(422, text);
    see(&ann, bob.id, json!({ "friendlookme": true, "melookfriend": 0 })).await.failed(422);
    see(&ann, 0, both.clone())
        .await
        .refused(422, "朋友id 的数值 必须 在 1 和 10000000000000000 之间");
    star(&ann, 0).await.refused(422, "好友id 的数值 必须 在 1 和 10000000000000000 之间");
    assert_eq!(set(&ann, &bob).await, [0, 1, 1]);
    let stranger = app.register("cat").await;
    for id in [stranger.id, ann.id, 999_999] {
        star(&ann, id).await.refused(400, NOT_USABLE);
        see(&ann, id, both.clone()).await.refused(400, NOT_USABLE);
    }
}

async fn the_blacklist_keeps_both_as_they_are(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let hidden = json!({ "friendlookme": 0, "melookfriend": 0 });
    star(&ann, bob.id).await.done();
    ann.toggle_black(&bob).await;
    star(&ann, bob.id).await.refused(400, NOT_USABLE);
    see(&ann, bob.id, hidden.clone()).await.refused(400, NOT_USABLE);
    star(&bob, ann.id).await.done(); // only one's own blacklist counts
    ann.toggle_black(&bob).await;
    assert_eq!((set(&ann, &bob).await, set(&bob, &ann).await), ([1, 1, 1], [1, 1, 1]));
    // A new friendship begins anew.
    see(&ann, bob.id, hidden).await.done();
    ann.post_empty(&format!("/api/chat/deletegoodfriend/{}", bob.id)).await.ok();
    star(&ann, bob.id).await.refused(400, NOT_USABLE);
    ann.befriend(&bob).await;
    assert_eq!((set(&ann, &bob).await, set(&bob, &ann).await), ([0, 1, 1], [0, 1, 1]));
}

/// The second gateway has not heard of the two before: it loads what the first one caused.
async fn a_gateway_that_reads_the_rows_judges_alike(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let there = ann.via(app.gateways[1].origin());
    star(&ann, bob.id).await.done();
    see(&ann, bob.id, json!({ "friendlookme": 0, "melookfriend": 1 })).await.done();
    app.settle().await;
    star(&there, bob.id).await.done();
    assert_eq!(set(&ann, &bob).await, [0, 0, 1]);
    see(&there, bob.id, json!({ "friendlookme": 1, "melookfriend": 1 })).await.done();
    assert_eq!(set(&ann, &bob).await, [0, 1, 1]);
}

async fn toggles_at_once_all_count(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let places = [ann.clone(), ann.via(app.gateways[1].origin())];
    for reply in join_all((0..9).map(|n| star(&places[n % 2], bob.id))).await {
        reply.done();
    }
    assert_eq!(set(&ann, &bob).await, [1, 1, 1]);
}

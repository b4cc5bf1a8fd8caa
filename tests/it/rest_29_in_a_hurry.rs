//! Groups that many change at once, and groups of many: clarifications 18 and 21, DEV-33, `data.md` §5.3.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::asset;
use crate::support::{App, Reply, User, one_wins};

const IN: &str = "加群成功";
const WAITING: &str = "等待群主同意";
const MEMBER_ALREADY: &str = "用户已经在群里";
const WAITING_ALREADY: &str = "已申请加入群聊，正在等待群主同意";
const ILLEGAL: &str = "非法操作";

/// Clarification 21: who loses a race gets the ordinary text, and nobody is in twice; at two gateways.
#[tokio::test]
async fn rest_28_29_races_have_one_winner() {
    let app = App::with_gateways(2).await;
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let at = |user: &User, n: usize| user.via(app.gateways[n % 2].origin());
    let many = async |call: &dyn Fn(usize) -> std::pin::Pin<Box<dyn Future<Output = Reply>>>| {
        join_all((0..20).map(call)).await
    };
    let eves: [User; 2] = [at(&eve, 0), at(&eve, 1)];
    let anns: [User; 2] = [at(&ann, 0), at(&ann, 1)];
    let joins = many(&|n| {
        let eve = eves[n % 2].clone();
        Box::pin(async move { eve.join(group).await })
    })
    .await;
    assert_eq!(one_wins(joins, MEMBER_ALREADY).ok(), IN);
    assert_eq!(ann.roster(group).await, [ann.id, bob.id, eve.id]);
    ann.remove(group, &eve).await.ok();
    ann.set_policy(group, 1).await.ok();
    let joins = many(&|n| {
        let eve = eves[n % 2].clone();
        Box::pin(async move { eve.join(group).await })
    })
    .await;
    assert_eq!(one_wins(joins, WAITING_ALREADY).ok(), WAITING);
    let answers = many(&|n| {
        let (ann, eve) = (anns[n % 2].clone(), eve.clone());
        Box::pin(
            async move { ann.decide(group, &eve, if n % 3 == 0 { "no" } else { "agree" }).await },
        )
    })
    .await;
    one_wins(answers, ILLEGAL).ok();
    app.verify().await;
}

/// Twenty people at once, each once; and a group that is dissolved meanwhile.
#[tokio::test]
async fn rest_29_many_join_at_once() {
    let app = App::with_gateways(2).await;
    let ann = app.register("ann").await;
    let bob = app.register("bob").await;
    let people = join_all((0..20).map(|_| app.register("eve"))).await;
    let people: Vec<User> =
        people.iter().enumerate().map(|(n, user)| user.via(app.gateways[n % 2].origin())).collect();
    let group = app.group(&ann, &[&bob]).await;
    for reply in join_all(people.iter().map(|user| user.join(group))).await {
        assert_eq!(reply.ok(), IN);
    }
    let mut expected: Vec<u64> =
        people.iter().map(|user| user.id).chain([ann.id, bob.id]).collect();
    let mut roster = ann.roster(group).await;
    expected.sort_unstable();
    roster.sort_unstable();
    assert_eq!(roster, expected);
    // The picture is that of the first nine.
    let avatar = vec![asset("user.jpg"); 9].join(",");
    assert_eq!(bob.group_info(group).await.ok()["avatar"], avatar);

    let doomed = app.group(&ann, &[&bob]).await;
    let joins = join_all(people.iter().map(|user| user.join(doomed)));
    let (joined, dissolved) = tokio::join!(joins, ann.leave(doomed));
    dissolved.done();
    for reply in joined {
        if reply.status != 200 {
            reply.refused(400, "群不存在或者被封禁");
        }
    }
    for user in &people {
        let groups: Vec<Value> = user.groups().await.iter().map(|row| row["id"].clone()).collect();
        assert_eq!(groups, [json!(group.id)], "nobody is in what is no more");
    }
    let rows = format!("select count(*) from live.group_users where group_id = {}", doomed.id);
    assert_eq!(app.servers.postgres.number(rows).await, 0);
    app.verify().await;
}

/// Clarification 18: a node that knows a group from nowhere but the log, for the roster stands still.
#[tokio::test]
async fn what_the_roster_does_not_know_yet_the_log_does() {
    let own = [("PROJECTIONS__WAIT_MS", "3000")]; // as long does each change wait for the roster in vain
    let mut app = App::with_gateways_configured(2, &own).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let there = |user: &User| user.via(app.gateways[1].origin());
    let (bob, cat) = (there(&bob), there(&cat));
    let group = app.group(&ann, &[&bob]).await;
    let doomed = app.group(&ann, &[&bob]).await;
    app.projector.as_mut().expect("a projector of its own").process().stop_signal();
    ann.remove(group, &bob).await.ok();
    ann.set_policy(group, 1).await.ok();
    ann.leave(doomed).await.done();
    bob.say(group, "x").await.refused(400, "您不在群里，无法发消息");
    cat.say(doomed, "x").await.refused(400, "群不存在或者已解散或者被封禁，无法发消息");
    bob.rename_in(group, "x").await.refused(400, "你不在该群聊中，无法修改昵称");
    bob.join(doomed).await.refused(400, "群不存在或者被封禁");
    assert_eq!(cat.join(group).await.ok(), WAITING, "no read model is waited for (ADR 0014)");
    app.projector.as_mut().expect("a projector of its own").process().cont_signal();
    cat.join(group).await.refused(400, WAITING_ALREADY);
    app.verify().await;
}

/// The limit of `limits.group_members`.
#[tokio::test]
async fn a_full_group_takes_nobody() {
    let app = App::configured(&[("LIMITS__GROUP_MEMBERS", "3")]).await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let both = [cat.clone(), dan.clone()];
    one_wins(join_all(both.iter().map(|user| user.join(group))).await, "群成员已达上限");
    ann.befriend(&cat).await;
    ann.befriend(&dan).await;
    ann.create_group(&[&bob, &cat, &dan]).await.refused(400, "群成员已达上限");
}

/// DEV-33.
#[tokio::test]
async fn dev_33_rosters_of_more_than_50_are_left_out() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let people = join_all((0..50).map(|_| app.register("eve"))).await;
    let group = app.group(&ann, &people[..48].iter().collect::<Vec<_>>()).await;
    let mut socket = ann.listen().await;
    let size = |push: &Value| push["group"]["group_users"].as_array().map(Vec::len);
    people[48].join(group).await.ok();
    assert_eq!(size(&socket.next_push().await), Some(50));
    assert_eq!(size(&people[48].say(group, "x").await.ok()), Some(50));
    assert_eq!(size(&socket.next_push().await), Some(50));
    people[49].join(group).await.ok();
    let push = socket.next_push().await;
    assert_eq!((size(&push), &push["group"]["user"]["username"]), (None, &json!(ann.username)));
    let reply = people[49].say(group, "x").await.ok();
    assert_eq!(size(&reply), None);
    assert_eq!(socket.next_push().await, reply);
    assert_eq!(ann.roster(group).await.len(), 51);
    people[49].leave(group).await.done();
    assert_eq!(size(&socket.next_push().await), Some(50));
    app.verify().await;
}

//! Who hashes passwords by the thousand waits for themselves (ADR 0025).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use hongyan::events::{Subject, UserId};
use reqwest::Method;
use serde_json::json;

use crate::support::{Api, App, PASSWORD, Reply, send, until};

/// One hash at a time, at the cost that is the default.
const COSTLY: [(&str, &str); 4] = [
    ("AUTH__ARGON2_MEMORY_KIB", "19456"),
    ("AUTH__ARGON2_PASSES", "2"),
    ("AUTH__ARGON2_PARALLEL", "1"),
    ("LIMITS__TRUSTED_PROXIES", "127.0.0.0/8"),
];

async fn call(api: &Api, path: &str, username: &str, from: &str) -> Reply {
    let body = json!({ "username": username, "password": PASSWORD });
    send(api.request(Method::POST, path).json(&body).header("x-forwarded-for", from)).await
}

#[tokio::test]
async fn a_flood_of_registrations_holds_up_no_log_in_from_elsewhere() {
    const AT_ONCE: usize = 60;
    let own = [COSTLY.as_slice(), &[("AUTH__PASSWORD_WAIT_MS", "120000")]].concat();
    let app = App::configured(&own).await;
    let [ann] = app.users(["ann"]).await;
    let api = app.api();
    let (hashed, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let flood = join_all((0..AT_ONCE).map(async |one| {
        for number in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("flood_{one}_{number}");
            call(&api, "/api/regChat", &name, "198.51.100.7").await.ok();
            hashed.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let log_in = async {
        let begun = async || (hashed.load(Ordering::Relaxed) > 0).then_some(());
        until("a registration is through, and the next wait", begun).await;
        let log = app.log().await;
        let end = async || log.end().await.expect("the log").last;
        let before = end().await;
        call(&api, "/api/loginChat", &ann.username, "198.51.100.8").await.ok();
        over.store(true, Ordering::Relaxed);
        // In the order in which they were hashed, whenever they are answered.
        let sessions =
            log.events_until(Subject::Session(UserId(ann.id.cast_signed())), end().await).await;
        let logged_in = sessions.expect("the log").last().expect("the log-in").position;
        let mut between =
            log.read_between(&["evt.user.>"], (before, logged_in)).await.expect("the log");
        let mut registrations = 0;
        while let Some(batch) = between.next_batch(100).await.expect("the log") {
            registrations += batch.len();
        }
        registrations
    };
    let ((), meanwhile) = join(async { drop(flood.await) }, log_in).await;
    // First come, first served would be all that wait.
    assert!(meanwhile < AT_ONCE / 2, "{meanwhile} registrations before one log-in");
}

#[tokio::test]
async fn who_would_wait_for_too_long_is_told_to_come_again() {
    let own = [COSTLY.as_slice(), &[("AUTH__PASSWORD_WAIT_MS", "0")]].concat();
    let app = App::configured(&own).await;
    let api = app.api();
    let names: Vec<String> = (0..20).map(|number| format!("user_{number}")).collect();
    let all = names.iter().map(|name| call(&api, "/api/regChat", name, "198.51.100.7"));
    let replies = join_all(all).await;
    let refused: Vec<_> =
        names.iter().zip(replies).filter(|(_, reply)| reply.status != 200).collect();
    assert!((1..names.len()).contains(&refused.len()), "{} were refused", refused.len());
    for (name, reply) in refused {
        assert_eq!(reply.headers["retry-after"], "1");
        reply.refused(503, "服务繁忙，请稍后再试");
        call(&api, "/api/regChat", name, "198.51.100.7").await.ok(); // nothing is left of the first try
    }
}

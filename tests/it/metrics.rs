//! What operators measure: `/metrics`, as Prometheus' own library reads it (docs/operate.md).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::{App, PASSWORD, User, api, python::read_by, send, until};

/// The samples of a page, by name and labels: `name{label=value}`.
struct Page(BTreeMap<String, f64>);

impl Page {
    async fn of(app: &App) -> Self {
        let url = format!("{}/metrics", app.admin_origin());
        let page = api::client().get(url).send().await.expect("it answers");
        let kind = page.headers()["content-type"].to_str().expect("a text").to_owned();
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        let page = page.text().await.expect("a text");
        let samples: Vec<(String, String, f64)> = read_by("metrics.py", &page).await;
        let named = |(name, labels, value): (String, String, f64)| {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            (name + &labels, value)
        };
        Self(samples.into_iter().map(named).collect())
    }

    /// What a sample says; 0 if it is not there.
    fn value(&self, name: &str) -> f64 {
        self.0.get(&format!("hongyan_{name}")).copied().unwrap_or_default()
    }
}

/// Insists that this is so, by and by: some of it is counted after a client has its answer.
async fn shows(app: &App, wanted: &[(&str, f64)]) {
    let all = async || {
        let page = Page::of(app).await;
        let differ = wanted.iter().filter(|(name, least)| page.value(name) < *least);
        let differ: Vec<_> = differ.map(|(name, _)| (*name, page.value(name))).collect();
        if differ.is_empty() {
            Some(())
        } else {
            eprintln!("{differ:?}");
            None
        }
    };
    until("all is counted", all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_measured_on_their_way() {
    let app = App::configured(&[("LOG__DURABILITY", "synced")]).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "before").await.ok();
    let mut socket = bob.connect().await;
    bob.drain().await;
    socket.texts_until("before").await;
    let before = Page::of(&app).await;
    for number in 1..=20 {
        ann.send(&bob, &format!("message {number}")).await.ok();
    }
    socket.texts_until("message 20").await;
    let sent = "http_request_duration_seconds_count{route=/api/chat/socket/sendmessage,status=2xx}";
    shows(
        &app,
        &[
            (sent, 21.0),
            ("messages_sent_total", 21.0),
            ("frames_written_total", 21.0),
            ("append_duration_seconds_count", before.value("append_duration_seconds_count") + 20.0),
            (
                "barrier_duration_seconds_count",
                before.value("barrier_duration_seconds_count") + 20.0,
            ),
            ("push_to_write_duration_seconds_count", 1.0),
            ("offline_queue_age_seconds_count", 1.0),
            ("drains_total", 1.0),
            ("refetches_total", 1.0),
            ("connections", 1.0),
            ("projection_events_total{projection=chat_log}", 21.0),
            ("projection_batch_duration_seconds_count{projection=offline_queue}", 1.0),
            ("wait_duration_seconds_count{until=all}", 1.0),
            ("wait_duration_seconds_count{until=local}", 1.0),
            ("cache_hits_total{aggregate=sessions}", 20.0),
            ("cache_misses_total{aggregate=sessions}", 2.0),
            ("projection_generation{projection=offline_queue}", 1.0),
        ],
    )
    .await;
    let page = Page::of(&app).await;
    assert_eq!(page.value("projection_lag_seconds{projection=chat_log}").to_bits(), 0);
    let version = format!("build_info{{version={}}}", env!("CARGO_PKG_VERSION"));
    assert!(page.value(&version) > 0.0);
    // The names that every dashboard for processes knows.
    for name in
        ["resident_memory_bytes", "open_fds", "max_fds", "cpu_seconds_total", "start_time_seconds"]
    {
        assert!(page.0[&format!("process_{name}")] > 0.0, "{name}");
    }
}

/// However many paths are asked for, they are one.
#[tokio::test]
async fn what_is_refused_is_counted_by_its_reason() {
    let limits = [("LIMITS__LOGIN_FAILURES", "2"), ("LIMITS__REQUESTS_PER_USER", "30")];
    let app = App::configured(&limits).await;
    let ann = app.register("ann").await;
    for _ in 0..3 {
        let body = json!({ "username": ann.username, "password": format!("not {PASSWORD}") });
        app.api().post("/api/loginChat", body).await;
    }
    for number in 0..3 {
        send(ann.request(Method::GET, &format!("/nowhere/{number}"))).await;
    }
    join_all((0..80).map(|_| profile(&ann))).await; // two minutes admit 60, if one ends meanwhile
    shows(
        &app,
        &[
            ("login_failures_total", 2.0),
            ("rate_limited_total{limit=logins}", 1.0),
            ("rate_limited_total{limit=requests_per_user}", 20.0),
            ("http_request_duration_seconds_count{route=none,status=4xx}", 3.0),
        ],
    )
    .await;
}

async fn profile(user: &User) {
    send(user.request(Method::GET, "/api/chat/grouplist/1")).await;
}

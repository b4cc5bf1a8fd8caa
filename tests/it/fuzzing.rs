//! Whatever comes over the wire: requests and frames that nobody would write, while two people chat.
//!
//! A short run is part of the suite. A long one, of ten minutes or more on two cores, is
//! `HONGYAN_FUZZ_CASES=30000 ./test fuzzing`; what fails is printed as it was sent.

use futures_util::future::join_all;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use reqwest::Method;

use crate::support::{
    App, SEND,
    document::{body as body_of, operations},
    send, text_to,
};

/// How many are on their way at once.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn whatever_comes_over_the_wire_harms_nobody() {
    // What does not come to an end is ended soon, or a run would wait for nothing but that.
    let own = [("LIMITS__HANDSHAKE_TIMEOUT_MS", "500"), ("LIMITS__BODY_TIMEOUT_MS", "500")];
    let app = App::configured(&own).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = bob.connect().await;
    let asked = std::env::var("HONGYAN_FUZZ_CASES").ok();
    let cases = asked.map_or(300, |cases| cases.parse().expect("a number"));
    let mut runner = TestRunner::new(Config::default());
    let eve = app.register("eve").await;
    let case = prop_oneof![3 => requests(eve.token()), 1 => frames(eve.token())];
    let mut answered = 0;
    for round in 0..cases / AT_ONCE {
        let sent: Vec<Vec<u8>> = (0..AT_ONCE)
            .map(|_| case.new_tree(&mut runner).expect("nothing is filtered").current())
            .collect();
        let answers = join_all(sent.iter().map(async |bytes| {
            let client = app.raw().await;
            // A socket ends when its client does; a request is answered.
            if bytes.starts_with(b"GET /ws") {
                client.exchange_and_leave(bytes).await
            } else {
                client.exchange(bytes).await
            }
        }));
        for (bytes, answer) in sent.iter().zip(answers.await) {
            answered += usize::from(answer.starts_with("HTTP/1.1 "));
            let failed = answer.starts_with("HTTP/1.1 5") || answer.contains("\nHTTP/1.1 5");
            assert!(!failed, "{answer}\nwas the answer to\n{}", bytes.escape_ascii());
        }
        let text = format!("round {round}");
        // Over a connection of its own: one that is idle ends as soon as all that come to no end.
        let sent = ann.request(Method::POST, SEND).header("connection", "close");
        send(sent.json(&text_to("single", bob.id, &text))).await.ok();
        assert_eq!(socket.texts_until(&text).await, [text]);
    }
    assert!(answered > cases / 2, "only {answered} were read as requests");
    let most = app.gateways[0].most_memory_mib();
    assert!(most < 400, "{most} MiB");
}

/// One request or several, well-formed or nearly so.
fn requests(token: &str) -> BoxedStrategy<Vec<u8>> {
    let paths: Vec<(String, String)> = operations()
        .into_iter()
        // What ends the stranger's own token would end the run's.
        .filter(|operation| !operation.path.contains("ogout"))
        .map(|operation| (operation.method.to_string(), operation.path.to_owned()))
        .collect();
    let names: Vec<String> = operations()
        .iter()
        .map(|operation| body_of(operation, "application/json"))
        .filter_map(|schema| schema["properties"].as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect();
    let token = token.to_owned();
    let head = (select(paths), text(), vec(header(), 0..4), prop_oneof![Just(true), any::<bool>()]);
    (head, body(names), vec((any::<prop::sample::Index>(), any::<u8>()), 0..3))
        .prop_map(move |(((method, path), part, headers, with_token), (kind, body), changes)| {
            let path = path.replace("{path}", &part).replace(['{', '}'], "");
            let path = path.replace(|c: char| c.is_whitespace() || c.is_control(), "%20");
            let token = if with_token { format!("token: {token}\r\n") } else { String::new() };
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{token}content-type: {kind}\r\n{}content-length: {}\r\n\r\n",
                headers.concat(),
                body.len()
            );
            let mut bytes = [head.into_bytes(), body].concat();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
        .boxed()
}

fn header() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "range",
        "if-range",
        "expect",
        "transfer-encoding",
        "connection",
        "upgrade",
        "content-encoding",
        "content-type",
        "x-forwarded-for",
        "x-request-id",
        "traceparent",
        "x-security-sign",
        "origin",
        "access-control-request-headers",
        "accept",
    ];
    const VALUES: &[&str] =
        &["bytes=0-", "100-continue", "chunked", "close", "websocket", "gzip", "::1", "a/b"];
    let value = prop_oneof![select(VALUES).prop_map(str::to_owned), "[ -~]{0,40}"];
    (select(NAMES), value).prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

/// Texts that are hard on parsers, databases and screens.
fn text() -> impl Strategy<Value = String> {
    const HARD: &[&str] = &[
        "",
        "0",
        "-1",
        "9223372036854775807",
        "1e308",
        "null",
        "true",
        "\u{0}",
        "%00",
        "%ff",
        "../..",
        "\u{202e}",
        "\u{200d}",
        "🦆",
        "\u{feff}",
        "'",
        "\"",
        "\\",
        "{}",
        "[]",
        "\\ud83e",
        "single",
        "group",
        "text",
        "image",
    ];
    prop_oneof![select(HARD).prop_map(str::to_owned), ".{0,30}", "[0-9]{1,20}"]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text().prop_map(|text| serde_json::json!(text).to_string()),
        Just(r#""x\ud83e""#.to_owned()),
        any::<f64>().prop_map(|number| number.to_string()), // NaN and inf too
        any::<i64>().prop_map(|number| number.to_string()),
        Just("null".to_owned()),
        Just("[".repeat(300)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec((text(), inner), 0..4).prop_map(|fields| {
                let fields = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{value}", serde_json::json!(name)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn body(names: Vec<String>) -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let fields = vec((select(names), json(), text()), 0..8);
    (fields, 0..4_u8).prop_map(|(fields, kind)| match kind {
        0 => {
            let fields = fields.iter().map(|(name, value, _)| format!("\"{name}\":{value}"));
            let fields = fields.collect::<Vec<_>>().join(",");
            ("application/json", format!("{{{fields}}}").into_bytes())
        }
        1 => {
            let fields = fields.iter().map(|(name, _, value)| format!("{name}={value}"));
            ("application/x-www-form-urlencoded", fields.collect::<Vec<_>>().join("&").into_bytes())
        }
        2 => {
            let parts = fields.iter().map(|(name, value, file)| {
                format!(
                    "--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}.png\"\r\n\r\n\
                     \u{89}PNG{value}\r\n"
                )
            });
            ("multipart/form-data; boundary=x", (parts.collect::<String>() + "--x--").into_bytes())
        }
        _ => ("text/plain", fields.iter().flat_map(|(_, value, _)| value.bytes()).collect()),
    })
}

/// A socket, and frames as no library makes them: fragments, reserved bits, controls that are too long, lengths that lie.
fn frames(token: &str) -> BoxedStrategy<Vec<u8>> {
    let token = token.to_owned();
    let frame =
        (any::<u8>(), any::<bool>(), vec(any::<u8>(), 0..200), prop::option::of(any::<u64>()));
    let frame = frame.prop_map(|(first, masked, payload, lie)| {
        let mask = if masked { 0x80 } else { 0 };
        let length = match (lie, payload.len()) {
            (Some(lie), _) => [&[0x7f | mask][..], &lie.to_be_bytes()].concat(),
            (None, short @ 0..126) => vec![u8::try_from(short).expect("it is short") | mask],
            (None, long) => {
                let long = u16::try_from(long).expect("it is not that long");
                [&[0x7e | mask][..], &long.to_be_bytes()].concat()
            }
        };
        let key: &[u8] = if masked { &[0; 4] } else { &[] }; // which leaves the payload as it is
        [&[first][..], &length, key, &payload].concat()
    });
    vec(frame, 1..6)
        .prop_map(move |frames| {
            let head = format!(
                "GET /ws?token={token} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            [head.into_bytes(), frames.concat()].concat()
        })
        .boxed()
}

//! The consumers of analysts are pull consumers, whatever they ask for: who creates one asks here, and what is no matter of
//! a pull consumer goes no further.
//!
//! A consumer that delivers by itself does so to any subject of its account, the server's own API included: with a subject
//! like `$JS.API.STREAM.DELETE.ANALYTICS` it would delete the stream (ADR 0036).

use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use tracing::warn;

use super::analysts_stream::AnalystsStream;

/// Where `nats.conf` maps analysts' requests to.
const REQUESTS: &str = "analysts.consumer.create.";
const API: &str = "$JS.API.CONSUMER.CREATE.ANALYTICS.";
/// Several projectors share the requests.
const QUEUE: &str = "analysts";

/// Settings of a pull consumer. The server knows them in any case of letters; here they are as written.
const SETTINGS: [&str; 20] = [
    "name",
    "durable_name",
    "description",
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "ack_policy",
    "ack_wait",
    "max_deliver",
    "backoff",
    "filter_subject",
    "filter_subjects",
    "replay_policy",
    "max_waiting",
    "max_ack_pending",
    "max_batch",
    "max_expires",
    "max_bytes",
    "inactive_threshold",
    "metadata",
];

/// Answers analysts for as long as it runs.
pub async fn serve(stream: AnalystsStream) {
    let client = &stream.nats.client;
    let requests = client.queue_subscribe(format!("{REQUESTS}>"), QUEUE.into()).await;
    let mut requests = match requests {
        Ok(requests) => requests,
        Err(error) => return warn!(%error, "analysts cannot create consumers"),
    };
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply else { continue };
        let name = request.subject.strip_prefix(REQUESTS).unwrap_or_default();
        let answer = match pull_consumer(&request.payload) {
            Err(why) => refusal(400, why),
            Ok(config) => {
                let asked = client.request(format!("{API}{name}"), config.into()).await;
                asked.map_or_else(
                    |_| refusal(503, "nats-server does not answer"),
                    |it| it.payload.into(),
                )
            }
        };
        if let Err(error) = client.publish(reply, answer.into()).await {
            warn!(%error, "an analyst was not answered");
        }
    }
}

/// A request for a pull consumer and nothing else.
fn pull_consumer(request: &[u8]) -> Result<Vec<u8>, &'static str> {
    let request: Value = serde_json::from_slice(request).map_err(|_| "this is not JSON")?;
    if request["stream_name"] != "ANALYTICS" {
        return Err("consumers are created on ANALYTICS");
    }
    let config = request["config"].as_object().ok_or("there is no config")?;
    if config.get("deliver_subject").is_some_and(|subject| !matches!(subject.as_str(), Some(""))) {
        return Err("a consumer of ANALYTICS is a pull consumer, without deliver_subject");
    }
    let config: Map<String, Value> = SETTINGS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), config.get(*name)?.clone())))
        .collect();
    let action = request["action"].as_str().unwrap_or_default();
    let request = json!({ "stream_name": "ANALYTICS", "config": config, "action": action });
    Ok(request.to_string().into_bytes())
}

fn refusal(code: u16, why: &str) -> Vec<u8> {
    let kind = "io.nats.jetstream.api.v1.consumer_create_response";
    let error = json!({ "code": code, "err_code": 0, "description": why });
    json!({ "type": kind, "error": error }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(config: &Value) -> Result<Value, &'static str> {
        let request = json!({ "stream_name": "ANALYTICS", "config": config, "action": "" });
        let made = pull_consumer(request.to_string().as_bytes())?;
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        Ok(made["config"].clone())
    }

    #[test]
    fn only_settings_of_a_pull_consumer_go_on() {
        let plain = json!({ "durable_name": "mine", "filter_subject": "evt.user.*" });
        assert_eq!(asked(&plain), Ok(plain.clone()));
        let forged = json!({ "durable_name": "mine", "DELIVER_SUBJECT": "$JS.API.STREAM.DELETE.ANALYTICS",
            "deliver_group": "a", "headers_only": true });
        assert_eq!(asked(&forged), Ok(json!({ "durable_name": "mine" })));
        for subject in [json!("evt.user.3"), json!("$JS.API.STREAM.PURGE.ANALYTICS"), json!(["a"])]
        {
            assert!(asked(&json!({ "deliver_subject": subject })).is_err(), "{subject}");
        }
        let twice = br#"{"stream_name":"ANALYTICS","config":{"name":"a","deliver_subject":"","deliver_subject":"evt.x"}}"#;
        let made = pull_consumer(twice).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&made).contains("evt.x"));
        assert!(pull_consumer(br#"{"stream_name":"EVENTS","config":{}}"#).is_err());
        assert!(pull_consumer(b"{}").is_err() && pull_consumer(b"").is_err());
    }
}

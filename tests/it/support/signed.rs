//! Signed calls of guests (`data.md` §9).

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::api::{Api, Reply, send};

/// The salt that the published client ships.
const SALT: &str = "45ncashdaksh2!#@3nxjdas*_259";

/// Now, in milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

/// The signature of a device's call.
pub fn signature(device: &str, timestamp: i64) -> String {
    let text = format!("deviceId={device}&salt={SALT}&timestamp={timestamp}APP_SECRET");
    hex::encode(Sha256::digest(text))
}

/// A device id that no other call makes.
pub fn device(number: u32) -> String {
    format!("{number:08x}-bf16-5425-adbc-d12f49cfa332")
}

/// A signed call of `device` with these further parameters.
pub async fn signed_call(api: &Api, path: &str, device: &str, more: Value) -> Reply {
    signed_call_at(api, path, device, now_ms(), more).await
}

/// The same, at a moment of its own.
pub async fn signed_call_at(
    api: &Api,
    path: &str,
    device: &str,
    timestamp: i64,
    more: Value,
) -> Reply {
    let mut body = json!({ "deviceId": device, "timestamp": timestamp });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let request = api
        .request(reqwest::Method::POST, path)
        .header("X-Security-Sign", signature(device, timestamp));
    send(request.json(&body)).await
}

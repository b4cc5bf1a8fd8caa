//! The REST side of a client.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::document;

/// A caller of one gateway, with or without a token.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    origin: String,
    token: Option<String>,
}

impl Api {
    /// A caller without a token.
    pub fn new(origin: String) -> Self {
        Self { client: client(), origin, token: None }
    }

    /// The same caller with a token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same caller at another gateway.
    pub fn at(&self, origin: String) -> Self {
        Self { origin, ..self.clone() }
    }

    /// The token, if there is one.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Where the gateway is.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// POST with a form.
    pub async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        send(self.request(Method::POST, path).form(form)).await
    }

    /// POST without a body.
    pub async fn post_empty(&self, path: &str) -> Reply {
        send(self.request(Method::POST, path)).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    /// A request that still wants details; the token is in its header.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.origin));
        match &self.token {
            Some(token) => request.header("token", token),
            None => request,
        }
    }
}

/// A client of HTTP. It never speaks TLS, but cannot be made without what that needs.
pub fn client() -> reqwest::Client {
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// Sends a request that must be answered.
pub async fn send(request: RequestBuilder) -> Reply {
    try_send(request).await.expect("the service answers")
}

/// Sends a request that may stay without an answer. Whatever comes must be in the document.
pub async fn try_send(request: RequestBuilder) -> reqwest::Result<Reply> {
    let (client, request) = request.build_split();
    let request = request?;
    let method = request.method().clone();
    let response = client.execute(request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let url = response.url().path().to_owned();
    let bytes = response.bytes().await?;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let reply = Reply { status, headers, body, bytes: bytes.to_vec(), url };
    document::check(&method, &reply.url, &reply);
    Ok(reply)
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The body, or null where it is not JSON.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
    url: String,
}

impl Reply {
    /// The `data` of a success (`rest.md` §0.1).
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(
            (self.status, self.body["msg"].as_str()),
            (200, Some("ok")),
            "{}: {}",
            self.url,
            self.text()
        );
        self.body["data"].clone()
    }

    /// Insists on a success without data of interest.
    #[track_caller]
    pub fn done(self) {
        assert_eq!(self.ok(), "ok");
    }

    /// Insists on a refusal with exactly this text.
    #[track_caller]
    pub fn refused(self, status: u16, text: &str) {
        let expected = serde_json::json!({ "msg": "fail", "data": text });
        assert_eq!((self.status, &self.body), (status, &expected), "{}: {}", self.url, self.text());
    }

    /// Insists on a refusal with any text, and returns it.
    #[track_caller]
    pub fn failed(self, status: u16) -> String {
        let said = self.body["data"].as_str().unwrap_or_default();
        let seen = (self.status, self.body["msg"].as_str(), said.is_empty());
        assert_eq!(seen, (status, Some("fail"), false), "{}: {}", self.url, self.text());
        said.to_owned()
    }

    /// The body as text, for messages of failed assertions.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Insists that exactly one call of a race succeeded and the others got the ordinary refusal (clarification 21).
#[track_caller]
pub fn one_wins(replies: Vec<Reply>, others: &str) -> Reply {
    let (mut won, lost): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!(won.len(), 1, "{} calls won", won.len());
    for reply in lost {
        reply.refused(400, others);
    }
    won.remove(0)
}

//! The WebSocket side of a client.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use testkit::host;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{frames, process::patience};

/// One open socket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Pushes that came in between the hints.
    early: VecDeque<Value>,
    /// How many heartbeats (`ws.md` §4) were skipped.
    pub heartbeats: usize,
}

/// What a socket brings next.
#[derive(Debug, PartialEq)]
pub enum Arrival {
    /// A text frame.
    Frame(Value),
    /// A close frame with this code.
    Closed(u16),
    /// The end of the connection without a close frame.
    Dropped,
}

impl Socket {
    /// Opens `path` of a gateway.
    pub async fn open(origin: &str, path: &str) -> Result<Self, Error> {
        let url = format!("{}{path}", origin.replacen("http", "ws", 1));
        let (stream, _) = tokio_tungstenite::connect_async(url).await?;
        Ok(Self { stream, early: VecDeque::new(), heartbeats: 0 })
    }

    /// The host of this client vanishes.
    pub fn vanish(&self) {
        let MaybeTlsStream::Plain(stream) = self.stream.get_ref() else {
            panic!("the tests speak no TLS");
        };
        host::vanish(stream).expect("a filter needs no rights");
    }

    /// Whatever comes next, heartbeats aside.
    pub async fn next(&mut self) -> Arrival {
        let next = tokio::time::timeout(patience(), self.next_unhurried());
        next.await.expect("a frame was due, and nothing came")
    }

    /// Whatever comes next, however long it takes.
    pub async fn next_unhurried(&mut self) -> Arrival {
        match self.early.pop_front() {
            Some(frame) => Arrival::Frame(frame),
            None => self.read().await,
        }
    }

    /// The next frame; the connection must still be there.
    pub async fn next_frame(&mut self) -> Value {
        match self.next().await {
            Arrival::Frame(frame) => frame,
            end => panic!("a frame was due, but: {end:?}"),
        }
    }

    /// The message of the next frame, which must be a push (`ws.md` §4).
    pub async fn next_push(&mut self) -> Value {
        let mut frame = self.next_frame().await;
        assert_eq!(frame["type"], "singleChat", "{frame}");
        assert!(frame["timestamp"].is_u64(), "{frame}");
        assert_eq!(frame.as_object().map(serde_json::Map::len), Some(3), "{frame}");
        frame["data"].take()
    }

    /// The text of the next push.
    pub async fn next_text(&mut self) -> String {
        text_of(&self.next_push().await)
    }

    /// The texts of the pushes up to and with `last`.
    pub async fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.last().map(String::as_str) != Some(last) {
            texts.push(self.next_text().await);
        }
        texts
    }

    /// The welcome and the hints (`ws.md` §3), as pushes of which the first is the welcome's whole frame.
    pub async fn greeting(&mut self) -> Vec<Value> {
        let welcome = self.next_frame().await;
        self.greeting_after(welcome).await
    }

    /// The same; `false` if it is dropped instead.
    pub async fn is_greeted(&mut self) -> bool {
        match self.next().await {
            Arrival::Frame(welcome) => self.greeting_after(welcome).await.len() > 1,
            end => end != Arrival::Dropped && panic!("a welcome was due, but: {end:?}"),
        }
    }

    async fn greeting_after(&mut self, welcome: Value) -> Vec<Value> {
        assert_eq!(welcome["type"], "system", "{welcome}");
        let mut greeting = vec![welcome];
        let mut pushes = VecDeque::new();
        loop {
            let push = self.next_push().await;
            let from = push["from_id"].as_str().unwrap_or_default().to_owned();
            if !is_hint(&from) {
                pushes.push_back(
                    serde_json::json!({ "type": "singleChat", "data": push, "timestamp": 0 }),
                );
                continue;
            }
            greeting.push(push);
            if from.starts_with("redirect-search-") || from.starts_with("redirect-visitorLogin-") {
                self.early = pushes;
                return greeting;
            }
        }
    }

    /// Sends a text frame.
    pub async fn say(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.expect("the connection is there");
    }

    /// Sends a binary frame.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.expect("the connection is there");
    }

    /// Insists that nothing arrives before the answer to a ping, and that the ping is answered (`ws.md` §8).
    pub async fn is_silent(&mut self) {
        self.say(r#"{"type":"ping"}"#).await;
        let frame = self.next_frame().await;
        assert_eq!(frame["type"], "pong", "nothing was due on this socket, but: {frame}");
    }

    /// Closes it as a browser would, and waits for the other side's agreement.
    pub async fn close(mut self) {
        self.begin_close().await;
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    /// Says that it wants to close; what the other side has sent meanwhile can still be read.
    pub async fn begin_close(&mut self) {
        let _ = self.stream.close(None).await; // the other side may have been faster
    }

    /// Closes it with this code, or none, and waits for the end.
    pub async fn close_with(mut self, code: Option<u16>) -> Arrival {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: "bye".into() });
        self.stream.close(frame).await.expect("the connection is there");
        self.next().await
    }

    async fn read(&mut self) -> Arrival {
        loop {
            let Some(Ok(message)) = self.stream.next().await else {
                return Arrival::Dropped;
            };
            match message {
                Message::Text(text) => {
                    let frame: Value =
                        serde_json::from_str(&text).expect("frames are JSON (ws.md §1)");
                    frames::check(&frame);
                    if frame["type"] == "ping" {
                        assert_eq!(frame, serde_json::json!({ "type": "ping" }));
                        self.heartbeats += 1;
                    } else {
                        return Arrival::Frame(frame);
                    }
                }
                Message::Close(frame) => {
                    return Arrival::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Message::Binary(bytes) => {
                    panic!("the server sends text only (ws.md §1): {bytes:?}")
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

fn is_hint(from: &str) -> bool {
    let pages = [
        "groupList",
        "friendsList",
        "userInfoSet",
        "whoCanChatMe",
        "myQrcode",
        "search",
        "visitorLogin",
    ];
    pages.iter().any(|page| from.starts_with(&format!("redirect-{page}-")))
}

/// The text that a person reads: `data` is JSON text when a person wrote it, an object when the server did (§6.0.2).
pub fn text_of(push: &Value) -> String {
    let content = match &push["data"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        made => made.clone(),
    };
    content["data"].as_str().unwrap_or_else(|| panic!("a text in {push}")).to_owned()
}

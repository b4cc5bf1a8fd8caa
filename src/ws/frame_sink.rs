//! The frame sink is the WebSocket itself: writes with a bound on how long they may take, and what clients say.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    adapters::client_stream::ClientConnection, clock, events::DisconnectReason, protocol::frames,
    state::App,
};

/// Why the loop of a socket ends.
pub(super) type Ended = DisconnectReason;

/// The socket itself, with a bound on how long a write may take.
pub(super) struct FrameSink {
    pub(super) socket: WebSocket,
    /// What it goes over.
    pub(super) client: Arc<ClientConnection>,
    pub(super) limit: Duration,
}

/// A frame that a client may send (ws.md §8).
#[derive(Deserialize)]
struct ClientFrame {
    #[serde(rename = "type")]
    kind: String,
    token: Option<String>,
}

impl FrameSink {
    pub(super) async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), Ended> {
        match timeout(self.limit, self.socket.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(DisconnectReason::Closed),
            Err(_) => Err(DisconnectReason::TooSlow),
        }
    }

    /// An error frame, an ordinary close, and the client's answer to it (ws.md §2).
    pub(super) async fn refuse(&mut self, text: &str) {
        if self.send(frames::refusal(text)).await.is_ok() {
            self.close().await;
        }
    }

    pub(super) async fn close(&mut self) {
        if timeout(self.limit, self.socket.send(Message::Close(None))).await.is_ok() {
            self.finish_close().await;
        }
    }

    /// Reads on until the connection ends, which also writes the answer to a client's close (clarification 28). A close
    /// that is answered is no abrupt end, even if the client had more to say.
    async fn finish_close(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        _ = timeout(Duration::from_secs(2), rest).await;
    }

    /// Whatever a client says: only pings are answered.
    pub(super) async fn on_message(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
        app: &App,
    ) -> Result<(), Ended> {
        let text = match &message {
            None | Some(Err(_)) => return Err(DisconnectReason::Closed),
            Some(Ok(Message::Close(_))) => {
                Box::pin(self.finish_close()).await; // not in the future of every socket
                return Err(DisconnectReason::Closed);
            }
            Some(Ok(Message::Text(text))) => text.as_str(),
            Some(Ok(Message::Binary(bytes))) => str::from_utf8(bytes).unwrap_or_default(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
        };
        let wants_pong = text.trim() == "ping"
            || match serde_json::from_str::<ClientFrame>(text) {
                Ok(ClientFrame { kind, token: None }) => kind == "ping",
                Ok(ClientFrame { kind, token: Some(token) }) => {
                    let claims = app.tokens.read(&token).filter(|_| kind == "ping");
                    match claims {
                        Some(claims) => {
                            matches!(Box::pin(app.current(claims)).await, Ok(Some(_)))
                        }
                        None => false,
                    }
                }
                Err(_) => false,
            };
        if wants_pong { self.send(frames::pong(clock::now())).await } else { Ok(()) }
    }
}

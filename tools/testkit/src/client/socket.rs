//! The WebSocket side of a client.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

use super::http::{Origin, connect};
use crate::host;

/// How long it may take until a socket is open and greeted.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The server said no (ws.md §2).
#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
pub struct Refused(String);

/// What comes over a socket next.
#[derive(Debug)]
pub enum Arrival {
    /// A text frame.
    Frame(Utf8Bytes),
    /// A close frame: a registered user's client would log out (ws.md §7.7), unless it asked for it.
    Closed,
    /// The end without one.
    Dropped,
}

/// One open socket, greeted by the server.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Opens one, from an address of our own if one is given, and waits for the welcome (ws.md §3).
    pub async fn open(
        origin: &Arc<Origin>,
        token: &str,
        from: Option<IpAddr>,
    ) -> anyhow::Result<Self> {
        let opened = timeout(TIMEOUT, Self::open_without_timeout(origin, token, from)).await;
        opened.unwrap_or_else(|_| bail!("no welcome within {} s", TIMEOUT.as_secs()))
    }

    async fn open_without_timeout(
        origin: &Origin,
        token: &str,
        from: Option<IpAddr>,
    ) -> anyhow::Result<Self> {
        let stream = connect(origin.address, from).await.context("cannot connect")?;
        // What the library takes by default, 128 KiB, would be most of a socket's memory here.
        let config = WebSocketConfig::default().read_buffer_size(4 * 1024).write_buffer_size(0);
        let url = format!("ws://{}/ws?token={token}", origin.host.to_str()?);
        let (stream, _) = client_async_with_config(url, stream, Some(config)).await?;
        let mut socket = Self { stream };
        loop {
            let frame = socket.next().await.context("it was closed before the welcome")?;
            if frame.contains(r#""type":"system""#) {
                return Ok(socket);
            }
            if frame.contains(r#""msg":"fail""#) {
                bail!(Refused(frame.to_string()));
            }
        }
    }

    /// The next text frame, heartbeats included; `None` at the end.
    pub async fn next(&mut self) -> Option<Utf8Bytes> {
        match self.arrival().await {
            Arrival::Frame(text) => Some(text),
            Arrival::Closed | Arrival::Dropped => None,
        }
    }

    /// The next text frame, heartbeats included, or how the socket ended.
    pub async fn arrival(&mut self) -> Arrival {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Arrival::Frame(text),
                Some(Ok(Message::Close(_))) => return Arrival::Closed,
                Some(Err(_)) | None => return Arrival::Dropped,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The host of this client vanishes.
    pub fn vanish(&self) -> std::io::Result<()> {
        host::vanish(self.stream.get_ref())
    }

    /// Says that it is over; what the server has written until it hears that still comes.
    pub async fn begin_close(&mut self) {
        _ = self.stream.close(None).await; // whoever reads on meets the end
    }
}

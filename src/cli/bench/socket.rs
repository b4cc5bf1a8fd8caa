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

/// How long it may take until a socket is open and greeted.
const PATIENCE: Duration = Duration::from_mins(1);

/// One open socket, greeted by the server.
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Opens one, from an address of our own if one is given, and waits for the welcome (ws.md §3).
    pub(super) async fn open(
        origin: &Arc<Origin>,
        token: &str,
        from: Option<IpAddr>,
    ) -> anyhow::Result<Self> {
        let opened = timeout(PATIENCE, Self::open_unhurried(origin, token, from)).await;
        opened.unwrap_or_else(|_| bail!("no welcome within {} s", PATIENCE.as_secs()))
    }

    async fn open_unhurried(
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
                bail!("refused: {frame}");
            }
        }
    }

    /// The next text frame, heartbeats included; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Utf8Bytes> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Some(text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

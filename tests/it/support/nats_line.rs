//! A bare NATS connection: it tells what a user may do, in the order in which things were tried.

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::nats::Nats;

/// One logged-in connection.
#[derive(Debug)]
pub struct NatsLine {
    stream: BufReader<TcpStream>,
}

impl NatsLine {
    /// Logs in; the error is what the server says.
    pub async fn open(nats: &Nats, user: &str, password: &str) -> Result<Self, String> {
        let address = nats.url().replace("nats://", "");
        let mut stream =
            BufReader::new(TcpStream::connect(address).await.expect("nats-server listens"));
        stream.read_line(&mut String::new()).await.expect("nats-server greets");
        let login = json!({ "user": user, "pass": password, "verbose": false, "headers": true });
        let mut line = Self { stream };
        match line.complaint(&format!("CONNECT {login}\r\n")).await {
            Some(complaint) => Err(complaint),
            None => Ok(line),
        }
    }

    /// Whether it may publish to a subject. The message is empty.
    pub async fn may_publish(&mut self, subject: &str) -> bool {
        self.complaint(&format!("PUB {subject} 0\r\n\r\n")).await.is_none()
    }

    /// Whether it may listen to a subject.
    pub async fn may_subscribe(&mut self, subject: &str) -> bool {
        self.complaint(&format!("SUB {subject} 1\r\nUNSUB 1\r\n")).await.is_none()
    }

    /// What the server objects to in these lines, if anything.
    async fn complaint(&mut self, lines: &str) -> Option<String> {
        self.stream
            .write_all(format!("{lines}PING\r\n").as_bytes())
            .await
            .expect("nats-server listens");
        let mut complaint = None;
        loop {
            let mut line = String::new();
            let length = self.stream.read_line(&mut line).await.unwrap_or_default();
            if length == 0 || line.starts_with("PONG") {
                return complaint;
            }
            if line.starts_with("-ERR") {
                complaint = Some(line);
            }
        }
    }
}

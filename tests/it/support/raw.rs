//! A client that speaks bytes.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection on which anything can be said.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// To a gateway.
    pub async fn connect(origin: &str) -> Self {
        let address = origin.replace("http://", "");
        Self(TcpStream::connect(address).await.expect("the service listens"))
    }

    /// Sends all of it.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the other side reads");
    }

    /// Whatever comes until the other side ends the connection.
    pub async fn rest(&mut self) -> String {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The head of the next answer.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer comes"));
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Sends this and nothing more, and reads what comes until the other side is done with it, or waits for more.
    pub async fn exchange_and_leave(mut self, bytes: impl AsRef<[u8]>) -> String {
        self.0.write_all(bytes.as_ref()).await.ok();
        self.0.shutdown().await.ok();
        self.rest().await
    }

    /// Sends this, which the other side may not want to read, and reads until it ends the connection.
    pub async fn exchange(mut self, bytes: impl AsRef<[u8]>) -> String {
        self.0.write_all(bytes.as_ref()).await.ok();
        self.rest().await
    }
}

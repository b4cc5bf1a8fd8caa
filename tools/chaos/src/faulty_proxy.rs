//! The faulty proxy: stands between clients and a gateway and breaks a promise. A run through it must fail, or the checker
//! sees nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use clap::ValueEnum;
use testkit::client::http::Origin;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_util::task::TaskTracker;

use super::client::MESSAGE_TAG;

/// One of so many calls or frames is corrupted.
const EVERY: u64 = 50;

/// The promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Corruption {
    /// Messages are acknowledged and not accepted
    Swallow,
    /// Frames are counted as delivered and not written
    Lose,
    /// Frames are written twice
    Double,
    /// Frames are written after later ones of the same sender in the same chat
    Delay,
}

/// Corrupts some of what goes to and comes from a gateway.
pub(super) struct FaultyProxy {
    corruption: Corruption,
    gateway: Arc<Origin>,
    seen: AtomicU64,
}

type Input = BufReader<OwnedReadHalf>;
/// A sender, a kind of chat, and a user or a group.
type Conversation = [String; 3];

impl FaultyProxy {
    /// Stands before a gateway; answers with where clients find it.
    pub(super) async fn before(
        gateway: &Arc<Origin>,
        corruption: Corruption,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Arc<Origin>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = Origin::resolve(&format!("http://{}", listener.local_addr()?)).await?;
        let proxy =
            Arc::new(Self { corruption, gateway: Arc::clone(gateway), seen: AtomicU64::new(0) });
        let own = tasks.clone();
        tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = Arc::clone(&proxy);
                own.spawn(async move { _ = proxy.serve(client).await });
            }
        });
        Ok(origin)
    }

    fn is_next(&self) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1
    }

    async fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(self.gateway.address).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, mut to_client), (from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let (mut from_client, mut from_server) =
            (BufReader::new(from_client), BufReader::new(from_server));
        loop {
            let (head, body) = message(&mut from_client).await?;
            if self.corruption == Corruption::Swallow
                && head.contains("/socket/sendmessage")
                && self.is_next()
            {
                let reply = r#"{"msg":"ok","data":{}}"#;
                let length = reply.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{reply}");
                to_client.write_all(answer.as_bytes()).await?;
                continue;
            }
            to_server.write_all(head.as_bytes()).await?;
            to_server.write_all(&body).await?;
            let (answer, body) = message(&mut from_server).await?;
            to_client.write_all(answer.as_bytes()).await?;
            to_client.write_all(&body).await?;
            if answer.starts_with("HTTP/1.1 101") {
                tokio::select! {
                    done = copy(&mut from_client, &mut to_server) => return done.map(drop),
                    done = self.frames(&mut from_server, &mut to_client) => return done,
                }
            }
        }
    }

    /// Of a socket, on their way to the client (RFC 6455 §5.2).
    async fn frames(&self, from: &mut Input, to: &mut OwnedWriteHalf) -> std::io::Result<()> {
        // Held back until a later one of its conversation comes, however long that takes.
        let mut late: Option<(Conversation, Vec<u8>)> = None;
        loop {
            let frame = frame(from).await?;
            let Some(conversation) = conversation(&frame) else {
                to.write_all(&frame).await?;
                continue;
            };
            match self.corruption {
                Corruption::Lose if self.is_next() => {}
                Corruption::Double if self.is_next() => {
                    to.write_all(&[&frame[..], &frame].concat()).await?;
                }
                Corruption::Delay if late.is_none() && self.is_next() => {
                    late = Some((conversation, frame));
                }
                _ => {
                    to.write_all(&frame).await?;
                    if let Some((_, held)) = late.take_if(|(of, _)| *of == conversation) {
                        to.write_all(&held).await?;
                    }
                }
            }
        }
    }
}

/// The head of a request or of an answer, and its body.
async fn message(from: &mut Input) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, value)| value.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body).await?;
    Ok((head, body))
}

async fn frame(from: &mut Input) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 2];
    from.read_exact(&mut frame).await?;
    let more = match frame[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut length = u64::from(frame[1] & 0x7f);
    if more > 0 {
        frame.resize(2 + more, 0);
        from.read_exact(&mut frame[2..]).await?;
        length = frame[2..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
    }
    let begin = frame.len();
    frame.resize(begin + usize::try_from(length).unwrap_or_default(), 0);
    from.read_exact(&mut frame[begin..]).await?;
    Ok(frame)
}

/// Who sent the message in a frame, in which kind of chat, to whom; `None` for other frames.
fn conversation(frame: &[u8]) -> Option<Conversation> {
    let text = String::from_utf8_lossy(frame);
    text.find(MESSAGE_TAG)?;
    let value = |name: &str| {
        let after = text.split_once(&format!("\"{name}\":"))?.1;
        Some(after.split([',', '}']).next()?.to_owned())
    };
    Some([value("from_id")?, value("chatType")?, value("to_id")?])
}

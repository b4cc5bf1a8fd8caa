//! The client protocol of NATS, as much of it as pushes and appends take
//! (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
//!
//! A push is decoded in 0.15 µs, and in 0.25 a message with ten headers, which are left as they came; `watermelon-proto`
//! takes 0.2 and 1.2 (ADR 0031). Connecting and TLS would be ours with it too.

use std::{
    convert::Infallible,
    fmt::{self, Write as _},
    io,
    sync::Arc,
    time::Duration,
};

use async_nats::ServerAddr;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tracing::warn;

/// The longest line and the longest message that are taken for such.
const MOST: usize = 8 << 20;

/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where servers are, and as whom to connect.
#[derive(Clone)]
pub struct Servers {
    /// Separated by commas.
    pub urls: String,
    /// The user.
    pub user: String,
    /// Their password.
    pub password: SecretString,
}

/// A connection that a server has accepted.
pub(super) struct Connection {
    /// The bytes.
    pub(super) wire: Box<dyn Duplex>,
    /// What was read beyond the handshake.
    pub(super) said: BytesMut,
    /// The largest message that the server takes, headers included, in bytes.
    pub(super) max_payload: usize,
}

/// Bytes both ways, in the clear or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Something that a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// A message on a subject that was subscribed to.
    Message {
        /// Its subject.
        subject: Bytes,
        /// Where an answer is awaited.
        reply: Option<Bytes>,
        /// Its headers, as they came; empty if it has none.
        headers: Bytes,
        /// Its content.
        payload: Bytes,
    },
    /// What it is, in JSON.
    Info(Bytes),
    /// It asks whether we are there.
    Ping,
    /// All that we said before the ping is done.
    Pong,
    /// Nothing that we need.
    Other,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The network's reason.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ended.
    #[error("the server has closed the connection")]
    Closed,
    /// It does not answer.
    #[error("the server says nothing")]
    Silent,
    /// It says so.
    #[error("the server says {0}")]
    Refused(String),
    /// This is no NATS.
    #[error("the server says what is not understood: {0}")]
    Garbled(String),
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    tls_required: bool,
    max_payload: usize,
}

/// Keeps a connection to one of the servers, for ever: `serve` has it until it is lost, `lost` is told why. `purpose`
/// is part of the connection's name at the server, and completes "lost the connection that …" in the log.
pub(super) async fn keep_connected<F>(
    servers: &Servers,
    purpose: (&str, &str),
    pause: Duration,
    mut serve: impl FnMut(Connection) -> F,
    lost: impl Fn(),
) -> Infallible
where
    F: Future<Output = WireError>,
{
    let (name, what) = purpose;
    let mut told = String::new();
    loop {
        for url in servers.urls.split(',').map(str::trim) {
            let error = match timeout(CONNECT_TIMEOUT, connect(url, servers, name)).await {
                Err(_) => WireError::Silent,
                Ok(Err(error)) => error,
                Ok(Ok(connection)) => {
                    told.clear();
                    serve(connection).await
                }
            };
            lost();
            let why = error.to_string();
            if told != why {
                warn!(why, "lost the connection that {what}");
                told = why; // once, however long it takes
            }
            sleep(pause).await;
        }
    }
}

/// Connects, and returns once the server has let us in.
async fn connect(url: &str, servers: &Servers, name: &str) -> Result<Connection, WireError> {
    let address: ServerAddr = url.parse()?;
    let tcp = TcpStream::connect((address.host(), address.port())).await?;
    tcp.set_nodelay(true)?;
    // What the system has not sent when we give the connection up is never sent.
    tcp.set_zero_linger()?;
    let mut wire: Box<dyn Duplex> = Box::new(tcp);
    let mut said = BytesMut::with_capacity(16 * 1024);
    let Op::Info(info) = hear(&mut wire, &mut said).await? else {
        return Err(WireError::Garbled("something before its name".to_owned()));
    };
    let info: Info = serde_json::from_slice(&info).map_err(|error| garbled(error.to_string()))?;
    if info.tls_required || address.tls_required() {
        wire = Box::new(encrypt(wire, address.host()).await?);
    }
    let Servers { user, password, .. } = servers;
    let connect = json!({
        "user": user, "pass": password.expose_secret(), "name": format!("hongyan-{user}-{name}"),
        "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "verbose": false, "pedantic": false,
        "protocol": 1, "echo": true, "headers": true, "no_responders": true,
    });
    wire.write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).await?;
    wire.flush().await?;
    while hear(&mut wire, &mut said).await? != Op::Pong {}
    Ok(Connection { wire, said, max_payload: info.max_payload })
}

async fn encrypt(wire: Box<dyn Duplex>, host: &str) -> Result<impl Duplex + use<>, WireError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, wire).await?)
}

/// The next thing that the server says.
pub(super) async fn hear(
    wire: &mut (impl AsyncRead + Unpin),
    said: &mut BytesMut,
) -> Result<Op, WireError> {
    loop {
        if let Some(op) = next(said)? {
            return Ok(op);
        }
        if wire.read_buf(said).await? == 0 {
            return Err(WireError::Closed);
        }
    }
}

/// Takes the next thing out of what was read, if it is there as a whole.
pub(super) fn next(said: &mut BytesMut) -> Result<Option<Op>, WireError> {
    let Some(end) = said.iter().position(|byte| *byte == b'\n') else {
        return if said.len() > MOST { Err(garbled("an endless line")) } else { Ok(None) };
    };
    let line = said[..end].trim_ascii_end();
    let (verb, rest) =
        line.split_at(line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len()));
    let op = match verb {
        b"MSG" => return message(said, end, false),
        b"HMSG" => return message(said, end, true),
        b"INFO" => Op::Info(Bytes::copy_from_slice(rest)),
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        b"-ERR" => {
            return Err(WireError::Refused(
                String::from_utf8_lossy(rest.trim_ascii()).into_owned(),
            ));
        }
        b"+OK" => Op::Other,
        _ => return Err(garbled(String::from_utf8_lossy(&line[..line.len().min(80)]))),
    };
    said.advance(end + 1);
    Ok(Some(op))
}

/// `MSG subject id [reply] size` and so many bytes, or `HMSG subject id [reply] size-of-headers size`.
fn message(said: &mut BytesMut, end: usize, has_headers: bool) -> Result<Option<Op>, WireError> {
    let line = &said[..end];
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut words: Vec<(usize, usize)> = words
        .map(|word| {
            let start = word.as_ptr() as usize - line.as_ptr() as usize;
            (start, start + word.len())
        })
        .collect();
    let unlike = || garbled(String::from_utf8_lossy(line));
    let number = |(from, to): (usize, usize)| -> Option<usize> {
        str::from_utf8(&line[from..to]).ok()?.parse().ok().filter(|size| *size <= MOST)
    };
    let size = words.pop().and_then(number).ok_or_else(unlike)?;
    let of_headers = if has_headers { words.pop().and_then(number) } else { Some(0) };
    let of_headers = of_headers.filter(|part| *part <= size).ok_or_else(unlike)?;
    let (subject, reply) = match words[..] {
        [_, subject, _] => (subject, None),
        [_, subject, _, reply] => (subject, Some(reply)),
        _ => return Err(unlike()),
    };
    if said.len() < end + 1 + size + 2 {
        return Ok(None);
    }
    let line = said.split_to(end + 1).freeze();
    let headers = said.split_to(of_headers).freeze();
    let payload = said.split_to(size - of_headers).freeze();
    said.advance(2);
    let word = |(from, to)| line.slice(from..to);
    Ok(Some(Op::Message { subject: word(subject), reply: reply.map(word), headers, payload }))
}

/// Writes that messages on `subject` are wanted, by this number.
pub(super) fn subscribe(to: &mut BytesMut, subject: &str, id: u64) {
    to.put_slice(format!("SUB {subject} {id}\r\n").as_bytes());
}

/// Writes that they are not wanted any more.
pub(super) fn unsubscribe(to: &mut BytesMut, id: u64) {
    to.put_slice(format!("UNSUB {id}\r\n").as_bytes());
}

/// Publishes a message.
pub(super) fn publish(to: &mut BytesMut, subject: &[u8], payload: &[u8]) {
    to.put_slice(b"PUB ");
    to.put_slice(subject);
    to.put_slice(format!(" {}\r\n", payload.len()).as_bytes());
    to.put_slice(payload);
    to.put_slice(b"\r\n");
}

/// Publishes a message with headers, as [`Headers`] wrote them, and where an answer is awaited.
pub(super) fn publish_with(
    to: &mut BytesMut,
    subject: &str,
    reply: &str,
    headers: &Headers,
    payload: &[u8],
) {
    let Headers(lines) = headers;
    let (of_headers, size) = (lines.len() + 2, lines.len() + 2 + payload.len());
    to.reserve(subject.len() + reply.len() + size + 64);
    to.put_slice(format!("HPUB {subject} {reply} {of_headers} {size}\r\n").as_bytes());
    to.put_slice(lines.as_bytes());
    to.put_slice(b"\r\n");
    to.put_slice(payload);
    to.put_slice(b"\r\n");
}

/// The headers of a message, as they are written.
#[derive(Debug, Clone)]
pub(super) struct Headers(String);

impl Headers {
    /// None yet.
    pub(super) fn new() -> Self {
        Self("NATS/1.0\r\n".to_owned())
    }

    /// Adds one; a line break in the value would begin another, and is left out.
    pub(super) fn add(&mut self, name: &str, value: impl fmt::Display) {
        let Self(lines) = self;
        let begin = lines.len();
        _ = write!(lines, "{name}: {value}");
        if lines[begin..].contains(['\r', '\n']) {
            let line = lines.split_off(begin).replace(['\r', '\n'], "");
            lines.push_str(&line);
        }
        lines.push_str("\r\n");
    }

    /// Their length in bytes, with the line that ends them.
    pub(super) fn len(&self) -> usize {
        self.0.len() + 2
    }
}

/// Asks the server to answer once all before is done.
pub(super) fn ping(to: &mut BytesMut) {
    to.put_slice(b"PING\r\n");
}

/// Answers the server's question.
pub(super) fn pong(to: &mut BytesMut) {
    to.put_slice(b"PONG\r\n");
}

fn garbled(what: impl Into<String>) -> WireError {
    WireError::Garbled(what.into())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn op() -> impl Strategy<Value = (Op, Vec<u8>)> {
        let word = "[a-z0-9.]{1,20}";
        let headers = proptest::option::of(vec(any::<u8>(), 1..50));
        let message = (word, proptest::option::of(word), headers, vec(any::<u8>(), 0..200));
        let message = message.prop_map(|(subject, reply, headers, payload)| {
            let via = reply.as_ref().map(|reply| format!("{reply} ")).unwrap_or_default();
            let size = payload.len();
            let (verb, size) = match &headers {
                None => ("MSG", size.to_string()),
                Some(headers) => ("HMSG", format!("{} {}", headers.len(), headers.len() + size)),
            };
            let headers = headers.unwrap_or_default();
            let mut line = format!("{verb} {subject} 7 {via}{size}\r\n").into_bytes();
            line.extend_from_slice(&headers);
            line.extend_from_slice(&payload);
            line.extend_from_slice(b"\r\n");
            let (subject, reply) = (subject.into(), reply.map(Bytes::from));
            let (headers, payload) = (headers.into(), payload.into());
            (Op::Message { subject, reply, headers, payload }, line)
        });
        let plain = |op: Op, line: &str| Just((op, line.as_bytes().to_vec()));
        prop_oneof![
            4 => message,
            1 => plain(Op::Ping, "PING\r\n"),
            1 => plain(Op::Pong, "PONG\r\n"),
            1 => plain(Op::Other, "+OK\r\n"),
            1 => plain(Op::Info(Bytes::from_static(b" {}")), "INFO {}\r\n"),
        ]
    }

    proptest! {
        #[test]
        fn what_was_said_is_understood_however_it_comes_in_pieces(
            said in vec(op(), 0..20),
            pieces in vec(1..60_usize, 1..10),
        ) {
            let (wanted, bytes): (Vec<Op>, Vec<Vec<u8>>) = said.into_iter().unzip();
            let (mut rest, mut heard, mut found) = (&bytes.concat()[..], BytesMut::new(), Vec::new());
            for size in pieces.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(size.min(rest.len()));
                heard.extend_from_slice(piece);
                rest = after;
                while let Some(op) = next(&mut heard).expect("it is NATS") {
                    found.push(op);
                }
            }
            prop_assert_eq!(found, wanted);
            prop_assert!(heard.is_empty());
        }

        #[test]
        fn nothing_that_is_said_breaks_us(said in vec(any::<u8>(), 0..200)) {
            let mut said = BytesMut::from(&said[..]);
            while let Ok(Some(_)) = next(&mut said) {}
        }
    }

    #[test]
    fn a_header_stays_one_line_whatever_its_value() {
        let mut headers = Headers::new();
        headers.add("a", 1);
        headers.add("b", "x\r\nc: y");
        let mut line = BytesMut::new();
        publish_with(&mut line, "s", "r", &headers, b"!");
        assert_eq!(line, "HPUB s r 28 29\r\nNATS/1.0\r\na: 1\r\nb: xc: y\r\n\r\n!\r\n");
    }

    #[test]
    fn what_is_no_nats_is_told_as_such() {
        for said in [
            "HTTP/1.1 400 Bad Request\r\n",
            "MSG a 1\r\n",
            "MSG a 1 -5\r\n",
            "MSG a 1 b c 5\r\n",
            "HMSG a 1 7 5\r\n",
        ] {
            let found = next(&mut BytesMut::from(said));
            assert!(matches!(found, Err(WireError::Garbled(_))), "{said}: {found:?}");
        }
        let found = next(&mut BytesMut::from("-ERR 'Authorization Violation'\r\n"));
        assert!(matches!(found, Err(WireError::Refused(_))), "{found:?}");
    }
}

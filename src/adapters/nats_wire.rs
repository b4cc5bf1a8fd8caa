//! As much of NATS' client protocol as hearing takes (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).

use std::{io, sync::Arc};

use async_nats::ServerAddr;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The longest line and the longest message that are taken for such.
const MOST: usize = 8 << 20;

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
}

/// Connects, and returns once the server has let us in; with what it has said since.
pub(super) async fn connect(
    url: &str,
    user: &str,
    password: &str,
) -> Result<(Box<dyn Duplex>, BytesMut), WireError> {
    let address: ServerAddr = url.parse()?;
    let tcp = TcpStream::connect((address.host(), address.port())).await?;
    tcp.set_nodelay(true)?;
    let mut wire: Box<dyn Duplex> = Box::new(tcp);
    let mut said = BytesMut::with_capacity(16 * 1024);
    let Op::Info(info) = hear(&mut wire, &mut said).await? else {
        return Err(WireError::Garbled("something before its name".to_owned()));
    };
    let info: Info = serde_json::from_slice(&info).map_err(|error| garbled(error.to_string()))?;
    if info.tls_required || address.tls_required() {
        wire = Box::new(encrypt(wire, address.host()).await?);
    }
    let connect = json!({
        "user": user, "pass": password, "name": format!("hongyan-{user}-pushes"), "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"), "verbose": false, "pedantic": false, "protocol": 1, "echo": true,
    });
    wire.write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).await?;
    wire.flush().await?;
    while hear(&mut wire, &mut said).await? != Op::Pong {}
    Ok((wire, said))
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
        b"MSG" => return message(said, end),
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

/// `MSG subject id [reply] size`, and then so many bytes.
fn message(said: &mut BytesMut, end: usize) -> Result<Option<Op>, WireError> {
    let line = &said[..end];
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<(usize, usize)> = words
        .map(|word| {
            let start = word.as_ptr() as usize - line.as_ptr() as usize;
            (start, start + word.len())
        })
        .collect();
    let unlike = || garbled(String::from_utf8_lossy(line));
    let (subject, reply, size) = match words[..] {
        [_, subject, _, size] => (subject, None, size),
        [_, subject, _, reply, size] => (subject, Some(reply), size),
        _ => return Err(unlike()),
    };
    let size = str::from_utf8(&line[size.0..size.1]).ok().and_then(|size| size.parse().ok());
    let size: usize = size.filter(|size| *size <= MOST).ok_or_else(unlike)?;
    if said.len() < end + 1 + size + 2 {
        return Ok(None);
    }
    let line = said.split_to(end + 1).freeze();
    let payload = said.split_to(size).freeze();
    said.advance(2);
    let word = |(from, to)| line.slice(from..to);
    Ok(Some(Op::Message { subject: word(subject), reply: reply.map(word), payload }))
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
        let message = (word, proptest::option::of(word), vec(any::<u8>(), 0..200));
        let message = message.prop_map(|(subject, reply, payload)| {
            let via = reply.as_ref().map(|reply| format!("{reply} ")).unwrap_or_default();
            let mut line = format!("MSG {subject} 7 {via}{}\r\n", payload.len()).into_bytes();
            line.extend_from_slice(&payload);
            line.extend_from_slice(b"\r\n");
            let (subject, reply) = (subject.into(), reply.map(Bytes::from));
            (Op::Message { subject, reply, payload: payload.into() }, line)
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
    fn what_is_no_nats_is_told_as_such() {
        for said in
            ["HTTP/1.1 400 Bad Request\r\n", "MSG a 1\r\n", "MSG a 1 -5\r\n", "MSG a 1 b c 5\r\n"]
        {
            let found = next(&mut BytesMut::from(said));
            assert!(matches!(found, Err(WireError::Garbled(_))), "{said}: {found:?}");
        }
        let found = next(&mut BytesMut::from("-ERR 'Authorization Violation'\r\n"));
        assert!(matches!(found, Err(WireError::Refused(_))), "{found:?}");
    }
}

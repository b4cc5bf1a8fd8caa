//! Connections of our own to the NATS servers: opened, encrypted where the server asks for it, and kept.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use async_nats::ServerAddr;
use bytes::BytesMut;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tracing::warn;

use super::protocol::{Op, WireError, garbled, read_op};

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
    pub(super) received: BytesMut,
    /// The largest message that the server takes, headers included, in bytes.
    pub(super) max_payload: usize,
}

/// Bytes both ways, in the clear or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

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
    let mut received = BytesMut::with_capacity(16 * 1024);
    let Op::Info(info) = read_op(&mut wire, &mut received).await? else {
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
    while read_op(&mut wire, &mut received).await? != Op::Pong {}
    Ok(Connection { wire, received, max_payload: info.max_payload })
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

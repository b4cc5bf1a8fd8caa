//! `rest.md` §33: who reads a file may pause.

use std::fs;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::files::uploaded;
use crate::support::{App, until};

/// More than the systems of both sides keep of a connection.
const BYTES: usize = 24 * 1024 * 1024;

/// Two read nothing. The one for whom there is no patience is cut off after `limits.peer_timeout_ms`; when that has
/// happened, the other one has paused for longer, and goes on.
#[tokio::test]
async fn rest_33_a_download_that_pauses_goes_on() {
    let own = [("LIMITS__PEER_TIMEOUT_MS", "1000"), ("LIMITS__PATIENT_DOWNLOADS", "1")];
    let app = App::configured(&own).await;
    let ann = app.register("ann").await;
    let mut content = b"PK\x03\x04".to_vec();
    content.resize(BYTES, 7);
    let url = uploaded(&ann, "a.zip", &content).await;
    let mut patient = pausing(&app, &url).await;
    let other = pausing(&app, &url).await;
    let cut = async || (!is_served(&app, &other)).then_some(());
    until("the one without patience is cut off", cut).await;
    assert!(is_served(&app, &patient));
    let mut rest = Vec::new();
    patient.read_to_end(&mut rest).await.expect("it goes on");
    let head = rest.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
    assert!(rest[head + 4..] == content, "all of it came");
}

/// Asks for a file, and reads nothing but the beginning of the answer.
async fn pausing(app: &App, url: &str) -> TcpStream {
    let host = app.gateways[0].origin().trim_start_matches("http://").to_owned();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small window");
    let at: std::net::SocketAddr = host.parse().expect("an address");
    socket.connect(&at.into()).expect("it listens");
    socket.set_nonblocking(true).expect("it can be");
    let mut stream = TcpStream::from_std(socket.into()).expect("a stream");
    let head = format!("GET {url} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut beginning = [0; 12];
    stream.peek(&mut beginning).await.expect("answered");
    assert_eq!(&beginning, b"HTTP/1.1 200");
    stream
}

/// Does the gateway's system still have its end of the connection?
fn is_served(app: &App, client: &TcpStream) -> bool {
    let hex = |port: u16| format!("{port:04X}");
    let host = app.gateways[0].origin();
    let (_, port) = host.rsplit_once(':').expect("a port");
    let theirs = hex(port.parse().expect("a number"));
    let ours = hex(client.local_addr().expect("it is bound").port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let mut ends_with =
            |port: &str| fields.next().is_some_and(|at| at.ends_with(&format!(":{port}")));
        ends_with(&theirs) && ends_with(&ours) && fields.next() != Some("06")
    })
}

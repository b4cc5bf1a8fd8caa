//! `loadgen fill`: a log of many events, written straight into an empty stream as the service would have written them.
//!
//! It is the only writer, so it knows each event's position before it is there.

use std::{env, fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use hyper::Uri;
use serde_json::{Value, json};
use testkit::{clock, output::Output};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Instant,
};

use super::format;

/// Appends that are not acknowledged yet, at most: the server drops what it cannot buffer.
const UNDER_WAY: u64 = 2048;
const INBOX: &str = "_INBOX_gateway.fill";
/// A user for so many events.
const EVENTS_PER_USER: u64 = 500;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let mut stream = Connection::open().await?;
    let before = stream.end().await?;
    ensure!(before == 0, "the log has {before} events already: fill an empty one (`./run reset`)");
    let begun = Instant::now();
    let mut history = History::new(options.events);
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < options.events {
        while sent < options.events && sent - acknowledged < UNDER_WAY {
            sent += 1;
            let event = history.event(sent);
            stream.publish(&event, sent).await?;
        }
        stream.writer.flush().await?;
        let wanted = options.events.min(acknowledged + UNDER_WAY / 2);
        while acknowledged < wanted {
            acknowledged = stream.acknowledgement().await?;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
    let rate = options.events as f64 / seconds;
    let shown = json!({
        "events": options.events, "users": history.users,
        "seconds": format::rounded(seconds, 3), "events_per_s": format::rounded(rate, 1),
    });
    output.print(&shown, || {
        let (events, users) = (options.events, history.users);
        format!("{events} events of {users} users in {seconds:.1} s, {rate:.0}/s")
    });
    Ok(ExitCode::SUCCESS)
}

/// An event as it goes to the server.
struct Written {
    subject: String,
    kind: &'static str,
    /// The last event on the subject, if the append depends on it.
    expected: Option<u64>,
    actor: u64,
    data: Value,
}

/// What happens: all register and are befriended with the next one, then people write to each other, and change their
/// names, sign in and set stars meanwhile. Every hundredth writes to user 2 as user 1.
struct History {
    users: u64,
    /// The last events of users, sessions and friendships.
    last: [Vec<u64>; 3],
    chance: Chance,
}

/// Numbers by chance, the same ones each time.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % below
    }
}

/// How many users a log of so many events has.
pub(super) fn users(events: u64) -> u64 {
    (events / EVENTS_PER_USER).max(3)
}

impl History {
    fn new(events: u64) -> Self {
        let users = users(events);
        let none = || vec![0; usize::try_from(users + 1).expect("they fit into memory")];
        Self { users, last: [none(), none(), none()], chance: Chance::new(1) }
    }

    /// An event on a subject whose writers know its last one, which this now is.
    fn next_of(&mut self, kind: usize, user: u64, position: u64) -> u64 {
        let last = &mut self.last[kind][usize::try_from(user).expect("it fits")];
        std::mem::replace(last, position)
    }

    fn event(&mut self, position: u64) -> Written {
        let user = if position <= 2 * self.users {
            (position - 1) % self.users + 1
        } else {
            1 + self.chance.draw(self.users)
        };
        let next = user % self.users + 1;
        let (lo, hi) = (user.min(next), user.max(next));
        let at = 1_758_675_907_004_u64 + position;
        let summary = |id: u64| json!({"id": id, "name": format!("user_{id}"), "avatar": "https://example.org/a.png"});
        if position <= self.users {
            let expected = Some(self.next_of(0, user, position));
            let data = json!({"id": user, "uuid": uuid(user), "username": format!("user_{user}"),
                "role": "user", "device": null, "avatar": "https://example.org/a.png", "at": at});
            let subject = format!("evt.user.{user}");
            return Written { subject, kind: "user.registered.v1", expected, actor: user, data };
        }
        if position <= 2 * self.users {
            let expected = Some(self.next_of(2, user, position));
            let edge =
                |owner: u64, friend: u64| json!({"owner": owner, "friend": friend, "remark": ""});
            let data = json!({"caller": summary(user), "other": summary(next), "text": "", "agreed": null,
                "edges": [edge(user, next), edge(next, user)], "notice": uuid(position)});
            let subject = format!("evt.friendship.{lo}.{hi}");
            let kind = "friendship.befriended.v1";
            return Written { subject, kind, expected, actor: user, data };
        }
        match self.chance.draw(100) {
            0 => {
                let expected = Some(self.next_of(0, user, position));
                let data = json!({"nickname": format!("name {position}")});
                let (subject, kind) = (format!("evt.user.{user}"), "user.nickname_changed.v1");
                Written { subject, kind, expected, actor: user, data }
            }
            1 => {
                let expected = Some(self.next_of(1, user, position));
                let data = json!({"token": uuid(position), "role": "user"});
                let (subject, kind) = (format!("evt.session.{user}"), "session.logged_in.v1");
                Written { subject, kind, expected, actor: user, data }
            }
            2 => {
                let expected = Some(self.next_of(2, user, position));
                let data = json!({"owner": user, "starred": position.is_multiple_of(2)});
                let subject = format!("evt.friendship.{lo}.{hi}");
                Written { subject, kind: "friendship.star_set.v1", expected, actor: user, data }
            }
            chance => {
                let (from, to) = if chance < 13 { (1, 2) } else { (user, next) };
                let data = json!({"id": uuid(position), "from": summary(from), "from_uuid": uuid(from),
                    "to": summary(to), "kind": "text",
                    "data": "{\"data\":\"你好\",\"dataType\":false,\"otherData\":null}", "options": null,
                    "sent_at": at});
                let subject = format!("evt.chat.{}.{}.{from}", from.min(to), from.max(to));
                let kind = "message.sent.v1";
                Written { subject, kind, expected: None, actor: from, data }
            }
        }
    }
}

fn uuid(number: u64) -> String {
    format!("{:08x}-0000-4000-8000-{:012x}", number >> 48, number & 0xffff_ffff_ffff)
}

/// A connection that publishes into the stream, in NATS's own words (docs.nats.io, "Client protocol").
struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
    line: Vec<u8>,
}

impl Connection {
    async fn open() -> anyhow::Result<Self> {
        let setting = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
        let uri: Uri = setting("HONGYAN__NATS__URL")?.parse()?;
        let password = setting("HONGYAN__NATS__GATEWAY_PASSWORD")?;
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(4222));
        let stream = TcpStream::connect((host, port)).await.context("cannot connect to NATS")?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut connection = Self {
            reader: BufReader::with_capacity(1 << 20, reader),
            writer: BufWriter::with_capacity(1 << 20, writer),
            line: Vec::new(),
        };
        let options = json!({"verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "user": "gateway", "pass": password, "lang": "rust", "version": "0", "protocol": 1});
        let hello = format!("CONNECT {options}\r\nSUB {INBOX}.> 1\r\nPING\r\n");
        connection.writer.write_all(hello.as_bytes()).await?;
        connection.writer.flush().await?;
        while !connection.next_line().await?.starts_with("PONG") {}
        Ok(connection)
    }

    async fn next_line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line).await?;
        ensure!(read > 0, "NATS closed the connection");
        let line = std::str::from_utf8(&self.line)?.trim_end();
        ensure!(!line.starts_with("-ERR"), "NATS says {line}");
        Ok(line)
    }

    /// The body of the next message to us.
    async fn message(&mut self) -> anyhow::Result<Value> {
        loop {
            let line = self.next_line().await?;
            if line == "PING" {
                self.writer.write_all(b"PONG\r\n").await?;
                continue;
            }
            let is_message = line.starts_with("MSG ") || line.starts_with("HMSG ");
            let length = line.rsplit(' ').next().and_then(|number| number.parse().ok());
            let Some(length) = length.filter(|_| is_message) else { continue };
            let mut body: Vec<u8> = vec![0; length];
            self.reader.read_exact(&mut body).await?;
            return serde_json::from_slice(&body)
                .with_context(|| format!("NATS says {}", String::from_utf8_lossy(&body)));
        }
    }

    async fn end(&mut self) -> anyhow::Result<u64> {
        let ask = format!("PUB $JS.API.STREAM.INFO.EVENTS {INBOX}.info 0\r\n\r\n");
        self.writer.write_all(ask.as_bytes()).await?;
        self.writer.flush().await?;
        let info = self.message().await?;
        info["state"]["last_seq"].as_u64().with_context(|| format!("there is no log: {info}"))
    }

    /// Where the next one is.
    async fn acknowledgement(&mut self) -> anyhow::Result<u64> {
        let answer = self.message().await?;
        match answer["seq"].as_u64() {
            Some(position) => Ok(position),
            None => bail!("the log refuses an event: {answer}"),
        }
    }

    async fn publish(&mut self, event: &Written, position: u64) -> anyhow::Result<()> {
        let Written { subject, kind, expected, actor, data } = event;
        let body = json!({"type": kind, "data": data}).to_string();
        let mut headers = format!(
            "NATS/1.0\r\nce-specversion: 1.0\r\nce-id: {}\r\nce-type: {kind}\r\nce-source: /loadgen\r\n\
             ce-subject: {subject}\r\nce-time: {}\r\nhy-actor: {actor}\r\n\
             hy-cause: fill-{position}\r\n",
            uuid(position),
            clock::iso_text(clock::now_ms())
        );
        if let Some(expected) = expected {
            writeln!(headers, "Nats-Expected-Last-Subject-Sequence: {expected}\r")?;
        }
        headers.push_str("\r\n");
        let (head, all) = (headers.len(), headers.len() + body.len());
        let line = format!("HPUB {subject} {INBOX}.ack {head} {all}\r\n");
        for part in [line.as_str(), &headers, &body, "\r\n"] {
            self.writer.write_all(part.as_bytes()).await?;
        }
        Ok(())
    }
}

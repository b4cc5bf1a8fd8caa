//! The listener of one socket: reads it to its end, and records what comes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use testkit::client::socket::{Arrival, Socket};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::SharedState;
use crate::history::{Content, End, Record, Time};

/// How long the server may take to answer a close.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a message's number stands in its text; no JSON has to escape it.
pub(crate) const MESSAGE_TAG: &str = "hy-fault:";

/// So long a vanished host does not come back.
const AWAY: Duration = Duration::from_secs(90);

/// What has been received is read within this time.
const RECEIVED: Duration = Duration::from_millis(100);

/// How a client leaves.
#[derive(Debug)]
enum Leave {
    Close,
    Vanish,
}

/// A socket that is being read.
pub(super) struct Listener {
    pub(super) socket: u32,
    /// Has it been asked to bring what waits?
    pub(super) drained: bool,
    over: Arc<AtomicBool>,
    leave: oneshot::Sender<Leave>,
    ended: oneshot::Receiver<()>,
}

impl Listener {
    pub(super) fn start(
        shared: &Arc<SharedState>,
        stream: Socket,
        (user, gateway): (u32, usize),
        begin: Time,
    ) -> Self {
        let (socket, end) = (shared.history.socket(), shared.history.now());
        let gateway = u32::try_from(gateway).unwrap_or_default();
        shared.history.record(&Record::Open { socket, user, gateway, begin, end });
        let (leave, leaving) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let over = Arc::new(AtomicBool::new(false));
        let (is_over, shared) = (Arc::clone(&over), Arc::clone(shared));
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let how = read(&shared, socket, stream, leaving).await;
            is_over.store(true, Ordering::Relaxed);
            shared.history.record(&Record::Ended { socket, at: shared.history.now(), how });
            _ = done.send(());
        });
        Self { socket, drained: false, over, leave, ended }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Closes it as a client does, and returns when all has been read.
    pub(super) async fn close(self) {
        _ = self.leave.send(Leave::Close);
        _ = self.ended.await;
    }

    /// Its host vanishes; returns when all has been read that the system had acknowledged by then.
    pub(super) async fn vanish(self) {
        _ = self.leave.send(Leave::Vanish);
        _ = self.ended.await;
    }
}

async fn read(
    shared: &SharedState,
    socket: u32,
    mut stream: Socket,
    mut leaving: oneshot::Receiver<Leave>,
) -> End {
    let how = loop {
        let arrival = tokio::select! {
            arrival = stream.arrival() => arrival,
            // Told to, or forgotten at the end of the run.
            how = &mut leaving => break how.unwrap_or(Leave::Close),
        };
        if let Some(end) = on_arrival(shared, socket, &arrival) {
            return end;
        }
    };
    if matches!(how, Leave::Vanish) && stream.vanish().is_ok() {
        while let Ok(arrival) = timeout(RECEIVED, stream.arrival()).await {
            if let Some(end) = on_arrival(shared, socket, &arrival) {
                return end;
            }
        }
        shared.tasks.spawn(async move {
            sleep(AWAY).await;
            drop(stream);
        });
        return End::Vanished;
    }
    let rest = async {
        stream.begin_close().await;
        // The server need not answer a close with one.
        while let Arrival::Frame(frame) = stream.arrival().await {
            on_frame(shared, socket, &frame);
        }
    };
    match timeout(PATIENCE, rest).await {
        Ok(()) => End::Closed,
        Err(_) => End::Dropped,
    }
}

/// Records what came, or says that it was the end, for which the client had not asked.
fn on_arrival(shared: &SharedState, socket: u32, arrival: &Arrival) -> Option<End> {
    match arrival {
        Arrival::Frame(frame) => {
            on_frame(shared, socket, frame);
            None
        }
        Arrival::Closed => Some(End::LoggedOut),
        Arrival::Dropped => Some(End::Dropped),
    }
}

fn on_frame(shared: &SharedState, socket: u32, frame: &str) {
    let Some(what) = what(frame) else { return };
    shared.counts.arrived.fetch_add(1, Ordering::Relaxed);
    shared.history.record(&Record::Frame { socket, at: shared.history.now(), what });
}

/// What a frame says, if it is of the kinds that are accounted for.
fn what(frame: &str) -> Option<Content> {
    if let Some(found) = frame.find(MESSAGE_TAG) {
        let digits = &frame[found + MESSAGE_TAG.len()..];
        return Some(Content::Message(digits[..digits.find(';')?].parse().ok()?));
    }
    if !frame.contains("systemNotice") {
        return None;
    }
    let mut frame: Value = serde_json::from_str(frame).ok()?;
    let data = frame["data"].take();
    if data["actionType"] == "revoke" {
        return Some(Content::Revoked(data["id"].as_str()?.to_owned()));
    }
    let says = data["data"]["data"].as_str()?;
    let friends = data["chatType"] == "single" && says.starts_with("我们已经是好友了");
    friends.then(|| data["from_id"].as_i64()).flatten().map(Content::Friends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_revocations_and_friendships_are_told_from_all_else() {
        let text =
            r#"{"type":"singleChat","data":{"id":"x","data":"{\"data\":\"hy-fault:17;...\"}"}}"#;
        assert_eq!(what(text), Some(Content::Message(17)));
        let notice = |more: &str| {
            format!(r#"{{"type":"singleChat","data":{{"type":"systemNotice","id":"a",{more}}}}}"#)
        };
        let revoked = notice(r#""actionType":"revoke","data":{"data":"x"}"#);
        assert_eq!(what(&revoked), Some(Content::Revoked("a".to_owned())));
        let says = r#""data":{"data":"我们已经是好友了，可以开始聊天了"}"#;
        let friends = notice(&format!(r#""chatType":"single","from_id":7,{says}"#));
        assert_eq!(what(&friends), Some(Content::Friends(7)));
        let joined = notice(r#""chatType":"group","from_id":"x","data":{"data":"加入了群聊"}"#);
        assert_eq!(what(&joined), None);
        assert_eq!(what(r#"{"type":"ping"}"#), None);
    }
}

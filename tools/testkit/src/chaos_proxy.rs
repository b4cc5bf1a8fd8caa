//! The chaos proxy: stands between two parts and can cut their connections, or swallow what they send, also at a chosen
//! message.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{oneshot, watch},
};
use tokio_util::task::TaskTracker;

use crate::ports::Port;

/// What a proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries everything.
    Open,
    /// Carries nothing, and ends no connection.
    Blackhole,
    /// Ends all connections and takes no new ones.
    Cut,
}

/// A proxy before a port of 127.0.0.1.
#[derive(Debug)]
pub struct ChaosProxy {
    state: watch::Sender<State>,
    there: Trigger,
    back: Trigger,
    port: Port,
}

/// How often it has been cut tells a connection that it was, also if the proxy is open again by then.
#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    cuts: u32,
}

impl State {
    fn set(&mut self, mode: Mode) {
        self.cuts += u32::from(mode == Mode::Cut);
        self.mode = mode;
    }
}

/// What the proxy does when it sees something pass, in one direction.
type Trigger = Arc<Mutex<Option<ArmedTrigger>>>;

#[derive(Debug)]
struct ArmedTrigger {
    pattern: Vec<u8>,
    then: Then,
    fired: oneshot::Sender<()>,
}

#[derive(Debug)]
enum Then {
    Set(Mode, watch::Sender<State>),
    /// It arrives as something else.
    Replace(Vec<u8>),
}

/// Fires the trigger if its pattern is in these bytes.
fn fire(trigger: &Trigger, bytes: &mut [u8]) {
    let mut trigger = trigger.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(armed) = trigger.as_ref().filter(|armed| !armed.fired.is_closed()) else { return };
    let length = armed.pattern.len();
    let Some(at) = bytes.windows(length).position(|part| part == armed.pattern) else { return };
    let Some(ArmedTrigger { then, fired, .. }) = trigger.take() else { return };
    match then {
        Then::Set(mode, proxy) => proxy.send_modify(|state| state.set(mode)),
        Then::Replace(with) => bytes[at..at + length].copy_from_slice(&with),
    }
    _ = fired.send(());
}

impl ChaosProxy {
    /// Listens at a port of its own, for as long as the value lives.
    ///
    /// # Errors
    /// There is no port.
    pub async fn to(target: u16, tasks: &TaskTracker) -> anyhow::Result<Self> {
        let port = Port::take()?;
        let (state, seen) = watch::channel(State { mode: Mode::Open, cuts: 0 });
        let listener = TcpListener::bind(("127.0.0.1", port.number())).await?;
        let (there, back) = (Trigger::default(), Trigger::default());
        let triggers = (Arc::clone(&there), Arc::clone(&back));
        tasks.spawn(listen(listener, target, seen, triggers, tasks.clone()));
        Ok(Self { state, there, back, port })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// From now on it does this.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.set(mode));
    }

    /// Does this once `pattern` is on its way to the port, before it arrives there; resolves then. If what it returns is
    /// dropped before, nothing happens any more.
    pub fn set_at(&self, pattern: &str, then: Mode) -> oneshot::Receiver<()> {
        arm(&self.there, pattern, Then::Set(then, self.state.clone()))
    }

    /// The same once `pattern` is on its way from the port.
    pub fn set_at_answer(&self, pattern: &str, then: Mode) -> oneshot::Receiver<()> {
        arm(&self.back, pattern, Then::Set(then, self.state.clone()))
    }

    /// Has `pattern`, once, arrive from the port as `with`, which is as long; resolves then.
    ///
    /// # Panics
    /// They are not equally long.
    pub fn replace_next(&self, pattern: &str, with: &str) -> oneshot::Receiver<()> {
        assert_eq!(pattern.len(), with.len(), "what comes after it stays in its place");
        arm(&self.back, pattern, Then::Replace(with.into()))
    }
}

fn arm(trigger: &Trigger, pattern: &str, then: Then) -> oneshot::Receiver<()> {
    let (fired, seen) = oneshot::channel();
    let armed = ArmedTrigger { pattern: pattern.into(), then, fired };
    *trigger.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
    seen
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn listen(
    listener: TcpListener,
    target: u16,
    mut state: watch::Receiver<State>,
    triggers: (Trigger, Trigger),
    tasks: TaskTracker,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            // Whoever had the proxy is gone.
            () = gone(&mut state) => return,
        };
        let Ok((near, _)) = stream else { continue };
        if state.borrow().mode != Mode::Cut {
            tasks.spawn(relay(near, target, state.clone(), triggers.clone()));
        }
    }
}

async fn gone(state: &mut watch::Receiver<State>) {
    while state.changed().await.is_ok() {}
}

/// Carries both ways until either side ends, or the proxy cuts them.
async fn relay(
    near: TcpStream,
    target: u16,
    mut state: watch::Receiver<State>,
    (trigger_there, trigger_back): (Trigger, Trigger),
) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let cuts = state.borrow().cuts;
    let there = forward(near_in, far_out, state.clone(), |bytes| fire(&trigger_there, bytes));
    let back = forward(far_in, near_out, state.clone(), |bytes| fire(&trigger_back, bytes));
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = state.wait_for(|state| state.cuts > cuts) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    see: impl Fn(&mut [u8]),
) {
    let mut buffer = vec![0; 64 * 1024];
    let cuts = state.borrow().cuts;
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        see(&mut buffer[..length]);
        match state.wait_for(|state| state.mode != Mode::Blackhole).await {
            Ok(state) if state.cuts == cuts => {}
            _ => return,
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_changes_nothing() {
        let tasks = TaskTracker::new();
        let there = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let target = there.local_addr().expect("it has one").port();
        let proxy = ChaosProxy::to(target, &tasks).await.expect("it listens");
        let mut near = TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("it listens");
        let (mut far, _) = there.accept().await.expect("the proxy connects");
        let mut bytes = [0; 4];

        drop(proxy.set_at("over", Mode::Cut));
        near.write_all(b"over").await.expect("the proxy is open");
        far.read_exact(&mut bytes).await.expect("the proxy is open");

        let fired = proxy.set_at("over", Mode::Cut);
        near.write_all(b"over").await.expect("the proxy is open");
        fired.await.expect("it was on its way");
        assert!(far.read_exact(&mut bytes).await.is_err(), "the proxy cuts");
    }
}

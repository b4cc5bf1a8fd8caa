//! A line between two parts that can be cut, or go dead without a word, also at a chosen message.

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

use super::ports::Port;

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries everything.
    Open,
    /// Carries nothing, and says nothing of it.
    Dead,
    /// Ends all connections and takes no new ones.
    Cut,
}

/// A line to a port of 127.0.0.1.
#[derive(Debug)]
pub struct Line {
    mode: watch::Sender<Mode>,
    trap: Trap,
    port: Port,
}

/// What the line does when it sees something on its way to the port.
type Trap = Arc<Mutex<Option<Armed>>>;

#[derive(Debug)]
struct Armed {
    pattern: Vec<u8>,
    mode: watch::Sender<Mode>,
    then: Mode,
    sprung: oneshot::Sender<()>,
}

/// Springs the trap if its pattern is in these bytes.
fn spring(trap: &Trap, bytes: &[u8]) {
    let mut trap = trap.lock().unwrap_or_else(PoisonError::into_inner);
    let is_there =
        |armed: &mut Armed| bytes.windows(armed.pattern.len()).any(|part| part == armed.pattern);
    if let Some(armed) = trap.take_if(is_there) {
        armed.mode.send_replace(armed.then);
        _ = armed.sprung.send(());
    }
}

impl Line {
    /// Listens at a port of its own, for as long as the value lives.
    ///
    /// # Errors
    /// There is no port.
    pub async fn to(target: u16, tasks: &TaskTracker) -> anyhow::Result<Self> {
        let port = Port::take()?;
        let (mode, seen) = watch::channel(Mode::Open);
        let listener = TcpListener::bind(("127.0.0.1", port.number())).await?;
        let trap = Trap::default();
        tasks.spawn(listen(listener, target, seen, Arc::clone(&trap), tasks.clone()));
        Ok(Self { mode, trap, port })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// From now on it does this.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Does this once `pattern` is on its way to the port, before it arrives there; resolves then.
    pub fn set_at(&self, pattern: &str, then: Mode) -> oneshot::Receiver<()> {
        let (sprung, seen) = oneshot::channel();
        let (pattern, mode) = (pattern.as_bytes().to_vec(), self.mode.clone());
        let armed = Armed { pattern, mode, then, sprung };
        *self.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
        seen
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.trap.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn listen(
    listener: TcpListener,
    target: u16,
    mut mode: watch::Receiver<Mode>,
    trap: Trap,
    tasks: TaskTracker,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            // Whoever had the line is gone.
            () = gone(&mut mode) => return,
        };
        let Ok((near, _)) = stream else { continue };
        if *mode.borrow() != Mode::Cut {
            tasks.spawn(carry(near, target, mode.clone(), Arc::clone(&trap)));
        }
    }
}

async fn gone(mode: &mut watch::Receiver<Mode>) {
    while mode.changed().await.is_ok() {}
}

/// Carries both ways until either side ends, or the line is cut.
async fn carry(near: TcpStream, target: u16, mut mode: watch::Receiver<Mode>, trap: Trap) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let there = pump(near_in, far_out, mode.clone(), |bytes| spring(&trap, bytes));
    let back = pump(far_in, near_out, mode.clone(), |_| {});
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    see: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        see(&buffer[..length]);
        match mode.wait_for(|mode| *mode != Mode::Dead).await.as_deref() {
            Ok(Mode::Cut) | Err(_) => return,
            Ok(_) => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

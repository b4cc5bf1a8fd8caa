//! A line between two parts that can be cut, or go dead without a word.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
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
    port: Port,
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
        tasks.spawn(listen(listener, target, seen, tasks.clone()));
        Ok(Self { mode, port })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// From now on it does this.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn listen(
    listener: TcpListener,
    target: u16,
    mut mode: watch::Receiver<Mode>,
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
            tasks.spawn(carry(near, target, mode.clone()));
        }
    }
}

async fn gone(mode: &mut watch::Receiver<Mode>) {
    while mode.changed().await.is_ok() {}
}

/// Carries both ways until either side ends, or the line is cut.
async fn carry(near: TcpStream, target: u16, mut mode: watch::Receiver<Mode>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let (there, back) =
        (pump(near_in, far_out, mode.clone()), pump(far_in, near_out, mode.clone()));
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        while *mode.borrow() == Mode::Dead {
            sleep(Duration::from_millis(20)).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

//! A client's TCP connection: how much was written to it, and how much of that the client's system has acknowledged.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::OwnedSemaphorePermit,
};

/// The connection, for whoever reads and writes.
pub struct ClientStream {
    reading: OwnedReadHalf,
    connection: Arc<ClientConnection>,
}

/// The same, for whoever asks what became of what was written.
#[derive(Debug)]
pub struct ClientConnection {
    writing: OwnedWriteHalf,
    written: AtomicU64,
    /// Held while its peer may pause.
    patience: Mutex<Option<OwnedSemaphorePermit>>,
}

/// How much of what was written has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// How many bytes, since the connection began.
    pub bytes: u64,
    /// The connection has ended: there will be no more.
    pub is_final: bool,
}

impl ClientStream {
    /// Of a connection that nothing was written to yet.
    pub fn new(stream: TcpStream) -> Self {
        let (reading, writing) = stream.into_split();
        let connection = Arc::new(ClientConnection {
            writing,
            written: AtomicU64::new(0),
            patience: Mutex::default(),
        });
        Self { reading, connection }
    }

    /// For whoever asks.
    pub fn connection(&self) -> Arc<ClientConnection> {
        Arc::clone(&self.connection)
    }
}

impl ClientConnection {
    fn stream(&self) -> &TcpStream {
        self.writing.as_ref()
    }

    /// How many bytes were written since the connection began.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How many of them have arrived. Where the system does not tell, as many as were written.
    pub fn acknowledged(&self) -> Acknowledged {
        system::acknowledged(self.stream())
            .unwrap_or_else(|| Acknowledged { bytes: self.written(), is_final: true })
    }

    /// Lets the peer take in nothing for so long, in milliseconds; 0: for as long as the system does.
    ///
    /// A peer that vanished without a word (a phone in a tunnel) would be thought to be there for a quarter of an hour.
    /// To the system one that answers and reads nothing (a paused download) is silent just the same.
    pub fn limit_silence(&self, limit_ms: u32) {
        system::limit_silence(self.stream(), limit_ms);
    }

    /// Lets the peer pause for longer, until the next request.
    pub fn be_patient(&self, permit: OwnedSemaphorePermit, limit_ms: u32) {
        self.limit_silence(limit_ms);
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    /// A request comes: what the last one allowed is over.
    pub fn end_patience(&self, limit_ms: u32) {
        if self.patience.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.limit_silence(limit_ms);
        }
    }

    /// Ends the connection at once, and throws away what was written and has not arrived.
    pub fn abort(&self) {
        system::abort(self.stream());
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream().poll_write_ready(cx))?;
            match write(self.stream()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => {
                    let bytes = *written.as_ref().unwrap_or(&0) as u64;
                    self.written.fetch_add(bytes, Ordering::Relaxed);
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reading).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.poll_write(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.poll_write(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // what was written is the system's
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = rustix::net::shutdown(self.connection.stream(), rustix::net::Shutdown::Write);
        Poll::Ready(ended.map_err(io::Error::from))
    }
}

#[cfg(target_os = "linux")]
mod system {
    use nix::{getsockopt_impl, sockopt_impl, sys::socket::GetSockOpt as _};
    use tokio::net::TcpStream;
    use tracing::debug;

    use super::Acknowledged;

    /// The beginning of the kernel's `struct tcp_info`, up to where Linux 4.1 ended it. The kernel writes as much as
    /// there is room for, and any bits are numbers.
    #[derive(Debug, Clone, Copy)]
    #[repr(C)]
    pub struct Info {
        state: u8,
        _flags: [u8; 7],
        _path: [u32; 24],
        _pacing: [u64; 2],
        bytes_acked: u64,
    }

    sockopt_impl!(
        /// What TCP knows of a connection.
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Info
    );

    /// `TCP_CLOSE` of the kernel: nothing is sent or taken in any more.
    const CLOSED: u8 = 7;

    pub(super) fn acknowledged(stream: &TcpStream) -> Option<Acknowledged> {
        match TcpInfo.get(stream) {
            Ok(info) => {
                Some(Acknowledged { bytes: info.bytes_acked, is_final: info.state == CLOSED })
            }
            Err(error) => {
                debug!(%error, "the system does not tell what a client has acknowledged");
                None
            }
        }
    }

    pub(super) fn limit_silence(stream: &TcpStream, limit_ms: u32) {
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, limit_ms) {
            debug!(%error, "a connection keeps the system's limit for a silent peer");
        }
    }

    pub(super) fn abort(stream: &TcpStream) {
        // Closing would leave the sending to the kernel. This drops what it has, and resets the connection.
        if let Err(error) = rustix::net::connect_unspec(stream) {
            debug!(%error, "a connection cannot be reset");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Acknowledged, TcpStream};

    pub(super) fn acknowledged(_: &TcpStream) -> Option<Acknowledged> {
        None
    }

    pub(super) fn limit_silence(_: &TcpStream, _: u32) {}

    pub(super) fn abort(_: &TcpStream) {}
}

//! The host of a client.

use std::io;

use tokio::net::TcpStream;

/// The host behind this connection vanishes, as when its battery is empty: nothing reaches it any more, so it
/// acknowledges nothing, and it says nothing of that. A filter of the system's takes away what comes before TCP sees it.
///
/// # Errors
/// The system has no such filters.
#[cfg(target_os = "linux")]
pub fn vanish(connection: &TcpStream) -> io::Result<()> {
    const RETURN: u16 = 6; // BPF_RET | BPF_K: how many bytes of a packet to keep
    let nothing = [socket2::SockFilter::new(RETURN, 0, 0, 0)];
    socket2::SockRef::from(connection).attach_filter(&nothing) // needs no rights
}

/// Elsewhere it cannot.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn vanish(_: &TcpStream) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

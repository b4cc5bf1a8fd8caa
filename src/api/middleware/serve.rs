//! Listening: connections with a limit on how long a request head may take.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::unread_body::WholeBody;
use crate::adapters::client_stream::ClientStream;

/// How long connections may take for what.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// From accept, or the last answer, to a complete request head.
    pub head: Duration,
    /// For a peer to take in what was sent, in milliseconds; 0: as the system does.
    pub peer_ms: u32,
}

/// Who is connected to what.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints {
    /// The other side.
    pub peer: SocketAddr,
    /// This side.
    pub local: SocketAddr,
}

/// Accepts until `stop`, then lets open requests finish. Sockets that were upgraded live on in the
/// tracker's tasks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let router = router.clone();
                let (its_tasks, stop) = (tasks.clone(), stop.clone());
                tasks.spawn(connection(stream, peer, router, limits, (its_tasks, stop)));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection"); // out of files: others will end
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: ConnectionLimits,
    (tasks, stop): (TaskTracker, CancellationToken),
) {
    let Ok(local) = stream.local_addr() else { return };
    let endpoints = Endpoints { peer, local };
    _ = stream.set_nodelay(true);
    let stream = ClientStream::new(stream);
    let client = stream.connection();
    // The heartbeat sees to it that there is always something to acknowledge.
    client.limit_silence(limits.peer_ms);
    let end = stop.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        client.end_patience(limits.peer_ms);
        let (head, body) = request.into_parts();
        let body = WholeBody::of(body, &head.headers, &tasks, &end);
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(ConnectInfo(endpoints));
        request.extensions_mut().insert(Arc::clone(&client));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

//! Unread bodies: what is left of a request's body when its reader has had enough, read and thrown away (clarification
//! 30). A connection that ended there instead would be reset, and who writes all before they read never saw the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
    header::EXPECT,
};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How much is thrown away: the largest upload, and what is around it.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How long that may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How long nothing may come.
const IDLE: Duration = Duration::from_secs(10);

/// A request's body that is read to its end, whoever reads it.
pub(in crate::api) struct WholeBody {
    /// `None` once it has ended, or broken.
    body: Option<Incoming>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl WholeBody {
    /// The body of a request with this head.
    pub(in crate::api) fn of(
        body: Incoming,
        head: &HeaderMap,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> axum::body::Body {
        // Who waits to be asked for the body sends none after a refusal.
        if body.is_end_stream() || head.contains_key(EXPECT) {
            return axum::body::Body::new(body);
        }
        axum::body::Body::new(Self { body: Some(body), tasks: tasks.clone(), stop: stop.clone() })
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for WholeBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                _ = stop.run_until_cancelled(timeout(LIMIT, discard(body))).await;
            });
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = MOST_BYTES;
    while let Ok(Some(Ok(frame))) = timeout(IDLE, body.frame()).await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

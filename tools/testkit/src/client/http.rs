//! The HTTP side of a client: one connection that is kept, driven by the task that uses it.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
    http::uri::PathAndQuery,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
const TOKEN: HeaderName = HeaderName::from_static("token");

/// Where a service is.
#[derive(Debug, Clone)]
pub struct Origin {
    /// As it was given.
    pub url: String,
    /// The `Host` of requests.
    pub host: HeaderValue,
    /// The first address of the host.
    pub address: SocketAddr,
    path: PathAndQuery,
}

impl Origin {
    /// Finds the host of a URL.
    ///
    /// # Errors
    /// It is no URL, or not one of HTTP without TLS; its host is not known.
    pub async fn resolve(url: &str) -> anyhow::Result<Arc<Self>> {
        let uri = Uri::from_str(url).with_context(|| format!("`{url}` is no URL"))?;
        ensure!(
            uri.scheme_str() == Some("http"),
            "`{url}` does not begin with http://: there is no TLS here; measure behind what ends it"
        );
        let authority = uri.authority().with_context(|| format!("`{url}` names no host"))?;
        let host = authority.host().trim_matches(['[', ']']); // of an IPv6 address
        let place = (host, authority.port_u16().unwrap_or(80));
        let found = tokio::net::lookup_host(place).await;
        let address = found.ok().and_then(|mut found| found.next());
        Ok(Arc::new(Self {
            url: url.to_owned(),
            host: HeaderValue::from_str(authority.as_str())?,
            address: address.with_context(|| format!("cannot find the host of `{url}`"))?,
            path: uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")),
        }))
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// 200, or why not.
    pub status: StatusCode,
    /// As it came.
    pub body: Bytes,
}

impl Answer {
    /// The `data` of a success (rest.md §0.1).
    pub fn data(&self) -> anyhow::Result<Value> {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        if self.status != StatusCode::OK {
            let limited = self.status == StatusCode::TOO_MANY_REQUESTS;
            let hint = if limited { " (limits.requests_per_user, or _per_address)" } else { "" };
            bail!("{}{hint}", self.text());
        }
        Ok(body["data"].take())
    }

    /// Status and body, for people.
    pub fn text(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let shown: String = body.chars().take(200).collect();
        format!("{} {shown}", self.status.as_u16())
    }
}

/// Why there is no answer. The call may have been heard.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("cannot connect")]
    Connect(#[from] std::io::Error),
    /// It broke, or the answer is no HTTP.
    #[error("the connection broke")]
    Hyper(#[from] hyper::Error),
    /// It took longer than the caller waits.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Requests one after the other.
pub struct Connection {
    origin: Arc<Origin>,
    from: Option<IpAddr>,
    timeout_after: Duration,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// Moves bytes while somebody waits for an answer; `None` once the other side has ended it.
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    /// To a service; opened by the first call.
    pub fn to(origin: &Arc<Origin>) -> Self {
        Self { origin: Arc::clone(origin), from: None, timeout_after: TIMEOUT, open: None }
    }

    /// From an address of our own.
    #[must_use]
    pub fn from(self, from: Option<IpAddr>) -> Self {
        Self { from, ..self }
    }

    /// Waits so long for an answer.
    #[must_use]
    pub fn with_timeout(self, timeout_after: Duration) -> Self {
        Self { timeout_after, ..self }
    }

    /// POST, as the clients do it.
    pub async fn post(
        &mut self,
        path: &'static str,
        token: Option<&HeaderValue>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, CallError> {
        self.post_to(PathAndQuery::from_static(path), token, body).await
    }

    /// The same to a path that is made at run time.
    pub async fn post_to(
        &mut self,
        path: PathAndQuery,
        token: Option<&HeaderValue>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, CallError> {
        let mut request = self.request(path, body.into());
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            headers.insert(TOKEN, token.clone());
        }
        self.call(request).await
    }

    /// POST with a header more, and its JSON.
    pub async fn post_signed(
        &mut self,
        path: &'static str,
        signature: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let mut request = self.request(PathAndQuery::from_static(path), body.to_string().into());
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-security-sign", HeaderValue::from_str(signature)?);
        self.call(request).await?.data()
    }

    /// GET of the origin's own path, or of another.
    pub async fn get(
        &mut self,
        path: Option<&str>,
        token: Option<&HeaderValue>,
    ) -> anyhow::Result<Answer> {
        let path = path.map_or(Ok(self.origin.path.clone()), PathAndQuery::from_str)?;
        let mut request = self.request(path, Bytes::new());
        if let Some(token) = token {
            request.headers_mut().insert(TOKEN, token.clone());
        }
        Ok(self.call(request).await?)
    }

    fn request(&self, path: PathAndQuery, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = Uri::from(path);
        request.headers_mut().insert(HOST, self.origin.host.clone());
        request
    }

    async fn call(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, CallError> {
        let called = timeout(self.timeout_after, self.exchange(request)).await;
        let result = called.unwrap_or(Err(CallError::TimedOut(self.timeout_after)));
        if result.is_err() || self.open.as_ref().is_some_and(|open| open.driver.is_none()) {
            self.open = None;
        }
        result
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, CallError> {
        loop {
            let fresh = self.open.is_none();
            let open = match &mut self.open {
                Some(open) => open,
                closed => closed.insert(Open::to(self.origin.address, self.from).await?),
            };
            match open.exchange(request).await {
                Ok(answer) => return Ok(answer),
                // The other side has ended a connection that was idle, before it heard of the call.
                Err((_, Some(unheard))) if !fresh => {
                    request = unheard;
                    self.open = None;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}

impl Open {
    async fn to(address: SocketAddr, from: Option<IpAddr>) -> Result<Self, CallError> {
        let stream = connect(address, from).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = Box::pin(async move { _ = connection.await });
        Ok(Self { sender, driver: Some(driver) })
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, (hyper::Error, Option<Request<Full<Bytes>>>)> {
        let Self { sender, driver } = self;
        if let Err(error) = drive(driver, sender.ready()).await {
            return Err((error, Some(request)));
        }
        let sent = drive(driver, sender.try_send_request(request)).await;
        let response: Response<Incoming> = sent.map_err(|mut error| {
            let unheard = error.take_message();
            (error.into_error(), unheard)
        })?;
        let status = response.status();
        let body = drive(driver, response.into_body().collect()).await;
        Ok(Answer { status, body: body.map_err(|error| (error, None))?.to_bytes() })
    }
}

/// A TCP connection, from an address of our own if one is given.
pub async fn connect(address: SocketAddr, from: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Does something on a connection that moves only meanwhile.
async fn drive<T>(
    driver: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    if let Some(moving) = driver {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = moving => {}
        }
    }
    // It is over; whatever it has brought is there.
    *driver = None;
    work.await
}

//! A multipart form with a file in it, streamed: nothing of the file stays in memory.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    RequestPartsExt as _,
    body::BodyDataStream,
    extract::{FromRequest, Request as HttpRequest},
    http::{HeaderMap, Method, header, request::Parts},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use multer::{Field, Multipart};
use tokio::time::timeout;

use super::{
    error::ApiError,
    form_part::PartHead,
    middleware::auth::{AuthenticatedUser, GuestAccess, Origin, authenticate, nobody},
    params,
    route::{Asks, Operation},
    uploads,
};
use crate::{
    adapters::{
        media::{Claim, Family, FileKind, Folder, HEAD_BYTES, IncomingFile, Staged, StoreFailure},
        rate_limit::Allowance,
    },
    protocol::{
        media::Upload,
        parameters::{Invalid, Parameters},
    },
    state::App,
};

/// The longest text of a field beside the file.
const TEXT_BYTES: usize = 4096;

/// So much of a file is taken before it is seen again whether there is room.
const ROOM_CHECK_BYTES: usize = 1 << 20;

/// How many fields may come before the file.
const FIELDS: usize = 50;

/// Is this a form that its handler reads, and not the edge?
pub fn is_one(parts: &Parts) -> bool {
    let path = parts.uri.path();
    parts.method == Method::POST
        && (path.starts_with("/api/chat/uploadStreamSingleToServerDiy/")
            || path == "/api/chat/uploadAliyun")
        && boundary(&parts.headers).is_some()
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    multer::parse_boundary(headers.get(header::CONTENT_TYPE)?.to_str().ok()?).ok()
}

/// A form whose file is still to come.
pub struct UploadForm<R> {
    /// What the path, the query and the fields before the file say.
    parameters: Parameters,
    parts: Option<Multipart<'static>>,
    meter: Arc<Meter>,
    objection: Option<ApiError>,
    caller: Option<AuthenticatedUser>,
    origin: Origin,
    may: GuestAccess,
    request: PhantomData<fn() -> R>,
}

impl<R: Upload> Asks for UploadForm<R> {
    fn describe(operation: &mut Operation) {
        operation.needs_token = true;
        operation.parameters.extend(R::parameters());
        operation.upload = Some(R::FIELD);
    }
}

/// A file that is here, and who sent it.
pub struct Received {
    /// Who.
    pub caller: AuthenticatedUser,
    /// The file, without a name yet.
    pub staged: Staged,
    /// What it is.
    pub kind: FileKind,
}

/// Why a form brought no file.
#[derive(Debug)]
pub enum NoFile {
    /// Its sender may not, or not so.
    Refused(ApiError),
    /// It has none.
    None,
    /// It is in another field.
    OtherField(String),
    /// It is of no kind that is taken.
    Kind,
    /// It is larger than it may be.
    TooLarge,
    /// Its sender has sent too much in this day.
    TooMuch,
    /// The disk is nearly full.
    NoRoom,
    /// The form is malformed, or did not come to its end.
    Broken,
    /// It cannot be kept.
    Store(StoreFailure),
}

impl From<StoreFailure> for NoFile {
    fn from(failure: StoreFailure) -> Self {
        match failure {
            StoreFailure::TooLarge => Self::TooLarge,
            other => Self::Store(other),
        }
    }
}

impl<R: Upload> FromRequest<App> for UploadForm<R> {
    type Rejection = ApiError;

    async fn from_request(request: HttpRequest, app: &App) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let meter = Arc::new(Meter::default());
        let most = usize::try_from(app.config.media.upload_bytes * 2).unwrap_or(usize::MAX);
        let body = Metered {
            body: body.into_data_stream(),
            meter: Arc::clone(&meter),
            left: most.saturating_add(1024 * 1024),
            pause: false,
        };
        Ok(Self {
            parts: boundary(&parts.headers).map(|boundary| Multipart::new(body, boundary)),
            meter,
            parameters: params::take(&mut parts, app).await?,
            objection: None,
            caller: parts.extensions.get().cloned(),
            origin: parts.extract().await?,
            may: parts.extract().await?,
            request: PhantomData,
        })
    }
}

impl<R: Upload> UploadForm<R> {
    /// What is asked, as far as the form was read.
    ///
    /// # Errors
    /// A parameter is missing or wrong.
    pub fn request(&self) -> Result<R, Invalid> {
        R::read(&self.parameters)
    }

    /// Refuses whatever comes, for a reason that only somebody with a token is to learn.
    pub fn object(&mut self, objection: ApiError) {
        self.objection = Some(objection);
    }

    /// Takes the first file in, which must be in the field `wanted` if one is named. The rest of the body is
    /// [`unread_body`](super::middleware::unread_body)'s.
    ///
    /// # Errors
    /// There is no file that could be taken.
    pub async fn receive(&mut self, app: &App, wanted: Option<&str>) -> Result<Received, NoFile> {
        let Some(mut parts) = self.parts.take() else {
            return Err(self.caller().err().unwrap_or(NoFile::None));
        };
        self.read(app, &mut parts, wanted).await
    }

    async fn read(
        &mut self,
        app: &App,
        parts: &mut Multipart<'static>,
        wanted: Option<&str>,
    ) -> Result<Received, NoFile> {
        let idle = Duration::from_millis(app.config.media.upload_idle_ms);
        if self.caller.is_some() {
            self.caller()?;
        }
        for _ in 0..FIELDS {
            let field = timeout(idle, parts.next_field()).await.map_err(|_| NoFile::Broken)?;
            self.meter.taken();
            let field = field.map_err(|_| NoFile::Broken)?;
            let Some(mut field) = field else {
                return Err(self.caller().err().unwrap_or(NoFile::None));
            };
            let head = PartHead::of(field.headers());
            if !head.is_file() {
                self.note(app, head.name, field, idle).await?;
                continue;
            }
            let caller = self.caller()?;
            let first = self.first(&mut field, idle).await?;
            if first.is_none() && head.file_name.is_empty() {
                continue; // nothing was chosen, which browsers give a type all the same
            }
            if wanted.is_some_and(|wanted| wanted != head.name) {
                return Err(NoFile::OtherField(head.name.chars().take(100).collect()));
            }
            may_send(app, &caller, 1).await?;
            if !app.media.room.is_left().await {
                return Err(NoFile::NoRoom);
            }
            let claim = Claim::new(&head.file_name, head.media_type.as_deref());
            let (staged, kind) = self.file(app, claim, first, field, idle).await?;
            may_send(app, &caller, staged.bytes.saturating_sub(1)).await?;
            return Ok(Received { caller, staged, kind });
        }
        Err(NoFile::Broken)
    }

    /// Who sends this, unless there is something against it.
    fn caller(&mut self) -> Result<AuthenticatedUser, NoFile> {
        let caller = self.caller.clone().ok_or_else(|| NoFile::Refused(nobody()))?;
        self.objection.take().map_or(Ok(caller), |objection| Err(NoFile::Refused(objection)))
    }

    /// A field before the file: the token, unless it was in the head, or a parameter.
    async fn note(
        &mut self,
        app: &App,
        name: String,
        mut field: Field<'_>,
        idle: Duration,
    ) -> Result<(), NoFile> {
        let mut text = Vec::new();
        while let Some(data) = self.chunk(&mut field, idle).await? {
            text.extend_from_slice(&data);
            if text.len() > TEXT_BYTES {
                return Err(NoFile::Broken);
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if name == "token" && self.caller.is_none() && !text.is_empty() {
            let caller = authenticate(app, &text, self.may, &self.origin).await;
            self.caller = Some(caller.map_err(NoFile::Refused)?);
        }
        self.parameters.add_to_body(name, text);
        Ok(())
    }

    async fn file(
        &self,
        app: &App,
        claim: Claim,
        first: Option<Bytes>,
        mut field: Field<'_>,
        idle: Duration,
    ) -> Result<(Staged, FileKind), NoFile> {
        if claim.is_hopeless() {
            return Err(NoFile::Kind);
        }
        let folder: &Folder = &app.media.folder;
        let incoming = folder.receive(app.config.media.upload_bytes).await;
        let mut incoming: IncomingFile = incoming.map_err(StoreFailure::from)?;
        let (mut looked, mut unchecked) = (false, 0);
        let mut next = first;
        while let Some(data) = next {
            // Others write at the same time.
            unchecked += data.len();
            if unchecked >= ROOM_CHECK_BYTES {
                unchecked = 0;
                if !app.media.room.is_left().await {
                    return Err(NoFile::NoRoom);
                }
            }
            incoming.write(&data).await?;
            if !looked && incoming.head().len() == HEAD_BYTES {
                looked = true;
                claim.settle(incoming.head()).ok_or(NoFile::Kind)?;
            }
            next = self.chunk(&mut field, idle).await?;
        }
        let kind = claim.settle(incoming.head()).ok_or(NoFile::Kind)?;
        if kind.family() == Family::Picture && app.config.media.strip_location {
            incoming = folder.without_location(incoming).await.map_err(StoreFailure::from)?;
        }
        let staged = incoming.finish().await.map_err(StoreFailure::from)?;
        Ok((staged, kind))
    }

    /// The first data of a field that are any.
    async fn first(&self, field: &mut Field<'_>, idle: Duration) -> Result<Option<Bytes>, NoFile> {
        loop {
            let data = self.chunk(field, idle).await?;
            if data.as_ref().is_none_or(|data| !data.is_empty()) {
                return Ok(data);
            }
        }
    }

    async fn chunk(&self, field: &mut Field<'_>, idle: Duration) -> Result<Option<Bytes>, NoFile> {
        let data = timeout(idle, field.chunk()).await.map_err(|_| NoFile::Broken)?;
        self.meter.taken();
        data.map_err(|_| NoFile::Broken)
    }
}

/// Counts what a user sends.
async fn may_send(app: &App, caller: &AuthenticatedUser, bytes: u64) -> Result<(), NoFile> {
    let (user, most) = (caller.account.id, app.config.limits.upload_bytes_per_user_day);
    let may = uploads::may_spend(app, user, Allowance::UploadBytes, bytes, most).await;
    may.then_some(()).ok_or(NoFile::TooMuch)
}

/// What has come of a body, as far as its reader has not taken it yet.
#[derive(Default)]
struct Meter {
    waiting: AtomicUsize,
}

impl Meter {
    fn taken(&self) {
        self.waiting.store(0, Ordering::Relaxed);
    }
}

/// A body that keeps the parser from hoarding: the parser takes all that is ready at once, and would look for the end
/// of a part's head in any amount of data.
struct Metered {
    body: BodyDataStream,
    meter: Arc<Meter>,
    left: usize,
    pause: bool,
}

/// The most that may wait for the reader.
const HOARD_BYTES: usize = 256 * 1024;

impl Stream for Metered {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(next) = ready!(self.body.poll_next_unpin(context)) else {
            return Poll::Ready(None);
        };
        let data = next?;
        self.pause = true;
        self.left = match self.left.checked_sub(data.len()) {
            Some(left) => left,
            None => return Poll::Ready(Some(Err("the body is too long".into()))),
        };
        if self.meter.waiting.fetch_add(data.len(), Ordering::Relaxed) > HOARD_BYTES {
            return Poll::Ready(Some(Err("a part's head is too long".into())));
        }
        Poll::Ready(Some(Ok(data)))
    }
}

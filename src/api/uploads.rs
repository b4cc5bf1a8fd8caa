//! Files come in (rest.md §33, §34). Each is an event: who stored what, and where.

use axum::{
    extract::State,
    http::{HeaderMap, header},
};
use tracing::{debug, error};

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    route::{Route, post},
    upload_form::{NoFile, Received, UploadForm},
};
use crate::{
    adapters::{
        media::{Staged, StoreFailure, StoredPath},
        rate_limit::Allowance,
    },
    clock,
    commands::user::{User, UserCommand},
    events::{UploadPlace, Uploaded, UserId},
    executor::{CommandError, Wait},
    protocol::{
        media::{FileAddress, StoredImage, UploadToFolder, UploadToObjectStore},
        refusals::{
            any,
            media::{self as refused, upload},
        },
        reply::Reply,
    },
    state::App,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(33, "/api/chat/uploadStreamSingleToServerDiy/{diydir}", to_folder, "Upload a file")
            .about("Pictures, videos, sounds, documents of up to 50 MB.")
            .for_guests()
            .refuses(&[refused::BAD_FOLDER, refused::NO_FILE, refused::BAD_KIND, any::INCOMPLETE]),
        post(34, "/api/chat/uploadAliyun", to_object_store, "Upload to the object storage")
            .about("Without one the file is kept here. `create_time` is in seconds.")
            .for_guests()
            .refuses(&[upload::ANY]),
    ]
}

/// Upload a file (§33)
async fn to_folder(
    State(app): State<App>,
    mut form: UploadForm<UploadToFolder>,
) -> Result<Reply<FileAddress>, ApiError> {
    let folder = levels(&form.request()?.folder);
    if folder.is_none() {
        form.object(ApiError::rule(refused::BAD_FOLDER));
    }
    let Received { caller, staged, kind } = form.receive(&app, None).await?;
    let folder = folder.unwrap_or_default();
    let at = clock::now();
    let name = move || StoredPath::upload(&folder, at, clock::random_id().as_u128(), kind);
    let path = keep(&app, &caller, staged, name).await?;
    Ok(Reply::of(FileAddress { url: format!("/public/uploads/{path}") }))
}

/// `chat_imgs` means `chat/imgs` (clarification 13).
fn levels(text: &str) -> Option<String> {
    let is_plain = |level: &str| {
        !level.is_empty() && level.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (text.len() <= 100 && text.split('_').all(is_plain)).then(|| text.replace('_', "/"))
}

impl From<NoFile> for ApiError {
    fn from(failure: NoFile) -> Self {
        match failure {
            NoFile::Refused(refusal) => refusal,
            NoFile::None | NoFile::OtherField(_) => Self::rule(refused::NO_FILE),
            NoFile::Kind => Self::rule(refused::BAD_KIND),
            NoFile::TooLarge => Self::file_too_large(),
            NoFile::TooMuch => Self::too_much(),
            NoFile::NoRoom => Self::no_room(),
            NoFile::Broken => Self::rule(any::INCOMPLETE),
            NoFile::Store(failure) => Self::internal(failure),
        }
    }
}

/// Gives a file of a user's its name in the folder, and notes it. If the log does not answer, the file stays: the event
/// may be there all the same.
///
/// # Errors
/// It cannot be kept.
async fn keep(
    app: &App,
    caller: &AuthenticatedUser,
    staged: Staged,
    name: impl FnMut() -> StoredPath + Send + 'static,
) -> Result<StoredPath, ApiError> {
    let (bytes, sha256) = (staged.bytes, staged.sha256.clone());
    let path = app.media.folder.publish(staged, name).await.map_err(ApiError::internal)?;
    note(app, caller, UploadPlace::Folder, &path, (bytes, sha256)).await?;
    Ok(path)
}

/// May a user have so much more? Without Redis nobody is counted.
pub(super) async fn may_spend(
    app: &App,
    user: UserId,
    what: Allowance,
    amount: u64,
    most: u64,
) -> bool {
    app.rate_limit.spend(user, what, amount, most).await.unwrap_or_else(|error| {
        debug!(%error, "cannot count what users upload");
        true
    })
}

/// The file is safe where it is; now the log is told, and then the user.
pub(super) async fn note(
    app: &App,
    caller: &AuthenticatedUser,
    place: UploadPlace,
    path: &StoredPath,
    (bytes, sha256): (u64, String),
) -> Result<(), ApiError> {
    let media_type = path.kind().media_type.to_owned();
    let uploaded = Uploaded { place, path: path.as_str().to_owned(), bytes, media_type, sha256 };
    let user = caller.account.id;
    let command = UserCommand::NoteUpload(uploaded);
    let noted =
        app.executor.execute::<User>(user, &command, caller.authority(), Wait::Durable).await;
    if let Err(CommandError::Unauthorized(_) | CommandError::Rejected(_)) = noted {
        // It is in no event and never will be: an erasure could not find it.
        if let Err(error) = app.media.remove(place, path).await {
            error!(cause = %error, "cannot remove `{path}`, which nobody has");
        }
    }
    noted?;
    app.metrics.uploads.inc();
    app.metrics.upload_bytes.inc_by(bytes);
    Ok(())
}

/// Upload to object storage (§34)
async fn to_object_store(
    State(app): State<App>,
    headers: HeaderMap,
    mut form: UploadForm<UploadToObjectStore>,
) -> Result<Reply<[StoredImage; 1]>, ApiError> {
    let failed = |reason: &str| ApiError::rule(format!("{}{reason}", upload::FAILED));
    let received = form.receive(&app, Some("img")).await.map_err(|failure| match failure {
        NoFile::Refused(refusal) => refusal,
        NoFile::None => failed(refused::NO_FILE),
        NoFile::OtherField(name) => failed(&format!("Expected field 'img', but got '{name}'")),
        NoFile::Kind => failed(refused::BAD_KIND),
        NoFile::TooLarge => failed(refused::FILE_TOO_LARGE),
        NoFile::TooMuch => failed(upload::TOO_MUCH),
        NoFile::NoRoom => failed(upload::NO_SPACE),
        NoFile::Broken => failed(any::INCOMPLETE),
        NoFile::Store(failure) => failed(told(&failure)),
    })?;
    let Received { caller, staged, kind } = received;
    let at = clock::now();
    let name = move || StoredPath::image(at, clock::random_id().as_u128(), kind);
    let (path, url) = if let Some(bucket) = &app.media.bucket {
        let path = name();
        bucket.put(&path, &staged).await.map_err(|failure| failed(told(&failure)))?;
        let about = (staged.bytes, staged.sha256.clone());
        let noted = note(&app, &caller, UploadPlace::ObjectStore, &path, about).await;
        noted.map_err(|_| failed(upload::UNAVAILABLE))?;
        let url = bucket.url(&path);
        (path, url)
    } else {
        let path =
            keep(&app, &caller, staged, name).await.map_err(|_| failed(upload::UNAVAILABLE))?;
        let url = format!("{}/public/uploads/{path}", own_address(&app, &headers));
        (path, url)
    };
    let class = form.request()?.class;
    Ok(Reply::of([StoredImage::new(url, path.as_str().to_owned(), class, at)]))
}

/// The cause is for the log alone.
fn told(failure: &StoreFailure) -> &'static str {
    error!(cause = %failure, "an upload cannot be kept");
    upload::UNAVAILABLE
}

/// This service as clients see it, without a slash at its end.
fn own_address(app: &App, headers: &HeaderMap) -> String {
    let public = app.config.server.public_url.trim_end_matches('/');
    if !public.is_empty() {
        return public.to_owned();
    }
    match host(headers) {
        Some(host) => format!("http://{host}"),
        None => format!("http://{}", app.config.server.listen),
    }
}

/// The host that a request was sent to, if that header is a host.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
    (!host.is_empty() && host.bytes().all(is_plain)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_letters_digits_hyphens_and_single_separators() {
        assert_eq!(levels("chatImgs").as_deref(), Some("chatImgs"));
        assert_eq!(levels("a-1_B_2").as_deref(), Some("a-1/B/2"));
        for bad in
            ["", "_", "_a", "a_", "a__b", "..", "a/b", "a.b", "a\\b", "é", "a b", "a%2fb", "a\0"]
        {
            assert_eq!(levels(bad), None, "{bad}");
        }
        assert_eq!(levels(&"a".repeat(101)), None);
    }
}

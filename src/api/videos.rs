//! Posters of uploaded videos (rest.md §35, DEV-21).

use std::io::ErrorKind;

use axum::{extract::State, http::HeaderMap};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Number;
use tracing::error;

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, post},
    uploads,
};
use crate::{
    adapters::{
        media::{FileKind, PosterError, Staged, Still, StoreFailure, StoredPath},
        rate_limit::Allowance,
    },
    events::UploadPlace,
    protocol::{
        media::{PictureFormat, PosterObject, PosterWidth, VideoScreenshot, VideoWidth},
        refusals::media::{self as refused, poster},
        reply::Reply,
    },
    state::App,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(35, "/api/chat/getVideoScreenshot", screenshot, "A poster frame of a video")
            .about("Of a file of this service or its object storage; nothing else is ever fetched. The picture is 1280 pixels wide at most. Its parameters are refused with 400.")
            .for_guests()
            .refuses(&[
                refused::NO_VIDEO,
                refused::BAD_TIME,
                refused::BAD_WIDTH,
                refused::NO_FRAME,
                poster::ANY,
            ]),
    ]
}

/// A poster frame of a video (§35)
async fn screenshot(
    State(app): State<App>,
    caller: AuthenticatedUser,
    headers: HeaderMap,
    Params(VideoScreenshot { url, time, width, format }): Params<VideoScreenshot>,
) -> Result<Reply<PosterObject>, ApiError> {
    let source = Source::of(&app, &headers, url.trim());
    let source = source.ok_or_else(|| failed(poster::FOREIGN))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 3840")]
    let pixels = width.map(|width| width as u32);
    let still = Still { at_ms: time.min(1e12), width: pixels, jpeg: format != PictureFormat::Png };
    let kind = FileKind::of_extension(format.extension());
    let kind = kind.ok_or_else(|| ApiError::internal("a format without a kind"))?;
    let path = StoredPath::poster(source.path(), &still.key(), kind);
    let picture = match app.media.folder.find(&path).await {
        Some((file, _)) => {
            tokio::fs::read(file).await.map_err(|_| failed(poster::POSTER_UNREADABLE))?
        }
        None => make(&app, &caller, &source, still, &path).await?,
    };
    let media_type = kind.media_type;
    let original = PosterWidth::Video(VideoWidth::Original);
    Ok(Reply::of(PosterObject {
        base64: format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(&picture)),
        url: format!("/public/uploads/{path}"),
        format,
        time: as_sent(time),
        width: width.map_or(original, |width| PosterWidth::Pixels(as_sent(width))),
    }))
}

fn failed(reason: &str) -> ApiError {
    ApiError::rule(format!("{}{reason}", poster::FAILED))
}

/// `20`, not `20.0`.
fn as_sent(number: f64) -> Number {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
    let whole = (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    let number = whole.map(Number::from).or_else(|| Number::from_f64(number));
    number.expect("a parameter is finite")
}

/// A file of our own stores. Nothing is ever fetched by its address (DEV-21).
#[derive(Debug, PartialEq)]
enum Source {
    Folder(StoredPath),
    ObjectStore(StoredPath),
}

impl Source {
    fn path(&self) -> &StoredPath {
        let (Self::Folder(path) | Self::ObjectStore(path)) = self;
        path
    }

    fn of(app: &App, headers: &HeaderMap, url: &str) -> Option<Self> {
        let object = app.media.bucket.as_ref().and_then(|bucket| bucket.path_of(url));
        // What else may be in the bucket is nobody's business.
        if let Some(path) = object.filter(|path| path.as_str().starts_with("images/")) {
            return Some(Self::ObjectStore(path));
        }
        let public = app.config.server.public_url.as_str();
        let own =
            if public.is_empty() { uploads::host(headers).unwrap_or_default() } else { public };
        in_folder(url, own).map(Self::Folder)
    }
}

/// The file below `/public/uploads/` that an address at `own` means, or one without a host.
fn in_folder(url: &str, own: &str) -> Option<StoredPath> {
    let path = match after_scheme(url) {
        None => url,
        Some(rest) => {
            let own = after_scheme(own).unwrap_or(own).trim_end_matches('/');
            let (own_host, own_path) = own.split_once('/').unwrap_or((own, ""));
            let (host, path) = rest.split_at(rest.find('/')?);
            // Clarification 14: for comparing only.
            if own_host.is_empty() || !bare(host).eq_ignore_ascii_case(bare(own_host)) {
                return None;
            }
            path[1..].strip_prefix(own_path).filter(|rest| rest.starts_with('/')).unwrap_or(path)
        }
    };
    StoredPath::parse(path.strip_prefix("/public/uploads/")?)
}

/// What follows `http://` or `https://`.
fn after_scheme(url: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// A host without the port that goes without saying; a proxy in front may speak TLS for us.
fn bare(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

/// Makes a poster that nobody asked for before, and keeps it.
async fn make(
    app: &App,
    caller: &AuthenticatedUser,
    source: &Source,
    still: Still,
    path: &StoredPath,
) -> Result<Vec<u8>, ApiError> {
    let picture = take(app, caller, source, still).await?;
    let (user, most) = (caller.account.id, app.config.limits.upload_bytes_per_user_day);
    let bytes = picture.len() as u64;
    if !uploads::may_spend(app, user, Allowance::UploadBytes, bytes, most).await {
        return Err(ApiError::too_much());
    }
    keep(app, caller, &picture, path).await?;
    Ok(picture)
}

/// May a user have one more made, and is there room for it?
async fn may_make(app: &App, caller: &AuthenticatedUser) -> Result<(), ApiError> {
    if !app.media.room.is_left().await {
        return Err(failed(poster::NO_SPACE));
    }
    let (user, most) = (caller.account.id, app.config.limits.posters_per_hour);
    let may = uploads::may_spend(app, user, Allowance::Posters, 1, most).await;
    may.then_some(()).ok_or_else(ApiError::too_many)
}

async fn take(
    app: &App,
    caller: &AuthenticatedUser,
    source: &Source,
    still: Still,
) -> Result<Vec<u8>, ApiError> {
    let missing = || failed(poster::NO_SUCH_VIDEO);
    let unsupported = || failed(poster::NO_VIDEO);
    let kind = source.path().kind();
    let is_video = kind.demuxer.is_some();
    let (path, fetched);
    let file = match source {
        Source::Folder(stored) => {
            (path, _) = app.media.folder.find(stored).await.ok_or_else(missing)?;
            is_video.then_some(()).ok_or_else(unsupported)?;
            may_make(app, caller).await?;
            path.as_path()
        }
        Source::ObjectStore(stored) => {
            is_video.then_some(()).ok_or_else(unsupported)?;
            may_make(app, caller).await?;
            fetched = fetch(app, stored)
                .await
                .map_err(|failure| unavailable(&failure))?
                .ok_or_else(missing)?;
            fetched.path()
        }
    };
    app.media.posters.take(file, kind, still).await.map_err(|why| match why {
        PosterError::NoFrame => ApiError::rule(refused::NO_FRAME),
        PosterError::Unreadable => failed(poster::UNREADABLE),
        PosterError::TooSlow => failed(poster::TOO_SLOW),
        PosterError::NoTool => {
            error!("no posters without ffmpeg: install it, or set media.ffmpeg");
            failed(poster::NO_TOOL)
        }
    })
}

async fn fetch(app: &App, path: &StoredPath) -> Result<Option<Staged>, StoreFailure> {
    let Some(bucket) = &app.media.bucket else { return Ok(None) };
    let incoming = app.media.folder.receive(app.config.media.upload_bytes).await?;
    let fetched = bucket.fetch(path, incoming).await?;
    // Who wrote it there need not have been us.
    Ok(fetched.filter(|video| path.kind().agrees_with(&video.head)))
}

fn unavailable(failure: &StoreFailure) -> ApiError {
    error!(cause = %failure, "a video cannot be had");
    failed(poster::VIDEO_UNAVAILABLE)
}

async fn keep(
    app: &App,
    caller: &AuthenticatedUser,
    picture: &[u8],
    path: &StoredPath,
) -> Result<(), ApiError> {
    let unkept = |failure: StoreFailure| {
        error!(cause = %failure, "a poster cannot be kept");
        failed(poster::UNKEPT)
    };
    let staged = stage(app, picture).await.map_err(unkept)?;
    let about = (staged.bytes, staged.sha256.clone());
    let name = path.clone();
    match app.media.folder.publish(staged, move || name.clone()).await {
        Ok(path) => {
            let noted = uploads::note(app, caller, UploadPlace::Folder, &path, about).await;
            noted.map_err(|_| failed(poster::UNKEPT))
        }
        // Somebody else has just made the same.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unkept(error.into())),
    }
}

async fn stage(app: &App, picture: &[u8]) -> Result<Staged, StoreFailure> {
    let mut incoming = app.media.folder.receive(picture.len() as u64).await?;
    incoming.write(picture).await?;
    Ok(incoming.finish().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_21_only_our_own_files_are_meant() {
        let own = "im.example:7001";
        let meant = |url: &str| in_folder(url, own).map(|path| path.as_str().to_owned());
        for good in [
            "/public/uploads/Diy/a/1.mp4",
            "http://im.example:7001/public/uploads/Diy/a/1.mp4",
            "HTTPS://IM.example:7001/public/uploads/Diy/a/1.mp4",
        ] {
            assert_eq!(meant(good).as_deref(), Some("Diy/a/1.mp4"), "{good}");
        }
        for bad in [
            "",
            "Diy/a/1.mp4",
            "/etc/passwd",
            "//im.example:7001/public/uploads/a.mp4",
            "file:///public/uploads/a.mp4",
            "ftp://im.example:7001/public/uploads/a.mp4",
            "concat:/public/uploads/a.mp4|/etc/passwd",
            "http://im.example:7001@evil.example/public/uploads/a.mp4",
            "http://evil.example/public/uploads/a.mp4",
            "http://im.example/public/uploads/a.mp4",
            "http://127.0.0.1/public/uploads/a.mp4",
            "http://169.254.169.254/latest/meta-data",
            "http://im.example:7001/public/uploads/../../etc/a.mp4",
            "/public/uploads/../a.mp4",
            "/public/uploads/%2e%2e/a.mp4",
            "/public/uploads/%252e%252e/a.mp4",
            "/public/uploads/..%5ca.mp4",
            "/public/uploads/a\\b.mp4",
            "/public/uploads//etc/a.mp4",
            "/public/uploads/.incoming/a.mp4",
            "/public/uploads/a.mp4?x=http://h",
            "http://im.example:7001",
        ] {
            assert_eq!(meant(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_public_address_may_have_a_path_and_a_port_may_be_left_out() {
        let meant = |url, own| in_folder(url, own).is_some();
        let own = "https://im.example/chat/";
        assert!(meant("https://im.example/chat/public/uploads/a.mp4", own));
        assert!(meant("https://im.example:443/chat/public/uploads/a.mp4", own));
        assert!(!meant("https://im.example/other/public/uploads/a.mp4", own));
        assert!(!meant("https://im.example/public/uploads/a.mp4", ""));
    }

    #[test]
    fn numbers_come_back_as_they_were_sent() {
        assert_eq!(as_sent(20.0).to_string(), "20");
        assert_eq!(as_sent(20.5).to_string(), "20.5");
    }
}

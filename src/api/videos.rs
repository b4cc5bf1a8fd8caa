//! Posters of uploaded videos (rest.md §35, DEV-21).

use std::io::ErrorKind;

use axum::{extract::State, http::HeaderMap};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Number, Value, json};
use tracing::error;

use super::{
    caller::Caller,
    params::{Params, Sent},
    refusal::Refusal,
    reply::Reply,
    uploads,
};
use crate::{
    adapters::{
        media::{FileKind, PosterError, Staged, Still, StoreFailure, StoredPath},
        rate_limit::Allowance,
    },
    events::UploadPlace,
    state::App,
};

/// A poster frame of a video (§35)
pub async fn screenshot(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Result<Reply<Value>, Refusal> {
    let url = params.text("videoUrl", "").map_err(|_| Refusal::rule("视频地址不能为空"))?;
    let time = params.raw("time").and_then(Sent::number).filter(|time| *time >= 0.0);
    let time = time.ok_or_else(|| Refusal::rule("时间点参数无效"))?;
    let width = params.raw("width").map(|width| {
        let width = width.number().filter(|width| (1.0..=3840.0).contains(width));
        width.ok_or_else(|| Refusal::rule("图片宽度应在1-3840之间"))
    });
    let width = width.transpose()?;
    let format = params.text_or_none("format", 1, 4).unwrap_or_default();
    let format = ["jpg", "jpeg"].into_iter().find(|&name| name == format).unwrap_or("png");

    let source = Source::of(&app, &headers, url.trim());
    let source = source.ok_or_else(|| failed("不允许的视频地址"))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 3840")]
    let pixels = width.map(|width| width as u32);
    let still = Still { at_ms: time.min(1e12), width: pixels, jpeg: format != "png" };
    let kind = FileKind::of_extension(&format!(".{format}"));
    let kind = kind.ok_or_else(|| Refusal::internal("a format without a kind"))?;
    let path = StoredPath::poster(source.path(), &still.key(), kind);
    let picture = match app.media.folder.find(&path).await {
        Some((file, _)) => tokio::fs::read(file).await.map_err(|_| failed("图片无法读取"))?,
        None => make(&app, &caller, &source, still, &path).await?,
    };
    let media_type = kind.media_type;
    Ok(Reply(json!({
        "base64": format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(&picture)),
        "url": format!("/public/uploads/{path}"),
        "format": format,
        "time": as_sent(time),
        "width": width.map_or_else(|| "原始宽度".into(), as_sent),
    })))
}

fn failed(reason: &str) -> Refusal {
    Refusal::rule(format!("截图处理失败: {reason}"))
}

/// `20`, not `20.0`.
fn as_sent(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
    let whole = (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    whole.map_or_else(|| Number::from_f64(number).into(), Value::from)
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
    caller: &Caller,
    source: &Source,
    still: Still,
    path: &StoredPath,
) -> Result<Vec<u8>, Refusal> {
    let picture = take(app, caller, source, still).await?;
    let (user, most) = (caller.account.id, app.config.limits.upload_bytes_per_user_day);
    let bytes = picture.len() as u64;
    if !uploads::may_spend(app, user, Allowance::UploadBytes, bytes, most).await {
        return Err(Refusal::too_much());
    }
    keep(app, caller, &picture, path).await?;
    Ok(picture)
}

/// May a user have one more made, and is there room for it?
async fn may_make(app: &App, caller: &Caller) -> Result<(), Refusal> {
    if !app.media.room.is_left().await {
        return Err(failed("存储空间不足"));
    }
    let (user, most) = (caller.account.id, app.config.limits.posters_per_hour);
    let may = uploads::may_spend(app, user, Allowance::Posters, 1, most).await;
    may.then_some(()).ok_or_else(Refusal::too_many)
}

async fn take(
    app: &App,
    caller: &Caller,
    source: &Source,
    still: Still,
) -> Result<Vec<u8>, Refusal> {
    let missing = || failed("视频不存在");
    let unsupported = || failed("不是支持的视频文件");
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
        PosterError::NoFrame => Refusal::rule("截图生成失败"),
        PosterError::Unreadable => failed("视频无法解码"),
        PosterError::TooSlow => failed("处理超时"),
        PosterError::NoTool => {
            error!("no posters without ffmpeg: install it, or set media.ffmpeg");
            failed("服务器未安装视频处理工具")
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

fn unavailable(failure: &StoreFailure) -> Refusal {
    error!(cause = %failure, "a video cannot be had");
    failed("视频暂时无法读取")
}

async fn keep(
    app: &App,
    caller: &Caller,
    picture: &[u8],
    path: &StoredPath,
) -> Result<(), Refusal> {
    let unkept = |failure: StoreFailure| {
        error!(cause = %failure, "a poster cannot be kept");
        failed("图片无法保存")
    };
    let staged = stage(app, picture).await.map_err(unkept)?;
    let about = (staged.bytes, staged.sha256.clone());
    let name = path.clone();
    match app.media.folder.publish(staged, move || name.clone()).await {
        Ok(path) => {
            let noted = uploads::note(app, caller, UploadPlace::Folder, &path, about).await;
            noted.map_err(|_| failed("图片无法保存"))
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
        let number = |text: &str| Sent::Text(text.to_owned()).number();
        assert_eq!(number("260"), Some(260.0));
        assert_eq!([number("x"), number("inf")], [None, None]);
    }
}

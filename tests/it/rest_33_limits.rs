//! `rest.md` §33–§35: how much a user may have, and that the disk is not filled.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::files::{
    PNG, form, last_event, left_over, png_size, post_form, upload, uploaded, video,
};
use crate::support::{App, User, device};

const SHOT: &str = "/api/chat/getVideoScreenshot";

/// `limits.upload_bytes_per_user_day`: for each user by itself, and for posters too.
#[tokio::test]
async fn rest_33_a_user_uploads_so_much_in_a_day() {
    let most = (2 * PNG.len() + 10).to_string();
    let app = App::configured(&[("LIMITS__UPLOAD_BYTES_PER_USER_DAY", &most)]).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    for _ in 0..2 {
        uploaded(&ann, "a.png", PNG).await;
    }
    let reply = upload(&ann, "chatImgs", "a.png", PNG).await;
    assert_eq!(reply.headers["retry-after"], "60");
    reply.refused(429, "今日上传已达上限，请稍后再试");
    let to_store = post_form(&ann, "/api/chat/uploadAliyun", form("img", "a.png", PNG)).await;
    to_store.refused(400, "上传失败: 今日上传已达上限");
    uploaded(&bob, "a.png", PNG).await;
    upload(&bob, "chatImgs", "a.txt", &[b'x'; 1000]).await.failed(429);
    uploaded(&bob, "a.png", PNG).await;
    assert_eq!(left_over(&app), 0);
}

/// `limits.min_free_bytes`.
#[tokio::test]
async fn rest_33_nothing_is_taken_when_the_disk_is_nearly_full() {
    let app = App::configured(&[("LIMITS__MIN_FREE_BYTES", "4611686018427387904")]).await;
    let ann = app.register("ann").await;
    let reply = upload(&ann, "chatImgs", "a.png", PNG).await;
    assert_eq!(reply.headers["retry-after"], "1");
    reply.refused(503, "存储空间不足，请稍后再试");
    let to_store = post_form(&ann, "/api/chat/uploadAliyun", form("img", "a.png", PNG)).await;
    to_store.refused(400, "上传失败: 存储空间不足");
    std::fs::write(app.servers.uploads().join("a.mp4"), "a video").expect("written");
    let shot = json!({ "videoUrl": "/public/uploads/a.mp4", "time": 0 });
    ann.post(SHOT, shot).await.refused(400, "截图处理失败: 存储空间不足");
    assert_eq!(left_over(&app), 0);
}

/// `rest.md` §35: a poster is made once, whoever asks again, and is 1280 pixels wide at most; a user has so many made.
#[tokio::test]
async fn rest_35_a_poster_is_made_once_and_is_not_large() {
    let folder = tempfile::tempdir().expect("a folder");
    let (counting, runs) = counting_ffmpeg(folder.path());
    let counting = counting.display().to_string();
    let own = [("MEDIA__FFMPEG", counting.as_str()), ("LIMITS__POSTERS_PER_HOUR", "3")];
    let app = App::configured(&own).await;
    let (ann, guest) = (app.register("ann").await, app.visitor(&device(1)).await);
    let clip = uploaded(&ann, "clip.mp4", &video(app.servers.folder(), "clip.mp4")).await;
    let shot = async |user: &User, time: u64, width: Value| {
        let body = json!({ "videoUrl": clip, "time": time, "width": width });
        user.post(SHOT, body).await
    };
    let count = || std::fs::read_to_string(&runs).map_or(0, |runs| runs.lines().count());

    let first = shot(&ann, 20, json!(260)).await.ok();
    let event = last_event(&app, &ann).await;
    for user in [&ann, &guest, &ann] {
        assert_eq!(shot(user, 20, json!(260)).await.ok(), first);
    }
    assert_eq!(last_event(&app, &ann).await, event, "nothing was stored again");
    assert_eq!(count(), 1);

    let wide = shot(&ann, 20, json!(3840)).await.ok();
    assert_eq!(wide["width"], 3840, "as it was asked for");
    let picture = app.api().get(wide["url"].as_str().expect("a url")).await;
    assert_eq!(png_size(&picture.bytes), (1280, 720));
    assert_eq!(shot(&ann, 20, json!(1280)).await.ok()["url"], wide["url"]);
    shot(&ann, 40, json!(260)).await.ok();
    assert_eq!(count(), 3);
    shot(&ann, 60, json!(260)).await.refused(429, "请求过于频繁，请稍后再试");
    assert_eq!(shot(&ann, 20, json!(260)).await.ok(), first, "what is there costs nothing");
    shot(&guest, 60, json!(260)).await.ok();
    assert_eq!(count(), 4);
    app.verify().await;
}

/// An ffmpeg that writes a line for each run.
fn counting_ffmpeg(folder: &Path) -> (PathBuf, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let (program, runs) = (folder.join("counting"), folder.join("runs"));
    let script = format!("#!/bin/sh\necho run >>'{}'\nexec ffmpeg \"$@\"\n", runs.display());
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    (program, runs)
}

//! `rest.md` §35, DEV-21: posters of videos.

use std::os::unix::fs::PermissionsExt as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::files::{PNG, last_event, png_size, uploaded, video};
use crate::support::{App, Reply, User, device};

const FORBIDDEN: &str = "截图处理失败: 不允许的视频地址";

async fn shot(user: &User, body: Value) -> Reply {
    user.post("/api/chat/getVideoScreenshot", body).await
}

/// `rest.md` §35, DEV-21.
#[tokio::test]
async fn rest_35_posters_of_videos() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let clip = uploaded(&ann, "clip.mp4", &video(app.servers.folder(), "clip.mp4")).await;
    a_poster_is_made_stored_and_served(&app, &ann, &clip).await;
    every_video_that_is_taken_has_one(&app, &ann).await;
    parameters_are_checked_in_their_order(&ann, &clip).await;
    dev_21_only_files_of_our_own(&app, &ann, &clip).await;
    videos_without_a_picture(&app, &ann, &clip).await;
    app.verify().await;
}

async fn a_poster_is_made_stored_and_served(app: &App, ann: &User, clip: &str) {
    let guest = app.visitor(&device(1)).await;
    let by_address = format!("{}{clip}", app.gateways[0].origin());
    for (user, source, time) in [(ann, clip, 20), (&guest, &by_address, 40)] {
        let data = shot(user, json!({ "videoUrl": source, "time": time, "width": 260 })).await.ok();
        let url = data["url"].as_str().expect("a url");
        let name =
            url.strip_prefix("/public/uploads/Diy/VideoScreenshot/screenshot_").expect("its form");
        let (_, letters) =
            name.strip_suffix(".png").and_then(|name| name.split_once('_')).expect("its form");
        assert!(
            letters.len() == 6
                && letters.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        let served = app.api().get(url).await;
        assert_eq!(served.headers["content-type"], "image/png");
        assert_eq!(png_size(&served.bytes), (260, 146));
        let base64 = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(&served.bytes));
        assert_eq!(
            data,
            json!({ "base64": base64, "url": url, "format": "png", "time": time, "width": 260 })
        );
        let event = last_event(app, user).await;
        assert_eq!(event["data"]["path"], url["/public/uploads/".len()..]);
    }
    let data = shot(ann, json!({ "videoUrl": clip, "time": "1500", "format": "jpg" })).await.ok();
    let told = (&data["time"], &data["width"], &data["format"]);
    assert_eq!(told, (&json!(1500), &json!("原始宽度"), &json!("jpg")));
    let url = data["url"].as_str().expect("a url");
    assert!(
        url.rsplit_once('.').is_some_and(|(_, extension)| extension == "jpg")
            && data["base64"].as_str().is_some_and(|it| it.starts_with("data:image/jpeg;base64,"))
    );
    assert!(app.api().get(url).await.bytes.starts_with(b"\xff\xd8\xff"));
    let data = shot(ann, json!({ "videoUrl": clip, "time": 0, "format": "../../x" })).await.ok();
    assert_eq!(data["format"], "png");
    let form = [("videoUrl", clip), ("time", "20"), ("width", "100")];
    assert_eq!(ann.post_form("/api/chat/getVideoScreenshot", &form).await.ok()["width"], 100);
}

async fn every_video_that_is_taken_has_one(app: &App, ann: &User) {
    for name in ["a.mov", "a.avi", "a.webm", "a.mkv", "a.m4v", "a.flv"] {
        let url = uploaded(ann, name, &video(app.servers.folder(), name)).await;
        let data = shot(ann, json!({ "videoUrl": url, "time": 20 })).await.ok();
        let picture = app.api().get(data["url"].as_str().expect("a url")).await;
        assert_eq!(png_size(&picture.bytes), (320, 180), "{name}");
    }
}

async fn parameters_are_checked_in_their_order(ann: &User, clip: &str) {
    let refused = async |body: Value, text: &str| shot(ann, body).await.refused(400, text);
    refused(json!({}), "视频地址不能为空").await;
    refused(json!({ "videoUrl": "", "time": -1 }), "视频地址不能为空").await;
    for time in [json!(null), json!(-1), json!("x"), json!([]), json!("-0.5")] {
        refused(json!({ "videoUrl": "x", "time": time, "width": 0 }), "时间点参数无效").await;
    }
    for width in [json!(0), json!(-5), json!(3841), json!("x"), json!({})] {
        refused(json!({ "videoUrl": "x", "time": 0, "width": width }), "图片宽度应在1-3840之间")
            .await;
    }
    refused(json!({ "videoUrl": "x", "time": 0, "width": 3840 }), FORBIDDEN).await;
    shot(ann, json!({ "videoUrl": clip, "time": 0, "width": 1 })).await.ok();
}

async fn dev_21_only_files_of_our_own(app: &App, ann: &User, clip: &str) {
    let outside = app.servers.folder().join("clip.mp4").display().to_string();
    for url in [
        outside.clone(),
        format!("file://{outside}"),
        "/public/uploads/../clip.mp4".to_owned(),
        "/public/uploads/%2e%2e/clip.mp4".to_owned(),
        "/public/uploads/..%2fclip.mp4".to_owned(),
        "/public/uploads/a\\..\\clip.mp4".to_owned(),
        format!("//evil.example{clip}"),
        format!("http://evil.example{clip}"),
        format!("http://169.254.169.254{clip}"),
        format!("ftp://{}{clip}", app.gateways[0].origin().trim_start_matches("http://")),
        format!("{}@evil.example{clip}", app.gateways[0].origin()),
        format!("concat:{clip}|/etc/passwd"),
        format!("{clip}?x=y"),
        app.admin("/positions")
            .await
            .map(|_| "http://127.0.0.1:7002/positions".to_owned())
            .expect("it answers"),
    ] {
        shot(ann, json!({ "videoUrl": url, "time": 0 })).await.refused(400, FORBIDDEN);
    }
}

async fn videos_without_a_picture(app: &App, ann: &User, clip: &str) {
    let refused = async |url: &str, time: u64, text: &str| {
        shot(ann, json!({ "videoUrl": url, "time": time })).await.refused(400, text);
    };
    refused(clip, 60_000, "截图生成失败").await;
    refused("/public/uploads/Diy/a/1.mp4", 0, "截图处理失败: 视频不存在").await;
    let picture = uploaded(ann, "a.png", PNG).await;
    refused(&picture, 0, "截图处理失败: 不是支持的视频文件").await;
    let broken = uploaded(ann, "a.mp4", b"\0\0\0\x20ftypisom\0\0\0\0and nothing else").await;
    refused(&broken, 0, "截图处理失败: 视频无法解码").await;
    // Other formats in the disguise of a video: past the door already, and still no way to read a file.
    let secret = app.servers.folder().join("secret.txt");
    std::fs::write(&secret, "a secret").expect("written");
    let disguises = [
        ("1.mp4", format!("#EXTM3U\n#EXTINF:1.0,\nfile://{}\n#EXT-X-ENDLIST\n", secret.display())),
        (
            "2.mp4",
            format!("ffconcat version 1.0\nfile '{}/clip.mp4'\n", app.servers.folder().display()),
        ),
        (
            "3.webm",
            format!("ffconcat version 1.0\nfile '{}/clip.mp4'\n", app.servers.folder().display()),
        ),
        ("4.avi", format!("#EXTM3U\n#EXTINF:1.0,\n{}/clip.mp4\n", app.servers.folder().display())),
    ];
    for (name, content) in disguises {
        std::fs::write(app.servers.uploads().join(name), content).expect("written");
        refused(&format!("/public/uploads/{name}"), 0, "截图处理失败: 视频无法解码").await;
    }
}

/// Without ffmpeg, and with one that does not come to an end.
#[tokio::test]
async fn rest_35_without_a_tool_or_time() {
    let app = App::configured(&[("MEDIA__FFMPEG", "no-such-program")]).await;
    let ann = app.register("ann").await;
    let clip = uploaded(&ann, "clip.mp4", &video(app.servers.folder(), "clip.mp4")).await;
    let body = json!({ "videoUrl": clip, "time": 0 });
    shot(&ann, body).await.refused(400, "截图处理失败: 服务器未安装视频处理工具");
    drop(app);

    let folder = tempfile::tempdir().expect("a folder");
    let endless = folder.path().join("endless");
    std::fs::write(&endless, "#!/bin/sh\nexec sleep 600\n").expect("written");
    std::fs::set_permissions(&endless, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let endless = endless.display().to_string();
    let own = [("MEDIA__FFMPEG", endless.as_str()), ("MEDIA__POSTER_TIMEOUT_MS", "300")];
    let app = App::configured(&own).await;
    let ann = app.register("ann").await;
    let clip = uploaded(&ann, "clip.mp4", &video(app.servers.folder(), "clip.mp4")).await;
    let body = json!({ "videoUrl": clip, "time": 0 });
    shot(&ann, body).await.refused(400, "截图处理失败: 处理超时");
}

/// Memory is limited: a picture that needs more is not made, and the service goes on.
#[tokio::test]
async fn rest_35_little_memory() {
    let app = App::configured(&[("MEDIA__POSTER_MEMORY_MIB", "64")]).await;
    let ann = app.register("ann").await;
    let clip = uploaded(&ann, "clip.mp4", &video(app.servers.folder(), "clip.mp4")).await;
    let said = shot(&ann, json!({ "videoUrl": clip, "time": 0, "width": 3840 })).await.failed(400);
    assert!(said.starts_with("截图处理失败: "), "{said}");
    uploaded(&ann, "a.png", PNG).await;
}

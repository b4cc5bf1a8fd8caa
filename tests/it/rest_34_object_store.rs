//! `rest.md` §34, with an object store and without; §35 with one.

use reqwest::multipart::{Form, Part};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::files::{PNG, form, last_event, left_over, post_form, upload, video};
use crate::support::object_store::ObjectStore;
use crate::support::{Api, App, Reply, User};

const UPLOAD: &str = "/api/chat/uploadAliyun";
const SHOT: &str = "/api/chat/getVideoScreenshot";

async fn with_store(secret: &str) -> (ObjectStore, tempfile::TempDir, App) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ObjectStore::start(folder.path()).await;
    let app = App::configured(&store.settings(secret)).await;
    (store, folder, app)
}

/// `rest.md` §34, against an S3 server that checks signatures.
#[tokio::test]
async fn rest_34_files_go_to_the_object_store() {
    let (store, _folder, app) = with_store("the secret").await;
    let ann = app.register("ann").await;
    let path = put(&ann, "a.png", PNG).await;
    assert_eq!(store.object(&path), PNG);
    let data = json!({ "place": "object_store", "path": path, "bytes": PNG.len(), "media_type": "image/png",
        "sha256": hex::encode(Sha256::digest(PNG)) });
    assert_eq!(
        last_event(&app, &ann).await,
        json!({ "type": "user.file_uploaded.v1", "data": data })
    );

    // In several parts.
    let mut large = b"PK\x03\x04".to_vec();
    large.resize(12_000_000, 7);
    let path = put(&ann, "large.zip", &large).await;
    assert!(store.object(&path) == large);
    assert_eq!(left_over(&app), 0);
    post_form(&ann, UPLOAD, form("img", "a.svg", b"<svg/>"))
        .await
        .refused(400, "上传失败: 不支持的文件类型");
    app.verify().await;
}

async fn put(user: &User, name: &str, content: &[u8]) -> String {
    let item = post_form(user, UPLOAD, form("img", name, content)).await.ok()[0].clone();
    let path = item["path"].as_str().expect("a path").to_owned();
    assert_eq!(item["url"], format!("https://files.example/{path}"));
    path
}

/// DEV-21: what is in the object store is read from there, not by its address.
#[tokio::test]
async fn dev_21_posters_of_videos_in_the_object_store() {
    let (store, folder, app) = with_store("the secret").await;
    let ann = app.register("ann").await;
    let path = put(&ann, "a.mp4", &video(folder.path(), "a.mp4")).await;
    let shot = async |url: &str| ann.post(SHOT, json!({ "videoUrl": url, "time": 20 })).await;
    let data = shot(&format!("https://files.example/{path}")).await.ok();
    assert_eq!((&data["time"], &data["width"]), (&json!(20), &json!("原始宽度")));

    store.put("images/20250924/page.mp4", b"#EXTM3U\n/etc/passwd\n");
    store.put("private/a.mp4", &video(folder.path(), "b.mp4"));
    let missing = "截图处理失败: 视频不存在";
    shot("https://files.example/images/20250924/nothing.mp4").await.refused(400, missing);
    shot("https://files.example/images/20250924/page.mp4").await.refused(400, missing);
    for bad in [
        "https://files.example/private/a.mp4".to_owned(),
        format!("https://files.example.evil/{path}"),
        format!("https://files.example@evil/{path}"),
        format!("{}/chat-files/{path}", store.endpoint),
        "https://files.example/images/../private/a.mp4".to_owned(),
    ] {
        shot(&bad).await.refused(400, "截图处理失败: 不允许的视频地址");
    }
}

/// A store that does not want us: a refusal, and the cause is in the log alone.
#[tokio::test]
async fn rest_34_a_store_that_refuses() {
    let (_store, _folder, app) = with_store("another secret").await;
    let ann = app.register("ann").await;
    let reply = post_form(&ann, UPLOAD, form("img", "a.png", PNG)).await;
    reply.refused(400, "上传失败: 文件存储暂时不可用");
    assert_eq!(last_event(&app, &ann).await["type"], "user.registered.v1");
}

/// `rest.md` §34, without an object store.
#[tokio::test]
async fn rest_34_without_an_object_store() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let item = to_store(&ann, "?imageClassId=7", form("img", "a.png", PNG)).await.ok()[0].clone();
    let path = item["path"].as_str().expect("a path");
    let name =
        path.strip_prefix("images/").and_then(|rest| rest.split_once('/')).expect("its form").1;
    let (ms, digits) =
        name.strip_suffix(".png").and_then(|name| name.split_once('_')).expect("its form");
    assert!(
        digits.len() == 12 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "{name}"
    );
    let seconds = ms.parse::<i64>().expect("milliseconds") / 1000;
    let url = format!("{}/public/uploads/{path}", app.gateways[0].origin());
    assert_eq!(
        item,
        json!({ "url": url, "path": path, "image_class_id": 7, "create_time": seconds })
    );
    assert_eq!(app.api().get(&format!("/public/uploads/{path}")).await.bytes, PNG);
    assert_eq!(last_event(&app, &ann).await["data"]["path"], path);

    let class = async |query: &str, form: Form| {
        to_store(&ann, query, form).await.ok()[0]["image_class_id"].clone()
    };
    let part = || Part::bytes(PNG.to_vec()).file_name("a.png");
    assert_eq!(class("", Form::new().text("imageClassId", "5").part("img", part())).await, 0);
    assert_eq!(class("", Form::new().text("image_class_id", "5").part("img", part())).await, 5);
    assert_eq!(class("?imageClassId=x", form("img", "a.png", PNG)).await, 0);

    let refused = async |form: Form, reason: &str| {
        to_store(&ann, "", form).await.refused(400, &format!("上传失败: {reason}"));
    };
    refused(form("file", "a.png", PNG), "Expected field 'img', but got 'file'").await;
    refused(form("img", "a.html", b"<html>"), "不支持的文件类型").await;
    refused(Form::new().text("img", "x"), "请选择要上传的文件").await;
    ann.post("/api/chat/uploadAliyun", json!({}))
        .await
        .refused(400, "上传失败: 请选择要上传的文件");
    to_store(&app.api(), "", form("file", "a.png", PNG))
        .await
        .refused(400, "您没有权限访问即时通讯接口");
    app.verify().await;
}

async fn to_store(api: &Api, query: &str, form: Form) -> Reply {
    post_form(api, &format!("/api/chat/uploadAliyun{query}"), form).await
}

/// `server.public_url`, and the size limit of §34.
#[tokio::test]
async fn rest_34_absolute_addresses_and_limits() {
    let own = [("SERVER__PUBLIC_URL", "https://im.example/"), ("MEDIA__UPLOAD_BYTES", "1000")];
    let app = App::configured(&own).await;
    let ann = app.register("ann").await;
    let item = to_store(&ann, "", form("img", "a.png", PNG)).await.ok()[0].clone();
    let path = item["path"].as_str().expect("a path");
    assert_eq!(item["url"], format!("https://im.example/public/uploads/{path}"));
    let large = vec![b'x'; 1001];
    to_store(&ann, "", form("img", "a.txt", &large)).await.refused(400, "上传失败: 文件过大");
    upload(&ann, "a", "a.txt", &large).await.refused(413, "文件过大");
    upload(&ann, "a", "a.txt", &large[1..]).await.ok();
    // Far beyond: the client still reads the answer.
    upload(&ann, "a", "a.txt", &vec![b'x'; 900_000]).await.refused(413, "文件过大");
    assert_eq!(left_over(&app), 0);
}

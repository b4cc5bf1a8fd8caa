//! `rest.md` §34, §35 with an object store.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::files::{PNG, form, last_event, post_form, video};
use crate::support::object_store::ObjectStore;
use crate::support::{App, User};

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
    let left = std::fs::read_dir(app.servers.uploads().join(".incoming")).expect("the folder");
    assert_eq!(left.count(), 0);
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

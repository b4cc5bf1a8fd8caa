//! Files to upload, and what becomes of them.

use std::path::Path;
use std::process::Command;

use async_nats::jetstream;
use hongyan::events::Position;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use testkit::process::find_in_path;

use super::process::run;
use super::{Api, App, Reply, User, send};

/// The route of `rest.md` §33, without its folder.
pub const UPLOAD: &str = "/api/chat/uploadStreamSingleToServerDiy";

/// The smallest picture.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x04\0\0\0\xb5\x1c\x0c\x02\0\0\0\x0bIDATx\xdacd`\0\0\0\x06\0\x020\x81\xd0/\0\0\0\0IEND\xaeB`\x82";

/// A form whose file is in `field`, as the clients build it.
pub fn form(field: &str, name: &str, content: &[u8]) -> Form {
    let part = Part::bytes(content.to_vec()).file_name(name.to_owned());
    Form::new().part(field.to_owned(), part)
}

/// Posts a form.
pub async fn post_form(api: &Api, path: &str, form: Form) -> Reply {
    send(api.request(Method::POST, path).multipart(form)).await
}

/// Uploads a file to a folder (`rest.md` §33).
pub async fn upload(api: &Api, folder: &str, name: &str, content: &[u8]) -> Reply {
    post_form(api, &format!("{UPLOAD}/{folder}"), form("file", name, content)).await
}

/// The `url` of an upload that succeeds.
pub async fn uploaded(api: &Api, name: &str, content: &[u8]) -> String {
    let data = upload(api, "chatImgs", name, content).await.ok();
    data["url"].as_str().unwrap_or_else(|| panic!("a url in {data}")).to_owned()
}

/// How many files are on their way in, or were left on it.
pub fn left_over(app: &App) -> usize {
    std::fs::read_dir(app.servers.uploads().join(".incoming")).expect("the folder").count()
}

/// The newest event of an account.
pub async fn last_event(app: &App, user: &User) -> Value {
    let client = app.servers.nats.connect("ops", "opspw").await;
    let log = jetstream::new(client).get_stream("EVENTS").await.expect("the log is there");
    let last = log.get_last_raw_message_by_subject(&format!("evt.user.{}", user.id)).await;
    let position = Position(last.expect("an event").sequence);
    let last = app.log().await.at(position).await.expect("the log").expect("it is there");
    serde_json::from_slice(&last.event.encode()).expect("JSON")
}

/// Makes a video of two seconds, 320 × 180, in the format that the name asks for.
pub fn video(folder: &Path, name: &str) -> Vec<u8> {
    let file = folder.join(name);
    let ffmpeg = find_in_path("ffmpeg").expect("scripts/setup brings ffmpeg");
    run(Command::new(ffmpeg)
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi"])
        .args(["-i", "testsrc=duration=2:size=320x180:rate=10"])
        .args(["-f", "lavfi", "-i", "sine=duration=2", "-shortest", "-y"])
        .arg(&file));
    std::fs::read(file).expect("the video")
}

/// Width and height of a PNG.
pub fn png_size(picture: &[u8]) -> (u32, u32) {
    assert!(picture.starts_with(b"\x89PNG"), "no PNG");
    let number = |at| u32::from_be_bytes(picture[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

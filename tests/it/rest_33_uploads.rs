//! `rest.md` §33, DEV-22: uploads, and how they are served.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::files::{
    PNG, UPLOAD, form, last_event, left_over, post_form, upload, uploaded,
};
use crate::support::{App, PASSWORD, Reply, User, device, send, until};

/// `rest.md` §33, DEV-22, clarifications 13 and 32.
#[tokio::test]
async fn rest_33_uploading_and_reading() {
    let app = App::start().await;
    a_file_is_stored_and_served(&app).await;
    every_upload_is_an_event(&app).await;
    dev_22_folders_stay_below_the_root(&app).await;
    who_may_upload(&app).await;
    forms_without_a_file(&app).await;
    who_goes_away_leaves_nothing(&app).await;
    ranges_and_conditions(&app).await;
    only_uploads_are_served(&app).await;
    app.verify().await;
}

async fn a_file_is_stored_and_served(app: &App) {
    let ann = app.register("ann").await;
    for sender in [&ann, &app.visitor(&device(1)).await] {
        let reply = upload(sender, "chatImgs_small-1", "A photo.PNG", PNG).await;
        let url = reply.ok()["url"].as_str().expect("a url").to_owned();
        let rest = url.strip_prefix("/public/uploads/Diy/chatImgs/small-1/").expect("its folder");
        let (day, name) = rest.split_once('/').expect("a day");
        let (ms, number) =
            name.strip_suffix(".png").and_then(|name| name.split_once('_')).expect("its form");
        let at: i64 = ms.parse().expect("milliseconds");
        assert_eq!(day, day_in_beijing(at));
        assert!(number.parse::<u32>().is_ok_and(|number| number < 100_000_000), "{name}");
        let read = app.api().get(&url).await;
        assert_eq!((read.status, read.bytes.as_slice()), (200, PNG));
        let header = |name: &str| read.headers[name].to_str().expect("text").to_owned();
        assert_eq!(header("content-type"), "image/png");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-security-policy"), "default-src 'none'; sandbox");
        assert_eq!(header("access-control-allow-origin"), "*");
        assert!(app.servers.uploads().join(&url["/public/uploads/".len()..]).is_file());
    }
    assert_eq!(left_over(app), 0);
}

fn day_in_beijing(ms: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(ms / 1000 + 8 * 3600).expect("a time");
    format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day())
}

async fn every_upload_is_an_event(app: &App) {
    let bob = app.register("bob").await;
    let before = bob.profile().await;
    let url = uploaded(&bob, "secret name.txt", "你好".as_bytes()).await;
    let event = last_event(app, &bob).await;
    let data = json!({ "place": "folder", "path": url["/public/uploads/".len()..], "bytes": 6,
        "media_type": "text/plain; charset=utf-8", "sha256": hex::encode(Sha256::digest("你好")) });
    assert_eq!(event, json!({ "type": "user.file_uploaded.v1", "data": data }));
    // Many at once, and with other changes of the same account.
    let uploads = (0..10).map(|_| uploaded(&bob, "a.png", PNG));
    let (urls, ()) = tokio::join!(futures_util::future::join_all(uploads), bob.rename("Bobby"));
    let different: std::collections::BTreeSet<_> = urls.iter().collect();
    assert_eq!(different.len(), 10);
    assert_eq!(bob.profile().await["nickname"], "Bobby");
    assert_eq!(bob.profile().await["avatar"], before["avatar"]);
}

async fn dev_22_folders_stay_below_the_root(app: &App) {
    let dan = app.register("dan").await;
    for folder in
        ["_", "_a", "a_", "a__b", "..%2f..", "a%2fb", "a%5cb", "a.b", "%E5%9B%BE", "a%00", "~"]
    {
        upload(&dan, folder, "a.png", PNG).await.refused(400, "无效的上传目录");
    }
    upload(&dan, "..", "a.png", PNG).await.failed(404);
    let empty = dan.post(&format!("{UPLOAD}/a__b"), json!({})).await;
    empty.refused(400, "无效的上传目录");
    let around = fs::read_dir(app.servers.folder()).expect("the folder");
    for entry in around {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(!name.contains(".png"), "{name}");
    }
}

async fn who_may_upload(app: &App) {
    let (eve, path) = (app.register("eve").await, format!("{UPLOAD}/chatImgs"));
    let (api, token) = (app.api(), eve.token().to_owned());
    let with_token = |token: String| {
        let file = Part::bytes(PNG.to_vec()).file_name("a.png");
        Form::new().text("token", token).part("file", file)
    };
    post_form(&api, &path, with_token(token.clone())).await.ok();
    send(
        api.request(Method::POST, &format!("{path}?token={token}"))
            .multipart(form("file", "a.png", PNG)),
    )
    .await
    .ok();
    let nobody = "您没有权限访问即时通讯接口";
    upload(&api, "chatImgs", "a.png", PNG).await.refused(400, nobody);
    upload(&api, "a__b", "a.html", PNG).await.refused(400, nobody);
    post_form(&api, &path, Form::new().text("x", "y")).await.refused(400, nobody);
    let late =
        Form::new().part("file", Part::bytes(PNG.to_vec()).file_name("a.png")).text("token", token);
    post_form(&api, &path, late).await.refused(400, nobody);
    let wrong = "Token 令牌不合法！";
    post_form(&api, &path, with_token("x".to_owned())).await.refused(400, wrong);
    upload(&api.with_token("x"), "a__b", "a.html", PNG).await.refused(400, wrong);
    assert_eq!(left_over(app), 0);
}

async fn forms_without_a_file(app: &App) {
    let fay = app.register("fay").await;
    let (path, none) = (format!("{UPLOAD}/chatImgs"), "请选择要上传的文件");
    post_form(&fay, &path, Form::new().text("file", "no file")).await.refused(400, none);
    post_form(&fay, &path, form("file", "", b"")).await.refused(400, none);
    fay.post(&path, json!({ "file": "x" })).await.refused(400, none);
    fay.post_empty(&path).await.refused(400, none);
    let broken = "请求内容不完整";
    for body in [
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhalf a fi",
        "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n",
        "nonsense",
        &format!("--b\r\n{}", "x".repeat(600_000)),
    ] {
        let request = fay.request(Method::POST, &path).body(body.to_owned());
        send(request.header("content-type", "multipart/form-data; boundary=b"))
            .await
            .refused(400, broken);
    }
    let long =
        Form::new().text("x", "y".repeat(5000)).part("file", Part::bytes(PNG).file_name("a.png"));
    post_form(&fay, &path, long).await.refused(400, broken);
    assert_eq!(left_over(app), 0);
}

async fn ranges_and_conditions(app: &App) {
    let gil = app.register("gil").await;
    let url = uploaded(&gil, "a.txt", b"0123456789").await;
    let get = async |name: &str, value: &str| -> Reply {
        send(app.api().request(Method::GET, &url).header(name, value)).await
    };
    for (range, part, told) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
        ("Bytes=0-1", "01", "bytes 0-1/10"),
    ] {
        let reply = get("range", range).await;
        assert_eq!((reply.status, reply.text().as_str()), (206, part));
        assert_eq!(reply.headers["content-range"], told);
        assert_eq!(reply.headers["content-security-policy"], "default-src 'none'; sandbox");
    }
    let reply = get("range", "bytes=10-").await;
    assert_eq!(
        (reply.status, &reply.headers["content-range"].to_str().expect("text")),
        (416, &"bytes */10")
    );
    for ignored in ["items=0-1", "bytes=0-0,2-3", "bytes=4-2", "bytes"] {
        let reply = get("range", ignored).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "0123456789"), "{ignored}");
    }
    let reply = app.api().get(&url).await;
    let etag = reply.headers["etag"].to_str().expect("text").to_owned();
    assert_eq!(get("if-none-match", &etag).await.status, 304);
    let since = reply.headers["last-modified"].to_str().expect("text").to_owned();
    assert_eq!(get("if-modified-since", &since).await.status, 304);
    assert!(reply.headers["cache-control"].to_str().is_ok_and(|it| it.contains("immutable")));
    for (version, status) in [(&*etag, 206), (&since, 206), ("\"another\"", 200)] {
        let request = app.api().request(Method::GET, &url).header("range", "bytes=0-0");
        assert_eq!(send(request.header("if-range", version)).await.status, status, "{version}");
    }
    let request = app.api().request(Method::HEAD, &url).header("range", "bytes=0-0");
    assert_eq!(send(request).await.status, 200, "only a GET has ranges");
    let empty = uploaded(&gil, "a.txt", b"").await;
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "items=0-1", "bytes=0-0,2-3"] {
        let reply = send(app.api().request(Method::GET, &empty).header("range", range)).await;
        assert_eq!((reply.status, reply.bytes.len()), (200, 0), "{range}");
    }
    let head = send(app.api().request(Method::HEAD, &url)).await;
    assert_eq!(
        (head.status, &head.headers["content-length"].to_str().expect("text")),
        (200, &"10")
    );
}

async fn only_uploads_are_served(app: &App) {
    let uploads = app.servers.uploads();
    fs::write(uploads.join("page.html"), "<html>").expect("written");
    fs::write(uploads.join(".incoming/secret.txt"), "x").expect("written");
    fs::create_dir_all(uploads.join("folder.txt")).expect("made");
    std::os::unix::fs::symlink("/etc/hostname", uploads.join("link.txt")).expect("linked");
    fs::write(app.servers.folder().join("beside.txt"), "x").expect("written");
    for path in [
        "page.html",
        ".incoming/secret.txt",
        "folder.txt",
        "link.txt",
        "nothing.png",
        "",
        "Diy",
        "Diy/",
        "%2e%2e/beside.txt",
        "../beside.txt",
        "Diy/../../beside.txt",
        "..%2fbeside.txt",
        "a%2f..%2f..%2fbeside.txt",
        "%252e%252e/beside.txt",
        "..%5cbeside.txt",
    ] {
        let reply = get_raw(app, &format!("/public/uploads/{path}")).await;
        assert!(
            reply.starts_with("HTTP/1.1 404 ") && reply.contains("404 错误"),
            "{path}: {reply}"
        );
    }
    app.api().post("/public/uploads/page.html", json!({})).await.refused(404, "404 错误");
    fs::remove_file(uploads.join(".incoming/secret.txt")).expect("removed");
}

/// A path as it is: the usual client would tidy it up.
async fn get_raw(app: &App, path: &str) -> String {
    let host = app.gateways[0].origin().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).await.expect("it listens");
    let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    whole_answer(stream).await
}

async fn whole_answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answered");
    String::from_utf8_lossy(&answer).into_owned()
}

/// `rest.md` §33: 50 MB, and not more; in memory only in passing.
#[tokio::test]
async fn rest_33_a_large_file_passes_through_little_memory() {
    const MOST: usize = 52_428_800;
    let mut app = App::start().await;
    let ann = app.register("ann").await;
    uploaded(&ann, "warm.png", PNG).await;
    let process = app.gateways[0].process().id();
    let before = memory_kib(process, "VmRSS");
    fs::write(format!("/proc/{process}/clear_refs"), "5").expect("the peak can be reset");
    let sends = (0..3).map(|_| stream_zip(&ann, MOST));
    let replies = futures_util::future::join_all(sends).await;
    let grown = memory_kib(process, "VmHWM").saturating_sub(before);
    for reply in &replies {
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    }
    assert!(grown < 16 * 1024, "three files of 50 MB cost {grown} KiB");
    let event = last_event(&app, &ann).await;
    assert_eq!(event["data"]["bytes"], MOST);

    let reply = stream_zip(&ann, MOST + 1).await;
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("文件过大"), "{reply}");
    assert_eq!(left_over(&app), 0);
}

fn memory_kib(process: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(what)).expect("a line of it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Sends a file of so many bytes without holding it; returns the answer as text.
async fn stream_zip(user: &User, bytes: usize) -> String {
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\r\n";
    let mut stream = start_upload(user, head.len() + bytes + 9).await;
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(b"PK\x03\x04").await.expect("sent");
    let piece = vec![b'-'; 65_536]; // looks like the beginning of a boundary all the time
    let mut left = bytes - 4;
    while left > 0 {
        let length = left.min(piece.len());
        stream.write_all(&piece[..length]).await.expect("sent");
        left -= length;
    }
    stream.write_all(b"\r\n--b--\r\n").await.expect("sent");
    whole_answer(stream).await
}

async fn start_upload(user: &User, length: usize) -> TcpStream {
    let host = user.origin().strip_prefix("http://").expect("an origin").to_owned();
    let mut stream = TcpStream::connect(&host).await.expect("it listens");
    let head = format!(
        "POST {UPLOAD}/chatFiles HTTP/1.1\r\nhost: {host}\r\ntoken: {}\r\nconnection: close\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: {length}\r\n\r\n",
        user.token()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

/// A client that stops sending leaves nothing behind; nor does a crash, after the next start.
#[tokio::test]
async fn rest_33_half_an_upload_leaves_nothing() {
    let mut app = App::configured(&[("MEDIA__UPLOAD_IDLE_MS", "200")]).await;
    let ann = app.register("ann").await;
    let mut silent = start_upload(&ann, 1_000_000).await;
    silent.write_all(HALF.as_bytes()).await.expect("sent");
    let answer = whole_answer(silent).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("请求内容不完整"), "{answer}");
    assert_eq!(left_over(&app), 0);

    let orphan = app.servers.uploads().join(".incoming/orphan");
    fs::write(&orphan, "half").expect("written");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(2);
    let file = fs::File::options().write(true).open(&orphan).expect("it is there");
    file.set_modified(long_ago).expect("aged");
    app.gateways[0].process().kill9();
    app.gateways[0].start_again_alone(&[("MEDIA__UPLOAD_IDLE_MS", "60000")]);
    assert!(app.gateways[0].ready().await);
    assert!(!orphan.exists());
    let url = uploaded(&ann, "a.png", PNG).await;
    app.gateways[0].process().kill9();
    app.gateways[0].start_again().await;
    assert_eq!(app.api().get(&url).await.bytes, PNG, "what was answered is there");
}

const HALF: &str =
    "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhalf";

async fn who_goes_away_leaves_nothing(app: &App) {
    let hal = app.register("hal").await;
    let mut gone = start_upload(&hal, 1_000_000).await;
    gone.write_all(HALF.as_bytes()).await.expect("sent");
    until("an upload is coming", async || (left_over(app) == 1).then_some(())).await;
    drop(gone);
    until("nothing is left", async || (left_over(app) == 0).then_some(())).await;
}

/// A file of somebody whose token has ended when it is there: nothing would ever find it.
#[tokio::test]
async fn rest_33_what_is_refused_at_its_end_leaves_nothing() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let end = "\r\n--b--\r\n";
    let mut slow = start_upload(&ann, HALF.len() + end.len()).await;
    slow.write_all(HALF.as_bytes()).await.expect("sent");
    until("an upload is coming", async || (left_over(&app) == 1).then_some(())).await;
    ann.post("/api/chat/deleteAccount", json!({ "password": PASSWORD })).await.done();
    slow.write_all(end.as_bytes()).await.expect("sent");
    let answer = whole_answer(slow).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let uploads = app.servers.uploads();
    let files = walk(&uploads);
    assert!(files.is_empty(), "{files:?}");
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path());
    let (folders, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| walk(folder)));
    files
}

/// The gateways share the folder.
#[tokio::test]
async fn rest_33_every_gateway_serves_an_upload() {
    let app = App::with_gateways(2).await;
    let ann = app.register("ann").await;
    let url = uploaded(&ann, "a.png", PNG).await;
    assert_eq!(app.api_of(1).get(&url).await.bytes, PNG);
    let there = ann.via(app.gateways[1].origin());
    assert_eq!(app.api().get(&uploaded(&there, "a.png", PNG).await).await.bytes, PNG);
}

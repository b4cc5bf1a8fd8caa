//! `rest.md` §33, clarification 26: which files are taken, and as what.

use reqwest::Method;
use reqwest::multipart::{Form, Part};

use crate::support::files::{PNG, UPLOAD, left_over, post_form, upload, uploaded};
use crate::support::{App, Reply, User, send};

/// `rest.md` §33, clarification 26.
#[tokio::test]
async fn rest_33_which_files_are_taken() {
    let app = App::start().await;
    names_and_types_decide(&app).await;
    clarification_26_within_a_family_the_content_decides(&app).await;
    clarification_26_any_part_with_a_name_or_a_type_is_a_file(&app).await;
    assert_eq!(left_over(&app), 0);
}

async fn names_and_types_decide(app: &App) {
    let cat = app.register("cat").await;
    let refused = "不支持的文件类型";
    for (name, content) in [
        ("a.html", &b"<html>"[..]),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("a.js", b"alert(1)"),
        ("a.png.html", PNG),
        ("a.exe", b"MZ"),
        ("a.mp3", PNG),
        ("a.mp4", PNG),
        ("a.png", b"<svg onload=alert(1)>"),
        ("a.txt", b"<!doctype html><script>alert(1)</script>"),
        ("a.txt", PNG),
        ("a.png", b""),
        ("a.mp4", b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nfile:///etc/passwd\n"),
        ("a.mp4", b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
        ("blob", b"<html>"),
        ("blob", b"hello"),
    ] {
        upload(&cat, "chatImgs", name, content).await.refused(400, refused);
    }
    let large = [b"<html>", vec![b'x'; 100_000].as_slice()].concat();
    upload(&cat, "chatImgs", "large.png", &large).await.refused(400, refused);
    assert_eq!(extension(&uploaded(&cat, "blob", PNG).await), "png", "by its content");
    let part =
        Part::bytes(b"hello".to_vec()).file_name("blob").mime_str("text/plain").expect("a type");
    let form = Form::new().text("other", "x").part("whatever", part);
    let reply = post_form(&cat, &format!("{UPLOAD}/chatImgs"), form).await;
    assert_eq!(extension(reply.ok()["url"].as_str().expect("a url")), "txt", "by its type");
    let url = uploaded(&cat, "../../../etc/cron.d/evil.JPEG", b"\xff\xd8\xff\xe0").await;
    assert!(url.starts_with("/public/uploads/Diy/chatImgs/"), "{url}");
    assert_eq!(extension(&url), "jpeg");
    let text = app.api().get(&uploaded(&cat, "a.txt", b"<").await).await;
    assert_eq!(text.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text.headers["content-disposition"], "attachment");
    assert_eq!(left_over(app), 0);
}

fn extension(url: &str) -> &str {
    url.rsplit_once('.').expect("an extension").1
}

async fn clarification_26_within_a_family_the_content_decides(app: &App) {
    let kim = app.register("kim").await;
    let ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
    for (name, content, stored, media_type) in [
        ("x.jpg", &b"RIFF\x0c\0\0\0WEBPVP8 "[..], "webp", "image/webp"),
        ("x.jpg", PNG, "png", "image/png"),
        ("x.jfif", b"\xff\xd8\xff\xe0", "jpg", "image/jpeg"),
        ("x.jpe", b"\xff\xd8\xff\xe0", "jpg", "image/jpeg"),
        ("x.aac", b"\0\0\0\x18ftypM4A \0\0\0\0mp42isom", "m4a", "audio/mp4"),
        ("x.mp3", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "m4a", "audio/mp4"),
        ("x.mp4", b"\0\0\0\x18ftypM4A \0\0\0\0mp42isom", "m4a", "audio/mp4"),
        (
            "x.docx",
            ole,
            "docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (
            "x.xlsx",
            ole,
            "xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        ("x.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic", "image/heic"),
        ("x.avif", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "avif", "image/avif"),
        ("x.3gp", b"\0\0\0\x18ftyp3gp4\0\0\0\x003gp4isom", "3gp", "video/3gpp"),
        ("x.m4v", b"\0\0\0\x18ftypM4V \0\0\0\0M4V isom", "m4v", "video/x-m4v"),
        ("x.mkv", b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska", "mkv", "video/x-matroska"),
        ("x.flv", b"FLV\x01\x05\0\0\0\x09", "flv", "video/x-flv"),
        (
            "x.pptx",
            b"PK\x03\x04..........................ppt/presentation.xml",
            "pptx",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        ("x.ppt", ole, "ppt", "application/vnd.ms-powerpoint"),
        ("x.csv", b"a,b\r\n", "csv", "text/csv; charset=utf-8"),
        ("x.rtf", b"{\\rtf1 x}", "rtf", "application/rtf"),
    ] {
        let url = uploaded(&kim, name, content).await;
        assert_eq!(extension(&url), stored, "{name}");
        let served = app.api().get(&url).await;
        assert_eq!(served.headers["content-type"], media_type, "{name}");
        assert_eq!(served.headers["x-content-type-options"], "nosniff");
        let is_saved = served.headers.contains_key("content-disposition");
        assert_eq!(is_saved, media_type.starts_with(['a', 't']) && stored != "m4a", "{name}");
        assert_eq!(served.bytes, content, "{name}");
    }
}

/// Whatever the encoding of the name, or its form.
async fn clarification_26_any_part_with_a_name_or_a_type_is_a_file(app: &App) {
    let lea = app.register("lea").await;
    let csv = "text/plain";
    let png = "image/png";
    let none: &[u8] = b"form-data; name=\"file\"";
    for (disposition, media_type, content, stored) in [
        (
            &b"form-data; name=\"file\"; filename=\"\xcd\xbc\xc6\xac.csv\""[..],
            csv,
            &b"a,b"[..],
            "csv",
        ),
        (b"form-data; name=\"file\"; filename=\"\xd5\x5c.csv\"", csv, b"a,b", "csv"),
        (b"form-data; name=\"file\"; filename=\"caf\xe9.csv\"", csv, b"a,b", "csv"),
        (b"form-data; name=\"file\"; filename*=UTF-8''%E5%9B%BE.csv", csv, b"a,b", "csv"),
        (
            b"form-data; filename*=UTF-8''%E5%9B%BE.csv; filename=\"x\"; name=\"file\"",
            csv,
            b"a,b",
            "csv",
        ),
        (none, png, PNG, "png"),
        (none, "image/jpeg", PNG, "png"),
        (none, "application/octet-stream", PNG, "png"),
    ] {
        let reply = post_part(&lea, disposition, media_type, content).await;
        let url = reply.ok()["url"].as_str().expect("a url").to_owned();
        assert_eq!(extension(&url), stored, "{}", disposition.escape_ascii());
    }
    let nothing = b"form-data; name=\"file\"; filename=\"\"";
    let reply = post_part(&lea, nothing, "application/octet-stream", b"").await;
    reply.refused(400, "请选择要上传的文件");
    post_part(&lea, none, "text/plain", b"x").await.refused(400, "请选择要上传的文件");
    post_part(&lea, none, "image/png", b"<svg/>").await.refused(400, "不支持的文件类型");
}

async fn post_part(user: &User, disposition: &[u8], media_type: &str, content: &[u8]) -> Reply {
    let head = [b"--b\r\nContent-Disposition: ", disposition, b"\r\nContent-Type: "].concat();
    let body = [&head[..], media_type.as_bytes(), b"\r\n\r\n", content, b"\r\n--b--\r\n"].concat();
    let request = user.request(Method::POST, &format!("{UPLOAD}/chatFiles")).body(body);
    send(request.header("content-type", "multipart/form-data; boundary=b")).await
}

//! `rest.md` §32: QR codes.

use std::io::Cursor;

use serde_json::{Value, json};

use crate::support::python::{in_tree, python, told};
use crate::support::shapes::enc;
use crate::support::{App, Reply, device};

const PAGE: &str = "#/pages/setpageInfo/setpageInfo?action=autoAddGroup";

/// `rest.md` §32, DEV-23, clarification 12.
#[tokio::test]
async fn rest_32_qr_codes() {
    let app = App::start().await;
    a_person_by_himself(&app).await;
    a_person_for_a_browser(&app).await;
    what_is_too_long_goes_without_the_avatar_or_not_at_all(&app).await;
    a_group_for_its_members(&app).await;
    who_has_no_code(&app).await;
}

/// DEV-23.
async fn a_person_by_himself(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let path = |query: &str| format!("/api/chat/groupQrcode/{}?chatType=single{query}", bob.id);
    let object = json!({ "id": bob.id, "name": bob.username, "chatType": "single" });
    let reply = ann.get(&path("")).await;
    assert_eq!(reply.headers["content-type"], "image/png");
    assert_eq!(read_json(&reply), object);
    // As an image's source: no header, and an address that a template wrote over several lines.
    let query = format!("%0A%20token={}%0A&%20%20type=H5", ann.token());
    let path_only = format!("/api/chat/groupQrcode/{}?chatType=single%0A%20&{query}", bob.id);
    let reply = app.api().get(&path_only).await;
    assert_eq!(read_json(&reply), object, "without `http`, `type` means nothing");
    for odd in
        ["&http=https://s.example", "&type=h5&http=https://s.example", "&type=H5&http=javascript:x"]
    {
        assert_eq!(read_json(&ann.get(&path(odd)).await), object, "{odd}");
    }
    bob.rename("鲍勃").await;
    let object = json!({ "id": bob.id, "name": "鲍勃", "chatType": "single" });
    let guest = app.visitor(&device(1)).await;
    assert_eq!(read_json(&guest.get(&path("")).await), object, "guests may");
}

async fn a_person_for_a_browser(app: &App) {
    let cat = app.register("cat").await;
    cat.rename("a&b=c").await;
    cat.change("avatar", "/public/uploads/a.png?x=1&y=2").await.ok();
    let path = format!(
        "/api/chat/groupQrcode/{}?chatType=single&type=H5&http={}",
        cat.id,
        enc("https://s.example/app/")
    );
    let expected = format!(
        "https://s.example/app/{PAGE}&title={}&id={}&chatType=single&name={}&avatar={}",
        enc("加用户[a&b=c]为好友"),
        cat.id,
        enc("a&b=c"),
        enc("/public/uploads/a.png?x=1&y=2")
    );
    assert_eq!(read(&cat.get(&path).await), expected);
}

/// Clarification 12.
async fn what_is_too_long_goes_without_the_avatar_or_not_at_all(app: &App) {
    let dan = app.register("dan").await;
    dan.change("avatar", &format!("https://h/{}", "图".repeat(900))).await.ok();
    let path = |site: &str| {
        format!("/api/chat/groupQrcode/{}?chatType=single&type=H5&http={site}", dan.id)
    };
    let expected = format!(
        "https://h{PAGE}&title={}&id={}&chatType=single&name={}",
        enc(&format!("加用户[{}]为好友", dan.username)),
        dan.id,
        dan.username
    );
    assert_eq!(read(&dan.get(&path("https://h")).await), expected);
    dan.rename(&"名".repeat(30)).await;
    let long = format!("https://h/{}", enc(&"路".repeat(1000)));
    dan.get(&path(&long)).await.refused(400, "二维码内容过长");
    let too_long = format!("https://h/{}", "x".repeat(2039));
    let object = json!({ "id": dan.id, "name": "名".repeat(30), "chatType": "single" });
    assert_eq!(
        read_json(&dan.get(&path(&too_long)).await),
        object,
        "more than 2048 characters are no address"
    );
}

async fn a_group_for_its_members(app: &App) {
    let [gil, hal, ida] = app.users(["gil", "hal", "ida"]).await;
    let group = app.group(&gil, &[&hal]).await;
    gil.post("/api/chat/groupUpdateName", json!({ "id": group.id, "name": "茶 & tea" }))
        .await
        .done();
    let path = |query: &str| format!("/api/chat/groupQrcode/{}{query}", group.id);
    let object = json!({ "id": group.id, "name": "茶 & tea" });
    assert_eq!(read_json(&hal.get(&path("")).await), object);
    assert_eq!(read_json(&gil.get(&path("?chatType=group&type=H5")).await), object);
    let query = format!("?type=H5&http={}", enc("http://s.example"));
    let expected = format!(
        "http://s.example{PAGE}&title={}&id={}&chatType=group&name={}",
        enc("群介绍"),
        group.id,
        enc("茶 & tea")
    );
    assert_eq!(read(&hal.get(&path(&query)).await), expected);
    let nobody = "群不存在或被封禁或者您不在该群聊中";
    ida.get(&path("")).await.refused(400, nobody);
    // Who waits for approval is no member yet.
    let policy = json!({ "group_id": group.id, "addGroupSet": 1 });
    assert_eq!(gil.post("/api/chat/groupAddUserSet", policy).await.ok(), "设置成功");
    let join = json!({ "group_id": group.id, "user_id": ida.id, "inviteuser_id": -1 });
    assert_eq!(ida.post("/api/chat/groupInviteUser", join).await.ok(), "等待群主同意");
    ida.get(&path("")).await.refused(400, nobody);
}

async fn who_has_no_code(app: &App) {
    let [eve, fay] = app.users(["eve", "fay"]).await;
    let nobody = "用户不存在或被封禁";
    eve.get("/api/chat/groupQrcode/999999?chatType=single").await.refused(400, nobody);
    app.cli(&["users", "disable", &fay.id.to_string()]).await.ok();
    eve.get(&format!("/api/chat/groupQrcode/{}?chatType=x", fay.id)).await.refused(400, nobody);
    for query in ["", "?chatType=group", "?chatType="] {
        let path = format!("/api/chat/groupQrcode/999999{query}");
        eve.get(&path).await.refused(400, "群不存在或被封禁或者您不在该群聊中");
    }
    let said = eve.get("/api/chat/groupQrcode/x?chatType=single").await.failed(422);
    assert!(said.starts_with("群id或者个人id 的值"), "{said}");
    app.api()
        .get("/api/chat/groupQrcode/1?chatType=single")
        .await
        .refused(400, "您没有权限访问即时通讯接口");
}

/// Readers of all kinds see the same: `ZBar`, zxing and `OpenCV`, each of which guesses the encoding of what is not ASCII.
#[tokio::test]
async fn rest_32_every_reader_reads_every_name() {
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = python("readers", folder.path());
    command.arg(in_tree("tests/readers/qr_codes.py"));
    let mut objects = Vec::new();
    for (number, name) in NAMES.split_whitespace().enumerate() {
        let body = json!({ "id": group.id, "name": name });
        ann.post("/api/chat/groupUpdateName", body).await.done();
        let code = bob.get(&format!("/api/chat/groupQrcode/{}", group.id)).await;
        let file = folder.path().join(format!("{number}.png"));
        std::fs::write(&file, &code.bytes).expect("the folder takes files");
        command.arg(file);
        objects.push(json!({ "id": group.id, "name": name }));
    }
    assert_eq!(objects.len(), 45);
    let seen: Vec<[String; 3]> = serde_json::from_str(&told(command).await).expect("a list");
    for (object, seen) in objects.iter().zip(&seen) {
        for (reader, text) in ["ZBar", "zxing", "OpenCV"].iter().zip(seen) {
            let read: Option<Value> = serde_json::from_str(text).ok();
            assert_eq!(read.as_ref(), Some(object), "{reader} reads {text}");
        }
    }
}

const NAMES: &str = "茶 龙 鸿 雁 家 国 你 好 王 李 张 刘 陈 杨 赵 鲍勃 茶馆 家人 同学 朋友 北京 上海 鸿雁 中国 春天 夏天 秋天 冬天 \
    龙井 红茶 绿茶 工作 学校 足球 篮球 音乐 电影 旅行 美食 读书 摄影 é ñ 🍵 茶a";

/// The object that a reader sees in a picture.
#[track_caller]
fn read_json(reply: &Reply) -> Value {
    serde_json::from_str(&read(reply)).expect("JSON")
}

/// What a reader sees in a picture; at least 10 pixels a module, or the picture is refused.
#[track_caller]
fn read(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut reader = png::Decoder::new(Cursor::new(&reply.bytes)).read_info().expect("a PNG");
    let mut packed = vec![0; reader.output_buffer_size().expect("it has a size")];
    let info = reader.next_frame(&mut packed).expect("an image");
    let (side, line) = (info.width as usize, info.line_size);
    let light = |x: usize, y: usize| packed[y * line + x / 8] & (0x80 >> (x % 8)) != 0;
    let mut image =
        rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| u8::from(light(x, y)) * 255);
    let (meta, text) = image.detect_grids().first().expect("a code").decode().expect("readable");
    assert!(side >= 10 * (4 * meta.version.0 + 17));
    text
}

//! Clarification 25: the names that people give to themselves, to groups and to each other.

use serde_json::{Value, json};

use crate::support::{App, PASSWORD, device, signed_call};

const IN_A_USERNAME: &str = "账号包含无效字符";
const IN_A_NICKNAME: &str = "昵称包含无效字符";

/// Zero-width and bidirectional characters, a control, a line feed, blanks.
const UNFIT: [&str; 8] = [
    "adm\u{200b}in",
    "\u{202e}nimda",
    "admin\u{feff}",
    "ad\nmin",
    "ad\u{0}min",
    "    ",
    "admin ",
    "\u{3164}\u{3164}\u{3164}\u{3164}",
];

const FAMILY: &str = "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}";

#[tokio::test]
async fn names_have_no_characters_that_cannot_be_seen() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let cat = app.register("cat").await;
    let group = app.group(&ann, &[&bob]).await;
    let api = app.api();
    for unfit in UNFIT {
        let credentials = json!({ "username": unfit, "password": PASSWORD });
        api.post("/api/regChat", credentials.clone()).await.refused(422, IN_A_USERNAME);
        let upgrade = signed_call(&api, "/api/visitorregChat", &device(1), credentials).await;
        upgrade.refused(422, IN_A_USERNAME);
        ann.change("nickname", unfit).await.refused(422, IN_A_NICKNAME);
        let name = json!({ "id": group.id, "nickname": unfit });
        bob.post("/api/chat/groupnickname", name).await.refused(422, IN_A_NICKNAME);
        let name = json!({ "id": group.id, "name": unfit });
        ann.post("/api/chat/groupUpdateName", name).await.refused(422, "群名称包含无效字符");
        // Who logs in by such a name is told of the account: an older log may have it.
        if !unfit.contains('\0') {
            let credentials = json!({ "username": unfit, "password": PASSWORD });
            let unknown = "账号不存在或者被禁用";
            api.post("/api/loginChat", credentials).await.refused(400, unknown);
        }
    }
    // A remark may be left out: an unfit one counts as such (`rest.md` §0.3). The text of a request is no name.
    let ask = async |text: &str| {
        let asked = json!({ "friend_id": bob.id, "nickname": text });
        cat.post("/api/chat/applyfriend", asked).await.done();
        let asked = bob.post_empty(&format!("/api/chat/isApplyfriend/{}", cat.uuid)).await.ok();
        let path = format!("/api/chat/handleapply/{}", asked["id"]);
        let answer = json!({ "status": "agree", "nickname": text });
        bob.post(&path, answer).await.done();
        let edge = bob.post_empty(&format!("/api/chat/ismygoodfriend/{}", cat.id)).await.ok();
        bob.post_empty(&format!("/api/chat/deletegoodfriend/{}", cat.id)).await.ok();
        [asked["nickname"].clone(), edge["nickname"].clone()]
    };
    assert_eq!(ask(UNFIT[1]).await, [UNFIT[1], ""].map(Value::from));
    assert_eq!(ask(FAMILY).await, [FAMILY, FAMILY].map(Value::from));

    ann.rename(FAMILY).await;
    ann.rename_in(group, FAMILY).await.done();
    let name = json!({ "id": group.id, "name": FAMILY });
    ann.post("/api/chat/groupUpdateName", name).await.done();
    assert_eq!(ann.profile().await["nickname"], FAMILY);
    let announcement = json!({ "id": group.id, "remark": "Two lines:\n\ttea at five " });
    ann.post("/api/chat/groupremark", announcement).await.done(); // a text, not a name
    app.verify().await;
}

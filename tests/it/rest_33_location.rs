//! `rest.md` §33, §34: pictures do not tell where they were taken.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::files::{form, last_event, post_form, uploaded};
use crate::support::python::{in_tree, python, told};
use crate::support::{App, User};

const KINDS: [&str; 5] = ["jpg", "png", "webp", "heic", "avif"];

/// By either route, and whatever the kind. An independent reader sees the same picture, without a position.
#[tokio::test]
async fn rest_33_positions_are_taken_out_of_pictures() {
    let app = App::start().await;
    let folder = pictures().await;
    let before = read(folder.path(), "gps").await;
    let ann = app.register("ann").await;
    for (kind, told_before) in KINDS.iter().zip(&before) {
        let sent = picture(folder.path(), kind);
        let name = format!("a.{kind}");
        for url in [uploaded(&ann, &name, &sent).await, to_store(&ann, &name, &sent).await] {
            let kept = app.api().get(&url).await.bytes;
            assert_eq!(kept.len(), sent.len(), "{kind}");
            let event = last_event(&app, &ann).await;
            assert_eq!(event["data"]["sha256"], hex::encode(Sha256::digest(&kept)), "{kind}");
            std::fs::write(folder.path().join(format!("kept.{kind}")), kept).expect("written");
        }
        assert_eq!((&told_before["gps"], &told_before["xmp"]), (&true.into(), &true.into()));
    }
    for ((kind, before), after) in KINDS.iter().zip(before).zip(read(folder.path(), "kept").await) {
        assert_eq!((&after["gps"], &after["xmp"]), (&false.into(), &false.into()), "{kind}");
        for same in ["orientation", "make", "kept", "pixels"] {
            assert_eq!(after[same], before[same], "{same} of {kind}");
        }
    }
    assert_eq!(read(folder.path(), "kept").await[0]["orientation"], 6);
    app.verify().await;
}

/// `media.strip_location`.
#[tokio::test]
async fn rest_33_positions_stay_where_that_is_wanted() {
    let app = App::configured(&[("MEDIA__STRIP_LOCATION", "false")]).await;
    let folder = pictures().await;
    let ann = app.register("ann").await;
    let sent = picture(folder.path(), "jpg");
    let url = uploaded(&ann, "a.jpg", &sent).await;
    assert_eq!(app.api().get(&url).await.bytes, sent);
}

async fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut make = python("readers", folder.path());
    make.arg(in_tree("tests/readers/positions.py")).arg("make").arg(folder.path());
    told(make).await;
    folder
}

fn picture(folder: &Path, kind: &str) -> Vec<u8> {
    std::fs::read(folder.join(format!("gps.{kind}"))).expect("it was made")
}

/// What pictures say of themselves, in the order of `KINDS`.
async fn read(folder: &Path, name: &str) -> Vec<Value> {
    let mut read = python("readers", folder);
    read.arg(in_tree("tests/readers/positions.py")).arg("read");
    read.args(KINDS.map(|kind| format!("{name}.{kind}")));
    serde_json::from_str(&told(read).await).expect("a list")
}

/// Where a file is that was uploaded to the object store, of which there is none here.
async fn to_store(user: &User, name: &str, content: &[u8]) -> String {
    let reply = post_form(user, "/api/chat/uploadAliyun", form("img", name, content)).await;
    let path = reply.ok()[0]["path"].as_str().expect("a path").to_owned();
    format!("/public/uploads/{path}")
}

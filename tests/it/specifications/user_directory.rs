//! Specifications of the accounts.

use hongyan::projections::user_directory::UserDirectory;
use serde_json::{Value, json};

use super::Specifications;

const ANN: &str = "00000000-0000-4000-8000-000000000003";
const GUS: &str = "00000000-0000-4000-8000-000000000009";

fn ann_registers() -> (&'static str, Value) {
    let data = json!({
        "id": 3, "uuid": ANN, "username": "Alice_01", "role": "user", "device": null,
        "avatar": "/a.png", "at": 1_758_675_601_000_i64,
    });
    ("evt.user.3", json!({"type": "user.registered.v1", "data": data}))
}

fn gus_comes() -> (&'static str, Value) {
    let device = json!({
        "fingerprint": "F", "uniplatform": "app", "model": "Pixel 9", "os": "Android 16", "brand": "Google",
    });
    let data = json!({
        "id": 9, "uuid": GUS, "username": "VIS12345678", "role": "visitor", "device": device,
        "avatar": "/v.png", "at": 1_758_675_602_000_i64,
    });
    ("evt.user.9", json!({"type": "user.registered.v1", "data": data}))
}

pub async fn hold(specifications: &mut Specifications) {
    specifications
        .check::<UserDirectory>(
            "an account begins as it registered, a guest with the device",
            &[ann_registers(), gus_comes()],
            json!({"users": [
                {
                    "id": 3, "uuid": ANN, "username": "Alice_01", "username_fold": "alice_01",
                    "nickname": "", "avatar": "/a.png", "role": "user", "device": "",
                    "uniplatform": "", "devicemodel": "", "deviceos": "", "devicebrand": "",
                    "userset": "", "invite_confirm": 0, "disabled": false, "deleted": false, "erased": false, "gender": "unknown",
                    "birthday": null, "bio": null, "location": null, "website": null,
                    "registered_at": "2025-09-24T01:00:01+00:00",
                    "updated_at": "2025-09-24T01:00:01+00:00", "last_login": null, "version": 1,
                },
                {
                    "id": 9, "uuid": GUS, "username": "VIS12345678", "username_fold": "vis12345678",
                    "nickname": "", "avatar": "/v.png", "role": "visitor", "device": "F",
                    "uniplatform": "app", "devicemodel": "Pixel 9", "deviceos": "Android 16",
                    "devicebrand": "Google", "userset": "", "invite_confirm": 0, "disabled": false, "deleted": false, "erased": false,
                    "gender": "unknown", "birthday": null, "bio": null, "location": null,
                    "website": null, "registered_at": "2025-09-24T01:00:02+00:00",
                    "updated_at": "2025-09-24T01:00:02+00:00", "last_login": null, "version": 2,
                },
            ]}),
        )
        .await;
    let changed = |name: &str, data: Value| ("evt.user.9", json!({"type": name, "data": data}));
    let device =
        json!({"fingerprint": "F", "uniplatform": "h5", "model": "M", "os": "O", "brand": "B"});
    let uploaded = json!({
        "place": "folder", "path": "Diy/a.png", "bytes": 3, "media_type": "image/png", "sha256": "00",
    });
    let log_in = json!({"token": "00000000-0000-4000-8000-0000000000a1", "role": "visitor"});
    specifications
        .check::<UserDirectory>(
            "each change is seen; a log-in is no version of the account, an upload nothing but one",
            &[
                ("evt.user.3", json!({"type": "user.disabled.v1"})), // nobody is there yet
                gus_comes(),
                changed("user.upgraded.v1", json!({"username": "Ｇus"})),
                changed("user.device_described.v1", json!({"device": device})),
                changed("user.nickname_changed.v1", json!({"nickname": "six"})),
                changed("user.avatar_changed.v1", json!({"avatar": "/six.png"})),
                changed("user.invite_confirm_changed.v1", json!({"invite_confirm": 1})),
                changed("user.settings_changed.v1", json!({"userset": "no JSON"})),
                ("evt.user.9", json!({"type": "user.password_changed.v1"})),
                ("evt.user.9", json!({"type": "user.disabled.v1"})),
                changed("user.file_uploaded.v1", uploaded),
                ("evt.session.9", json!({"type": "session.logged_in.v1", "data": log_in})),
            ],
            json!({"users": [{
                "id": 9, "uuid": GUS, "username": "Ｇus", "username_fold": "gus", "nickname": "six",
                "avatar": "/six.png", "role": "user", "device": "F", "uniplatform": "h5",
                "devicemodel": "M", "deviceos": "O", "devicebrand": "B", "userset": "no JSON",
                "invite_confirm": 1, "disabled": true, "deleted": false, "erased": false, "gender": "unknown", "birthday": null,
                "bio": null, "location": null, "website": null,
                "registered_at": "2025-09-24T01:00:02+00:00",
                "updated_at": "2025-09-24T01:00:12+00:00",
                "last_login": "2025-09-24T01:00:12+00:00", "version": 11,
            }]}),
        )
        .await;
    let erased = json!({"messages": 7, "files": 1});
    specifications
        .check::<UserDirectory>(
            "an account that was deleted is shut, and one that was erased says nothing of anybody",
            &[
                ann_registers(),
                gus_comes(),
                ("evt.user.3", json!({"type": "user.deleted.v1"})),
                ("evt.user.9", json!({"type": "user.deleted.v1"})),
                changed("user.erased.v1", erased),
            ],
            json!({"users": [
                {
                    "id": 3, "uuid": ANN, "username": "Alice_01", "username_fold": "alice_01",
                    "nickname": "", "avatar": "/a.png", "role": "user", "device": "",
                    "uniplatform": "", "devicemodel": "", "deviceos": "", "devicebrand": "",
                    "userset": "", "invite_confirm": 0, "disabled": true, "deleted": true,
                    "erased": false, "gender": "unknown", "birthday": null, "bio": null,
                    "location": null, "website": null,
                    "registered_at": "2025-09-24T01:00:01+00:00",
                    "updated_at": "2025-09-24T01:00:03+00:00", "last_login": null, "version": 3,
                },
                {
                    "id": 9, "uuid": GUS, "username": "", "username_fold": "", "nickname": "",
                    "avatar": "", "role": "visitor", "device": "", "uniplatform": "",
                    "devicemodel": "", "deviceos": "", "devicebrand": "", "userset": "",
                    "invite_confirm": 0, "disabled": true, "deleted": true, "erased": true,
                    "gender": "unknown", "birthday": null, "bio": null, "location": null,
                    "website": null, "registered_at": "2025-09-24T01:00:02+00:00",
                    "updated_at": "2025-09-24T01:00:05+00:00", "last_login": null, "version": 5,
                },
            ]}),
        )
        .await;
}

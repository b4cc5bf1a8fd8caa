//! What is sealed, whose it is, and what is read when a key is gone.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::*;

const EVENT: Uuid = Uuid::from_u128(0x0190_a6b1_0000_7000_8000_0000_0000_0001);

const DAY: Option<i64> = Some(30);

fn key(owner: KeyOwner) -> KeyState {
    let byte = match owner {
        KeyOwner::User(id) => id.0,
        KeyOwner::Group(id) => id.0 + 100,
        KeyOwner::Day(day) => day + 200,
    };
    let secret = [u8::try_from(byte).expect("a small number"); ContentKey::LENGTH];
    KeyState::Known(Arc::new(ContentKey::new(7, &secret).expect("a key")))
}

fn sealed(subject: &str, actor: i64, body: &Value) -> Vec<u8> {
    sealed_by(key, subject, actor, body)
}

fn sealed_by(
    key: impl Fn(KeyOwner) -> KeyState,
    subject: &str,
    actor: i64,
    body: &Value,
) -> Vec<u8> {
    let subject = Subject::parse(subject).expect("a subject");
    let body = body.to_string();
    let event = Unsealed {
        subject,
        actor: Some(UserId(actor)),
        id: EVENT,
        day: DAY,
        body: body.as_bytes(),
    };
    event.seal(|owner| Some(key(owner))).unwrap_or_else(|owner| panic!("{owner} has a key"))
}

fn without(destroyed: KeyOwner) -> impl Fn(KeyOwner, u64) -> Option<KeyState> {
    move |owner, _| Some(if owner == destroyed { KeyState::Destroyed } else { key(owner) })
}

fn read(body: &[u8], key: impl Fn(KeyOwner, u64) -> Option<KeyState>) -> Value {
    let clear = unseal(EVENT, body, key).expect("it can be read").expect("something is sealed");
    serde_json::from_slice(&clear).expect("JSON")
}

fn message() -> Value {
    json!({"type": "group_message.sent.v1", "data": {
        "id": "0190a6b1-0000-7000-8000-000000000002",
        "from": {"id": 3, "name": "Ann", "avatar": ""}, "from_uuid": EVENT,
        "to": {"id": 33, "name": "Tea", "avatar": "a,b"}, "kind": "text",
        "data": "\"{\\\"$\\\":\\\"s0.u3.7:AAAA\\\"}\"", "options": {"$": "s0.u3.7:AAAA"}, "sent_at": 5,
    }})
}

/// Also what looks as if it were sealed.
#[test]
fn what_is_sealed_is_read_as_it_was_written() {
    let body = sealed("evt.groupchat.33", 3, &message());
    let text = String::from_utf8(body.clone()).expect("text");
    for secret in ["Ann", "Tea", "AAAA"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains(r#""kind":"text""#) && text.contains("a,b"), "{text}");
    assert_eq!(read(&body, |owner, _| Some(key(owner))), message());
}

#[test]
fn whose_key_is_gone_is_blank_and_others_are_not() {
    let body = sealed("evt.groupchat.33", 3, &message());
    let mut expected = message();
    expected["data"]["to"]["name"] = json!("");
    assert_eq!(read(&body, without(KeyOwner::Group(GroupId(33)))), expected);
    let mut expected = message();
    (expected["data"]["from"]["name"], expected["data"]["data"]) = (json!(""), json!(""));
    expected["data"]["options"] = Value::Null;
    assert_eq!(read(&body, without(KeyOwner::User(UserId(3)))), expected);
}

#[test]
fn what_was_said_on_a_day_is_gone_with_it() {
    let body = sealed("evt.groupchat.33", 3, &message());
    let mut expected = message();
    (expected["data"]["data"], expected["data"]["options"]) = (json!(""), Value::Null);
    assert_eq!(read(&body, without(KeyOwner::Day(30))), expected);
}

/// A remark is of whom it names and of whom it was chosen by.
#[test]
fn what_is_of_two_is_gone_with_either() {
    let event = json!({"type": "friendship.befriended.v1", "data": {
        "caller": {"id": 3, "name": "Ann", "avatar": ""}, "other": {"id": 9, "name": "Bob", "avatar": "b"},
        "text": "hi", "agreed": null, "notice": "0190a6b1-0000-7000-8000-000000000002",
        "edges": [{"owner": 3, "friend": 9, "remark": "Bobby"}, {"owner": 9, "friend": 3, "remark": ""}],
    }});
    let body = sealed("evt.friendship.3.9", 3, &event);
    let of = |gone: i64| read(&body, without(KeyOwner::User(UserId(gone))))["data"].clone();
    let (ann, bob) = (of(3), of(9));
    assert_eq!([&ann["text"], &bob["text"]], ["", "hi"]);
    assert_eq!(
        [&ann["caller"]["name"], &ann["other"]["name"]],
        ["", ""],
        "Ann chose what Bob is called"
    );
    assert_eq!(
        [&bob["caller"]["name"], &bob["other"]["name"]],
        ["", ""],
        "and Bob what Ann is called"
    );
    assert_eq!([&ann["other"]["avatar"], &bob["other"]["avatar"]], ["b", ""]);
    assert_eq!([&ann["edges"][0]["remark"], &bob["edges"][0]["remark"]], ["", ""]);
}

/// A sender's name may be what the recipient calls them.
#[test]
fn a_senders_name_is_gone_with_either_of_both() {
    let mut event = message();
    event["type"] = json!("message.sent.v1");
    event["data"]["to"]["id"] = json!(9);
    let body = sealed("evt.chat.3.9.3", 3, &event);
    for gone in [3, 9] {
        let read = read(&body, without(KeyOwner::User(UserId(gone))));
        assert_eq!(
            [&read["data"]["from"]["name"], &read["data"]["to"]["name"]],
            ["", ""],
            "{gone}"
        );
    }
}

#[test]
fn no_two_values_are_sealed_alike() {
    let mut event = message();
    event["data"]["data"] = json!("Ann");
    let text = String::from_utf8(sealed("evt.groupchat.33", 3, &event)).expect("text");
    let values: Vec<&str> = text.split(':').filter_map(|part| part.strip_suffix("\"}")).collect();
    assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), values.len(), "{text}");
}

/// An event may be sealed again after a key was destroyed: no number then means another value of the same key.
#[test]
fn a_value_is_sealed_alike_whichever_other_keys_are_gone() {
    let values = |body: Vec<u8>| -> Vec<String> {
        let text = String::from_utf8(body).expect("text");
        let parts = text.split("{\"$\":\"").skip(1).filter_map(|part| part.split('"').next());
        parts.map(str::to_owned).collect()
    };
    let of = |gone| {
        let key = move |owner| if owner == gone { KeyState::Destroyed } else { key(owner) };
        values(sealed_by(key, "evt.groupchat.33", 3, &message()))
    };
    let all = values(sealed("evt.groupchat.33", 3, &message()));
    let others = of(KeyOwner::Group(GroupId(33)));
    assert!(others.len() + 1 == all.len() && others.iter().all(|value| all.contains(value)));
}

#[test]
fn what_is_damaged_or_unknown_is_no_blank() {
    let body = sealed("evt.groupchat.33", 3, &message());
    let (ann, group) = (KeyOwner::User(UserId(3)), KeyOwner::Group(GroupId(33)));
    assert_eq!(unseal(EVENT, &body, |_, _| None), Err(UnsealError::Unknown(ann, 7)));
    let other = |_, _| Some(key(group));
    assert_eq!(unseal(EVENT, &body, other), Err(UnsealError::Damaged));
    assert_eq!(unseal(Uuid::nil(), &body, |owner, _| Some(key(owner))), Err(UnsealError::Damaged));
    for damaged in [
        r#"{"$":""#,
        r#"{"$":""}"#,
        r#"{"$":"x0.u3.7:"}"#,
        r#"{"$":"s0.w3.7:"}"#,
        r#"{"$":"s0.u3.7"}"#,
    ] {
        assert_eq!(
            unseal(EVENT, damaged.as_bytes(), other),
            Err(UnsealError::Damaged),
            "{damaged}"
        );
    }
}

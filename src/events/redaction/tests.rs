//! The redaction of single events, by values written out here; `tests/architecture/redaction.rs` has all golden files.

use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"a secret of the tests, of no use elsewhere";

fn body(redaction: &Redaction, kind: &str, body: &Value) -> Option<Value> {
    let mut out = b"before".to_vec();
    let is_read = redaction.body(kind, body.to_string().as_bytes(), &mut out);
    let json = out.strip_prefix(b"before").expect("what was there stays");
    is_read.then(|| serde_json::from_slice(json).expect("JSON"))
}

fn sent() -> Value {
    json!({ "type": "message.sent.v1", "data": {
        "id": "00000000-0000-4000-8000-00000000001e",
        "from": { "id": 3, "name": "小六", "avatar": "a.png" },
        "from_uuid": "00000000-0000-4000-8000-000000000001",
        "to": { "id": 9, "name": "bob", "avatar": "b.png" },
        "kind": "text", "data": "{\"data\":\"你好\"}", "options": { "n": 1.5 },
        "sent_at": 1_758_675_907_004_i64,
    }})
}

/// Who is who in subjects, headers and bodies is the same number, so that they can be joined.
#[test]
fn a_person_has_one_pseudonym_wherever_they_are() {
    let redaction = Redaction::new(Disclosure::None, SECRET);
    let sent = body(&redaction, "message.sent.v1", &sent()).expect("it is read");
    let (ann, bob) = (sent["data"]["from"]["id"].as_i64(), sent["data"]["to"]["id"].as_i64());
    let (ann, bob) = (ann.expect("a number"), bob.expect("a number"));
    assert!([ann, bob].iter().all(|id| (1..1 << 53).contains(id) && ![3, 9].contains(id)));
    let (lower, higher) = (ann.min(bob), ann.max(bob));
    assert_eq!(
        redaction.subject("evt.chat.3.9.3"),
        Some(format!("evt.chat.{lower}.{higher}.{ann}"))
    );
    assert_eq!(redaction.subject("evt.session.9"), Some(format!("evt.session.{bob}")));
    let headers =
        [("ce-type", "message.sent.v1"), ("hy-actor", "3"), ("ce-subject", "evt.group.33")];
    let header = |name: &str| headers.iter().find(|(it, _)| *it == name).map(|(_, value)| *value);
    let seen: Vec<_> = redaction.attributes(header).collect();
    let seen: Vec<_> = seen.iter().map(|it| (it.header, it.name, &*it.value)).collect();
    let actor = ann.to_string();
    let type_and_subject =
        (("ce-type", "type", "message.sent.v1"), ("ce-subject", "subject", "evt.group.33"));
    assert_eq!(seen[1..], [type_and_subject.0, type_and_subject.1, ("hy-actor", "actor", &actor)]);
    assert_eq!(
        sent,
        json!({ "type": "message.sent.v1", "data": {
            "id": "00000000-0000-4000-8000-00000000001e",
            "from": { "id": ann }, "from_uuid": sent["data"]["from_uuid"], "to": { "id": bob },
            "kind": "text", "sent_at": 1_758_675_907_004_i64,
        }})
    );
    assert_ne!(sent["data"]["from_uuid"], "00000000-0000-4000-8000-000000000001");

    let again = Redaction::new(Disclosure::Pseudonymous, SECRET);
    assert_eq!(again.subject("evt.session.9"), redaction.subject("evt.session.9"));
    let other = Redaction::new(Disclosure::None, b"another secret");
    assert_ne!(other.subject("evt.session.9"), redaction.subject("evt.session.9"));
}

#[test]
fn contents_stay_where_they_may_and_sessions_and_requests_have_pseudonyms() {
    let redaction = Redaction::new(Disclosure::Pseudonymous, SECRET);
    let seen = body(&redaction, "message.sent.v1", &sent()).expect("it is read");
    let mut wanted = sent();
    for place in ["/data/from/id", "/data/to/id", "/data/from_uuid"] {
        let (wanted, seen) = (wanted.pointer_mut(place), seen.pointer(place));
        let (wanted, seen) = (wanted.expect("a field"), seen.expect("a field"));
        assert_ne!(wanted, seen, "{place}");
        *wanted = seen.clone();
    }
    assert_eq!(seen, wanted);
    let token = "00000000-0000-4000-8000-000000000002";
    let logged_out = json!({ "type": "session.logged_out.v1", "data": { "token": token } });
    let seen = body(&redaction, "session.logged_out.v1", &logged_out).expect("it is read");
    let pseudonym = seen["data"]["token"].as_str().expect("a text");
    assert!(pseudonym != token && uuid::Uuid::try_parse(pseudonym).is_ok(), "{pseudonym}");
    let none = Redaction::new(Disclosure::None, SECRET);
    let seen = body(&none, "session.logged_out.v1", &logged_out).expect("it is read");
    assert_eq!(seen, json!({ "type": "session.logged_out.v1", "data": {} }));

    let header = |name: &str| match name {
        "hy-cause" => Some("a request of ann's"),
        "traceparent" => Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        "hy-operator" => Some("root"),
        _ => None,
    };
    let names = |redaction: &Redaction| -> Vec<_> {
        redaction.attributes(header).map(|attribute| attribute.name).collect()
    };
    assert_eq!(names(&none), ["source"]);
    assert_eq!(names(&redaction), ["source", "operator"]);
    assert_eq!(
        names(&Redaction::new(Disclosure::Full, SECRET)),
        ["source", "cause", "traceparent", "operator"]
    );
}

/// What a newer version writes is withheld: nobody here knows what it tells.
#[test]
fn what_no_schema_knows_is_withheld() {
    let redaction = Redaction::new(Disclosure::None, SECRET);
    let mut grown = sent();
    grown["data"]["from"]["phone"] = json!("555");
    grown["secret"] = json!({ "a": [1] });
    assert_eq!(
        body(&redaction, "message.sent.v1", &grown),
        body(&redaction, "message.sent.v1", &sent())
    );
    assert_eq!(body(&redaction, "message.sent.v9", &sent()), None);
    assert_eq!(redaction.subject("evt.phone.555"), None);
    for place in ["/data/from", "/data/from/id", "/data"] {
        let mut strange = sent();
        *strange.pointer_mut(place).expect("a field") = json!([{ "phone": "555" }, 7.5]);
        assert_eq!(body(&redaction, "message.sent.v1", &strange), None, "{place}");
    }
    let full = Redaction::new(Disclosure::Full, &[]);
    assert_eq!(body(&full, "message.sent.v9", &grown), Some(grown));
    assert_eq!(full.subject("evt.phone.555").as_deref(), Some("evt.phone.555"));
}

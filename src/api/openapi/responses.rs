//! What routes answer: the shape of a yes, and every text of a no. Texts are listed where a person reads them and in
//! `x-texts`, for programs; their shape is that of any refusal.

use serde_json::{Value, json};

use crate::{
    api::route::{Access, Envelope, Operation, ReplyShape, Route},
    protocol::{parameters::Parameter, refusals::any},
};

pub(super) const DOWN: &str = "A part of the service is down; try again.";

/// What all routes may answer.
const SHARED: [(&str, &str); 6] = [
    ("404", "NotFound"),
    ("408", "TooSlow"),
    ("413", "TooLarge"),
    ("429", "TooMany"),
    ("500", "Internal"),
    ("503", "Overloaded"),
];

/// All answers of a route.
pub(super) fn of(route: &Route, operation: Operation) -> Value {
    let wrong: Vec<String> = operation
        .parameters
        .iter()
        .flat_map(|Parameter { refusals, .. }| refusals.clone())
        .collect();
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let envelope = match &operation.answer {
        ReplyShape::Json(envelope, _) => *envelope,
        ReplyShape::Picture | ReplyShape::File => Envelope::Reply,
    };
    let mut edge = any::UNREADABLE.to_vec();
    let mut told = "The request cannot be read.".to_owned();
    if Access::needs_token(route.path) {
        edge.extend(any::UNAUTHORIZED);
        told += " The token is missing, refused, or a guest's.";
    }
    let mut responses = success(route, operation.answer, &wrong);
    for (status, name) in SHARED {
        responses[status] = json!({ "$ref": format!("#/components/responses/{name}") });
    }
    let no: &[&str] = if envelope == Envelope::CodedReply { &[] } else { &route.refusals };
    if !no.is_empty() {
        told = listed(&format!("{told} Or:"), no);
    }
    let refused = refused(envelope);
    responses["400"] = response(&told, &[edge.as_slice(), no].concat(), &refused);
    if !wrong.is_empty() && envelope != Envelope::CodedReply {
        let first = listed("The first parameter that is wrong:", &wrong);
        responses["422"] = response(&first, &wrong, &refused);
    }
    if envelope == Envelope::TextReply {
        responses["500"] = response(DOWN, &[any::INTERNAL], &refused);
    }
    responses
}

/// The shape of a no.
fn refused(envelope: Envelope) -> Value {
    let usual = json!({ "$ref": "#/components/schemas/Refusal" });
    match envelope {
        Envelope::Reply | Envelope::CodedReply => usual,
        Envelope::TextReply => {
            let nothing = json!({ "type": "object", "maxProperties": 0 });
            let own = object(&[("msg", json!({ "type": "string" })), ("data", nothing)]);
            json!({ "anyOf": [usual, own] })
        }
    }
}

fn success(route: &Route, answer: ReplyShape, wrong: &[&str]) -> Value {
    let binary = |kind: &str| json!({ kind: {} });
    let texts: Vec<&str> = route.told.iter().map(|(_, text)| *text).collect();
    match answer {
        ReplyShape::Json(Envelope::Reply, schema) => {
            json!({ "200": response("Done.", &[], &schema.to_value()) })
        }
        ReplyShape::Json(Envelope::TextReply, schema) => {
            json!({ "200": response("Done.", &texts, &schema.to_value()) })
        }
        ReplyShape::Json(Envelope::CodedReply, schema) => {
            let no = [route.refusals.as_slice(), wrong].concat();
            let yes = route.told.iter().map(|(code, text)| format!("{code} `{text}`"));
            let yes = yes.collect::<Vec<_>>().join(", ");
            let told = listed(&format!("`code` is {yes}, or 400 with:"), &no);
            let texts = [texts.as_slice(), &no, &[any::INTERNAL]].concat();
            let mut schema = schema.to_value();
            let data = &mut schema["properties"]["data"];
            *data = json!({ "anyOf": [data.take(), { "type": "null" }] });
            json!({ "200": response(&told, &texts, &schema) })
        }
        ReplyShape::Picture => {
            json!({ "200": { "description": "The picture.", "content": binary("image/png") } })
        }
        ReplyShape::File => json!({
            "200": { "description": "The file.", "content": binary("*/*") },
            "206": { "description": "A part of it.", "content": binary("*/*") },
            "304": { "description": "It is what you have." },
            "412": { "description": "It is not what you have." },
            "416": { "description": "It has no such part." },
        }),
    }
}

/// A sentence and a list of texts, each once.
fn listed(sentence: &str, texts: &[&str]) -> String {
    let mut lines = vec![sentence.to_owned()];
    for text in texts {
        // In Markdown, code with backticks in it stands between double ones.
        let line =
            if text.contains('`') { format!("- `` {text} ``") } else { format!("- `{text}`") };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn response(described: &str, texts: &[&str], schema: &Value) -> Value {
    let mut response = json!({ "description": described, "content": { "application/json": { "schema": schema } } });
    if !texts.is_empty() {
        response["x-texts"] = json!(texts);
    }
    response
}

/// A refusal in one of these texts.
pub(super) fn refusal(described: &str, texts: &[&str]) -> Value {
    response(described, texts, &refused(Envelope::Reply))
}

fn object(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<_, _> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

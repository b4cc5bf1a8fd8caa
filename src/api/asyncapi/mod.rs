//! The socket and the log as an AsyncAPI 3.0 document, made of the types of frames and events.

mod frames;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::events::{AggregateKind, EventSchema, schemas_of_draft_07};

/// What the document says of all of it.
const ABOUT: &str = include_str!("asyncapi.md");

/// Subjects that processes of one version use among themselves, and for what.
const INTERNAL: [(&str, &str, &str); 7] = [
    (
        "push.u.{user}",
        "push-to-user",
        "An entry of a user's offline queue, for the gateways that have a connection of theirs.",
    ),
    (
        "push.g.{group}",
        "push-to-group",
        "An entry of a large group's timeline, for the gateways that have members connected.",
    ),
    ("push.resync", "push-resync", "Connections refetch: a read model was switched."),
    (
        "push.watermarks",
        "push-watermarks",
        "Whom pushes went to lately, so that a connection that missed one refetches (ADR 0022).",
    ),
    ("checkpoint.{name}", "checkpoint", "How far a read model is, and the projector's heartbeat."),
    (
        "checkpoint.gateway.{node}",
        "checkpoint-of-gateway",
        "How far a gateway's caches are, and its heartbeat.",
    ),
    (
        "node.{node}.handover",
        "handover",
        "A takeover: what another gateway wrote to the older connection comes first.",
    ),
];

/// The document. `server` is where clients find the service.
pub fn document(server: &str) -> Value {
    let mut schemas = SchemaSettings::draft07()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let mut messages = frames::messages(&mut schemas);
    let (from_server, from_client): (Vec<String>, Vec<String>) =
        messages.keys().cloned().partition(|name| !frames::FROM_CLIENTS.contains(&name.as_str()));
    let mut channels = Map::new();
    let mut operations = Map::new();
    let socket = from_server.iter().chain(&from_client).map(String::as_str);
    channels.insert("socket".into(), json!({
        "address": "/ws",
        "title": "The socket of a client",
        "description": "Frames are JSON in text frames. The token may be bad: then the upgrade is accepted, a refusal sent, and the socket closed (ws.md §2).",
        "servers": [{ "$ref": "#/servers/gateway" }],
        "messages": named(socket),
        "bindings": { "ws": {
            "method": "GET",
            "query": {
                "type": "object",
                "properties": { "token": { "type": "string", "description": "From any log-in." } },
                "required": ["token"],
            },
            "bindingVersion": "0.1.0",
        } },
    }));
    operations.insert(
        "push".into(),
        operation("send", "socket", "What the service sends to a client", &from_server),
    );
    operations.insert(
        "hear".into(),
        operation("receive", "socket", "What the service takes from a client", &from_client),
    );
    let events = schemas_of_draft_07();
    for aggregate in AggregateKind::ALL {
        let of_kind =
            events.iter().filter(|(_, found)| found.aggregate.address == aggregate.address);
        let names: Vec<String> = of_kind.map(|(name, _)| name.clone()).collect();
        let channel = aggregate.address.replace(['{', '}'], "");
        channels.insert(channel.clone(), subject(aggregate.address, &names));
        operations.insert(
            format!("append-{}", aggregate.name),
            operation("send", &channel, "Events that the service appends to the log", &names),
        );
    }
    messages.extend(events.into_iter().map(event));
    for (address, name, about) in INTERNAL {
        let mut channel = subject(address, &[]);
        channel["description"] = json!(about);
        channel["x-internal"] = json!(true);
        channels.insert(name.into(), channel);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hongyan",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
            "description": ABOUT,
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": server.split_once("://").map_or(server, |(_, host)| host),
                "protocol": if server.starts_with("https") { "wss" } else { "ws" },
                "description": "Any gateway; the port is that of the HTTP routes.",
            },
            "log": {
                "host": "127.0.0.1:7422",
                "protocol": "nats",
                "description": "nats-server with JetStream, stream `EVENTS`; never reached by clients.",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas.take_definitions(true) },
    })
}

fn named<'a>(messages: impl Iterator<Item = &'a str>) -> Map<String, Value> {
    let reference = |name: &str| json!({ "$ref": format!("#/components/messages/{name}") });
    messages.map(|name| (name.to_owned(), reference(name))).collect()
}

fn subject(address: &str, messages: &[String]) -> Value {
    let parameters =
        address.split('.').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Map<String, Value> = parameters
        .map(|name| (name.to_owned(), json!({ "description": format!("The {name}'s id.") })))
        .collect();
    json!({
        "address": address,
        "servers": [{ "$ref": "#/servers/log" }],
        "parameters": parameters,
        "messages": named(messages.iter().map(String::as_str)),
    })
}

fn operation(action: &str, channel: &str, title: &str, messages: &[String]) -> Value {
    // A reference has `/` in a name as `~1`, and no name has one.
    let of_channel =
        |name: &String| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "title": title,
        "messages": messages.iter().map(of_channel).collect::<Vec<_>>(),
    })
}

fn event((name, EventSchema { schema, .. }): (String, EventSchema)) -> (String, Value) {
    let text = |name: &str| json!({ "type": "string", "description": name });
    let message = json!({
        "name": name,
        "title": name,
        "summary": schema["description"],
        "headers": {
            "type": "object",
            "properties": {
                "ce-specversion": { "const": "1.0" },
                "ce-id": { "type": "string", "format": "uuid" },
                "ce-type": { "const": name },
                "ce-source": text("What appended it."),
                "ce-subject": text("The subject."),
                "ce-time": { "type": "string", "format": "date-time" },
                "hy-actor": text("The user on whose behalf, if one."),
                "hy-cause": text("The request that led to it."),
                "traceparent": text("W3C Trace Context."),
                "hy-operator": text("Who decided it, if an operator."),
                "hy-reason": text("Why, in their words."),
            },
            "required": ["ce-specversion", "ce-id", "ce-type", "ce-source", "ce-subject", "ce-time"],
        },
        "payload": schema,
    });
    (name, message)
}

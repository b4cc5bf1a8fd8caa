//! Schemas of the values that events share with what clients see. The values know nothing of it: facts are plain data.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::events::{
    ChatKind, ComplaintId, EdgeId, GroupId, MembershipId, MessageId, QuickReplyId, RequestId, Role,
    Timestamp, UserId, Username,
};

macro_rules! schemas {
    ($($type:ident: $schema:tt,)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    UserId: { "type": "integer" },
    EdgeId: { "type": "integer" },
    RequestId: { "type": "integer" },
    GroupId: { "type": "integer" },
    MembershipId: { "type": "integer" },
    QuickReplyId: { "type": "integer" },
    ComplaintId: { "type": "integer" },
    Timestamp: { "type": "integer" },
    MessageId: { "type": "string", "format": "uuid" },
    Username: { "type": "string" },
    ChatKind: { "type": "string", "enum": ["single", "group"] },
    Role: { "type": "string", "enum": ["user", "visitor"] },
}

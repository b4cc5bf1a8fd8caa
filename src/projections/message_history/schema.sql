create table messages (
    id         uuid        primary key,
    event_id   uuid        not null unique,  -- the last guard against an event appended twice
    position   bigint      not null,
    lo         bigint,                       -- the two people …
    hi         bigint,
    group_id   bigint,                       -- … or the group
    number     bigint      not null,         -- 1, 2, 3 … in its chat
    sender     bigint      not null,
    recipient  bigint,
    object     text        not null,         -- the message object, also once revoked; a group's without the group
    shown      bigint,                       -- the group in it: a position of `shown_groups`
    sent_at    timestamptz not null,
    revocation text,                         -- what the recipients were told
    check ((group_id is null) = (lo is not null and hi is not null and recipient is not null)),
    check ((group_id is null) = (shown is null))
);

create table chats (
    lo          bigint not null,
    hi          bigint not null,
    last_number bigint not null,
    primary key (lo, hi)
);

create table group_chats (
    group_id    bigint primary key,
    last_number bigint not null
);

-- What is shown of other events.
create table notices (
    position  bigint not null,
    recipient bigint not null,  -- 0: all members of the group
    group_id  bigint,           -- where all are told
    object    text   not null,
    primary key (position, recipient),
    check ((group_id is null) = (recipient <> 0))
);

-- Groups as messages show them, each as of the first message after a change.
create table shown_groups (
    position bigint primary key,
    object   text not null
);

-- What is folded of groups for that: a read model reads no other.
create table folded_groups (
    group_id bigint primary key,
    fields   text not null,
    shown    bigint          -- where in `shown_groups` it is as it is now; null until a message needs it
);

create table folded_members (
    group_id bigint  not null,
    user_id  bigint  not null,
    waiting  boolean not null,
    fields   text    not null,
    primary key (group_id, user_id)
);

create index folded_members_by_state on folded_members (group_id, waiting, user_id);

create table messages (
    id          uuid        primary key,
    event_id    uuid        not null unique,  -- the last guard against an event appended twice
    position    bigint      not null,
    lo          bigint,                       -- the two people …
    hi          bigint,
    group_id    bigint,                       -- … or the group
    number      bigint      not null,         -- 1, 2, 3 … in its chat
    sender      bigint      not null,
    recipient   bigint,
    sender_name text        not null,
    kind        text        not null,
    data        text,                         -- null once revoked
    options     text,
    sent_at     timestamptz not null,
    revocation  text,                         -- what the recipients were told
    check ((group_id is null) = (lo is not null and hi is not null and recipient is not null))
);

create unique index messages_of_pair on messages (lo, hi, number) where lo is not null;
create unique index messages_of_group on messages (group_id, number) where group_id is not null;

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

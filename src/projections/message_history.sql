create table messages (
    id          uuid        primary key,
    event_id    uuid        not null unique,  -- the last guard against an event appended twice
    position    bigint      not null,
    lo          bigint      not null,
    hi          bigint      not null,
    number      bigint      not null,         -- 1, 2, 3 … in its chat
    sender      bigint      not null,
    recipient   bigint      not null,
    sender_name text        not null,
    kind        text        not null,
    data        text,                         -- null once revoked
    options     text,
    sent_at     timestamptz not null,
    revocation  text,                         -- what the recipient was told
    unique (lo, hi, number)
);

create table chats (
    lo          bigint not null,
    hi          bigint not null,
    last_number bigint not null,
    primary key (lo, hi)
);

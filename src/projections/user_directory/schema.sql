create table users (
    id             bigint      primary key,
    uuid           uuid        not null unique,
    username       text        not null,
    username_fold  text        not null,
    nickname       text        not null default '',
    avatar         text        not null,
    role           text        not null,
    device         text        not null default '',
    uniplatform    text        not null default '',
    devicemodel    text        not null default '',
    deviceos       text        not null default '',
    devicebrand    text        not null default '',
    userset        text        not null default '',
    invite_confirm smallint    not null default 0,
    disabled       boolean     not null default false,
    -- data.md §2.2: exactly one row per user, which no endpoint edits; so it is part of their row.
    gender         text        not null default 'unknown',
    birthday       timestamptz,
    bio            text,
    location       text,
    website        text,
    registered_at  timestamptz not null,
    updated_at     timestamptz not null,
    last_login     timestamptz,
    version        bigint      not null  -- the position of the account's last event
);
create index users_username_fold on users (username_fold);

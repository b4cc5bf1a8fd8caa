create table friend_edges (
    id            bigint      primary key,
    owner         bigint      not null,
    friend        bigint      not null,
    remark        text        not null default '',
    friendlookme  smallint    not null default 1,
    melookfriend  smallint    not null default 1,
    starred       boolean     not null default false,
    blocked       boolean     not null default false,
    created_at    timestamptz not null,
    updated_at    timestamptz not null,
    unique (owner, friend)
);
create index friend_edges_friend on friend_edges (friend, owner);

create table friend_requests (
    id         bigint      primary key,
    asker      bigint      not null,
    asked      bigint      not null,
    text       text        not null,
    status     text        not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index friend_requests_asked on friend_requests (asked, id);
create index friend_requests_asker on friend_requests (asker, asked);

-- The position of each pair's last event, which outlives its rows.
create table friendships (
    lo      bigint not null,
    hi      bigint not null,
    version bigint not null,
    primary key (lo, hi)
);

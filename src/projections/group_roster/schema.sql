create table groups (
    id             bigint      primary key,
    uuid           uuid        not null unique,
    owner          bigint      not null,
    name           text        not null,
    avatar         text        not null,
    remark         text        not null default '',
    invite_confirm smallint    not null default 0,
    dissolved      boolean     not null default false,  -- the row outlives its group, for its version
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    version        bigint      not null                 -- the position of the group's last event
);

create table group_users (
    id         bigint      primary key,
    group_id   bigint      not null,
    user_id    bigint      not null,
    nickname   text        not null default '',
    status     smallint    not null,  -- 1 member, 2 waiting
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (group_id, user_id)
);
create index group_users_user on group_users (user_id, group_id);

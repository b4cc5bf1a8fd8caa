-- What outlives every read model: which generations there are, and how far each is.
create schema hongyan;
create schema live;
create schema ids;

create table hongyan.generations (
    projection  text    not null,
    generation  integer not null,
    active      boolean not null default false,
    shape       text    not null,            -- digest of the tables' definition
    log_created bigint  not null,            -- which log it was built from
    position    bigint  not null default 0,  -- the last event that counts
    event_id    uuid,                        -- and which one that was
    owner       uuid,                        -- the runner that may move it
    primary key (projection, generation)
);

create unique index one_active_generation on hongyan.generations (projection) where active;

-- Numbers that clients see. A projection raises them above every number it meets.
create sequence ids.users;
create sequence ids.friend_edges;
create sequence ids.friend_requests;

-- In a database of its own only the owner and the gateway's role may connect at all.
grant usage on schema live, ids to public;
grant usage on all sequences in schema ids to public;
alter default privileges in schema live grant select on tables to public;

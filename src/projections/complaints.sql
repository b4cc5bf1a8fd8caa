create table complaints (
    id          bigint      primary key,         -- as clients see it
    key         uuid        not null unique,     -- as the log names it
    complainant bigint      not null,
    target_type text        not null,            -- single, group
    target_id   bigint      not null,            -- of a user or a group, whether it exists or not
    target_name text        not null,
    reason      text        not null,
    content     text        not null,
    images      text        not null,
    chat        text        not null,
    status      smallint    not null default 0,  -- 0: nobody has dealt with it
    note        text        not null default '', -- what the operator said who has
    withdrawn   boolean     not null default false,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    version     bigint      not null             -- the position of its last event
);
create index complaints_complainant on complaints (complainant, id) where not withdrawn;
-- What operators look for: what waits, and what is said of somebody.
create index complaints_status on complaints (status, id);
create index complaints_target on complaints (target_type, target_id, id);

create table questions (
    owner      bigint      not null,
    id         bigint      not null,
    kind       text        not null,  -- of the chats in which it is answered: single, group
    ask        text        not null,
    answer     text        not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (owner, id)
);

-- What outlives the questions of an owner: the highest number that one had, and the position of the last event.
create table question_books (
    owner   bigint primary key,
    last_id bigint not null,
    version bigint not null
);

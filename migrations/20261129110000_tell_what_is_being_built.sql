-- What a generation is being built for, `rebuild` or `verify`; null once it is live, or was. An interrupted build goes on,
-- and is not mistaken for a generation that one can switch back to.
alter table hongyan.generations add column built_for text;

-- When each read model was last compared with the log, and whether it was what that says. Whoever begins notes it here,
-- so that one projector at a time does.
create table hongyan.verifications (
    projection text        primary key,
    begun_at   timestamptz not null,
    ended_at   timestamptz,
    equal      boolean
);

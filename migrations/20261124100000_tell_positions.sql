-- How far each live read model is, for those who may not see the bookkeeping itself: a number is drawn from a sequence
-- only by whoever knows that the database has seen all numbers of the log.
create view hongyan.positions as
    select projection, position from hongyan.generations where active;

grant usage on schema hongyan to public;
grant select on hongyan.positions to public;

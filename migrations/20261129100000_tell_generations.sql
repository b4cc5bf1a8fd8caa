-- How far every generation is, also one that is being built, for those who may not see the bookkeeping itself: operators
-- watch a rebuild from any process.
create view hongyan.generation_positions as
    select projection, generation, active, position from hongyan.generations;

grant select on hongyan.generation_positions to public;

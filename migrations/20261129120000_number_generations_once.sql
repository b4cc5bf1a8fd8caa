-- The last number that was given to a generation of each read model. None is given twice: whoever still works on one that
-- was dropped would find another under its number.
create table hongyan.generation_numbers (
    projection text    primary key,
    last       integer not null
);

-- What readers look up by. No write does, so a build creates them at its end.
create unique index if not exists messages_by_position on messages (position);
create unique index if not exists messages_of_pair on messages (lo, hi, number) where lo is not null;
create unique index if not exists messages_of_group on messages (group_id, number) where group_id is not null;
create index if not exists messages_of_group_by_position on messages (group_id, position) where group_id is not null;
create index if not exists notices_of_group on notices (group_id, position) where group_id is not null;

-- These ids are made of positions of the log. No version was released that draws them, so nothing runs beside this one
-- that would miss the sequences.
drop sequence ids.friend_edges, ids.friend_requests, ids.group_members, ids.complaints;

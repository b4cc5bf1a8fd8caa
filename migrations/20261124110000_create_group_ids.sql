-- Numbers of groups and memberships.
create sequence ids.groups;
create sequence ids.group_members;
grant usage on sequence ids.groups, ids.group_members to public;

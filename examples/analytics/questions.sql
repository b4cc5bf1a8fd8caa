-- Each question begins with its name. Times are in UTC.

-- daily_active_users: who did anything at all
select time::date as day, count(distinct actor) as people
from events where actor is not null group by day order by day;

-- messages_per_hour: between two people and in groups, by kind
select date_trunc('hour', time) as hour,
       if(type = 'message.sent.v1', 'single', 'group') as chat,
       data->>'$.data.kind' as kind,
       count(*) as messages
from events where type in ('message.sent.v1', 'group_message.sent.v1') group by all order by all;

-- time_to_first_answer: of chats of two, from the first message to the first one back
with sent as (
  select position, time, (data->>'$.data.from.id')::bigint as author, (data->>'$.data.to.id')::bigint as reader
  from events where type = 'message.sent.v1'
), firsts as (
  select least(author, reader) as lower, greatest(author, reader) as higher,
         min(position) as position, arg_min(author, position) as author, min_by(time, position) as time
  from sent group by lower, higher
), answers as (
  select date_diff('millisecond', firsts.time, min_by(sent.time, sent.position)) / 1000 as seconds
  from firsts left join sent
    on least(sent.author, sent.reader) = lower and greatest(sent.author, sent.reader) = higher
       and sent.author <> firsts.author and sent.position > firsts.position
  group by lower, higher, firsts.time
)
select count(*) as chats, count(seconds) as answered, round(median(seconds), 3) as median_seconds from answers;

-- new_friendships: made at once, or asked for and agreed to
select time::date as day, count(*) as friendships
from events
where type = 'friendship.befriended.v1' or type = 'friendship.answered.v1' and data->>'$.data.answer' = 'agree'
group by day order by day;

-- group_growth: groups that are there at the end of a day, and members of all of them
with came_and_went as (
  select position, time, split_part(subject, '.', 3) as its_group,
         unnest(cast(data->'$.data.members' as bigint[])) as person, 1 as change
  from events where type = 'group.created.v1'
  union all
  select position, time, split_part(subject, '.', 3), coalesce(
           data->>'$.data.entry.user.id', data->>'$.data.user.id', data->>'$.data.by.id', data->>'$.data.user'
         )::bigint, if(type in ('group.joined.v1', 'group.approved.v1'), 1, -1)
  from events where type in ('group.joined.v1', 'group.approved.v1', 'group.left.v1', 'group.member_removed.v1')
), members as (  -- who only waited and left was never in
  select position, time, its_group, change from came_and_went
  qualify change <> coalesce(lag(change) over (partition by its_group, person order by position), -1)
), ended as (
  select position, time, split_part(subject, '.', 3) as its_group from events where type = 'group.dissolved.v1'
), changes as (
  select time, change, 0 as groups from members
  union all
  select time, 0, if(type = 'group.created.v1', 1, -1) from events
  where type in ('group.created.v1', 'group.dissolved.v1')
  union all
  select ended.time, -sum(members.change), 0 from ended join members using (its_group)
  where members.position < ended.position group by ended.time, its_group
)
select time::date as day, sum(sum(groups)) over (order by time::date) as groups,
       sum(sum(change)) over (order by time::date) as members
from changes group by day order by day;

-- retention: of those who came on a day, how many did something so many days later
with people as (
  select (data->>'$.data.id')::bigint as person, time::date as came from events where type = 'user.registered.v1'
), active as (
  select distinct actor as person, time::date as day from events where actor is not null
)
select came, day - came as days_later, count(distinct person) as active,
       (select count(*) from people as others where others.came = people.came) as people
from people join active using (person) group by came, days_later order by came, days_later;

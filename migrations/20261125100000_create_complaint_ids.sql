-- Numbers of complaints.
create sequence ids.complaints;
grant usage on sequence ids.complaints to public;

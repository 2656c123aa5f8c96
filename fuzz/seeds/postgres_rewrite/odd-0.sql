@SET standard_conforming_strings = off;
INSERT INTO t VALUES ('a\'', 'b'
  'c;', U&"x" , $1, $a$ $b$ $a $a$);
SET standard_conforming_strings TO on; values (1); WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x;
select 'a' -- c
'b\'; select e'a' /* x */ 'b\';
COPY t FROM stdin \g
1
\.
\copy t from stdin
2
\.
DO $$ begin null; end $$;
select (1;2)\gexec

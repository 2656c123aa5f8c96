-- What databases have and samples seldom show, kind by kind: everything here may be made by an owner without superuser.
SET client_encoding = 'UTF8';
CREATE SCHEMA k;
COMMENT ON SCHEMA k IS E'kinds; it''s \\ all "here"\nin two lines 🐘';
CREATE EXTENSION hstore WITH SCHEMA k;
CREATE EXTENSION citext WITH SCHEMA k;
CREATE EXTENSION btree_gist WITH SCHEMA k;

-- Types, and what works on them.
CREATE COLLATION k.ignores_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION k."as C" FROM "C";
CREATE TYPE k.mood AS ENUM ('', 'it''s', 'ñandú', 'last');
CREATE TYPE k.pair AS (a int, "b B" text COLLATE k.ignores_case);
CREATE TYPE k.float_range AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = k.float_ranges);
CREATE DOMAIN k.positive AS int DEFAULT 7 CONSTRAINT is_positive CHECK (VALUE > 0);
CREATE DOMAIN k.positives AS k.positive[] CONSTRAINT few CHECK (cardinality(VALUE) < 5);
CREATE FUNCTION k.pair_text(k.pair) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 7 RETURN ($1).a || ':' || ($1)."b B";
CREATE CAST (k.pair AS text) WITH FUNCTION k.pair_text(k.pair) AS ASSIGNMENT;
CREATE CAST (k.mood AS k.pair) WITH INOUT;
CREATE FUNCTION k.same(k.pair, k.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a = ($2).a';
CREATE OPERATOR k.=== (FUNCTION = k.same, LEFTARG = k.pair, RIGHTARG = k.pair, COMMUTATOR = OPERATOR(k.===), RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE FUNCTION k.many(VARIADIC what text[] DEFAULT ARRAY['x;', '$$']) RETURNS SETOF text LANGUAGE plpgsql ROWS 3 AS $body$
BEGIN -- a ; and a 'quote
  RETURN QUERY SELECT unnest(what);
END $body$;
CREATE FUNCTION k.either(INOUT one anyelement, OUT two anyelement, fallback anyelement DEFAULT NULL) LANGUAGE sql AS 'SELECT coalesce(one, fallback), fallback';
CREATE FUNCTION k.rows(top int) RETURNS TABLE (n int, "the mood" k.mood) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = k, pg_temp SET work_mem = '8MB'
BEGIN ATOMIC SELECT i, 'last'::k.mood FROM generate_series(1, top) i; END;
CREATE PROCEDURE k.nothing(INOUT x int) LANGUAGE plpgsql AS 'BEGIN x := x + 1; END';
CREATE AGGREGATE k.product(float8) (SFUNC = float8mul, STYPE = float8, INITCOND = '1', MSFUNC = float8mul, MINVFUNC = float8div, MSTYPE = float8, MINITCOND = '1', PARALLEL = SAFE, COMBINEFUNC = float8mul);
CREATE FUNCTION k.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE CONVERSION k.from_latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH DICTIONARY k.plain (TEMPLATE = simple, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION k.words (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION k.words ALTER MAPPING FOR asciiword, word WITH k.plain, english_stem;

-- Every type, with its extremes.
CREATE TABLE k.types (
  n int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 5 CACHE 3) PRIMARY KEY,
  i2 smallint, i8 bigint, num numeric(40, 20), anynum numeric, f4 real, f8 double precision, cash money, flag boolean,
  fixed char(5), one "char", sys name, big text, raw bytea, ts timestamp(3), tz timestamptz, clock time, zoned timetz, day date, span interval day to second(2),
  anyspan interval, id uuid, addr inet, net cidr, mac macaddr, mac8 macaddr8, p point, l line, s lseg, b box, pa path, po polygon, c circle,
  bits bit(3), vbits varbit, vec tsvector, q tsquery, x xml, j json, jb jsonb, ir int4range, mr datemultirange, fr k.float_range, lsn pg_lsn, o oid, rc regclass,
  nested int[], bounded text[], moods k.mood[], pr k.pair, prs k.pair[], pos k.positive, poss k.positives, h k.hstore, ci k.citext, jp jsonpath, snap pg_snapshot);
ALTER TABLE k.types ADD COLUMN gone int; ALTER TABLE k.types DROP COLUMN gone;
ALTER TABLE k.types ADD COLUMN late k.mood NOT NULL DEFAULT 'it''s';
ALTER TABLE k.types ADD COLUMN length int GENERATED ALWAYS AS (octet_length(big)) STORED;
ALTER TABLE k.types ALTER big SET STORAGE EXTERNAL, ALTER raw SET STATISTICS 500, ALTER i8 SET (n_distinct = -0.5);
INSERT INTO k.types (i2, i8, num, anynum, f4, f8, cash, flag, fixed, one, sys, big, raw, ts, tz, clock, zoned, day, span, anyspan, id, addr, net, mac, mac8, p, l, s, b, pa, po, c,
  bits, vbits, vec, q, x, j, jb, ir, mr, fr, lsn, o, rc, nested, bounded, moods, pr, prs, pos, poss, h, ci, jp, snap) VALUES
  (-32768, -9223372036854775808, -12345678901234567890.12345678901234567890, 'NaN', 'NaN', '-Infinity', '-92233720368547758.08', true, 'a', 'z', 'n"a', E'\\N\\.\t\n\r\b\f\v\x7f🐘', '\x00ff5c0a', '-infinity', 'infinity',
   '24:00', '23:59:59.999999-15:59', '4713-01-01 BC', '-178000 days -23:59:59.99', '-178000000 years 11 mons', '00000000-0000-0000-0000-000000000000', '::ffff:1.2.3.4/96', '10.0.0.0/8', '08:00:2b:01:02:03',
   '08:00:2b:ff:fe:01:02:03', '(-0,1e308)', '{1,-1,0}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,0)]', '((0,0),(1,0),(1,1))', '<(0,0),0>', '101', '', 'a:1A b:2,3C ''it''''s''', '''a b'' & !c:*A', '<a b="&quot;">x<!--y--></a>',
   '{"a":  1, "a": 2.50}', '{"z": [null, 1e-7, "\u00e9"], "": {}}', 'empty', '{[2020-01-01,2020-01-02),(,1999-01-01]}', '[-Infinity,Infinity]', 'FFFFFFFF/FFFFFFFF', 4294967295, 'pg_class',
   '{{1,NULL},{-1,2147483647}}', '[0:1]={NULL,"NULL"}', '{"",last,NULL}', ROW(NULL, 'x,"(\'), ARRAY[ROW(1, NULL)]::k.pair[], 1, '{1,2}', 'a=>NULL, "b c"=>"\"\\"', 'MiXed', '$.a[*] ? (@ > 1)', '10:20:10,14'),
  (32767, 9223372036854775807, 0.00000000000000000001, 'Infinity', '-0', 5e-324, '92233720368547758.07', NULL, '', '', '', '', '', '294276-12-31 23:59:59.999', '4714-11-24 00:00:00+00 BC',
   '00:00:00.000001', '00:00+15:59', '5874897-12-31', NULL, '178000000 years', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '0.0.0.0/0', '::/0', NULL, NULL, '(NaN,Infinity)', NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, '0', '', '', '', 'null', 'null', '(,)', '{}', 'empty', '0/0', 0, NULL, '{}', '{}', '{}', NULL, '{}', 2147483647, '{}', '', '', NULL, NULL);

-- Constraints and indexes.
CREATE TABLE k.booked (room int, during tsrange, note text COLLATE k.ignores_case, deleted boolean DEFAULT false, h k.hstore,
  CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (NOT deleted) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT later UNIQUE (room, note) DEFERRABLE, CONSTRAINT sane CHECK (room > 0) NO INHERIT, CONSTRAINT once UNIQUE NULLS NOT DISTINCT (note)) WITH (fillfactor = 70, autovacuum_enabled = false);
INSERT INTO k.booked SELECT i, tsrange(timestamp '2020-01-01' + i * interval '1 day', NULL), 'note ' || i, i % 2 = 0, ('a=>' || i)::k.hstore FROM generate_series(1, 300) i;
CREATE INDEX ON k.booked USING gin (h) WITH (fastupdate = off);
CREATE INDEX "odd "" name" ON k.booked USING btree (lower(note) COLLATE "C" text_pattern_ops DESC NULLS LAST) INCLUDE (deleted) WHERE note <> 'x;y';
ALTER INDEX k."odd "" name" ALTER COLUMN 1 SET STATISTICS 300;
CREATE INDEX hashed ON k.booked USING hash (note); CREATE INDEX blocks ON k.booked USING brin (room int4_minmax_multi_ops (values_per_range = 16)) WITH (pages_per_range = 4);
CREATE INDEX spaces ON k.booked USING spgist (during); COMMENT ON INDEX k.hashed IS 'by hash';
CREATE STATISTICS k.together (dependencies, mcv, ndistinct) ON room, deleted FROM k.booked;
CREATE STATISTICS k.of_expression ON (room % 7) FROM k.booked;
CREATE TABLE k.egg (id int PRIMARY KEY, hen int, also int); CREATE TABLE k.hen (id int PRIMARY KEY, egg int NOT NULL REFERENCES k.egg DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE k.egg ADD CONSTRAINT comes_first FOREIGN KEY (hen) REFERENCES k.hen (id) ON DELETE SET NULL DEFERRABLE;
INSERT INTO k.egg SELECT i, NULL, -i FROM generate_series(1, 50) i; INSERT INTO k.hen SELECT i, 51 - i FROM generate_series(1, 50) i; UPDATE k.egg SET hen = 51 - id;
ALTER TABLE k.egg ADD CONSTRAINT not_valid CHECK (also > 0) NOT VALID;
CREATE TABLE k.refers (a int, b int, PRIMARY KEY (a, b)); CREATE TABLE k.referring (a int, b int, keep int,
  CONSTRAINT partial_null FOREIGN KEY (a, b) REFERENCES k.refers MATCH FULL ON UPDATE CASCADE ON DELETE SET DEFAULT, CONSTRAINT one_col FOREIGN KEY (keep, b) REFERENCES k.refers (a, b) ON DELETE SET NULL (keep) NOT VALID);
INSERT INTO k.refers SELECT i, i FROM generate_series(1, 9) i; INSERT INTO k.referring VALUES (1, 1, 1), (NULL, NULL, 2);
CREATE TABLE k.marked (v text NOT NULL, "key" int NOT NULL, CONSTRAINT marked_key UNIQUE ("key")); CREATE UNIQUE INDEX marked_v ON k.marked (v);
ALTER TABLE k.marked REPLICA IDENTITY USING INDEX marked_v; ALTER TABLE k.marked CLUSTER ON marked_key; INSERT INTO k.marked VALUES ('x', 1), ('y', 2);
CREATE UNLOGGED TABLE k.fleeting (v int); INSERT INTO k.fleeting VALUES (1);
CREATE TABLE k.nothing (); INSERT INTO k.nothing DEFAULT VALUES; INSERT INTO k.nothing DEFAULT VALUES;

-- Partitions and heirs.
CREATE TABLE k.parted (region text, day date, v int, PRIMARY KEY (region, day)) PARTITION BY LIST (region);
CREATE TABLE k.parted_eu PARTITION OF k.parted FOR VALUES IN ('eu', 'it''s') PARTITION BY HASH (day);
CREATE TABLE k.parted_eu_0 PARTITION OF k.parted_eu FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE k.parted_eu_1 PARTITION OF k.parted_eu FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE k.parted_us (v int, dropped int, day date NOT NULL, region text NOT NULL CHECK (region = 'us')); ALTER TABLE k.parted_us DROP COLUMN dropped;
ALTER TABLE k.parted ATTACH PARTITION k.parted_us FOR VALUES IN ('us'); CREATE TABLE k.parted_rest PARTITION OF k.parted DEFAULT;
CREATE INDEX parted_v ON k.parted (v); CREATE INDEX alone ON ONLY k.parted (day, v);
INSERT INTO k.parted SELECT (ARRAY['eu', 'us', 'cn', 'it''s'])[1 + i % 4], date '2020-01-01' + i, i FROM generate_series(1, 400) i;
CREATE TABLE k.mother (a int CHECK (a > 0), b text DEFAULT 'x'); CREATE TABLE k.father (a int, c int); CREATE TABLE k.child (d int) INHERITS (k.mother, k.father);
ALTER TABLE k.child ALTER b SET DEFAULT 'y'; INSERT INTO k.mother VALUES (1), (2); INSERT INTO k.child VALUES (3, 'z', 4, 5);

-- Views, rules, triggers, policies.
CREATE VIEW k.barrier WITH (security_barrier, security_invoker) AS SELECT room, note FROM k.booked WHERE NOT deleted WITH CASCADED CHECK OPTION;
CREATE VIEW k.grouped AS SELECT id, hen, count(*) FROM k.egg GROUP BY id;
CREATE RECURSIVE VIEW k.counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 5;
CREATE VIEW k.changed AS SELECT * FROM k.marked; CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE ON k.changed FOR EACH ROW EXECUTE FUNCTION k.touch('a;b', '''');
CREATE MATERIALIZED VIEW k.kept AS SELECT region, count(*) AS n FROM k.parted GROUP BY region; CREATE UNIQUE INDEX ON k.kept (region);
CREATE MATERIALIZED VIEW k.unfilled AS SELECT n FROM k.kept WITH NO DATA;
CREATE RULE also AS ON UPDATE TO k.marked WHERE OLD."key" <> NEW."key" DO ALSO (INSERT INTO k.fleeting VALUES (NEW."key"); UPDATE k.fleeting SET v = 2 WHERE v = 0);
CREATE CONSTRAINT TRIGGER checked AFTER UPDATE OF hen ON k.egg DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.hen IS DISTINCT FROM NEW.hen) EXECUTE FUNCTION k.touch();
CREATE TRIGGER seen AFTER INSERT ON k.marked REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION k.touch();
CREATE TRIGGER off BEFORE DELETE ON k.marked FOR EACH ROW EXECUTE FUNCTION k.touch(); ALTER TABLE k.marked DISABLE TRIGGER off;
CREATE TRIGGER always BEFORE TRUNCATE ON k.marked EXECUTE FUNCTION k.touch(); ALTER TABLE k.marked ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER everywhere AFTER INSERT ON k.parted FOR EACH ROW EXECUTE FUNCTION k.touch(); ALTER TABLE k.parted_us DISABLE TRIGGER everywhere;
ALTER TABLE k.booked ENABLE ROW LEVEL SECURITY; ALTER TABLE k.booked FORCE ROW LEVEL SECURITY; ALTER TABLE k.booked NO FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON k.booked AS RESTRICTIVE FOR UPDATE USING (room < 200) WITH CHECK (note <> 'x'); CREATE POLICY "all" ON k.booked USING (true);

-- Sequences, large objects, rights that need no role.
CREATE SEQUENCE k.countdown AS smallint INCREMENT -3 MINVALUE -30 MAXVALUE 30 START 30 CACHE 2 CYCLE; SELECT nextval('k.countdown'), nextval('k.countdown');
CREATE SEQUENCE k.untouched START 9; CREATE SEQUENCE k.owned OWNED BY k.marked."key"; SELECT setval('k.owned', 41, false);
SELECT lo_from_bytea(987654, decode(repeat('00ff5c', 3000), 'hex')); COMMENT ON LARGE OBJECT 987654 IS 'of the kinds';
GRANT SELECT (room), UPDATE (note) ON k.booked TO PUBLIC; REVOKE ALL ON FUNCTION k.touch() FROM PUBLIC; GRANT USAGE ON SCHEMA k TO PUBLIC; GRANT ALL ON k.countdown TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA k GRANT SELECT ON TABLES TO PUBLIC; COMMENT ON CONSTRAINT sane ON k.booked IS 'sane'; COMMENT ON COLUMN k.types.big IS E'a\nb';
CREATE PUBLICATION "some" FOR TABLE k.marked ("key", v) WHERE ("key" > 1);

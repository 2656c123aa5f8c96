-- What is legal and rare. The psql variable wide, in bytes, is set by the loader.
SET client_min_messages = warning;
CREATE TABLE "two
lines; -- */ $$" ("a
b" int PRIMARY KEY, "\connect" text);
INSERT INTO "two
lines; -- */ $$" VALUES (0, E'\\connect other\n\\.\n'), (-1, NULL);
CREATE TABLE wide (id int PRIMARY KEY, content bytea, line text);
INSERT INTO wide VALUES (1, decode(repeat('005C2722600A1A0D2A2F', :wide / 10), 'hex'), repeat(E'\\\n\t', :wide / 3));
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE FUNCTION dollars() RETURNS text LANGUAGE plpgsql AS $x$ BEGIN RETURN $y$
\connect evil
\.
SET x = 1;
$$ $y$; END $x$;
CREATE VIEW "view
\\" AS SELECT E'\n\\unrestrict x\nALTER TABLE t OWNER TO x;\n' AS txt;

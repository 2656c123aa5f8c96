-- What only MySQL has.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION', sql_generate_invisible_primary_key = OFF;
CREATE TABLE modern (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name varchar(50) COLLATE utf8mb4_0900_ai_ci DEFAULT (concat('n-', uuid_to_bin('123e4567-e89b-12d3-a456-426655440000') IS NULL)),
  tags json DEFAULT (json_array()),
  pos point NOT NULL SRID 4326,
  hidden int DEFAULT NULL,
  KEY upper_name ((upper(name))),
  KEY tag ((CAST(tags->'$[*]' AS unsigned ARRAY))),
  KEY unused (hidden) INVISIBLE,
  SPATIAL KEY pos (pos),
  CONSTRAINT loose CHECK (hidden < 100) NOT ENFORCED
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
INSERT INTO modern (name, tags, pos, hidden) VALUES
  ('one', '[1,2,3]', ST_GeomFromText('POINT(10 20)', 4326), 500), (DEFAULT, DEFAULT, ST_GeomFromText('POINT(-1.5 2.25)', 4326), NULL);
CREATE TABLE generated_key (v varchar(20));
INSERT INTO generated_key VALUES ('a'), ('a'), (NULL);
SET SESSION sql_generate_invisible_primary_key = ON;
CREATE TABLE with_generated_key (v varchar(20));
INSERT INTO with_generated_key VALUES ('a'), ('b');
SET SESSION sql_generate_invisible_primary_key = OFF;
CREATE TABLE old_engine (id int PRIMARY KEY, v varchar(20)) ENGINE=MyISAM;
INSERT INTO old_engine VALUES (1, 'one');
CREATE DEFINER=`shop app`@`10.0.%` SQL SECURITY INVOKER VIEW with_lateral AS
  SELECT c.id AS id, l.total AS total FROM customers c, LATERAL (SELECT max(total) AS total FROM orders WHERE customer_id = c.id) l;

-- A small shop that holds what dump tools have damaged before. Loads into PostgreSQL 15 and 18 alike, as superuser,
-- after the roles of sample/postgres.rs exist. psql variable: customers.
SET client_encoding = 'UTF8';
SET TIME ZONE 'UTC';
SET client_min_messages = warning;

CREATE EXTENSION hstore;
CREATE EXTENSION pgcrypto;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
CREATE SCHEMA "odd ""schema""; --";
COMMENT ON SCHEMA shop IS E'it''s the shop; with \\ and\na second line, -- Name: x; Type: y; Schema: z; Owner: w';
SET search_path = shop, public;

CREATE TYPE order_state AS ENUM ('new', 'paid', 'sent', 'it''s "returned"', E'back\\slash');
CREATE TYPE money_amount AS (amount numeric(12, 2), currency char(3));
CREATE DOMAIN email AS text CHECK (VALUE ~ '^[^@]+@[^@]+$');
CREATE TYPE float_span AS RANGE (subtype = float8);
CREATE SEQUENCE invoice_numbers AS bigint START WITH 4711 INCREMENT BY 7 MINVALUE -100 MAXVALUE 9999999999 CACHE 10 CYCLE;
SELECT nextval('invoice_numbers');

CREATE FUNCTION domain_of(address text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT split_part(address, '@', 2) $$;

CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10) PRIMARY KEY,
  email email NOT NULL UNIQUE,
  name text COLLATE "C" NOT NULL,
  tags text[] DEFAULT '{}',
  matrix int[][],
  settings jsonb,
  raw json,
  attributes public.hstore,
  balance money_amount,
  score real,
  ratio double precision,
  amount numeric,
  bits bit varying(13),
  picture bytea,
  born date,
  joined timestamptz NOT NULL DEFAULT now(),
  took interval,
  address inet,
  token uuid DEFAULT gen_random_uuid(),
  span float_span,
  periods datemultirange,
  words tsvector,
  email_domain text GENERATED ALWAYS AS (domain_of(email)) STORED,
  favourite_order bigint,
  CONSTRAINT sane CHECK (name <> '' AND length(name) < 200)
);
COMMENT ON COLUMN customers.email IS 'the ''address'', \. and \N and "quotes"';
CREATE TABLE orders (
  id bigserial PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES customers ON UPDATE CASCADE,
  state order_state NOT NULL DEFAULT 'new',
  ordered timestamp(3),
  total numeric(12, 2),
  note text
);
ALTER TABLE customers ADD CONSTRAINT customers_order FOREIGN KEY (favourite_order) REFERENCES orders DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX ON customers (lower(name)) WHERE born IS NOT NULL;
CREATE INDEX customers_tags ON customers USING gin (tags);
CREATE INDEX customers_words ON customers USING gin (words);
CREATE STATISTICS customers_stats (dependencies) ON email_domain, born FROM customers;

-- Partitions, one of them detached from the alphabet; a table that inherits; one without key and with equal rows.
CREATE TABLE visits (id bigint NOT NULL, visited date NOT NULL, path text) PARTITION BY RANGE (visited);
CREATE TABLE visits_z PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE visits_a PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (id);
CREATE TABLE visits_a0 PARTITION OF visits_a FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visits_a1 PARTITION OF visits_a FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE visits_rest PARTITION OF visits DEFAULT;
CREATE INDEX ON visits (path);
CREATE TABLE special_orders (reason text) INHERITS (orders);
CREATE TABLE log_lines (happened timestamptz, level text, line text);
CREATE UNLOGGED TABLE scratch (a int);
CREATE TABLE empty_table ();
CREATE TABLE files (id int PRIMARY KEY, name text, content bytea, lo oid);
CREATE TABLE "odd ""schema""; --"."tab	le
with ""everything""; \connect x" ("order" int, "a""b" text DEFAULT E'x''y\\z', "ü 😀
newline" text);
COMMENT ON TABLE "odd ""schema""; --"."tab	le
with ""everything""; \connect x" IS E'\\connect evil\n\\. $$ $body$ */';

INSERT INTO customers (email, name, tags, matrix, settings, raw, attributes, balance, score, ratio, amount, bits, picture, born, joined, took, address, token, span, periods, words)
SELECT 'user' || n || '@' || (ARRAY['example.org', 'beispiel.example', 'пример.example'])[1 + n % 3],
       (ARRAY['Ada', 'Grace', 'Zoë', '李明', '😀 Emoji 𝔘', E'tab\there', E'new\nline', E'back\\slash \\N', '\.'])[1 + n % 9] || ' ' || md5(n::text),
       CASE n % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['a', NULL, '"quoted"', '{brace}', '\', 'NULL'] ELSE ARRAY['x' || n] END,
       ARRAY[[n, n + 1], [NULL, -n]],
       jsonb_build_object('n', n, 'text', E'"quoted" \\ \t tab \n', 'list', jsonb_build_array(1, NULL, 2.5)),
       '{ "b" : 1,  "a" : 2, "b":3 }',
       public.hstore('k"' || n, E'v\\ '' =>') , ROW(n / 7.0, 'EUR')::money_amount,
       n / 7.0, n / 3e5, CASE WHEN n % 101 = 0 THEN 'NaN' ELSE (n::numeric ^ 5) / 3 END, (n % 8192)::bit(13),
       decode(md5(n::text) || '005c0a0927', 'hex'),
       CASE WHEN n % 11 = 0 THEN 'infinity'::date WHEN n % 13 = 0 THEN '0044-03-15 BC'::date ELSE '1970-01-01'::date + n % 15000 END,
       '2024-01-01 00:00:00+00'::timestamptz + n * interval '1.000001 s', n * interval '1 day 01:02:03.5' - interval '3 mons',
       ('10.0.0.0'::inet + n), md5(n::text)::uuid, float_span(n, n + 0.5), datemultirange(daterange('2024-01-01', '2024-01-01'::date + n)),
       to_tsvector('simple', 'word' || n || ' it''s \\')
FROM generate_series(1, :customers) AS n;
INSERT INTO orders (customer_id, state, ordered, total, note)
SELECT c.id, (enum_range(NULL::order_state))[1 + (c.id + d) % 5], '2024-01-01'::timestamp + ((c.id * 37 + d) % 1000) * interval '1 hour',
       (c.id * 31 + d) % 100000 / 100.0,
       (ARRAY[NULL, '', 'plain', E'two\nlines\r\nand a tab\t.', E'a \\ and ''quotes'' $$ and "more"', E'\\.', E'\\N', E'\\connect evil', 'ALTER TABLE t OWNER TO someone;', E'\\unrestrict x', 'SET default_tablespace = x;'])[1 + (c.id + d) % 11]
FROM customers c, generate_series(0, 3) AS d ORDER BY c.id, d;
INSERT INTO special_orders (customer_id, total, reason) SELECT id, 1, E'because\t\\' FROM customers WHERE id % 50 = 0;
UPDATE customers SET favourite_order = (SELECT max(o.id) FROM ONLY orders o WHERE o.customer_id = customers.id) WHERE id % 3 = 0;
INSERT INTO visits SELECT n, '2024-01-01'::date + n % 900, '/p/' || n || '?q=%27;--' FROM generate_series(1, :customers) AS n;
INSERT INTO log_lines SELECT '2024-05-05 05:05:05.678+00', (ARRAY['INFO', 'WARN', NULL])[1 + n % 3], 'line ' || n % 50 FROM generate_series(1, :customers) AS n;
INSERT INTO scratch VALUES (1), (1), (NULL);
INSERT INTO empty_table DEFAULT VALUES;
INSERT INTO files SELECT n, 'one byte', decode(lpad(to_hex(n), 2, '0'), 'hex') FROM generate_series(0, 255) AS n;
INSERT INTO files SELECT 1000, 'every byte, 4096 times', decode(repeat(string_agg(lpad(to_hex(n), 2, '0'), '' ORDER BY n), 4096), 'hex') FROM generate_series(0, 255) AS n;
INSERT INTO files SELECT 2000 + n, 'large object', NULL, lo_from_bytea(700000 + n, decode(repeat(md5(n::text), 100 + n * 3000) || '0a5c2e0a', 'hex')) FROM generate_series(1, 3) AS n;
SELECT lo_create(700010);
COMMENT ON LARGE OBJECT 700010 IS 'empty; it''s';
ALTER LARGE OBJECT 700001 OWNER TO shop_owner;
GRANT SELECT ON LARGE OBJECT 700002 TO "shop reader";
INSERT INTO "odd ""schema""; --"."tab	le
with ""everything""; \connect x" VALUES (1, DEFAULT, E'\\.\n'), (2, '', NULL), (3, '\N', 'N');

-- Programs.
CREATE FUNCTION order_total(customer bigint) RETURNS numeric LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = shop AS $body$
DECLARE
  result numeric := 0; -- $$ nested dollars $$ and 'quotes; OWNER TO x;
BEGIN
  /* ALTER TABLE t OWNER TO someone; /* nested */ */
  SELECT coalesce(sum(total), 0) INTO result FROM orders WHERE customer_id = customer;
  EXECUTE format('SELECT %L', E'it''s \\') ;
  RETURN result;
END
$body$;
CREATE FUNCTION standard_total(c bigint) RETURNS numeric
  BEGIN ATOMIC
    SELECT sum(o.total) FROM orders o WHERE o.customer_id = c;
  END;
CREATE PROCEDURE close_orders(older int) LANGUAGE sql AS 'UPDATE shop.orders SET state = ''sent'' WHERE ordered < now() - older * interval ''1 day''';
CREATE AGGREGATE product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq, COMMUTATOR = ===);
CREATE CAST (order_state AS text) WITH INOUT AS ASSIGNMENT;
CREATE TABLE audit (id int GENERATED BY DEFAULT AS IDENTITY, what text, at timestamptz DEFAULT now());
CREATE FUNCTION write_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.audit (what) VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER z_audit AFTER INSERT OR DELETE ON orders FOR EACH STATEMENT EXECUTE FUNCTION write_audit();
CREATE TRIGGER a_audit AFTER UPDATE OF total ON orders FOR EACH ROW WHEN (OLD.total IS DISTINCT FROM NEW.total) EXECUTE FUNCTION write_audit();
ALTER TABLE orders DISABLE TRIGGER a_audit;
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; END $$;
CREATE EVENT TRIGGER watch_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION note_ddl();
CREATE VIEW z_paid AS SELECT id, customer_id, total FROM orders WHERE state = 'paid' WITH LOCAL CHECK OPTION;
CREATE VIEW a_paid_totals WITH (security_invoker = true) AS SELECT c.name, sum(p.total) AS "sum ""quoted""" FROM z_paid p JOIN customers c ON c.id = p.customer_id GROUP BY c.id;
CREATE RECURSIVE VIEW counted (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 5;
CREATE MATERIALIZED VIEW m_domains AS SELECT email_domain, count(*) FROM customers GROUP BY 1;
CREATE UNIQUE INDEX ON m_domains (email_domain);
CREATE MATERIALIZED VIEW m_never AS SELECT 1 AS one WITH NO DATA;
CREATE RULE no_delete AS ON DELETE TO audit DO INSTEAD NOTHING;
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_lines ON audit FOR SELECT TO "shop reader" USING (what LIKE '%' || CURRENT_USER);
CREATE PUBLICATION everything FOR TABLE customers, orders WHERE (total > 0);

-- Owners, grants, comments.
ALTER TABLE customers OWNER TO shop_owner;
ALTER TABLE orders OWNER TO "weird ""owner"";";
ALTER VIEW z_paid OWNER TO shop_owner;
ALTER FUNCTION order_total(bigint) OWNER TO shop_owner;
ALTER TYPE order_state OWNER TO shop_owner;
ALTER SEQUENCE invoice_numbers OWNER TO shop_owner;
GRANT USAGE ON SCHEMA shop TO "shop reader";
GRANT SELECT, INSERT (note, total) ON orders TO "shop reader" WITH GRANT OPTION;
GRANT SELECT ON orders TO shop_owner;
GRANT EXECUTE ON FUNCTION order_total(bigint) TO "shop reader";
REVOKE EXECUTE ON FUNCTION order_total(bigint) FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO "shop reader";
COMMENT ON TABLE orders IS E'orders\n-- Name: fake; Type: TABLE; Schema: shop; Owner: nobody\n\\.';
COMMENT ON FUNCTION order_total(bigint) IS '$body$ ; ''quoted''';
COMMENT ON EXTENSION hstore IS 'it''s here';
COMMENT ON VIEW z_paid IS 'a view';
COMMENT ON CONSTRAINT sane ON customers IS 'sane';
COMMENT ON TRIGGER z_audit ON orders IS 'trigger';
COMMENT ON POLICY own_lines ON audit IS 'policy';
COMMENT ON INDEX customers_tags IS 'index';
COMMENT ON TYPE order_state IS 'state';
COMMENT ON PUBLICATION everything IS 'publication';
COMMENT ON EVENT TRIGGER watch_ddl IS 'event trigger';

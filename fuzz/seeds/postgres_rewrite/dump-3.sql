I--
-- PostgreSQL database dump
--

\restrict k3Y

-- Dumped from database version 18.1
-- Dumped by pg_dump version 18.1

SET transaction_timeout = 0;
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET default_tablespace = tsp;
SET default_table_access_method = heap2;

/* a /* nested */ comment */
CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;
COMMENT ON EXTENSION hstore IS 'x';
CREATE TABLE public."a""b;" (
    id integer NOT NULL,
    t text DEFAULT 'x;'::text,
    e bytea DEFAULT E'\\x\'',
    CONSTRAINT ck CHECK ((t <> 'OWNER TO x;'::text))
) TABLESPACE tsp USING heap2 WITH OIDS;
ALTER TABLE public."a""b;" OWNER TO "odd ""role";
CREATE FUNCTION public.f(x integer) RETURNS integer
    LANGUAGE sql IMMUTABLE LEAKPROOF SUPPORT public.s
    BEGIN ATOMIC
 SELECT CASE WHEN (x > 1) THEN 2 ELSE 3 END AS "case";
END;
CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $_$ begin execute $$ ; $$; end; $_$;
COPY public."a""b;" (id, t) FROM stdin;
1	ALTER TABLE x OWNER TO y;
2	\\.
\N	\.x
\.


INSERT INTO public.x VALUES (1, 'a;''b', E'\'', U&'\0041', B'1', $$;$$);
ALTER TABLE public.x DISABLE TRIGGER ALL;
GRANT SELECT ON TABLE public.x TO app WITH GRANT OPTION GRANTED BY boss;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
--
-- PostgreSQL database dump complete
--

\unrestrict k3Y


--
-- PostgreSQL database dump
--

\restrict jKkEFKemDXcOb4Bsxuqv0xTkPkclJXMMjZhgZu53S0qmfXawIpOxwJMOjyAD8va

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: nasty; Type: DATABASE; Schema: -; Owner: app
--

CREATE DATABASE nasty WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8';


ALTER DATABASE nasty OWNER TO app;

\unrestrict jKkEFKemDXcOb4Bsxuqv0xTkPkclJXMMjZhgZu53S0qmfXawIpOxwJMOjyAD8va
\connect nasty
\restrict jKkEFKemDXcOb4Bsxuqv0xTkPkclJXMMjZhgZu53S0qmfXawIpOxwJMOjyAD8va

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: nasty; Type: DATABASE PROPERTIES; Schema: -; Owner: app
--

ALTER DATABASE nasty CONNECTION LIMIT = 50;
ALTER DATABASE nasty SET search_path TO 'public', 'pg_catalog';


\unrestrict jKkEFKemDXcOb4Bsxuqv0xTkPkclJXMMjZhgZu53S0qmfXawIpOxwJMOjyAD8va
\connect nasty
\restrict jKkEFKemDXcOb4Bsxuqv0xTkPkclJXMMjZhgZu53S0qmfXawIpOxwJMOjyAD8va

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: public; Type: SCHEMA; Schema: -; Owner: app
--

-- *not* creating schema, since initdb creates it


ALTER SCHEMA public OWNER TO app;

--
-- Name: SCHEMA public; Type: COMMENT; Schema: -; Owner: app
--

COMMENT ON SCHEMA public IS 'commented';


--
-- Name: s1; Type: SCHEMA; Schema: -; Owner: app
--

CREATE SCHEMA s1;


ALTER SCHEMA s1 OWNER TO app;

--
-- Name: we"ird; schema; Type: SCHEMA; Schema: -; Owner: odd "role
--

CREATE SCHEMA "we""ird; schema";


ALTER SCHEMA "we""ird; schema" OWNER TO "odd ""role";

--
-- Name: mylang; Type: PROCEDURAL LANGUAGE; Schema: -; Owner: postgres
--

CREATE OR REPLACE PROCEDURAL LANGUAGE mylang;


ALTER PROCEDURAL LANGUAGE mylang OWNER TO postgres;

--
-- Name: ci; Type: COLLATION; Schema: public; Owner: postgres
--

CREATE COLLATION public.ci (provider = icu, deterministic = false, locale = 'und');


ALTER COLLATION public.ci OWNER TO postgres;

--
-- Name: file_fdw; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS file_fdw WITH SCHEMA public;


--
-- Name: EXTENSION file_fdw; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION file_fdw IS 'foreign-data wrapper for flat file access';


--
-- Name: hstore; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;


--
-- Name: EXTENSION hstore; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION hstore IS 'data type for storing sets of (key, value) pairs';


--
-- Name: pgcrypto; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;


--
-- Name: EXTENSION pgcrypto; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION pgcrypto IS 'cryptographic functions';


--
-- Name: postgres_fdw; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS postgres_fdw WITH SCHEMA public;


--
-- Name: EXTENSION postgres_fdw; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION postgres_fdw IS 'foreign-data wrapper for remote PostgreSQL servers';


--
-- Name: basety; Type: SHELL TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.basety;


--
-- Name: basety_in(cstring); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.basety_in(cstring) RETURNS public.basety
    LANGUAGE internal IMMUTABLE STRICT
    AS $$int4in$$;


ALTER FUNCTION public.basety_in(cstring) OWNER TO postgres;

--
-- Name: basety_out(public.basety); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.basety_out(public.basety) RETURNS cstring
    LANGUAGE internal IMMUTABLE STRICT
    AS $$int4out$$;


ALTER FUNCTION public.basety_out(public.basety) OWNER TO postgres;

--
-- Name: basety; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.basety (
    INTERNALLENGTH = 4,
    INPUT = public.basety_in,
    OUTPUT = public.basety_out,
    ALIGNMENT = int4,
    STORAGE = plain,
    PASSEDBYVALUE
);


ALTER TYPE public.basety OWNER TO postgres;

--
-- Name: comp; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.comp AS (
	x integer,
	y text
);


ALTER TYPE public.comp OWNER TO postgres;

--
-- Name: dom; Type: DOMAIN; Schema: public; Owner: postgres
--

CREATE DOMAIN public.dom AS text
	CONSTRAINT dom_check CHECK ((VALUE <> ';'::text));


ALTER DOMAIN public.dom OWNER TO postgres;

--
-- Name: mood; Type: TYPE; Schema: public; Owner: app
--

CREATE TYPE public.mood AS ENUM (
    'a;b',
    'c''d'
);


ALTER TYPE public.mood OWNER TO app;

--
-- Name: oidd; Type: DOMAIN; Schema: public; Owner: postgres
--

CREATE DOMAIN public.oidd AS oid;


ALTER DOMAIN public.oidd OWNER TO postgres;

--
-- Name: CAST (public.basety AS integer); Type: CAST; Schema: -; Owner: -
--

CREATE CAST (public.basety AS integer) WITHOUT FUNCTION;


--
-- Name: cfun(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.cfun(text) RETURNS text
    LANGUAGE c STRICT
    AS '$libdir/pgcrypto', 'pg_armor';


ALTER FUNCTION public.cfun(text) OWNER TO postgres;

--
-- Name: evf(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.evf() RETURNS event_trigger
    LANGUAGE plpgsql
    AS $$begin end$$;


ALTER FUNCTION public.evf() OWNER TO postgres;

--
-- Name: f1(text, integer); Type: FUNCTION; Schema: public; Owner: app
--

CREATE FUNCTION public.f1(a text, b integer DEFAULT 3) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    AS $_$
BEGIN
  -- ALTER TABLE x OWNER TO y;
  EXECUTE 'CREATE TABLE q (x int) TABLESPACE foo; GRANT ALL ON q TO bob';
  RETURN $q$ a;b $q$ || $$ more ; $$;
END $_$;


ALTER FUNCTION public.f1(a text, b integer) OWNER TO app;

--
-- Name: f2(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f2(x integer) RETURNS integer
    LANGUAGE sql IMMUTABLE LEAKPROOF
    AS $$select x; $$;


ALTER FUNCTION public.f2(x integer) OWNER TO postgres;

--
-- Name: f3(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f3(x integer) RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT 1;
 SELECT
         CASE
             WHEN (x > 1) THEN 2
             ELSE 3
         END AS "case";
END;


ALTER FUNCTION public.f3(x integer) OWNER TO postgres;

--
-- Name: f4(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f4(x integer) RETURNS integer
    LANGUAGE sql
    RETURN (x + 1);


ALTER FUNCTION public.f4(x integer) OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: t1; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.t1 (
    id integer NOT NULL,
    a text,
    b bytea,
    "c; ""x" numeric DEFAULT 3.5,
    CONSTRAINT ck CHECK ((a <> 'OWNER TO x;'::text))
);


ALTER TABLE public.t1 OWNER TO app;

--
-- Name: COLUMN t1.a; Type: COMMENT; Schema: public; Owner: app
--

COMMENT ON COLUMN public.t1.a IS 'back\slash';


--
-- Name: p1(integer); Type: PROCEDURE; Schema: public; Owner: postgres
--

CREATE PROCEDURE public.p1(INOUT x integer)
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.t1 (a)
   VALUES ('a;b'::text);
 SELECT (x + 1);
END;


ALTER PROCEDURE public.p1(INOUT x integer) OWNER TO postgres;

--
-- Name: trg(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.trg() RETURNS trigger
    LANGUAGE plpgsql
    AS $$begin return new; end$$;


ALTER FUNCTION public.trg() OWNER TO postgres;

--
-- Name: agg(integer); Type: AGGREGATE; Schema: public; Owner: app
--

CREATE AGGREGATE public.agg(integer) (
    SFUNC = int4pl,
    STYPE = integer,
    INITCOND = '0'
);


ALTER AGGREGATE public.agg(integer) OWNER TO app;

--
-- Name: heap2; Type: ACCESS METHOD; Schema: -; Owner: -
--

CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;


--
-- Name: ===; Type: OPERATOR; Schema: public; Owner: postgres
--

CREATE OPERATOR public.=== (
    FUNCTION = int4eq,
    LEFTARG = integer,
    RIGHTARG = integer
);


ALTER OPERATOR public.=== (integer, integer) OWNER TO postgres;

--
-- Name: myops; Type: OPERATOR FAMILY; Schema: public; Owner: postgres
--

CREATE OPERATOR FAMILY public.myops USING btree;


ALTER OPERATOR FAMILY public.myops USING btree OWNER TO postgres;

--
-- Name: myops; Type: OPERATOR CLASS; Schema: public; Owner: postgres
--

CREATE OPERATOR CLASS public.myops
    FOR TYPE integer USING btree FAMILY public.myops AS
    OPERATOR 1 <(integer,integer) ,
    OPERATOR 2 <=(integer,integer) ,
    OPERATOR 3 =(integer,integer) ,
    OPERATOR 4 >=(integer,integer) ,
    OPERATOR 5 >(integer,integer) ,
    FUNCTION 1 (integer, integer) btint4cmp(integer,integer);


ALTER OPERATOR CLASS public.myops USING btree OWNER TO postgres;

--
-- Name: myconv; Type: CONVERSION; Schema: public; Owner: postgres
--

CREATE CONVERSION public.myconv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;


ALTER CONVERSION public.myconv OWNER TO postgres;

--
-- Name: tst; Type: TEXT SEARCH TEMPLATE; Schema: public; Owner: -
--

CREATE TEXT SEARCH TEMPLATE public.tst (
    INIT = dsimple_init,
    LEXIZE = dsimple_lexize );


--
-- Name: tsd; Type: TEXT SEARCH DICTIONARY; Schema: public; Owner: postgres
--

CREATE TEXT SEARCH DICTIONARY public.tsd (
    TEMPLATE = pg_catalog.simple );


ALTER TEXT SEARCH DICTIONARY public.tsd OWNER TO postgres;

--
-- Name: tsc; Type: TEXT SEARCH CONFIGURATION; Schema: public; Owner: postgres
--

CREATE TEXT SEARCH CONFIGURATION public.tsc (
    PARSER = pg_catalog."default" );


ALTER TEXT SEARCH CONFIGURATION public.tsc OWNER TO postgres;

--
-- Name: myfdw; Type: FOREIGN DATA WRAPPER; Schema: -; Owner: postgres
--

CREATE FOREIGN DATA WRAPPER myfdw;


ALTER FOREIGN DATA WRAPPER myfdw OWNER TO postgres;

--
-- Name: fs; Type: SERVER; Schema: -; Owner: postgres
--

CREATE SERVER fs FOREIGN DATA WRAPPER file_fdw;


ALTER SERVER fs OWNER TO postgres;

--
-- Name: ms; Type: SERVER; Schema: -; Owner: postgres
--

CREATE SERVER ms FOREIGN DATA WRAPPER myfdw;


ALTER SERVER ms OWNER TO postgres;

--
-- Name: ps; Type: SERVER; Schema: -; Owner: postgres
--

CREATE SERVER ps FOREIGN DATA WRAPPER postgres_fdw OPTIONS (
    dbname 'y',
    host 'x'
);


ALTER SERVER ps OWNER TO postgres;

--
-- Name: USER MAPPING app SERVER ps; Type: USER MAPPING; Schema: -; Owner: postgres
--

CREATE USER MAPPING FOR app SERVER ps OPTIONS (
    password 'sekret''x',
    "user" 'u'
);


--
-- Name: USER MAPPING public SERVER ps; Type: USER MAPPING; Schema: -; Owner: postgres
--

CREATE USER MAPPING FOR public SERVER ps OPTIONS (
    password 'sekret2',
    "user" 'u2'
);


SET default_table_access_method = heap2;

--
-- Name: am2; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.am2 (
    a integer
);


ALTER TABLE public.am2 OWNER TO postgres;

SET default_table_access_method = heap;

--
-- Name: empty; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.empty (
);


ALTER TABLE public.empty OWNER TO postgres;

--
-- Name: ft; Type: FOREIGN TABLE; Schema: public; Owner: postgres
--

CREATE FOREIGN TABLE public.ft (
    a integer
)
SERVER ps
OPTIONS (
    table_name 't'
);


ALTER FOREIGN TABLE public.ft OWNER TO postgres;

--
-- Name: ftf; Type: FOREIGN TABLE; Schema: public; Owner: postgres
--

CREATE FOREIGN TABLE public.ftf (
    a text
)
SERVER fs
OPTIONS (
    filename '/etc/passwd'
);


ALTER FOREIGN TABLE public.ftf OWNER TO postgres;

--
-- Name: ftm; Type: FOREIGN TABLE; Schema: public; Owner: postgres
--

CREATE FOREIGN TABLE public.ftm (
    a text
)
SERVER ms;


ALTER FOREIGN TABLE public.ftm OWNER TO postgres;

--
-- Name: gen; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.gen (
    a integer,
    b integer GENERATED ALWAYS AS ((a * 2)) STORED,
    c integer NOT NULL
);


ALTER TABLE public.gen OWNER TO postgres;

--
-- Name: gen_c_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.gen ALTER COLUMN c ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.gen_c_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


SET default_tablespace = tsp;

--
-- Name: intsp; Type: TABLE; Schema: public; Owner: postgres; Tablespace: tsp
--

CREATE TABLE public.intsp (
    a integer
);


ALTER TABLE public.intsp OWNER TO postgres;

SET default_tablespace = '';

--
-- Name: mv1; Type: MATERIALIZED VIEW; Schema: public; Owner: postgres
--

CREATE MATERIALIZED VIEW public.mv1 AS
 SELECT count(*) AS count
   FROM public.t1
  WITH NO DATA;


ALTER TABLE public.mv1 OWNER TO postgres;

--
-- Name: new line"t;--/*; Type: TABLE; Schema: public; Owner: odd "role
--

CREATE TABLE public."new
line""t;--/*" (
    "col
umn" text,
    "$$" text
);


ALTER TABLE public."new
line""t;--/*" OWNER TO "odd ""role";

--
-- Name: TABLE "new line""t;--/*"; Type: COMMENT; Schema: public; Owner: odd "role
--

COMMENT ON TABLE public."new
line""t;--/*" IS 'a comment '' with ; quotes \ and
-- newline $$';


--
-- Name: part; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.part (
    k integer,
    v text
)
PARTITION BY RANGE (k);


ALTER TABLE public.part OWNER TO postgres;

--
-- Name: part1; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.part1 (
    k integer,
    v text
);


ALTER TABLE public.part1 OWNER TO postgres;

--
-- Name: part2; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.part2 (
    k integer,
    v text
);


ALTER TABLE public.part2 OWNER TO postgres;

--
-- Name: sq; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.sq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.sq OWNER TO postgres;

--
-- Name: t1_id_seq; Type: SEQUENCE; Schema: public; Owner: app
--

CREATE SEQUENCE public.t1_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.t1_id_seq OWNER TO app;

--
-- Name: t1_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: app
--

ALTER SEQUENCE public.t1_id_seq OWNED BY public.t1.id;


--
-- Name: v1; Type: VIEW; Schema: public; Owner: app
--

CREATE VIEW public.v1 AS
 SELECT t1.id,
    t1.a,
    t1.b,
    t1."c; ""x"
   FROM public.t1;


ALTER TABLE public.v1 OWNER TO app;

--
-- Name: part1; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.part ATTACH PARTITION public.part1 FOR VALUES FROM (0) TO (10);


--
-- Name: part2; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.part ATTACH PARTITION public.part2 DEFAULT;


--
-- Name: t1 id; Type: DEFAULT; Schema: public; Owner: app
--

ALTER TABLE ONLY public.t1 ALTER COLUMN id SET DEFAULT nextval('public.t1_id_seq'::regclass);


--
-- Name: 12345; Type: BLOB; Schema: -; Owner: app
--

SELECT pg_catalog.lo_create('12345');


ALTER LARGE OBJECT 12345 OWNER TO app;

--
-- Name: LARGE OBJECT 12345; Type: COMMENT; Schema: -; Owner: app
--

COMMENT ON LARGE OBJECT 12345 IS 'lo';


--
-- Name: 12346; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('12346');


ALTER LARGE OBJECT 12346 OWNER TO postgres;

--
-- Data for Name: am2; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.am2 (a) FROM stdin;
1
\.


--
-- Data for Name: empty; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.empty  FROM stdin;
\.


--
-- Data for Name: gen; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.gen (a, c) FROM stdin;
1	1
\.


--
-- Data for Name: intsp; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.intsp (a) FROM stdin;
1
\.


--
-- Data for Name: new line"t;--/*; Type: TABLE DATA; Schema: public; Owner: odd "role
--

COPY public."new
line""t;--/*" ("col
umn", "$$") FROM stdin;
a	b
\.


--
-- Data for Name: part1; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.part1 (k, v) FROM stdin;
1	v1
2	v2
3	v3
4	v4
5	v5
6	v6
7	v7
8	v8
9	v9
\.


--
-- Data for Name: part2; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.part2 (k, v) FROM stdin;
10	v10
11	v11
12	v12
13	v13
14	v14
15	v15
16	v16
17	v17
18	v18
19	v19
20	v20
\.


--
-- Data for Name: t1; Type: TABLE DATA; Schema: public; Owner: app
--

COPY public.t1 (id, a, b, "c; ""x") FROM stdin;
1	row 1\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc4ca4238a0b923820dcc509a6f75849b	3.5
2	row 2\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc81e728d9d4c2f636f067f89cc14862c	3.5
3	row 3\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xeccbc87e4b5ce2fe28308fd9f2a7baf3	3.5
4	row 4\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa87ff679a2f3e71d9181a67b7542122c	3.5
5	row 5\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xe4da3b7fbbce2345d7772b0674a318d5	3.5
6	row 6\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1679091c5a880faf6fb5e6087eb1b2dc	3.5
7	row 7\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x8f14e45fceea167a5a36dedd4bea2543	3.5
8	row 8\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc9f0f895fb98ab9159f51fd0297e236d	3.5
9	row 9\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x45c48cce2e2d7fbdea1afc51c7c6ad26	3.5
10	row 10\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd3d9446802a44259755d38e6d163e820	3.5
11	row 11\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6512bd43d9caa6e02c990b0a82652dca	3.5
12	row 12\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc20ad4d76fe97759aa27a0c99bff6710	3.5
13	row 13\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc51ce410c124a10e0db5e4b97fc2af39	3.5
14	row 14\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xaab3238922bcc25a6f606eb525ffdc56	3.5
15	row 15\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9bf31c7ff062936a96d3c8bd1f8f2ff3	3.5
16	row 16\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc74d97b01eae257e44aa9d5bade97baf	3.5
17	row 17\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x70efdf2ec9b086079795c442636b55fb	3.5
18	row 18\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6f4922f45568161a8cdf4ad2299f6d23	3.5
19	row 19\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1f0e3dad99908345f7439f8ffabdffc4	3.5
20	row 20\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x98f13708210194c475687be6106a3b84	3.5
21	row 21\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3c59dc048e8850243be8079a5c74d079	3.5
22	row 22\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xb6d767d2f8ed5d21a44b0e5886680cb9	3.5
23	row 23\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x37693cfc748049e45d87b8c7d8b9aacd	3.5
24	row 24\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1ff1de774005f8da13f42943881c655f	3.5
25	row 25\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x8e296a067a37563370ded05f5a3bf3ec	3.5
26	row 26\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x4e732ced3463d06de0ca9a15b6153677	3.5
27	row 27\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x02e74f10e0327ad868d138f2b4fdd6f0	3.5
28	row 28\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x33e75ff09dd601bbe69f351039152189	3.5
29	row 29\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6ea9ab1baa0efb9e19094440c317e21b	3.5
30	row 30\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x34173cb38f07f89ddbebc2ac9128303f	3.5
31	row 31\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc16a5320fa475530d9583c34fd356ef5	3.5
32	row 32\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6364d3f0f495b6ab9dcf8d3b5c6e0b01	3.5
33	row 33\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x182be0c5cdcd5072bb1864cdee4d3d6e	3.5
34	row 34\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xe369853df766fa44e1ed0ff613f563bd	3.5
35	row 35\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1c383cd30b7c298ab50293adfecb7b18	3.5
36	row 36\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x19ca14e7ea6328a42e0eb13d585e4c22	3.5
37	row 37\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa5bfc9e07964f8dddeb95fc584cd965d	3.5
38	row 38\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa5771bce93e200c36f7cd9dfd0e5deaa	3.5
39	row 39\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd67d8ab4f4c10bf22aa353e27879133c	3.5
40	row 40\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd645920e395fedad7bbbed0eca3fe2e0	3.5
41	row 41\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3416a75f4cea9109507cacd8e2f2aefc	3.5
42	row 42\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa1d0c6e83f027327d8461063f4ac58a6	3.5
43	row 43\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x17e62166fc8586dfa4d1bc0e1742c08b	3.5
44	row 44\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf7177163c833dff4b38fc8d2872f1ec6	3.5
45	row 45\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6c8349cc7260ae62e3b1396831a8398f	3.5
46	row 46\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd9d4f495e875a2e075a1a4a6e1b9770f	3.5
47	row 47\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x67c6a1e7ce56d3d6fa748ab6d9af3fd7	3.5
48	row 48\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x642e92efb79421734881b53e1e1b18b6	3.5
49	row 49\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf457c545a9ded88f18ecee47145a72c0	3.5
50	row 50\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc0c7c76d30bd3dcaefc96f40275bdc0a	3.5
51	row 51\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x2838023a778dfaecdc212708f721b788	3.5
52	row 52\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9a1158154dfa42caddbd0694a4e9bdc8	3.5
53	row 53\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd82c8d1619ad8176d665453cfb2e55f0	3.5
54	row 54\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa684eceee76fc522773286a895bc8436	3.5
55	row 55\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xb53b3a3d6ab90ce0268229151c9bde11	3.5
56	row 56\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9f61408e3afb633e50cdf1b20de6f466	3.5
57	row 57\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x72b32a1f754ba1c09b3695e0cb6cde7f	3.5
58	row 58\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x66f041e16a60928b05a7e228a89c3799	3.5
59	row 59\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x093f65e080a295f8076b1c5722a46aa2	3.5
60	row 60\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x072b030ba126b2f4b2374f342be9ed44	3.5
61	row 61\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x7f39f8317fbdb1988ef4c628eba02591	3.5
62	row 62\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x44f683a84163b3523afe57c2e008bc8c	3.5
63	row 63\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x03afdbd66e7929b125f8597834fa83a4	3.5
64	row 64\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xea5d2f1c4608232e07d3aa3d998e5135	3.5
65	row 65\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xfc490ca45c00b1249bbe3554a4fdf6fb	3.5
66	row 66\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3295c76acbf4caaed33c36b1b5fc2cb1	3.5
67	row 67\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x735b90b4568125ed6c3f678819b6e058	3.5
68	row 68\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa3f390d88e4c41f2747bfa2f1b5f87db	3.5
69	row 69\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x14bfa6bb14875e45bba028a21ed38046	3.5
70	row 70\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x7cbbc409ec990f19c78c75bd1e06f215	3.5
71	row 71\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xe2c420d928d4bf8ce0ff2ec19b371514	3.5
72	row 72\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x32bb90e8976aab5298d5da10fe66f21d	3.5
73	row 73\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd2ddea18f00665ce8623e36bd4e3c7c5	3.5
74	row 74\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xad61ab143223efbc24c7d2583be69251	3.5
75	row 75\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd09bf41544a3365a46c9077ebb5e35c3	3.5
76	row 76\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xfbd7939d674997cdb4692d34de8633c4	3.5
77	row 77\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x28dd2c7955ce926456240b2ff0100bde	3.5
78	row 78\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x35f4a8d465e6e1edc05f3d8ab658c551	3.5
79	row 79\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd1fe173d08e959397adf34b1d77e88d7	3.5
80	row 80\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf033ab37c30201f73f142449d037028d	3.5
81	row 81\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x43ec517d68b6edd3015b3edc9a11367b	3.5
82	row 82\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9778d5d219c5080b9a6a17bef029331c	3.5
83	row 83\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xfe9fc289c3ff0af142b6d3bead98a923	3.5
84	row 84\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x68d30a9594728bc39aa24be94b319d21	3.5
85	row 85\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3ef815416f775098fe977004015c6193	3.5
86	row 86\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x93db85ed909c13838ff95ccfa94cebd9	3.5
87	row 87\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc7e1249ffc03eb9ded908c236bd1996d	3.5
88	row 88\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x2a38a4a9316c49e5a833517c45d31070	3.5
89	row 89\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x7647966b7343c29048673252e490f736	3.5
90	row 90\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x8613985ec49eb8f757ae6439e879bb2a	3.5
91	row 91\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x54229abfcfa5649e7003b83dd4755294	3.5
92	row 92\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x92cc227532d17e56e07902b254dfad10	3.5
93	row 93\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x98dce83da57b0395e163467c9dae521b	3.5
94	row 94\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf4b9ec30ad9f68f89b29639786cb62ef	3.5
95	row 95\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x812b4ba287f5ee0bc9d43bbf5bbe87fb	3.5
96	row 96\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x26657d5ff9020d2abefe558796b99584	3.5
97	row 97\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xe2ef524fbf3d9fe611d5a8e90fefdc9c	3.5
98	row 98\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xed3d2c21991e3bef5e069713af9fa6ca	3.5
99	row 99\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xac627ab1ccbdb62ec96e702f07f6425b	3.5
100	row 100\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf899139df5e1059396431415e770c6dd	3.5
101	row 101\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x38b3eff8baf56627478ec76a704e9b52	3.5
102	row 102\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xec8956637a99787bd197eacd77acce5e	3.5
103	row 103\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6974ce5ac660610b44d9b9fed0ff9548	3.5
104	row 104\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc9e1074f5b3f9fc8ea15d152add07294	3.5
105	row 105\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x65b9eea6e1cc6bb9f0cd2a47751a186f	3.5
106	row 106\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf0935e4cd5920aa6c7c996a5ee53a70f	3.5
107	row 107\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa97da629b098b75c294dffdc3e463904	3.5
108	row 108\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa3c65c2974270fd093ee8a9bf8ae7d0b	3.5
109	row 109\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x2723d092b63885e0d7c260cc007e8b9d	3.5
110	row 110\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x5f93f983524def3dca464469d2cf9f3e	3.5
111	row 111\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x698d51a19d8a121ce581499d7b701668	3.5
112	row 112\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x7f6ffaa6bb0b408017b62254211691b5	3.5
113	row 113\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x73278a4a86960eeb576a8fd4c9ec6997	3.5
114	row 114\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x5fd0b37cd7dbbb00f97ba6ce92bf5add	3.5
115	row 115\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x2b44928ae11fb9384c4cf38708677c48	3.5
116	row 116\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc45147dee729311ef5b5c3003946c48f	3.5
117	row 117\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xeb160de1de89d9058fcb0b968dbbbd68	3.5
118	row 118\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x5ef059938ba799aaa845e1c2e8a762bd	3.5
119	row 119\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x07e1cd7dca89a1678042477183b7ac3f	3.5
120	row 120\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xda4fb5c6e93e74d3df8527599fa62642	3.5
121	row 121\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x4c56ff4ce4aaf9573aa5dff913df997a	3.5
122	row 122\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa0a080f42e6f13b3a2df133f073095dd	3.5
123	row 123\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x202cb962ac59075b964b07152d234b70	3.5
124	row 124\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xc8ffe9a587b126f152ed3d89a146b445	3.5
125	row 125\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3def184ad8f4755ff269862ea77393dd	3.5
126	row 126\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x069059b7ef840f0c74a814ec9237b6ec	3.5
127	row 127\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xec5decca5ed3d6b8079e2e7e7bacc9f2	3.5
128	row 128\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x76dc611d6ebaafc66cc0879c71b5db5c	3.5
129	row 129\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xd1f491a404d6854880943e5c3cd9ca25	3.5
130	row 130\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9b8619251a19057cff70779273e95aa6	3.5
131	row 131\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1afa34a7f984eeabdbb0a7d494132ee5	3.5
132	row 132\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x65ded5353c5ee48d0b7d48c591b8f430	3.5
133	row 133\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9fc3d7152ba9336a670e36d0ed79bc43	3.5
134	row 134\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x02522a2b2726fb0a03bb19f2d8d9524d	3.5
135	row 135\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x7f1de29e6da19d22b51c68001e7e0e54	3.5
136	row 136\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x42a0e188f5033bc65bf8d78622277c4e	3.5
137	row 137\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3988c7f88ebcb58c6ce932b957b6f332	3.5
138	row 138\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x013d407166ec4fa56eb1e1f8cbe183b9	3.5
139	row 139\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xe00da03b685a0dd18fb6a08af0923de0	3.5
140	row 140\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1385974ed5904a438616ff7bdb3f7439	3.5
141	row 141\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x0f28b5d49b3020afeecd95b4009adf4c	3.5
142	row 142\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa8baa56554f96369ab93e4f3bb068c22	3.5
143	row 143\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x903ce9225fca3e988c2af215d4e544d3	3.5
144	row 144\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x0a09c8844ba8f0936c20bd791130d6b6	3.5
145	row 145\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x2b24d495052a8ce66358eb576b8912c8	3.5
146	row 146\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa5e00132373a7031000fd987a3c9f87b	3.5
147	row 147\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x8d5e957f297893487bd98fa830fa6413	3.5
148	row 148\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x47d1e990583c9c67424d369f3414728e	3.5
149	row 149\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf2217062e9a397a1dca429e7d70bc6ca	3.5
150	row 150\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x7ef605fc8dba5425d6965fbd4c8fbe1f	3.5
151	row 151\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa8f15eda80c50adb0e71943adc8015cf	3.5
152	row 152\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x37a749d808e46495a8da1e5352d03cae	3.5
153	row 153\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xb3e3e393c77e35a4a3f3cbd1e429b5dc	3.5
154	row 154\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1d7f7abc18fcb43975065399b0d1e48e	3.5
155	row 155\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x2a79ea27c279e471f4d180b08d62b00a	3.5
156	row 156\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1c9ac0159c94d8d0cbedc973445af2da	3.5
157	row 157\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6c4b761a28b734fe93831e3fb400ce87	3.5
158	row 158\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x06409663226af2f3114485aa4e0a23b4	3.5
159	row 159\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x140f6969d5213fd0ece03148e62e461e	3.5
160	row 160\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xb73ce398c39f506af761d2277d853a92	3.5
161	row 161\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xbd4c9ab730f5513206b999ec0d90d1fb	3.5
162	row 162\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x82aa4b0af34c2313a562076992e50aa3	3.5
163	row 163\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x0777d5c17d4066b82ab86dff8a46af6f	3.5
164	row 164\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xfa7cdfad1a5aaf8370ebeda47a1ff1c3	3.5
165	row 165\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9766527f2b5d3e95d4a733fcfb77bd7e	3.5
166	row 166\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x7e7757b1e12abcb736ab9a754ffb617a	3.5
167	row 167\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x5878a7ab84fb43402106c575658472fa	3.5
168	row 168\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x006f52e9102a8d3be2fe5614f42ba989	3.5
169	row 169\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3636638817772e42b59d74cff571fbb3	3.5
170	row 170\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x149e9677a5989fd342ae44213df68868	3.5
171	row 171\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa4a042cf4fd6bfb47701cbc8a1653ada	3.5
172	row 172\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x1ff8a7b5dc7a7d1f0ed65aaa29c04b1e	3.5
173	row 173\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xf7e6c85504ce6e82442c770f7c8606f0	3.5
174	row 174\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xbf8229696f7a3bb4700cfddef19fa23f	3.5
175	row 175\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x82161242827b703e6acf9c726942a1e4	3.5
176	row 176\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x38af86134b65d0f10fe33d30dd76442e	3.5
177	row 177\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x96da2f590cd7246bbde0051047b0d6f7	3.5
178	row 178\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x8f85517967795eeef66c225f7883bdcb	3.5
179	row 179\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x8f53295a73878494e9bc8dd6c3c7104f	3.5
180	row 180\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x045117b0e0a11a242b9765e79cbf113f	3.5
181	row 181\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xfc221309746013ac554571fbd180e1c8	3.5
182	row 182\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x4c5bde74a8f110656874902f07378009	3.5
183	row 183\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xcedebb6e872f539bef8c3f919874e9d7	3.5
184	row 184\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x6cdd60ea0045eb7a6ec44c54d29ed402	3.5
185	row 185\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xeecca5b6365d9607ee5a9d336962c534	3.5
186	row 186\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9872ed9fc22fc182d371c3e9ed316094	3.5
187	row 187\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x31fefc0e570cb3860f2a6d4b38c6490d	3.5
188	row 188\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x9dcb88e0137649590b755372b040afad	3.5
189	row 189\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa2557a7b2e94197ff767970b67041697	3.5
190	row 190\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xcfecdb276f634854f3ef915e2e980c31	3.5
191	row 191\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x0aa1883c6411f7873cb83dacb17b0afc	3.5
192	row 192\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x58a2fc6ed39fd083f55d4182bf88826d	3.5
193	row 193\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xbd686fd640be98efaae0091fa301e613	3.5
194	row 194\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\xa597e50502f5ff68e3e25b9114205d4a	3.5
195	row 195\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x0336dcbab05b9d5ad24f4333c7658a0e	3.5
196	row 196\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x084b6fbb10729ed4da8c3d3f5a3ae7c9	3.5
197	row 197\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x85d8ce590ad8981ca2c8286f79f59954	3.5
198	row 198\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x0e65972dce68dad4d52d063967f0a705	3.5
199	row 199\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x84d9ee44e457ddef7f2c4f25dc8fa865	3.5
200	row 200\t\\.\n\\.\nALTER TABLE x OWNER TO y;	\\x3644a684f98ea8fe223c713b77189a77	3.5
201	\\.	\N	3.5
202		\N	3.5
203	\N	\N	3.5
204	\\	\N	3.5
205	$$	\N	3.5
206	'	\N	3.5
\.


--
-- Name: gen_c_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.gen_c_seq', 1, true);


--
-- Name: sq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.sq', 1, false);


--
-- Name: t1_id_seq; Type: SEQUENCE SET; Schema: public; Owner: app
--

SELECT pg_catalog.setval('public.t1_id_seq', 206, true);


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('12345', 131072);
SELECT pg_catalog.lowrite(0, '\x6c61726765206f626a6563742064617461');
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('12346', 131072);
SELECT pg_catalog.lowrite(0, '\x7878787878787878');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: t1 t1_pkey; Type: CONSTRAINT; Schema: public; Owner: app
--

ALTER TABLE ONLY public.t1
    ADD CONSTRAINT t1_pkey PRIMARY KEY (id);


SET default_tablespace = tsp;

--
-- Name: intsp_a_idx; Type: INDEX; Schema: public; Owner: postgres; Tablespace: tsp
--

CREATE INDEX intsp_a_idx ON public.intsp USING btree (a);


SET default_tablespace = '';

--
-- Name: ix; Type: INDEX; Schema: public; Owner: app
--

CREATE INDEX ix ON public.t1 USING btree (lower(a));


--
-- Name: st1; Type: STATISTICS; Schema: public; Owner: postgres
--

CREATE STATISTICS public.st1 ON a, b FROM public.t1;


ALTER STATISTICS public.st1 OWNER TO postgres;

--
-- Name: v1 ru; Type: RULE; Schema: public; Owner: app
--

CREATE RULE ru AS
    ON INSERT TO public.v1 DO INSTEAD ( INSERT INTO public.t1 (a)
  VALUES ('x'::text);
 SELECT 1 AS "?column?";
);


--
-- Name: t1 tr;; Type: TRIGGER; Schema: public; Owner: app
--

CREATE TRIGGER "tr;" BEFORE INSERT ON public.t1 FOR EACH ROW EXECUTE FUNCTION public.trg();

ALTER TABLE public.t1 DISABLE TRIGGER "tr;";


--
-- Name: t1 pol; Type: POLICY; Schema: public; Owner: app
--

CREATE POLICY pol ON public.t1 TO app, ro USING ((a <> ';'::text));


--
-- Name: t1; Type: ROW SECURITY; Schema: public; Owner: app
--

ALTER TABLE public.t1 ENABLE ROW LEVEL SECURITY;

--
-- Name: pub_all; Type: PUBLICATION; Schema: -; Owner: postgres
--

CREATE PUBLICATION pub_all FOR ALL TABLES WITH (publish = 'insert, update, delete, truncate');


ALTER PUBLICATION pub_all OWNER TO postgres;

--
-- Name: pub_t; Type: PUBLICATION; Schema: -; Owner: postgres
--

CREATE PUBLICATION pub_t WITH (publish = 'insert, update, delete, truncate');


ALTER PUBLICATION pub_t OWNER TO postgres;

--
-- Name: pub_t t1; Type: PUBLICATION TABLE; Schema: public; Owner: postgres
--

ALTER PUBLICATION pub_t ADD TABLE ONLY public.t1;


--
-- Name: pub_t s1; Type: PUBLICATION TABLES IN SCHEMA; Schema: s1; Owner: postgres
--

ALTER PUBLICATION pub_t ADD TABLES IN SCHEMA s1;


--
-- Name: sub1; Type: SUBSCRIPTION; Schema: -; Owner: postgres
--

CREATE SUBSCRIPTION sub1 CONNECTION 'host=example.invalid password=hunter2 dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE);


ALTER SUBSCRIPTION sub1 OWNER TO postgres;

--
-- Name: SUBSCRIPTION sub1; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON SUBSCRIPTION sub1 IS 'c';


--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: app
--

GRANT CREATE ON SCHEMA public TO ro;


--
-- Name: FUNCTION pg_read_file(text); Type: ACL; Schema: pg_catalog; Owner: postgres
--

GRANT ALL ON FUNCTION pg_catalog.pg_read_file(text) TO app;


--
-- Name: FUNCTION f1(a text, b integer); Type: ACL; Schema: public; Owner: app
--

REVOKE ALL ON FUNCTION public.f1(a text, b integer) FROM PUBLIC;


--
-- Name: TABLE t1; Type: ACL; Schema: public; Owner: app
--

GRANT SELECT ON TABLE public.t1 TO ro WITH GRANT OPTION;
SET SESSION AUTHORIZATION ro;
GRANT SELECT ON TABLE public.t1 TO app;
RESET SESSION AUTHORIZATION;


--
-- Name: COLUMN t1.a; Type: ACL; Schema: public; Owner: app
--

GRANT SELECT(a) ON TABLE public.t1 TO "odd ""role";


--
-- Name: COLUMN t1.b; Type: ACL; Schema: public; Owner: app
--

GRANT UPDATE(b) ON TABLE public.t1 TO "odd ""role";


--
-- Name: FOREIGN SERVER ps; Type: ACL; Schema: -; Owner: postgres
--

GRANT ALL ON FOREIGN SERVER ps TO app;


--
-- Name: LARGE OBJECT 12345; Type: ACL; Schema: -; Owner: app
--

GRANT SELECT ON LARGE OBJECT 12345 TO ro;


--
-- Name: DEFAULT PRIVILEGES FOR TABLES; Type: DEFAULT ACL; Schema: s1; Owner: app
--

ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA s1 GRANT SELECT ON TABLES  TO ro;


--
-- Name: ev; Type: EVENT TRIGGER; Schema: -; Owner: postgres
--

CREATE EVENT TRIGGER ev ON ddl_command_end
   EXECUTE FUNCTION public.evf();

ALTER EVENT TRIGGER ev DISABLE;


ALTER EVENT TRIGGER ev OWNER TO postgres;

--
-- Name: EVENT TRIGGER ev; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON EVENT TRIGGER ev IS 'x';


--
-- Name: mv1; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: postgres
--

REFRESH MATERIALIZED VIEW public.mv1;


--
-- PostgreSQL database dump complete
--

\unrestrict jKkEFKemDXcOb4Bsxuqv0xTkPkclJXMMjZhgZu53S0qmfXawIpOxwJMOjyAD8va


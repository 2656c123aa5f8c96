//! One line for each rule: what comes in, what goes out, which change is counted. An empty output is a dropped
//! statement; no change means that it must stay as it is.

use super::*;

const DROPPED: &str = "";

/// `(input, output, change)`; for a change of `""` the output is not looked at and must equal the input.
const ROWS: &[(&str, &str, &str)] = &[
    // Owners.
    ("ALTER TABLE public.t OWNER TO app;", DROPPED, "owner-dropped"),
    ("ALTER TABLE ONLY \"a\nb\" OWNER TO \"odd \"\"role\";", DROPPED, "owner-dropped"),
    ("alter function f(a text, b int) owner to app;", DROPPED, "owner-dropped"),
    ("ALTER OPERATOR public.=== (integer, integer) OWNER TO x;", DROPPED, "owner-dropped"),
    ("ALTER OPERATOR CLASS public.o USING btree OWNER TO x;", DROPPED, "owner-dropped"),
    ("ALTER LARGE OBJECT 12 OWNER TO x;", DROPPED, "owner-dropped"),
    ("ALTER DATABASE d OWNER TO x;", DROPPED, "owner-dropped"),
    ("ALTER SCHEMA public OWNER TO pg_database_owner;", DROPPED, "owner-dropped"),
    ("ALTER SCHEMA rename OWNER TO x;", DROPPED, "owner-dropped"),
    ("ALTER EVENT TRIGGER e OWNER TO x;", DROPPED, "owner-dropped"),
    ("ALTER PROCEDURAL LANGUAGE l OWNER TO x;", DROPPED, "owner-dropped"),
    ("REASSIGN OWNED BY a TO b;", DROPPED, "owner-dropped"),
    ("ALTER TABLE t ADD COLUMN a int, OWNER TO x;", "ALTER TABLE t ADD COLUMN a int;", "owner-dropped"),
    ("ALTER TABLE t OWNER TO x, ADD COLUMN a int;", "ALTER TABLE t  ADD COLUMN a int;", "owner-dropped"),
    ("ALTER TABLE t OWNER TO x, OWNER TO y;", DROPPED, "owner-dropped"),
    ("ALTER TABLE t OWNER TO x, OWNER TO y, SET LOGGED;", "ALTER TABLE t   SET LOGGED;", "owner-dropped"),
    ("ALTER TABLE t SET LOGGED, OWNER TO x, OWNER TO y;", "ALTER TABLE t SET LOGGED;", "owner-dropped"),
    ("SET default_tablespace ; = tsp;", "", ""),
    ("SET default_table_access_method \u{1}= heap2;", "", ""),
    ("SET default_table_access_method =\u{1}heap2;", "", ""),
    ("ALTER TABLE t RENAME COLUMN owner TO boss;", "", ""),
    ("ALTER TABLE t RENAME owner TO boss;", "", ""),
    ("ALTER TYPE t RENAME ATTRIBUTE owner TO boss;", "", ""),
    ("ALTER TABLE t OWNER TO CURRENT_USER;", "", ""),
    ("ALTER TABLE t ALTER COLUMN owner SET NOT NULL;", "", ""),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (a <> 'OWNER TO x');", "", ""),
    // Sessions.
    ("SET SESSION AUTHORIZATION 'app';", DROPPED, "session-authorization-dropped"),
    ("SET LOCAL SESSION AUTHORIZATION app;", DROPPED, "session-authorization-dropped"),
    ("RESET SESSION AUTHORIZATION;", DROPPED, "session-authorization-dropped"),
    ("SET ROLE app;", DROPPED, "set-role-dropped"),
    ("SET SESSION ROLE app;", DROPPED, "set-role-dropped"),
    ("RESET ROLE;", DROPPED, "set-role-dropped"),
    // Privileges.
    ("GRANT SELECT(a) ON TABLE public.t TO r WITH GRANT OPTION;", DROPPED, "acl-dropped"),
    ("REVOKE ALL ON FUNCTION f(a text) FROM PUBLIC;", DROPPED, "acl-dropped"),
    ("GRANT SELECT ON LARGE OBJECT 12 TO r;", DROPPED, "acl-dropped"),
    ("ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO r;", DROPPED, "default-acl-dropped"),
    ("GRANT SET ON PARAMETER log_statement TO r;", DROPPED, "parameter-acl-dropped"),
    // Memberships.
    (
        "GRANT a TO b WITH ADMIN OPTION GRANTED BY postgres;",
        "GRANT a TO b WITH ADMIN OPTION;",
        "granted-by-dropped",
    ),
    ("GRANT a TO b GRANTED BY \"x y\";", "GRANT a TO b;", "granted-by-dropped"),
    ("GRANT a, \"on\" TO b;", "", ""),
    ("GRANT pg_monitor TO b;", "", ""),
    ("GRANT pg_read_server_files TO b;", DROPPED, "platform-membership-dropped"),
    ("GRANT a TO rds_superuser;", DROPPED, "platform-membership-dropped"),
    // Roles.
    ("CREATE ROLE a;", "", ""),
    ("CREATE ROLE postgres;", DROPPED, "platform-role-dropped"),
    ("CREATE ROLE rds_superuser;", DROPPED, "platform-role-dropped"),
    ("ALTER ROLE postgres WITH SUPERUSER PASSWORD 'x';", DROPPED, "platform-role-dropped"),
    (
        "ALTER ROLE a WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS PASSWORD 'NOSUPERUSER' VALID UNTIL 'x';",
        "ALTER ROLE a WITH INHERIT NOCREATEROLE NOCREATEDB LOGIN PASSWORD 'NOSUPERUSER' VALID UNTIL 'x';",
        "role-attribute-dropped",
    ),
    ("ALTER ROLE a WITH SUPERUSER;", DROPPED, "role-attribute-dropped"),
    ("CREATE USER a SUPERUSER LOGIN;", "CREATE USER a LOGIN;", "role-attribute-dropped"),
    ("ALTER ROLE a SET work_mem TO '8MB';", "", ""),
    ("ALTER ROLE a IN DATABASE d SET search_path TO 'x';", "", ""),
    ("DROP ROLE IF EXISTS postgres;", DROPPED, "platform-role-dropped"),
    // Schemas.
    ("CREATE SCHEMA public;", "CREATE SCHEMA IF NOT EXISTS public;", "public-schema-if-not-exists"),
    ("CREATE SCHEMA IF NOT EXISTS public;", "", ""),
    ("CREATE SCHEMA \"Public\";", "", ""),
    ("CREATE SCHEMA s AUTHORIZATION r;", "CREATE SCHEMA s;", "schema-authorization-dropped"),
    ("CREATE SCHEMA AUTHORIZATION r;", "CREATE SCHEMA r;", "schema-authorization-dropped"),
    ("COMMENT ON SCHEMA public IS 'x';", DROPPED, "public-schema-comment-dropped"),
    ("COMMENT ON SCHEMA s IS 'x';", "", ""),
    ("DROP SCHEMA IF EXISTS public;", DROPPED, "public-schema-drop-dropped"),
    // Databases.
    (
        "CREATE DATABASE d WITH OWNER = x TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C' TABLESPACE = t CONNECTION LIMIT = -1;",
        "CREATE DATABASE d WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C';",
        "database-option-dropped",
    ),
    ("CREATE DATABASE d WITH TEMPLATE = template0 LOCALE_PROVIDER = icu ICU_LOCALE = 'und';", "", ""),
    ("ALTER DATABASE d CONNECTION LIMIT = 50;", DROPPED, "database-property-dropped"),
    ("ALTER DATABASE d IS_TEMPLATE = true;", DROPPED, "database-property-dropped"),
    ("ALTER DATABASE d SET TABLESPACE t;", DROPPED, "database-property-dropped"),
    ("ALTER DATABASE d SET search_path TO 'a';", "", ""),
    (
        "UPDATE pg_catalog.pg_database SET datistemplate = 'true' WHERE datname = 'd';",
        DROPPED,
        "catalog-update-dropped",
    ),
    ("UPDATE public.pg_catalog SET a = 1;", "", ""),
    // Extensions, languages, comments.
    ("COMMENT ON EXTENSION plpgsql IS 'x;';", DROPPED, "extension-comment-dropped"),
    ("COMMENT ON TABLE extension IS 'x';", "", ""),
    ("COMMENT ON SUBSCRIPTION s IS 'x';", DROPPED, "comment-dropped"),
    ("CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;", "", ""),
    ("CREATE OR REPLACE PROCEDURAL LANGUAGE plpgsql;", DROPPED, "language-dropped"),
    ("CREATE LANGUAGE plpgsql;", DROPPED, "language-dropped"),
    ("DROP EXTENSION plpgsql;", DROPPED, "language-dropped"),
    ("SECURITY LABEL FOR p ON TABLE t IS 'x';", DROPPED, "security-label-dropped"),
    // Settings.
    ("SET transaction_timeout = 0;", DROPPED, "transaction-timeout-dropped"),
    ("SET idle_in_transaction_session_timeout = 0;", "", ""),
    ("SET default_with_oids = false;", DROPPED, "with-oids-dropped"),
    ("SET default_tablespace = tsp;", "SET default_tablespace = '';", "tablespace-dropped"),
    ("SET default_tablespace = '';", "", ""),
    (
        "SET default_table_access_method = columnar;",
        "SET default_table_access_method = heap;",
        "table-access-method-rewritten",
    ),
    ("SET default_table_access_method = heap;", "", ""),
    ("SELECT pg_catalog.set_config('search_path', '', false);", "", ""),
    (
        "SELECT * FROM pg_catalog.pg_restore_relation_stats('version', '180000'::integer);",
        DROPPED,
        "statistics-dropped",
    ),
    // Tablespaces, access methods, OIDs.
    ("CREATE TABLESPACE t OWNER r LOCATION '/p';", DROPPED, "tablespace-dropped"),
    (
        "CREATE TABLE t (tablespace int) TABLESPACE tsp;",
        "CREATE TABLE t (tablespace int);",
        "tablespace-dropped",
    ),
    (
        "CREATE TABLE t (a int PRIMARY KEY USING INDEX TABLESPACE x);",
        "CREATE TABLE t (a int PRIMARY KEY );",
        "tablespace-dropped",
    ),
    (
        "CREATE UNIQUE INDEX i ON t (a) TABLESPACE x WHERE a > 1;",
        "CREATE UNIQUE INDEX i ON t (a) WHERE a > 1;",
        "tablespace-dropped",
    ),
    ("CREATE INDEX i ON t USING gin (a);", "", ""),
    ("CREATE TABLE tablespace (a int);", "", ""),
    ("ALTER INDEX i SET TABLESPACE x;", DROPPED, "tablespace-dropped"),
    (
        "ALTER TABLE t ADD CONSTRAINT c UNIQUE (a) USING INDEX TABLESPACE x;",
        "ALTER TABLE t ADD CONSTRAINT c UNIQUE (a) ;",
        "tablespace-dropped",
    ),
    ("CREATE ACCESS METHOD m TYPE TABLE HANDLER h;", DROPPED, "access-method-dropped"),
    ("ALTER TABLE t SET ACCESS METHOD columnar;", DROPPED, "table-access-method-rewritten"),
    ("ALTER TABLE t SET ACCESS METHOD heap;", "", ""),
    ("CREATE TABLE t (a int) USING columnar;", "CREATE TABLE t (a int);", "table-access-method-rewritten"),
    ("CREATE MATERIALIZED VIEW v AS SELECT * FROM a JOIN b USING (c);", "", ""),
    ("CREATE TABLE t (a int) WITH OIDS;", "CREATE TABLE t (a int);", "with-oids-dropped"),
    // Publications, subscriptions, foreign data.
    ("CREATE PUBLICATION p FOR ALL TABLES;", DROPPED, "publication-dropped"),
    ("ALTER PUBLICATION p ADD TABLE ONLY public.t;", DROPPED, "publication-dropped"),
    ("CREATE SUBSCRIPTION s CONNECTION 'password=x' PUBLICATION p;", DROPPED, "subscription-dropped"),
    ("DROP SUBSCRIPTION s;", DROPPED, "subscription-dropped"),
    ("CREATE FOREIGN DATA WRAPPER w;", DROPPED, "foreign-data-wrapper-dropped"),
    ("CREATE SERVER s FOREIGN DATA WRAPPER file_fdw;", DROPPED, "foreign-server-dropped"),
    ("CREATE SERVER s TYPE 'a' VERSION 'b' FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'x');", "", ""),
    ("CREATE USER MAPPING FOR u SERVER s OPTIONS (password 'x');", DROPPED, "user-mapping-dropped"),
    ("CREATE FOREIGN TABLE t (a int) SERVER s;", "", ""),
    // Routines.
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql IMMUTABLE LEAKPROOF AS 'LEAKPROOF';",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql IMMUTABLE AS 'LEAKPROOF';",
        "leakproof-dropped",
    ),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql NOT LEAKPROOF AS 'x';", "", ""),
    ("CREATE FUNCTION f(leakproof int) RETURNS public.leakproof LANGUAGE sql AS $$leakproof$$;", "", ""),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN leakproof();", "", ""),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a leakproof; END;", "", ""),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SUPPORT public.sf AS 'x';",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'x';",
        "support-function-dropped",
    ),
    ("ALTER FUNCTION f(int) LEAKPROOF;", DROPPED, "leakproof-dropped"),
    // Triggers.
    (
        "ALTER TABLE ONLY public.t DISABLE TRIGGER ALL;",
        "SET session_replication_role = replica;",
        "disable-trigger-all-rewritten",
    ),
    (
        "ALTER TABLE public.t ENABLE TRIGGER ALL;",
        "SET session_replication_role = origin;",
        "disable-trigger-all-rewritten",
    ),
    ("ALTER TABLE public.t DISABLE TRIGGER \"all\";", "", ""),
    ("ALTER TABLE t ENABLE ROW LEVEL SECURITY;", "", ""),
    ("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();", "", ""),
    // Rows.
    ("INSERT INTO t VALUES ('ALTER TABLE t OWNER TO x;', $$GRANT a TO b GRANTED BY c;$$);", "", ""),
    ("COPY t FROM stdin;\nALTER TABLE t OWNER TO x;\n\\.\n", "", ""),
    ("SELECT pg_catalog.setval('public.s', 206, true);", "", ""),
    ("SELECT pg_catalog.lowrite(0, '\\x6c61');", "", ""),
];

#[test]
fn each_row() {
    for (input, output, change) in ROWS {
        // With comments and white space around, which must stay.
        let framed = |sql: &str| format!("-- before\n{sql}\n/* behind */\n");
        let (out, report) = rewrite(framed(input).as_bytes());
        let expected = if change.is_empty() { input } else { output };
        assert_eq!(String::from_utf8_lossy(&out), framed(expected), "from {input}");
        let changes: Vec<&str> = report.changes.keys().map(String::as_str).collect();
        let wanted: Vec<&str> = [*change].into_iter().filter(|c| !c.is_empty()).collect();
        assert_eq!(changes, wanted, "{input}");
    }
}

#[test]
fn each_row_reads_the_same_in_odd_clothes() {
    for (input, output, change) in ROWS.iter().filter(|(input, ..)| !input.contains('\\')) {
        // Comments between all words that stand outside quotes: one space is as good as another.
        if input.contains(['\'', '"', '$']) {
            continue;
        }
        let odd = input.replace(' ', " /* ' */ -- $$\n ");
        let (_, report) = rewrite(odd.as_bytes());
        let (out, plain) = rewrite(input.as_bytes());
        assert_eq!(report.changes, plain.changes, "{input}");
        assert!(change.is_empty() || out == output.as_bytes());
    }
}

fn findings(input: &str) -> Vec<(Severity, String, String)> {
    let (_, report) = rewrite(input.as_bytes());
    report.findings.into_iter().map(|f| (f.severity, f.code, f.object)).collect()
}

#[test]
fn what_will_fail_is_told() {
    use Severity::{Blocker, Info, Warning};
    for (input, severity, code, object) in [
        ("CREATE TYPE public.t;", Blocker, "base-type", "public.t"),
        ("CREATE TYPE t (INPUT = a, OUTPUT = b);", Blocker, "base-type", "t"),
        (
            "CREATE OPERATOR CLASS public.o FOR TYPE int USING btree AS STORAGE int;",
            Blocker,
            "operator-class",
            "public.o",
        ),
        ("CREATE OPERATOR FAMILY o USING btree;", Blocker, "operator-class", "o"),
        ("CREATE TEXT SEARCH TEMPLATE t (LEXIZE = x);", Blocker, "text-search-template", "t"),
        ("CREATE CAST (a AS b) WITHOUT FUNCTION;", Blocker, "cast-without-function", ""),
        ("CREATE FUNCTION a.f() RETURNS int LANGUAGE 'C' AS 'x', 'y';", Blocker, "c-function", "a.f"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'x';", Blocker, "c-function", "f"),
        ("CREATE TRUSTED PROCEDURAL LANGUAGE plperl;", Blocker, "language", "plperl"),
        ("CREATE EXTENSION file_fdw;", Blocker, "extension-unavailable", "file_fdw"),
        ("CREATE EXTENSION IF NOT EXISTS hstore;", Info, "extension", "hstore"),
        ("CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f();", Warning, "event-trigger", "e"),
        ("CREATE POLICY p ON t FOR SELECT TO app USING (true);", Warning, "policy-role", "p"),
        ("COPY t FROM '/x';", Blocker, "copy-server-file", "t"),
        ("COPY t WITH OIDS FROM stdin;\n\\.\n", Blocker, "copy-with-oids", "t"),
        ("ALTER ROLE a SET log_statement TO 'all';", Warning, "superuser-setting", "a log_statement"),
        ("SET default_with_oids = true;", Warning, "with-oids", ""),
        ("CREATE DATABASE d LOCALE = 'de_DE.utf8';", Warning, "database-locale", "d de_DE.utf8"),
        ("ALTER ROLE a WITH REPLICATION LOGIN;", Warning, "role-replication", "a"),
    ] {
        assert_eq!(findings(input), [(severity, code.to_owned(), object.to_owned())], "{input}");
    }
    for quiet in [
        "CREATE TYPE t AS ENUM ('a');",
        "CREATE TYPE t AS (input int, output int);",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$language c$$;",
        "CREATE POLICY p ON t TO PUBLIC USING (a IN (SELECT b TO c));",
        "CREATE EXTENSION plpgsql;",
        "COPY t (a, b) FROM stdin;\n\\.\n",
    ] {
        assert_eq!(findings(quiet), [], "{quiet}");
    }
}

#[test]
fn foreign_tables_go_with_their_server() {
    let input = "CREATE SERVER \"S\" FOREIGN DATA WRAPPER w;\nALTER SERVER \"S\" OWNER TO x;\n\
                 CREATE FOREIGN TABLE a (b int) SERVER \"S\";\nCREATE FOREIGN TABLE c (b int) SERVER s;\n";
    let (out, report) = rewrite(input.as_bytes());
    assert_eq!(out, b"\n\n\nCREATE FOREIGN TABLE c (b int) SERVER s;\n");
    assert_eq!(report.changes["foreign-table-dropped"], 1);
}

#[test]
fn a_known_target_version_decides() {
    let with = |major: u32, sql: &str| {
        let options = RewriteOptions { target_major: Some(major), ..rds() };
        String::from_utf8(run(&options, sql.as_bytes(), &[]).unwrap().0).unwrap()
    };
    assert_eq!(with(16, "SET transaction_timeout = 0;"), "");
    assert_eq!(with(17, "SET transaction_timeout = 0;"), "SET transaction_timeout = 0;");
    assert_eq!(with(11, "SET default_table_access_method = heap;"), "");
    let compression = "ALTER TABLE ONLY t ALTER COLUMN a SET COMPRESSION lz4;";
    assert_eq!(with(13, compression), "");
    assert_eq!(with(14, compression), compression);
    let statistics = "SELECT * FROM pg_catalog.pg_restore_attribute_stats('a', 1);";
    assert_eq!(with(18, statistics), statistics);
}

#[test]
fn privileges_stay_when_asked_for() {
    let keep = |sql: &str| {
        let options = RewriteOptions { keep_acl: true, ..rds() };
        String::from_utf8(run(&options, sql.as_bytes(), &[]).unwrap().0).unwrap()
    };
    assert_eq!(keep("GRANT SELECT ON t TO r GRANTED BY x;"), "GRANT SELECT ON t TO r;");
    assert_eq!(keep("GRANT SELECT ON public.t TO r;"), "GRANT SELECT ON public.t TO r;");
    assert_eq!(keep("GRANT ALL ON FUNCTION pg_catalog.pg_read_file(text) TO r;"), "");
    assert_eq!(keep("GRANT ALL ON TABLE pg_catalog.pg_authid TO r;"), "");
    assert_eq!(keep("GRANT CONNECT ON DATABASE d TO r;"), "");
}

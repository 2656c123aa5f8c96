//! The native PostgreSQL reader: what `pg_dump` writes, byte for byte, from one snapshot over several connections.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use test_servers::fingerprint::{self, PostgresView};
use test_servers::{Needs, PostgresServer, TestResult, Trials, sample};

use crate::native::rounds;
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("native_writes_what_pg_dump_15_writes", &[Needs::Postgres], || {
            like_pg_dump(&test_servers::postgres()?)
        })
        .with("native_writes_what_pg_dump_18_writes", &[Needs::PostgresUnstable], || {
            like_pg_dump(&test_servers::postgres_unstable()?)
        })
        .with("native_random_tables_in_postgres_15", &[Needs::Postgres], || {
            random_tables(&test_servers::postgres()?)
        })
        .with("native_random_tables_in_postgres_18", &[Needs::PostgresUnstable], || {
            random_tables(&test_servers::postgres_unstable()?)
        })
        .with("native_postgres_snapshots_hold_against_writers_and_ddl", &[Needs::Postgres], consistent)
        .with("native_postgres_ddl_waits", &[Needs::Postgres], ddl_waits)
        .with("native_postgres_killed_connections_publish_nothing", &[Needs::Postgres], killed)
        .with("native_postgres_refuses_a_subset", &[Needs::Postgres], refused)
        .with("native_postgres_two_servers_behind_one_address", &[Needs::Postgres], load_balanced)
        .with("native_postgres_signs_in_in_every_way", &[Needs::Postgres], signs_in)
        .with("native_postgres_memory_is_bounded_with_a_huge_row", &[Needs::Postgres], huge_row)
}

/// What of a dump is the same in every dump of the same data: all but psql's keys, and settings that a section repeats.
fn lines(dump: &[u8]) -> Vec<&[u8]> {
    let repeated: [&[u8]; 4] = [
        b"\\restrict ",
        b"\\unrestrict ",
        b"SET default_tablespace = ",
        b"SET default_table_access_method = ",
    ];
    let mut lines = Vec::new();
    let mut rest = dump.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = rest.next() {
        if repeated.iter().any(|start| line.starts_with(start)) {
            rest.next_if(|line| line.is_empty());
        } else {
            lines.push(line);
        }
    }
    lines
}

fn pg_dump(server: &PostgresServer, db: &str) -> Vec<u8> {
    pg_dump_with(server, db, &[])
}

pub(crate) fn pg_dump_with(server: &PostgresServer, db: &str, options: &[&str]) -> Vec<u8> {
    let output =
        server.client("pg_dump").args(["--no-password", "--dbname", db]).args(options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn assert_same(theirs: &[u8], ours: &[u8]) {
    let (theirs, ours) = (lines(theirs), lines(ours));
    for (number, (a, b)) in theirs.iter().zip(&ours).enumerate() {
        let show = |line: &[u8]| String::from_utf8_lossy(&line[..line.len().min(300)]).into_owned();
        let before: Vec<String> =
            ours[number.saturating_sub(8)..number].iter().map(|line| show(line)).collect();
        assert!(a == b, "behind {before:#?}\npg_dump: {}\nnative:  {}", show(a), show(b));
    }
    assert_eq!(theirs.len(), ours.len());
}

fn native(
    tool: &Tool,
    server: &PostgresServer,
    db: &str,
    readers: &str,
) -> Result<Vec<u8>, test_servers::Error> {
    let url = server.url(server.admin(), db)?;
    tool.expect(
        0,
        &url,
        &["copy", "env:DB", "n.sql", "--overwrite", "--engine", "native", "--readers", readers],
    );
    tool.expect(0, "", &["verify", "n.sql"]);
    Ok(fs::read(tool.join("n.sql")).unwrap())
}

/// Objects that the samples have not: what `pg_dump` treats in a way of its own.
const PECULIAR: &str = r#"
CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm;
CREATE TABLE configured (a int, b text); INSERT INTO configured SELECT i, 'row ' || i FROM generate_series(1, 9) i;
CREATE TABLE made_by_it (a int); INSERT INTO made_by_it VALUES (1);
CREATE TABLE whole (a int); INSERT INTO whole VALUES (1), (2);
CREATE SEQUENCE theirs; SELECT setval('theirs', 7);
ALTER EXTENSION hstore ADD TABLE configured; ALTER EXTENSION hstore ADD TABLE made_by_it;
ALTER EXTENSION hstore ADD TABLE whole; ALTER EXTENSION hstore ADD SEQUENCE theirs;
UPDATE pg_extension SET extconfig = ARRAY['configured'::regclass::oid, 'whole'::regclass, 'theirs'::regclass],
  extcondition = ARRAY['WHERE a > 6', '', ''] WHERE extname = 'hstore';
CREATE TABLE beside (h hstore); INSERT INTO beside VALUES ('a=>1, "b c"=>"\\ \" "');
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE hashed (m mood, n int) PARTITION BY HASH (m);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY LIST (n);
CREATE TABLE "hashed ""deep" PARTITION OF hashed_1 DEFAULT;
INSERT INTO hashed SELECT (ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::mood, i FROM generate_series(1, 50) i;
CREATE TABLE parent (a int, b text); CREATE TABLE child (c int) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 3);
CREATE UNLOGGED TABLE volatile (a int); INSERT INTO volatile VALUES (5);
CREATE TABLE columnless (); INSERT INTO columnless SELECT FROM generate_series(1, 3);
CREATE TABLE computed (a int GENERATED ALWAYS AS (1) STORED); INSERT INTO computed DEFAULT VALUES;
CREATE TABLE gaps (gone int, a int, also_gone text, "select" int, c int GENERATED ALWAYS AS (a * 2) STORED, "B""c" text);
ALTER TABLE gaps DROP COLUMN gone; ALTER TABLE gaps DROP COLUMN also_gone; INSERT INTO gaps VALUES (1, 2, DEFAULT, E'\\.\n\t\b');
CREATE SCHEMA "it's; a 'schema'"; CREATE SEQUENCE "it's; a 'schema'"."se""q'\" START 5 MINVALUE -9; CREATE SEQUENCE "Untouched" MINVALUE 3;
CREATE TABLE "it's; a 'schema'"."line
break -- Name: x; Type: ACL; Schema: y" ("col
umn" int); INSERT INTO "it's; a 'schema'"."line
break -- Name: x; Type: ACL; Schema: y" VALUES (1);
CREATE FUNCTION tricky() RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
GRANT x TO y;

--
-- PostgreSQL database dump complete
--

--
-- Name: TABLE gaps; Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON TABLE gaps FROM public;
END$f$;
CREATE ROLE peculiar; GRANT SELECT ON gaps TO peculiar; REVOKE ALL ON child FROM postgres; GRANT SELECT ON child TO postgres;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO peculiar;
CREATE MATERIALIZED VIEW seen AS SELECT * FROM gaps; CREATE UNIQUE INDEX ON seen (a); GRANT SELECT ON seen TO peculiar;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watch(); COMMENT ON EVENT TRIGGER watcher IS 'looks';
SELECT lo_from_bytea(4711, '\x00ff0a5c2e'); SELECT lo_create(4712);
COMMENT ON LARGE OBJECT 4711 IS 'large'; GRANT SELECT ON LARGE OBJECT 4711 TO peculiar; ALTER LARGE OBJECT 4712 OWNER TO peculiar;
CREATE TABLE secured (a int); INSERT INTO secured VALUES (1); ALTER TABLE secured ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON secured USING (a > 5);
"#;

fn like_pg_dump(server: &PostgresServer) -> TestResult {
    let tool = Tool::postgres(server);
    sample::load_postgres_shop(server, "shop")?;
    sample::load_postgres_nasty(server, "nasty", 1 << 20)?;
    sample::create_database(server, "peculiar")?;
    server.sql("peculiar", PECULIAR)?;
    // Not UTF-8, names among it.
    server.sql(
        "postgres",
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'; CREATE DATABASE empty TEMPLATE template0",
    )?;
    server.sql(
        "latin",
        "CREATE TABLE \"naïve\" (\"café\" text); INSERT INTO \"naïve\" VALUES ('über'), (chr(255))",
    )?;
    for db in ["shop", "nasty", "peculiar", "latin", "empty"] {
        let theirs = pg_dump(server, db);
        for readers in ["1", "3"] {
            assert_same(&theirs, &native(&tool, server, db, readers)?);
        }
    }
    for db in ["shop", "nasty", "latin"] {
        let before = fingerprint::postgres(server, db, &PostgresView::default())?;
        native(&tool, server, db, "4")?;
        server.sql("postgres", "DROP DATABASE IF EXISTS back")?;
        if db == "latin" {
            server.sql("postgres", "CREATE DATABASE back TEMPLATE latin")?;
            server.sql("back", "DROP TABLE \"naïve\"")?;
        } else {
            sample::create_database(server, "back")?;
        }
        server.load("back", tool.unpacked("n.sql"))?;
        before.assert_same(&fingerprint::postgres(server, "back", &PostgresView::default())?);
    }
    cut(server, &tool)?;
    let facts = tool.manifest("n.sql")["source"].clone();
    assert!(facts["facts"]["snapshot_position"].as_str().is_some_and(|text| text.contains('/')), "{facts}");
    assert!(
        facts["facts"]["readers"] == "4" && facts["client"].as_str().unwrap().contains("pg_dump"),
        "{facts}"
    );
    Ok(())
}

/// Tables that are read in many ranges: rows of every length, long values elsewhere, holes, dead rows, and blocks that are empty.
fn cut(server: &PostgresServer, tool: &Tool) -> TestResult {
    sample::create_database(server, "large")?;
    server.sql(
        "large",
        "SET synchronous_commit = off;
         CREATE TABLE even (id int, pad text) WITH (autovacuum_enabled = off);
         INSERT INTO even SELECT i, repeat(chr(97 + i % 26), i % 700) FROM generate_series(1, 60000) i;
         CREATE TABLE holes (LIKE even) WITH (autovacuum_enabled = off); INSERT INTO holes SELECT * FROM even;
         DELETE FROM holes WHERE id % 7 > 2; UPDATE holes SET id = -id WHERE id % 5 = 0; DELETE FROM holes WHERE id BETWEEN 20000 AND 40000;
         VACUUM holes; DELETE FROM holes WHERE id > 55000; INSERT INTO holes SELECT * FROM even WHERE id < 3000;
         CREATE TABLE long (id int, v text, b bytea); ALTER TABLE long ALTER v SET STORAGE EXTERNAL;
         INSERT INTO long SELECT i, repeat(md5(i::text), i * 10), decode(repeat(md5(i::text), 30), 'hex') FROM generate_series(1, 400) i;
         CREATE TABLE emptied (LIKE even); INSERT INTO emptied SELECT * FROM even; DELETE FROM emptied;
         CREATE TABLE parts (id int, pad text) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (30000); CREATE TABLE high PARTITION OF parts DEFAULT;
         INSERT INTO parts SELECT * FROM even;",
    )?;
    let theirs = pg_dump(server, "large");
    for readers in ["2", "4"] {
        assert_same(&theirs, &native(tool, server, "large", readers)?);
    }
    Ok(())
}

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}

/// Types with values at their edges, as literals.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["t", "f"]),
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    (
        "numeric",
        &[
            "NaN",
            "-0.000000000000000000000000000001",
            "123456789012345678901234567890.1234567890",
            "Infinity",
            "-Infinity",
            "1e-500",
            "0",
        ],
    ),
    ("numeric(20,5)", &["-999999999999999.99999", "0.00001", "NaN"]),
    ("real", &["NaN", "Infinity", "-Infinity", "-0", "3.4028235e38", "1e-45", "1.234567", "0.1"]),
    (
        "double precision",
        &["NaN", "-Infinity", "-0", "1.7976931348623157e308", "5e-324", "0.1", "0.30000000000000004"],
    ),
    ("money", &["-92233720368547758.08", "0.01"]),
    ("text", &["", "\\.", "\\N", "NULL", "\t\n\r\u{8}\u{c}\u{b}\\", "\\\\n", "𝄞 \u{feff}", "'", "\\.\n"]),
    ("varchar(40)", &["", " trailing ", "\n"]),
    ("character(5)", &["", "a", "ab\n"]),
    ("\"char\"", &["", "a", "\\377"]),
    ("name", &["Some \"name\""]),
    ("bytea", &["\\x", "\\x00", "\\x5c2e0a", "\\xdeadbeef"]),
    ("date", &["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"]),
    ("time(6)", &["00:00:00", "24:00:00", "23:59:59.999999"]),
    ("timetz", &["12:00:00.5+15:59", "00:00:00-12"]),
    ("timestamp", &["infinity", "-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"]),
    ("timestamptz", &["infinity", "2024-03-31 01:30:00+00", "0001-01-01 00:00:00+00 BC"]),
    ("interval", &["-178000000 years", "1 mon -1 days +00:00:00.000001", "P1Y2M3DT4H5M6.789S", "0"]),
    ("json", &["{\"a\" :  [1, 2.50,\"\\u00e9\\n\"]}", "null", "\"\\\\\""]),
    ("jsonb", &["{\"b\": {\"a\": 1e400}}", "[]", "\"\\\"\\n\""]),
    ("xml", &["<a b=\"c\">&lt;\n</a>", "text only"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    ("inet", &["::1/64", "10.0.0.1/8", "::ffff:1.2.3.4"]),
    ("cidr", &["10.0.0.0/8", "2001:db8::/32"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(5)", &["10101"]),
    ("bit varying", &["", "1", "0000000001"]),
    ("point", &["(1.1,-2.2)", "(NaN,Infinity)"]),
    ("line", &["{1,-2,3.3}"]),
    ("lseg", &["[(0,0),(1e300,1e-300)]"]),
    ("box", &["(1,1),(0,0)"]),
    ("path", &["[(0,0),(1,1)]", "((0,0),(1,1))"]),
    ("polygon", &["((0,0),(1,0),(1,1))"]),
    ("circle", &["<(0,0),1.5>"]),
    ("tsvector", &["'a':1A,2B 'it''s' 'b\\\\c':3"]),
    ("tsquery", &["'a' & !'b' <-> 'c''d':*"]),
    ("int4range", &["empty", "[1,10)", "(,)", "[5,)"]),
    ("numrange", &["(1.1,2.2]", "[NaN,NaN]"]),
    ("tstzrange", &["[2020-01-01 00:00:00+00,infinity)"]),
    ("int8multirange", &["{}", "{[1,2),[5,9)}"]),
    ("oid", &["0", "4294967295"]),
    ("pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF"]),
    ("xid8", &["18446744073709551615"]),
    ("jsonpath", &["$.\"a b\"[*] ? (@ > 1)"]),
    ("mood", &["sad", "it's \"happy\"", ""]),
    ("pair", &["(1,\"a,\"\"b\"\")\\\\\")", "(,)", "(,\"\")"]),
    ("positive", &["1", "2147483647"]),
    ("words", &["{}", "{a,NULL,\"NULL\",\"a,b\",\"\\\\\"}"]),
    ("integer[]", &["{}", "{NULL}", "[-1:0][2:3]={{1,2},{3,4}}"]),
    ("text[]", &["{\"\"}", "{\"\\\\.\",\"a\\\"b\",\"\n\t\"}"]),
    ("pair[]", &["{\"(1,x)\",NULL}"]),
    ("float8[]", &["{NaN,-Infinity,-0,1e-323}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": 1}\"}"]),
];

const NAMES: &[&str] = &[
    "a",
    "Upper",
    "select",
    "with space",
    "quo\"te",
    "it's",
    "back\\slash",
    "tab\there",
    "line\nbreak",
    "$1",
    "日本",
    "system_user",
];

fn random_tables(server: &PostgresServer) -> TestResult {
    let tool = Tool::postgres(server);
    for seed in 1..=rounds(2) as u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let db = format!("random{seed}");
        sample::create_database(server, &db)?;
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let mut script = String::from(
            "CREATE TYPE mood AS ENUM ('sad', 'it''s \"happy\"', ''); CREATE TYPE pair AS (n int, t text);
             CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN words AS text[];\n",
        );
        // Every type has its table, and some tables have many.
        for table in 0..TYPES.len() + 10 {
            let count = if table < TYPES.len() { 1 } else { 2 + random.below(12) };
            let columns: Vec<(String, (&str, &[&str]))> = (0..count)
                .map(|column| {
                    let kind = if column == 0 { table % TYPES.len() } else { random.below(TYPES.len()) };
                    (quoted(&format!("{}{column}", NAMES[random.below(NAMES.len())])), TYPES[kind])
                })
                .collect();
            let name = quoted(&format!("{} {table}", NAMES[random.below(NAMES.len())]));
            let list = |text: &mut dyn Iterator<Item = String>| text.collect::<Vec<_>>().join(", ");
            writeln!(
                script,
                "CREATE TABLE {name} (dropped int, {}, computed int GENERATED ALWAYS AS (1 + 1) STORED); ALTER TABLE {name} DROP COLUMN dropped;",
                list(&mut columns.iter().map(|(column, (kind, _))| format!("{column} {kind}")))
            )?;
            let rows = list(&mut (0..40).map(|_| {
                let cells = list(&mut columns.iter().map(|(_, (kind, values))| match random.below(8) {
                    0 => format!("NULL::{kind}"),
                    1 if *kind == "text" => {
                        let length = random.below(5000);
                        literal(
                            &(0..length)
                                .map(|_| char::from(1 + u8::try_from(random.below(126)).unwrap()))
                                .collect::<String>(),
                        )
                    }
                    1 if *kind == "bytea" => {
                        format!(
                            "'\\x{}'::bytea",
                            (0..random.below(3000)).fold(String::new(), |mut hex, _| {
                                write!(hex, "{:02x}", random.below(256)).ok();
                                hex
                            })
                        )
                    }
                    _ => format!("{}::{kind}", literal(values[random.below(values.len())])),
                }));
                format!("({cells})")
            }));
            let names = list(&mut columns.iter().map(|(column, _)| column.clone()));
            writeln!(script, "INSERT INTO {name} ({names}) VALUES {rows};")?;
        }
        server.sql(&db, script)?;
        let theirs = pg_dump(server, &db);
        assert_same(&theirs, &native(&tool, server, &db, "3")?);
        let before = fingerprint::postgres(server, &db, &PostgresView::default())?;
        server.sql("postgres", "DROP DATABASE IF EXISTS back")?;
        sample::create_database(server, "back")?;
        server.load("back", tool.unpacked("n.sql"))?;
        before.assert_same(&fingerprint::postgres(server, "back", &PostgresView::default())?);
    }
    Ok(())
}

const ACCOUNTS: usize = 5;

/// What the tables hold together, always.
const MONEY: i64 = 5 * 3000 * 1000;

/// Money moves between the rows of several tables while others rewrite the tables, truncate and fill them: every dump has the same sum.
fn consistent() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "bank")?;
    let mut script = String::new();
    for table in 0..ACCOUNTS {
        writeln!(
            script,
            "CREATE TABLE a{table} (id int PRIMARY KEY, balance bigint NOT NULL, pad text NOT NULL);
             INSERT INTO a{table} SELECT i, 1000, repeat('{table}', 1800) FROM generate_series(0, 2999) i;"
        )?;
    }
    server.sql("bank", script)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> TestResult {
        let (server, stop) = (&server, &stop);
        for writer in 0..2_usize {
            scope.spawn(move || {
                let mut step = writer;
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = String::new();
                    for _ in 0..50 {
                        step += 7;
                        let (from, to) = (step % (ACCOUNTS - 1), ACCOUNTS - 1);
                        let (a, b, sum) = (step * 31 % 3000, step * 17 % 3000, step % 90);
                        writeln!(
                            batch,
                            "BEGIN; UPDATE a{from} SET balance = balance - {sum} WHERE id = {a};
                             UPDATE a{to} SET balance = balance + {sum} WHERE id = {b}; COMMIT;"
                        )
                        .ok();
                    }
                    // A table that is just being altered, or a deadlock, ends a batch; its transaction is rolled back.
                    server.sql("bank", &batch).ok();
                }
            });
        }
        scope.spawn(move || {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let table = round % ACCOUNTS;
                // Rewritten, and truncated and filled again: to a snapshot that is older, such a table is empty.
                let change = match round % 3 {
                    0 => format!("ALTER TABLE a{table} ALTER balance TYPE numeric; ALTER TABLE a{table} ALTER balance TYPE bigint;"),
                    1 => format!(
                        "BEGIN; LOCK TABLE a{table}; CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM a{table};
                         TRUNCATE a{table}; INSERT INTO a{table} SELECT * FROM kept; COMMIT;"
                    ),
                    _ => format!("CREATE TABLE new{round} (a int); DROP TABLE new{round};"),
                };
                server.sql("bank", format!("SET lock_timeout = '150ms'; {change}")).ok();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| -> TestResult {
            let tool = Tool::postgres(server);
            let url = server.url(server.admin(), "bank")?;
            let mut whole = 0;
            for round in 0..rounds(6) {
                let (archive, layout) = [("bank.sql", "stream"), ("bank", "directory")][round % 2];
                let output = tool.output(
                    &url,
                    &[
                        "copy",
                        "env:DB",
                        archive,
                        "--overwrite",
                        "--layout",
                        layout,
                        "--compress",
                        "none",
                        "--engine",
                        "native",
                        "--readers",
                        "3",
                        "--max-lock-time",
                        "30",
                    ],
                );
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                if output.status.code() == Some(75) {
                    // Tables came and went while they were being locked.
                    continue;
                }
                assert!(output.status.success(), "{said}");
                let (rows, sum) = balance(&tool.archive(archive).1);
                assert_eq!((rows, sum), (ACCOUNTS * 3000, MONEY), "a dump holds half a transaction");
                whole += 1;
            }
            assert!(whole * 2 >= rounds(6), "{whole} dumps of {} came through", rounds(6));
            Ok(())
        }));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Rows and the sum of the second column, from the dump's own lines: nothing else in it has three cells of which two are numbers.
fn balance(dump: &str) -> (usize, i64) {
    let row = |line: &str| -> Option<i64> {
        let mut cells = line.split('\t');
        cells.next()?.parse::<i64>().ok()?;
        let balance = cells.next()?.parse().ok()?;
        cells.next().map(|_| balance)
    };
    let balances: Vec<i64> = dump.lines().filter_map(row).collect();
    (balances.len(), balances.iter().sum())
}

fn staged(tool: &Tool) -> u64 {
    fs::read_dir(tool.path()).unwrap().filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

/// Once a dump runs, whoever alters a table waits until it has ended, and is no part of it.
fn ddl_waits() -> TestResult {
    let server = test_servers::postgres()?;
    let tool = Tool::postgres(&server);
    for (round, change) in [
        "TRUNCATE z",
        "DROP TABLE z",
        "ALTER TABLE z ALTER a TYPE text",
        "ALTER TABLE bulk ADD extra int DEFAULT 5",
    ]
    .into_iter()
    .enumerate()
    {
        let db = format!("d{round}");
        sample::create_database(&server, &db)?;
        server.sql(&db, "CREATE TABLE z (a int); INSERT INTO z VALUES (4242424)")?;
        sample::load_postgres_bulk(&server, &db, 24 << 20, round as u64)?;
        let theirs = pg_dump(&server, &db);
        let url = server.url(server.admin(), &db)?;
        let mut child = tool
            .command(&url, &["copy", "env:DB", "d.sql", "--overwrite", "--engine", "native"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        // `bulk` comes first and takes a while; `z` is read last.
        while staged(&tool) < 1 << 20 && child.try_wait()?.is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        server.sql(&db, change)?;
        let said = child.wait_with_output()?;
        assert!(said.status.success(), "{change}: {}", String::from_utf8_lossy(&said.stderr));
        assert_same(&theirs, &fs::read(tool.join("d.sql"))?);
        fs::remove_file(tool.join("d.sql"))?;
    }
    // Somebody who holds a table against readers is waited for so long and no longer, and is named.
    thread::scope(|scope| -> TestResult {
        let holder = scope.spawn(|| server.sql("d3", "BEGIN; LOCK TABLE z; SELECT pg_sleep(4); COMMIT"));
        thread::sleep(Duration::from_millis(700));
        let url = server.url(server.admin(), "d3")?;
        let said = tool.expect(
            75,
            &url,
            &["copy", "env:DB", "held.sql", "--engine", "native", "--max-lock-time", "1"],
        );
        assert!(said.contains("could not be locked within 1 s") && said.contains("hint: "), "{said}");
        assert!(!tool.names().contains(&"held.sql".to_owned()));
        holder.join().unwrap()?;
        Ok(())
    })
}

/// Connections ended by the server's administrator at any moment: those that read, the one that holds the snapshot, and pg_dump's.
fn killed() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "d")?;
    sample::load_postgres_bulk(&server, "d", 48 << 20, 3)?;
    server.sql(
        "d",
        "CREATE INDEX ON bulk (customer); CREATE TABLE small (a int); INSERT INTO small VALUES (1)",
    )?;
    let theirs = pg_dump(&server, "d");
    let url = server.url(server.admin(), "d")?;
    let (mut failed, mut random) = (0, Random(42));
    for round in 0..rounds(12) {
        let tool = Tool::postgres(&server);
        let layout = ["stream", "directory"][round / 2 % 2];
        let child = tool
            .command(
                &url,
                &["copy", "env:DB", "d.sql", "--compress", "none", "--readers", "3", "--layout", layout],
            )
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_millis(20 + random.below(900) as u64));
        let how = if round % 2 == 0 { "pg_terminate_backend" } else { "pg_cancel_backend" };
        let strike = format!(
            "SELECT {how}(pid) FROM pg_stat_activity WHERE application_name = 'dbferry' AND pid <> pg_backend_pid()
             ORDER BY md5(pid::text || '{round}') LIMIT 1"
        );
        server.query("postgres", &strike)?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            // It hit nobody, or somebody who was done; then all is there.
            tool.expect(0, "", &["verify", "d.sql"]);
            if layout == "stream" {
                assert_same(&theirs, &fs::read(tool.join("d.sql"))?);
            } else {
                let rows = tool.archive("d.sql").0["parts"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|part| part["objects"]["public.bulk"].as_u64())
                    .sum::<u64>();
                assert_eq!(rows.to_string(), server.query("d", "SELECT count(*) FROM bulk")?[0][0]);
            }
        } else {
            failed += 1;
            assert!(matches!(output.status.code(), Some(75 | 3)), "{said}");
            assert!(how == "pg_cancel_backend" || output.status.code() == Some(75), "{said}");
            assert_eq!(tool.names(), Vec::<String>::new(), "{said}");
        }
    }
    assert!(failed > 0, "no strike hit a running dump");
    Ok(())
}

/// What the account may not read is never left out: rows behind a policy, a table, a sequence.
fn refused() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "d")?;
    server.create_role("reader", "right-password", "")?;
    let url = server.url("reader", "d")?;
    for (make, grant, words) in [
        (
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (a = 1)",
            "GRANT SELECT ON t TO reader",
            ["row-level security", "BYPASSRLS"],
        ),
        ("CREATE TABLE u (a int)", "", ["permission denied", "pg_read_all_data"]),
        ("CREATE SEQUENCE s", "", ["permission denied", "pg_read_all_data"]),
    ] {
        server.sql("d", format!("{make}; {grant}"))?;
        let tool = Tool::postgres(&server);
        let said = tool.expect(3, &url, &["copy", "env:DB", "t.sql", "--engine", "native"]);
        assert!(words.iter().all(|word| said.contains(word)) && said.contains("hint: "), "{said}");
        assert_eq!(tool.names(), Vec::<String>::new());
        server.sql("d", "DROP OWNED BY reader; DROP TABLE IF EXISTS t, u; DROP SEQUENCE IF EXISTS s")?;
    }
    // And what only pg_dump does is asked of it.
    let tool = Tool::postgres(&server);
    let url = server.url(server.admin(), "d")?;
    for more in [&["--dump-arg=--no-comments"][..], &["--pg-format", "custom"]] {
        let args = [&["copy", "env:DB", "x.sql", "--overwrite", "--engine", "native"], more].concat();
        let said = tool.expect(2, &url, &args);
        assert!(said.contains("--engine native"), "{said}");
        let args = [&["copy", "env:DB", "x.out", "--overwrite"], more].concat();
        tool.expect(0, &url, &args);
        assert!(tool.manifest("x.out")["source"]["facts"]["readers"].is_null());
    }
    tool.expect(2, url.strip_suffix("/d").unwrap(), &["copy", "env:DB", "y.sql", "--engine", "native"]);
    Ok(())
}

/// An address that leads to one server and then to another: the cause is named.
fn load_balanced() -> TestResult {
    let (one, two) = (test_servers::postgres()?, test_servers::postgres()?);
    for server in [&one, &two] {
        sample::create_database(server, "d")?;
        server.create_role("carrier", "the-same", "SUPERUSER")?;
        server.sql("d", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")?;
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let ports = [one.port(), two.port()];
    // Ends with the test's process: nobody connects any more.
    thread::spawn(move || {
        for (turn, near) in listener.incoming().enumerate() {
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(("127.0.0.1", ports[turn % 2]))) else {
                return;
            };
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || pass(near, far));
            thread::spawn(move || pass(far_too, near_too));
        }
    });
    let tool = Tool::postgres(&one);
    let url = format!("postgres://carrier:the-same@127.0.0.1:{port}/d?sslmode=disable");
    let output = tool.output(&url, &["copy", "env:DB", "t.sql", "--engine", "native"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("several servers") && said.contains("hint: "), "{said}");
    assert_eq!(tool.names(), Vec::<String>::new());
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(std::net::Shutdown::Write).ok();
}

/// Every way to prove who one is, with and without encryption.
fn signs_in() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "d")?;
    server.sql("d", "CREATE TABLE t (a int); INSERT INTO t VALUES (42)")?;
    let hard = "p 1'x:\\ä%";
    for role in ["scram", "hashed", "clear", "nobody"] {
        let kind = if role == "hashed" { "md5" } else { "scram-sha-256" };
        server.sql(
            "postgres",
            format!(
                "SET password_encryption = '{kind}'; CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{}'",
                hard.replace('\'', "''")
            ),
        )?;
    }
    let rules = server.dir().join("data/pg_hba.conf");
    let access = fs::read_to_string(&rules)?;
    fs::write(
        &rules,
        format!(
            "host all hashed 127.0.0.1/32 md5\nhost all clear 127.0.0.1/32 password\nhost all nobody 127.0.0.1/32 trust\nlocal all nobody trust\n{access}"
        ),
    )?;
    server.sql("postgres", "SELECT pg_reload_conf()")?;
    // The server reads it when it gets to it.
    let deadline = Instant::now() + Duration::from_secs(20);
    while server
        .query("postgres", "SELECT count(*) FROM pg_hba_file_rules WHERE 'nobody' = ANY (user_name)")?
        != [["2"]]
        && Instant::now() < deadline
    {
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_millis(300));
    let tool = Tool::postgres(&server);
    let (port, ca) = (server.port(), server.ca_file());
    let secret = "p%201'x%3A%5C%C3%A4%25";
    let verified = format!("verify-full&sslrootcert={}", ca.display());
    for (account, mode) in [
        (format!("scram:{secret}"), "disable"),
        (format!("scram:{secret}"), "prefer"),
        // Over TLS the proof is bound to the server's certificate.
        (format!("scram:{secret}"), "require"),
        (format!("scram:{secret}"), verified.as_str()),
        (format!("hashed:{secret}"), "disable"),
        (format!("clear:{secret}"), "require"),
        ("nobody".to_owned(), "disable"),
    ] {
        let host = if mode.starts_with("verify") { "localhost" } else { "127.0.0.1" };
        let url = format!("postgres://{account}@{host}:{port}/d?sslmode={mode}");
        let said = tool.expect(0, &url, &["copy", "env:DB", "t.sql", "--overwrite", "--engine", "native"]);
        assert!(fs::read_to_string(tool.join("t.sql"))?.contains("\n42\n"), "{said}");
    }
    let socket = server.socket_dir();
    for account in [format!("scram:{secret}"), "nobody".to_owned()] {
        let url = format!("postgres://{account}@/d?host={}&port={port}", socket.display());
        tool.expect(0, &url, &["copy", "env:DB", "t.sql", "--overwrite", "--engine", "native"]);
    }
    Ok(())
}

/// A row of 200 MB of text, and tables of many rows beside it.
fn huge_row() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "d")?;
    server.sql(
        "d",
        "CREATE TABLE huge (a int, b bytea); ALTER TABLE huge ALTER b SET STORAGE EXTERNAL;
         INSERT INTO huge SELECT i, decode(repeat(md5(i::text), 6250000), 'hex') FROM generate_series(1, 2) i;",
    )?;
    sample::load_postgres_bulk(&server, "d", 24 << 20, 5)?;
    let theirs = pg_dump(&server, "d");
    let tool = Tool::postgres(&server);
    let url = server.url(server.admin(), "d")?;
    let program = env!("CARGO_BIN_EXE_dbferry");
    let output = Command::new("/usr/bin/time")
        .args([
            "-f",
            "peak %M",
            program,
            "copy",
            "env:DB",
            "d.sql",
            "--engine",
            "native",
            "--readers",
            "4",
            "--memory",
            "160MiB",
        ])
        .current_dir(tool.path())
        .env("DB", &url)
        .env("PATH", format!("{}:{}", server.client_dir().display(), std::env::var("PATH")?))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let peak: u64 = said.lines().rev().find_map(|line| line.strip_prefix("peak ")).unwrap().trim().parse()?;
    assert!(peak < 160 * 1024, "{} MiB", peak / 1024);
    assert_same(&theirs, &fs::read(tool.join("d.sql"))?);
    Ok(())
}

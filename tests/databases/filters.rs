//! Only some tables, or only a part of each: what is asked for arrives, and nothing else.

use std::fs;

use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::{MySqlServer, Needs, PostgresServer, TestResult, Trials};

use crate::native_postgres::{assert_same, pg_dump_with};
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("filters_in_mariadb", &[Needs::MariaDb], || in_mysql(&test_servers::mariadb()?))
        .with("filters_in_mysql", &[Needs::MySql], || in_mysql(&test_servers::mysql()?))
        .with("filters_in_postgres_15", &[Needs::Postgres], || in_postgres(&test_servers::postgres()?))
        .with("filters_in_postgres_18", &[Needs::PostgresUnstable], || {
            in_postgres(&test_servers::postgres_unstable()?)
        })
}

const MYSQL: &str = "
CREATE DATABASE f CHARACTER SET utf8mb4; USE f;
CREATE TABLE owners (id int PRIMARY KEY, n int) ENGINE=InnoDB; INSERT INTO owners VALUES (1, 10), (2, 20), (3, 30);
CREATE TABLE items (id int PRIMARY KEY, owner int, pad varchar(1000), FOREIGN KEY (owner) REFERENCES owners (id)) ENGINE=InnoDB;
CREATE TABLE items_old (id int); INSERT INTO items_old VALUES (7);
CREATE TABLE `od``d=,na me` (a int); INSERT INTO `od``d=,na me` VALUES (5);
CREATE TABLE counted (id int AUTO_INCREMENT PRIMARY KEY, touched int) ; INSERT INTO counted VALUES (5, 1);
CREATE VIEW owned AS SELECT n FROM owners;
CREATE PROCEDURE p() SELECT 1;
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1;
CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW SET NEW.pad = CONCAT(NEW.pad, '!');
CREATE TRIGGER u BEFORE INSERT ON owners FOR EACH ROW SET NEW.n = NEW.n + 1;
";

/// Names of everything in a database.
fn objects(server: &MySqlServer, db: &str) -> Vec<String> {
    let rows = server
        .query(
            "",
            &format!(
                "SELECT CONCAT('r ', TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{db}'
                 UNION ALL SELECT CONCAT('t ', TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{db}'
                 UNION ALL SELECT CONCAT('p ', ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{db}'
                 UNION ALL SELECT CONCAT('e ', EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{db}'
                 ORDER BY 1"
            ),
        )
        .unwrap();
    rows.into_iter().flatten().collect()
}

fn in_mysql(server: &MySqlServer) -> TestResult {
    server.sql(MYSQL)?;
    server.sql_in(
        "f",
        "INSERT INTO items WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
         SELECT i, 1 + i % 3, REPEAT('x', 900) FROM n; INSERT INTO items SELECT id + 1000, owner, pad FROM items;
         INSERT INTO items SELECT id + 2000, owner, pad FROM items; INSERT INTO items SELECT id + 4000, owner, pad FROM items; ANALYZE TABLE items",
    )?;
    let url = server.url(server.admin(), "f")?;
    let tool = Tool::mysql(server);
    let arrives = |db: &str, options: &[&str]| -> Result<Vec<String>, test_servers::Error> {
        let args = [&["copy", "env:DB", "x.sql", "--overwrite"], options].concat();
        tool.expect(0, &url, &args);
        tool.expect(0, "", &["verify", "x.sql"]);
        server.sql(format!("CREATE DATABASE IF NOT EXISTS {db} CHARACTER SET utf8mb4"))?;
        server.load(db, tool.unpacked("x.sql"))?;
        Ok(objects(server, db))
    };
    let everything = objects(server, "f");
    let without = |gone: &[&str]| -> Vec<String> {
        everything.iter().filter(|name| !gone.contains(&name.as_str())).cloned().collect()
    };
    for (number, (options, expected)) in [
        (&["--tables", "items"][..], vec!["r items".to_owned(), "t t".to_owned()]),
        (
            &["--tables", "i*,f.own??", "--exclude-tables", "*_old"],
            vec!["r items".into(), "r owned".into(), "t t".into()],
        ),
        (&["--tables", "od`d=?na me"], vec!["r od`d=,na me".to_owned()]),
        (&["--exclude-tables", "items,f.items_old"], without(&["r items", "r items_old", "t t"])),
    ]
    .into_iter()
    .enumerate()
    {
        for engine in ["native", "client"] {
            let db = format!("b{number}_{engine}");
            // A view of what is not there cannot be made, by anybody.
            if expected.contains(&"r owned".to_owned()) && !expected.contains(&"r owners".to_owned()) {
                server.sql(format!(
                    "CREATE DATABASE {db}; CREATE TABLE {db}.owners (id int PRIMARY KEY, n int)"
                ))?;
            }
            let mut found = arrives(&db, &[options, &["--engine", engine]].concat())?;
            found.retain(|name| name != "r owners" || expected.contains(name));
            assert_eq!(found, expected, "{options:?} {engine}");
            let manifest = tool.manifest("x.sql");
            let told = manifest["source"]["facts"]["arguments"].as_str().unwrap();
            assert!(told.contains("tables="), "{told}");
        }
    }

    // Rows by condition, also of a table that is read in ranges.
    arrives(
        "w",
        &[
            "--tables",
            "items,owners",
            "--where",
            "items=id % 7 = 0 OR id < 3 -- so",
            "--where",
            "own*=id = 2",
        ],
    )?;
    let both = |db: &str, sql: &str| server.query(db, sql).unwrap();
    assert_eq!(
        both("f", "SELECT id, owner FROM items WHERE id % 7 = 0 OR id < 3 ORDER BY 1"),
        both("w", "SELECT id, owner FROM items ORDER BY 1")
    );
    assert_eq!(both("w", "SELECT id FROM owners"), [["2"]]);

    // Definitions first, rows later, are the whole.
    for engine in ["native", "client"] {
        server.sql("DROP DATABASE IF EXISTS two")?;
        let empty = arrives("two", &["--schema-only", "--engine", engine])?;
        assert_eq!(empty, everything, "{engine}");
        assert_eq!(both("two", "SELECT COUNT(*) FROM items"), [["0"]]);
        server.sql("USE two; DROP TRIGGER t; DROP TRIGGER u")?;
        arrives("two", &["--data-only", "--engine", engine])?;
        let dump = fs::read_to_string(tool.join("x.sql"))?;
        assert!(!dump.contains("CREATE ") && !dump.contains("DROP "), "{engine}");
        let rows = |db: &str| -> Result<_, test_servers::Error> {
            let fingerprint = fingerprint::mysql(server, db, &MySqlView::default())?;
            Ok(fingerprint.rows().into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(rows("f")?, rows("two")?, "{engine}");
    }
    refused(&tool, &url)?;
    let said =
        tool.expect(2, &url, &["copy", "env:DB", "no.sql", "--engine", "client", "--where", "items=1"]);
    assert!(said.contains("--engine native"), "{said}");
    Ok(())
}

/// What fits nothing, and what contradicts itself, writes nothing.
fn refused(tool: &Tool, url: &str) -> TestResult {
    for options in [
        &["--tables", "nothing"][..],
        &["--tables", "items,nothing"],
        &["--tables", "ITEMS"],
        &["--exclude-tables", "nothing_*"],
        &["--exclude-tables", "*"],
        &["--where", "nothing=1"],
        &["--where", "items"],
        &["--tables", "owners", "--where", "items=1"],
        &["--schema-only", "--where", "items=1"],
        &["--schema-only", "--data-only"],
    ] {
        let said = tool.expect(2, url, &[&["copy", "env:DB", "no.sql"], options].concat());
        assert!(said.contains("hint:") || said.contains("cannot be used with"), "{said}");
    }
    fs::write(tool.join("old.sql"), "-- x\n")?;
    tool.expect(2, "", &["copy", "old.sql", "no.sql", "--tables", "items"]);
    tool.expect(2, "", &["copy", "old.sql", "no.sql", "--snapshot", "single"]);
    assert!(!tool.names().contains(&"no.sql".to_owned()));
    Ok(())
}

const POSTGRES: &str = r#"
CREATE EXTENSION hstore;
CREATE TABLE configured (a int); INSERT INTO configured VALUES (1); ALTER EXTENSION hstore ADD TABLE configured;
UPDATE pg_extension SET extconfig = ARRAY['configured'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'hstore';
CREATE SCHEMA shop;
CREATE TABLE zeta (id serial PRIMARY KEY, n int); INSERT INTO zeta (n) SELECT i FROM generate_series(1, 5) i;
CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int REFERENCES zeta, pad text);
INSERT INTO items (owner, pad) SELECT 1 + i % 5, repeat('x', 900) FROM generate_series(1, 9000) i;
CREATE INDEX items_owner ON items (owner);
CREATE TABLE shop.parted (a int, b text) PARTITION BY RANGE (a);
CREATE TABLE shop.low PARTITION OF shop.parted FOR VALUES FROM (0) TO (10) PARTITION BY LIST (b);
CREATE TABLE shop."Lo.w$*" PARTITION OF shop.low DEFAULT; CREATE TABLE shop.high PARTITION OF shop.parted DEFAULT;
INSERT INTO shop.parted SELECT i, 'r' || i FROM generate_series(1, 20) i;
CREATE SEQUENCE loose; SELECT setval('loose', 9);
CREATE VIEW seen AS SELECT n FROM zeta; CREATE MATERIALIZED VIEW stored AS SELECT n FROM zeta;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT lo_from_bytea(0, 'large');
ANALYZE;
"#;

fn in_postgres(server: &PostgresServer) -> TestResult {
    server.sql("postgres", "CREATE DATABASE f")?;
    server.sql("f", POSTGRES)?;
    let url = server.url(server.admin(), "f")?;
    let tool = Tool::postgres(server);
    let copy = |options: &[&str]| -> (Vec<u8>, String) {
        let said = tool.expect(0, &url, &[&["copy", "env:DB", "x.sql", "--overwrite"], options].concat());
        tool.expect(0, "", &["verify", "x.sql"]);
        (fs::read(tool.join("x.sql")).unwrap(), said)
    };
    let partitions = ["-t", "shop.parted", "-t", "shop.low", "-t", r#"shop."Lo.w$*""#, "-t", "shop.high"];
    for (ours, theirs) in [
        (&["--tables", "items"][..], &["-t", "items"][..]),
        (&["--tables", "zeta,s*"], &["-t", "zeta", "-t", "seen", "-t", "stored"]),
        (&["--tables", "shop.parted"], &partitions[..]),
        (&["--tables", "*o.w$?"], &["-t", r#"shop."Lo.w$*""#]),
        (&["--tables", "loose"], &["-t", "loose"]),
        (&["--exclude-tables", "public.items,zeta"], &["-T", "items", "-T", "zeta"]),
        (&["--schema-only"], &["--schema-only"]),
        (&["--schema-only", "--exclude-tables", "items"], &["--schema-only", "-T", "items"]),
    ] {
        let expected = pg_dump_with(server, "f", theirs);
        for engine in ["native", "client"] {
            let (found, _) = copy(&[ours, &["--engine", engine]].concat());
            assert_same(&expected, &found);
        }
    }

    // What belongs to an extension has no name here.
    tool.expect(2, &url, &["copy", "env:DB", "no.sql", "--exclude-tables", "configured"]);

    // A key to what is left out is told.
    let (_, said) = copy(&["--tables", "items"]);
    assert!(said.contains("items_owner_fkey refers to public.zeta"), "{said}");

    let (_, said) = copy(&["--tables", "items,zeta", "--where", "items=id % 7 = 0 OR id < 3 -- so"]);
    assert!(!said.contains("refers to"), "{said}");
    server.sql("postgres", "CREATE DATABASE w")?;
    server.load("w", tool.unpacked("x.sql"))?;
    assert_eq!(
        server.query("f", "SELECT id, owner FROM items WHERE id % 7 = 0 OR id < 3 ORDER BY 1")?,
        server.query("w", "SELECT id, owner FROM items ORDER BY 1")?
    );

    server.sql("f", "ALTER EXTENSION hstore DROP TABLE configured; DROP TABLE configured")?;
    // Definitions first, rows later, are the whole: `items`, which comes first by name, needs `zeta`.
    let before = fingerprint::postgres(server, "f", &PostgresView::default())?;
    for engine in ["native", "client"] {
        server.sql("postgres", "DROP DATABASE IF EXISTS two")?;
        server.sql("postgres", "CREATE DATABASE two")?;
        for part in ["--schema-only", "--data-only"] {
            copy(&[part, "--engine", engine]);
            server.load("two", tool.unpacked("x.sql"))?;
        }
        // pg_dump counts that as definition, and as data.
        server.sql("two", "REFRESH MATERIALIZED VIEW stored")?;
        before.assert_same(&fingerprint::postgres(server, "two", &PostgresView::default())?);
    }
    refused(&tool, &url)?;
    let all = server.url(server.admin(), "")?;
    tool.expect(2, &all, &["copy", "env:DB", "no.sql", "--tables", "items"]);
    tool.expect(2, &url, &["copy", "env:DB", "no.sql", "--engine", "client", "--where", "items=true"]);
    let said = tool.expect(2, &url, &["copy", "env:DB", "no.sql", "--snapshot", "single"]);
    assert!(said.contains("`--snapshot` belongs to a MySQL server"), "{said}");
    Ok(())
}

//! The native MySQL reader: one snapshot over several connections, every kind of key, every type bit by bit.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use test_servers::fingerprint::{self, MySqlView};
use test_servers::{Flavour, MySqlOptions, MySqlServer, Needs, TestResult, Trials};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("native_every_kind_of_key_in_mariadb", &[Needs::MariaDb], || {
            every_key(&logging(Flavour::MariaDb)?)
        })
        .with("native_every_kind_of_key_in_mysql", &[Needs::MySql], || every_key(&logging(Flavour::MySql)?))
        .with("native_every_value_in_mariadb", &[Needs::MariaDb], || every_value(&test_servers::mariadb()?))
        .with("native_every_value_in_mysql", &[Needs::MySql], || every_value(&test_servers::mysql()?))
        .with("native_snapshots_hold_while_mariadb_writes", &[Needs::MariaDb], || {
            consistent(&logging(Flavour::MariaDb)?, &["position", "global-lock", "table-locks", "single"])
        })
        .with("native_snapshots_hold_while_mysql_writes", &[Needs::MySql], || {
            consistent(&logging(Flavour::MySql)?, &["global-lock", "table-locks", "single"])
        })
        .with("native_a_moved_position_is_seen", &[Needs::MySql], moved)
        .with("native_altered_tables_are_seen", &[Needs::MariaDb, Needs::MySql], altered)
        .with("native_killed_connections_publish_nothing", &[Needs::MariaDb, Needs::MySql], killed)
        .with("native_signs_in_every_way", &[Needs::MySql], signs_in)
}

/// How many dumps or kills: few in every run of the tests, many when asked.
pub(crate) fn rounds(few: usize) -> usize {
    std::env::var("DBFERRY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

fn logging(flavour: Flavour) -> Result<MySqlServer, test_servers::Error> {
    let mut options = MySqlOptions::new(flavour);
    options.binlog = true;
    MySqlServer::start(&options)
}

/// Dumps with several readers, loads with the stock client, compares all content.
fn comes_back(server: &MySqlServer, db: &str, readers: &str) -> TestResult {
    let before = fingerprint::mysql(server, db, &MySqlView::default())?;
    let tool = Tool::mysql(server);
    let url = server.url(server.admin(), db)?;
    tool.expect(0, &url, &["copy", "env:DB", "x.sql", "--engine", "native", "--readers", readers]);
    tool.expect(0, "", &["verify", "x.sql"]);
    server.sql(
        "DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    )?;
    server.load("back", tool.unpacked("x.sql"))?;
    before.assert_same(&fingerprint::mysql(server, "back", &MySqlView::default())?);
    Ok(())
}

/// A table large enough to be cut, for every kind of key, sparse and skewed ones among them.
fn every_key(server: &MySqlServer) -> TestResult {
    const ROWS: &str = "(WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999) SELECT i FROM n) s";
    let mut script = String::from("CREATE DATABASE k CHARACTER SET utf8mb4; USE k; SET sql_mode = '';\n");
    if server.flavour() == Flavour::MySql {
        script.push_str("SET cte_max_recursion_depth = 100000;\n");
    } else {
        script.push_str("SET max_recursive_iterations = 100000;\n");
    }
    let tables: &[(&str, &str, &str, &str)] = &[
        ("dense", "k int", "k", "i"),
        ("negative", "k bigint", "k", "(i - 10000) * 922337203685477"),
        ("without_sign", "k bigint unsigned", "k", "18446744073709551615 - i"),
        // All rows in two clusters that are 10^12 apart.
        ("sparse", "k bigint", "k", "IF(i < 10000, i, 1000000000000 + i)"),
        ("few_values", "a tinyint, b int", "a, b", "i < 19990, i"),
        (
            "words",
            "k varchar(60) COLLATE utf8mb4_general_ci",
            "k",
            "CONCAT(ELT(1 + i % 4, 'ä', 'Z', 'a''', '\\\\'), i)",
        ),
        ("latin", "k varchar(60) CHARACTER SET latin1", "k", "CONCAT('é', LEFT(SHA2(i, 256), 32))"),
        ("bytes", "k varbinary(40)", "k", "UNHEX(LEFT(SHA2(i, 256), 40))"),
        ("decimals", "k decimal(30,8)", "k", "i / 7 - 1000"),
        (
            "moments",
            "d datetime(6), k char(8)",
            "d, k",
            "'2020-01-01' + INTERVAL i DIV 3 HOUR, CONCAT('x', i)",
        ),
        (
            "three",
            "a varchar(20), b date, c smallint",
            "a, b, c",
            "i % 3, '2001-01-01' + INTERVAL i DIV 9 DAY, i % 9",
        ),
        ("floating", "k double", "k", "i / 3"),
        ("kinds", "k enum('b','a','c'), n int", "k, n", "1 + i % 3, i"),
    ];
    for (name, columns, key, values) in tables {
        let names = key.replace(", ", ",");
        writeln!(
            script,
            "CREATE TABLE {name} ({columns}, pad varchar(1000) NOT NULL, PRIMARY KEY ({key})) ENGINE=InnoDB;
             INSERT INTO {name} ({names}, pad) SELECT {values}, REPEAT(CHAR(97 + i % 26), 32 * (1 + i % 30)) FROM {ROWS};
             ANALYZE TABLE {name};"
        )?;
    }
    writeln!(
        script,
        "CREATE TABLE keyless (a int, pad varchar(1000)); INSERT INTO keyless SELECT i % 7, REPEAT(CHAR(97 + i % 26), 640) FROM {ROWS};
         INSERT INTO keyless SELECT * FROM keyless LIMIT 100;
         CREATE TABLE loose (a int NULL, pad varchar(1000), UNIQUE KEY (a)); INSERT INTO loose SELECT IF(i % 5, i, NULL), REPEAT(CHAR(97 + i % 26), 640) FROM {ROWS};
         CREATE TABLE parted (a int PRIMARY KEY, pad varchar(1000)) PARTITION BY HASH (a) PARTITIONS 5;
         INSERT INTO parted SELECT i, REPEAT(CHAR(97 + i % 26), 640) FROM {ROWS};
         CREATE TABLE lying (a bigint PRIMARY KEY, pad varchar(1000)) STATS_PERSISTENT=1 STATS_AUTO_RECALC=0;
         ANALYZE TABLE lying; INSERT INTO lying SELECT i * i, REPEAT(CHAR(97 + i % 26), 640) FROM {ROWS};"
    )?;
    server.sql(script)?;
    comes_back(server, "k", "4")
}

/// Values that clients are known to change, and columns that they forget.
fn every_value(server: &MySqlServer) -> TestResult {
    let hidden = if server.flavour() == Flavour::MySql {
        "hidden int DEFAULT 7 INVISIBLE"
    } else {
        "hidden int INVISIBLE DEFAULT 7"
    };
    server.sql(format!(
        "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+03:00';
         CREATE DATABASE v CHARACTER SET utf8mb4; USE v;
         CREATE TABLE numbers (id int AUTO_INCREMENT PRIMARY KEY, f float, d double, fd float(9,3), e decimal(65,30), b bit(13), y year, u bigint unsigned, z int(9) unsigned zerofill);
         INSERT INTO numbers VALUES (0, 1.234567, -0e0, 1234.567, -99999999999999999999999999999999999.999999999999999999999999999999, b'1000000000001', 0, 18446744073709551615, 42);
         INSERT INTO numbers VALUES (5, -0e0, 1.7976931348623157e308, 0.1, 0, 0, 1901, 0, 0), (6, 3.4028235e38, 2.2250738585072014e-308, -0.001, 1, NULL, 2155, 1, 1),
           (7, 1e-45, 0.1, 16777.217, 1e-30, 1, 2000, 2, 2), (8, 16777217, 5e-324, 99999.999, NULL, 8191, NULL, NULL, NULL), (9, 0.3, 1e15, 1, 1, 5, 1999, 3, 3), (10, 1e15, 123456789012345680, 1, 1, 5, 1999, 3, 3);
         CREATE TABLE times (id int PRIMARY KEY, d date, t time(6), dt datetime(6), ts timestamp(6) NULL, tz timestamp NULL);
         INSERT INTO times VALUES (1, '0000-00-00', '-838:59:59', '0000-00-00', '2038-01-19 03:14:07.999999', '1970-01-01 03:00:01'), (2, '9999-12-31', '838:59:59', '9999-12-31 23:59:59.999999', NULL, '2024-03-31 02:30:00'), (3, '2000-00-00', '-00:00:00.000001', '2020-02-30', NULL, NULL);
         CREATE TABLE texts (id int PRIMARY KEY, l varchar(50) CHARACTER SET latin1, s text CHARACTER SET sjis, u mediumtext, j json, e enum('', 'ß', '日本'), st set('a', 'b c'), bn enum('x', 'y') CHARACTER SET binary);
         INSERT INTO texts VALUES (1, 'naïve', 'ソ表十', '𝄞 \\0 \\r \\n \\Z \\t \\' \" \\\\ %_', '{{\"a\": [1, 2.50, \"é\\\\n\"]}}', '日本', 'a', 'x'), (2, '', '', '', 'null', 0, '', 'y');
         CREATE TABLE blobs (id int PRIMARY KEY, b blob, v varbinary(300), f binary(5), g geometry, p point);
         INSERT INTO blobs VALUES (1, UNHEX('{every}'), UNHEX('{every}'), 'a', ST_GeomFromText('LINESTRING(0 0, 1.5 -2)'), ST_GeomFromText('POINT(1 2)', 0)), (2, '', '', '', NULL, NULL);
         CREATE TABLE computed (a int, {hidden}, b int AS (a + 1) VIRTUAL, c int AS (a * 2) STORED, `d e` int DEFAULT 3);
         INSERT INTO computed (a, hidden, `d e`) VALUES (1, 2, 3), (4, 5, NULL);
         CREATE TABLE hollow (b int AS (1) VIRTUAL); INSERT INTO hollow VALUES (), (), ();
         CREATE TABLE `back``tick\"quote` (`a``b` int, `c'd` varchar(9)); INSERT INTO `back``tick\"quote` VALUES (1, ');--');",
        every = (0..=255_u8).fold(String::new(), |mut text, byte| { write!(text, "{byte:02X}").ok(); text }),
    ))?;
    comes_back(server, "v", "3")?;
    // FLOAT is the value that text rounds: asked for as the server compares it.
    let exact = |db: &str| {
        server.query(
            db,
            "SELECT id, f + 0e0, HEX(b), fd + 0e0, IF(d = 0, CONCAT('', d), '') FROM numbers ORDER BY id",
        )
    };
    assert_eq!(exact("v")?, exact("back")?);
    Ok(())
}

const ACCOUNTS: usize = 6;

/// What the tables hold together, always.
const MONEY: i64 = 6 * 2000 * 1000;

/// Money moves between the rows of several tables; every dump has to hold the same sum.
fn consistent(server: &MySqlServer, ways: &[&str]) -> TestResult {
    let mut script = String::from("CREATE DATABASE bank; USE bank;\n");
    for table in 0..ACCOUNTS {
        writeln!(
            script,
            "CREATE TABLE a{table} (id int PRIMARY KEY, balance bigint NOT NULL, pad varchar(3000) NOT NULL);"
        )?;
        for from in (0..2000).step_by(500) {
            let rows: Vec<String> =
                (from..from + 500).map(|id| format!("({id}, 1000, REPEAT('{table}', 2500))")).collect();
            writeln!(script, "INSERT INTO a{table} VALUES {};", rows.join(","))?;
        }
    }
    server.sql(script)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> TestResult {
        for writer in 0..2_usize {
            let stop = &stop;
            scope.spawn(move || {
                let mut step = writer;
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = String::from("USE bank;\n");
                    for _ in 0..50 {
                        step += 7;
                        // Always in the order of the tables' names, so that writers do not lock each other out.
                        let (from, to) = (step % (ACCOUNTS - 1), ACCOUNTS - 1);
                        let (a, b, sum) = (step * 31 % 2000, step * 17 % 2000, step % 90);
                        writeln!(
                            batch,
                            "START TRANSACTION; UPDATE a{from} SET balance = balance - {sum} WHERE id = {a};
                             UPDATE a{to} SET balance = balance + {sum} WHERE id = {b}; COMMIT;"
                        )
                        .ok();
                    }
                    // A deadlock ends a batch in the middle of nothing: its transaction is rolled back.
                    server.sql(&batch).ok();
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| -> TestResult {
            let tool = Tool::mysql(server);
            let url = server.url(server.admin(), "bank")?;
            let mut sums = BTreeMap::new();
            for way in ways {
                for round in 0..rounds(3) {
                    // One stream, and the many files of a directory.
                    let (archive, layout) = [("bank.sql", "stream"), ("bank", "directory")][round % 2];
                    tool.expect(
                        0,
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
                            "--snapshot",
                            way,
                            "--readers",
                            "3",
                            "--max-lock-time",
                            "60",
                        ],
                    );
                    let (manifest, text) = tool.archive(archive);
                    assert_eq!(manifest["source"]["facts"]["snapshot"], *way);
                    let (rows, sum) = balance(&text);
                    assert_eq!(rows, ACCOUNTS * 2000, "{way}");
                    assert_eq!(sum, MONEY, "{way}: a dump holds half a transaction");
                    *sums.entry(*way).or_insert(0) += 1;
                }
            }
            assert!(sums.values().all(|count| *count == rounds(3)));
            Ok(())
        }));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Rows and the sum of the second column, from the dump's own lines.
fn balance(dump: &str) -> (usize, i64) {
    let mut rows = 0;
    let mut sum = 0;
    for line in dump.lines().filter(|line| line.starts_with('(')) {
        rows += 1;
        sum += line.split(',').nth(1).and_then(|cell| cell.parse::<i64>().ok()).unwrap();
    }
    (rows, sum)
}

/// Without locks a busy server cannot be read over several connections, and that is said.
fn moved() -> TestResult {
    let server = logging(Flavour::MySql)?;
    server.sql(
        "CREATE DATABASE busy; CREATE TABLE busy.t (a int PRIMARY KEY); INSERT INTO busy.t VALUES (1)",
    )?;
    let tool = Tool::mysql(&server);
    let url = server.url(server.admin(), "busy")?;
    tool.expect(0, &url, &["copy", "env:DB", "quiet.sql", "--snapshot", "unmoved"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A client takes longer to start than a batch may last: one that writes on for a while leaves no gap.
            let batch = "UPDATE busy.t SET a = a + 1;\n".repeat(3000);
            while !stop.load(Ordering::Relaxed) {
                server.sql(&batch).unwrap();
            }
        });
        while server.query("busy", "SELECT a FROM t").unwrap() == [["1"]] {
            thread::sleep(Duration::from_millis(20));
        }
        let output = tool.output(&url, &["copy", "env:DB", "busy.sql", "--snapshot", "unmoved"]);
        stop.store(true, Ordering::Relaxed);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("committed between the snapshots"), "{said}");
        assert!(!tool.names().contains(&"busy.sql".to_owned()));
    });
    Ok(())
}

/// Schema changes while the dump runs: either the dump is of the time before, whole, or it fails.
fn altered() -> TestResult {
    for server in [logging(Flavour::MariaDb)?, logging(Flavour::MySql)?] {
        let tool = Tool::mysql(&server);
        for (round, change) in [
            "ALTER TABLE z ADD COLUMN extra int DEFAULT 5",
            "TRUNCATE TABLE z",
            "DROP TABLE z",
            "RENAME TABLE z TO gone, other TO z",
            "ALTER TABLE z MODIFY pad text NOT NULL",
        ]
        .into_iter()
        .enumerate()
        {
            server.sql(
                "DROP DATABASE IF EXISTS d; CREATE DATABASE d; USE d; SET sql_mode = '';
                 CREATE TABLE z (a int PRIMARY KEY, pad varchar(2000) NOT NULL); INSERT INTO z VALUES (1, 'old');
                 CREATE TABLE other (a int PRIMARY KEY, pad varchar(2000) NOT NULL); INSERT INTO other VALUES (1, 'new');",
            )?;
            test_servers::sample::load_bulk(&server, "d", 24 << 20, round as u64)?;
            let url = server.url(server.admin(), "d")?;
            let mut child = tool
                .command(&url, &["copy", "env:DB", "d.sql", "--overwrite"])
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // `bulk` comes first and takes a while; `z` is read last.
            while !staged(&tool) && child.try_wait()?.is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            server.sql_in("d", change)?;
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                let dump = fs::read(tool.join("d.sql"))?;
                let text = String::from_utf8_lossy(&dump);
                assert!(text.contains("(1,'old')"), "{change}: {said}");
            } else {
                assert_eq!(output.status.code(), Some(75), "{change}: {said}");
                assert!(!tool.names().iter().any(|name| name == "d.sql" && round == 0), "{said}");
            }
        }
    }
    Ok(())
}

fn staged(tool: &Tool) -> bool {
    fs::read_dir(tool.path())
        .unwrap()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .any(|data| data.len() > 1 << 20)
}

/// Connections killed by the server's administrator at any moment.
fn killed() -> TestResult {
    for server in [logging(Flavour::MariaDb)?, logging(Flavour::MySql)?] {
        test_servers::sample::load_bulk(&server, "d", 48 << 20, 3)?;
        let url = server.url(server.admin(), "d")?;
        let mut failed = 0;
        for round in 0..rounds(6) {
            let tool = Tool::mysql(&server);
            let child = tool
                .command(&url, &["copy", "env:DB", "d.sql", "--readers", "3"])
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_millis(40 + (round as u64 * 97) % 700));
            let ids = server.query(
                "",
                "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND INFO LIKE 'SELECT%bulk%'",
            );
            let ids = ids.unwrap_or_default();
            if let Some(id) = ids.get(round % ids.len().max(1)) {
                let how = if round % 2 == 0 { "KILL" } else { "KILL QUERY" };
                server.sql(format!("{how} {}", id[0])).ok();
            }
            let output = child.wait_with_output()?;
            let status = output.status;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if status.success() {
                // The kill came too late; then all is there.
                tool.expect(0, "", &["verify", "d.sql"]);
                let dump = fs::read(tool.join("d.sql"))?;
                let rows = dump.windows(2).filter(|pair| pair == b"\n(").count();
                let all = server.query("d", "SELECT COUNT(*) FROM bulk")?;
                assert_eq!(rows.to_string(), all[0][0]);
            } else {
                failed += 1;
                assert_eq!(status.code(), Some(75), "{said}");
                assert_eq!(tool.names(), Vec::<String>::new(), "{said}");
            }
        }
        assert!(failed > 0, "no kill hit a running dump");
    }
    Ok(())
}

/// Every way to prove who one is, with and without encryption.
fn signs_in() -> TestResult {
    let server = test_servers::mysql()?;
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (a int); INSERT INTO d.t VALUES (42);
         CREATE USER sha@'%' IDENTIFIED WITH caching_sha2_password BY 'p 1''x'; GRANT ALL ON *.* TO sha@'%';
         CREATE USER nobody@'%' IDENTIFIED BY ''; GRANT ALL ON *.* TO nobody@'%';",
    )?;
    let port = server.port();
    let tool = Tool::mysql(&server);
    for (account, mode) in [
        ("sha:p%201'x", "disable"),
        ("sha:p%201'x", "require"),
        ("sha:p%201'x", "disable"),
        ("nobody", "disable"),
        ("nobody", "prefer"),
    ] {
        // A server that has signed an account in once knows its password; that is another dialogue.
        if mode == "require" {
            server.sql("FLUSH PRIVILEGES")?;
        }
        let url = format!("mysql://{account}@127.0.0.1:{port}/d?sslmode={mode}");
        let said = tool.expect(0, &url, &["copy", "env:DB", "t.sql", "--overwrite", "--engine", "native"]);
        assert!(fs::read_to_string(tool.join("t.sql"))?.contains("(42)"), "{said}");
    }
    let socket = server.socket();
    let url = format!("mysql://sha:p%201'x@/d?socket={}", socket.display());
    tool.expect(0, &url, &["copy", "env:DB", "t.sql", "--overwrite", "--engine", "native"]);
    Ok(())
}

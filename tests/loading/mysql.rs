//! MySQL and MariaDB as destinations: whole, or marked, or empty again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use test_servers::{Flavour, MySqlOptions, MySqlServer, Needs, TestResult, Trials, sample};

use crate::compare::{assert_equal, compare};
use crate::redis::{kills, moments};
use crate::run::{copy, expect};
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("mysql_from_mariadb_like_rds", &[Needs::MariaDb, Needs::MySql], || {
            into_rds(&test_servers::mariadb()?)
        })
        .with("mysql_from_mysql_like_rds", &[Needs::MySql], || into_rds(&test_servers::mysql()?))
        .with("mysql_special_objects_into_itself", &[Needs::MySql], || into_itself(&test_servers::mysql()?))
        .with("mariadb_special_objects_into_itself", &[Needs::MariaDb], || {
            into_itself(&test_servers::mariadb()?)
        })
        .with("mysql_refuses_before_the_first_write", &[Needs::MariaDb], refused)
        .with("mysql_leaves_nothing_of_a_load_that_fails", &[Needs::MariaDb, Needs::MySql], nothing_left)
        .with("mysql_divides_what_is_too_long", &[Needs::MariaDb], too_long)
        .with("mysql_connections_that_break_are_made_again", &[Needs::MariaDb], cut_connections)
        .with("mysql_killed_at_any_moment", &[Needs::MariaDb], killed)
        .with("mariadb_killed_and_resumed", &[Needs::MariaDb], || {
            resumed(&test_servers::mariadb()?, test_servers::mariadb()?)
        })
        .with("mysql_killed_and_resumed", &[Needs::MySql], || {
            resumed(&test_servers::mysql()?, test_servers::mysql()?)
        })
}

const CREATE: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";

fn into_rds(source: &MySqlServer) -> TestResult {
    sample::load_shop(source, "shop")?;
    if source.flavour() == Flavour::MariaDb {
        // mariadb-dump writes the values of generated columns, which MySQL refuses.
        source.sql_in("shop", "ALTER TABLE customers DROP COLUMN email_domain, DROP COLUMN search_key")?;
    }
    let target = test_servers::mysql_like_rds(true)?;
    target.sql(format!("CREATE DATABASE shop {CREATE}"))?;
    let tool = Tool::mysql(source);
    let (left, right) = (source.url(source.admin(), "shop")?, target.url(target.admin(), "shop")?);
    // As it is, the dump wants more than the administrator may: nothing is left of it, and the way out is named.
    let said = expect(5, &copy(&tool, "env:DB", &left, &right, &["--no-check"], b""));
    assert!(said.contains("--for rds-mysql") && said.contains("statement: "), "{said}");
    assert!(is_empty(&target, "shop"));
    // Looked for beforehand, it is not even begun.
    let said = expect(5, &copy(&tool, "env:DB", &left, &right, &[], b""));
    assert!(said.contains("was not begun") && said.contains("--no-check"), "{said}");
    assert!(is_empty(&target, "shop"));
    let said =
        expect(0, &copy(&tool, "env:DB", &left, &right, &["--for", "rds-mysql", "--verify", "compare"], b""));
    assert!(said.contains("rows accepted") && said.contains("equal: "), "{said}");
    assert!(!said.contains(&target.password(target.admin())?), "{said}");
    assert_equal(&tool, &left, &right);
    // From an archive as well, over what is there.
    tool.expect(0, &left, &["copy", "env:DB", "shop.sql.zst", "--for", "rds-mysql"]);
    expect(2, &copy(&tool, "shop.sql.zst", "", &right, &[], b""));
    target.sql_in("shop", "INSERT INTO log_lines VALUES (NULL, 'x', 'y'); CREATE TABLE more (a int)")?;
    assert_eq!(compare(&tool, &left, &right).0, 6);
    expect(0, &copy(&tool, "shop.sql.zst", "", &right, &["--overwrite", "--jobs", "1"], b""));
    assert_equal(&tool, &left, &right);
    Ok(())
}

/// Everything that the flavour has, with definers, under the account that may do everything.
fn into_itself(server: &MySqlServer) -> TestResult {
    sample::load_shop(server, "shop")?;
    sample::load_shop_specials(server, "shop")?;
    sample::load_nasty(server, "nasty", 4 << 20)?;
    let tool = Tool::mysql(server);
    for db in ["shop", "nasty"] {
        server.sql(format!("DROP DATABASE IF EXISTS back; CREATE DATABASE back {CREATE}"))?;
        let (left, right) = (server.url(server.admin(), db)?, server.url(server.admin(), "back")?);
        expect(0, &copy(&tool, "env:DB", &left, &right, &[], b""));
        assert_equal(&tool, &left, &right);
    }
    Ok(())
}

fn is_empty(server: &MySqlServer, db: &str) -> bool {
    let sql = format!(
        "SELECT (SELECT count(*) FROM information_schema.tables WHERE table_schema = '{db}')
              + (SELECT count(*) FROM information_schema.routines WHERE routine_schema = '{db}')
              + (SELECT count(*) FROM information_schema.events WHERE event_schema = '{db}')"
    );
    server.query("", &sql).unwrap()[0][0] == "0"
}

const HEAD: &str = "-- MySQL dump 10.13\n/*!40101 SET NAMES utf8mb4 */;\n/*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n/*!40014 SET FOREIGN_KEY_CHECKS=0 */;\n";
const END: &str = "\n-- Dump completed on 2026-01-01  0:00:00\n";

fn dump(body: &str) -> String {
    format!("{HEAD}{body}{END}")
}

fn refused() -> TestResult {
    let server = test_servers::mariadb()?;
    server.sql("CREATE DATABASE full; CREATE TABLE full.precious (id int); INSERT INTO full.precious VALUES (1); CREATE DATABASE free")?;
    let tool = Tool::mysql(&server);
    let (full, free) = (server.url(server.admin(), "full")?, server.url(server.admin(), "free")?);
    let text = dump("CREATE TABLE `other` (`a` int);\n");
    expect(2, &copy(&tool, "-", "", &free, &["--verify", "compare"], text.as_bytes()));
    let said = expect(2, &copy(&tool, "-", "", &full, &[], text.as_bytes()));
    assert!(said.contains("table precious") && said.contains("--overwrite"), "{said}");
    expect(0, &copy(&tool, "-", "", &full, &["--into-existing"], text.as_bytes()));
    assert_eq!(server.query("full", "SELECT count(*) FROM precious")?[0][0], "1");
    let said =
        expect(5, &copy(&tool, "-", "", &server.url(server.admin(), "missing")?, &[], text.as_bytes()));
    assert!(said.contains("CREATE DATABASE `missing`"), "{said}");
    for input in [&b"--\n-- PostgreSQL database dump\n--\n"[..], b"hello"] {
        expect(2, &copy(&tool, "-", "", &free, &[], input));
    }
    expect(2, &copy(&tool, "env:DB", &full, &free, &["--for", "rds-postgres"], b""));
    // What an interrupted load left behind is not taken for a database, nor loaded over.
    server.sql("CREATE TABLE free.dbferry_load (unit int)")?;
    for more in [&[][..], &["--into-existing"]] {
        let said = expect(2, &copy(&tool, "-", "", &free, more, text.as_bytes()));
        assert!(said.contains("did not end"), "{said}");
    }
    server.sql("DROP TABLE free.dbferry_load; SET GLOBAL read_only = ON")?;
    let said = expect(5, &copy(&tool, "-", "", &free, &[], text.as_bytes()));
    assert!(said.contains("read-only"), "{said}");
    assert!(is_empty(&server, "free"));
    Ok(())
}

fn nothing_left() -> TestResult {
    for server in [test_servers::mariadb()?, test_servers::mysql()?] {
        server.sql("CREATE DATABASE target; CREATE DATABASE bystander; CREATE TABLE bystander.t (a int)")?;
        let tool = Tool::mysql(&server);
        let url = server.url(server.admin(), "target")?;
        let table = "CREATE TABLE `t` (\n  `id` int NOT NULL,\n  `v` tinyint DEFAULT NULL,\n  `s` varchar(3) DEFAULT NULL,\n  PRIMARY KEY (`id`),\n  KEY `v` (`v`)\n) ENGINE=InnoDB;\nINSERT INTO `t` VALUES (1,1,'a');\n";
        for (tail, words) in [
            (
                "INSERT INTO `t` VALUES (2,1,'a'),(1,2,'b');\n",
                &["Duplicate entry '1'", "table: t", "offset: "][..],
            ),
            (
                "INSERT INTO `t` VALUES (2,1,'a'),(3,200,'b');\n",
                &["Out of range value", "'v'", "row 2", "table: t"],
            ),
            ("INSERT INTO `t` VALUES (2,1,'abcd');\n", &["'s'", "row 1"]),
            ("INSERT INTO `t` VALUES (2,'x','a');\n", &["row 1", "statement: 6,"]),
            ("INSERT IGNORE INTO `t` VALUES (1,1,'a');\n", &["Duplicate entry"]),
            ("INSERT INTO `t` VALUES (2,1);\n", &["Column count"]),
            ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;\n", &[]),
            ("USE `bystander`;\nDROP TABLE t;\n", &["one database"]),
            ("DROP DATABASE `bystander`;\n", &["one database"]),
            ("CREATE TABLE `u` (`a` varchar(3) COLLATE nothing_like_it);\n", &["nothing_like_it"]),
            ("CREATE TRIGGER x BEFORE INSERT ON nowhere FOR EACH ROW SET @a = 1;\n", &["nowhere"]),
        ] {
            let said =
                expect(5, &copy(&tool, "-", "", &url, &[], dump(&format!("{table}{tail}")).as_bytes()));
            for word in words {
                assert!(said.contains(word), "{word} is not in {said}");
            }
            assert!(is_empty(&server, "target"), "{tail}");
        }
        assert_eq!(server.query("bystander", "SELECT count(*) FROM t")?[0][0], "0");
        // The source ends too early, at every place; and at its end everything is there.
        let whole = dump(table);
        for cut in (0..whole.len() - END.len()).step_by(29) {
            let output = copy(&tool, "-", "", &url, &["--format", "mysql"], &whole.as_bytes()[..cut]);
            assert_ne!(output.status.code(), Some(0), "cut at {cut}");
            assert!(is_empty(&server, "target"), "cut at {cut}");
        }
        expect(0, &copy(&tool, "-", "", &url, &[], whole.as_bytes()));
        assert_eq!(server.query("target", "SELECT id, v, s FROM t")?, [["1", "1", "a"]]);
        assert_eq!(server.query("target", "SHOW TABLES")?, [["t"]]);
        assert_eq!(server.query("target", "SHOW INDEX FROM t WHERE Key_name = 'v'")?.len(), 1);
    }
    Ok(())
}

fn too_long() -> TestResult {
    let mut options = MySqlOptions::new(Flavour::MariaDb);
    options.extra.push("--max-allowed-packet=1M".to_owned());
    let target = MySqlServer::start(&options)?;
    let source = test_servers::mariadb()?;
    source.sql("CREATE DATABASE wide CHARACTER SET utf8mb4")?;
    source.sql_in(
        "wide",
        "CREATE TABLE w (id int PRIMARY KEY, `b(),'` longblob, t varchar(20));
         INSERT INTO w SELECT seq, repeat(unhex('27285C292C00'), 50000), '),(' FROM seq_1_to_12;
         CREATE TABLE twins (t text); INSERT INTO twins SELECT repeat('(a),', 1000) FROM seq_1_to_700",
    )?;
    target.sql("CREATE DATABASE wide CHARACTER SET utf8mb4")?;
    let tool = Tool::mysql(&source);
    let (left, right) = (source.url(source.admin(), "wide")?, target.url(target.admin(), "wide")?);
    expect(0, &copy(&tool, "env:DB", &left, &right, &["--dump-arg=--net-buffer-length=16M"], b""));
    assert_equal(&tool, &left, &right);
    source.sql_in("wide", "INSERT INTO w VALUES (100, repeat('x', 1100000), '')")?;
    let said = expect(5, &copy(&tool, "env:DB", &left, &right, &["--overwrite"], b""));
    assert!(
        said.contains("a row is longer") && said.contains("table: w") && said.contains("max_allowed_packet"),
        "{said}"
    );
    assert!(is_empty(&target, "wide"));
    Ok(())
}

/// Rows enough for a while.
fn bulk(server: &MySqlServer, bytes: u64) -> TestResult {
    sample::load_bulk(server, "bulk", bytes, 1)?;
    server.sql_in(
        "bulk",
        "CREATE TABLE twins (t text); INSERT INTO twins SELECT repeat('abc', 300) FROM seq_1_to_20000",
    )?;
    Ok(())
}

fn cut_connections() -> TestResult {
    let source = test_servers::mariadb()?;
    bulk(&source, 40 << 20)?;
    let target = test_servers::mariadb()?;
    target.sql("CREATE DATABASE back CHARACTER SET utf8mb4")?;
    let tool = Tool::mysql(&source);
    let (left, right) = (source.url(source.admin(), "bulk")?, target.url(target.admin(), "back")?);
    tool.expect(0, &left, &["copy", "env:DB", "bulk.sql.zst"]);
    let mut command = tool.command("", &["copy", "bulk.sql.zst", "env:OTHER"]);
    let mut child = command.env("OTHER", &right).stderr(Stdio::piped()).spawn()?;
    let mut cut = 0;
    while child.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(15));
        // Those that bring rows: the one that executes the dump's statements keeps its session, and cannot be made again.
        let found = target.query(
            "",
            "SELECT id FROM information_schema.processlist WHERE db = 'back' AND info LIKE 'INSERT INTO `%'",
        )?;
        for row in found.iter().take(1) {
            cut += u32::from(target.sql(format!("KILL CONNECTION {}", row[0])).is_ok());
        }
        if cut >= 12 {
            break;
        }
    }
    let output = child.wait_with_output()?;
    expect(0, &output);
    assert!(cut > 0, "nothing was cut");
    assert_equal(&tool, &left, &right);
    Ok(())
}

fn killed() -> TestResult {
    let source = test_servers::mariadb()?;
    bulk(&source, 12 << 20)?;
    let mut target = test_servers::mariadb()?;
    target.sql("CREATE DATABASE back CHARACTER SET utf8mb4")?;
    let tool = Tool::mysql(&source);
    let (left, right) = (source.url(source.admin(), "bulk")?, target.url(target.admin(), "back")?);
    tool.expect(0, &left, &["copy", "env:DB", "bulk.sql.zst"]);
    let begun = Instant::now();
    expect(0, &copy(&tool, "bulk.sql.zst", "", &right, &[], b""));
    let whole = begun.elapsed();
    let mut failed = 0;
    for share in moments(kills(8)) {
        let wait = whole.mul_f64(share);
        let mut command = tool.command("", &["copy", "bulk.sql.zst", "env:OTHER", "--overwrite"]);
        let child = command.env("OTHER", &right).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(wait.max(Duration::from_millis(5)));
        target.kill9();
        target.restart()?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => assert_equal(&tool, &left, &right),
            Some(75 | 5) => {
                failed += 1;
                let (code, _) = compare(&tool, &left, &right);
                let marked = !target.query("back", "SHOW TABLES LIKE 'dbferry_load'")?.is_empty();
                assert!(
                    marked || code == 0 || is_empty(&target, "back"),
                    "neither whole nor marked nor empty: {said}"
                );
            }
            code => panic!("exit {code:?}: {said}"),
        }
    }
    assert!(failed > 0, "no kill hit a load");
    expect(0, &copy(&tool, "bulk.sql.zst", "", &right, &["--overwrite"], b""));
    assert_equal(&tool, &left, &right);
    Ok(())
}

/// The target is killed at any moment, the load with it as often as not, and a second run goes on.
fn resumed(source: &MySqlServer, mut target: MySqlServer) -> TestResult {
    sample::load_bulk(source, "bulk", 10 << 20, 1)?;
    sample::load_shop(source, "shop")?;
    let tool = Tool::mysql(source);
    for db in ["bulk", "shop"] {
        tool.expect(0, &source.url(source.admin(), db)?, &["copy", "env:DB", &format!("{db}.sql.zst")]);
    }
    target.sql(format!("CREATE DATABASE back {CREATE}"))?;
    let right = target.url(target.admin(), "back")?;
    let mut gone_on = 0;
    for (at, share) in moments(kills(4)).enumerate() {
        let db = if at % 4 == 3 { "shop" } else { "bulk" };
        let archive = format!("{db}.sql.zst");
        let left = source.url(source.admin(), db)?;
        target.sql(format!("DROP DATABASE back; CREATE DATABASE back {CREATE}"))?;
        let begun = Instant::now();
        expect(0, &copy(&tool, &archive, "", &right, &[], b""));
        let whole = begun.elapsed();
        target.sql(format!("DROP DATABASE back; CREATE DATABASE back {CREATE}"))?;
        let mut command = tool.command("", &["copy", &archive, "env:OTHER"]);
        let mut child = command.env("OTHER", &right).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(5)));
        target.kill9();
        if at % 2 == 0 {
            child.kill()?;
        }
        target.restart()?;
        let output = child.wait_with_output()?;
        if output.status.code() != Some(0) {
            let said = String::from_utf8_lossy(&output.stderr);
            // One that came when the target was gone has not begun.
            let begun = !said.contains("refuses connections");
            assert!(matches!(output.status.code(), None | Some(75)) || !begun, "{said}");
            gone_on += 1;
            // The first time to go on is interrupted as well.
            let mut command = tool.command("", &["copy", &archive, "env:OTHER", "--resume"]);
            let mut child = command.env("OTHER", &right).stderr(Stdio::piped()).spawn()?;
            std::thread::sleep(whole.mul_f64(share / 2.0));
            child.kill()?;
            child.wait()?;
            // Another dump is not taken for the same, if there is something to hold it against.
            let other = if db == "shop" { "bulk.sql.zst" } else { "shop.sql.zst" };
            let marked = target.query("back", "SHOW TABLES LIKE 'dbferry_load'")?.len() == 1;
            let journal = marked && target.query("back", "SELECT count(*) FROM dbferry_load")?[0][0] != "0";
            if journal {
                let said = expect(2, &copy(&tool, other, "", &right, &["--resume"], b""));
                assert!(said.contains("not the dump"), "{said}");
            }
            // The first time may have come to its end.
            let whole = !marked && !target.query("back", "SHOW TABLES")?.is_empty();
            let how = if whole { "--overwrite" } else { "--resume" };
            expect(0, &copy(&tool, &archive, "", &right, &[how], b""));
        }
        assert_equal(&tool, &left, &right);
    }
    assert!(gone_on > 0, "no kill hit a load");
    Ok(())
}

//! What the profiles make of statements, and what they say about those that they cannot make fit.

use bytes::Bytes;
use pipeline::{Severity, Transform, TransformReport};

use super::*;

fn run(profile: Profile, text: &str, size: usize) -> (String, TransformReport) {
    let options = Options { profile: Some(profile), ..Options::default() };
    let mut rewrite = Box::new(MysqlRewrite::new(options));
    let mut out = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        rewrite.push(Bytes::copy_from_slice(piece), &mut out).expect("rewrites");
    }
    let report = rewrite.finish(&mut out).expect("ends");
    (String::from_utf8(out).expect("UTF-8"), report)
}

fn check(profile: Profile, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let (out, report) = run(profile, text, usize::MAX / 2);
        assert_eq!(out, *expected, "from {text}");
        assert_eq!(run(profile, text, 1), (out.clone(), report), "cut into single bytes: {text}");
        let (again, second) = run(profile, &out, 7);
        assert_eq!(again, out, "idempotent");
        assert!(second.changes.is_empty(), "{:?}", second.changes);
    }
}

#[test]
fn rds_settings() {
    check(
        Profile::RdsMysql,
        &[
            ("a;\nSET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'a:1-5,\nb:1-7';\nb;\n", "a;\nb;\n"),
            ("SET @@GLOBAL.gtid_purged='a:1';\r\nb;\n", "b;\n"),
            ("SET GLOBAL gtid_purged = '';b;", "b;"),
            (
                "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\nSET @@SESSION.SQL_LOG_BIN= 0;\nx;\nSET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;\n",
                "x;\n",
            ),
            ("SET sql_log_bin=0, @a=1;", "SET @a=1;"),
            ("SET @a=1, sql_log_bin=0;", "SET @a=1;"),
            (
                "/*!50003 SET sql_mode = 'STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION' */ ;;",
                "/*!50003 SET sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION' */ ;;",
            ),
            // Read as it was written: the mode that it sets comes later.
            (
                "SET @a='x\\'', sql_mode='NO_BACKSLASH_ESCAPES,NO_AUTO_CREATE_USER';",
                "SET @a='x\\'', sql_mode='NO_BACKSLASH_ESCAPES';",
            ),
            ("SET sql_mode='NO_AUTO_CREATE_USER';", "SET sql_mode='';"),
            (
                "SET sql_mode='ORACLE,no_key_options';",
                "SET sql_mode='PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE';",
            ),
            (
                "SET sql_mode=CONCAT(@@sql_mode,',NO_AUTO_CREATE_USER,ANSI');",
                "SET sql_mode=CONCAT(@@sql_mode,',ANSI');",
            ),
            (
                "/*!50003 SET collation_connection  = utf8mb4_uca1400_ai_ci */ ;",
                "/*!50003 SET collation_connection  = utf8mb4_0900_ai_ci */ ;",
            ),
            (
                "SET NAMES utf8mb4 COLLATE 'utf8mb4_uca1400_as_cs';",
                "SET NAMES utf8mb4 COLLATE 'utf8mb4_0900_as_cs';",
            ),
            ("/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n", "-- MariaDB dump\n"),
            ("-- mine\n/*!999999\\- enable the sandbox mode */\n-- x\n", "-- mine\n-- x\n"),
            (
                "INSERT INTO t VALUES ('SET @@GLOBAL.GTID_PURGED=1;');",
                "INSERT INTO t VALUES ('SET @@GLOBAL.GTID_PURGED=1;');",
            ),
        ],
    );
}

#[test]
fn rds_tables() {
    check(
        Profile::RdsMysql,
        &[
            (
                "CREATE TABLE t (a int) ENGINE=MyISAM DEFAULT CHARSET=utf8mb4 ROW_FORMAT=FIXED;",
                "CREATE TABLE t (a int) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;",
            ),
            (
                "CREATE TABLE t (a int) ENGINE=Aria PAGE_CHECKSUM=1 TRANSACTIONAL=1 COMMENT='ENGINE=Aria';",
                "CREATE TABLE t (a int) ENGINE=InnoDB COMMENT='ENGINE=Aria';",
            ),
            (
                "CREATE TABLE t (a int) ENGINE MEMORY, PAGE_CHECKSUM=1, COMMENT='x';",
                "CREATE TABLE t (a int) ENGINE InnoDB, COMMENT='x';",
            ),
            (
                "CREATE TABLE t (a int) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;",
                "CREATE TABLE t (a int) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;",
            ),
            (
                "CREATE TABLE t (a int) /*!50100 TABLESPACE `ts` */ ENGINE=InnoDB;",
                "CREATE TABLE t (a int) ENGINE=InnoDB;",
            ),
            (
                "CREATE TABLE t (a int) ENGINE=InnoDB DATA DIRECTORY='/d' INDEX DIRECTORY='/i' ENCRYPTION='Y' COMPRESSION='zlib';",
                "CREATE TABLE t (a int) ENGINE=InnoDB;",
            ),
            (
                "CREATE TABLE t (a int)\n/*!50100 PARTITION BY RANGE (a)\n(PARTITION p0 VALUES LESS THAN (1) DATA DIRECTORY = '/x' ENGINE = MyISAM) */;",
                "CREATE TABLE t (a int)\n/*!50100 PARTITION BY RANGE (a)\n(PARTITION p0 VALUES LESS THAN (1) ENGINE = InnoDB) */;",
            ),
            (
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `d` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci */ /*!80016 DEFAULT ENCRYPTION='N' */;",
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `d` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci */;",
            ),
            (
                "ALTER DATABASE `d` CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci ;",
                "ALTER DATABASE `d` CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci ;",
            ),
            (
                "CREATE TABLE t (\n  `a` varchar(9) COLLATE utf8mb4_general_nopad_ci DEFAULT 'COLLATE utf8mb4_uca1400_ai_ci',\n  `b` text DEFAULT 'x',\n  `c` date DEFAULT curdate(),\n  `d` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),\n  `e` text DEFAULT NULL,\n  `f` int(11) GENERATED ALWAYS AS (`g` + 1) PERSISTENT,\n  `h` text /*!100301 COMPRESSED*/,\n  KEY `k` (`a`) IGNORED\n);",
                "CREATE TABLE t (\n  `a` varchar(9) COLLATE utf8mb4_general_ci DEFAULT 'COLLATE utf8mb4_uca1400_ai_ci',\n  `b` text DEFAULT ('x'),\n  `c` date DEFAULT (curdate()),\n  `d` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),\n  `e` text DEFAULT NULL,\n  `f` int(11) GENERATED ALWAYS AS (`g` + 1) STORED,\n  `h` text,\n  KEY `k` (`a`) INVISIBLE\n);",
            ),
            (
                "CREATE TABLE t (a int) ENGINE=InnoDB WITH SYSTEM VERSIONING;",
                "CREATE TABLE t (a int) ENGINE=InnoDB;",
            ),
            ("CREATE TABLESPACE x ADD DATAFILE 'x.ibd';\nb;", "b;"),
            ("/*!50100 CREATE LOGFILE GROUP g ADD UNDOFILE 'x' ENGINE=ndb */;\nb;", "b;"),
            (
                "ALTER TABLE t ADD COLUMN engine varchar(10), ADD type int, ENGINE=MyISAM;",
                "ALTER TABLE t ADD COLUMN engine varchar(10), ADD type int, ENGINE=InnoDB;",
            ),
            (
                "/*!40000 ALTER TABLE `t` DISABLE KEYS */;LOCK TABLES `t` WRITE;",
                "/*!40000 ALTER TABLE `t` DISABLE KEYS */;LOCK TABLES `t` WRITE;",
            ),
            (
                "CREATE TABLE `engine` (`type` int, `encryption` int DEFAULT 1, sequence int, `j` longtext CHECK (json_valid(`j`)));",
                "CREATE TABLE `engine` (`type` int, `encryption` int DEFAULT 1, sequence int, `j` longtext CHECK (json_valid(`j`)));",
            ),
            (
                "CREATE FUNCTION f(a varchar(9) COLLATE utf8mb4_uca1400_ai_ci) RETURNS int DETERMINISTIC RETURN 'COLLATE utf8mb4_uca1400_ai_ci';",
                "CREATE FUNCTION f(a varchar(9) COLLATE utf8mb4_0900_ai_ci) RETURNS int DETERMINISTIC RETURN 'COLLATE utf8mb4_uca1400_ai_ci';",
            ),
        ],
    );
    check(
        Profile::AuroraMysql,
        &[(
            "CREATE TABLE t (a int) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;",
            "CREATE TABLE t (a int) ENGINE=InnoDB;",
        )],
    );
}

#[test]
fn reports_what_will_fail() {
    for (text, severity, code, object) in [
        ("CREATE SEQUENCE `s` START WITH 1;", Severity::Blocker, "mariadb-sequence", "s"),
        ("DO SETVAL(`s`, 1, 0);", Severity::Blocker, "mariadb-sequence", "s"),
        ("CREATE TABLE t (a int DEFAULT nextval(`s`));", Severity::Blocker, "mariadb-sequence", "t"),
        ("CREATE PACKAGE p AS x;", Severity::Blocker, "mariadb-package", "p"),
        ("CREATE TABLE t (a uuid);", Severity::Blocker, "mariadb-type", "t"),
        ("CREATE TABLE d.t (a int, `b` inet6 NOT NULL);", Severity::Blocker, "mariadb-type", "d.t"),
        ("CREATE TABLE t (a int) WITH SYSTEM VERSIONING;", Severity::Warning, "system-versioning", "t"),
        (
            "CREATE TABLE t (a timestamp(6) GENERATED ALWAYS AS ROW START);",
            Severity::Blocker,
            "mariadb-system-versioning",
            "t",
        ),
        ("CREATE TABLE t (a date, b date, PERIOD FOR p (a,b));", Severity::Blocker, "mariadb-period", "t"),
        ("CREATE OR REPLACE TABLE t (a int);", Severity::Blocker, "or-replace", "t"),
        ("CREATE TABLE t (a int) ENGINE=FEDERATED;", Severity::Warning, "foreign-engine", "t"),
        ("USE mysql;\nINSERT INTO `user` VALUES (1);", Severity::Blocker, "system-schema", "mysql.user"),
        ("INSERT IGNORE INTO `mysql` . `user` VALUES (1);", Severity::Blocker, "system-schema", "mysql.user"),
        ("GRANT ALL ON *.* TO a@b;", Severity::Warning, "account-statement", "GRANT"),
        ("CREATE USER a@b;", Severity::Warning, "account-statement", "a"),
        (
            "SET GLOBAL innodb_stats_auto_recalc=OFF;",
            Severity::Blocker,
            "set-global",
            "innodb_stats_auto_recalc",
        ),
        ("CHANGE MASTER TO MASTER_LOG_FILE='x';", Severity::Blocker, "server-statement", "CHANGE"),
        ("CREATE FUNCTION f() RETURNS int RETURN 1;", Severity::Warning, "function-undeclared", "f"),
        (
            "CREATE AGGREGATE FUNCTION f(x int) RETURNS int RETURN 1;",
            Severity::Blocker,
            "mariadb-aggregate",
            "f",
        ),
        ("CREATE FUNCTION f RETURNS STRING SONAME 'x';", Severity::Blocker, "loadable-function", "f"),
        ("SET time_zone='Europe/Vienna';", Severity::Warning, "named-time-zone", "Europe/Vienna"),
        ("SET sql_mode='ORACLE';", Severity::Warning, "oracle-mode", ""),
        (
            "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a) STORED);\nINSERT INTO `t` VALUES (1,1);",
            Severity::Blocker,
            "generated-column-values",
            "t",
        ),
        (
            "CREATE TABLE t (a int, b int AS (a), c int INVISIBLE);\nINSERT INTO `t` (`a`, `b`, `c`) VALUES (1,1,1);",
            Severity::Blocker,
            "generated-column-values",
            "t",
        ),
        ("mysqldump: [Warning] Using a password;", Severity::Blocker, "client-message", ""),
    ] {
        let (_, report) = run(Profile::RdsMysql, text, 3);
        let found = report.findings.iter().find(|finding| finding.code == code);
        let found = found.unwrap_or_else(|| panic!("{code} in {text}: {:?}", report.findings));
        assert_eq!((found.severity, found.object.as_str()), (severity, object), "{text}");
    }
    for text in [
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a) STORED);\nINSERT INTO `t` (`a`) VALUES (1);",
        "CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1;",
        "SET time_zone='+00:00';START TRANSACTION;SELECT 1;USE mydb;INSERT INTO x VALUES (1);",
        "CREATE TABLE t (uuid int, `inet6` char(3), a int CHECK (a > 1));",
    ] {
        let (_, report) = run(Profile::RdsMysql, text, 3);
        assert!(report.findings.is_empty(), "{text}: {:?}", report.findings);
    }
}

#[test]
fn lists_a_hundred_findings_and_counts_the_others() {
    let text = "CREATE SEQUENCE s;".repeat(250);
    let (_, report) = run(Profile::RdsMysql, &text, 1000);
    assert_eq!(report.findings.len(), 100);
    assert_eq!(report.counts["mariadb-sequence"], 250);
}

const DUMP: &str = "-- MySQL dump 10.13  Distrib 8.0.36\n\n/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n\n\
    CREATE TABLE `t` (`a` text);\n--\n-- Table `x\n-- Dump completed\n-- `\nINSERT INTO `t` VALUES ('\n-- Dump completed\n');\n\
    DELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\n-- Dump completed\nEND ;;\nDELIMITER ;\n\
    /*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n";

fn complete(text: &str, size: usize) -> pipeline::Result<TransformReport> {
    let mut rewrite = Box::new(MysqlRewrite::new(Options { require_trailer: true, ..Options::default() }));
    let mut out = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        rewrite.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    rewrite.finish(&mut out)
}

#[test]
fn every_proper_prefix_is_rejected() {
    for trailer in [
        "-- Dump completed\n",
        "-- Dump completed on 2024-05-05 12:00:00\n",
        "-- Dump completed on 2024-05-05\r\n",
    ] {
        let text = format!("{DUMP}{trailer}");
        for size in [1, 50, 10_000] {
            complete(&text, size).expect("the whole is whole");
        }
        for len in 0..text.len() {
            let error = complete(&text[..len], 64).expect_err("a prefix is cut");
            assert_eq!(error.exit_code(), 3, "{len} bytes");
            assert!(!error.hints().is_empty());
        }
    }
    for wrong in [
        "-- Dump completed\nSELECT 1;\n",
        "SELECT 1; -- Dump completed\n",
        "-- Dump completed\n\n-- more\n",
        "-- Dump completedly\n",
        "/*\n-- Dump completed\n",
    ] {
        complete(&format!("{DUMP}{wrong}"), 10).expect_err("not the end");
    }
}

#[test]
fn the_clients_own_error_means_a_cut_dump() {
    let text = format!(
        "{DUMP}mysqldump: Error 2013: Lost connection to MySQL server during query when dumping table `t` at row: 7\n"
    );
    let error = complete(&text, 30).expect_err("cut");
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("Lost connection"), "{error}");
}

#[test]
fn what_is_put_in_is_not_glued_to_what_follows() {
    check(
        Profile::AuroraMysql,
        &[
            (
                "CREATE TABLE t (a int) ENGINE=Aria/*!100301 x*/ COMMENT 'x';",
                "CREATE TABLE t (a int) ENGINE=InnoDB COMMENT 'x';",
            ),
            (
                "ALTER TABLE t ENGINE=Aria INSERT_METHOD=LAST,, ROW_FORMAT=FIXED ADD x int;",
                "ALTER TABLE t ENGINE=InnoDB, ADD x int;",
            ),
        ],
    );
}

#[test]
fn an_option_takes_no_comma_that_is_not_its_own() {
    check(
        Profile::RdsMysql,
        &[
            (
                "ALTER TABLE t ENGINE=InnoDB ENCRYPTED=YES, ADD x int;",
                "ALTER TABLE t ENGINE=InnoDB, ADD x int;",
            ),
            ("ALTER TABLE t ENCRYPTED=YES, ADD x int;", "ALTER TABLE t ADD x int;"),
            ("ALTER TABLE t ENCRYPTED=YES TRANSACTIONAL=1, ADD x int;", "ALTER TABLE t ADD x int;"),
            ("ALTER TABLE t ENCRYPTED=YES, TRANSACTIONAL=1, ADD x int;", "ALTER TABLE t ADD x int;"),
            ("ALTER TABLE t ADD x int, ENCRYPTED=YES;", "ALTER TABLE t ADD x int;"),
            (
                "ALTER TABLE t ADD x int, ENCRYPTED=YES TRANSACTIONAL=1, ADD y int;",
                "ALTER TABLE t ADD x int, ADD y int;",
            ),
            (
                "CREATE TABLE t (a int) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (1) DATA DIRECTORY='/x', PARTITION q VALUES LESS THAN (2) DATA DIRECTORY='/x');",
                "CREATE TABLE t (a int) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (1), PARTITION q VALUES LESS THAN (2));",
            ),
        ],
    );
}

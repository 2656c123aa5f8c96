//! Texts made to be slow or to grow: every transform gets through them at a steady pace and within its memory.
//!
//! The bound is wide, because test machines are busy and this is no release build: a linear step takes a tenth of a
//! second for a text of a megabyte, a quadratic one minutes. `cargo test --release --test hostile -- --nocapture`
//! prints what each took and how much memory the process had at most.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "it is also a measurement")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeline::{Output, Result, Transform};
use transforms::mysql::{DefinerPolicy, MysqlInspect, MysqlRewrite, Options};
use transforms::postgres::{PostgresInspect, PostgresRewrite, RewriteOptions};

const SIZE: usize = 1 << 20;
const BOUND: Duration = Duration::from_secs(10);

/// Counts and forgets.
struct Count(u64);

impl Output for Count {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        self.0 += data.len() as u64;
        Ok(())
    }
}

/// `head`, then `part` up to the size, a number in place of every `#`, then `tail`.
fn text(head: &str, part: &str, tail: &str, size: usize) -> Vec<u8> {
    let mut text = head.as_bytes().to_vec();
    let mut number = 0_u32;
    while text.len() + tail.len() + part.len() < size {
        text.extend_from_slice(part.replace('#', &number.to_string()).as_bytes());
        number += 1;
    }
    text.extend_from_slice(tail.as_bytes());
    text
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    // The mark is set back for the next one; where that is not allowed the number only grows.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    line.unwrap_or_default().to_owned()
}

fn measure(name: &str, text: &[u8], make: &dyn Fn() -> Vec<Box<dyn Transform>>) -> Vec<String> {
    let mut slow = Vec::new();
    for size in [1 << 10, 1 << 18] {
        for mut step in make() {
            memory();
            let step_name = step.name();
            let mut out = Count(0);
            let start = Instant::now();
            let mut rest = Bytes::copy_from_slice(text);
            let mut outcome = Ok(());
            while !rest.is_empty() && outcome.is_ok() {
                outcome = step.push(rest.split_to(size.min(rest.len())), &mut out);
            }
            let report = outcome.and_then(|()| step.finish(&mut out));
            let took = start.elapsed();
            #[allow(clippy::cast_possible_truncation, reason = "a name's width")]
            let name = &name[..name.len().min(60)];
            eprintln!(
                "{name:60} {step_name:18} {size:7}: {:7.1} MB/s, {}, {} out, {}",
                text.len() as f64 / took.as_secs_f64() / 1e6,
                memory(),
                out.0,
                report
                    .as_ref()
                    .map_or_else(ToString::to_string, |report| format!("{} findings", report.findings.len()))
            );
            if took > BOUND {
                slow.push(format!("{name:?} takes {step_name} {took:?} in pieces of {size}"));
            }
        }
    }
    slow
}

fn check(cases: &[(&str, &str, &str)], make: &dyn Fn() -> Vec<Box<dyn Transform>>) {
    let size = std::env::var("HOSTILE_SIZE").ok().and_then(|size| size.parse().ok()).unwrap_or(SIZE);
    let mut slow = Vec::new();
    for (head, part, tail) in cases {
        let name = format!("{head:.20} | {part:.30} | {tail:.10}").escape_debug().to_string();
        slow.extend(measure(&name, &text(head, part, tail, size), make));
    }
    assert!(slow.is_empty(), "{slow:#?}");
}

#[test]
fn mysql() {
    let name = "x".repeat(1 << 18);
    let long_name = format!("CREATE TABLE `{name}` (");
    let comment = format!("CREATE TABLE t (/*{name}*/ a int");
    let cases = [
        // Never closed.
        ("", "'", ""),
        ("", "/*", ""),
        ("", "/*!50001 ", ""),
        ("CREATE ", "/* ", ""),
        ("CREATE TABLE t (a int ", "/*!50001 a ", ""),
        ("CREATE TABLE t ", "(", ""),
        ("CREATE TABLE t (a int DEFAULT ", "f(", ""),
        ("CREATE PROCEDURE p", "(", ""),
        ("CREATE FUNCTION f() RETURNS ", "int(", ""),
        ("SET @a=", "(", ""),
        ("SET ", "@a#=", ""),
        ("INSERT INTO t VALUES ", "('a\\", ""),
        // One long statement.
        ("INSERT INTO t VALUES ('", "\\\\''", "');"),
        ("INSERT INTO t VALUES (1)", ",(#,'a;--','b\\'c',\"d\")", ";"),
        ("INSERT INTO t VALUES ", "-", ";"),
        ("INSERT INTO t VALUES ", "#\n", ";"),
        ("INSERT INTO t VALUES ", "/**/", ";"),
        ("CREATE VIEW v AS SELECT ", "a,", "1;"),
        ("CREATE ", "DEFINER=a@b ", "VIEW v AS SELECT 1;"),
        ("CREATE ", "/*!50001 DEFINER=a@b */", "VIEW v AS SELECT 1;"),
        ("CREATE DEFINER=a@", "a.", " VIEW v AS SELECT 1;"),
        ("CREATE ", "OR REPLACE ", "VIEW v AS SELECT 1;"),
        ("CREATE TABLE ", "IF NOT EXISTS ", "t;"),
        ("CREATE PROCEDURE p() ", "SQL SECURITY DEFINER ", "SELECT 1;"),
        ("CREATE FUNCTION f() RETURNS int ", "CHARSET x ", "RETURN 1;"),
        ("CREATE TABLE t (", "a# uuid DEFAULT uuid(),", "b int);"),
        (&long_name, "a# uuid DEFAULT nextval(x),", "b int);"),
        (&comment, ",a int WITH SYSTEM", ");"),
        ("CREATE TABLE t (a int) ", "ENGINE=Aria ", ";"),
        ("CREATE TABLE t (a int) ", "WITH ", ";"),
        ("CREATE TABLE t (a int) ", "UNION=(", ";"),
        ("CREATE TABLE t (a int) ", "PAGE_CHECKSUM=1 ", ";"),
        ("CREATE TABLE t (a int) ", "/*!100301 x*/", ";"),
        ("CREATE TABLE t (a int) ", "COLLATE utf8mb4_uca1400_ai_ci ", ";"),
        ("ALTER TABLE t ", "ADD SYSTEM VERSIONING,", "x;"),
        ("SET ", "@a=1,", "@b=2;"),
        ("SET ", "sql_log_bin=0,", "@b=2;"),
        ("SET ", "GLOBAL a#=1,", "@b=2;"),
        ("SET sql_mode='", "A,", "';"),
        ("SET @a=", "CONCAT('a',", "1;"),
        // Many statements.
        ("", "SET @a#='x';", ""),
        ("", ";", ""),
        ("", "a;", ""),
        ("", "\n", ""),
        ("", "-- x\n", ""),
        ("", "DELIMITER ;\n", ""),
        ("", "USE a#\n", ""),
        ("", "CREATE DATABASE a#;", ""),
        ("", "CREATE TABLE a#(a int);", ""),
        ("", "CREATE TABLE a#(a int);CREATE VIEW a# AS SELECT 1;", ""),
        ("", "CREATE DEFINER=a#@b VIEW a# AS SELECT 1;", ""),
        ("", "INSERT INTO a# VALUES (1);", ""),
        ("", "SET sql_mode='ANSI';SET sql_mode='';", ""),
        (
            "SET sql_mode=',,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,';",
            "SET @a=CONCAT(@@sql_mode,@@sql_mode);",
            "",
        ),
        ("", "GRANT a# ON b;", ""),
        ("SET NAMES gbk;INSERT INTO t VALUES (", "'\u{fc}\\'',", ");"),
    ];
    check(&cases, &|| {
        let rewrite = |definer| -> Box<dyn Transform> {
            let profile = Some(transforms::mysql::Profile::AuroraMysql);
            Box::new(MysqlRewrite::new(Options { definer, profile, require_trailer: false }))
        };
        vec![
            rewrite(DefinerPolicy::Strip),
            rewrite(DefinerPolicy::Invoker),
            Box::new(MysqlInspect::new(false).0),
        ]
    });
}

#[test]
fn postgres() {
    let name = "x".repeat(1 << 18);
    let long_name = format!("CREATE TABLE \"{name}\" (a int) ");
    let tag = format!("SELECT ${}", "a".repeat(4000));
    let cases = [
        // Never closed.
        ("SELECT ", "'", ""),
        ("", "/*", ""),
        ("SELECT ", "/*", ""),
        ("SELECT ", "(", ""),
        ("SELECT ", "$a#$", ""),
        (&tag, "$a", ""),
        ("SELECT $a$", "$a$a", ""),
        ("COPY t FROM stdin;\n", "\\.", ""),
        ("COPY t FROM stdin;\n", "\n\\", ""),
        ("COPY t FROM stdin;\n", "\n", ""),
        ("SELECT E'", "\\'", ""),
        ("CREATE FUNCTION f() BEGIN ATOMIC ", "case ", ""),
        // One long statement.
        ("INSERT INTO t VALUES (1)", ",(#,'a;--',E'b\\'c',$$d$$)", ";"),
        ("INSERT INTO t VALUES (1)", "-", ";"),
        ("INSERT INTO t VALUES (1)", "''\n", ";"),
        ("INSERT INTO t VALUES (1)", "--\n", ";"),
        ("CREATE TABLE t (a int) ", "TABLESPACE x ", ";"),
        (&long_name, "WITH OIDS ", ";"),
        (&long_name, "USING x ", ";"),
        ("ALTER TABLE t ", "OWNER TO x,", "SET LOGGED;"),
        ("ALTER TABLE t SET LOGGED", ",OWNER TO x", ";"),
        ("ALTER TABLE t ", "owner ", ";"),
        ("ALTER TABLE ", "a.", "a;"),
        ("ALTER FUNCTION f(", "a#,", "a) OWNER TO x;"),
        ("CREATE FUNCTION f() RETURNS int ", "LANGUAGE c ", "AS 'x';"),
        ("CREATE FUNCTION f() RETURNS int ", "LEAKPROOF ", "AS 'x';"),
        ("CREATE FUNCTION f() RETURNS int ", "SUPPORT a.", "AS 'x';"),
        ("CREATE FUNCTION f() RETURNS int ", "SUPPORT a ", "AS 'x';"),
        ("CREATE FUNCTION f() RETURNS int AS ", "$", ";"),
        ("CREATE FUNCTION f() RETURNS int AS ", "$a ", ";"),
        ("CREATE ROLE x ", "SUPERUSER ", ";"),
        ("CREATE POLICY p ON t ", "TO x", ";"),
        ("GRANT x TO ", "a#,", "b GRANTED BY c;"),
        ("CREATE DATABASE d WITH ", "TABLESPACE x ", ";"),
        ("CREATE CAST (a AS b) ", "WITHOUT ", ";"),
        ("CREATE TYPE t (", "INPUT = a,", ");"),
        // Many statements.
        ("", "select #;", ""),
        ("", "a;", ""),
        ("", "\n", ""),
        ("", "-- x\n", ""),
        ("", "/**/", ""),
        ("", "\\connect a#\n", ""),
        ("", "SET a = #;", ""),
        ("", "CREATE SERVER a# FOREIGN DATA WRAPPER w;", ""),
        ("", "CREATE TABLE a#(a int);", ""),
        ("", "CREATE VIEW a# AS SELECT 1;", ""),
        ("", "ALTER TABLE a# OWNER TO b#;", ""),
        ("", "COPY a# FROM stdin;\n\\.\n", ""),
        ("", "INSERT INTO a# VALUES (1);", ""),
        ("", "CREATE EXTENSION a#;CREATE ROLE a# SUPERUSER;", ""),
    ];
    check(&cases, &|| {
        let profile = Some(transforms::postgres::Profile::RdsPostgres);
        let options = RewriteOptions { profile, keep_acl: true, ..RewriteOptions::default() };
        vec![Box::new(PostgresRewrite::new(options)), Box::new(PostgresInspect::new().0)]
    });
}

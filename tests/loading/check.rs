//! `dbferry check`: what would end a copy is named beforehand, and what is not named does not end it.

use serde_json::Value;
use test_servers::{Needs, RedisCluster, RedisFlavour, TestResult, Trials, sample};

use crate::compare::assert_equal;
use crate::content;
use crate::run::{copy, expect};
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("check_mariadb_into_mysql_like_rds", &[Needs::MariaDb, Needs::MySql], mysql)
        .with("check_postgres_15_into_18_like_rds", &[Needs::Postgres, Needs::PostgresUnstable], postgres)
        .with("check_redis", &[Needs::Redis, Needs::RedisUnstable], redis)
}

/// Runs it; answers its exit code and what it found of one level.
fn check(tool: &Tool, left: &str, right: &str, more: &[&str]) -> (i32, Value) {
    let args = [&["check", "env:DB", "env:OTHER", "--json"], more].concat();
    let output = tool.command(left, &args).env("OTHER", right).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    (output.status.code().unwrap(), document)
}

fn subjects(document: &Value, level: &str) -> Vec<String> {
    let findings = document["findings"].as_array().unwrap_or_else(|| panic!("{document}"));
    let mut subjects: Vec<String> = findings
        .iter()
        .filter(|finding| finding["level"] == level)
        .map(|finding| finding["subject"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        findings.iter().all(|finding| finding["level"] != "blocker" || finding["fix"].is_string()),
        "{document}"
    );
    subjects.dedup();
    subjects
}

pub(crate) fn assert_blocked(tool: &Tool, left: &str, right: &str, more: &[&str], expected: &[&str]) {
    let (code, document) = check(tool, left, right, more);
    assert_eq!(subjects(&document, "blocker"), expected, "{document:#}");
    assert_eq!(code, if expected.is_empty() { 0 } else { 5 });
}

fn mysql() -> TestResult {
    let source = test_servers::mariadb()?;
    sample::load_shop(&source, "shop")?;
    source.sql_in(
        "shop",
        "CREATE SEQUENCE numbers; CREATE TABLE aria (id int PRIMARY KEY) ENGINE=Aria; CREATE TABLE who (id uuid PRIMARY KEY);
         CREATE VIEW broken AS SELECT id FROM aria; ALTER TABLE aria CHANGE id other int",
    )?;
    let tool = Tool::mysql(&source);
    let left = source.url(source.admin(), "shop")?;
    let target = test_servers::mysql_like_rds(false)?;
    let right = target.url(target.admin(), "shop")?;
    let (code, document) = check(&tool, &left, &right, &[]);
    let found = subjects(&document, "blocker");
    assert_eq!(code, 5, "{document:#}");
    for subject in [
        "database",
        "functions, triggers",
        "definers",
        "engines",
        "generated columns",
        "MariaDB only",
        "views",
    ] {
        assert!(found.iter().any(|one| one == subject), "{subject} is not among {found:?}");
    }
    assert!(document.to_string().contains("CREATE DATABASE `shop` CHARACTER SET"), "{document:#}");
    assert!(!document.to_string().contains(&source.password(source.admin())?));
    // What is rewritten is no blocker, and what is repaired is gone.
    let target = test_servers::mysql_like_rds(true)?;
    target.sql("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
    let right = target.url(target.admin(), "shop")?;
    let rds = &["--for", "rds-mysql"][..];
    assert_blocked(&tool, &left, &right, rds, &["generated columns", "MariaDB only", "views"]);
    source.sql_in(
        "shop",
        "DROP SEQUENCE numbers; DROP TABLE who; DROP VIEW broken; ALTER TABLE customers DROP COLUMN email_domain, DROP COLUMN search_key",
    )?;
    assert_blocked(&tool, &left, &right, rds, &[]);
    expect(0, &copy(&tool, "env:DB", &left, &right, rds, b""));
    assert_equal(&tool, &left, &right);
    assert_blocked(&tool, &left, &right, rds, &["contents"]);
    // For people.
    let output = tool
        .command(&left, &["check", "env:DB", "env:OTHER", "--overwrite"])
        .env("OTHER", &right)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("blocker    definers") && said.contains("fix: --for rds-mysql"), "{said}");
    Ok(())
}

fn postgres() -> TestResult {
    let source = test_servers::postgres()?;
    sample::load_postgres_shop(&source, "shop")?;
    let tool = Tool::postgres(&source);
    let target = test_servers::postgres_like_rds(true)?;
    let (left, right) = (source.url(source.admin(), "shop")?, target.url(target.admin(), "app")?);
    let (code, document) = check(&tool, &left, &right, &[]);
    let found = subjects(&document, "blocker");
    assert_eq!(code, 5, "{document:#}");
    for subject in ["roles", "policies"] {
        assert!(found.iter().any(|one| one == subject), "{subject} is not among {found:?}");
    }
    // Those who may do what this provider's administrators may, may as a rule make these too; here they may not.
    assert!(subjects(&document, "warning").contains(&"event triggers".to_owned()), "{document:#}");
    target.sql("postgres", sample::ROLES)?;
    let rds = &["--for", "rds-postgres"][..];
    source.sql("shop", "DROP EVENT TRIGGER watch_ddl")?;
    assert_blocked(&tool, &left, &right, rds, &[]);
    expect(0, &copy(&tool, "env:DB", &left, &right, rds, b""));
    assert_equal(&tool, &left, &right);
    assert_blocked(&tool, &left, &right, rds, &["contents"]);
    // The other way round it is too old.
    let (code, document) = check(&tool, &right, &left, &["--overwrite"]);
    assert_eq!(code, 5);
    assert!(subjects(&document, "blocker").contains(&"version".to_owned()), "{document:#}");
    Ok(())
}

fn redis() -> TestResult {
    let source = test_servers::redis(RedisFlavour::Redis7)?;
    content::load(&source, 100);
    let tool = Tool::new(std::path::Path::new("/usr/bin"));
    let cluster = RedisCluster::start(RedisFlavour::Redis8, 3)?;
    let (left, right) = (source.url(), cluster.url());
    assert_blocked(&tool, &left, &right, &[], &["databases"]);
    assert_blocked(&tool, &left, &right, &["--redis-db", "3", "--redis-map", "3=0"], &[]);
    let single = test_servers::redis(RedisFlavour::Redis8)?;
    let (code, document) = check(&tool, &left, &single.url(), &[]);
    assert_eq!(code, 0, "{document:#}");
    assert!(document.to_string().contains("resque:queue:jobs (50 in database 1)"), "{document:#}");
    assert_blocked(&tool, &left, &single.url(), &["--node-memory", "1MiB"], &["memory"]);
    single.ask(&["-n", "3", "SET", "x", "y"])?;
    assert_blocked(&tool, &left, &single.url(), &[], &["contents"]);
    assert_blocked(&tool, &left, &single.url(), &["--redis-db", "0"], &[]);
    single.ask(&["ACL", "SETUSER", "less", "on", ">secret-of-less", "~*", "+@all", "-restore"])?;
    let less = single.url().replace(&format!(":{}@", single.password()), "less:secret-of-less@");
    assert_blocked(&tool, &left, &less, &["--overwrite"], &["rights"]);
    assert!(content::of(&single, 3).len() == 1, "nothing was changed");
    Ok(())
}

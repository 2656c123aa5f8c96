use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::client::{check_arguments, parse_version, pass_line};
use super::*;

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn server(major: u32) -> inspect::Server {
    inspect::Server { major, version: format!("PostgreSQL {major}.1"), bytes: None, facts: BTreeMap::new() }
}

/// A stand-in for a client of some version.
fn fake(path: &std::path::Path, name: &str, version: &str, script: &str) -> PathBuf {
    let file = path.join(name);
    let text = format!(
        "case $1 in --version) echo '{name} (PostgreSQL) {version}'; exit;; --help) echo '  -O, --no-owner  x'; exit;; esac\n{script}"
    );
    crate::testing::script(&file, &text);
    file
}

#[test]
fn what_would_break_the_dump_is_refused_in_every_spelling() {
    for argument in [
        "--file=/x",
        "--fil=/x",
        "-f/x",
        "-vf/x",
        "--format=d",
        "-Fd",
        "--jobs=4",
        "-j4",
        "--password",
        "-W",
        "--host=x",
        "-hx",
        "-p1",
        "--port=1",
        "--username=x",
        "-Ux",
        "--dbname=x",
        "-dx",
        "--help",
        "-?",
        "--version",
        "-V",
        "--compress=9",
        "-Z9",
        "table",
    ] {
        let error = check_arguments(&strings(&[argument]), false).expect_err(argument);
        assert_eq!(error.exit_code(), 2, "{argument}");
    }
    check_arguments(&strings(&["-Z0", "--compress=zstd:1"]), true).unwrap();
    let fine = [
        "--schema-only",
        "-s",
        "--table=public.f",
        "-tpublic.foo",
        "--no-owner",
        "-Ox",
        "--lock-wait-timeout=5s",
        "-nhidden",
        "-v",
    ];
    check_arguments(&strings(&fine), false).unwrap();
}

#[test]
fn versions() {
    assert_eq!(
        parse_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
        Some(("pg_dump", "15.18", 15))
    );
    assert_eq!(parse_version("pg_dumpall (PostgreSQL) 19devel"), Some(("pg_dumpall", "19devel", 19)));
    assert_eq!(parse_version("something else"), None);
}

#[tokio::test]
async fn a_client_older_than_the_server_is_refused_naming_the_package() {
    let (_dir, path) = crate::testing::scratch();
    let client = fake(&path, "pg_dump", "15.18", "");
    let error = client::find("pg_dump", Some(&client), &server(18)).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("pg_dump 15.18 is older than the server, PostgreSQL 18.1"), "{error}");
    assert!(error.hints()[0].contains("postgresql-client-18"), "{:?}", error.hints());
    client::find("pg_dump", Some(&client), &server(15)).await.unwrap();
    client::find("pg_dump", Some(&client), &server(12)).await.unwrap();
    assert!(client::find("pg_dump", Some(&path.join("absent")), &server(15)).await.is_err());
}

#[test]
fn a_database_name_cannot_pass_for_connection_settings() {
    let arguments = |text| client::arguments(&url(text), &PgOptions::default());
    assert!(arguments("postgres://h/a%3Db").contains(&"--dbname=dbname='a=b'".to_owned()));
    assert!(arguments("postgres://h/a%27%20host%3Dx").contains(&"--dbname=dbname='a\\' host=x'".to_owned()));
    assert!(arguments("postgres://h").contains(&"--database=postgres".to_owned()));
    let socket = arguments("postgres://%2Ftmp:5433/x");
    assert!(socket.contains(&"--host=/tmp".to_owned()) && socket.contains(&"--port=5433".to_owned()));
}

#[test]
fn password_lines() {
    assert_eq!(pass_line(&Secret::new("a:b\\c")).expose(), "*:*:*:*:a\\:b\\\\c\n");
    let error = PgDump::new(url("postgres://u:a%0Ab@h/x"), PgOptions::default()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let custom = PgOptions { custom: true, ..PgOptions::default() };
    assert_eq!(PgDump::new(url("postgres://u@h"), custom).unwrap_err().exit_code(), 2);
}

#[tokio::test]
async fn the_client_gets_its_password_from_memory_only_and_can_read_it_twice() {
    let (_dir, path) = crate::testing::scratch();
    let script = "tr '\\0' ' ' < /proc/$$/cmdline; echo; tr '\\0' '\\n' < /proc/$$/environ; echo ==\n\
        cat $PGPASSFILE; cat $PGPASSFILE; stat -L -c '%a %F' $PGPASSFILE; readlink /proc/$$/fd/0";
    let file = fake(&path, "pg_dump", "15.1", script);
    let url = url("postgres://u:Hunter2@h/x?sslmode=require");
    let client = client::find("pg_dump", Some(&file), &server(15)).await.unwrap();
    assert!(client.has("--no-owner") && !client.has("--no-policies"));
    let arguments = client::arguments(&url, &PgOptions::default());
    let plan = Plan { client, arguments, expected: None };
    let (cx, _, _) = crate::testing::context();
    let (result, output) = crate::testing::read(Box::new(PgReader { url, plan }), &cx).await;
    result.unwrap();
    let output = String::from_utf8_lossy(&output);
    let (visible, hidden) = output.split_once("\n==\n").unwrap();
    assert!(!visible.contains("Hunter2"), "{visible}");
    assert!(visible.contains("PGSSLMODE=require") && visible.contains("--no-password"), "{visible}");
    let line = "*:*:*:*:Hunter2\n";
    assert!(hidden.starts_with(&format!("{line}{line}600 regular file\n/memfd:")), "{hidden}");
}

#[test]
fn what_may_pass_is_exit_75_and_what_will_not_is_3() {
    let ended = |text: &str| {
        let mut kept = child::Stderr::default();
        kept.push(text.as_bytes());
        child::Ended {
            name: "pg_dump".to_owned(),
            status: ExitStatus::from_raw(1 << 8),
            stderr: kept,
            bytes: 0,
            longest_stall: std::time::Duration::ZERO,
        }
    };
    let cut = "pg_dump: error: Dumping the contents of table \"t\" failed: PQgetCopyData() failed.\n\
        pg_dump: detail: Error message from server: SSL SYSCALL error: EOF detected";
    let error = explain(&ended(cut));
    assert_eq!(error.exit_code(), 75);
    assert!(error.to_string().contains("table \"t\" failed"), "{error}");
    let denied = "pg_dump: error: query failed: ERROR:  permission denied for table t";
    let error = explain(&ended(denied));
    assert_eq!((error.exit_code(), error.hints().len()), (3, 1));
    let standby = "pg_dump: error: x\nERROR: canceling statement due to conflict with recovery";
    let error = explain(&ended(standby));
    assert!(error.exit_code() == 75 && error.hints()[0].contains("hot_standby_feedback"));
}

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::client::{check_arguments, option_file, turned_off};
use super::*;

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn ended(stderr: &str, longest_stall: u64) -> child::Ended {
    let mut kept = child::Stderr::default();
    kept.push(stderr.as_bytes());
    child::Ended {
        name: "mysqldump".to_owned(),
        status: ExitStatus::from_raw(2 << 8),
        stderr: kept,
        bytes: 0,
        longest_stall: Duration::from_secs(longest_stall),
    }
}

#[test]
fn what_would_break_the_dump_is_refused_in_every_spelling() {
    for argument in [
        "--result-file=/tmp/x",
        "--result_file=/tmp/x",
        "--res=/tmp/x",
        "-r/tmp/x",
        "-tr/tmp/x",
        "--tab=/tmp",
        "-T/tmp",
        "--compact",
        "--skip-comments",
        "--skip-com",
        "--SKIP-COMMENTS",
        "--loose-skip-comments",
        "--comments=0",
        "--comments=OFF",
        "--disable-comments",
        "--force",
        "-f",
        "--password=x",
        "-px",
        "--pass",
        "--xml",
        "-X",
        "--log-error=/tmp/x",
        "--skip-quick",
        "--quick=0",
        "--skip-opt",
        "--host=other",
        "-hother",
        "--databases",
        "-B",
        "--all-databases",
        "--defaults-file=/x",
        "--no-defaults",
        "--print-defaults",
        "--login-path=x",
        "--help",
        "-?",
        "--version",
        "otherdb",
        "--where",
        "--",
    ] {
        // `--where` alone takes the next word as its value, and that is refused as a word without a dash.
        let arguments =
            if argument == "--where" { strings(&[argument, "id>5"]) } else { strings(&[argument]) };
        let error = check_arguments(&arguments).expect_err(argument);
        assert_eq!(error.exit_code(), 2, "{argument}");
    }
    check_arguments(&strings(&[
        "--where=id>5",
        "-wid>5 or force",
        "--ignore-table=a.b",
        "--no-data",
        "-d",
        "-t",
        "--hex-blob",
        "--skip-triggers",
        "--comments",
        "--set-gtid-purged=COMMENTED",
        "--source-data=2",
        "--compress",
        "--skip-dump-date",
        "--tz-utc",
        "--complete-insert",
        "--column-statistics=1",
        "--compatible=ansi",
    ]))
    .unwrap();
}

#[test]
fn a_kind_can_be_left_out_on_purpose() {
    for argument in
        ["--skip-triggers", "--skip_triggers", "--triggers=0", "--disable-triggers", "--triggers=false"]
    {
        assert!(turned_off(&strings(&[argument]), "triggers"), "{argument}");
    }
    assert!(!turned_off(&strings(&["--triggers", "--skip-routines", "--triggers=1"]), "triggers"));
}

/// These passwords were tried against mariadb-dump 10.11 and mysqldump 9.7 as well.
#[test]
fn the_option_file_quotes_everything() {
    let file = option_file(&url("mysql://u%22x:a%23b%5Cc%22d%0Ae%20@h/x"));
    assert_eq!(file, "[client]\nuser=\"u\\\"x\"\npassword=\"a#b\\\\c\\\"d\\ne \"\n");
    assert_eq!(option_file(&url("mysql://h/x")), "[client]\npassword=\"\"\n", "the client must not ask");
}

#[test]
fn databases_come_behind_a_double_dash() {
    assert_eq!(client::databases(&url("mysql://h")), ["--all-databases"]);
    assert_eq!(client::databases(&url("mysql://h/-x")), ["--", "-x"]);
    assert_eq!(client::databases(&url("mysql://h/a,b")), ["--databases", "--", "a", "b"]);
}

#[test]
fn error_numbers_of_both_makers() {
    for (text, number) in [
        ("mysqldump: Got error: 1045: \"Access denied for user 'a'@'h'\" when trying to connect", Some(1045)),
        (
            "mariadb-dump: Error 2013: Lost connection to server during query when dumping table `t` at row: 12781",
            Some(2013),
        ),
        (
            "mysqldump: Couldn't execute 'show events': Access denied for user 'tab'@'%' to database 'd1' (1044)",
            Some(1044),
        ),
        (
            "Warning: something\nmysqldump: Error 1412: Table definition has changed, please retry transaction",
            Some(1412),
        ),
        ("mysqldump: full has insufficient privileges to SHOW CREATE FUNCTION `f1`!", None),
        ("", None),
    ] {
        assert_eq!(error_number(text), number, "{text}");
    }
}

#[test]
fn what_may_pass_is_exit_75_and_what_will_not_is_3() {
    let lost =
        "mysqldump: Error 2013: Lost connection to server during query when dumping table `t` at row: 5";
    let error = explain(&ended(lost, 70), Some(Duration::from_secs(60)));
    assert_eq!(error.exit_code(), 75);
    assert!(error.to_string().contains("dumping table `t`"), "{error}");
    assert!(error.hints()[0].contains("net_write_timeout"), "{:?}", error.hints());
    assert!(explain(&ended(lost, 10), Some(Duration::from_secs(60))).hints().is_empty());
    let cut = "mariadb-dump: Error 2026: TLS/SSL error: unexpected eof while reading when dumping table `t` at row: 9";
    assert_eq!(explain(&ended(cut, 0), None).exit_code(), 75);
    let tls = "mariadb-dump: Got error: 2026: \"TLS/SSL error: Validation failed\" when trying to connect";
    assert_eq!(explain(&ended(tls, 0), None).exit_code(), 3);
    let denied = "mysqldump: Couldn't execute 'show create table `v`': SHOW VIEW command denied (1142)";
    let error = explain(&ended(denied, 0), None);
    assert_eq!((error.exit_code(), error.hints().len()), (3, 1));
    assert_eq!(explain(&ended("", 0), None).exit_code(), 3);
}

#[test]
fn a_source_shows_no_password() {
    let source = MysqlDump::new(url("mysql://root:Hunter2@h/x"), MysqlOptions::default()).unwrap();
    assert_eq!(source.endpoint(), "mysql://root:****@h/x");
    assert!(!format!("{source:?}").contains("Hunter2"));
}

/// A stand-in for the client that shows what it is given.
#[tokio::test]
async fn the_client_gets_its_password_through_the_pipe_only() {
    let (_dir, path) = crate::testing::scratch();
    let script = path.join("mysqldump");
    crate::testing::script(
        &script,
        "tr '\\0' ' ' < /proc/$$/cmdline; echo; tr '\\0' '\\n' < /proc/$$/environ; echo ==; cat /dev/stdin; ls -l /proc/$$/fd",
    );
    let url = url("mysql://root:Hunter2@h/x");
    let client = client::Client::for_test(script, "");
    let arguments = client::arguments(&url, &client, &inspect::Server::default()).unwrap();
    let plan = Plan { client, arguments, expected: None, write_timeout: None };
    let (cx, _, _) = crate::testing::context();
    let (result, output) = crate::testing::read(Box::new(MysqlReader { url, plan }), &cx).await;
    result.unwrap();
    let output = String::from_utf8_lossy(&output);
    let (visible, hidden) = output.split_once("\n==\n").unwrap();
    assert!(visible.contains("--defaults-file=/dev/stdin --protocol=tcp --host=h"), "{visible}");
    assert!(!visible.contains("Hunter2"), "{visible}");
    assert!(hidden.contains("password=\"Hunter2\"") && hidden.contains("0 -> pipe:"), "{hidden}");
}

#[test]
fn options_are_used_only_where_the_client_knows_them() {
    let url = url("mysql://u@h/x?sslmode=require");
    let server = inspect::Server::default();
    let mysql = client::Client::for_test(
        "mysqldump".into(),
        "  --ssl-mode=name\n  --set-gtid-purged[=name]\n --column-statistics\n -y, --no-tablespaces\n -M, --network-timeout",
    );
    let arguments = client::arguments(&url, &mysql, &server).unwrap();
    for expected in [
        "--ssl-mode=REQUIRED",
        "--set-gtid-purged=OFF",
        "--column-statistics=0",
        "--no-tablespaces",
        "--network-timeout",
    ] {
        assert!(arguments.iter().any(|argument| argument == expected), "{expected}: {arguments:?}");
    }
    assert!(mysql.raises_timeouts());
    let mut mariadb = client::Client::for_test("mariadb-dump".into(), "  --ssl\n --ssl-verify-server-cert");
    mariadb.mariadb = true;
    let arguments = client::arguments(&url, &mariadb, &server).unwrap();
    assert!(arguments.contains(&"--ssl".to_owned()));
    for unknown in
        ["--ssl-mode", "--set-gtid-purged", "--column-statistics", "--network-timeout", "--init-command"]
    {
        assert!(!arguments.iter().any(|argument| argument.starts_with(unknown)), "{unknown}");
    }
    assert!(!mariadb.raises_timeouts());
}

#[test]
fn versions_of_products_not_of_tools() {
    for (text, version) in [
        ("mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)", "10.11.19-MariaDB"),
        ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)", "11.4.2-MariaDB"),
        ("mysqldump  Ver 9.7.4-2 for Linux on x86_64 ((Debian))", "9.7.4-2"),
        ("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)", "5.7.44"),
    ] {
        assert_eq!(client::version_number(text), version);
    }
}

//! MariaDB and MySQL.

use std::collections::BTreeMap;
use std::fs::File;

use test_servers::fingerprint::{self, Fingerprint, MySqlView};
use test_servers::{Flavour, MySqlServer, Needs, TestResult, Trials, sample};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("mariadb_carries_the_shop", &[Needs::MariaDb], || carries(&test_servers::mariadb()?))
        .with("mysql_carries_the_shop", &[Needs::MySql], || carries(&test_servers::mysql()?))
        .with("mariadb_carries_rare_things", &[Needs::MariaDb], || carries_nasty(&test_servers::mariadb()?))
        .with("mysql_carries_rare_things", &[Needs::MySql], || carries_nasty(&test_servers::mysql()?))
        .with("both_flavours_hold_the_same_rows", &[Needs::MariaDb, Needs::MySql], same_rows)
        .with("a_float_is_not_carried_by_text", &[Needs::MariaDb], floats)
}

/// Fingerprints are repeatable, survive a stock dump and restore, and notice one changed byte.
fn carries(server: &MySqlServer) -> TestResult {
    sample::load_shop(server, "shop")?;
    sample::load_shop_specials(server, "shop")?;
    let before = print(server, "shop")?;
    before.assert_same(&print(server, "shop")?);
    assert!(before.rows()["rows customers"].starts_with("2000 rows"), "{:?}", before.entries());
    copy(server, "shop", "restored")?;
    before.assert_same(&print(server, "restored")?);
    server.sql_in(
        "restored",
        "UPDATE files SET content = concat(left(content, 9), x'00', substr(content, 11)) WHERE name LIKE 'a megabyte%';",
    )?;
    let difference = before.difference(&print(server, "restored")?);
    assert!(difference.starts_with("rows files:") && difference.lines().count() == 3, "{difference}");
    Ok(())
}

/// The stock clients carry the rare things too, so a failure of ours is ours.
fn carries_nasty(server: &MySqlServer) -> TestResult {
    sample::load_nasty(server, "nasty", 1_000_000)?;
    let before = print(server, "nasty")?;
    assert!(before.entries().keys().any(|name| name.starts_with("view view\n*/")), "{:?}", before.entries());
    copy(server, "nasty", "restored")?;
    before.assert_same(&print(server, "restored")?);
    Ok(())
}

fn print(server: &MySqlServer, db: &str) -> test_servers::Result<Fingerprint> {
    fingerprint::mysql(server, db, &MySqlView::default())
}

/// Dumps and restores with the stock clients.
fn copy(server: &MySqlServer, from: &str, to: &str) -> TestResult {
    let dump = server.dir().join("dump.sql");
    let mut command = server.client("mysqldump");
    command.args(["--single-transaction", "--routines", "--events", "--triggers", "--hex-blob"]);
    command.args(["--default-character-set=utf8mb4", "--max-allowed-packet=1G", from]);
    if server.flavour() == Flavour::MySql {
        command.arg("--set-gtid-purged=OFF");
    }
    let output = command.stdout(File::create(&dump)?).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.sql(format!("CREATE DATABASE {to} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;"))?;
    server.load(to, File::open(&dump)?)?;
    Ok(())
}

/// Rows can be compared between the flavours, whose definitions cannot; definers can be left out.
fn same_rows() -> TestResult {
    let (mariadb, mysql) = (test_servers::mariadb()?, test_servers::mysql()?);
    sample::load_shop(&mariadb, "shop")?;
    sample::load_shop(&mysql, "shop")?;
    let view = MySqlView { without_definers: true, ..MySqlView::default() };
    let left = fingerprint::mysql(&mariadb, "shop", &view)?;
    let right = fingerprint::mysql(&mysql, "shop", &view)?;
    assert_eq!(left.objects(), right.objects());
    assert_eq!(left.rows(), right.rows());
    let triggers = |entries: &BTreeMap<String, String>| {
        let mut texts = entries.iter().filter(|(name, _)| name.starts_with("trigger "));
        texts.all(|(_, text)| text.contains("\nCREATE TRIGGER "))
    };
    assert!(triggers(left.entries()) && triggers(right.entries()), "a definer was left");
    Ok(())
}

/// The stock client prints six digits of a FLOAT: the fingerprint must not be blind to what a dump through it loses.
fn floats() -> TestResult {
    let server = test_servers::mariadb()?;
    server.sql("CREATE DATABASE a; CREATE TABLE a.t (f float); INSERT INTO a.t VALUES (1.234567);")?;
    server.sql("CREATE DATABASE b; CREATE TABLE b.t (f float); INSERT INTO b.t VALUES (1.23457);")?;
    assert_eq!(server.query("a", "SELECT f FROM t")?, server.query("b", "SELECT f FROM t")?);
    assert!(print(&server, "a")?.difference(&print(&server, "b")?).starts_with("rows t:"));
    Ok(())
}

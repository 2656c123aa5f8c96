//! PostgreSQL.

use std::fs::File;

use test_servers::fingerprint::{self, PostgresView};
use test_servers::{Needs, PostgresServer, TestResult, Trials, sample};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("postgres_carries_the_shop", &[Needs::Postgres], || carries(&test_servers::postgres()?))
        .with("postgres_18_carries_the_shop", &[Needs::PostgresUnstable], || {
            carries(&test_servers::postgres_unstable()?)
        })
        .with(
            "postgres_carries_rare_things",
            &[Needs::Postgres],
            || carries_nasty(&test_servers::postgres()?),
        )
        .with("postgres_18_carries_rare_things", &[Needs::PostgresUnstable], || {
            carries_nasty(&test_servers::postgres_unstable()?)
        })
        .with("a_newer_server_holds_the_same", &[Needs::Postgres, Needs::PostgresUnstable], upgrades)
}

/// Fingerprints are repeatable, survive a stock dump and restore, and notice one changed byte.
fn carries(server: &PostgresServer) -> TestResult {
    sample::load_postgres_shop(server, "shop")?;
    let print = |db: &str| fingerprint::postgres(server, db, &PostgresView::default());
    let before = print("shop")?;
    before.assert_same(&print("shop")?);
    assert!(before.rows()["rows shop.customers"].starts_with("2000 rows"), "{:?}", before.entries());

    let dump = server.dir().join("shop.sql");
    let output = server.client("pg_dump").args(["--dbname", "shop"]).stdout(File::create(&dump)?).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Programs that look for each other beside themselves.
    let globals = server.client("pg_dumpall").args(["--schema-only", "--no-role-passwords"]).output()?;
    assert!(globals.status.success(), "{}", String::from_utf8_lossy(&globals.stderr));
    assert!(String::from_utf8_lossy(&globals.stdout).contains("CREATE ROLE \"weird \"\"owner\"\";\""));

    sample::create_database(server, "restored")?;
    server.load("restored", File::open(&dump)?)?;
    before.assert_same(&print("restored")?);

    server.sql("restored", "UPDATE shop.files SET content = set_byte(content, 9, 0) WHERE id = 1000;")?;
    let difference = before.difference(&print("restored")?);
    assert!(difference.starts_with("rows shop.files:") && difference.lines().count() == 3, "{difference}");
    server.sql("restored", "SELECT lo_put(700003, 5000, '\\x00');")?;
    let difference = before.difference(&print("restored")?);
    assert!(difference.contains("rows of large objects:"), "{difference}");
    Ok(())
}

/// Two majors describe the same schema differently; one client's description of both can be compared.
fn upgrades() -> TestResult {
    let (old, new) = (test_servers::postgres()?, test_servers::postgres_unstable()?);
    sample::load_postgres_shop(&old, "shop")?;
    let dump = old.dir().join("shop.sql");
    let output = old.client("pg_dump").args(["--dbname", "shop"]).stdout(File::create(&dump)?).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    new.sql("postgres", sample::ROLES)?;
    sample::create_database(&new, "shop")?;
    new.load("shop", File::open(&dump)?)?;
    let view = PostgresView { describe_with: Some(&new), ..PostgresView::default() };
    fingerprint::postgres(&old, "shop", &view)?.assert_same(&fingerprint::postgres(&new, "shop", &view)?);
    Ok(())
}

/// The stock clients carry the rare things too, so a failure of ours is ours.
fn carries_nasty(server: &PostgresServer) -> TestResult {
    sample::load_postgres_nasty(server, "nasty", 1_000_000)?;
    let before = fingerprint::postgres(server, "nasty", &PostgresView::default())?;
    let dump = server.dir().join("nasty.sql");
    let output =
        server.client("pg_dump").args(["--dbname", "nasty"]).stdout(File::create(&dump)?).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sample::create_database(server, "restored")?;
    server.load("restored", File::open(&dump)?)?;
    before.assert_same(&fingerprint::postgres(server, "restored", &PostgresView::default())?);
    Ok(())
}

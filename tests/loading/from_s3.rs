//! From an archive in S3 into a database, with the source gone.

use std::process::Output;

use test_servers::s3::{ACCESS_KEY, FakeS3, Quirks, SECRET_KEY};
use test_servers::{Needs, TestResult, Trials, sample};

use crate::compare::assert_equal;
use crate::run::expect;
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials.with("mysql_from_an_archive_in_s3", &[Needs::MariaDb, Needs::MySql], mysql).with(
        "postgres_from_archives_in_s3",
        &[Needs::Postgres, Needs::PostgresUnstable],
        postgres,
    )
}

/// `copy FROM TO …` with the keys of the store.
fn copy(tool: &Tool, from: &str, to: &str, more: &[&str], databases: (&str, &str)) -> Output {
    let args = [&["copy", from, to], more].concat();
    let mut command = tool.command(databases.0, &args);
    command.env("OTHER", databases.1).env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    command.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).env("AWS_EC2_METADATA_DISABLED", "true");
    command.output().unwrap()
}

fn mysql() -> TestResult {
    let source = test_servers::mariadb()?;
    sample::load_shop(&source, "shop")?;
    source.sql_in("shop", "ALTER TABLE customers DROP COLUMN email_domain, DROP COLUMN search_key")?;
    let target = test_servers::mysql_like_rds(true)?;
    target.sql("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
    let store = FakeS3::start(Quirks::default())?;
    let tool = Tool::mysql(&source);
    let (left, right) = (source.url(source.admin(), "shop")?, target.url(target.admin(), "shop")?);
    let archive = store.url("seed/shop.sql.zst");
    expect(0, &copy(&tool, "env:DB", &archive, &[], (&left, "")));
    let said = expect(0, &copy(&tool, &archive, "env:OTHER", &["--for", "rds-mysql"], ("", &right)));
    assert!(said.contains("rows accepted"), "{said}");
    assert_equal(&tool, &left, &right);
    Ok(())
}

fn postgres() -> TestResult {
    let source = test_servers::postgres()?;
    sample::load_postgres_shop(&source, "shop")?;
    source.sql("shop", "DROP EVENT TRIGGER watch_ddl")?;
    let target = test_servers::postgres_like_rds(true)?;
    target.sql("postgres", sample::ROLES)?;
    let store = FakeS3::start(Quirks::default())?;
    let tool = Tool::postgres(&source);
    let (left, right) = (source.url(source.admin(), "shop")?, target.url(target.admin(), "app")?);
    for (key, dumped, loaded) in [
        ("seed/shop.sql.zst", &[][..], &["--for", "rds-postgres"][..]),
        ("seed/shop.sql.gz", &[], &["--for", "rds-postgres", "--overwrite", "--jobs", "2"]),
        ("seed/shop.dump", &["--pg-format", "custom"], &["--for", "rds-postgres", "--overwrite"]),
    ] {
        let archive = store.url(key);
        expect(0, &copy(&tool, "env:DB", &archive, dumped, (&left, "")));
        expect(0, &copy(&tool, &archive, "env:OTHER", loaded, ("", &right)));
        assert_equal(&tool, &left, &right);
    }
    Ok(())
}

//! What every other test relies on: servers come up, go away, and restricted accounts are restricted.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use test_servers::fingerprint::tree;
use test_servers::{MySqlServer, Needs, PostgresServer, TestResult, Trials, sample};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("mariadb_comes_and_goes", &[Needs::MariaDb], || mysql_goes(test_servers::mariadb()?))
        .with("mysql_comes_and_goes", &[Needs::MySql], || mysql_goes(test_servers::mysql()?))
        .with("postgres_comes_and_goes", &[Needs::Postgres], || postgres_goes(test_servers::postgres()?))
        .with("postgres_18_comes_and_goes", &[Needs::PostgresUnstable], || {
            postgres_goes(test_servers::postgres_unstable()?)
        })
        .with("mysql_like_rds_is_restricted", &[Needs::MySql], mysql_is_restricted)
        .with("postgres_like_rds_is_restricted", &[Needs::Postgres], || postgres_is_restricted(false))
        .with("postgres_18_like_rds_is_restricted", &[Needs::PostgresUnstable], || {
            postgres_is_restricted(true)
        })
        .with("a_killed_test_takes_its_servers_along", &[Needs::MariaDb, Needs::Postgres], killed)
        .with("bulk_tables_load", &[Needs::MariaDb, Needs::Postgres], bulk_loads)
        .with("tree_survives_tar", &[], tree_survives)
}

/// A table survives `kill -9` and a restart; nothing survives the value.
fn mysql_goes(mut server: MySqlServer) -> TestResult {
    server
        .sql("CREATE DATABASE d; CREATE TABLE d.t (a int PRIMARY KEY); INSERT INTO d.t VALUES (1), (2);")?;
    server.create_user("o'dd \\ user", "p#ss \"w'rd\\;")?;
    server.load_as("o'dd \\ user", "", &b"SELECT 1;"[..])?;
    assert!(server.url("o'dd \\ user", "d")?.ends_with(&format!("@127.0.0.1:{}/d", server.port())));
    server.kill9();
    assert!(server.query("d", "SELECT 1").is_err(), "a killed server answered");
    server.restart()?;
    assert_eq!(server.query("d", "SELECT count(*) FROM t")?, [["2"]]);
    assert!(server.stop()?.success());
    server.restart()?;
    let (pid, dir) = (server.pid(), server.dir().to_owned());
    drop(server);
    gone(pid, &dir);
    Ok(())
}

fn postgres_goes(mut server: PostgresServer) -> TestResult {
    server.sql("postgres", "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2);")?;
    server.create_role("o'dd \\ \"role", "p#ss \"w'rd\\;", "")?;
    server.load_as("o'dd \\ \"role", "postgres", &b"SELECT 1;"[..])?;
    assert_eq!(server.query("postgres", "SELECT 1, NULL, E'a\\tb'")?, [["1", "\\N", "a\tb"]]);
    server.sql("postgres", "CHECKPOINT;")?;
    server.kill9();
    assert!(server.query("postgres", "SELECT 1").is_err(), "a killed server answered");
    server.restart()?;
    assert_eq!(server.query("postgres", "SELECT count(*) FROM t")?, [["2"]]);
    assert!(server.stop()?.success());
    server.restart()?;
    let (pid, dir) = (server.pid(), server.dir().to_owned());
    drop(server);
    gone(pid, &dir);
    Ok(())
}

fn gone(pid: u32, dir: &Path) {
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is still there");
    assert!(!dir.exists(), "{} is still there", dir.display());
}

/// What a restore into RDS meets, by the error numbers that it meets.
fn mysql_is_restricted() -> TestResult {
    let server = test_servers::mysql_like_rds(false)?;
    let admin = |sql: &str| {
        server.load_as(server.admin(), "", sql.as_bytes()).map_err(|error| format!("{sql}: {error}"))
    };
    admin(
        "CREATE DATABASE app; CREATE TABLE app.t (a int PRIMARY KEY); CREATE VIEW app.v AS SELECT * FROM app.t;",
    )?;
    admin("CREATE PROCEDURE app.p() SELECT 1; SET sql_require_primary_key = OFF;")?;
    let refused = [
        ("CREATE DEFINER=root@localhost VIEW app.w AS SELECT 1", "1227"),
        ("SET @@GLOBAL.gtid_purged = '11111111-1111-1111-1111-111111111111:1'", "1227"),
        ("CREATE FUNCTION app.g() RETURNS int DETERMINISTIC RETURN 1", "1419"),
        ("CREATE TRIGGER app.g BEFORE INSERT ON app.t FOR EACH ROW SET NEW.a = 1", "1419"),
        ("LOCK INSTANCE FOR BACKUP", "1227"),
        ("SET GLOBAL max_connections = 10", "1227"),
        ("CREATE TABLE mysql.t (a int PRIMARY KEY)", "1142"),
    ];
    for (sql, code) in refused {
        let error = admin(sql).expect_err(sql);
        assert!(error.contains(&format!("ERROR {code}")), "{sql}: {error}");
    }
    let mut plain = server.client_as(server.admin(), "mysql")?;
    let output = plain.args(["--ssl-mode=DISABLED", "--get-server-public-key", "-e", "SELECT 1"]).output()?;
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("3159"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let trusting = test_servers::mysql_like_rds(true)?;
    trusting.load_as(
        trusting.admin(),
        "",
        &b"CREATE DATABASE app; CREATE FUNCTION app.g() RETURNS int RETURN 1;"[..],
    )?;
    Ok(())
}

fn postgres_is_restricted(unstable: bool) -> TestResult {
    let server = test_servers::postgres_like_rds(unstable)?;
    let master = |sql: &str| server.load_as(server.admin(), "app", sql.as_bytes());
    master("CREATE TABLE t (a int); CREATE ROLE other; CREATE DATABASE another; CREATE EXTENSION hstore;")?;
    let refused = [
        "CREATE ROLE boss SUPERUSER;",
        "ALTER TABLE t OWNER TO postgres;",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION x();",
        "CREATE PUBLICATION p FOR ALL TABLES;",
        "COMMENT ON EXTENSION plpgsql IS 'x';",
    ];
    for sql in refused {
        assert!(master(sql).is_err(), "allowed: {sql}");
    }
    let mut plain = server.client_as(server.admin(), "psql")?;
    let output = plain.env("PGSSLMODE", "disable").args(["-d", "app", "-c", "SELECT 1"]).output()?;
    assert!(String::from_utf8_lossy(&output.stderr).contains("no encryption"), "TLS is not required");
    let mut strict = server.client_as(server.admin(), "psql")?;
    strict.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", server.ca_file());
    assert!(strict.args(["-d", "app", "-qAtc", ""]).status()?.success(), "the certificate does not verify");
    Ok(())
}

/// Set for the child of [`killed`].
pub(crate) const VICTIM: &str = "TEST_SERVERS_VICTIM";

/// A test process that is about to be killed: says which servers it has started and waits.
pub(crate) fn victim() -> ExitCode {
    let started = || -> TestResult {
        let (mariadb, postgres) = (test_servers::mariadb()?, test_servers::postgres()?);
        writeln!(std::io::stdout(), "{} {}", mariadb.pid(), postgres.pid())?;
        std::thread::sleep(Duration::from_secs(60));
        Ok(())
    };
    started().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

fn killed() -> TestResult {
    let mut child = Command::new(std::env::current_exe()?).env(VICTIM, "1").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    let alive = |pid: &&str| Path::new("/proc").join(pid).exists();
    assert_eq!(line.split_whitespace().count(), 2, "the victim said {line:?}");
    let begun = Instant::now();
    while let Some(pid) = line.split_whitespace().find(alive) {
        assert!(begun.elapsed() < Duration::from_secs(10), "server {pid} outlived its test");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn bulk_loads() -> TestResult {
    let mariadb = test_servers::mariadb()?;
    sample::load_bulk(&mariadb, "bulk", 5_000_000, 7)?;
    let postgres = test_servers::postgres()?;
    sample::load_postgres_bulk(&postgres, "postgres", 5_000_000, 7)?;
    let sums = "sum(customer), sum(amount), sum(length(content)) FROM bulk WHERE id <= 5000";
    assert_eq!(
        mariadb.query("bulk", &format!("SELECT {sums}"))?,
        postgres.query("postgres", &format!("SELECT {sums}"))?
    );
    Ok(())
}

fn tree_survives() -> TestResult {
    let dir = tempfile::tempdir()?;
    let (source, copy) = (dir.path().join("source"), dir.path().join("copy"));
    std::fs::create_dir(&source)?;
    std::fs::create_dir(&copy)?;
    sample::make_tree(&source)?;
    let before = tree(&source)?;
    let tar = |args: &[&str]| Command::new("tar").arg("-C").args(args).status();
    let archive = dir.path().join("a.tar");
    let archive = archive.to_str().ok_or("the temporary directory is not UTF-8")?;
    assert!(tar(&[source.to_str().ok_or("not UTF-8")?, "--sparse", "-cf", archive, "."])?.success());
    assert!(tar(&[copy.to_str().ok_or("not UTF-8")?, "-xpf", archive])?.success());
    before.assert_same(&tree(&copy)?);
    std::fs::write(copy.join("empty"), "x")?;
    assert!(before.difference(&tree(&copy)?).starts_with("path empty:"));
    Ok(())
}

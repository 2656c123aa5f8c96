//! PostgreSQL as a destination: whole or absent, whatever happens.

use std::process::Stdio;
use std::time::{Duration, Instant};

use test_servers::{Needs, PostgresServer, TestResult, Trials, sample};

use crate::compare::{assert_equal, compare};
use crate::redis::{kills, moments};
use crate::run::{copy, expect};
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    const BOTH: &[Needs] = &[Needs::Postgres, Needs::PostgresUnstable];
    trials
        .with("postgres_15_into_18_like_rds", BOTH, into_rds)
        .with("postgres_nasty_into_itself", &[Needs::Postgres], nasty)
        .with("postgres_refuses_before_the_first_write", &[Needs::Postgres], refused)
        .with("postgres_takes_nothing_of_a_load_that_fails", &[Needs::Postgres], all_or_nothing)
        .with("postgres_executes_no_command_of_psql", &[Needs::Postgres], hostile)
        .with("postgres_takes_archives_in_custom_format", &[Needs::Postgres], custom)
        .with("postgres_killed_at_any_moment", &[Needs::Postgres], killed)
}

pub(crate) fn is_empty(server: &PostgresServer, db: &str) -> bool {
    let sql = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    server.query(db, sql).unwrap()[0][0] == "0"
}

fn into_rds() -> TestResult {
    let source = test_servers::postgres()?;
    sample::load_postgres_shop(&source, "shop")?;
    // This target's administrator, a plain role, may create none; a managed server's own may.
    source.sql("shop", "DROP EVENT TRIGGER watch_ddl")?;
    let target = test_servers::postgres_like_rds(true)?;
    target.sql("postgres", sample::ROLES)?;
    let tool = Tool::postgres(&source);
    let (left, right) = (source.url(source.admin(), "shop")?, target.url(target.admin(), "app")?);
    // As it is, the dump wants more than the administrator may: nothing is left of it, and the way out is named.
    let said = expect(5, &copy(&tool, "env:DB", &left, &right, &["--no-check"], b""));
    assert!(said.contains("--for rds-postgres") && said.contains("statement: "), "{said}");
    assert!(is_empty(&target, "app"));
    // Looked for beforehand, it is not even begun.
    let said = expect(5, &copy(&tool, "env:DB", &left, &right, &[], b""));
    assert!(said.contains("was not begun") && said.contains("--no-check"), "{said}");
    assert!(is_empty(&target, "app"));
    let said = expect(0, &copy(&tool, "env:DB", &left, &right, &["--for", "rds-postgres"], b""));
    assert!(said.contains("rows accepted"), "{said}");
    assert!(!said.contains(&target.password(target.admin())?), "{said}");
    assert_equal(&tool, &left, &right);
    // From an archive as well, over what is there, which goes only with the commit.
    tool.expect(0, &left, &["copy", "env:DB", "shop.sql.zst"]);
    expect(2, &copy(&tool, "shop.sql.zst", "", &right, &["--for", "rds-postgres"], b""));
    target.load_as(target.admin(), "app", &b"INSERT INTO shop.log_lines VALUES (NULL, 'x', 'y'); CREATE SCHEMA more; CREATE TABLE more.t (); CREATE VIEW public.v AS SELECT 1 AS x; CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE DOMAIN public.d AS int"[..])?;
    assert_eq!(compare(&tool, &left, &right).0, 6);
    expect(0, &copy(&tool, "shop.sql.zst", "", &right, &["--for", "rds-postgres", "--overwrite"], b""));
    assert_equal(&tool, &left, &right);
    Ok(())
}

fn nasty() -> TestResult {
    let server = test_servers::postgres()?;
    sample::load_postgres_nasty(&server, "nasty", 8 << 20)?;
    sample::create_database(&server, "back")?;
    let tool = Tool::postgres(&server);
    let (left, right) = (server.url(server.admin(), "nasty")?, server.url(server.admin(), "back")?);
    expect(0, &copy(&tool, "env:DB", &left, &right, &["--memory", "128MiB"], b""));
    assert_equal(&tool, &left, &right);
    Ok(())
}

pub(crate) const END: &str = "\n--\n-- PostgreSQL database dump complete\n--\n\n";

fn refused() -> TestResult {
    let server = test_servers::postgres()?;
    server.create_role("reader", "reader's password", "")?;
    server.sql("postgres", "REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC")?;
    sample::create_database(&server, "full")?;
    sample::create_database(&server, "free")?;
    server.sql("full", "CREATE TABLE precious (id int); INSERT INTO precious VALUES (1)")?;
    let tool = Tool::postgres(&server);
    let full = server.url(server.admin(), "full")?;
    let free = server.url(server.admin(), "free")?;
    let dump = format!("CREATE TABLE other ();{END}");
    let said = expect(2, &copy(&tool, "-", "", &full, &[], dump.as_bytes()));
    assert!(said.contains("precious") && said.contains("--overwrite"), "{said}");
    expect(0, &copy(&tool, "-", "", &full, &["--into-existing", "--format", "postgres"], dump.as_bytes()));
    assert_eq!(server.query("full", "SELECT count(*) FROM precious")?[0][0], "1");
    let reader = server.url("reader", "free")?;
    let said = expect(5, &copy(&tool, "-", "", &reader, &[], dump.as_bytes()));
    assert!(said.contains("reader may create nothing"), "{said}");
    // What is no dump of this family is refused before the target sees any of it.
    for input in [&b"-- MySQL dump 10.13\nCREATE TABLE `t` (a int);\n-- Dump completed\n"[..], b"hello"] {
        expect(2, &copy(&tool, "-", "", &free, &[], input));
    }
    expect(2, &copy(&tool, "env:DB", &full, &free, &["--pg-format", "custom"], b""));
    expect(2, &copy(&tool, "env:DB", &full, &free, &["--for", "rds-mysql"], b""));
    assert!(is_empty(&server, "free"));
    server.sql("postgres", "ALTER DATABASE free SET default_transaction_read_only = on")?;
    let said = expect(5, &copy(&tool, "-", "", &free, &[], dump.as_bytes()));
    assert!(said.contains("read-only"), "{said}");
    Ok(())
}

/// A table, rows, and then something that goes wrong.
fn failing(tail: &str) -> String {
    format!(
        "SET client_encoding = 'UTF8';\nSET future_setting = 1;\nCREATE TABLE t (id int PRIMARY KEY, v smallint);\nCOPY t (id, v) FROM stdin;\n1\t1\n2\t\\N\n\\.\n{tail}{END}"
    )
}

fn all_or_nothing() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "old")?;
    server.sql("old", "CREATE TABLE precious (id int); INSERT INTO precious VALUES (1)")?;
    let tool = Tool::postgres(&server);
    let url = server.url(server.admin(), "old")?;
    for (tail, code, words) in [
        ("COPY t (id, v) FROM stdin;\n3\t1\n1\t2\n\\.\n", 5, &["t_pkey", "(1)", "table: t"][..]),
        ("COPY t (id, v) FROM stdin;\n3\t1\n4\t32768\n\\.\n", 5, &["line 2", "column v", "32768"]),
        ("COPY t (id, v) FROM stdin;\n3\n\\.\n", 5, &["missing data", "column \"v\""]),
        ("ALTER TABLE t OWNER TO nobody_here;\n", 5, &["nobody_here", "create the role", "statement: 5"]),
        ("CREATE EXTENSION nothing_like_this;\n", 5, &["nothing_like_this"]),
        ("ROLLBACK;\n", 5, &["ROLLBACK"]),
        ("COPY t TO '/tmp/dbferry-never-written';\n", 5, &["file of the server"]),
        ("COPY t FROM PROGRAM 'touch /tmp/dbferry-never-written';\n", 5, &["file of the server"]),
        (
            "CREATE TABLE c (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO c VALUES (9);\n",
            5,
            &["c_id_fkey"],
        ),
    ] {
        let output = copy(&tool, "-", "", &url, &["--overwrite"], failing(tail).as_bytes());
        let said = expect(code, &output);
        for word in words {
            assert!(said.contains(word), "{word} is not in {said}");
        }
        assert!(said.contains("offset: ") || said.contains("nothing was applied"), "{said}");
        assert_eq!(server.query("old", "SELECT count(*) FROM precious")?[0][0], "1", "{tail}");
        assert_eq!(server.query("old", "SELECT to_regclass('t') IS NULL")?[0][0], "t", "{tail}");
    }
    assert!(!std::path::Path::new("/tmp/dbferry-never-written").exists());
    // The source ends too early, at every place; and at its end everything is there.
    let whole = failing("INSERT INTO t VALUES (3, 3);\n");
    for cut in (0..whole.len() - END.len()).step_by(7) {
        let output =
            copy(&tool, "-", "", &url, &["--overwrite", "--format", "postgres"], &whole.as_bytes()[..cut]);
        assert_ne!(output.status.code(), Some(0), "cut at {cut}");
        assert_eq!(server.query("old", "SELECT count(*) FROM precious")?[0][0], "1", "cut at {cut}");
    }
    let said = expect(0, &copy(&tool, "-", "", &url, &["--overwrite"], whole.as_bytes()));
    assert!(said.contains("3 rows accepted"), "{said}");
    assert_eq!(
        server.query("old", "SELECT id, v FROM t ORDER BY id")?,
        [["1", "1"], ["2", "\\N"], ["3", "3"]]
    );
    assert_eq!(server.query("old", "SELECT to_regclass('precious') IS NULL")?[0][0], "t");
    Ok(())
}

fn hostile() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "target")?;
    let tool = Tool::postgres(&server);
    let url = server.url(server.admin(), "target")?;
    let mark = tool.join("mark");
    let touch = format!("touch {}", mark.display());
    for command in [
        format!("\\! {touch}"),
        format!("\\o |{touch}"),
        format!("SELECT 1 \\g |{touch}"),
        format!("\\copy t from program '{touch}'"),
        format!("\\set x `{touch}`"),
        "\\connect postgres".to_owned(),
        "\\i /etc/passwd".to_owned(),
        format!("\\unrestrict `{touch}`"),
    ] {
        let output = copy(
            &tool,
            "-",
            "",
            &url,
            &["--format", "postgres"],
            failing(&format!("{command}\n")).as_bytes(),
        );
        if !command.starts_with("\\unrestrict") {
            let said = expect(5, &output);
            assert!(said.contains("psql") && said.contains("offset: "), "{command}: {said}");
            assert!(is_empty(&server, "target"), "{command}");
        }
        assert!(!mark.exists(), "{command} was executed");
    }
    // The same words are data where they are data.
    let text = "CREATE TABLE w (x text);\nCOPY w (x) FROM stdin;\n\\\\! touch x\n\\\\connect y\n\\.\n";
    expect(
        0,
        &copy(
            &tool,
            "-",
            "",
            &url,
            &["--format", "postgres", "--overwrite"],
            format!("\\restrict k1\n{text}{END}\\unrestrict k1\n\n").as_bytes(),
        ),
    );
    assert_eq!(server.query("target", "SELECT x FROM w ORDER BY x")?, [["\\! touch x"], ["\\connect y"]]);
    Ok(())
}

/// After a kill. Backends that the postmaster leaves behind notice it only after a while.
pub(crate) fn restart(target: &mut PostgresServer) {
    let mut tries = 0;
    while let Err(error) = target.restart() {
        tries += 1;
        assert!(tries < 100, "{error}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn killed() -> TestResult {
    let source = test_servers::postgres()?;
    sample::create_database(&source, "bulk")?;
    sample::load_postgres_bulk(&source, "bulk", 12 << 20, 1)?;
    let mut target = test_servers::postgres()?;
    sample::create_database(&target, "back")?;
    let tool = Tool::postgres(&source);
    let (left, right) = (source.url(source.admin(), "bulk")?, target.url(target.admin(), "back")?);
    tool.expect(0, &left, &["copy", "env:DB", "bulk.sql.zst"]);
    let begun = Instant::now();
    expect(0, &copy(&tool, "bulk.sql.zst", "", &right, &[], b""));
    let whole = begun.elapsed();
    let mut ended = [0; 2];
    for share in moments(kills(10)) {
        let wait = whole.mul_f64(share);
        let mut command = tool.command("", &["copy", "bulk.sql.zst", "env:OTHER", "--overwrite"]);
        let child = command.env("OTHER", &right).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(wait.max(Duration::from_millis(5)));
        target.kill9();
        // A lost COMMIT is asked for again, which wants the server back.
        restart(&mut target);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => ended[0] += 1,
            Some(75 | 5) => ended[1] += 1,
            code => panic!("exit {code:?}: {said}"),
        }
        // Whatever happened, the one whole copy or the other is there.
        assert_equal(&tool, &left, &right);
    }
    assert!(ended[1] > 0, "no kill hit a load: {ended:?}");
    expect(0, &copy(&tool, "bulk.sql.zst", "", &right, &["--overwrite"], b""));
    assert_equal(&tool, &left, &right);
    // Into an empty database: nothing of a load that was killed is there, and to go on is to begin.
    target.sql("postgres", "DROP DATABASE back WITH (FORCE)")?;
    sample::create_database(&target, "back")?;
    let mut child = tool
        .command("", &["copy", "bulk.sql.zst", "env:OTHER"])
        .env("OTHER", &right)
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(whole.mul_f64(0.4));
    child.kill()?;
    child.wait()?;
    let mut tries = 0;
    let said = loop {
        // The server may still be at it.
        let output = copy(&tool, "bulk.sql.zst", "", &right, &["--resume", "-v"], b"");
        tries += 1;
        if output.status.code() == Some(0) || tries > 50 {
            break expect(0, &output);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(said.contains("one transaction"), "{said}");
    assert_equal(&tool, &left, &right);
    Ok(())
}

/// An archive of `pg_dump` in custom format, however it comes.
fn custom() -> TestResult {
    let source = test_servers::postgres()?;
    sample::load_postgres_shop(&source, "shop")?;
    let target = test_servers::postgres()?;
    target.sql("postgres", sample::ROLES)?;
    sample::create_database(&target, "back")?;
    let tool = Tool::postgres(&source);
    let (left, right) = (source.url(source.admin(), "shop")?, target.url(target.admin(), "back")?);
    // Through a pipe, and with the places of its data written back into its table of contents.
    tool.expect(0, &left, &["copy", "env:DB", "piped.dump", "--pg-format", "custom"]);
    for (file, level) in [("packed.dump", "9"), ("loose.dump", "0")] {
        let mut dump = source.client("pg_dump");
        dump.args(["--format=custom", "--compress", level, "--file"]).arg(tool.join(file)).arg("shop");
        assert!(dump.status()?.success());
    }
    let packed = std::fs::read(tool.join("packed.dump"))?;
    for (from, more, input) in [
        ("piped.dump", &[][..], &b""[..]),
        ("packed.dump", &["--overwrite", "--jobs", "2"], b""),
        ("loose.dump", &["--overwrite", "--jobs", "2", "--for", "rds-postgres"], b""),
        ("-", &["--overwrite"], &packed),
    ] {
        expect(0, &copy(&tool, from, "", &right, more, input));
        assert_equal(&tool, &left, &right);
    }
    // Cut anywhere, nothing of it arrives.
    for share in 1..8 {
        let cut = &packed[..packed.len() * share / 8];
        let output = copy(&tool, "-", "", &right, &["--overwrite"], cut);
        assert_ne!(output.status.code(), Some(0), "cut to {} bytes", cut.len());
        assert_equal(&tool, &left, &right);
    }
    let mut damaged = packed.clone();
    let at = damaged.len() / 2;
    damaged[at..at + 64].fill(0x55);
    assert_ne!(copy(&tool, "-", "", &right, &["--overwrite"], &damaged).status.code(), Some(0));
    assert_equal(&tool, &left, &right);
    // A file beside the database gets what the source has, so both at once is refused.
    let output = tool
        .command("", &["copy", "packed.dump", "env:OTHER", "x.dump", "--overwrite"])
        .env("OTHER", &right)
        .output()?;
    expect(2, &output);
    Ok(())
}

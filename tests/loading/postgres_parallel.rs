//! PostgreSQL over several connections: everything once, in its order, and marked as long as it is not whole.

use std::process::Stdio;
use std::time::{Duration, Instant};

use test_servers::{Needs, PostgresServer, TestResult, Trials, sample};

use crate::compare::assert_equal;
use crate::postgres::{END, is_empty, restart};
use crate::redis::{kills, moments};
use crate::run::{copy, expect};
use crate::tool::Tool;

const JOBS: &[&str] = &["--jobs", "3"];

pub(crate) fn trials(trials: Trials) -> Trials {
    const BOTH: &[Needs] = &[Needs::Postgres, Needs::PostgresUnstable];
    trials
        .with("postgres_parallel_15_into_18_like_rds", BOTH, into_rds)
        .with("postgres_parallel_nasty", &[Needs::Postgres], nasty)
        .with("postgres_parallel_keeps_what_has_an_order", &[Needs::Postgres], ordered)
        .with("postgres_parallel_removes_what_it_made", &[Needs::Postgres], removed)
        .with("postgres_parallel_connections_break", &[Needs::Postgres], broken)
        .with("postgres_parallel_killed_and_resumed", &[Needs::Postgres], resumed)
}

fn is_marked(server: &PostgresServer, db: &str) -> bool {
    !server.query(db, "SELECT 1 FROM pg_namespace WHERE nspname = 'dbferry_load'").unwrap().is_empty()
}

fn into_rds() -> TestResult {
    let source = test_servers::postgres()?;
    sample::load_postgres_shop(&source, "shop")?;
    // This target's administrator, a plain role, may create none.
    source.sql("shop", "DROP EVENT TRIGGER watch_ddl")?;
    let target = test_servers::postgres_like_rds(true)?;
    target.sql("postgres", sample::ROLES)?;
    let tool = Tool::postgres(&source);
    let (left, right) = (source.url(source.admin(), "shop")?, target.url(target.admin(), "app")?);
    let rds = [&["--for", "rds-postgres"], JOBS].concat();
    let said = expect(0, &copy(&tool, "env:DB", &left, &right, &rds, b""));
    assert!(said.contains("rows accepted"), "{said}");
    assert!(!is_marked(&target, "app"));
    assert_equal(&tool, &left, &right);
    assert_eq!(
        target.query("app", "SELECT relpersistence FROM pg_class WHERE relname = 'scratch'")?,
        [["u"]]
    );
    tool.expect(0, &left, &["copy", "env:DB", "shop.sql.zst"]);
    expect(2, &copy(&tool, "shop.sql.zst", "", &right, &rds, b""));
    target.load_as(target.admin(), "app", &b"CREATE SCHEMA more; CREATE TABLE more.t ()"[..])?;
    let over = [&rds[..], &["--overwrite"]].concat();
    expect(0, &copy(&tool, "shop.sql.zst", "", &right, &over, b""));
    assert_equal(&tool, &left, &right);
    Ok(())
}

fn nasty() -> TestResult {
    let server = test_servers::postgres()?;
    sample::load_postgres_nasty(&server, "nasty", 1 << 20)?;
    // Statements about indexes between the indexes.
    server.sql(
        "nasty",
        "CREATE TABLE public.parted (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
         CREATE TABLE public.low PARTITION OF public.parted FOR VALUES FROM (0) TO (1000);
         CREATE TABLE public.high PARTITION OF public.parted FOR VALUES FROM (1000) TO (MAXVALUE);
         CREATE INDEX words ON public.parted (v); COMMENT ON INDEX public.words IS 'of \"words\"';
         INSERT INTO public.parted SELECT i, md5(i::text) FROM generate_series(0, 5000) i;
         ALTER TABLE public.low CLUSTER ON low_pkey; ALTER TABLE public.high REPLICA IDENTITY USING INDEX high_pkey;
         CREATE TABLE public.refers (id int REFERENCES public.parted, own int UNIQUE REFERENCES public.refers (own));
         INSERT INTO public.refers SELECT i, i FROM generate_series(1, 900) i;
         CREATE VIEW public.grouped AS SELECT id, v, count(*) FROM public.low GROUP BY id;
         CREATE MATERIALIZED VIEW public.counted AS SELECT count(*) AS n FROM public.parted; CREATE UNIQUE INDEX ON public.counted (n)",
    )?;
    sample::create_database(&server, "back")?;
    let tool = Tool::postgres(&server);
    let (left, right) = (server.url(server.admin(), "nasty")?, server.url(server.admin(), "back")?);
    expect(0, &copy(&tool, "env:DB", &left, &right, &["--memory", "192MiB", "--jobs", "2"], b""));
    assert_equal(&tool, &left, &right);
    assert_eq!(
        server.query("back", "SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indisclustered OR indisreplident ORDER BY 1")?,
        [["high_pkey"], ["low_pkey"]]
    );
    Ok(())
}

/// Rows of tables that do something with each other arrive as psql brings them.
fn ordered() -> TestResult {
    let server = test_servers::postgres()?;
    let rows =
        |count: u32| (0..count).map(|row| format!("{row}\t{}\n", row / 2)).collect::<Vec<_>>().concat();
    let big = "x".repeat(100);
    let wide = (0..150_000).map(|row| format!("{row}\t{big}\n")).collect::<Vec<_>>().concat();
    let dump = format!(
        "CREATE TABLE public.heard (n serial, what text);\n\
         CREATE FUNCTION public.hear() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.heard (what) VALUES (NEW.id); RETURN NULL; END';\n\
         CREATE TABLE public.plain (id int, v text);\n\
         COPY public.plain (id, v) FROM stdin;\n{wide}\\.\n\
         CREATE TABLE public.tree (id int PRIMARY KEY, parent int REFERENCES public.tree (id));\n\
         COPY public.tree (id, parent) FROM stdin;\n{}\\.\n\
         CREATE TABLE public.loud (id int, v int);\n\
         CREATE TRIGGER t AFTER INSERT ON public.loud FOR EACH ROW EXECUTE FUNCTION public.hear();\n\
         COPY public.loud (id, v) FROM stdin;\n{}\\.\n\
         COPY public.plain (id, v) FROM stdin (FORMAT csv);\n7,\"a\nb\"\n\\.\n\
         BEGIN;\nSELECT pg_catalog.lo_create('4711');\nSELECT pg_catalog.lo_open('4711', 131072);\nSELECT pg_catalog.lowrite(0, '\\x010203');\nSELECT pg_catalog.lo_close(0);\nCOMMIT;\n\
         CREATE UNIQUE INDEX u ON public.loud USING btree (id);\n\
         ALTER TABLE public.loud ADD CONSTRAINT loud_u UNIQUE USING INDEX u;\n\
         INSERT INTO public.loud VALUES (-1, 0), (-2, 0);\n{END}",
        rows(3000),
        rows(500),
    );
    let tool = Tool::postgres(&server);
    for (db, more) in [("one", &[][..]), ("several", JOBS)] {
        sample::create_database(&server, db)?;
        let url = server.url(server.admin(), db)?;
        let args = [&["--format", "postgres"], more].concat();
        let said = expect(0, &copy(&tool, "-", "", &url, &args, dump.as_bytes()));
        assert!(said.contains("153503 rows accepted"), "{said}");
        let heard = server.query(db, "SELECT what FROM public.heard ORDER BY n")?;
        assert_eq!(heard.len(), 502);
        assert!(heard.iter().take(500).enumerate().all(|(at, row)| row[0] == at.to_string()), "{heard:?}");
        assert_eq!(server.query(db, "SELECT lo_get(4711)")?, [["\\x010203"]]);
    }
    assert_equal(&tool, &server.url(server.admin(), "one")?, &server.url(server.admin(), "several")?);
    Ok(())
}

fn removed() -> TestResult {
    let server = test_servers::postgres()?;
    sample::create_database(&server, "new")?;
    let tool = Tool::postgres(&server);
    let url = server.url(server.admin(), "new")?;
    let begin =
        "CREATE TABLE public.t (id int, v smallint);\nCOPY public.t (id, v) FROM stdin;\n1\t1\n2\t\\N\n\\.\n";
    let plain = |more: &[&'static str]| [&["--format", "postgres", "--jobs", "2"], more].concat();
    for (tail, words) in [
        (
            "CREATE TABLE public.u (v smallint);\nCOPY public.u (v) FROM stdin;\n3\n32768\n\\.\n",
            &["line 2", "column v", "32768", "table: public.u"][..],
        ),
        ("COPY public.t (id, v) FROM stdin;\n3\n\\.\n", &["missing data", "column \"v\""]),
        (
            "INSERT INTO public.t VALUES (1, 1);\nALTER TABLE ONLY public.t ADD CONSTRAINT p PRIMARY KEY (id);\n",
            &["(1)", "ADD CONSTRAINT", "statement: 4"],
        ),
        ("ALTER TABLE public.t OWNER TO nobody_here;\n", &["nobody_here"]),
        ("ROLLBACK;\n", &["ROLLBACK"]),
        (
            "CREATE TABLE public.c (id int PRIMARY KEY, o int REFERENCES public.c DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO public.c VALUES (1, 9);\n",
            &["c_o_fkey"],
        ),
    ] {
        let said =
            expect(5, &copy(&tool, "-", "", &url, &plain(&[]), format!("{begin}{tail}{END}").as_bytes()));
        for word in words {
            assert!(said.contains(word), "{word} is not in {said}");
        }
        assert!(!said.contains("one transaction"), "{said}");
        assert!(is_empty(&server, "new") && !is_marked(&server, "new"), "{tail}: {said}");
    }
    // The source ends too early, at many places.
    let whole = format!("{begin}ALTER TABLE ONLY public.t ADD CONSTRAINT p PRIMARY KEY (id);\n{END}");
    for cut in (0..whole.len() - END.len()).step_by(29) {
        let output = copy(&tool, "-", "", &url, &plain(&[]), &whole.as_bytes()[..cut]);
        assert_ne!(output.status.code(), Some(0), "cut at {cut}");
        assert!(is_empty(&server, "new") && !is_marked(&server, "new"), "cut at {cut}");
    }
    // Beside others nothing is removed, and the mark says so until somebody starts over.
    server.sql("new", "CREATE TABLE public.precious (id int); INSERT INTO public.precious VALUES (1)")?;
    let broken = format!("{begin}SELECT nothing_like_this();\n{END}");
    let said = expect(5, &copy(&tool, "-", "", &url, &plain(&["--into-existing"]), broken.as_bytes()));
    assert!(said.contains("dbferry_load") && said.contains("--overwrite"), "{said}");
    assert_eq!(server.query("new", "SELECT count(*) FROM precious")?[0][0], "1");
    for more in [&[][..], &["--into-existing"]] {
        let said = expect(2, &copy(&tool, "-", "", &url, &plain(more), whole.as_bytes()));
        assert!(said.contains("did not end") && said.contains("--resume"), "{said}");
    }
    expect(0, &copy(&tool, "-", "", &url, &plain(&["--overwrite"]), whole.as_bytes()));
    assert!(!is_marked(&server, "new"));
    assert_eq!(server.query("new", "SELECT id, v FROM t ORDER BY id")?, [["1", "1"], ["2", "\\N"]]);
    assert_eq!(server.query("new", "SELECT to_regclass('precious') IS NULL")?[0][0], "t");
    Ok(())
}

/// A table of several units, with indexes.
fn bulk(source: &PostgresServer) -> TestResult {
    sample::create_database(source, "bulk")?;
    sample::load_postgres_bulk(source, "bulk", 24 << 20, 1)?;
    source.sql("bulk", "CREATE INDEX ON bulk (customer); CREATE INDEX ON bulk (created, state)")?;
    Ok(())
}

fn broken() -> TestResult {
    let source = test_servers::postgres()?;
    bulk(&source)?;
    let target = test_servers::postgres()?;
    sample::create_database(&target, "back")?;
    let tool = Tool::postgres(&source);
    let (left, right) = (source.url(source.admin(), "bulk")?, target.url(target.admin(), "back")?);
    tool.expect(0, &left, &["copy", "env:DB", "bulk.sql.zst"]);
    let mut command = tool.command("", &["copy", "bulk.sql.zst", "env:OTHER", "--jobs", "2"]);
    let mut child = command.env("OTHER", &right).stderr(Stdio::piped()).spawn()?;
    let mut cut = 0;
    while child.try_wait()?.is_none() && cut < 6 {
        // Every second connection in the middle of its rows or its index.
        let found = target.query(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'back' AND application_name = 'dbferry' AND state = 'active' AND query ~ '^(COPY|CREATE INDEX|ALTER TABLE ONLY)' LIMIT 1",
        )?;
        cut += found.len();
        std::thread::sleep(Duration::from_millis(20));
    }
    expect(0, &child.wait_with_output()?);
    assert!(cut > 0, "nothing was cut");
    assert!(!is_marked(&target, "back"));
    assert_equal(&tool, &left, &right);
    Ok(())
}

/// The target is killed at any moment, the load with it as often as not, and a second run goes on.
fn resumed() -> TestResult {
    let source = test_servers::postgres()?;
    bulk(&source)?;
    sample::load_postgres_shop(&source, "shop")?;
    let mut target = test_servers::postgres()?;
    target.sql("postgres", sample::ROLES)?;
    let tool = Tool::postgres(&source);
    for db in ["bulk", "shop"] {
        tool.expect(0, &source.url(source.admin(), db)?, &["copy", "env:DB", &format!("{db}.sql.zst")]);
    }
    let right = target.url(target.admin(), "back")?;
    let mut gone_on = 0;
    for (at, share) in moments(kills(5)).enumerate() {
        let db = if at % 4 == 3 { "shop" } else { "bulk" };
        let archive = format!("{db}.sql.zst");
        let left = source.url(source.admin(), db)?;
        let afresh = |target: &PostgresServer| -> TestResult {
            target.sql("postgres", "DROP DATABASE IF EXISTS back WITH (FORCE)")?;
            Ok(sample::create_database(target, "back")?)
        };
        afresh(&target)?;
        let begun = Instant::now();
        expect(0, &copy(&tool, &archive, "", &right, JOBS, b""));
        let whole = begun.elapsed();
        afresh(&target)?;
        let mut command = tool.command("", &[&["copy", &archive, "env:OTHER"], JOBS].concat());
        let mut child = command.env("OTHER", &right).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(5)));
        target.kill9();
        if at % 2 == 0 {
            child.kill()?;
        }
        restart(&mut target);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(0) {
            // One that came when the target was gone has not begun.
            let begun = !said.contains("refuses connections");
            assert!(matches!(output.status.code(), None | Some(75)) || !begun, "{said}");
            gone_on += 1;
            // The first time to go on is interrupted as well, and has other connections.
            let mut command = tool.command("", &["copy", &archive, "env:OTHER", "--resume"]);
            let mut child = command.env("OTHER", &right).stderr(Stdio::null()).spawn()?;
            std::thread::sleep(whole.mul_f64(share / 2.0));
            child.kill()?;
            child.wait()?;
            // Another dump is not taken for the same, if there is something to hold it against.
            let other = if db == "shop" { "bulk.sql.zst" } else { "shop.sql.zst" };
            let marked = is_marked(&target, "back");
            if marked && target.query("back", "SELECT count(*) FROM dbferry_load.journal")?[0][0] != "0" {
                let said = expect(2, &copy(&tool, other, "", &right, &["--resume"], b""));
                assert!(said.contains("not the dump"), "{said}");
            }
            // The first time may have come to its end.
            let how = if marked || is_empty(&target, "back") { "--resume" } else { "--overwrite" };
            expect(0, &copy(&tool, &archive, "", &right, &[&[how], JOBS].concat(), b""));
        }
        assert!(!is_marked(&target, "back"));
        assert_equal(&tool, &left, &right);
    }
    assert!(gone_on > 0, "no kill hit a load");
    Ok(())
}

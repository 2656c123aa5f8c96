//! Round trips: dump through dbferry, restore with the stock client, compare schema and content.

use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::{Flavour, MySqlServer, Needs, PostgresServer, TestResult, Trials, sample};

use crate::tool::Tool;

/// Bytes of each of the widest values: the dump's line is twice as long and more.
const WIDE: u32 = 32 << 20;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("mariadb_comes_back_equal", &[Needs::MariaDb], || mysql_round_trip(&test_servers::mariadb()?))
        .with("mysql_comes_back_equal", &[Needs::MySql], || mysql_round_trip(&test_servers::mysql()?))
        .with("what_is_legal_and_rare_in_mariadb", &[Needs::MariaDb], || nasty(&test_servers::mariadb()?))
        .with("what_is_legal_and_rare_in_mysql", &[Needs::MySql], || nasty(&test_servers::mysql()?))
        .with("what_is_legal_and_rare_in_postgres_15", &[Needs::Postgres], || {
            nasty_postgres(&test_servers::postgres()?)
        })
        .with("what_is_legal_and_rare_in_postgres_18", &[Needs::PostgresUnstable], || {
            nasty_postgres(&test_servers::postgres_unstable()?)
        })
        .with("several_and_all_databases", &[Needs::MariaDb], || several(&test_servers::mariadb()?))
        .with("an_empty_database_is_carried", &[Needs::MariaDb, Needs::Postgres], empty)
        .with("mariadb_loads_into_restricted_mysql", &[Needs::MariaDb, Needs::MySql], || {
            managed(&test_servers::mariadb()?)
        })
        .with("mysql_loads_into_restricted_mysql", &[Needs::MySql], || managed(&test_servers::mysql()?))
        .with("definer_policies_on_a_live_server", &[Needs::MariaDb], policies)
        .with("postgres_15_comes_back_equal", &[Needs::Postgres], || {
            postgres_round_trip(&test_servers::postgres()?)
        })
        .with("postgres_18_comes_back_equal", &[Needs::PostgresUnstable], || {
            postgres_round_trip(&test_servers::postgres_unstable()?)
        })
        .with("a_cluster_by_pg_dumpall", &[Needs::Postgres], cluster)
        .with(
            "postgres_15_loads_into_restricted_18",
            &[Needs::Postgres, Needs::PostgresUnstable],
            managed_postgres,
        )
}

fn mysql_round_trip(server: &MySqlServer) -> TestResult {
    sample::load_shop(server, "shop")?;
    sample::load_shop_specials(server, "shop")?;
    let before = fingerprint::mysql(server, "shop", &MySqlView::default())?;
    let tool = Tool::mysql(server);
    let url = server.url(server.admin(), "shop")?;
    for (archive, engine) in
        [("client.sql.zst", "client"), ("shop.sql.zst", "native"), ("shop.sql.gz", "auto")]
    {
        tool.expect(0, &url, &["copy", "env:DB", archive, "--engine", engine]);
        tool.expect(0, "", &["verify", archive]);
        server.sql("DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
        server.load("back", tool.unpacked(archive))?;
        before.assert_same(&fingerprint::mysql(server, "back", &MySqlView::default())?);
    }
    let manifest = tool.manifest("shop.sql.zst");
    assert_eq!(manifest["parts"][0]["format"], "mysql");
    assert!(manifest["source"]["server"].as_str().is_some_and(|text| !text.is_empty()), "{manifest}");
    let inspected = tool.output("", &["inspect", "shop.sql.zst"]);
    let table = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(table.contains("customers") && table.contains("2000"), "{table}");
    Ok(())
}

/// Names with line breaks and ends of comments, bytes that are no UTF-8, rows of many MiB.
fn nasty(server: &MySqlServer) -> TestResult {
    sample::load_nasty(server, "nasty", WIDE)?;
    let tool = Tool::mysql(server);
    // As it is, and with every statement looked into and its definer changed.
    for (archive, more) in [
        ("n.sql", &["--engine", "client"][..]),
        ("n.sql.zst", &["--engine", "native"]),
        ("n.sql.gz", &["--definer", "set=root@localhost"]),
    ] {
        let mut args = vec!["copy", "env:DB", archive];
        args.extend(more);
        tool.expect(0, &server.url(server.admin(), "nasty")?, &args);
        tool.expect(0, "", &["verify", archive]);
        server.sql("DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
        server.load("back", tool.unpacked(archive))?;
        let view = MySqlView { without_definers: more.contains(&"--definer"), ..MySqlView::default() };
        fingerprint::mysql(server, "nasty", &view)?.assert_same(&fingerprint::mysql(server, "back", &view)?);
    }
    Ok(())
}

fn nasty_postgres(server: &PostgresServer) -> TestResult {
    sample::load_postgres_nasty(server, "nasty", WIDE)?;
    let tool = Tool::postgres(server);
    let before = fingerprint::postgres(server, "nasty", &PostgresView::default())?;
    for (archive, more) in [("n.sql.zst", &[][..]), ("n.sql.gz", &["--for", "rds-postgres"])] {
        let mut args = vec!["copy", "env:DB", archive];
        args.extend(more);
        tool.expect(0, &server.url(server.admin(), "nasty")?, &args);
        tool.expect(0, "", &["verify", archive]);
        server.sql("postgres", "DROP DATABASE IF EXISTS back")?;
        sample::create_database(server, "back")?;
        server.load("back", tool.unpacked(archive))?;
        let after = fingerprint::postgres(server, "back", &PostgresView::default())?;
        if more.is_empty() {
            before.assert_same(&after);
        } else {
            assert_eq!(before.rows(), after.rows());
        }
    }
    Ok(())
}

fn several(server: &MySqlServer) -> TestResult {
    server.sql(
        "CREATE DATABASE one; CREATE TABLE one.a (x int); INSERT INTO one.a VALUES (1),(2);
         CREATE DATABASE two; CREATE TABLE two.b (x int); INSERT INTO two.b VALUES (3);
         CREATE DATABASE three; CREATE TABLE three.c (x int);",
    )?;
    let tool = Tool::mysql(server);
    let url = server.url(server.admin(), "one")?;
    let rows = |target: &MySqlServer, sql: &str| -> Result<String, test_servers::Error> {
        Ok(format!("{:?}", target.query("", sql)?))
    };
    tool.expect(0, &url.replace("/one", "/one,two"), &["copy", "env:DB", "two.sql.zst"]);
    let fresh = test_servers::mariadb()?;
    fresh.load("", tool.unpacked("two.sql.zst"))?;
    assert_eq!(
        rows(&fresh, "SELECT * FROM one.a ORDER BY x")?,
        rows(server, "SELECT * FROM one.a ORDER BY x")?
    );
    assert_eq!(rows(&fresh, "SELECT * FROM two.b")?, rows(server, "SELECT * FROM two.b")?);
    assert_eq!(rows(&fresh, "SHOW DATABASES LIKE 'three'")?, "[]");
    tool.expect(0, url.strip_suffix("one").unwrap(), &["copy", "env:DB", "all.sql.zst"]);
    let fresh = test_servers::mariadb()?;
    fresh.load("", tool.unpacked("all.sql.zst"))?;
    assert_eq!(rows(&fresh, "SHOW DATABASES LIKE 'three'")?, "[[\"three\"]]");
    Ok(())
}

fn empty() -> TestResult {
    let mariadb = test_servers::mariadb()?;
    mariadb.sql("CREATE DATABASE empty")?;
    let tool = Tool::mysql(&mariadb);
    tool.expect(0, &mariadb.url(mariadb.admin(), "empty")?, &["copy", "env:DB", "m.sql.zst"]);
    tool.expect(0, "", &["verify", "m.sql.zst"]);
    let postgres = test_servers::postgres()?;
    sample::create_database(&postgres, "empty")?;
    let tool = Tool::postgres(&postgres);
    for args in [&["copy", "env:DB", "p.sql.zst"][..], &["copy", "env:DB", "p.dump", "--pg-format", "custom"]]
    {
        tool.expect(0, &postgres.url(postgres.admin(), "empty")?, args);
        tool.expect(0, "", &["verify", args[2]]);
    }
    Ok(())
}

/// An administrator in the shape of RDS loads the dump, and every object is there.
fn managed(source: &MySqlServer) -> TestResult {
    sample::load_shop(source, "shop")?;
    if source.flavour() == Flavour::MariaDb {
        generated_columns_are_told(source)?;
    }
    let target = test_servers::mysql_like_rds(true)?;
    target.sql("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
    let tool = Tool::mysql(source);
    let url = source.url(source.admin(), "shop")?;
    // Without rewriting the administrator is refused: otherwise this test would prove nothing.
    tool.expect(0, &url, &["copy", "env:DB", "asis.sql"]);
    assert!(target.load_as(target.admin(), "shop", tool.unpacked("asis.sql")).is_err());
    target
        .sql("DROP DATABASE shop; CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
    let said = tool.expect(0, &url, &["copy", "env:DB", "rds.sql.zst", "--for", "rds-mysql"]);
    assert!(said.contains("stripped ") && said.contains(" views"), "{said}");
    target.load_as(target.admin(), "shop", tool.unpacked("rds.sql.zst"))?;
    let objects = |server: &MySqlServer| {
        server.query(
            "",
            "SELECT 'table', table_name, table_type FROM information_schema.tables WHERE table_schema = 'shop'
             UNION SELECT 'routine', routine_name, routine_type FROM information_schema.routines WHERE routine_schema = 'shop'
             UNION SELECT 'trigger', trigger_name, concat(action_timing, ' ', event_manipulation) FROM information_schema.triggers WHERE trigger_schema = 'shop'
             UNION SELECT 'event', event_name, event_type FROM information_schema.events WHERE event_schema = 'shop'",
        )
    };
    // Sorted here: the two flavours collate their own catalogues differently.
    let (mut sent, mut arrived) = (objects(source)?, objects(&target)?);
    sent.sort();
    arrived.sort();
    assert!(sent.len() > 20, "{sent:?}");
    assert_eq!(sent, arrived, "every object arrives");
    let foreign = target.query(
        "",
        "SELECT definer FROM information_schema.views WHERE table_schema = 'shop' AND definer NOT LIKE 'admin@%'
         UNION SELECT definer FROM information_schema.triggers WHERE trigger_schema = 'shop' AND definer NOT LIKE 'admin@%'
         UNION SELECT definer FROM information_schema.routines WHERE routine_schema = 'shop' AND definer NOT LIKE 'admin@%'
         UNION SELECT definer FROM information_schema.events WHERE event_schema = 'shop' AND definer NOT LIKE 'admin@%'",
    )?;
    assert!(foreign.is_empty(), "{foreign:?}");
    // Content: rows by their own digests, table by table.
    let view = MySqlView { tables_only: true, ..MySqlView::default() };
    let (before, after) =
        (fingerprint::mysql(source, "shop", &view)?, fingerprint::mysql(&target, "shop", &view)?);
    let (before, after) = (before.rows(), after.rows());
    assert!(before.len() > 5, "{before:?}");
    assert_eq!(before, after);
    Ok(())
}

/// mariadb-dump writes the values of generated columns, which MySQL refuses. No stream can mend that without touching rows: it is told. The
/// native reader leaves them out.
fn generated_columns_are_told(source: &MySqlServer) -> TestResult {
    let tool = Tool::mysql(source);
    let url = source.url(source.admin(), "shop")?;
    let copy =
        |engine| tool.expect(0, &url, &["copy", "env:DB", engine, "--for", "rds-mysql", "--engine", engine]);
    let blocks =
        |said: &str| said.lines().any(|line| line.starts_with("blocker: ") && line.contains("generated"));
    let (client, native) = (copy("client"), copy("native"));
    assert!(blocks(&client) && !blocks(&native), "{client}\n{native}");
    Ok(())
}

fn policies() -> TestResult {
    let server = test_servers::mariadb()?;
    sample::load_shop(&server, "shop")?;
    let tool = Tool::mysql(&server);
    let url = server.url(server.admin(), "shop")?;
    server.create_user("app", "app's password")?;
    for (policy, sql) in [
        (
            "strip",
            "SELECT count(*) FROM information_schema.views WHERE table_schema = 'back' AND definer <> 'root@localhost'",
        ),
        (
            "invoker",
            "SELECT count(*) FROM information_schema.views WHERE table_schema = 'back' AND security_type <> 'INVOKER'",
        ),
        (
            "set=app@%",
            "SELECT count(*) FROM information_schema.views WHERE table_schema = 'back' AND definer <> 'app@%'",
        ),
    ] {
        tool.expect(0, &url, &["copy", "env:DB", "p.sql", "--definer", policy, "--overwrite"]);
        server.sql("DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
        server.load("back", tool.unpacked("p.sql"))?;
        let views =
            server.query("", "SELECT count(*) FROM information_schema.views WHERE table_schema = 'back'")?;
        assert_ne!(views[0][0], "0");
        assert_eq!(server.query("", sql)?[0][0], "0", "{policy}");
        let view = MySqlView { without_definers: true, without_security: true, tables_only: false };
        fingerprint::mysql(&server, "shop", &view)?.assert_same(&fingerprint::mysql(&server, "back", &view)?);
    }
    Ok(())
}

fn postgres_round_trip(server: &PostgresServer) -> TestResult {
    sample::load_postgres_shop(server, "shop")?;
    let before = fingerprint::postgres(server, "shop", &PostgresView::default())?;
    let tool = Tool::postgres(server);
    let url = server.url(server.admin(), "shop")?;
    for archive in ["shop.sql.zst", "shop.sql.gz"] {
        tool.expect(0, &url, &["copy", "env:DB", archive]);
        tool.expect(0, "", &["verify", archive]);
        server.sql("postgres", "DROP DATABASE IF EXISTS back")?;
        sample::create_database(server, "back")?;
        server.load("back", tool.unpacked(archive))?;
        before.assert_same(&fingerprint::postgres(server, "back", &PostgresView::default())?);
    }
    tool.expect(0, &url, &["copy", "env:DB", "shop.dump", "--pg-format", "custom"]);
    tool.expect(0, "", &["verify", "shop.dump"]);
    assert_eq!(tool.manifest("shop.dump")["parts"][0]["format"], "postgres-custom");
    server.sql("postgres", "DROP DATABASE back")?;
    sample::create_database(server, "back")?;
    let mut restore = server.client("pg_restore");
    let output = restore.args(["--exit-on-error", "-d", "back"]).arg(tool.join("shop.dump")).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    before.assert_same(&fingerprint::postgres(server, "back", &PostgresView::default())?);
    Ok(())
}

fn cluster() -> TestResult {
    let server = test_servers::postgres()?;
    sample::load_postgres_shop(&server, "shop")?;
    let tool = Tool::postgres(&server);
    let url = server.url(server.admin(), "shop")?;
    tool.expect(0, url.strip_suffix("/shop").unwrap(), &["copy", "env:DB", "all.sql.zst"]);
    tool.expect(0, "", &["verify", "all.sql.zst"]);
    let before = fingerprint::postgres(&server, "shop", &PostgresView::default())?;
    let fresh = test_servers::postgres()?;
    // The role that initdb made is in the dump too, so the first CREATE ROLE fails: psql goes on, as its users do.
    let mut psql = fresh.client("psql");
    let output = psql
        .args(["-q", "-d", "postgres", "-f"])
        .arg("/dev/stdin")
        .stdin(tool.unpacked("all.sql.zst"))
        .output()?;
    let errors: Vec<String> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.contains("ERROR") && !line.contains("role \"postgres\" already exists"))
        .map(str::to_owned)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    before.assert_same(&fingerprint::postgres(&fresh, "shop", &PostgresView::default())?);
    Ok(())
}

fn managed_postgres() -> TestResult {
    let source = test_servers::postgres()?;
    sample::load_postgres_shop(&source, "shop")?;
    // A managed server's own administrator may create event triggers; this target's, a plain role, may not.
    source.sql("shop", "DROP EVENT TRIGGER watch_ddl")?;
    let target = test_servers::postgres_like_rds(true)?;
    // Roles are no part of one database's dump; its row security names them.
    target.sql("postgres", sample::ROLES)?;
    let tool = Tool::postgres(&source);
    let url = source.url(source.admin(), "shop")?;
    // From the live server, and from a dump that exists already.
    tool.expect(0, &url, &["copy", "env:DB", "asis.sql.gz"]);
    tool.expect(0, &url, &["copy", "env:DB", "live.sql.zst", "--for", "rds-postgres"]);
    tool.expect(0, "", &["copy", "asis.sql.gz", "rewritten.sql.zst", "--for", "rds-postgres"]);
    assert!(
        target.load_as(target.admin(), "app", tool.unpacked("asis.sql.gz")).is_err(),
        "the target refuses nothing"
    );
    let view = PostgresView { without_owners: true, portable_only: true, describe_with: Some(&target) };
    let before = fingerprint::postgres(&source, "shop", &view)?;
    for archive in ["live.sql.zst", "rewritten.sql.zst"] {
        target.sql("postgres", "DROP DATABASE app")?;
        target.sql("postgres", "CREATE DATABASE app OWNER master TEMPLATE template0 ENCODING 'UTF8'")?;
        target.load_as(target.admin(), "app", tool.unpacked(archive))?;
        let after = fingerprint::postgres(&target, "app", &view)?;
        let (rows_before, rows_after) = (before.rows(), after.rows());
        assert!(rows_before.len() > 5, "{rows_before:?}");
        assert_eq!(rows_before, rows_after, "{archive}");
    }
    Ok(())
}

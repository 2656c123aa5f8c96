//! A dump as a directory of many files: what stock tools and dbferry itself make of it is what was there.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::{Flavour, MySqlOptions, MySqlServer, Needs, PostgresServer, TestResult, Trials, sample};

use crate::native::rounds;
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("layout_directory_of_mariadb", &[Needs::MariaDb], || {
            comes_back(&test_servers::mariadb()?, &["none", "gzip", "zstd"])
        })
        .with("layout_directory_of_mysql", &[Needs::MySql], || comes_back(&test_servers::mysql()?, &["zstd"]))
        .with("layout_directory_with_myloader", &[Needs::MariaDb, Needs::MyLoader], myloader)
        .with("layout_directory_of_several_databases", &[Needs::MariaDb], several)
        .with("layout_directory_of_postgres_15", &[Needs::Postgres], || {
            restored_by_psql(&test_servers::postgres()?, &["none", "gzip", "zstd"])
        })
        .with("layout_directory_of_postgres_18", &[Needs::PostgresUnstable], || {
            restored_by_psql(&test_servers::postgres_unstable()?, &["lz4"])
        })
        .with("layout_directory_killed_publishes_nothing", &[Needs::MariaDb], killed)
}

/// The files in the order in which a person would load them, decompressed by the stock tool.
fn script(tool: &Tool, archive: &str) -> Vec<u8> {
    let mut names: Vec<String> = fs::read_dir(tool.join(archive))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".sql"))
        .collect();
    let turn = |name: &str| {
        let endings = [
            "-schema-create.sql",
            "-schema.sql",
            "-schema-post.sql",
            "-schema-triggers.sql",
            "-schema-view.sql",
        ];
        // Rows come behind the tables.
        match endings.iter().position(|ending| name.contains(ending)) {
            None => 2,
            Some(place) if place > 1 => place + 1,
            Some(place) => place,
        }
    };
    names.sort_by_key(|name| (turn(name), name.clone()));
    let mut text = Vec::new();
    for name in names {
        let unpack = match name.rsplit_once('.').unwrap().1 {
            "gz" => "gzip",
            "zst" => "zstd",
            _ => "cat",
        };
        let option = if unpack == "cat" { "-u" } else { "-dc" };
        let output = Command::new(unpack)
            .arg(option)
            .stdin(fs::File::open(tool.join(archive).join(&name)).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}");
        text.extend(output.stdout);
    }
    text
}

fn comes_back(server: &MySqlServer, codecs: &[&str]) -> TestResult {
    sample::load_nasty(server, "n", 40)?;
    // A table that is cut into several files.
    sample::load_bulk(server, "n", 40 << 20, 7)?;
    server.sql_in("n", "ANALYZE TABLE bulk")?;
    let before = fingerprint::mysql(server, "n", &MySqlView::default())?;
    let fresh =
        "DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
    let tool = Tool::mysql(server);
    let url = server.url(server.admin(), "n")?;
    let back = server.url(server.admin(), "back")?;
    for codec in codecs {
        let args = [
            "copy",
            "env:DB",
            "d",
            "--overwrite",
            "--layout",
            "directory",
            "--readers",
            "3",
            "--compress",
            codec,
        ];
        tool.expect(0, &url, &args);
        let said = tool.expect(0, "", &["verify", "d"]);
        assert!(said.contains("verified: d"), "{said}");
        let names: Vec<String> = fs::read_dir(tool.join("d"))?
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        for start in
            ["n.bulk.00000.sql", "n.bulk.00001.sql", "n.bulk-schema.sql", "metadata", "manifest.json"]
        {
            assert!(names.iter().any(|name| name.starts_with(start)), "{start}: {names:?}");
        }
        let manifest: serde_json::Value = serde_json::from_slice(&fs::read(tool.join("d/manifest.json"))?)?;
        let rows: u64 = manifest["parts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|part| part["objects"]["n.bulk"].as_u64())
            .sum();
        assert_eq!(rows.to_string(), server.query("n", "SELECT COUNT(*) FROM bulk")?[0][0]);
        server.sql(fresh)?;
        server.load("back", std::io::Cursor::new(script(&tool, "d")))?;
        before.assert_same(&fingerprint::mysql(server, "back", &MySqlView::default())?);
    }
    // Read as one stream, it is a dump like any other.
    server.sql(fresh)?;
    tool.expect(0, &back, &["copy", "d", "env:DB"]);
    before.assert_same(&fingerprint::mysql(server, "back", &MySqlView::default())?);
    let output = tool.output("", &["inspect", "d"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("bulk"), "{said}");
    tool.expect(0, "", &["copy", "d", "one.sql.gz"]);
    server.sql(fresh)?;
    server.load("back", tool.unpacked("one.sql.gz"))?;
    before.assert_same(&fingerprint::mysql(server, "back", &MySqlView::default())?);

    // Definers go from every file; a file that is cut, changed or gone is found.
    tool.expect(
        0,
        &url,
        &["copy", "env:DB", "e", "--layout", "directory", "--definer", "strip", "--compress", "none"],
    );
    let text = String::from_utf8_lossy(&script(&tool, "e")).into_owned();
    let made = text.lines().filter(|line| line.starts_with("CREATE"));
    assert!(made.clone().count() > 3 && made.clone().all(|line| !line.contains("DEFINER=")));
    let victim = tool.join("e/n.bulk.00001.sql");
    let whole = fs::read(&victim)?;
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for bad in [&whole[..whole.len() - 1], &changed] {
        fs::write(&victim, bad)?;
        tool.expect(6, "", &["verify", "e"]);
    }
    fs::remove_file(&victim)?;
    tool.expect(6, "", &["verify", "e"]);
    server.sql(fresh)?;
    tool.expect(3, &back, &["copy", "e", "env:DB"]);
    for args in [
        &["copy", "env:DB", "-", "--layout", "directory"][..],
        &["copy", "env:DB", "x", "--layout", "directory", "--engine", "client"],
        &["copy", "one.sql.gz", "x", "--layout", "directory"],
    ] {
        tool.expect(2, &url, args);
    }
    // In a folder it gets a name of its own, without an ending.
    fs::create_dir(tool.join("folder"))?;
    tool.expect(
        0,
        &url,
        &["copy", "env:DB", "folder/", "--layout", "directory", "--tables", "bulk", "--schema-only"],
    );
    let inside: Vec<_> = fs::read_dir(tool.join("folder"))?.map(|entry| entry.unwrap().path()).collect();
    assert!(inside.len() == 1 && inside[0].join("n.bulk-schema.sql.zst").is_file(), "{inside:?}");
    Ok(())
}

/// mydumper's own loader, which reads no DELIMITER.
fn myloader() -> TestResult {
    let server = test_servers::mariadb()?;
    server.sql(
        "CREATE DATABASE m CHARACTER SET utf8mb4; USE m;
         CREATE TABLE a (id int PRIMARY KEY, t text, b varbinary(300), f float, ts timestamp NULL) ENGINE=InnoDB;
         INSERT INTO a VALUES (1, 'x;\\n-- y', 0x00FF0A3B5C27, 1.234567, '2024-03-31 02:30:00'), (2, '日本', NULL, -0e0, NULL);
         CREATE TABLE empty (a int); CREATE VIEW w AS SELECT * FROM v; ",
    )
    .ok();
    server.sql(
        "USE m; CREATE TABLE IF NOT EXISTS empty (a int); CREATE VIEW z AS SELECT id, t FROM a; CREATE VIEW b AS SELECT id FROM z;
         CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.t = CONCAT(NEW.t, '!'); CREATE PROCEDURE p() SELECT 'one';
         CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1;",
    )?;
    sample::load_bulk(&server, "m", 30 << 20, 5)?;
    let before = fingerprint::mysql(&server, "m", &MySqlView::default())?;
    let tool = Tool::mysql(&server);
    let url = server.url(server.admin(), "m")?;
    for codec in ["none", "gzip"] {
        tool.expect(
            0,
            &url,
            &["copy", "env:DB", "d", "--overwrite", "--layout", "directory", "--compress", codec],
        );
        server.sql("DROP DATABASE IF EXISTS back; CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
        let output = Command::new("myloader")
            .args(["--host", "127.0.0.1", "--port", &server.port().to_string(), "--user", server.admin()])
            .args(["--password", &server.password(server.admin())?, "--database", "back", "--threads", "2"])
            .arg("--directory")
            .arg(tool.join("d"))
            .env("HOME", tool.path())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("rror"), "{codec}: {said}");
        before.assert_same(&fingerprint::mysql(&server, "back", &MySqlView::default())?);
    }
    Ok(())
}

/// Of several databases every file says where it belongs.
fn several() -> TestResult {
    let server = test_servers::mariadb()?;
    sample::load_nasty(&server, "one", 10)?;
    sample::load_nasty(&server, "two.x", 10)?;
    let view = MySqlView::default();
    let before = [fingerprint::mysql(&server, "one", &view)?, fingerprint::mysql(&server, "two.x", &view)?];
    let tool = Tool::mysql(&server);
    let url = format!("{},two%2Ex", server.url(server.admin(), "one")?);
    tool.expect(0, &url, &["copy", "env:DB", "d", "--layout", "directory", "--compress", "none"]);
    tool.expect(0, "", &["verify", "d"]);
    server.sql("DROP DATABASE one; DROP DATABASE `two.x`")?;
    server.load("", std::io::Cursor::new(script(&tool, "d")))?;
    before[0].assert_same(&fingerprint::mysql(&server, "one", &view)?);
    before[1].assert_same(&fingerprint::mysql(&server, "two.x", &view)?);
    Ok(())
}

/// `psql -f restore.sql` alone, whose programs are the stock ones.
fn restored_by_psql(server: &PostgresServer, codecs: &[&str]) -> TestResult {
    server.sql("postgres", sample::ROLES)?;
    sample::load_postgres_nasty(server, "n", 300)?;
    sample::load_postgres_bulk(server, "n", 30 << 20, 9)?;
    server.sql(
        "n",
        "CREATE SCHEMA s; CREATE TABLE s.\"it's $x\" (id serial PRIMARY KEY, \"a b\" text); INSERT INTO s.\"it's $x\" (\"a b\") VALUES (E'\\\\.'), (NULL);
         CREATE TABLE s.child (id int REFERENCES s.\"it's $x\", g int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO s.child VALUES (1), (2);
         CREATE TABLE s.guarded (a int); INSERT INTO s.guarded VALUES (1); REVOKE ALL ON s.guarded FROM CURRENT_USER; ALTER TABLE s.guarded OWNER TO shop_owner; REVOKE ALL ON s.guarded FROM shop_owner;
         CREATE MATERIALIZED VIEW s.m AS SELECT count(*) FROM s.child; SELECT lo_from_bytea(0, '\\x6c617267650041'::bytea); ANALYZE",
    )?;
    let before = fingerprint::postgres(server, "n", &PostgresView::default())?;
    let tool = Tool::postgres(server);
    let url = server.url(server.admin(), "n")?;
    for codec in codecs {
        tool.expect(
            0,
            &url,
            &[
                "copy",
                "env:DB",
                "d",
                "--overwrite",
                "--layout",
                "directory",
                "--readers",
                "3",
                "--compress",
                codec,
            ],
        );
        let said = tool.expect(0, "", &["verify", "d"]);
        assert!(said.contains("verified: d"), "{said}");
        let manifest: serde_json::Value = serde_json::from_slice(&fs::read(tool.join("d/manifest.json"))?)?;
        let parts = manifest["parts"].as_array().unwrap();
        let rows: u64 = parts.iter().filter_map(|part| part["objects"]["public.bulk"].as_u64()).sum();
        assert_eq!(rows.to_string(), server.query("n", "SELECT count(*) FROM bulk")?[0][0]);
        assert!(
            parts
                .iter()
                .filter(|part| part["path"].as_str().unwrap().starts_with("data/public.bulk."))
                .count()
                > 2
        );
        server.sql("postgres", "DROP DATABASE IF EXISTS back")?;
        sample::create_database(server, "back")?;
        let restore = |dir: &std::path::Path| {
            server
                .client("psql")
                .args(["--no-psqlrc", "--quiet", "-f", "restore.sql", "--dbname", "back"])
                .current_dir(dir)
                .output()
        };
        let output = restore(&tool.join("d"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("ERROR"), "{codec}: {said}");
        before.assert_same(&fingerprint::postgres(server, "back", &PostgresView::default())?);
        // A file that is missing ends the restore.
        let gone = parts
            .iter()
            .find_map(|part| part["path"].as_str().filter(|path| path.contains("bulk.00001")))
            .unwrap();
        fs::remove_file(tool.join("d").join(gone))?;
        tool.expect(6, "", &["verify", "d"]);
        server.sql("postgres", "DROP DATABASE back")?;
        sample::create_database(server, "back")?;
        assert!(!restore(&tool.join("d"))?.status.success(), "{codec}");
    }
    tool.expect(2, &url, &["copy", "env:DB", "x", "--layout", "directory", "--encrypt-to", "age1x"]);
    tool.expect(2, "", &["copy", "d", "y.sql"]);
    // Chosen tables, and definitions alone.
    tool.expect(
        0,
        &url,
        &[
            "copy",
            "env:DB",
            "few",
            "--layout",
            "directory",
            "--tables",
            "s.*",
            "--where",
            "child=id > 1",
            "--compress",
            "none",
        ],
    );
    let names: Vec<String> = fs::read_dir(tool.join("few/data"))?
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.len() == 3 && names.contains(&"s.it%27s%20%24x.00000.copy".to_owned()), "{names:?}");
    assert_eq!(fs::read_to_string(tool.join("few/data/s.child.00000.copy"))?, "2\n");
    tool.expect(0, &url, &["copy", "env:DB", "shape", "--layout", "directory", "--schema-only"]);
    assert!(!tool.join("shape/data").exists());
    Ok(())
}

/// Connections killed by the server's administrator at any moment.
fn killed() -> TestResult {
    let mut options = MySqlOptions::new(Flavour::MariaDb);
    options.binlog = true;
    let server = MySqlServer::start(&options)?;
    sample::load_bulk(&server, "d", 48 << 20, 3)?;
    let url = server.url(server.admin(), "d")?;
    let all = server.query("d", "SELECT COUNT(*) FROM bulk")?;
    let mut failed = 0;
    for round in 0..rounds(8) {
        let tool = Tool::mysql(&server);
        let child = tool
            .command(&url, &["copy", "env:DB", "d", "--layout", "directory", "--readers", "3"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_millis(40 + (round as u64 * 97) % 700));
        let ids = server.query(
            "",
            "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND INFO LIKE 'SELECT%bulk%'",
        );
        let ids = ids.unwrap_or_default();
        if let Some(id) = ids.get(round % ids.len().max(1)) {
            let how = if round % 2 == 0 { "KILL" } else { "KILL QUERY" };
            server.sql(format!("{how} {}", id[0])).ok();
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            tool.expect(0, "", &["verify", "d"]);
            let manifest: serde_json::Value =
                serde_json::from_slice(&fs::read(tool.join("d/manifest.json"))?)?;
            let parts = manifest["parts"].as_array().unwrap();
            let rows: u64 = parts.iter().filter_map(|part| part["objects"]["d.bulk"].as_u64()).sum();
            assert_eq!(rows.to_string(), all[0][0]);
        } else {
            failed += 1;
            assert_eq!(output.status.code(), Some(75), "{said}");
            assert_eq!(tool.names(), Vec::<String>::new(), "{said}");
        }
    }
    assert!(failed > 0, "no kill hit a running dump");
    Ok(())
}

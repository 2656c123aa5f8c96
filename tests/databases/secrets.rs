//! No password in the arguments of any process, in what is said, or in what is written.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use test_servers::{Needs, TestResult, Trials, sample};

use crate::tool::Tool;

const PASSWORD: &str = "s3cret'\"\\ #pa$$word";

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("no_mysql_password_is_seen", &[Needs::MariaDb], || {
            let server = test_servers::mariadb()?;
            sample::load_bulk(&server, "shop", 40 << 20, 1)?;
            server.create_user("carrier", PASSWORD)?;
            server.sql("GRANT ALL ON *.* TO carrier@'%'")?;
            let url = server.url("carrier", "shop")?;
            watched(&Tool::mysql(&server), &url, "native", "dbferry")?;
            watched(&Tool::mysql(&server), &url, "client", "mariadb-dump")
        })
        .with("no_mysql_9_password_is_seen", &[Needs::MySql], || {
            let server = test_servers::mysql()?;
            sample::load_bulk(&server, "shop", 40 << 20, 1)?;
            server.create_user("carrier", PASSWORD)?;
            server.sql("GRANT ALL ON *.* TO carrier@'%'")?;
            let url = server.url("carrier", "shop")?;
            watched(&Tool::mysql(&server), &url, "native", "dbferry")?;
            watched(&Tool::mysql(&server), &url, "client", "mysqldump")
        })
        .with("no_postgres_password_is_seen", &[Needs::Postgres], || {
            let server = test_servers::postgres()?;
            sample::create_database(&server, "shop")?;
            sample::load_postgres_bulk(&server, "shop", 40 << 20, 1)?;
            server.create_role("carrier", PASSWORD, "SUPERUSER")?;
            let url = server.url("carrier", "shop")?;
            watched(&Tool::postgres(&server), &url, "auto", "pg_dump")
        })
}

/// Whatever form of it could slip out: as it is, percent-encoded, or its telling middle.
fn holds_secret(text: &str) -> bool {
    text.contains(PASSWORD)
        || text.contains("s3cret")
        || text.contains("pa$$word")
        || text.contains("pa%24%24word")
}

fn watched(tool: &Tool, url: &str, engine: &str, client: &str) -> TestResult {
    let mut child = tool
        .command(url, &["copy", "env:DB", "x.sql.zst", "-v", "--engine", engine])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut seen_client = false;
    let mut looks = 0;
    let deadline = Instant::now() + Duration::from_secs(120);
    while child.try_wait()?.is_none() {
        assert!(Instant::now() < deadline, "the run does not end");
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            // Processes come and go while they are looked at.
            let Ok(line) = fs::read(path.join("cmdline")) else { continue };
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!holds_secret(&line), "{}: {line}", path.display());
            seen_client |= line.contains(client);
        }
        looks += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(seen_client, "{client} was never seen in {looks} looks");
    assert!(!holds_secret(&said) && !holds_secret(&String::from_utf8_lossy(&output.stdout)));
    let manifest = fs::read_to_string(tool.join("x.sql.zst.manifest.json"))?;
    assert!(!holds_secret(&manifest), "{manifest}");
    // And nothing is left of whatever carried it to the client.
    for dir in ["/tmp", "/dev/shm", "/run"] {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.to_string_lossy().into_owned();
            if path.is_file() && name.contains("dbferry") {
                let text = fs::read(&path).unwrap_or_default();
                assert!(!holds_secret(&String::from_utf8_lossy(&text)), "{name}");
            }
        }
    }
    // Errors do not say it either.
    let wrong = url.replacen("@127.0.0.1:", "@127.0.0.1:1", 1);
    let output = tool.output(&wrong, &["copy", "env:DB", "y.sql.zst"]);
    assert_ne!(output.status.code(), Some(0));
    assert!(!holds_secret(&String::from_utf8_lossy(&output.stderr)));
    Ok(())
}

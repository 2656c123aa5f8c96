//! `dbferry bench` of live servers: what it says, what it leaves (nothing, at either end), and when it ends.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::{Needs, RedisFlavour, TestResult, Trials, sample};

use crate::tool::Tool;

const PASSWORD: &str = "s3cret-of-bench";
const CONNECTED: &str = "SELECT 1 FROM information_schema.processlist WHERE user = 'carrier'";

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("bench_of_mariadb", &[Needs::MariaDb], mariadb)
        .with("bench_of_postgres", &[Needs::Postgres], postgres)
        .with("bench_of_redis", &[Needs::Redis], redis)
        .with("bench_of_mariadb_interrupted", &[Needs::MariaDb], interrupted)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Runs it and returns its document, after a look at what holds for every one.
fn bench(tool: &Tool, url: &str, more: &[&str]) -> Value {
    let began = Instant::now();
    let mut args = vec!["bench", "env:DB"];
    args.extend(more);
    let output = tool.output(url, &args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let out = String::from_utf8(output.stdout).unwrap();
    for text in [&said, &out] {
        assert!(!text.contains(PASSWORD), "a password: {text}");
    }
    let document: Value = serde_json::from_str(&out).unwrap();
    let limit = number(&document["time_limit_seconds"]);
    // The limit is kept where the machine lets it be; several tests share this one.
    assert!(began.elapsed().as_secs_f64() < limit * 2.0 + 40.0, "{:?} of {limit}", began.elapsed());
    for m in document["measurements"].as_array().unwrap() {
        assert!(m["error"].is_null(), "{m}");
        let (raw, stored) = (number(&m["raw_bytes"]), number(&m["stored_bytes"]));
        assert!(raw > 0.0 && number(&m["seconds"]) > 0.0, "{m}");
        if m["setting"]["compress"].as_str().is_some_and(|name| name != "none") {
            assert!(stored < raw, "{m}");
        }
    }
    let of = |kind: &str| {
        document["measurements"].as_array().unwrap().iter().filter(|m| m["kind"] == kind).count()
    };
    assert!(of("first") == 1 && of("together") > 0 && of("chosen") == 1, "{document}");
    let command = document["choice"]["command"].as_str().unwrap();
    assert!(command.starts_with("dbferry copy env:DB "), "{command}");
    document
}

fn readers(document: &Value) -> Vec<u64> {
    let source = document["measurements"].as_array().unwrap().iter().filter(|m| m["kind"] == "source");
    source.filter_map(|m| m["setting"]["readers"].as_u64()).collect()
}

/// The servers of the tests run on this machine and are found by the port that they listen on.
fn sees_the_server(document: &Value) {
    assert!(number(&document["choice"]["server_cpu_seconds_per_gb"]) > 0.0, "{}", document["choice"]);
    let read = document["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "read").unwrap();
    assert!(number(&read["server_cpu_seconds_per_gb"]) > 0.0, "{read}");
}

fn is_empty(folder: &Path) {
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?} was left");
}

/// Waits until nobody of that name is connected any more.
fn nobody(connected: impl Fn() -> Result<usize, Box<dyn std::error::Error>>) -> TestResult {
    let began = Instant::now();
    while connected()? > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "connections were left");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn mariadb() -> TestResult {
    let server = test_servers::mariadb()?;
    sample::load_shop_of(&server, "shop", 200)?;
    sample::load_bulk(&server, "shop", 40 << 20, 1)?;
    server.create_user("carrier", PASSWORD)?;
    server.sql("GRANT ALL ON *.* TO carrier@'%'")?;
    let before = fingerprint::mysql(&server, "shop", &MySqlView::default())?;
    let tool = Tool::mysql(&server);
    fs::create_dir(tool.join("out"))?;
    let url = server.url("carrier", "shop")?;
    let document = bench(
        &tool,
        &url,
        &["out/", "--time", "10s", "--json", "--html", "page.html", "--", "--for", "rds-mysql"],
    );
    assert_eq!(readers(&document), [1, 2, 4]);
    sees_the_server(&document);
    assert!(number(&document["choice"]["rows_per_second"]) > 0.0);
    assert!(document["choice"]["command"].as_str().unwrap().contains("out/ --for rds-mysql --readers"));
    let page = fs::read_to_string(tool.join("page.html"))?;
    assert!(!page.contains(PASSWORD) && page.contains("the server"), "{page:.2000}");
    is_empty(&tool.join("out"));
    fingerprint::mysql(&server, "shop", &MySqlView::default())?.assert_same(&before);
    nobody(|| Ok(server.query("", CONNECTED)?.len()))?;
    // What is fixed is not tried.
    let document =
        bench(&tool, &url, &["--time", "4s", "--json", "--", "--readers", "3", "--compress", "lz4"]);
    assert!(readers(&document).is_empty());
    assert!(document["choice"]["command"].as_str().unwrap().ends_with("DEST --readers 3 --compress lz4"));
    Ok(())
}

fn postgres() -> TestResult {
    let server = test_servers::postgres()?;
    sample::load_postgres_shop_of(&server, "shop", 200)?;
    sample::load_postgres_bulk(&server, "shop", 40 << 20, 1)?;
    server.create_role("carrier", PASSWORD, "SUPERUSER")?;
    let before = fingerprint::postgres(&server, "shop", &PostgresView::default())?;
    let tool = Tool::postgres(&server);
    let document = bench(&tool, &server.url("carrier", "shop")?, &["--time", "10s", "--json"]);
    assert_eq!(readers(&document), [1, 2, 4]);
    sees_the_server(&document);
    assert!(number(&document["choice"]["rows_per_second"]) > 0.0);
    assert!(tool.names().is_empty(), "{:?}", tool.names());
    fingerprint::postgres(&server, "shop", &PostgresView::default())?.assert_same(&before);
    nobody(|| Ok(server.query("shop", "SELECT 1 FROM pg_stat_activity WHERE usename = 'carrier'")?.len()))?;
    let slots = server
        .query("shop", "SELECT 1 FROM pg_replication_slots UNION ALL SELECT 1 FROM pg_prepared_xacts")?;
    assert!(slots.is_empty());
    Ok(())
}

fn redis() -> TestResult {
    let server = test_servers::redis(RedisFlavour::Redis7)?;
    let script =
        "for i = 1, 60000 do redis.call('SET', 'k' .. i, string.rep(redis.sha1hex(i), 8)) end return 1";
    server.eval(0, script, &[])?;
    let digest = || server.ask(&["DEBUG", "DIGEST"]);
    let before = digest()?;
    let tool = Tool::new(Path::new("/usr/bin"));
    fs::create_dir(tool.join("out"))?;
    let document = bench(&tool, &server.url(), &["out/x.rdb", "--time", "20s", "--json"]);
    sees_the_server(&document);
    assert_eq!(document["source"]["kind"], "redis");
    is_empty(&tool.join("out"));
    assert_eq!(digest()?, before);
    nobody(|| {
        let replicas = server.ask(&["CLIENT", "LIST", "TYPE", "replica"])?;
        Ok(replicas.lines().filter(|line| !line.trim().is_empty()).count())
    })
}

fn interrupted() -> TestResult {
    let server = test_servers::mariadb()?;
    sample::load_bulk(&server, "shop", 40 << 20, 1)?;
    server.create_user("carrier", PASSWORD)?;
    server.sql("GRANT ALL ON *.* TO carrier@'%'")?;
    let before = fingerprint::mysql(&server, "shop", &MySqlView::default())?;
    let tool = Tool::mysql(&server);
    fs::create_dir(tool.join("out"))?;
    let url = server.url("carrier", "shop")?;
    for wait in [300, 2000, 6000] {
        let mut child = tool
            .command(&url, &["bench", "env:DB", "out/", "--time", "20s", "-q"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(wait));
        kill_process(Pid::from_raw(i32::try_from(child.id())?).ok_or("no pid")?, Signal::INT)?;
        assert_eq!(child.wait()?.code(), Some(130), "after {wait} ms");
        is_empty(&tool.join("out"));
        assert_eq!(tool.names(), ["out"]);
    }
    nobody(|| Ok(server.query("", CONNECTED)?.len()))?;
    // No lock was left either: it can be written to at once.
    server.sql_in("shop", "CREATE TABLE written_afterwards (a int); DROP TABLE written_afterwards")?;
    fingerprint::mysql(&server, "shop", &MySqlView::default())?.assert_same(&before);
    Ok(())
}

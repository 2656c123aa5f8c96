//! The whole set of a 3scale installation archived by one job file from real servers, to an S3 server and to a folder like a volume: encrypted, pruned,
//! drilled, and restored with stock programs alone.

use std::fs;
use std::process::Command;

use serde_json::Value;
use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::s3::{ACCESS_KEY, FakeS3, Quirks, SECRET_KEY};
use test_servers::{Needs, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials, sample};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with(
            "the_3scale_set_goes_out_by_one_job_file_and_comes_back_with_stock_programs",
            &[Needs::MariaDb, Needs::Postgres, Needs::Redis],
            whole_set,
        )
        .with(
            "a_drill_restores_into_a_server_of_its_own",
            &[Needs::MariaDb, Needs::Postgres, Needs::Redis],
            drills,
        )
}

const JOBS: &str = r#"
memory = "1GiB"
parallel = 3

[defaults]
to = "env:TO"
encrypt_to = "key.pub"
keep = { last = 2 }

[jobs.system-mysql]
from = "env:SYSTEM_DATABASE_URL"

[jobs.zync-database]
from = "env:ZYNC_DATABASE_URL"

[jobs.backend-redis]
from = "env:BACKEND_REDIS_URL"
options = ["--redis-db", "0,1"]

[jobs.system-redis]
from = "env:SYSTEM_REDIS_URL"

[jobs.system-storage]
from = "system-storage"
"#;

/// Runs a line of stock programs.
fn stock(tool: &Tool, line: &str) -> Vec<u8> {
    let out = Command::new("sh").args(["-c", line]).current_dir(tool.path()).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

fn whole_set() -> TestResult {
    let (system, zync) = (test_servers::mariadb()?, test_servers::postgres()?);
    let (backend, queue) =
        (test_servers::redis(RedisFlavour::Redis7)?, test_servers::redis(RedisFlavour::Redis7)?);
    sample::load_shop(&system, "system")?;
    sample::load_postgres_shop(&zync, "zync")?;
    let fill = "for i = 1, 500 do redis.call('SET', ARGV[1] .. i, string.rep('v', i)) end";
    backend.eval(0, fill, &["data:"])?;
    backend.eval(1, fill, &["queue:"])?;
    queue.eval(1, fill, &["sidekiq:"])?;
    let tool = Tool::mysql(&system);
    fs::create_dir_all(tool.join("system-storage/provider/2026")).unwrap();
    fs::write(tool.join("system-storage/provider/2026/logo.png"), vec![7; 100_000]).unwrap();
    fs::write(tool.join("system-storage/.hidden"), "kept").unwrap();
    stock(&tool, "age-keygen -o key.txt 2>/dev/null && age-keygen -y key.txt > key.pub");
    fs::create_dir(tool.join("volume")).unwrap();
    fs::write(tool.join("jobs.toml"), JOBS).unwrap();
    let store = FakeS3::start(Quirks::default())?;
    let run = |to: &str, args: &[&str], code: i32| {
        let mut command = tool.command("", args);
        command
            .env("TO", to)
            .env("SYSTEM_DATABASE_URL", system.url(system.admin(), "system").unwrap())
            .env("ZYNC_DATABASE_URL", zync.url(zync.admin(), "zync").unwrap())
            .env("BACKEND_REDIS_URL", backend.url())
            .env("SYSTEM_REDIS_URL", format!("{}/1", queue.url().trim_end_matches('/')))
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env(
                "PATH",
                format!(
                    "{}:{}:{}",
                    system.client_dir().display(),
                    zync.client_dir().display(),
                    std::env::var("PATH").unwrap()
                ),
            );
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = format!("file://{}/", tool.join("volume").join("{job}").display());
    for to in [folder.as_str(), &store.url("3scale/{job}/")] {
        for _ in 0..3 {
            let summary: Value = serde_json::from_str(&run(to, &["run", "jobs.toml", "--json"], 0)).unwrap();
            assert_eq!(summary["jobs"].as_array().unwrap().len(), 5);
            // The names of archives go by the second.
            std::thread::sleep(std::time::Duration::from_millis(1100));
        }
    }
    for place in ["volume".to_owned(), store.url("3scale/")] {
        let listed: Value = serde_json::from_str(&run("", &["ls", &place, "--json"], 0)).unwrap();
        let archives = listed["archives"].as_array().unwrap();
        assert_eq!(archives.len(), 10, "two of each stay: {listed}");
        assert!(listed["strange"].as_array().unwrap().is_empty(), "{listed}");
        for archive in archives {
            assert!(archive["encrypted"].as_str().is_some_and(|to| to.starts_with("age1")), "{archive}");
            assert_eq!(archive["standing"]["state"], "verified", "{archive}");
            let name = archive["name"].as_str().unwrap();
            let address = if place == "volume" {
                format!("volume/{name}")
            } else {
                store.url(&format!("3scale/{name}"))
            };
            run("", &["verify", &address, "--identity", "key.txt"], 0);
            run("", &["verify", &address], 0);
        }
        let found = run("", &["gc", &place, "--older-than", "0s", "--json"], 0);
        assert!(!found.contains(".sql") && !found.contains("upload_id"), "{found}");
    }
    for (key, object) in store.objects() {
        assert!(
            key.ends_with(".json") || object.data.starts_with(b"age-encryption.org/v1\n"),
            "{key} is not encrypted"
        );
    }
    // Stock programs alone, from the folder.
    let newest = |job: &str, ending: &str| {
        let entries = fs::read_dir(tool.join("volume").join(job)).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().path().display().to_string())
            .filter(|n| n.ends_with(ending))
            .collect();
        names.sort();
        names.pop().unwrap()
    };
    let before = fingerprint::mysql(&system, "system", &MySqlView::default())?;
    stock(
        &tool,
        &format!("age -d -i key.txt {} | zstd -d > system.sql", newest("system-mysql", ".sql.zst.age")),
    );
    system.sql("CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
    system.load("back", fs::File::open(tool.join("system.sql")).unwrap())?;
    before.assert_same(&fingerprint::mysql(&system, "back", &MySqlView::default())?);
    let before = fingerprint::postgres(&zync, "zync", &PostgresView::default())?;
    stock(
        &tool,
        &format!("age -d -i key.txt {} | zstd -d > zync.sql", newest("zync-database", ".sql.zst.age")),
    );
    zync.sql("postgres", "CREATE DATABASE back")?;
    zync.load("back", fs::File::open(tool.join("zync.sql")).unwrap())?;
    before.assert_same(&fingerprint::postgres(&zync, "back", &PostgresView::default())?);
    for (job, counts) in [("backend-redis", [500, 500]), ("system-redis", [0, 500])] {
        stock(&tool, &format!("age -d -i key.txt {} > {job}.rdb", newest(job, ".rdb.age")));
        let options = RedisOptions {
            load: Some(tool.join(&format!("{job}.rdb"))),
            ..RedisOptions::new(RedisFlavour::Redis7)
        };
        let back = RedisServer::start(&options)?;
        for (db, count) in counts.into_iter().enumerate() {
            let size = back.eval(u32::try_from(db).unwrap(), "return redis.call('DBSIZE')", &[])?;
            assert_eq!(size.trim(), count.to_string(), "{job}, database {db}");
        }
    }
    stock(
        &tool,
        &format!(
            "mkdir back && age -d -i key.txt {} | zstd -d | tar -x -C back",
            newest("system-storage", ".tar.zst.age")
        ),
    );
    stock(
        &tool,
        "d=$(find back -name logo.png) && cmp \"$d\" system-storage/provider/2026/logo.png && test -n \"$(find back -name .hidden)\"",
    );
    Ok(())
}

fn drills() -> TestResult {
    let (mariadb, postgres) = (test_servers::mariadb()?, test_servers::postgres()?);
    let redis = test_servers::redis(RedisFlavour::Redis7)?;
    sample::load_shop(&mariadb, "shop")?;
    sample::load_postgres_shop(&postgres, "shop")?;
    redis.eval(0, "for i = 1, 300 do redis.call('SET', 'k' .. i, i) end", &[])?;
    redis.eval(3, "for i = 1, 30 do redis.call('SET', 'k' .. i, i) end", &[])?;
    let tool = Tool::mysql(&mariadb);
    stock(&tool, "age-keygen -o key.txt 2>/dev/null && age-keygen -y key.txt > key.pub");
    tool.expect(
        0,
        &mariadb.url(mariadb.admin(), "shop")?,
        &["copy", "env:DB", "m.sql.zst.age", "--encrypt-to", "key.pub"],
    );
    let clients = Tool::postgres(&postgres);
    let dump = clients.join("p.sql.gz").display().to_string();
    let roles = clients.join("roles.sql.gz").display().to_string();
    clients.expect(0, &postgres.url(postgres.admin(), "shop")?, &["copy", "env:DB", &roles]);
    postgres.sql("postgres", "CREATE DATABASE drilled")?;
    postgres.sql(
        "drilled",
        "CREATE TABLE one (id int PRIMARY KEY, v text); INSERT INTO one SELECT n, repeat('x', n) FROM generate_series(1, 5000) n; \
         CREATE TABLE none (id int); CREATE VIEW v AS SELECT count(*) FROM one",
    )?;
    clients.expect(0, &postgres.url(postgres.admin(), "drilled")?, &["copy", "env:DB", &dump]);
    tool.expect(0, &redis.url(), &["copy", "env:DB", "r.rdb"]);
    let before = scratch();
    for (archive, key) in [("m.sql.zst.age", true), (dump.as_str(), false), ("r.rdb", false)] {
        let mut args = vec!["drill", archive];
        if key {
            tool.expect(2, "", &args);
            args.extend(["--identity", "key.txt"]);
        }
        let said = tool.expect(0, "", &args);
        assert!(said.contains("drill passed"), "{said}");
        let shown = tool.output("", &["show", archive]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("passed, drill on 20"), "{shown}");
    }
    // A dump whose policies name roles of its own server needs a server that has them: that says nothing about the archive.
    let said = tool.expect(3, "", &["drill", &roles]);
    assert!(said.contains("role"), "{said}");
    assert!(!fs::exists(format!("{roles}.verified.json")).unwrap());
    // An archive whose content is not what its manifest says does not pass, and the record says so.
    let mut data = fs::read(tool.join("r.rdb")).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    fs::write(tool.join("r.rdb"), data).unwrap();
    tool.expect(6, "", &["drill", "r.rdb"]);
    let shown = tool.output("", &["ls", ".", "--json"]);
    let listed: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let states: Vec<_> =
        listed["archives"].as_array().unwrap().iter().map(|a| a["standing"]["state"].to_string()).collect();
    assert_eq!(states.iter().filter(|state| state.contains("failed")).count(), 1, "{listed}");
    assert_eq!(scratch(), before, "a drill leaves no directory");
    Ok(())
}

/// Directories of drills that are left.
fn scratch() -> usize {
    let entries = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("dbferry-drill-")).count()
}

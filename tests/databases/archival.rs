//! The whole set of a 3scale installation archived by one job file from real servers, to an S3 server and to a folder like a volume: encrypted, pruned,
//! drilled, and restored with stock programs alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;
use test_servers::fingerprint::{self, MySqlView, PostgresView};
use test_servers::s3::{ACCESS_KEY, FakeS3, Quirks, SECRET_KEY};
use test_servers::{
    MySqlServer, Needs, PostgresServer, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials, sample,
};

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
    // Scratch servers run under an account that cannot look into the folder of the test.
    let temporary = tempfile::tempdir()?;
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o1777))?;
    let run = |to: &str, args: &[&str], code: i32| {
        let mut command = tool.command("", args);
        command
            .env("TO", to)
            .env("TMPDIR", temporary.path())
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
    // Each data set is drilled where it lies.
    let newest =
        |of: &dyn Fn(&str) -> bool, names: Vec<String>| names.into_iter().filter(|n| of(n)).max().unwrap();
    let keys: Vec<String> = store.objects().into_keys().collect();
    let page = Page::new(&tool, &system, &zync);
    let mysql_before = fingerprint::mysql(&system, "system", &MySqlView::default())?;
    let postgres_before = fingerprint::postgres(&zync, "zync", &PostgresView::default())?;
    for (number, place) in ["volume", "bucket"].into_iter().enumerate() {
        let names: Vec<String> = if place == "volume" {
            let folders =
                ["system-mysql", "zync-database", "backend-redis", "system-redis", "system-storage"];
            let files = folders.iter().flat_map(|job| fs::read_dir(tool.join("volume").join(job)).unwrap());
            let names = files.map(|entry| entry.unwrap().path().display().to_string());
            names.filter(|name| name.ends_with(".age")).collect()
        } else {
            keys.iter().filter(|key| key.ends_with(".age")).cloned().collect()
        };
        let of = |job: &str| newest(&|name: &str| name.contains(&format!("/{job}/")), names.clone());
        for job in ["system-mysql", "zync-database", "backend-redis", "system-redis", "system-storage"] {
            let name = of(job);
            let address = if place == "volume" { name } else { store.url(&name) };
            // Policies of this one name roles of its server: it gets an empty database there.
            let mut drill = vec!["drill", address.as_str(), "--identity", "key.txt", "-q"];
            let into = zync.url(zync.admin(), &format!("drill{number}"))?;
            if job == "zync-database" {
                zync.sql("postgres", format!("CREATE DATABASE drill{number}"))?;
                drill.extend(["--into", &into]);
            }
            run("", &drill, 0);
            let shown = run("", &["show", &address], 0);
            assert!(shown.contains("passed, drill on 20"), "{shown}");
        }
        // Stock programs alone, as the page says it, on copies that have the names of the page.
        let fetch = |job: &str, name: &str| {
            let data = if place == "volume" {
                fs::read(of(job)).unwrap()
            } else {
                store.objects()[&of(job)].data.clone()
            };
            fs::write(tool.join(name), data).unwrap();
        };
        for (job, name) in [
            ("system-mysql", "system-2026-11-20.sql.zst.age"),
            ("zync-database", "zync-2026-11-20.sql.zst.age"),
            ("system-storage", "storage-2026-11-20.tar.zst.age"),
        ] {
            fetch(job, name);
        }
        // The names of the page are those of databases that are there already: the restored ones stand beside them.
        let back = format!("back{number}");
        system.sql(format!("CREATE DATABASE {back} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"))?;
        page.follow("| mysql system", &[("mysql system", &format!("mysql {back}"))]);
        mysql_before.assert_same(&fingerprint::mysql(&system, &back, &MySqlView::default())?);
        zync.sql("postgres", format!("CREATE DATABASE {back}"))?;
        page.follow("| psql zync", &[("psql zync", &format!("psql {back}"))]);
        postgres_before.assert_same(&fingerprint::postgres(&zync, &back, &PostgresView::default())?);
        for (job, server, databases) in
            [("backend-redis", &backend, [0, 1]), ("system-redis", &queue, [0, 1])]
        {
            fetch(job, "backend-2026-11-20.rdb.age");
            page.follow("> dump.rdb", &[]);
            let load = Some(tool.join("dump.rdb"));
            let back = RedisServer::start(&RedisOptions { load, ..RedisOptions::new(RedisFlavour::Redis7) })?;
            for db in databases {
                assert_eq!(
                    back.eval(db, CONTENT, &[])?,
                    server.eval(db, CONTENT, &[])?,
                    "{job}, database {db}"
                );
            }
        }
        let unpacked = tool.join(&format!("files{number}"));
        fs::create_dir(&unpacked).unwrap();
        page.follow("| tar -x", &[("tar -x", &format!("tar -x -C {}", unpacked.display()))]);
        stock(
            &tool,
            &format!(
                "diff -r system-storage \"$(dirname \"$(find {} -name provider)\")\"",
                unpacked.display()
            ),
        );
    }
    assert_eq!(fs::read_dir(temporary.path())?.count(), 0, "a drill leaves no directory");
    Ok(())
}

/// A digest of every key and value of a logical database.
const CONTENT: &str = "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
    all[#all + 1] = key .. ' ' .. redis.sha1hex(redis.call('DUMP', key)) end \
    table.sort(all) return #all .. ' ' .. redis.sha1hex(table.concat(all, '\\n'))";

/// The lines of the documents that say how an encrypted archive is restored without dbferry, and a shell in which the stock clients know their server.
struct Page<'a> {
    lines: Vec<String>,
    tool: &'a Tool,
}

impl<'a> Page<'a> {
    fn new(tool: &'a Tool, mysql: &MySqlServer, postgres: &PostgresServer) -> Self {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/encryption.md")).unwrap();
        let lines: Vec<String> =
            text.lines().filter(|line| line.starts_with("age -d")).map(str::to_owned).collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        fs::create_dir(tool.join("bin")).unwrap();
        for (name, client) in [("mysql", mysql.client("mysql")), ("psql", postgres.client("psql"))] {
            let quoted =
                |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', "'\\''"));
            let envs = client.get_envs().filter_map(|(name, value)| {
                Some(format!("export {}={}\n", name.to_str().unwrap(), quoted(value?)))
            });
            let words: Vec<String> =
                std::iter::once(client.get_program()).chain(client.get_args()).map(quoted).collect();
            let script = format!("#!/bin/sh\n{}exec {} \"$@\"\n", envs.collect::<String>(), words.join(" "));
            let path = tool.join("bin").join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { lines, tool }
    }

    /// Runs the line that has this in it, with nothing but these words replaced.
    fn follow(&self, which: &str, instead: &[(&str, &str)]) {
        let mut line = self.lines.iter().find(|line| line.contains(which)).unwrap().clone();
        for (word, other) in instead {
            assert!(line.contains(word), "{line}");
            line = line.replace(word, other);
        }
        stock(self.tool, &format!("set -e; PATH=\"$PWD/bin:$PATH\"\n{line}"));
    }
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
    stock(
        &tool,
        "mkdir -p files/a/b && echo one > files/a/1 && ln -s 1 files/a/2 && truncate -s 3M files/a/b/hole && chmod 750 files/a",
    );
    tool.expect(0, "", &["copy", "files", "f.tar.zst"]);
    let before = scratch();
    for (archive, key) in
        [("m.sql.zst.age", true), (dump.as_str(), false), ("r.rdb", false), ("f.tar.zst", false)]
    {
        let mut args = vec!["drill", archive];
        if key {
            tool.expect(2, "", &args);
            args.extend(["--identity", "key.txt"]);
        }
        let said = tool.expect(0, "", &args);
        assert!(said.contains("drill passed"), "{said}");
        if archive == "f.tar.zst" {
            // A hole is no content.
            assert!(said.contains("unpacked; 2 files and 3 directories with 4 bytes"), "{said}");
            tool.expect(2, "", &["drill", archive, "--into", "mysql://localhost/files"]);
        }
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

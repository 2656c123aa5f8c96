//! Clients killed, servers gone, connections cut: nothing is published, whatever the stream looks like.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use test_servers::{Needs, TestResult, Trials, sample};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("a_killed_mysqldump_publishes_nothing", &[Needs::MariaDb], || {
            let server = test_servers::mariadb()?;
            sample::load_bulk(&server, "shop", 64 << 20, 1)?;
            let url = server.url(server.admin(), "shop")?;
            killed_client(&Tool::mysql(&server), &url, &["mariadb-dump", "mysqldump"]);
            Ok(())
        })
        .with("a_killed_pg_dump_publishes_nothing", &[Needs::Postgres], || {
            let server = test_servers::postgres()?;
            sample::create_database(&server, "shop")?;
            sample::load_postgres_bulk(&server, "shop", 64 << 20, 1)?;
            let url = server.url(server.admin(), "shop")?;
            killed_client(&Tool::postgres(&server), &url, &["pg_dump"]);
            Ok(())
        })
        .with("a_cut_connection_publishes_nothing", &[Needs::MariaDb, Needs::Postgres], cut_connections)
        .with(
            "a_killed_server_publishes_nothing",
            &[Needs::MariaDb, Needs::MySql, Needs::Postgres],
            killed_servers,
        )
}

/// Starts a copy, strikes, and says how it ended.
fn struck(tool: &Tool, url: &str, strike: impl FnOnce(&std::process::Child)) -> (Option<i32>, String) {
    let mut child = tool
        .command(url, &["copy", "env:DB", "x.sql", "--engine", "client"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    strike(&child);
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    (code, said)
}

fn bytes_staged(tool: &Tool) -> u64 {
    fs::read_dir(tool.path()).unwrap().filter_map(|e| e.ok()?.metadata().ok()).map(|m| m.len()).sum()
}

/// Waits until the dump is well in the middle of its table.
fn until_in_the_middle(tool: &Tool, child: &std::process::Child) {
    for _ in 0..2000 {
        if bytes_staged(tool) > 4 << 20 {
            return;
        }
        assert!(fs::metadata(format!("/proc/{}", child.id())).is_ok());
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("nothing was written");
}

fn nothing_published(tool: &Tool, code: Option<i32>, said: &str) {
    assert!(matches!(code, Some(3 | 75)), "{code:?} {said}");
    assert_eq!(tool.names(), Vec::<String>::new(), "{said}");
}

/// Processes below `parent` whose program is one of `names`.
fn descendants(parent: u32, names: &[&str]) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ppid: u32 = after.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if ppid == parent && names.iter().any(|name| line.contains(name)) {
            found.push(pid);
        }
    }
    found
}

fn killed_client(tool: &Tool, url: &str, names: &[&str]) {
    for signal in ["-KILL", "-TERM"] {
        let (code, said) = struck(tool, url, |child| {
            until_in_the_middle(tool, child);
            let clients = descendants(child.id(), names);
            assert!(!clients.is_empty(), "no {names:?} below the run");
            for pid in clients {
                Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
            }
        });
        nothing_published(tool, code, &said);
    }
}

fn cut_connections() -> TestResult {
    let server = test_servers::mariadb()?;
    sample::load_bulk(&server, "shop", 64 << 20, 1)?;
    let tool = Tool::mysql(&server);
    let (code, said) = struck(&tool, &server.url(server.admin(), "shop")?, |child| {
        until_in_the_middle(&tool, child);
        let ids = server
            .query(
                "",
                "SELECT id FROM information_schema.processlist
                 WHERE info LIKE 'SELECT%SQL_NO_CACHE%FROM `bulk`%' AND id <> connection_id()",
            )
            .unwrap();
        assert_eq!(ids.len(), 1, "the dump's connection is in the process list: {ids:?}");
        server.sql(format!("KILL {}", ids[0][0])).unwrap();
    });
    nothing_published(&tool, code, &said);

    // The treacherous one: pg_dump ends the table that was cut off with a valid end of data.
    let server = test_servers::postgres()?;
    sample::create_database(&server, "shop")?;
    sample::load_postgres_bulk(&server, "shop", 64 << 20, 1)?;
    let tool = Tool::postgres(&server);
    let (code, said) = struck(&tool, &server.url(server.admin(), "shop")?, |child| {
        until_in_the_middle(&tool, child);
        let killed = server
            .query(
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()",
            )
            .unwrap();
        assert_eq!(killed, [["t"]], "one COPY runs");
    });
    nothing_published(&tool, code, &said);
    Ok(())
}

fn killed_servers() -> TestResult {
    for mut server in [test_servers::mariadb()?, test_servers::mysql()?] {
        sample::load_bulk(&server, "shop", 64 << 20, 1)?;
        let tool = Tool::mysql(&server);
        let url = server.url(server.admin(), "shop")?;
        let (code, said) = struck(&tool, &url, |child| {
            until_in_the_middle(&tool, child);
            server.kill9();
        });
        nothing_published(&tool, code, &said);
        assert_eq!(code, Some(75), "a server that went away may come back: {said}");
    }
    let server = test_servers::postgres()?;
    sample::create_database(&server, "shop")?;
    sample::load_postgres_bulk(&server, "shop", 64 << 20, 1)?;
    let tool = Tool::postgres(&server);
    let url = server.url(server.admin(), "shop")?;
    let (code, said) = struck(&tool, &url, |child| {
        until_in_the_middle(&tool, child);
        // A crashed backend takes all others along, as an out-of-memory kill does.
        let pids = server
            .query(
                "postgres",
                "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()",
            )
            .unwrap();
        Command::new("kill").args(["-KILL", &pids[0][0]]).status().unwrap();
    });
    nothing_published(&tool, code, &said);
    Ok(())
}

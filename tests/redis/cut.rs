//! Servers killed, stalled and cut off: a whole snapshot or none.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use test_servers::{Needs, RedisFlavour, RedisOptions, RedisServer, TestResult, Trials};

use crate::tool::Tool;

/// Kills in the ordinary tests; `DBFERRY_KILLS=200 cargo nextest run --test redis killed` for a campaign.
const KILLS: u32 = 12;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("a_server_killed_at_any_moment_leaves_nothing_or_everything", &[Needs::Redis], killed)
        .with("every_prefix_of_a_live_dump_is_refused", &[Needs::Redis], prefixes)
        .with("a_destination_that_stalls_longer_than_the_server_waits", &[Needs::Redis], stalled)
}

fn populated(extra: &[&str]) -> RedisServer {
    let extra = extra.iter().map(|line| (*line).to_owned()).collect();
    let server =
        RedisServer::start(&RedisOptions { extra, ..RedisOptions::new(RedisFlavour::Redis7) }).unwrap();
    fill(&server, 60_000);
    server
}

fn fill(server: &RedisServer, keys: u32) {
    server.ask(&["DEBUG", "POPULATE", &keys.to_string(), "key", "300"]).unwrap();
}

fn killed() -> TestResult {
    let kills = std::env::var("DBFERRY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut server = populated(&["rdbcompression no"]);
    let tool = Tool::new();
    // How long a run takes sets the moments to try; every seed is the same from run to run.
    let since = Instant::now();
    tool.expect(0, &server.url(), &["copy", "env:DB", "whole.rdb"]);
    let whole = since.elapsed();
    let size = std::fs::metadata(tool.join("whole.rdb"))?.len();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let (mut broken, mut finished) = (0, 0);
    for nth in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let sync = if nth % 2 == 0 { "disk" } else { "diskless" };
        let mut child = tool
            .command(&server.url(), &["copy", "env:DB", "x.rdb", "--redis-sync", sync])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        std::thread::sleep(whole.mul_f64((seed >> 40) as f64 / f64::from(1 << 24)));
        server.kill9();
        let output = child.wait().and_then(|_| child.wait_with_output())?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            finished += 1;
            tool.expect(0, "", &["verify", "x.rdb"]);
            assert_eq!(std::fs::metadata(tool.join("x.rdb"))?.len(), size);
            std::fs::remove_file(tool.join("x.rdb"))?;
            std::fs::remove_file(tool.join("x.rdb.manifest.json"))?;
        } else {
            broken += 1;
            assert!(matches!(output.status.code(), Some(3 | 75)), "{:?} {said}", output.status);
        }
        assert_eq!(tool.names(), ["whole.rdb", "whole.rdb.manifest.json"], "{said}");
        server.restart()?;
        fill(&server, 60_000);
    }
    assert!(broken > 0, "no kill came in time: {finished} of {kills} were done before it");
    writeln!(std::io::stderr(), "{kills} kills: {broken} broke the run, {finished} came too late")?;
    Ok(())
}

fn prefixes() -> TestResult {
    let server = test_servers::redis(RedisFlavour::Redis7)?;
    crate::content::load(&server, 20);
    let tool = Tool::new();
    tool.expect(0, &server.url(), &["copy", "env:DB", "whole.rdb"]);
    let whole = std::fs::read(tool.join("whole.rdb"))?;
    for nth in 0..24 {
        let end = if nth < 12 { whole.len() * nth / 12 } else { whole.len() - (24 - nth) };
        std::fs::write(tool.join("cut.rdb"), &whole[..end])?;
        let said = tool.expect(3, "", &["copy", "cut.rdb", "out.rdb", "--format", "rdb"]);
        assert!(!tool.join("out.rdb").exists(), "{end}: {said}");
        // What is shorter than a header could be anything.
        if end >= 9 {
            let said = tool.expect(6, "", &["verify", "cut.rdb", "--without-manifest"]);
            assert!(said.contains("offset"), "{end}: {said}");
        }
    }
    Ok(())
}

/// A pipe that nobody reads for longer than `repl-timeout`: by disk that is nothing, without disk the run ends with its reason.
fn stalled() -> TestResult {
    let server = populated(&["rdbcompression no", "repl-timeout 5", "repl-ping-replica-period 1"]);
    // More than all buffers on the way hold.
    fill(&server, 400_000);
    let tool = Tool::new();
    for (sync, survives) in [("disk", true), ("diskless", false)] {
        let mut child = tool
            .command(&server.url(), &["copy", "env:DB", "-", "--redis-sync", sync, "--memory", "64MiB"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        std::thread::sleep(Duration::from_secs(12));
        let output = child.stdout.take().map(|mut out| {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut out, &mut bytes).unwrap();
            bytes
        });
        let ended = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let bytes = output.unwrap_or_default();
        if survives {
            assert!(ended.status.success(), "{sync}: {said}");
            std::fs::write(tool.join("piped.rdb"), bytes)?;
            tool.expect(0, "", &["verify", "piped.rdb", "--without-manifest"]);
        } else {
            assert_eq!(ended.status.code(), Some(75), "{sync}: {said}");
            assert!(said.contains("--redis-sync disk"), "{said}");
        }
    }
    Ok(())
}

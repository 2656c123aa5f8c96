//! `dbferry bench` into a store: parts of several sizes go there, and nothing of them stays.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use test_servers::s3::{FakeS3, Op, Quirks};
use test_servers::{TestResult, Trials};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials.with("bench_leaves_nothing_in_a_store", &[], whole).with(
        "bench_interrupted_leaves_nothing_in_a_store",
        &[],
        interrupted,
    )
}

/// What compresses as text does.
fn lines(bytes: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|n| format!("{} a line of text {n}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .take(bytes)
        .collect()
}

fn whole() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    server.plant("there/already", b"somebody else's");
    let before: Vec<String> = server.objects().into_keys().collect();
    let tool = Tool::new();
    tool.write("a.txt", lines(30 << 20));
    let url = server.url("there/x.txt.zst");
    let ended = tool.run(&["bench", "a.txt", &url, "--time", "30s", "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let document: serde_json::Value = serde_json::from_str(&ended.out)?;
    let sinks: Vec<Option<u64>> = document["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["kind"] == "sink" && m["error"].is_null())
        .map(|m| m["setting"]["part_size"].as_u64())
        .collect();
    assert_eq!(sinks, [None, Some(8 << 20), Some(16 << 20)], "{document}");
    assert!(server.count(Op::UploadPart) > 0, "nothing went there");
    assert_eq!(server.objects().into_keys().collect::<Vec<_>>(), before);
    assert_eq!(server.uploads(), Vec::<String>::new());
    Ok(())
}

fn interrupted() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("a.txt", lines(30 << 20));
    let url = server.url("x.txt");
    let mut child = tool.command(&["bench", "a.txt", &url, "--time", "40s", "-q"]).spawn()?;
    let began = std::time::Instant::now();
    while server.uploads().is_empty() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(700));
    kill_process(Pid::from_raw(i32::try_from(child.id())?).ok_or("no pid")?, Signal::INT)?;
    assert_eq!(child.wait()?.code(), Some(130));
    assert_eq!(server.uploads(), Vec::<String>::new());
    assert!(server.objects().is_empty(), "{:?}", server.objects().keys());
    Ok(())
}

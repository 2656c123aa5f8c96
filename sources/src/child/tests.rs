use std::path::Path;

use super::*;
use crate::testing::{collect, context, pair};

fn shell(script: &str) -> Program {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script);
    Program { name: "script".to_owned(), command, stdin: Stdio::null(), stall: None }
}

async fn run(script: &str) -> (Result<Ended>, Vec<u8>, Context) {
    let (cx, _, _) = context();
    let (mut tx, rx) = pair(1 << 20);
    let collected = collect(rx);
    let result = stream(shell(script), &mut tx, &cx).await;
    drop(tx);
    (result, collected.await.unwrap(), cx)
}

/// Processes that carry the mark in their command line. The kernel needs a moment to take them away.
fn marked(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..50 {
        found = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(mark) && !line.contains("nextest"))
            .collect();
        if found.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    found
}

async fn wait_for(path: &Path) {
    for _ in 0..500 {
        if path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} did not appear", path.display());
}

#[tokio::test]
async fn output_arrives_whole_and_success_is_the_exit_status() {
    let (ended, output, cx) = run("seq 1 300000; echo careful >&2").await;
    let ended = ended.unwrap();
    ended.check(&cx).unwrap();
    let expected: Vec<u8> = (1..=300_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    assert!(output == expected);
    assert_eq!(ended.bytes, expected.len() as u64);
    assert_eq!(cx.warnings(), ["script: careful"]);
}

#[tokio::test]
async fn a_failure_shows_status_and_stderr_and_no_warnings() {
    let (ended, output, cx) = run("echo data; echo 'cannot read table x' >&2; exit 7").await;
    let error = ended.unwrap().check(&cx).unwrap_err();
    assert_eq!(output, b"data\n");
    assert_eq!(error.exit_code(), 3);
    assert_eq!(error.to_string(), "script failed (status: exit status 7)");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "cannot read table x");
    assert!(cx.warnings().is_empty());
}

#[tokio::test]
async fn a_death_by_signal_is_named() {
    let (ended, _, cx) = run("echo data; kill -9 $$").await;
    let error = ended.unwrap().check(&cx).unwrap_err();
    assert!(error.to_string().contains("killed by signal 9 (SIGKILL"), "{error}");
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let (cx, _, _) = context();
    let (mut tx, _rx) = pair(1);
    let mut program = shell("");
    program.command = Command::new("/nonexistent/client");
    program.name = "client".to_owned();
    let error = stream(program, &mut tx, &cx).await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().as_str()), (3, "client: no such program"));
}

#[tokio::test]
async fn ten_megabytes_on_stderr_neither_block_nor_pile_up() {
    let script = "head -c 10000000 /dev/zero | tr '\\0' 'e' >&2; echo; echo LAST >&2; exit 1";
    let (ended, output, _) = run(script).await;
    let ended = ended.unwrap();
    assert_eq!(output, b"\n");
    let text = ended.stderr.text();
    assert!(text.len() < stderr::KEPT, "{}", text.len());
    assert!(text.starts_with("eeee") && text.ends_with("LAST") && text.contains("bytes left out]"));
}

#[tokio::test]
async fn a_flood_of_warnings_is_summed_up() {
    let (ended, _, cx) = run("seq 1 500 >&2").await;
    ended.unwrap().check(&cx).unwrap();
    let warnings = cx.warnings();
    assert_eq!(warnings.len(), 21);
    assert_eq!(warnings[20], "script: 480 more lines of warnings are not shown");
}

#[tokio::test]
async fn the_exit_status_counts_even_long_after_the_end_of_output() {
    let (ended, output, cx) = run("echo all; exec >&-; sleep 0.3; exit 3").await;
    assert_eq!(output, b"all\n");
    assert!(ended.unwrap().check(&cx).is_err());
}

#[tokio::test]
async fn a_leftover_that_holds_stdout_is_an_error_and_does_not_survive() {
    let since = Instant::now();
    let (ended, _, _) = run("echo x; sleep 61.25 & exit 0").await;
    let error = ended.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Truncated, 3));
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    assert_eq!(marked("sleep 61.25"), [""; 0]);
}

#[tokio::test]
async fn a_leftover_that_holds_only_stderr_is_not_waited_for() {
    let since = Instant::now();
    let (ended, output, cx) = run("sleep 62.25 >/dev/null & echo x").await;
    ended.unwrap().check(&cx).unwrap();
    assert_eq!(output, b"x\n");
    assert!(since.elapsed() < Duration::from_secs(8));
    assert_eq!(marked("sleep 62.25"), [""; 0]);
}

#[tokio::test]
async fn its_own_failure_is_told_rather_than_the_pipe_that_it_left_open() {
    let (ended, _, cx) = run("echo why >&2; sleep 63.25 & exit 5").await;
    let error = ended.unwrap().check(&cx).unwrap_err();
    assert!(error.to_string().contains("exit status 5"), "{error}");
}

#[tokio::test]
async fn output_that_comes_late_but_in_time_is_part_of_it() {
    let (ended, output, cx) = run("(sleep 0.5; echo late) & exit 0").await;
    ended.unwrap().check(&cx).unwrap();
    assert_eq!(output, b"late\n");
}

#[tokio::test]
async fn cancelling_ends_the_whole_group_politely() {
    let (dir, path) = crate::testing::scratch();
    let (cx, cancel, _) = context();
    let script = format!(
        "trap 'sleep 0.2; echo bye > {0}/bye; exit 1' TERM; echo ready > {0}/ready; sleep 64.25 & wait",
        path.display()
    );
    let (mut tx, _rx) = pair(1 << 20);
    let task = tokio::spawn(async move { stream(shell(&script), &mut tx, &cx).await.unwrap_err().kind() });
    wait_for(&path.join("ready")).await;
    cancel.cancel();
    assert_eq!(task.await.unwrap(), Kind::Cancelled);
    assert!(path.join("bye").exists(), "it had no time to clean up");
    assert_eq!(marked("sleep 64.25"), [""; 0]);
    drop(dir);
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed() {
    let (dir, path) = crate::testing::scratch();
    let (cx, cancel, _) = context();
    let script = format!("trap '' TERM; echo ready > {}/ready; sleep 65.25; sleep 65.25", path.display());
    let (mut tx, _rx) = pair(1 << 20);
    let task = tokio::spawn(async move { stream(shell(&script), &mut tx, &cx).await.unwrap_err().kind() });
    wait_for(&path.join("ready")).await;
    let since = Instant::now();
    cancel.cancel();
    assert_eq!(task.await.unwrap(), Kind::Cancelled);
    assert!(since.elapsed() >= GRACE && since.elapsed() < GRACE * 2, "{:?}", since.elapsed());
    assert_eq!(marked("sleep 65.25"), [""; 0]);
    drop(dir);
}

#[tokio::test]
async fn a_dropped_future_leaves_no_process() {
    let (dir, path) = crate::testing::scratch();
    let (cx, _, _) = context();
    let script = format!("trap '' TERM; echo ready > {}/ready; sleep 66.25 | cat", path.display());
    let (mut tx, _rx) = pair(1 << 20);
    let task = tokio::spawn(async move { stream(shell(&script), &mut tx, &cx).await.map(drop) });
    wait_for(&path.join("ready")).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(marked("sleep 66.25"), [""; 0]);
    drop(dir);
}

#[tokio::test]
async fn a_receiver_that_goes_away_ends_the_child() {
    let (cx, _, _) = context();
    let (mut tx, rx) = pair(1 << 16);
    drop(rx);
    let error = stream(shell("yes marked-67"), &mut tx, &cx).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Closed);
    assert_eq!(marked("yes marked-67"), [""; 0]);
}

/// Nobody takes anything: the child may fill the channel, one buffer and the pipe, and no more.
#[tokio::test]
async fn a_stuck_receiver_stops_the_child() {
    let (dir, path) = crate::testing::scratch();
    let (cx, cancel, _) = context();
    let counter = path.join("count");
    // dd reports how much it wrote when it is told to stop.
    let script = format!(
        "exec dd if=/dev/zero bs=64k status=none 2>/dev/null & child=$!; sleep 1; cat /proc/$child/io > {}; wait",
        counter.display()
    );
    let capacity = 256 * 1024;
    let (mut tx, rx) = pair(capacity);
    let mut program = shell(&script);
    program.stall = Some((Duration::from_millis(200), "nobody takes the bytes".to_owned()));
    let warned = cx.clone();
    let task = tokio::spawn(async move { stream(program, &mut tx, &cx).await.unwrap_err().kind() });
    wait_for(&counter).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let io = std::fs::read_to_string(&counter).unwrap();
    let written: usize =
        io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().trim().parse().unwrap();
    assert!(written <= capacity + 2 * READ + PIPE, "{written}");
    assert!(written >= PIPE, "{written}: the pipe was not enlarged");
    assert_eq!(warned.warnings(), ["nobody takes the bytes"]);
    cancel.cancel();
    assert_eq!(task.await.unwrap(), Kind::Cancelled);
    drop((rx, dir));
}

#[test]
fn stderr_keeps_both_ends_however_it_is_cut() {
    let text: Vec<u8> = (0..30_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let mut whole = Stderr::default();
    whole.push(&text);
    for cut in [1, 7, 4096, 100_000] {
        let mut pieces = Stderr::default();
        text.chunks(cut).for_each(|piece| pieces.push(piece));
        assert_eq!(pieces.text(), whole.text(), "{cut}");
    }
    assert!(whole.text().starts_with("line 0\nline 1\n") && whole.text().ends_with("line 29999"));
    let mut hostile = Stderr::default();
    hostile.push(b"\x1b[2Jcleared \xff\r\n");
    assert_eq!(hostile.text(), "[2Jcleared \u{fffd}");
}

//! The budget holds for a stream many times its size.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::run::Place;

/// Peak resident memory in KiB of a finished child, by GNU time's own accounting of it.
fn peak_kib(place: &Place, args: &[&str]) -> u64 {
    let mut command = std::process::Command::new("/usr/bin/time");
    command.args(["-f", "peak %M", env!("CARGO_BIN_EXE_dbferry")]).args(args).current_dir(place.path());
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?} {:?}: {text}", output.status.code(), output.status.signal());
    let peak = text.lines().rev().find_map(|line| line.strip_prefix("peak ")).unwrap();
    peak.trim().parse().unwrap()
}

#[test]
fn a_stream_of_ten_times_the_budget_stays_within_it() {
    let place = Place::new();
    // 1.3 GiB of rows in one statement after the other, made by a shell, through every stage.
    let row = "INSERT INTO `t` VALUES (1,'0123456789 abcdefghij klmnopqrst 0123456789 abcdefghij klmnopqrst 0123456789');";
    let command = format!(
        "cmd:echo '-- MySQL dump 10.13'; yes \"{}\" | head -c 1400000000 | head -n -1; echo '-- Dump completed'",
        row.replace('`', "\\`")
    );
    for (args, budget_mib) in [
        (
            vec![
                "copy",
                command.as_str(),
                "a.sql.zst",
                "b.sql.gz",
                "--for",
                "rds-mysql",
                "--memory",
                "160MiB",
            ],
            160,
        ),
        (vec!["verify", "a.sql.zst", "--memory", "96MiB"], 96),
    ] {
        let peak = peak_kib(&place, &args);
        assert!(peak < budget_mib * 1024, "{} MiB of {budget_mib}: {args:?}", peak / 1024);
    }
}

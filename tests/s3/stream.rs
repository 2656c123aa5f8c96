//! A long stream of unknown length, to a store that checks every part and keeps none.
//!
//! A gibibyte in the ordinary run. The hundred that nobody wants to wait for each time:
//! `DBFERRY_S3_STREAM_GIB=100 cargo test --release --test s3 a_stream_of_any_length`

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crc_fast::{CrcAlgorithm::Crc64Nvme, Digest};
use test_servers::s3::{Care, FakeS3, Op, Quirks};
use test_servers::{TestResult, Trials};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials.with("a_stream_of_any_length_stays_in_its_memory", &[], memory)
}

/// Written at once: no part of the stream is equal to another, because each block has its number in it.
const BLOCK: usize = 1 << 20;

fn memory() -> TestResult {
    let long: Option<u64> =
        std::env::var("DBFERRY_S3_STREAM_GIB").ok().map(|text| text.parse()).transpose()?;
    // The long one with what everybody has, the short one with less, so that parts have to wait.
    let (bytes, budget) = long.map_or((1 << 30, 128_u64), |gib| (gib << 30, 256));
    let server =
        FakeS3::start(Quirks { discard: true, md5: Care::Ignored, opaque_etags: true, ..Quirks::default() })?;
    let tool = Tool::new();
    let url = server.url("big");
    let memory = format!("{budget}MiB");
    let begun = Instant::now();
    let mut command = tool.command(&["copy", "-", &url, "--memory", &memory, "--format", "opaque", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or("no pipe")?;
    let feeder = std::thread::spawn(move || -> std::io::Result<u64> {
        let mut block: Vec<u8> = (0..=250).cycle().take(BLOCK).collect();
        let mut sum = Digest::new(Crc64Nvme);
        for number in 0..bytes / BLOCK as u64 {
            for place in block.chunks_mut(64 << 10) {
                place[..8].copy_from_slice(&number.to_le_bytes());
            }
            sum.update(&block);
            stdin.write_all(&block)?;
        }
        Ok(sum.finalize())
    });
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak = 0_u64;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(line) = line else { break };
            peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    let output = child.wait_with_output()?;
    let peak = watcher.join().map_err(|_| "the watcher panicked")?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sum = feeder.join().map_err(|_| "the feeder panicked")??;
    let objects = server.objects();
    assert_eq!(objects["big"].bytes, bytes);
    assert_eq!(objects["big"].crc64, sum, "the store has seen other bytes");
    // Those of the probe are among them.
    let parts = server.count(Op::UploadPart);
    assert!(parts < 10_000, "{parts} parts");
    assert!(peak > 0 && peak < budget << 10, "{peak} KiB and not {budget} MiB");
    tell(&format!(
        "{} GiB in {parts} requests for parts, {:.0} s, peak {:.1} MiB of {budget}",
        bytes >> 30,
        begun.elapsed().as_secs_f64(),
        peak as f64 / 1024.0
    ));
    Ok(())
}

#[allow(clippy::print_stderr, reason = "the figure that a long run is made for")]
fn tell(text: &str) {
    eprintln!("{text}");
}

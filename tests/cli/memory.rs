//! The budget holds for a stream many times its size.

use std::io::{Read as _, Write};
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

/// A snapshot of one string and one hash, made as it is read: a length of 64 bits and a length of 32, whatever the sizes.
fn giant(out: &mut impl Write, string: u64, fields: u32) -> std::io::Result<u64> {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, out);
    let mut written = 0;
    let mut put = |data: &[u8]| -> std::io::Result<()> {
        written += data.len() as u64;
        out.write_all(data)
    };
    put(b"REDIS0011\xfe\x00\x00\x05giant\x81")?;
    put(&string.to_be_bytes())?;
    let piece: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut left = string;
    while left > 0 {
        let len = left.min(piece.len() as u64);
        put(&piece[..usize::try_from(len).unwrap()])?;
        left -= len;
    }
    put(b"\x04\x04wide\x80")?;
    put(&fields.to_be_bytes())?;
    for field in 0..fields {
        put(format!("\x0cf{field:011}\x08{:08x}", field.wrapping_mul(2_654_435_761)).as_bytes())?;
    }
    put(b"\x00\x04last\x01x\xff")?;
    put(&[0; 8])?;
    out.flush()?;
    Ok(written)
}

/// `DBFERRY_GIANT=1 cargo nextest run --test cli giant` takes a string of 2 GiB and a hash of 50 million fields, about 3.4 GB each time.
#[test]
fn a_giant_string_and_a_giant_hash_pass_in_constant_memory() {
    let full = std::env::var_os("DBFERRY_GIANT").is_some();
    let (string, fields) = if full { (2 << 30, 50_000_000) } else { (160 << 20, 2_000_000) };
    let place = Place::new();
    for (more, most_mib) in [
        (&["--format", "rdb"][..], 64),
        (&["--redis-db", "0", "--redis-map", "0=3", "--drop-keys", "last"], 64),
        (&["--format", "json"], 112),
        (&["--format", "resp"], 112),
    ] {
        let args = [&["copy", "-", "-", "--memory", "112MiB"], more].concat();
        let mut command = std::process::Command::new("/usr/bin/time");
        command.args(["-f", "peak %M", env!("CARGO_BIN_EXE_dbferry")]).args(&args).current_dir(place.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || giant(&mut stdin, string, fields).unwrap());
        // Read away, and counted: nobody could hold it.
        let mut out = child.stdout.take().unwrap();
        let counting = std::thread::spawn(move || {
            let mut room = vec![0; 1 << 20];
            let mut bytes = 0_u64;
            loop {
                match out.read(&mut room).unwrap() {
                    0 => return bytes,
                    more => bytes += more as u64,
                }
            }
        });
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{args:?}: {said}");
        let (fed, came) = (feeding.join().unwrap(), counting.join().unwrap());
        let peak: u64 =
            said.lines().rev().find_map(|line| line.strip_prefix("peak ")).unwrap().parse().unwrap();
        assert!(peak < most_mib * 1024, "{} MiB of {most_mib}: {args:?}", peak / 1024);
        if more == ["--format", "rdb"] {
            assert_eq!(came, fed, "byte for byte as long");
        } else {
            assert!(came > string, "{came} of {fed}: {args:?}");
        }
    }
}

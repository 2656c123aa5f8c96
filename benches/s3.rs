//! `dbferry copy` to and from S3 beside `aws s3 cp` and `rclone`: `benches/peers s3`.
//!
//! The store is the tests' own, in a process of its own: over TLS, as stores are, it takes whatever it is sent, computes one CRC64NVME of it and keeps nothing.
//! What is read lies in its memory. Every contender takes the same stream of unknown length from the same file on its standard input, and gives what it
//! reads to standard output. dbferry also hashes the stream, reads the store's checksums back and writes a manifest; the others do none of this.

#[allow(dead_code, reason = "made for several benchmarks")]
mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use common::{Case, Result, Sample};
use test_servers::s3::{ACCESS_KEY, BUCKET, Care, FakeS3, Quirks, SECRET_KEY};

/// Says that this process is the store. Its value is the file that it gives.
const SERVE: &str = "DBFERRY_BENCH_SERVE";

fn main() -> ExitCode {
    let done = match std::env::var_os(SERVE) {
        Some(file) => serve(Path::new(&file)),
        None => benchmark(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            common::say(&format!("s3: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves until standard input ends.
fn serve(file: &Path) -> Result<()> {
    let quirks = Quirks {
        discard: true,
        trailers: true,
        opaque_etags: true,
        crc32c: Care::Ignored,
        md5: Care::Ignored,
        ..Quirks::default()
    };
    let server = FakeS3::start_tls(quirks)?;
    server.plant("source", &fs::read(file)?);
    let certificate = server.certificate().ok_or("a server without a certificate")?;
    let mut out = std::io::stdout();
    writeln!(out, "{} {}", server.endpoint(), certificate.display())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        // The length of an object, for who wants to know whether all of it came.
        let length = server.objects().get(line?.as_str()).map_or(0, |object| object.bytes);
        writeln!(out, "{length}")?;
        out.flush()?;
    }
    Ok(())
}

struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
    endpoint: String,
    certificate: String,
}

impl Server {
    fn start(file: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.env(SERVE, file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
        let mut server = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            endpoint: String::new(),
            certificate: String::new(),
        };
        let line = server.answer()?;
        let (endpoint, certificate) = line.split_once(' ').ok_or("the server did not start")?;
        (server.endpoint, server.certificate) = (endpoint.to_owned(), certificate.to_owned());
        Ok(server)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn length(&mut self, key: &str) -> Result<u64> {
        writeln!(self.stdin, "{key}")?;
        Ok(self.answer()?.parse()?)
    }

    fn cpu(&self) -> Result<f64> {
        Ok(common::cpu_of(&self.child.id().to_string())?[0])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Refused means that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A program, and its words for sending to and for getting from a key.
struct Contender {
    name: &'static str,
    program: PathBuf,
    send: fn(&str, &str) -> Vec<String>,
    get: fn(&str, &str) -> Vec<String>,
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn at(endpoint: &str, key: &str) -> String {
    format!("s3://{BUCKET}/{key}?endpoint={endpoint}&region=us-east-1")
}

fn contenders(notes: &mut Vec<String>) -> Vec<Contender> {
    let ours = |name, send, get| Contender { name, program: common::program(), send, get };
    let mut all = vec![
        ours(
            "dbferry copy",
            |endpoint, key| words(&format!("copy - {} --format opaque -q", at(endpoint, key))),
            |endpoint, key| words(&format!("copy {} - --format opaque -q", at(endpoint, key))),
        ),
        ours(
            "dbferry copy --memory 128MiB",
            |endpoint, key| {
                words(&format!("copy - {} --format opaque -q --memory 128MiB", at(endpoint, key)))
            },
            |endpoint, key| {
                words(&format!("copy {} - --format opaque -q --memory 128MiB", at(endpoint, key)))
            },
        ),
    ];
    let aws = test_servers::cache_dir().join("aws/bin/aws");
    match aws.is_file().then_some(aws).or_else(|| common::find("aws")) {
        Some(program) => all.push(Contender {
            name: "aws s3 cp",
            program,
            send: |endpoint, key| words(&format!("s3 cp --endpoint-url {endpoint} - s3://{BUCKET}/{key}")),
            get: |endpoint, key| words(&format!("s3 cp --endpoint-url {endpoint} s3://{BUCKET}/{key} -")),
        }),
        None => notes.push("Not installed, so not measured: the AWS command line.".to_owned()),
    }
    match common::find("rclone") {
        Some(program) => all.push(Contender {
            name: "rclone",
            program,
            send: |_, key| words(&format!("rcat :s3:{BUCKET}/{key}")),
            get: |_, key| words(&format!("cat :s3:{BUCKET}/{key}")),
        }),
        None => notes.push("Not installed, so not measured: rclone.".to_owned()),
    }
    all
}

fn benchmark() -> Result<()> {
    let (size, rounds) = common::size_and_rounds(u64::MAX)?;
    let mut notes = Vec::new();
    let contenders = contenders(&mut notes);
    common::print(&common::machine(&["rclone"]));
    let aws = contenders.iter().find(|contender| contender.name == "aws s3 cp");
    if let Some(aws) = aws {
        let said = Command::new(&aws.program).arg("--version").output()?.stdout;
        common::print(&format!("{}\n", String::from_utf8_lossy(&said).trim()));
    }
    // Read from the page cache by everybody.
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let file = dir.path().join("stream");
    write_noise(&file, size)?;
    let server = std::cell::RefCell::new(Server::start(&file)?);
    let mut tables = Vec::new();
    for sending in [true, false] {
        let mut cases: Vec<Case<'_>> = contenders
            .iter()
            .map(|contender| {
                let (server, file, dir) = (&server, &file, dir.path());
                let mut run = 0;
                Case::new(contender.name, move || {
                    run += 1;
                    let key = format!("{}-{run}", contender.name.replace(' ', "-"));
                    measure(contender, &mut server.borrow_mut(), sending, &key, file, dir, size)
                })
            })
            .collect();
        common::run(&mut cases, rounds)?;
        tables.push((sending, table(&cases, size)));
    }
    for (sending, table) in tables {
        let what = if sending { "To S3: a stream of unknown length" } else { "From S3 to standard output" };
        common::print(&format!("### {what}, {} MB, {rounds} rounds\n\n{table}", common::mb(size)));
    }
    for note in notes {
        common::print(&format!("{note}\n"));
    }
    Ok(())
}

fn measure(
    contender: &Contender,
    server: &mut Server,
    sending: bool,
    key: &str,
    file: &Path,
    dir: &Path,
    size: u64,
) -> Result<Sample> {
    let out = dir.join("count");
    // The shell becomes the program, so that its memory is what is watched. `wc` is told as little as `/dev/null`: it counts, once per contender.
    let counted = !sending && key.ends_with("-1");
    let script = match (sending, counted) {
        (true, _) => "exec \"$@\" <\"$IN\" >/dev/null",
        (false, true) => "exec \"$@\" > >(wc -c >\"$OUT\")",
        (false, false) => "exec \"$@\" >/dev/null",
    };
    let mut command = Command::new("bash");
    let arguments = if sending { contender.send } else { contender.get };
    command.args(["-c", script, "bash"]).arg(&contender.program);
    command.args(arguments(&server.endpoint, if sending { key } else { "source" }));
    command.env("IN", file).env("OUT", &out).env("HOME", dir);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("RCLONE_CA_CERT", &server.certificate),
        ("RCLONE_S3_PROVIDER", "Other"),
        ("RCLONE_S3_ENV_AUTH", "true"),
        ("RCLONE_S3_REGION", "us-east-1"),
        ("RCLONE_S3_ENDPOINT", &server.endpoint),
        ("RCLONE_S3_NO_CHECK_BUCKET", "true"),
        ("RCLONE_S3_LIST_VERSION", "2"),
    ] {
        command.env(name, value);
    }
    // rclone's SDK takes the bundle amiss: it has a setting of its own.
    if contender.name == "rclone" {
        command.env_remove("AWS_CA_BUNDLE");
    } else {
        command.env("AWS_CA_BUNDLE", &server.certificate);
    }
    let before = server.cpu()?;
    let mut sample = common::process(&mut command, true)?;
    sample.server = server.cpu()? - before;
    // Whoever loses bytes would be fast.
    let arrived = if sending {
        server.length(key)?
    } else if counted {
        counted_bytes(&out, size)?
    } else {
        size
    };
    if arrived != size {
        return Err(format!("{arrived} bytes of {size} arrived").into());
    }
    Ok(sample)
}

/// What `wc` says, which ends a moment after the program does.
fn counted_bytes(out: &Path, size: u64) -> Result<u64> {
    let mut counted = 0;
    for _ in 0..100 {
        counted = fs::read_to_string(out)?.trim().parse().unwrap_or(0);
        if counted == size {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(counted)
}

fn table(cases: &[Case<'_>], size: u64) -> String {
    let mut text = String::from(
        "| | seconds, median (least–most) | MB/s | CPU s | peak memory MiB | store's CPU s |\n| --- | --: | --: | --: | --: | --: |\n",
    );
    for case in cases {
        let wall = case.spread(|s| s.wall);
        let row = format!(
            "| `{}` | {} | {:.0} | {:.2} | {:.0} | {:.2} |\n",
            case.name,
            wall.with_range(),
            size as f64 / 1e6 / wall.median,
            case.spread(|s| s.cpu).median,
            case.spread(|s| s.peak_kib as f64 / 1024.0).max,
            case.spread(|s| s.server).median,
        );
        text.push_str(&row);
    }
    text
}

/// Bytes that do not compress.
fn write_noise(file: &Path, size: u64) -> Result<()> {
    let mut out = File::create(file)?;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut left = size;
    while left > 0 {
        let block: Vec<u8> = (0..1 << 17)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        let length = usize::try_from(left.min(block.len() as u64))?;
        out.write_all(&block[..length])?;
        left -= length as u64;
    }
    Ok(())
}

//! The ways to a store: TLS, proxies, IPv6, roles, and credentials that change while a run is on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use test_servers::s3::{ACCESS_KEY, FakeS3, Op, Quirks, SECRET_KEY};
use test_servers::{Needs, TestResult, Trials};

use crate::tool::{Tool, dump};

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("a_private_authority_is_trusted_when_told", &[], private_authority)
        .with("ipv6_is_an_address_like_any_other", &[], ipv6)
        .with("proxies_are_used_for_http_and_https", &[], proxies)
        .with("a_role_is_assumed_and_its_keys_are_refreshed", &[], roles)
        .with("source_and_destination_may_have_different_roles", &[], two_roles)
        .with("rotated_keys_are_read_again", &[], rotated)
        .with("keys_that_stay_expired_end_the_run", &[], expired)
        .with("another_clock_is_followed_and_shown", &[], clocks)
        .with("moto_gives_roles", &[Needs::Moto], moto_role)
}

/// There and back through `url`, with what `prepare` adds to the environment.
fn there_and_back(tool: &Tool, url: &str, environment: &[(&str, &str)]) {
    let sql = dump(150_000);
    tool.write("in.sql", &sql);
    let run = |args: &[&str]| {
        let output = tool.command(args).envs(environment.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?} {environment:?}: {said}");
    };
    run(&["copy", "in.sql", url, "--overwrite"]);
    run(&["verify", url]);
    run(&["copy", url, "out.sql", "--overwrite"]);
    assert!(tool.read("out.sql") == sql, "{url}: other bytes");
}

fn private_authority() -> TestResult {
    let server = FakeS3::start_tls(Quirks::default())?;
    let ca = server.certificate().ok_or("no certificate")?.display().to_string();
    let tool = Tool::new();
    let url = server.url("a/k.sql");
    there_and_back(&tool, &format!("{url}&ca={ca}"), &[]);
    there_and_back(&tool, &url, &[("AWS_CA_BUNDLE", &ca)]);
    // Nobody trusts it otherwise, and a port with TLS does not speak HTTP.
    for (url, word) in [(url.clone(), "certificate"), (url.replace("https:", "http:"), "endpoint=https://")] {
        let begun = Instant::now();
        let said = tool.expect(5, &["copy", "in.sql", &url]);
        assert!(said.contains(word) && said.contains("hint:"), "{url}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(20), "it was tried for long: {said}");
        let said = tool.expect(3, &["copy", &url, "out.sql", "--overwrite"]);
        assert!(said.contains("hint:"), "{url}: {said}");
    }
    Ok(())
}

fn ipv6() -> TestResult {
    // A machine without IPv6 has nothing to test.
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return Ok(());
    }
    let server = FakeS3::start_at(IpAddr::V6(Ipv6Addr::LOCALHOST), Quirks::default())?;
    let url = server.url("a/k.sql");
    assert!(url.contains("http://[::1]:"), "{url}");
    there_and_back(&Tool::new(), &url, &[]);
    Ok(())
}

/// A proxy that leads every host to `port`, whatever its name, and counts its connections.
fn proxy(port: u16) -> Result<(u16, Arc<AtomicU64>), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (own, count) = (listener.local_addr()?.port(), Arc::new(AtomicU64::new(0)));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            counter.fetch_add(1, SeqCst);
            std::thread::spawn(move || lead(&client?, port));
        }
    });
    Ok((own, count))
}

fn lead(client: &TcpStream, port: u16) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let mut first = true;
    loop {
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return server.shutdown(Shutdown::Both);
            }
            let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            let end = line == b"\r\n";
            head.extend_from_slice(&line);
            if end {
                break;
            }
        }
        if head.starts_with(b"CONNECT ") {
            // From here on the bytes are none of the proxy's business.
            let mut answer = client;
            answer.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            back(&server, client)?;
            std::io::copy(&mut reader, &mut server)?;
            return server.shutdown(Shutdown::Write);
        }
        if std::mem::take(&mut first) {
            back(&server, client)?;
        }
        // `PUT http://store.test/path` becomes `PUT /path`.
        let text = String::from_utf8_lossy(&head).into_owned();
        let (line, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
        let mut words = line.splitn(3, ' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = target.strip_prefix("http://").and_then(|target| target.find('/').map(|at| &target[at..]));
        server.write_all(format!("{method} {} HTTP/1.1\r\n{rest}", path.unwrap_or("/")).as_bytes())?;
        std::io::copy(&mut reader.by_ref().take(length), &mut server)?;
    }
}

/// Carries answers back until there are no more.
fn back(server: &TcpStream, client: &TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        std::io::copy(&mut from, &mut to)?;
        to.shutdown(Shutdown::Write)
    });
    Ok(())
}

fn proxies() -> TestResult {
    let plain = FakeS3::start(Quirks::default())?;
    let (port, used) = proxy(plain.port())?;
    let tool = Tool::new();
    // Only the proxy knows this host.
    let url = "s3://archive/k.sql?endpoint=http://store.test&region=us-east-1";
    there_and_back(&tool, url, &[("HTTP_PROXY", &format!("http://127.0.0.1:{port}"))]);
    assert!(used.load(SeqCst) > 0);

    let secure = FakeS3::start_tls(Quirks::default())?;
    let (port, used) = proxy(secure.port())?;
    let ca = secure.certificate().ok_or("no certificate")?.display().to_string();
    let url = format!("{}&ca={ca}", secure.url("k.sql"));
    let through = format!("http://127.0.0.1:{port}");
    there_and_back(&tool, &url, &[("HTTPS_PROXY", &through)]);
    let connections = used.load(SeqCst);
    assert!(connections > 0);
    there_and_back(&tool, &url, &[("HTTPS_PROXY", &through), ("NO_PROXY", "127.0.0.1")]);
    assert_eq!(used.load(SeqCst), connections, "NO_PROXY is not followed");
    Ok(())
}

const ROLE: &str = "arn:aws:iam::123456789012:role/archiver";

fn roles() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    // The SDK asks again some seconds before the end, and it draws lots for how many: behind the pause the end is over in any case.
    server.role(ROLE, Some("for-us"), 5);
    let tool = Tool::new();
    tool.write("in.sql", dump(150_000));
    let sts = server.endpoint();
    let url = format!("{}&role_arn={ROLE}", server.url("k.sql"));
    let script = "cat in.sql; sleep 6; cat in.sql";
    let good = format!("{url}&external_id=for-us");
    let mut command =
        tool.command(&["copy", &good, "--allow-partial", "--format", "opaque", "--", "sh", "-c", script]);
    let output = command.env("AWS_ENDPOINT_URL_STS", &sts).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(server.assumed() >= 2, "the keys were not refreshed: assumed {} times", server.assumed());
    assert_eq!(server.objects()["k.sql"].bytes, 2 * dump(150_000).len() as u64);
    // Without the external id nobody may.
    let output = tool.command(&["copy", "in.sql", &url]).env("AWS_ENDPOINT_URL_STS", &sts).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("hint:") && said.contains("role"), "{said}");
    Ok(())
}

fn two_roles() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let (reader, writer) = ("arn:aws:iam::1:role/reader", "arn:aws:iam::2:role/writer");
    let tool = Tool::new();
    let sql = dump(1000);
    server.plant("from.sql", &sql);
    server.role(reader, None, 900);
    server.role(writer, None, 900);
    let (from, to) = (server.url("from.sql"), server.url("to.sql"));
    let (from, to) = (format!("{from}&role_arn={reader}"), format!("{to}&role_arn={writer}"));
    let output =
        tool.command(&["copy", &from, &to]).env("AWS_ENDPOINT_URL_STS", server.endpoint()).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(server.assumed() >= 2);
    assert!(server.objects()["to.sql"].data == sql);
    Ok(())
}

/// A run whose first bytes go up with one pair of keys, and whose last ones come when that has expired.
fn while_running(tool: &Tool, server: &FakeS3, then: impl FnOnce()) -> std::io::Result<std::process::Output> {
    let url = server.url("k.sql");
    let script = "cat in.sql; until [ -e go ]; do sleep 0.1; done; cat in.sql";
    let mut command = tool.command(&["copy", &url, "--format", "opaque", "--", "sh", "-c", script]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_SHARED_CREDENTIALS_FILE", tool.join("credentials"));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn()?;
    let begun = Instant::now();
    while server.count(Op::UploadPart) < 4 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    then();
    tool.write("go", "");
    child.wait_with_output()
}

fn credentials(id: &str, secret: &str, token: &str) -> String {
    format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\naws_session_token={token}\n")
}

fn rotated() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(300_000));
    server.allow("ASIAOLD", "old secret", Some("old token"));
    tool.write("credentials", credentials("ASIAOLD", "old secret", "old token"));
    let output = while_running(&tool, &server, || {
        server.expire("ASIAOLD");
        server.allow("ASIANEW", "new secret", Some("new token"));
        tool.write("credentials", credentials("ASIANEW", "new secret", "new token"));
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(server.objects()["k.sql"].bytes, 2 * dump(300_000).len() as u64);
    assert!(!said.contains("secret") && !said.contains("token"), "{said}");
    Ok(())
}

fn expired() -> TestResult {
    let server = FakeS3::start(Quirks::default())?;
    let tool = Tool::new();
    tool.write("in.sql", dump(300_000));
    server.allow("ASIAOLD", "old secret", Some("old token"));
    tool.write("credentials", credentials("ASIAOLD", "old secret", "old token"));
    let output = while_running(&tool, &server, || server.expire("ASIAOLD"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("ExpiredToken") && said.contains("hint:"), "{said}");
    assert!(!server.objects().contains_key("k.sql"));
    // The upload cannot be aborted without keys; who has some finds it.
    let said = tool.expect(0, &["gc", &server.url(""), "--older-than", "0s", "--yes"]);
    assert!(said.contains("removed: 1 incomplete uploads"), "{said}");
    assert!(server.uploads().is_empty());
    Ok(())
}

fn clocks() -> TestResult {
    for clock in [-7200, 7200] {
        let server = FakeS3::start(Quirks { clock, ..Quirks::default() })?;
        let tool = Tool::new();
        there_and_back(&tool, &server.url("k.sql"), &[]);
    }
    Ok(())
}

fn moto_role() -> TestResult {
    let store = test_servers::moto()?;
    let tool = Tool::with_keys(ACCESS_KEY, SECRET_KEY);
    let url = format!("{}&role_arn={ROLE}&external_id=x", store.url("k.sql"));
    there_and_back(&tool, &url, &[("AWS_ENDPOINT_URL_STS", &store.endpoint())]);
    Ok(())
}

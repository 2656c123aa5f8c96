//! As much of HTTP/1.1 as an S3 client speaks.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering::SeqCst;

use rustls::{ServerConnection, StreamOwned};

use super::request::{Answer, Request};
use super::store::{Sums, http_date, now};
use super::{Fault, Op, Seen, Shared, locked, sign, sts};

/// Longest body: a part of the tests.
const BODY_MAX: usize = 512 << 20;

/// A connection, plain or inside TLS.
pub(super) trait Link: Read + Write {
    /// Ends it without a word.
    fn cut(&self) -> Result<()>;
}

impl Link for TcpStream {
    fn cut(&self) -> Result<()> {
        self.shutdown(Shutdown::Both)
    }
}

impl Link for StreamOwned<ServerConnection, TcpStream> {
    fn cut(&self) -> Result<()> {
        self.sock.shutdown(Shutdown::Both)
    }
}

/// Counts a request as long as it is served.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn new(server: &'a Shared) -> Self {
        server.open.fetch_add(1, SeqCst);
        Self(server)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

pub(super) fn serve(link: impl Link, server: &Shared) -> Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, link);
    loop {
        let Some(mut request) = head(&mut reader)? else { return Ok(()) };
        let _open = Open::new(server);
        let op = request.op();
        let number = server.requests.fetch_add(1, SeqCst);
        *locked(&server.counts).entry(format!("{op:?}")).or_default() += 1;
        let seen = Seen { number, op, key: request.key.clone() };
        let fault = locked(&server.chooser)(&seen);
        if fault == Some(Fault::Reset) {
            return reader.get_ref().cut();
        }
        if request.headers.contains_key("expect") {
            reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if request.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            request.body = chunks(&mut reader)?;
        } else {
            let length = request.length().min(BODY_MAX);
            let wanted = if fault == Some(Fault::ResetInside) { length / 2 } else { length };
            request.body = vec![0; wanted];
            reader.read_exact(&mut request.body)?;
        }
        if fault == Some(Fault::ResetInside) {
            return reader.get_ref().cut();
        }
        let answer = match fault {
            Some(Fault::Status(status, code)) => Answer::error(status, code, "as the test asked"),
            Some(Fault::ErrorInside) => {
                Answer::xml("<Error><Code>InternalError</Code><Message>as the test asked</Message></Error>")
            }
            _ => handle(&mut request, server, fault),
        };
        if let Some(Fault::Stall(time)) = fault {
            std::thread::sleep(time);
        }
        if fault == Some(Fault::LostAnswer) {
            return reader.get_ref().cut();
        }
        write(reader.get_mut(), &request, &answer, fault)?;
        if fault == Some(Fault::CutAnswer) {
            return reader.get_ref().cut();
        }
    }
}

/// Signatures and checksums are looked at before the store is locked, so that requests are served side by side.
fn handle(request: &mut Request, server: &Shared, fault: Option<Fault>) -> Answer {
    let at = now() + server.quirks.clock;
    let accounts = locked(&server.accounts).clone();
    let checked = sign::check(request, at, &accounts, server.quirks.trailers);
    if request.header("x-amz-content-sha256") == Some(sign::CHUNKED) {
        request.body = unchunked(&request.body);
    }
    let answer = match checked {
        Err(refused) => refused,
        Ok(()) if sts::is_meant(request) => sts::assume(request, server, at),
        Ok(()) => match Sums::of(request, &server.quirks) {
            Err(refused) => refused,
            Ok(sums) => locked(&server.store).handle(request, &sums, &server.quirks, fault),
        },
    };
    answer.with("date", http_date(&at.to_string()))
}

/// A body that comes in HTTP's own chunks, as the AWS command line sends it.
fn chunks(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let invalid = |what: &'static str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(size, 16).map_err(|_| invalid("no length of a chunk"))?;
        let at = body.len();
        if at + length > BODY_MAX {
            return Err(invalid("a body that is too large"));
        }
        body.resize(at + length, 0);
        reader.read_exact(&mut body[at..])?;
        line.clear();
        // Behind the last chunk there may be trailers, up to an empty line.
        while reader.read_line(&mut line)? > 2 && length == 0 {
            line.clear();
        }
        if length == 0 {
            return Ok(body);
        }
    }
}

/// The data of `LENGTH\\r\\nDATA\\r\\n…0\\r\\ntrailers`, with lengths in hexadecimal.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(body.len());
    while let Some(at) = body.windows(2).take(80).position(|pair| pair == b"\r\n") {
        let line = String::from_utf8_lossy(&body[..at]);
        let length = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).unwrap_or(0);
        body = &body[at + 2..];
        if length == 0 || length > body.len() {
            break;
        }
        data.extend_from_slice(&body[..length]);
        body = body.get(length + 2..).unwrap_or_default();
    }
    data
}

fn head(reader: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::new(method, target);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(request));
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

fn write(
    connection: &mut impl Write,
    request: &Request,
    answer: &Answer,
    fault: Option<Fault>,
) -> Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\n", answer.status);
    let length = answer.length.unwrap_or(answer.body.len());
    if answer.status != 204 {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    head.push_str("x-amz-request-id: TESTREQUEST\r\n");
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    connection.write_all(head.as_bytes())?;
    if request.method == "HEAD" || answer.status == 204 {
        return Ok(());
    }
    let cut = fault == Some(Fault::CutAnswer) && request.op() == Op::GetObject;
    let body = if cut { &answer.body[..answer.body.len() / 2] } else { &answer.body };
    connection.write_all(body)
}
